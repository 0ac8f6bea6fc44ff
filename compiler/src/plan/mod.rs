//! What is computed, to the bit: a graph and, for each operation, the numerics that its mathematics leaves open.
//!
//! Owns the order of every sum, the format in which every constant is stored, corrections of biases, and the text form of a
//! plan. The interpreters here define the truth: compiled code equals [`interpret`] bit for bit, and [`interpret_real`] is what
//! errors are measured against. Must not know vector widths, caches or targets.

mod arithmetic;
mod batch;
mod bounded;
mod correction;
mod describe;
mod interpret;
mod nest;
mod partial;
mod print;
mod routines;
mod storage;
mod vectorised;
mod verify;
pub mod winograd;

pub use arithmetic::{Arithmetic, Reals, Words};
pub use bounded::{Bounded, Bounds};
pub use correction::{Correction, Narrowed};
pub use interpret::{Interpreter, RealValue, Value, interpret, interpret_real, interpret_with};

pub use crate::mode::Mode;
pub use storage::{Formats, Overflow, storable};

use crate::format::Format;
use crate::graph::{Combine, Graph, Operation, Reduction, Source, TensorId};
use winograd::Winograd;

/// Channels of one block of a contraction's chain. Activations are laid out in blocks of 16 channels on every target
/// (one AVX-512 register, two of AVX2, four of NEON), so a kernel walks a block's channels innermost for free.
pub const CHANNEL_BLOCK: usize = 16;

/// Partial results of a long reduction: one AVX-512 register of floats; narrower machines hold them in two or four.
pub const LANES: usize = 16;

/// Terms up to which a reduction stays one chain. Below four rounds of [`LANES`] the final tree costs more than it saves.
pub const LONGEST_CHAIN: usize = 64;

/// In which order the terms of a reduction come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// One after the other: blocks of `block` iterations of the first axis outermost, then the other axes in order, then
    /// the iteration within the block. A block of 1 is the order of the axes.
    Chain {
        /// Iterations of the first axis in a block; the last block may be shorter.
        block: usize,
    },
    /// Term number `i`, row-major over the axes, goes to lane `i` modulo the number of lanes, a power of two. Every lane
    /// begins with the start. At the end lane `j` takes lane `j + n/2` as a term for each `j < n/2`, then the same with
    /// half as many lanes, down to one.
    Lanes(usize),
}

/// How one operation is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Numerics {
    /// Nothing is open: every element is one expression, or a routine with a definition of its own.
    Plain,
    /// A reduction term by term in this order.
    Direct(Order),
    /// A convolution by tiles.
    Winograd(Winograd),
}

/// A network with its numerics.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What is computed.
    pub graph: Graph,
    /// How, for each operation of the graph.
    pub numerics: Vec<Numerics>,
    /// How the elements of each tensor of the graph are stored. A constant holds only what its format can; what is computed
    /// is rounded when it is stored.
    pub formats: Vec<Format>,
    /// What the formats of constants have no room for.
    pub overflows: Vec<Overflow>,
    /// What the user allowed.
    pub mode: Mode,
}

impl Plan {
    /// Fixes the numerics of a graph, everything being stored in words.
    pub fn new(graph: Graph, mode: Mode) -> Self {
        Self::with_storage(graph, mode, &Formats::default())
    }

    /// Fixes the numerics of a graph whose layers store so. Constants are rounded here, once, after whatever has been folded
    /// into them.
    pub fn with_storage(mut graph: Graph, mode: Mode, layers: &Formats) -> Self {
        let (formats, overflows) = storage::store(&mut graph, layers);
        let numerics = graph.operations.iter().map(|operation| choose(&graph, &formats, operation, mode)).collect();
        let plan = Self { graph, numerics, formats, overflows, mode };
        plan.verify();
        plan
    }

    /// Whether a constant, or something that is computed, is stored narrow.
    pub fn stores_narrow(&self, constant: bool) -> bool {
        let tensors = (0..self.formats.len()).map(TensorId).filter(|id| self.formats[id.0].is_narrow());
        tensors.into_iter().any(|id| self.graph.constant(id).is_some() == constant)
    }

    /// The names of the activations that are rounded to a format when they are stored.
    pub fn rounded_to(&self, format: Format) -> Vec<&str> {
        let tensors =
            self.graph.tensors.iter().zip(&self.formats).filter(|(tensor, _)| tensor.source == Source::Computed);
        let rounded = tensors.filter(|(_, of)| format.is_narrow() && **of == format);
        rounded.map(|(tensor, _)| tensor.name.as_str()).collect()
    }

    /// The same plan with every convolution by its direct sum; nothing where all are.
    pub fn without_algorithms(&self) -> Option<Self> {
        let by_algorithm = |numerics: &Numerics| match numerics {
            Numerics::Winograd(_) => true,
            Numerics::Plain | Numerics::Direct(_) => false,
        };
        let numerics = || self.graph.operations.iter().map(direct).collect();
        self.numerics.iter().any(by_algorithm).then(|| Self { numerics: numerics(), ..self.clone() })
    }
}

/// The numerics of an operation that the mode allows. Constants that are stored narrow are multiplied as they are stored.
fn choose(graph: &Graph, formats: &[Format], operation: &Operation, mode: Mode) -> Numerics {
    let narrow = |tensor: &TensorId| graph.constant(*tensor).is_some() && formats[tensor.0].is_narrow();
    let narrow = operation.reads().iter().any(narrow);
    let algorithm = match (mode.max(graph.mode_of(operation.name())), operation) {
        (Mode::Fast, Operation::Nest(nest)) if !narrow => Winograd::choose(graph, nest),
        (Mode::Fast | Mode::Strict | Mode::Compensated, _) => None,
    };
    algorithm.map_or_else(|| direct(operation), Numerics::Winograd)
}

/// The numerics of an operation by its plain definition.
fn direct(operation: &Operation) -> Numerics {
    match operation {
        Operation::Nest(nest) => match &nest.reduction {
            Some(reduction) => Numerics::Direct(order(reduction)),
            None => Numerics::Plain,
        },
        Operation::Routine(_) => Numerics::Plain,
    }
}

fn order(reduction: &Reduction) -> Order {
    match reduction.combine {
        Combine::FusedSum => Order::Chain { block: CHANNEL_BLOCK },
        Combine::Sum | Combine::Product | Combine::Maximum | Combine::Minimum => {
            let terms: usize = reduction.axes.iter().map(|axis| axis.extent).product();
            if terms <= LONGEST_CHAIN { Order::Chain { block: 1 } } else { Order::Lanes(LANES) }
        }
    }
}

#[cfg(test)]
mod tests;
