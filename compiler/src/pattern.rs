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
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let hint = match &near(pattern, layers)[..] {
        [] => {
            let (first, others) = layers.split_at(layers.len().min(MOST_NAMES));
            let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            format!("nothing is near it; the layers are {}{others}", quoted(first))
        }
        near => format!("there is {}", quoted(near)),
    };
    Diagnostic::error(format!("no layer is called `{pattern}`")).hint(hint)
}

/// The layers whose names are most like the pattern, or begin most like one that leaves the end open, best first.
fn near<'a>(pattern: &str, layers: &[&'a str]) -> Vec<&'a str> {
    let text = pattern.trim_matches('*').to_lowercase();
    let length = text.chars().count();
    let most = length.div_ceil(3).max(1);
    let distance = |name: &str| {
        let name = name.to_lowercase();
        let compared: String = if pattern.ends_with('*') { name.chars().take(length).collect() } else { name.clone() };
        if name.contains(&text) { 0 } else { strsim::damerau_levenshtein(&text, &compared) }
    };
    let mut near: Vec<(usize, &str)> = layers.iter().map(|name| (distance(name), *name)).collect();
    near.retain(|(distance, _)| *distance <= most);
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, name)| name).take(MOST_NAMES).collect()
}
