//! Programs in a small structured vector language: what every back end emits.
//!
//! A [`Kernel`] is a loop nest over buffers of elements, with vectors of a fixed number of 32-bit lanes; what is stored in a
//! narrower format is widened when it is loaded and rounded when it is stored, and computed with in 32 bits; sums of what is
//! exact in double precision can be held in it. A [`Program`] is the kernels, the calls in order, one arena and the packed
//! constants. Owns the language, its text, its interpreter and its verifier. Must not know networks, nor which emitter follows.

mod builder;
mod interpret;
mod print;
mod program;
mod verify;
mod verify_program;

pub use builder::Builder;
pub use interpret::{interpret_kernel, interpret_program, interpret_program_with};
pub use program::{Argument, Callee, Custom, CustomFunction, Port, Program, Step};

use crate::format::Format;
use crate::instruction::Instruction;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// As many 32-bit words as the kernel has lanes.
    Vector,
    /// One 32-bit word.
    Scalar,
    /// Half as many 64-bit floats as the kernel has lanes: they take as much room as a vector.
    Doubles,
    /// One 64-bit float.
    Double,
    /// A signed 64-bit integer: loop counters and positions.
    Index,
}

/// A value; assigned once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// A variable; assigned often, never an index. Accumulators are variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariableId(pub usize);

/// A buffer: one of the kernel's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// An argument of a kernel: a run of elements in memory, aligned to 64 bytes unless it is the caller's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Its name in printed kernels: `input`, `weight`.
    pub name: String,
    /// Its length in elements. No access goes beyond it; the verifier shows it.
    pub elements: usize,
    /// How its elements are stored.
    pub format: Format,
    /// Whether the kernel may write it. A writable buffer overlaps no other one.
    pub writable: bool,
}

/// An element, or the first element of a vector: `buffer[offset + sum of index * stride]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Which buffer.
    pub buffer: BufferId,
    /// Indices with their strides in elements.
    pub terms: Vec<(ValueId, i64)>,
    /// A constant number of elements.
    pub offset: i64,
}

/// A kernel: `for task in begin..end { body }`, where the caller chooses `begin` and `end`; tasks are independent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// What it does, in the names of the network it was first needed for.
    pub name: String,
    /// Words in a vector.
    pub lanes: usize,
    /// The arguments.
    pub buffers: Vec<Buffer>,
    /// How many tasks there are.
    pub tasks: usize,
    /// The number of the task at hand, an index.
    pub task: ValueId,
    /// The type of every value.
    pub values: Vec<Type>,
    /// The type of every variable.
    pub variables: Vec<Type>,
    /// What is done for one task.
    pub body: Vec<Statement>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    /// Gives a value its meaning.
    Let(ValueId, Op),
    /// Assigns a variable.
    Set(VariableId, ValueId),
    /// Stores a vector or a scalar, rounded to the buffer's format.
    Store(Address, ValueId),
    /// Runs the body with `index` from 0 up to `extent`, known now.
    For {
        /// The loop counter, an index.
        index: ValueId,
        /// Iterations, at least one.
        extent: usize,
        /// What is done.
        body: Vec<Statement>,
    },
    /// Runs the body as long as the scalar that `test` computes is not zero.
    While {
        /// Computes the condition.
        test: Vec<Statement>,
        /// A scalar defined by `test`.
        condition: ValueId,
        /// What is done.
        body: Vec<Statement>,
    },
    /// Runs one body or the other.
    If {
        /// A scalar: zero is false.
        condition: ValueId,
        /// What is done when it is true.
        then: Vec<Statement>,
        /// What is done when it is false.
        otherwise: Vec<Statement>,
    },
    /// Brings a line of 64 bytes into the second-level cache; may lie beyond the buffer, and does nothing else.
    Prefetch(Address),
}

/// How a value is made. Vector and scalar forms are told apart by the value's type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The word in every lane.
    Constant(u32),
    /// Elements in sequence from memory, widened.
    Load(Address),
    /// One element from memory in every lane, widened; vectors only.
    Broadcast(Address),
    /// A scalar in every lane; vectors only.
    Splat(ValueId),
    /// An instruction of the table, lane by lane; operands have the type of the result.
    Apply(Instruction, Vec<ValueId>),
    /// What a variable holds now.
    Get(VariableId),
    /// Lane `i` gets lane `i + distance` of the operand, counted round; vectors and doubles.
    Rotate(ValueId, usize),
    /// Lane 0: of a vector as a scalar, of doubles as a double.
    First(ValueId),
    /// The floats of this half of a vector's lanes, exactly, as doubles; of a scalar, of which there is but half 0, a double.
    Widen(ValueId, usize),
    /// `a * b + c` in double precision. `a` and `b` are widened floats, so that their product is exact and fused arithmetic
    /// has the same bits as any other.
    MultiplyAdd([ValueId; 3]),
    /// `a + b` in double precision.
    AddDoubles([ValueId; 2]),
    /// The nearest floats: of two halves a vector, of one double a scalar.
    Narrow(Vec<ValueId>),
    /// A fixed index.
    IndexConstant(i64),
    /// A sum of indices times constants, and a constant.
    IndexSum(Vec<(ValueId, i64)>, i64),
    /// A scalar's word as a signed integer.
    IndexFrom(ValueId),
    /// An index's low 32 bits as a scalar.
    ScalarFrom(ValueId),
    /// Whether `0 <= index < extent`: a scalar, all ones or zero.
    IndexWithin(ValueId, i64),
}

impl Type {
    /// Words in a lane of a value.
    pub fn lane_words(self) -> usize {
        match self {
            Self::Doubles | Self::Double => 2,
            Self::Vector | Self::Scalar | Self::Index => 1,
        }
    }

    /// The type of sums in double precision of values of this type, and how many such sums they fill.
    pub fn sums(self) -> (Self, usize) {
        match self {
            Self::Vector => (Self::Doubles, 2),
            Self::Scalar => (Self::Double, 1),
            Self::Doubles | Self::Double | Self::Index => unreachable!("only words are widened"),
        }
    }
}

impl Buffer {
    /// Words of memory it takes.
    pub fn words(&self) -> usize {
        self.format.words(self.elements)
    }
}

impl Kernel {
    /// The same kernel without any names: two that are equal so do the same.
    pub fn anonymous(&self) -> Self {
        let mut kernel = self.clone();
        kernel.name.clear();
        kernel.buffers.iter_mut().for_each(|buffer| buffer.name.clear());
        kernel
    }
}
