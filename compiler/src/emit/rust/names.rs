//! Names of blobs and layers as Rust identifiers.

use proc_macro2::{Ident, Span};
use std::collections::HashSet;

/// Words that Rust keeps for itself and that may be written as `r#word` (The Rust Reference, "Keywords").
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
    "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
    "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Words that may not even be written so.
const FORBIDDEN: &[&str] = &["self", "Self", "super", "crate", "_"];

/// Gives out identifiers, each once.
#[derive(Default)]
pub struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// Names that will not be given out.
    pub fn reserving(words: &[&str]) -> Self {
        Self { taken: words.iter().map(|word| word.to_string()).collect() }
    }

    /// The identifier nearest to a name: what no identifier may contain becomes one `_`, and a name that is taken already
    /// gets a number.
    pub fn identifier(&mut self, name: &str) -> Ident {
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let mut base = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
        if base.is_empty() || base.starts_with(|c: char| c.is_ascii_digit()) {
            base.insert(0, '_');
        }
        if FORBIDDEN.contains(&base.as_str()) {
            base.push('_');
        }
        let mut unique = base.clone();
        let mut copy = 2;
        while !self.taken.insert(unique.clone()) {
            unique = format!("{base}_{copy}");
            copy += 1;
        }
        match KEYWORDS.contains(&unique.as_str()) {
            true => Ident::new_raw(&unique, Span::call_site()),
            false => Ident::new(&unique, Span::call_site()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_an_identifier() {
        let mut names = Names::reserving(&["session"]);
        let cases = [
            ("in0", "in0"),
            ("in0", "in0_2"),
            ("123", "_123"),
            ("conv1/relu.out", "conv1_relu_out"),
            ("conv1.relu/out", "conv1_relu_out_2"),
            ("type", "r#type"),
            ("self", "self_"),
            ("", "__"),
            ("_", "___2"),
            ("größe: 2", "gr_e_2"),
            ("session", "session_2"),
        ];
        for (name, expected) in cases {
            assert_eq!(names.identifier(name).to_string(), expected, "{name}");
        }
    }
}
