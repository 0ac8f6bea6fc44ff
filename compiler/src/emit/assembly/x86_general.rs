//! x86-64: general registers, memory operands, the stack frame.

use super::allocate::Allocated;
use super::lower::Lower;
use super::machine::{Base, Class, Instruction, Memory, Operand, Register};
use super::x86::{View, X86, register, takes_memory};
use super::x86_opcode::Opcode;

const STACK: Register = Register { class: Class::General, number: 4 };
/// Free at entry and exit: neither an argument nor to be saved.
const FREE: Register = Register { class: Class::General, number: 0 };
/// rbx, rbp, r12 to r15 (System V psABI, 3.2.1).
const SAVED: [usize; 6] = [3, 5, 12, 13, 14, 15];
/// The spill area is aligned for the widest vectors.
const FRAME_ALIGNMENT: usize = 64;

fn quad(of: Register) -> Operand<View> {
    register(of, View::Quad)
}

/// The instruction and view that move a register of a class to and from memory.
pub fn transfer(class: Class, full: View) -> (Opcode, View) {
    match class {
        Class::General => (Opcode::Mov, View::Quad),
        Class::Vector => (Opcode::Vmovups, full),
        Class::Mask => (Opcode::Kmovw, View::Mask),
    }
}

/// The instruction with memory in place of a register, if it has such a form.
pub fn fold(
    instruction: &Instruction<X86>,
    operand: usize,
    memory: Memory,
    wide: bool,
    bytes: fn(View) -> usize,
) -> Option<Instruction<X86>> {
    let has_memory = instruction.operands.iter().any(|operand| matches!(operand, Operand::Memory(_)));
    if has_memory || !takes_memory(instruction, operand, wide) {
        return None;
    }
    let Operand::Register(_, view) = instruction.operands[operand] else { return None };
    // Where there is only one word for a vector, it is for every lane.
    let memory = match memory.bytes >= bytes(view) {
        true => Memory { bytes: bytes(view), ..memory },
        false if wide && memory.bytes == 4 => Memory { broadcast: Some(bytes(view) / 4), ..memory },
        false => return None,
    };
    let mut folded = instruction.clone();
    folded.operands[operand] = Operand::Memory(memory);
    Some(folded)
}

/// `to = number`.
pub fn set(lower: &mut Lower<X86>, to: Register, number: i64) {
    let opcode = if i32::try_from(number).is_ok() { Opcode::Mov } else { Opcode::MovAbs };
    lower.emit(opcode, vec![quad(to), Operand::Immediate(number)]);
}

/// `to += number`.
pub fn advance(lower: &mut Lower<X86>, to: Register, number: i64) {
    if i32::try_from(number).is_ok() {
        return lower.emit(Opcode::Add, vec![quad(to), Operand::Immediate(number)]);
    }
    let distance = lower.register(Class::General);
    set(lower, distance, number);
    lower.emit(Opcode::Add, vec![quad(to), quad(distance)]);
}

/// `to = from * number`.
pub fn multiply(lower: &mut Lower<X86>, to: Register, from: Register, number: i64) {
    assert!(i32::try_from(number).is_ok(), "a stride of more than 2 GB");
    lower.emit(Opcode::Imul, vec![quad(to), quad(from), Operand::Immediate(number)]);
}

/// All ones when `0 <= from < extent`: one unsigned comparison, whose borrow is spread over a word.
pub fn within(lower: &mut Lower<X86>, to: Register, from: Register, extent: i64) {
    let (word, limit) = (lower.register(Class::General), lower.register(Class::General));
    set(lower, word, 0);
    set(lower, limit, extent.max(0));
    lower.emit(Opcode::Cmp, vec![quad(from), quad(limit)]);
    lower.emit(Opcode::Sbb, vec![register(word, View::Word), Operand::Immediate(0)]);
    lower.emit(Opcode::Vmovd, vec![register(to, View::Xmm), register(word, View::Word)]);
}

/// The whole function: saved registers, the spill area, the code, and back.
pub fn frame(allocated: Allocated<X86>) -> Vec<Instruction<X86>> {
    let mut code: Vec<Instruction<X86>> = Vec::new();
    let mut emit = |opcode, operands| code.push(Instruction { opcode, operands, depth: 0 });
    let is_saved = |used: &&Register| used.class == Class::General && SAVED.contains(&used.number);
    let saved: Vec<Register> = allocated.used.iter().filter(is_saved).copied().collect();
    let frame = allocated.frame_bytes.next_multiple_of(FRAME_ALIGNMENT);
    let caller = Operand::Memory(Memory::new(Base::Frame, frame as i64, 8));
    saved.iter().for_each(|saved| emit(Opcode::Push, vec![quad(*saved)]));
    if frame > 0 {
        emit(Opcode::Mov, vec![quad(FREE), quad(STACK)]);
        emit(Opcode::Sub, vec![quad(STACK), Operand::Immediate((frame + FRAME_ALIGNMENT) as i64)]);
        emit(Opcode::And, vec![quad(STACK), Operand::Immediate(-(FRAME_ALIGNMENT as i64))]);
        emit(Opcode::Mov, vec![caller, quad(FREE)]);
    }
    code.extend(allocated.code);
    let mut emit = |opcode, operands| code.push(Instruction { opcode, operands, depth: 0 });
    if frame > 0 {
        emit(Opcode::Mov, vec![quad(STACK), caller]);
    }
    saved.iter().rev().for_each(|saved| emit(Opcode::Pop, vec![quad(*saved)]));
    emit(Opcode::Vzeroupper, vec![]);
    emit(Opcode::Ret, vec![]);
    code
}
