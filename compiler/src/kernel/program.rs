//! A program: kernels, the calls in order, one arena, packed constants.

use super::{Buffer, Kernel};
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
    /// The packed constants, aligned to 64 bytes; the same for every target. Whatever they are, no access leaves its buffer.
    pub constants: Arc<[u32]>,
    /// Positions that kernels look up and trust, aligned to 64 bytes; the same for every target. They are always a part of
    /// the program, even where the constants are not.
    pub tables: Arc<[u32]>,
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

/// A call of a kernel with all its tasks, or of a function. Every step waits for the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The layer it carries out, or what it does for one.
    pub name: String,
    /// How, for readers: what is computed together, the tasks, what is read and written and how that lies in memory.
    pub how: String,
    /// What is called.
    pub callee: Callee,
    /// What its buffers are.
    pub arguments: Vec<Argument>,
}

/// What a step calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// The kernel at this position in [`Program::kernels`].
    Kernel(usize),
    /// A function of the user's.
    Custom(Custom),
}

/// The function itself, where it can be called: it gets what it reads and fills what it writes, whatever that held before.
pub type CustomFunction<'f> = &'f dyn Fn(&[&[f32]], &mut [&mut [f32]]);

/// A call of a function of the user's, which takes dense floats in row-major order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// Its number among those the user gave.
    pub function: usize,
    /// What it reads, then what it writes.
    pub buffers: Vec<Buffer>,
}

impl Program {
    /// The buffers that a step wants as its arguments.
    pub fn buffers<'a>(&'a self, step: &'a Step) -> &'a [Buffer] {
        match &step.callee {
            Callee::Kernel(kernel) => &self.kernels[*kernel].buffers,
            Callee::Custom(custom) => &custom.buffers,
        }
    }
}

/// Where a buffer lies; offsets are in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// In the arena.
    Arena(usize),
    /// Among the constants.
    Constants(usize),
    /// Among the tables.
    Tables(usize),
    /// The caller's input with this number.
    Input(usize),
    /// The caller's output with this number.
    Output(usize),
}
