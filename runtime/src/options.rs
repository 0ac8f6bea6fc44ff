//! What can be chosen when a network is made ready to run.

use crate::InstructionSet;

/// How a network runs. Nothing here changes a bit of what it computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub(crate) threads: usize,
    pub(crate) instruction_set: Option<InstructionSet>,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, instruction_set: None }
    }
}

impl Options {
    /// One thread, the best instruction set the machine has.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many threads, the caller's own included; where the system doesn't start so many, those that it does. Without
    /// the feature `std` there is always one.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// This instruction set instead of the best one.
    #[must_use]
    pub fn instruction_set(self, instruction_set: InstructionSet) -> Self {
        Self { instruction_set: Some(instruction_set), ..self }
    }
}
