//! A program: kernels, the calls in order, one arena, packed constants.

use super::Kernel;
use std::sync::Arc;

/// Everything one network needs on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The kernels, each different from all others but for its name.
    pub kernels: Vec<Kernel>,
    /// The calls, in order.
    pub steps: Vec<Step>,
    /// Words of the arena; it is aligned to 64 bytes and holds anything before the first call.
    pub arena_words: usize,
    /// The packed constants, aligned to 64 bytes; the same for every target.
    pub constants: Arc<[u32]>,
    /// What the caller gives.
    pub inputs: Vec<Port>,
    /// What the caller gets.
    pub outputs: Vec<Port>,
}

/// An input or output: dense, row-major words, wherever the caller wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The blob's name.
    pub name: String,
    /// Extents, outermost first; of an output whose size depends on the data, the largest possible.
    pub shape: Vec<usize>,
    /// For such an output, the number of the output (after those of the model) that holds its actual extents.
    pub extents: Option<usize>,
    /// Whether the words are integers rather than floats.
    pub integer: bool,
}

/// A call of a kernel with all its tasks. Every step waits for the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The layer it carries out, or what it does for one.
    pub name: String,
    /// How, for readers: what is computed together, the tasks, what is read and written and how that lies in memory.
    pub how: String,
    /// Which kernel, as a position in [`Program::kernels`].
    pub kernel: usize,
    /// What its buffers are.
    pub arguments: Vec<Argument>,
}

/// Where a buffer lies; offsets are in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// In the arena.
    Arena(usize),
    /// Among the constants.
    Constants(usize),
    /// The caller's input with this number.
    Input(usize),
    /// The caller's output with this number.
    Output(usize),
}
