//! Which format each layer's constants are stored in, in the user's words: one for all, and exceptions by name.
//!
//! Must not know what a layer stores.

use crate::diagnostic::Diagnostic;
use crate::format::Format;
use crate::pattern;

/// A choice of format for every layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Precision {
    /// For the layers that no exception matches.
    pub all: Format,
    /// The exceptions. Where several match a layer, the last one holds.
    pub exceptions: Vec<Exception>,
}

/// A choice for the layers whose names match a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exception {
    /// A name, or a pattern: `*` stands for any text, `?` for one character, `[a-c]` for one of several.
    pub pattern: String,
    /// Their format.
    pub format: Format,
}

impl Exception {
    /// An exception for the layer of this name and no other.
    pub fn of_layer(name: &str, format: Format) -> Self {
        Self { pattern: pattern::of_name(name), format }
    }

    /// Whether it is about the layer of this name.
    pub fn matches(&self, layer: &str) -> bool {
        pattern::matches(&self.pattern, layer)
    }
}

impl Precision {
    /// One format for all layers.
    pub fn of_all(all: Format) -> Self {
        Self { all, exceptions: Vec::new() }
    }

    /// The format for the layer of this name.
    pub fn of(&self, layer: &str) -> Format {
        let exception = self.exceptions.iter().rev().find(|exception| exception.matches(layer));
        exception.map_or(self.all, |exception| exception.format)
    }

    /// Whether an exception is made for the layer.
    pub fn excepts(&self, layer: &str) -> bool {
        self.exceptions.iter().any(|exception| exception.matches(layer))
    }

    /// Every exception that matches none of these layers, or that is no pattern.
    pub fn problems(&self, layers: &[&str]) -> Vec<Diagnostic> {
        pattern::problems(self.exceptions.iter().map(|exception| exception.pattern.as_str()), layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn precision(exceptions: &[(&str, Format)]) -> Precision {
        let exception =
            |(pattern, format): &(&str, Format)| Exception { pattern: pattern.to_string(), format: *format };
        Precision { all: Format::F16, exceptions: exceptions.iter().map(exception).collect() }
    }

    #[test]
    fn the_last_exception_that_matches_holds() {
        let all = precision(&[("conv*", Format::Bf16), ("conv_3", Format::Word), ("fc[12]", Format::Word)]);
        let of = ["conv_1", "conv_3", "fc1", "fc3"].map(|layer| all.of(layer));
        assert_eq!(of, [Format::Bf16, Format::Word, Format::Word, Format::F16]);
    }

    #[test]
    fn names_with_signs_of_patterns_are_names_too() {
        assert_eq!(precision(&[("a[0]", Format::Word)]).of("a[0]"), Format::Word);
    }

    #[test]
    fn a_layer_can_be_named_whatever_it_is_called() {
        let all = Precision { all: Format::F16, exceptions: vec![Exception::of_layer("a[0]*", Format::Word)] };
        assert_eq!(["a[0]*", "a0", "a[0]b"].map(|layer| all.of(layer)), [Format::Word, Format::F16, Format::F16]);
        assert_eq!(all.excepts("a[0]*"), !all.excepts("a0"));
        assert_eq!(Exception::of_layer("head/fc_1", Format::Word).pattern, "head/fc_1");
    }

    #[test]
    fn what_matches_nothing_is_a_problem() {
        let all = precision(&[
            ("cnov_1", Format::Word),
            ("fc*", Format::Word),
            ("x**y", Format::Word),
            ("q", Format::Word),
            ("cnov*", Format::Word),
        ]);
        let problems = all.problems(&["conv_1", "conv_2", "pool", "head/conv_1"]);
        let text = problems.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(text, @r"
        error: no layer is called `cnov_1`
          help: there is `conv_1`, `conv_2`
        error: no layer is called `fc*`
          help: nothing is near it; the layers are `conv_1`, `conv_2`, `pool` and 1 more
        error: `x**y` is no pattern of layer names: recursive wildcards must form a single path component
          help: `*` stands for any text, `?` for one character, `[a-c]` for one of several
        error: no layer is called `q`
          help: nothing is near it; the layers are `conv_1`, `conv_2`, `pool` and 1 more
        error: no layer is called `cnov*`
          help: there is `conv_1`, `conv_2`
        ");
    }
}
