//! Instruction selection for aarch64 with NEON.
//!
//! Scalars are lane 0 of vectors and computed by vector instructions: what the other lanes hold never matters.

use super::aarch64_text::{self, Opcode};
use super::allocate::Allocated;
use super::lower::Lower;
use super::machine::{Access, Base, Class, Flow, Instruction, Machine, Memory, Operand, Register, Role};
use crate::format::Format;
use crate::instruction::Instruction as Arithmetic;
use crate::kernel::{Type, ValueId};

/// aarch64 with NEON, 4 lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aarch64;

/// How a register is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// 32 bits of a general register.
    W,
    /// A general register.
    X,
    /// The low half of lane 0 of a vector register.
    H,
    /// Lane 0.
    S,
    /// The low half of the register.
    D,
    /// All of it, in memory.
    Q,
    /// Sixteen bytes.
    Bytes,
    /// Four words.
    Words,
    /// Four elements of 16 bits.
    Halves,
    /// Two words, in the low half.
    WordPair,
    /// Two double words.
    Doubles,
    /// Lane 0, repeated.
    Element,
}

const STACK: Register = Register { class: Class::General, number: 31 };
/// The largest immediate of an addition, which may also stand 12 bits higher.
const ADD_LIMIT: i64 = 1 << 12;

type Code<'a, 'k> = &'a mut Lower<'k, Aarch64>;

fn x(of: Register) -> Operand<View> {
    Operand::Register(of, View::X)
}

fn words(of: Register) -> Operand<View> {
    Operand::Register(of, View::Words)
}

fn word_pair(of: Register) -> Operand<View> {
    Operand::Register(of, View::WordPair)
}

fn doubles(of: Register) -> Operand<View> {
    Operand::Register(of, View::Doubles)
}

fn as_bytes(of: Register) -> Operand<View> {
    Operand::Register(of, View::Bytes)
}

/// `to = a op b` on words.
fn binary(lower: Code, to: Register, opcode: Opcode, a: ValueId, b: ValueId) {
    let (a, b) = (lower.value(a), lower.value(b));
    lower.emit(opcode, vec![words(to), words(a), words(b)]);
}

/// `to = a op b` on bits.
fn bitwise(lower: Code, to: Register, opcode: Opcode, operands: &[ValueId]) {
    let (a, b) = (lower.value(operands[0]), lower.value(operands[1]));
    lower.emit(opcode, vec![as_bytes(to), as_bytes(a), as_bytes(b)]);
}

fn unary(lower: Code, to: Register, opcode: Opcode, a: ValueId) {
    let a = lower.value(a);
    lower.emit(opcode, vec![words(to), words(a)]);
}

/// `to = a * b + c`; a factor still in memory and the same in all lanes becomes an element.
fn fused(lower: Code, to: Register, operands: &[ValueId]) {
    let element = lower.element(operands[1]).map(|element| (operands[0], element));
    let element = element.or_else(|| lower.element(operands[0]).map(|element| (operands[1], element)));
    let (a, b) = match element {
        Some((factor, element)) => (lower.value(factor), Operand::Register(element, View::Element)),
        None => (lower.value(operands[0]), words(lower.value(operands[1]))),
    };
    let is_factor = matches!(b, Operand::Register(b, _) if b == to) || a == to;
    let in_place = lower.held(operands[2]) == Some(to);
    let place = if is_factor && !in_place { lower.register(Class::Vector) } else { to };
    lower.assign(place, operands[2]);
    lower.emit(Opcode::Fmla, vec![words(place), words(a), b]);
    lower.copy(to, place);
}

/// `a` where the mask, a fresh register, is set, `b` elsewhere.
fn choose(lower: Code, to: Register, mask: Register, a: ValueId, b: ValueId) {
    let (a, b) = (lower.value(a), lower.value(b));
    lower.emit(Opcode::Bsl, vec![as_bytes(mask), as_bytes(a), as_bytes(b)]);
    lower.copy(to, mask);
}

/// `a` if it is greater (`Fcmgt a, b`) or less, `b` otherwise.
fn extremum(lower: Code, to: Register, operands: &[ValueId], greater: bool) {
    let mask = lower.register(Class::Vector);
    let (a, b) = (operands[0], operands[1]);
    let (high, low) = if greater { (a, b) } else { (b, a) };
    binary(lower, mask, Opcode::Fcmgt, high, low);
    choose(lower, to, mask, a, b);
}

fn ordered(lower: Code, to: Register, operands: &[ValueId]) {
    let [a, b] = [0, 1].map(|operand| {
        let is_number = lower.register(Class::Vector);
        binary(lower, is_number, Opcode::Fcmeq, operands[operand], operands[operand]);
        is_number
    });
    lower.emit(Opcode::And, vec![as_bytes(to), as_bytes(a), as_bytes(b)]);
}

/// Shifts by a constant, or by a vector of amounts of which only the low five bits count; `ushl` and `sshl` shift right
/// by negative amounts.
fn shift(lower: Code, to: Register, by_constant: Opcode, by_vector: Opcode, operands: &[ValueId]) {
    let a = lower.value(operands[0]);
    if let Some(amount) = lower.known(operands[1]) {
        let amount = i64::from(amount & 31);
        if amount == 0 {
            return lower.copy(to, a);
        }
        return lower.emit(by_constant, vec![words(to), words(a), Operand::Immediate(amount)]);
    }
    let (amount, mask) = (lower.value(operands[1]), lower.constant(31));
    let low = lower.register(Class::Vector);
    lower.emit(Opcode::And, vec![as_bytes(low), as_bytes(amount), as_bytes(mask)]);
    let distance = if by_constant == Opcode::Shl { low } else { lower.register(Class::Vector) };
    if distance != low {
        lower.emit(Opcode::Neg, vec![words(distance), words(low)]);
    }
    lower.emit(by_vector, vec![words(to), words(a), words(distance)]);
}

fn apply(lower: Code, to: Register, instruction: Arithmetic, operands: &[ValueId]) {
    let first = operands[0];
    let second = operands.get(1).copied().unwrap_or(first);
    match instruction {
        Arithmetic::Add => binary(lower, to, Opcode::Fadd, first, second),
        Arithmetic::Subtract => binary(lower, to, Opcode::Fsub, first, second),
        Arithmetic::Multiply => binary(lower, to, Opcode::Fmul, first, second),
        Arithmetic::Divide => binary(lower, to, Opcode::Fdiv, first, second),
        Arithmetic::FusedMultiplyAdd => fused(lower, to, operands),
        Arithmetic::SquareRoot => unary(lower, to, Opcode::Fsqrt, first),
        Arithmetic::Negate => unary(lower, to, Opcode::Fneg, first),
        Arithmetic::Absolute => unary(lower, to, Opcode::Fabs, first),
        Arithmetic::Maximum => extremum(lower, to, operands, true),
        Arithmetic::Minimum => extremum(lower, to, operands, false),
        Arithmetic::Floor => unary(lower, to, Opcode::Frintm, first),
        Arithmetic::Ceiling => unary(lower, to, Opcode::Frintp, first),
        Arithmetic::Truncate => unary(lower, to, Opcode::Frintz, first),
        Arithmetic::RoundEven => unary(lower, to, Opcode::Frintn, first),
        Arithmetic::Less => binary(lower, to, Opcode::Fcmgt, second, first),
        Arithmetic::LessEqual => binary(lower, to, Opcode::Fcmge, second, first),
        Arithmetic::Equal => binary(lower, to, Opcode::Fcmeq, first, second),
        Arithmetic::Ordered => ordered(lower, to, operands),
        Arithmetic::Select => {
            let mask = lower.register(Class::Vector);
            lower.assign(mask, first);
            choose(lower, to, mask, second, operands[2]);
        }
        Arithmetic::And => bitwise(lower, to, Opcode::And, operands),
        Arithmetic::Or => bitwise(lower, to, Opcode::Orr, operands),
        Arithmetic::ExclusiveOr => bitwise(lower, to, Opcode::Eor, operands),
        Arithmetic::IntegerAdd => binary(lower, to, Opcode::Add, first, second),
        Arithmetic::IntegerSubtract => binary(lower, to, Opcode::Sub, first, second),
        Arithmetic::IntegerMultiply => binary(lower, to, Opcode::Mul, first, second),
        Arithmetic::ShiftLeft => shift(lower, to, Opcode::Shl, Opcode::Ushl, operands),
        Arithmetic::ShiftRight => shift(lower, to, Opcode::Ushr, Opcode::Ushl, operands),
        Arithmetic::ShiftRightSigned => shift(lower, to, Opcode::Sshr, Opcode::Sshl, operands),
        Arithmetic::IntegerLess => binary(lower, to, Opcode::Cmgt, second, first),
        Arithmetic::IntegerEqual => binary(lower, to, Opcode::Cmeq, first, second),
        // fcvtzs saturates and takes NaN to zero, as the table does.
        Arithmetic::ToInteger => unary(lower, to, Opcode::Fcvtzs, first),
        Arithmetic::FromInteger => unary(lower, to, Opcode::Scvtf, first),
    }
}

/// Instructions that add a number below 2^24 to a register, or subtract it.
fn step(to: Register, from: Register, number: i64) -> Vec<Instruction<Aarch64>> {
    let opcode = if number < 0 { Opcode::Sub } else { Opcode::Add };
    let (high, low) = (number.abs() / ADD_LIMIT, number.abs() % ADD_LIMIT);
    let mut steps = Vec::new();
    if high != 0 {
        let operands = vec![x(to), x(from), Operand::Immediate(high), Operand::Immediate(12)];
        steps.push(Instruction { opcode, operands, depth: 0 });
    }
    if low != 0 {
        let from = if high != 0 { to } else { from };
        steps.push(Instruction { opcode, operands: vec![x(to), x(from), Operand::Immediate(low)], depth: 0 });
    }
    steps
}

/// The view that moves elements to and from memory.
fn in_memory(ty: Type, format: Format) -> View {
    match (format, ty) {
        (Format::Word, Type::Scalar) => View::S,
        (Format::Word, _) => View::Q,
        (Format::F16 | Format::Bf16, Type::Scalar) => View::H,
        (Format::F16 | Format::Bf16, _) => View::D,
    }
}

/// Elements of 16 bits in the low half of a new register. bfloat16 is the high half of a lane: just under half of the last
/// place that stays is added, and that place's own bit, so that a tie goes up only from an odd number. The sum would carry
/// a NaN into infinity or zero: NaNs are quieted instead.
fn narrowed(lower: Code, from: Register, format: Format) -> Register {
    let to = lower.register(Class::Vector);
    let halves = Operand::Register(to, View::Halves);
    if format == Format::F16 {
        lower.emit(Opcode::Fcvtn, vec![halves, words(from)]);
        return to;
    }
    let [one, below_half, quiet] = [1, 0x7fff, 0x0040_0000].map(|word| lower.constant(word));
    let [sum, nan, number] = [(); 3].map(|()| lower.register(Class::Vector));
    lower.emit(Opcode::Ushr, vec![words(sum), words(from), Operand::Immediate(16)]);
    lower.emit(Opcode::And, vec![as_bytes(sum), as_bytes(sum), as_bytes(one)]);
    lower.emit(Opcode::Add, vec![words(sum), words(sum), words(below_half)]);
    lower.emit(Opcode::Add, vec![words(sum), words(sum), words(from)]);
    lower.emit(Opcode::Orr, vec![as_bytes(nan), as_bytes(from), as_bytes(quiet)]);
    lower.emit(Opcode::Fcmeq, vec![words(number), words(from), words(from)]);
    lower.emit(Opcode::Bsl, vec![as_bytes(number), as_bytes(sum), as_bytes(nan)]);
    lower.emit(Opcode::Shrn, vec![halves, words(number), Operand::Immediate(16)]);
    to
}

fn transfer(class: Class) -> View {
    match class {
        Class::General => View::X,
        Class::Vector => View::Q,
        Class::Mask => unreachable!("NEON has no mask registers"),
    }
}

impl Machine for Aarch64 {
    type Opcode = Opcode;
    type View = View;

    fn lanes(&self) -> usize {
        4
    }

    fn pool_words(&self) -> usize {
        4
    }

    fn registers(&self, class: Class) -> &'static [usize] {
        match class {
            // Those that need not be saved come first; x18 is the platform's, x29 and x30 frame and link.
            Class::General => {
                &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28]
            }
            Class::Vector => &[
                0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 8, 9, 10, 11,
                12, 13, 14, 15,
            ],
            Class::Mask => &[],
        }
    }

    fn arguments(&self) -> [usize; 3] {
        [0, 1, 2]
    }

    fn flow(opcode: Opcode) -> Flow {
        opcode.flow()
    }

    fn role(opcode: Opcode) -> Role {
        opcode.role()
    }

    fn reaches(&self, access: Access, displacement: i64) -> bool {
        let unit = match access {
            Access::Bytes(bytes) => bytes as i64,
            Access::Prefetch => 8,
        };
        let scaled = displacement >= 0 && displacement % unit == 0 && displacement / unit < ADD_LIMIT;
        scaled || (-256..256).contains(&displacement)
    }

    fn scales(&self, _scale: i64) -> bool {
        false
    }

    fn is_copy(instruction: &Instruction<Self>) -> bool {
        instruction.opcode == Opcode::Mov
    }

    fn copy(&self, to: Register, from: Register) -> Instruction<Self> {
        let view = if to.class == Class::General { View::X } else { View::Bytes };
        let operands = vec![Operand::Register(to, view), Operand::Register(from, view)];
        Instruction { opcode: Opcode::Mov, operands, depth: 0 }
    }

    fn constant(&self, to: Register, bits: u32, place: Memory) -> Instruction<Self> {
        if bits == 0 {
            let operands = vec![Operand::Register(to, View::Doubles), Operand::Immediate(0)];
            return Instruction { opcode: Opcode::Movi, operands, depth: 0 };
        }
        self.reload(to, place)
    }

    fn reload(&self, to: Register, from: Memory) -> Instruction<Self> {
        let operands = vec![Operand::Register(to, transfer(to.class)), Operand::Memory(from)];
        Instruction { opcode: Opcode::Ldr, operands, depth: 0 }
    }

    fn spill(&self, to: Memory, from: Register) -> Instruction<Self> {
        let operands = vec![Operand::Register(from, transfer(from.class)), Operand::Memory(to)];
        Instruction { opcode: Opcode::Str, operands, depth: 0 }
    }

    fn fold(&self, _instruction: &Instruction<Self>, _operand: usize, _memory: Memory) -> Option<Instruction<Self>> {
        None
    }

    fn apply(lower: &mut Lower<Self>, _ty: Type, to: Register, instruction: Arithmetic, operands: &[ValueId]) {
        apply(lower, to, instruction, operands);
    }

    fn widen(lower: &mut Lower<Self>, _ty: Type, to: Register, from: ValueId, half: usize) {
        let from = lower.value(from);
        match half {
            0 => lower.emit(Opcode::Fcvtl, vec![doubles(to), word_pair(from)]),
            _ => lower.emit(Opcode::Fcvtl2, vec![doubles(to), words(from)]),
        }
    }

    fn multiply_add(lower: &mut Lower<Self>, _ty: Type, to: Register, a: Register, b: Register) {
        lower.emit(Opcode::Fmla, vec![doubles(to), doubles(a), doubles(b)]);
    }

    fn add_doubles(lower: &mut Lower<Self>, _ty: Type, to: Register, a: Register, b: Register) {
        lower.emit(Opcode::Fadd, vec![doubles(to), doubles(a), doubles(b)]);
    }

    fn narrow(lower: &mut Lower<Self>, to: Register, halves: &[Register]) {
        let place = if halves.contains(&to) { lower.register(Class::Vector) } else { to };
        lower.emit(Opcode::Fcvtn, vec![word_pair(place), doubles(halves[0])]);
        if let Some(upper) = halves.get(1) {
            lower.emit(Opcode::Fcvtn2, vec![words(place), doubles(*upper)]);
        }
        lower.copy(to, place);
    }

    fn masks(&self) -> bool {
        false
    }

    fn rotate(lower: &mut Lower<Self>, to: Register, from: Register, distance: usize) {
        let distance = Operand::Immediate(4 * distance as i64);
        lower.emit(Opcode::Ext, vec![as_bytes(to), as_bytes(from), as_bytes(from), distance]);
    }

    fn splat(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Dup, vec![words(to), Operand::Register(from, View::Element)]);
    }

    fn load(lower: &mut Lower<Self>, ty: Type, to: Register, from: Memory, format: Format) {
        lower.emit(Opcode::Ldr, vec![Operand::Register(to, in_memory(ty, format)), Operand::Memory(from)]);
        let halves = Operand::Register(to, View::Halves);
        match format {
            Format::Word => {}
            Format::F16 => lower.emit(Opcode::Fcvtl, vec![words(to), halves]),
            Format::Bf16 => lower.emit(Opcode::Shll, vec![words(to), halves, Operand::Immediate(16)]),
        }
    }

    fn broadcast(lower: &mut Lower<Self>, to: Register, from: Memory, format: Format) {
        let word = lower.register(Class::Vector);
        Self::load(lower, Type::Scalar, word, from, format);
        Self::splat(lower, to, word);
    }

    fn store(lower: &mut Lower<Self>, ty: Type, to: Memory, from: Register, format: Format) {
        let stored = match format {
            Format::Word => from,
            Format::F16 | Format::Bf16 => narrowed(lower, from, format),
        };
        lower.emit(Opcode::Str, vec![Operand::Register(stored, in_memory(ty, format)), Operand::Memory(to)]);
    }

    fn prefetch(lower: &mut Lower<Self>, memory: Memory) {
        lower.emit(Opcode::Prfm, vec![Operand::Memory(memory)]);
    }

    fn set(lower: &mut Lower<Self>, to: Register, number: i64) {
        // The chunks that differ from what the first instruction leaves, movn leaving ones.
        let (first, rest) = if number < 0 { (Opcode::Movn, 0xffff) } else { (Opcode::Movz, 0) };
        let chunks = (0..4).map(|chunk| (16 * chunk, number >> (16 * chunk) & 0xffff));
        let mut chunks: Vec<(i64, i64)> = chunks.filter(|(_, bits)| *bits != rest).collect();
        if chunks.is_empty() {
            chunks.push((0, rest));
        }
        for (position, (shift, bits)) in chunks.into_iter().enumerate() {
            let opcode = if position == 0 { first } else { Opcode::Movk };
            let bits = if opcode == Opcode::Movn { !bits & 0xffff } else { bits };
            lower.emit(opcode, vec![x(to), Operand::Immediate(bits), Operand::Immediate(shift)]);
        }
    }

    fn advance(lower: &mut Lower<Self>, to: Register, number: i64) {
        if number.abs() < ADD_LIMIT * ADD_LIMIT {
            for Instruction { opcode, operands, .. } in step(to, to, number) {
                lower.emit(opcode, operands);
            }
            return;
        }
        let distance = lower.register(Class::General);
        Self::set(lower, distance, number);
        Self::add(lower, to, distance);
    }

    fn add(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Add, vec![x(to), x(to), x(from)]);
    }

    fn subtract(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Subs, vec![x(to), x(to), x(from)]);
    }

    fn multiply(lower: &mut Lower<Self>, to: Register, from: Register, number: i64) {
        let factor = lower.register(Class::General);
        Self::set(lower, factor, number);
        lower.emit(Opcode::Mul, vec![x(to), x(from), x(factor)]);
    }

    fn pointer(lower: &mut Lower<Self>, to: Register, from: Memory) {
        lower.emit(Opcode::Ldr, vec![x(to), Operand::Memory(from)]);
    }

    fn index_from(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Smov, vec![x(to), Operand::Register(from, View::Element)]);
    }

    fn scalar_from(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Fmov, vec![Operand::Register(to, View::S), Operand::Register(from, View::W)]);
    }

    fn within(lower: &mut Lower<Self>, to: Register, from: Register, extent: i64) {
        let (limit, word) = (lower.register(Class::General), lower.register(Class::General));
        Self::set(lower, limit, extent.max(0));
        lower.emit(Opcode::Cmp, vec![x(from), x(limit)]);
        lower.emit(Opcode::CsetmLower, vec![Operand::Register(word, View::W)]);
        Self::scalar_from(lower, to, word);
    }

    fn frame(&self, allocated: Allocated<Self>) -> Vec<Instruction<Self>> {
        let is_saved = |used: &&Register| match used.class {
            Class::General => used.number >= 19,
            // Only their low halves are the caller's (AAPCS64, 6.1.2).
            Class::Vector | Class::Mask => (8..16).contains(&used.number),
        };
        let saved: Vec<Register> = allocated.used.iter().filter(is_saved).copied().collect();
        let saved_bytes = (8 * saved.len()).next_multiple_of(16) as i64;
        let frame_bytes = allocated.frame_bytes.next_multiple_of(16) as i64;
        let transfer = |opcode| {
            saved.iter().enumerate().map(move |(number, register)| {
                let view = if register.class == Class::General { View::X } else { View::D };
                let place = Memory::new(Base::Register(STACK), 8 * number as i64, 8);
                let operands = vec![Operand::Register(*register, view), Operand::Memory(place)];
                Instruction { opcode, operands, depth: 0 }
            })
        };
        let mut code = step(STACK, STACK, -saved_bytes);
        code.extend(transfer(Opcode::Str));
        code.extend(step(STACK, STACK, -frame_bytes));
        code.extend(allocated.code);
        code.extend(step(STACK, STACK, frame_bytes));
        code.extend(transfer(Opcode::Ldr));
        code.extend(step(STACK, STACK, saved_bytes));
        code.push(Instruction { opcode: Opcode::Ret, operands: vec![], depth: 0 });
        code
    }

    fn print(&self, code: &[Instruction<Self>], pool: &[u32]) -> Vec<String> {
        aarch64_text::print(code, pool)
    }

    fn label(lower: &mut Lower<Self>, label: usize) {
        lower.emit(Opcode::Label, vec![Operand::Label(label)]);
    }

    fn jump(lower: &mut Lower<Self>, label: usize) {
        lower.emit(Opcode::B, vec![Operand::Label(label)]);
    }

    fn jump_if_zero(lower: &mut Lower<Self>, scalar: Register, label: usize) {
        let word = lower.register(Class::General);
        lower.emit(Opcode::Fmov, vec![Operand::Register(word, View::W), Operand::Register(scalar, View::S)]);
        lower.emit(Opcode::Cbz, vec![Operand::Register(word, View::W), Operand::Label(label)]);
    }

    fn jump_unless_positive(lower: &mut Lower<Self>, _register: Register, label: usize) {
        lower.emit(Opcode::Ble, vec![Operand::Label(label)]);
    }

    fn count_down(lower: &mut Lower<Self>, counter: Register, label: usize) {
        lower.emit(Opcode::Subs, vec![x(counter), x(counter), Operand::Immediate(1)]);
        lower.emit(Opcode::Bne, vec![Operand::Label(label)]);
    }

    fn count_up(lower: &mut Lower<Self>, counter: Register, extent: i64, label: usize) {
        lower.emit(Opcode::Add, vec![x(counter), x(counter), Operand::Immediate(1)]);
        let limit = lower.register(Class::General);
        Self::set(lower, limit, extent);
        lower.emit(Opcode::Cmp, vec![x(counter), x(limit)]);
        lower.emit(Opcode::Bne, vec![Operand::Label(label)]);
    }
}
