//! Patterns of layers' names: `*` stands for any text, `?` for one character, `[a-c]` for one of several.
//!
//! Must not know what is chosen by them.

use crate::diagnostic::Diagnostic;
use glob::Pattern;

/// Near misses that a message names.
const MOST_NAMES: usize = 3;

/// Whether a pattern, which may be a name with signs of patterns in it, matches a layer's name.
pub fn matches(pattern: &str, layer: &str) -> bool {
    pattern == layer || Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(layer))
}

/// The pattern that matches this name and no other.
pub fn of_name(name: &str) -> String {
    Pattern::escape(name)
}

/// Every pattern that matches none of these layers, or that is none.
pub fn problems<'p>(patterns: impl Iterator<Item = &'p str>, layers: &[&str]) -> Vec<Diagnostic> {
    let idle = patterns.filter(|pattern| !layers.iter().any(|layer| matches(pattern, layer)));
    idle.map(|pattern| problem(pattern, layers)).collect()
}

fn problem(pattern: &str, layers: &[&str]) -> Diagnostic {
    if let Err(error) = Pattern::new(pattern) {
        let hint = "`*` stands for any text, `?` for one character, `[a-c]` for one of several";
        return Diagnostic::error(format!("`{pattern}` is no pattern of layer names: {}", error.msg)).hint(hint);
    }
    let problem = Diagnostic::error(format!("no layer is called `{pattern}`"));
    let near = near(pattern, layers).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    if near.is_empty() { problem } else { problem.hint(format!("there is {}", near.join(", "))) }
}

/// The layers whose names are most like the text, best first.
fn near<'a>(text: &str, layers: &[&'a str]) -> Vec<&'a str> {
    let most = text.chars().count().div_ceil(3).max(1);
    let distance = |name: &str| {
        let contained = name.to_lowercase().contains(&text.trim_matches('*').to_lowercase());
        if contained { 0 } else { strsim::damerau_levenshtein(text, name) }
    };
    let mut near: Vec<(usize, &str)> = layers.iter().map(|name| (distance(name), *name)).collect();
    near.retain(|(distance, _)| *distance <= most);
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, name)| name).take(MOST_NAMES).collect()
}
