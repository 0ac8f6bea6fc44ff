//! What the user lets the compiler do to the numbers.

/// What the user lets the compiler do to the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Algorithms that change the result of the plain definition within the error budget are allowed.
    #[default]
    Fast,
    /// Direct sums only, over the model's own constants.
    Strict,
}
