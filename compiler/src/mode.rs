//! What the user lets the compiler do to the numbers.

use crate::pattern;

/// What the user lets the compiler do to the numbers; each is stricter than those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Algorithms that change the result of the plain definition within the error budget are allowed.
    #[default]
    Fast,
    /// Direct sums only, over the model's own constants.
    Strict,
    /// The plain definition to within a unit in the last place of each layer's results: what rounding takes is kept until
    /// a result is stored.
    Compensated,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 3] = [Mode::Fast, Mode::Strict, Mode::Compensated];

    /// The name users call it by.
    pub fn text(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Strict => "strict",
            Self::Compensated => "compensated",
        }
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.text() == name)
    }
}

/// A mode for the layers whose names match a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayerMode {
    /// A name, or a pattern: `*` stands for any text, `?` for one character, `[a-c]` for one of several.
    pub pattern: String,
    /// Their mode.
    pub mode: Mode,
}

/// The mode of the layer of this name, where `exceptions` hold beside the mode for all; the last that matches counts.
pub fn of_layer(all: Mode, exceptions: &[LayerMode], layer: &str) -> Mode {
    let exception = exceptions.iter().rev().find(|exception| pattern::matches(&exception.pattern, layer));
    exception.map_or(all, |exception| exception.mode)
}
