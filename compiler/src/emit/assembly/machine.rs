//! Machine instructions as data, and what the shared stages ask of an architecture.
//!
//! Selection writes virtual registers, allocation replaces them; the printer (or an encoder) reads the result. Must not
//! know any architecture.

use super::allocate::Allocated;
use super::lower::Lower;
use crate::format::Format;
use crate::instruction::Instruction as Arithmetic;
use crate::kernel::{Type, ValueId};
use std::fmt::Debug;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Pointers, counters and indices.
    General,
    /// Vectors; scalars are their lane 0.
    Vector,
    /// One bit per lane (AVX-512).
    Mask,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 3] = [Class::General, Class::Vector, Class::Mask];
}

/// A register: virtual before allocation (numbers are unique over all classes), the machine's own after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register {
    /// Its class.
    pub class: Class,
    /// Its number.
    pub number: usize,
}

/// Where an address starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// At what a register holds.
    Register(Register),
    /// At the spill area.
    Frame,
    /// At the kernel's literal pool.
    Pool,
}

/// A place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Where it starts.
    pub base: Base,
    /// A register to add, times 1, 2, 4 or 8.
    pub index: Option<(Register, u8)>,
    /// Bytes to add.
    pub displacement: i64,
    /// Bytes accessed.
    pub bytes: usize,
    /// Lanes the word is repeated in, for an operand with embedded broadcast.
    pub broadcast: Option<usize>,
}

impl Memory {
    /// `bytes` bytes at a base.
    pub fn new(base: Base, displacement: i64, bytes: usize) -> Self {
        Self { base, index: None, displacement, bytes, broadcast: None }
    }
}

/// An operand. `V` is the architecture's view of a register: its width, lanes or element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand<V> {
    /// A register, seen in some width.
    Register(Register, V),
    /// A place in memory.
    Memory(Memory),
    /// A number.
    Immediate(i64),
    /// A position in the code.
    Label(usize),
}

/// A machine instruction, or the definition of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction<M: Machine> {
    /// What it does.
    pub opcode: M::Opcode,
    /// What it does it to; the destination first.
    pub operands: Vec<Operand<M::View>>,
    /// How many loops it stands in: the weight of its operands in allocation.
    pub depth: u32,
}

/// What an instruction does to its first operand; all others are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Only written.
    Write,
    /// Read and written.
    Update,
    /// Only read.
    Read,
}

/// Where execution goes after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next one.
    Next,
    /// To the next one; a label stands here.
    Label,
    /// To the label, or to the next one.
    Branch,
    /// To the label.
    Jump,
}

/// What an access does, for the addresses it can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads or stores so many bytes.
    Bytes(usize),
    /// Prefetches.
    Prefetch,
}

/// An architecture: its instructions, registers and selection.
pub trait Machine: Copy + Debug + PartialEq + Sized {
    /// The instructions used.
    type Opcode: Copy + Debug + PartialEq;
    /// How a register operand is seen.
    type View: Copy + Debug + PartialEq;

    /// Words of one vector.
    fn lanes(&self) -> usize;
    /// Words of one entry of the literal pool: a constant is repeated so often.
    fn pool_words(&self) -> usize;
    /// The registers to allocate, best first.
    fn registers(&self, class: Class) -> &'static [usize];
    /// The registers in which a kernel finds its three arguments.
    fn arguments(&self) -> [usize; 3];
    /// Where execution goes.
    fn flow(opcode: Self::Opcode) -> Flow;
    /// What happens to the first operand.
    fn role(opcode: Self::Opcode) -> Role;

    /// Whether an address can hold this displacement.
    fn reaches(&self, access: Access, displacement: i64) -> bool;
    /// Whether an address can hold an index register, times this scale.
    fn scales(&self, scale: i64) -> bool;

    /// Whether the instruction only copies its second operand, a register, to the first.
    fn is_copy(instruction: &Instruction<Self>) -> bool;
    /// A copy between registers of one class.
    fn copy(&self, to: Register, from: Register) -> Instruction<Self>;
    /// A register set to the word in every lane; reads nothing but the pool.
    fn constant(&self, to: Register, bits: u32, place: Memory) -> Instruction<Self>;
    /// A whole register read from the spill area.
    fn reload(&self, to: Register, from: Memory) -> Instruction<Self>;
    /// A whole register written to the spill area.
    fn spill(&self, to: Memory, from: Register) -> Instruction<Self>;
    /// The instruction with a register operand replaced by the memory that holds it, if there is such a form.
    fn fold(&self, instruction: &Instruction<Self>, operand: usize, memory: Memory) -> Option<Instruction<Self>>;

    /// An instruction of the table, lane by lane.
    fn apply(lower: &mut Lower<Self>, ty: Type, to: Register, instruction: Arithmetic, operands: &[ValueId]);
    /// Whether a comparison used only to select can stay in a mask register.
    fn masks(&self) -> bool;
    /// Half of a vector's lanes, or a scalar, in double precision.
    fn widen(lower: &mut Lower<Self>, ty: Type, to: Register, from: ValueId, half: usize);
    /// `to += a * b` in double precision, where the product is exact; `to` is neither `a` nor `b`.
    fn multiply_add(lower: &mut Lower<Self>, ty: Type, to: Register, a: Register, b: Register);
    /// `a + b` in double precision.
    fn add_doubles(lower: &mut Lower<Self>, ty: Type, to: Register, a: Register, b: Register);
    /// Both halves of a vector, or one double, as the nearest floats.
    fn narrow(lower: &mut Lower<Self>, to: Register, halves: &[Register]);
    /// Lane `i` gets lane `i + distance`, counted round; `distance` is below the number of lanes and not zero.
    fn rotate(lower: &mut Lower<Self>, to: Register, from: Register, distance: usize);
    /// Lane 0 in every lane.
    fn splat(lower: &mut Lower<Self>, to: Register, from: Register);
    /// Elements from memory, widened.
    fn load(lower: &mut Lower<Self>, ty: Type, to: Register, from: Memory, format: Format);
    /// One element from memory in every lane, widened.
    fn broadcast(lower: &mut Lower<Self>, to: Register, from: Memory, format: Format);
    /// Elements to memory, rounded.
    fn store(lower: &mut Lower<Self>, ty: Type, to: Memory, from: Register, format: Format);
    /// A line of memory into the second-level cache.
    fn prefetch(lower: &mut Lower<Self>, memory: Memory);

    /// A general register set to a number.
    fn set(lower: &mut Lower<Self>, to: Register, number: i64);
    /// A number added to a general register.
    fn advance(lower: &mut Lower<Self>, to: Register, number: i64);
    /// A general register added to another.
    fn add(lower: &mut Lower<Self>, to: Register, from: Register);
    /// A general register subtracted from another.
    fn subtract(lower: &mut Lower<Self>, to: Register, from: Register);
    /// A general register times a number.
    fn multiply(lower: &mut Lower<Self>, to: Register, from: Register, number: i64);
    /// A pointer read from memory.
    fn pointer(lower: &mut Lower<Self>, to: Register, from: Memory);
    /// A scalar as an index.
    fn index_from(lower: &mut Lower<Self>, to: Register, from: Register);
    /// An index as a scalar.
    fn scalar_from(lower: &mut Lower<Self>, to: Register, from: Register);
    /// Whether `0 <= index < extent`, as a scalar.
    fn within(lower: &mut Lower<Self>, to: Register, from: Register, extent: i64);

    /// Code that saves what must be saved, makes room for the spill area, and goes back at the end.
    fn frame(&self, allocated: Allocated<Self>) -> Vec<Instruction<Self>>;
    /// The lines of assembly text of a finished kernel.
    fn print(&self, code: &[Instruction<Self>], pool: &[u32]) -> Vec<String>;

    /// The definition of a label.
    fn label(lower: &mut Lower<Self>, label: usize);
    /// A jump.
    fn jump(lower: &mut Lower<Self>, label: usize);
    /// A jump when a scalar is zero.
    fn jump_if_zero(lower: &mut Lower<Self>, scalar: Register, label: usize);
    /// A jump when a general register, just subtracted from, is not above zero.
    fn jump_unless_positive(lower: &mut Lower<Self>, register: Register, label: usize);
    /// One subtracted from a general register, and a jump when that does not give zero.
    fn count_down(lower: &mut Lower<Self>, register: Register, label: usize);
    /// One added to a general register, and a jump when that does not give the extent.
    fn count_up(lower: &mut Lower<Self>, register: Register, extent: i64, label: usize);
}

impl<M: Machine> Instruction<M> {
    /// Calls back with every register that is read.
    pub fn reads(&self, mut each: impl FnMut(Register)) {
        for (position, operand) in self.operands.iter().enumerate() {
            match operand {
                Operand::Register(register, _) => {
                    if position > 0 || M::role(self.opcode) != Role::Write {
                        each(*register);
                    }
                }
                Operand::Memory(memory) => {
                    if let Base::Register(base) = memory.base {
                        each(base);
                    }
                    if let Some((index, _)) = memory.index {
                        each(index);
                    }
                }
                Operand::Immediate(_) | Operand::Label(_) => {}
            }
        }
    }

    /// The register that is written.
    pub fn writes(&self) -> Option<Register> {
        match self.operands.first() {
            Some(Operand::Register(register, _)) if M::role(self.opcode) != Role::Read => Some(*register),
            Some(_) | None => None,
        }
    }

    /// The instruction writing to another register.
    pub fn with_destination(&self, to: Register) -> Self {
        let mut changed = self.clone();
        if let Some(Operand::Register(register, _)) = changed.operands.first_mut() {
            *register = to;
        }
        changed
    }

    /// The label it defines or jumps to.
    pub fn label(&self) -> Option<usize> {
        self.operands.iter().find_map(|operand| match operand {
            Operand::Label(label) => Some(*label),
            Operand::Register(..) | Operand::Memory(_) | Operand::Immediate(_) => None,
        })
    }

    /// Replaces every register.
    pub fn rename(&mut self, mut rename: impl FnMut(Register) -> Register) {
        for operand in &mut self.operands {
            match operand {
                Operand::Register(register, _) => *register = rename(*register),
                Operand::Memory(memory) => {
                    if let Base::Register(base) = &mut memory.base {
                        *base = rename(*base);
                    }
                    if let Some((index, _)) = &mut memory.index {
                        *index = rename(*index);
                    }
                }
                Operand::Immediate(_) | Operand::Label(_) => {}
            }
        }
    }
}
