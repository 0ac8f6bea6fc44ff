//! Instruction selection for x86-64: AVX2 with FMA, and AVX-512.

use super::allocate::Allocated;
use super::lower::{Lower, Place};
use super::machine::{Access, Class, Flow, Instruction, Machine, Memory, Operand, Register, Role};
use super::x86_double as double;
use super::x86_format as format;
use super::x86_general as general;
use super::x86_opcode::{Fold, Opcode};
use super::x86_text;
use crate::format::Format;
use crate::instruction::Instruction as Arithmetic;
use crate::kernel::{Type, ValueId};
use ncnnc_targets::Target;

/// x86-64 with AVX2 (8 lanes) or AVX-512 (16 lanes).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct X86 {
    /// Whether it is AVX-512.
    wide: bool,
}

/// How a register is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// 32 bits of a general register.
    Word,
    /// A general register.
    Quad,
    /// Lane 0 of a vector register.
    Scalar,
    /// 128 bits of a vector register.
    Xmm,
    /// 256 bits.
    Ymm,
    /// 512 bits.
    Zmm,
    /// A mask register.
    Mask,
}

// Predicates of vcmpps, none of which signals (Intel SDM volume 2, CMPPS, table 3-1).
const EQUAL: i64 = 0x00;
const ORDERED: i64 = 0x07;
const LESS: i64 = 0x11;
const LESS_EQUAL: i64 = 0x12;
const GREATER_EQUAL: i64 = 0x1d;
// Rounding of vroundps and vrndscaleps, without the exception for inexact results (ROUNDPS, figure 4-24).
const TO_EVEN: i64 = 8;
const DOWN: i64 = 9;
const UP: i64 = 10;
const TO_ZERO: i64 = 11;

impl X86 {
    /// The machine a target names.
    pub fn new(target: &Target) -> Self {
        Self { wide: target.lanes == 16 }
    }

    /// The view of a whole vector.
    pub fn full(self) -> View {
        if self.wide { View::Zmm } else { View::Ymm }
    }

    /// The view of half a vector: of as many elements of 16 bits as a whole one has lanes.
    pub fn half(self) -> View {
        if self.wide { View::Ymm } else { View::Xmm }
    }

    /// Whether it is AVX-512.
    pub fn is_wide(self) -> bool {
        self.wide
    }

    /// The view of a float operand.
    pub fn float(self, ty: Type) -> View {
        if ty == Type::Scalar { View::Scalar } else { self.full() }
    }

    /// The view of doubles; a single one is computed with beside another that is never looked at.
    pub fn doubles(self, ty: Type) -> View {
        if ty == Type::Double { View::Xmm } else { self.full() }
    }

    /// The view of an operand of bits or integers, which have no scalar instructions.
    fn bits(self, ty: Type) -> View {
        if ty == Type::Scalar { View::Xmm } else { self.full() }
    }
}

/// A register operand.
pub fn register(register: Register, view: View) -> Operand<View> {
    Operand::Register(register, view)
}

fn bytes(view: View) -> usize {
    match view {
        View::Word | View::Scalar => 4,
        View::Quad | View::Mask => 8,
        View::Xmm => 16,
        View::Ymm => 32,
        View::Zmm => 64,
    }
}

type Code<'a, 'k> = &'a mut Lower<'k, X86>;

/// Whether a value's only use can read it from memory.
fn is_foldable(lower: Code, value: ValueId, view: View) -> bool {
    let once = lower.uses.of(value).count == 1;
    match lower.place(value) {
        Place::Memory { format: Format::F16 | Format::Bf16, .. } => false,
        Place::Memory { memory, broadcast: false, .. } => once && memory.bytes == bytes(view),
        Place::Memory { broadcast: true, .. } => once && lower.machine.wide && view == View::Zmm,
        Place::Register(_) | Place::Element(_) | Place::Constant(_) => false,
    }
}

/// A value as a last operand: memory when it has no other use, or a register.
fn last(lower: Code, value: ValueId, view: View) -> Operand<View> {
    match lower.place(value) {
        Place::Memory { memory, broadcast, .. } if is_foldable(lower, value, view) => {
            lower.used_in_memory(value);
            let lanes = broadcast.then_some(lower.machine.lanes());
            Operand::Memory(Memory { broadcast: lanes, ..memory })
        }
        Place::Memory { .. } | Place::Register(_) | Place::Element(_) | Place::Constant(_) => {
            register(lower.value(value), view)
        }
    }
}

fn is_constant(lower: Code, value: ValueId) -> bool {
    lower.known(value).is_some()
}

/// `to = a op b`.
fn binary(lower: Code, to: Register, opcode: Opcode, operands: &[ValueId], view: View) {
    let a = lower.value(operands[0]);
    let b = last(lower, operands[1], view);
    lower.emit(opcode, vec![register(to, view), register(a, view), b]);
}

/// `to = a op b`, where the operands may change places: constants and loads go last, where they can be memory.
fn commutative(lower: Code, to: Register, opcode: Opcode, operands: &[ValueId], view: View) {
    let (a, b) = (operands[0], operands[1]);
    let swap = is_constant(lower, a) || is_foldable(lower, a, view) && !is_constant(lower, b);
    let ordered = if swap { [b, a] } else { [a, b] };
    binary(lower, to, opcode, &ordered, view);
}

/// `to = a op word`.
fn with_constant(lower: Code, to: Register, opcode: Opcode, a: ValueId, word: u32, view: View) {
    let a = lower.value(a);
    let word = lower.constant(word);
    lower.emit(opcode, vec![register(to, view), register(a, view), register(word, view)]);
}

/// An instruction of one operand; the scalar form takes its upper lanes from a second.
fn unary(lower: Code, to: Register, opcode: Opcode, a: ValueId, view: View, immediate: Option<i64>) {
    let mut operands = vec![register(to, view)];
    if view == View::Scalar {
        let a = lower.value(a);
        operands.extend([register(a, view), register(a, view)]);
    } else {
        operands.push(last(lower, a, view));
    }
    operands.extend(immediate.map(Operand::Immediate));
    lower.emit(opcode, operands);
}

/// `to` itself, or another register when an operand that is still needed lives in `to`.
fn scratch(lower: Code, to: Register, operands: &[ValueId]) -> Register {
    if operands.iter().any(|operand| lower.held(*operand) == Some(to)) { lower.register(Class::Vector) } else { to }
}

/// `to = a * b + c`: in place of whichever operand is not needed any more.
fn fused(lower: Code, to: Register, operands: &[ValueId], view: View) {
    let [a, b, c] = [operands[0], operands[1], operands[2]];
    let in_register = |lower: Code, value| lower.held(value).is_some();
    if lower.held(c) == Some(to) {
        return accumulate(lower, to, a, b, view);
    }
    let sum_dies = in_register(lower, c) && lower.dies(c);
    let factor = [(a, b), (b, a)].into_iter().find(|(x, _)| in_register(lower, *x) && lower.dies(*x));
    if let (false, Some((x, y))) = (sum_dies, factor) {
        let place = scratch(lower, to, &[y, c]);
        let x = lower.value(x);
        let (opcode, second, third) = match is_constant(lower, y) {
            true => (Opcode::Vfmadd132, c, y),
            false => (Opcode::Vfmadd213, y, c),
        };
        let second = lower.value(second);
        let third = last(lower, third, view);
        lower.copy(place, x);
        lower.emit(opcode, vec![register(place, view), register(second, view), third]);
        return lower.copy(to, place);
    }
    let place = scratch(lower, to, &[a, b]);
    lower.assign(place, c);
    accumulate(lower, place, a, b, view);
    lower.copy(to, place);
}

/// `to += a * b`.
fn accumulate(lower: Code, to: Register, a: ValueId, b: ValueId, view: View) {
    let embedded = |lower: Code, value| matches!(lower.place(value), Place::Memory { broadcast: true, .. });
    let swap = is_constant(lower, a) && !is_foldable(lower, b, view)
        || is_foldable(lower, a, view) && (!is_foldable(lower, b, view) || embedded(lower, a));
    let (a, b) = if swap { (b, a) } else { (a, b) };
    let a = lower.value(a);
    let b = last(lower, b, view);
    lower.emit(Opcode::Vfmadd231, vec![register(to, view), register(a, view), b]);
}

/// A comparison by `vcmpps`; on AVX-512 through a mask register.
fn compare(lower: Code, to: Register, operands: &[ValueId], view: View, predicate: i64, ty: Type) {
    let a = lower.value(operands[0]);
    let b = last(lower, operands[1], view);
    let wide = lower.machine.wide;
    let result = if wide && to.class != Class::Mask { lower.register(Class::Mask) } else { to };
    let result_view = if wide { View::Mask } else { view };
    let operands = vec![register(result, result_view), register(a, view), b, Operand::Immediate(predicate)];
    lower.emit(Opcode::Vcmp, operands);
    spread(lower, to, result, ty);
}

/// A comparison of integers.
fn compare_integers(lower: Code, to: Register, a: ValueId, b: ValueId, opcode: Opcode, ty: Type) {
    let view = lower.machine.bits(ty);
    if !lower.machine.wide {
        return binary(lower, to, opcode, &[a, b], view);
    }
    let a = lower.value(a);
    let b = last(lower, b, view);
    let result = if to.class == Class::Mask { to } else { lower.register(Class::Mask) };
    lower.emit(opcode, vec![register(result, View::Mask), register(a, view), b]);
    spread(lower, to, result, ty);
}

/// The bits of a mask register as words, unless they stay there.
fn spread(lower: Code, to: Register, mask: Register, ty: Type) {
    if to != mask {
        let view = lower.machine.bits(ty);
        lower.emit(Opcode::Vpmovm2d, vec![register(to, view), register(mask, View::Mask)]);
    }
}

/// `a` where the mask is set, `b` elsewhere.
fn select(lower: Code, to: Register, operands: &[ValueId], ty: Type) {
    let [mask, a, b] = [operands[0], operands[1], operands[2]];
    let view = lower.machine.bits(ty);
    let mask_register = lower.value(mask);
    if mask_register.class == Class::Mask {
        let b = lower.value(b);
        let a = last(lower, a, view);
        let operands = vec![register(to, view), register(mask_register, View::Mask), register(b, view), a];
        return lower.emit(Opcode::Vblendmps, operands);
    }
    if lower.machine.wide {
        let place = scratch(lower, to, &[a, b]);
        let a = lower.value(a);
        let b = last(lower, b, view);
        lower.copy(place, mask_register);
        // 0xca is the truth table of "first ? second : third".
        let operands = vec![register(place, view), register(a, view), b, Operand::Immediate(0xca)];
        lower.emit(Opcode::Vpternlogd, operands);
        return lower.copy(to, place);
    }
    if lower.is_truth(mask) {
        let b = lower.value(b);
        let a = last(lower, a, view);
        let operands = vec![register(to, view), register(b, view), a, register(mask_register, view)];
        return lower.emit(Opcode::Vblendvps, operands);
    }
    let (chosen, other) = (lower.register(Class::Vector), lower.register(Class::Vector));
    binary(lower, chosen, Opcode::Vandps, &[mask, a], view);
    binary(lower, other, Opcode::Vandnps, &[mask, b], view);
    lower.emit(Opcode::Vorps, vec![register(to, view), register(chosen, view), register(other, view)]);
}

/// A shift, by a constant or by a vector of amounts, of which only the low five bits count.
fn shift(lower: Code, to: Register, by_constant: Opcode, by_vector: Opcode, operands: &[ValueId], view: View) {
    let a = lower.value(operands[0]);
    if let Some(amount) = lower.known(operands[1]) {
        let amount = Operand::Immediate(i64::from(amount & 31));
        return lower.emit(by_constant, vec![register(to, view), register(a, view), amount]);
    }
    let amount = lower.register(Class::Vector);
    let and = if lower.machine.wide { Opcode::Vpandd } else { Opcode::Vandps };
    with_constant(lower, amount, and, operands[1], 31, view);
    lower.emit(by_vector, vec![register(to, view), register(a, view), register(amount, view)]);
}

/// Float to integer: `vcvttps2dq` gives the lowest integer for all it cannot represent, so that large numbers are
/// inverted to the highest one and NaNs cleared.
fn to_integer(lower: Code, to: Register, a: ValueId, view: View) {
    let a = lower.value(a);
    let limit = lower.constant(2f32.powi(31).to_bits());
    let truncated = lower.register(Class::Vector);
    let large = lower.register(Class::Vector);
    let (a, truncated_operand) = (register(a, view), register(truncated, view));
    if lower.machine.wide {
        let (number, beyond) = (lower.register(Class::Mask), lower.register(Class::Mask));
        let predicate =
            |mask, other, predicate| vec![register(mask, View::Mask), a, other, Operand::Immediate(predicate)];
        lower.emit(Opcode::Vcmp, predicate(number, a, ORDERED));
        lower.emit(Opcode::Vcvttps2dqMasked, vec![truncated_operand, register(number, View::Mask), a]);
        lower.emit(Opcode::Vcmp, predicate(beyond, register(limit, view), GREATER_EQUAL));
        lower.emit(Opcode::Vpmovm2d, vec![register(large, view), register(beyond, View::Mask)]);
        return lower.emit(Opcode::Vpxord, vec![register(to, view), truncated_operand, register(large, view)]);
    }
    let (number, clamped) = (lower.register(Class::Vector), lower.register(Class::Vector));
    let predicate = |mask, other, predicate| vec![register(mask, view), a, other, Operand::Immediate(predicate)];
    lower.emit(Opcode::Vcvttps2dq, vec![truncated_operand, a]);
    lower.emit(Opcode::Vcmp, predicate(large, register(limit, view), GREATER_EQUAL));
    lower.emit(Opcode::Vxorps, vec![register(clamped, view), truncated_operand, register(large, view)]);
    lower.emit(Opcode::Vcmp, predicate(number, a, ORDERED));
    lower.emit(Opcode::Vandps, vec![register(to, view), register(clamped, view), register(number, view)]);
}

fn apply(lower: Code, ty: Type, to: Register, instruction: Arithmetic, operands: &[ValueId]) {
    let machine = lower.machine;
    let (float, bits) = (machine.float(ty), machine.bits(ty));
    let wide = machine.wide;
    let pick = |narrow, broad| if wide { broad } else { narrow };
    let (and, or) = (pick(Opcode::Vandps, Opcode::Vpandd), pick(Opcode::Vorps, Opcode::Vpord));
    let xor = pick(Opcode::Vxorps, Opcode::Vpxord);
    let round = pick(Opcode::Vround, Opcode::Vrndscale);
    match instruction {
        Arithmetic::Add => commutative(lower, to, Opcode::Vadd, operands, float),
        Arithmetic::Subtract => binary(lower, to, Opcode::Vsub, operands, float),
        Arithmetic::Multiply => commutative(lower, to, Opcode::Vmul, operands, float),
        Arithmetic::Divide => binary(lower, to, Opcode::Vdiv, operands, float),
        Arithmetic::FusedMultiplyAdd => fused(lower, to, operands, float),
        Arithmetic::SquareRoot => unary(lower, to, Opcode::Vsqrt, operands[0], float, None),
        Arithmetic::Negate => with_constant(lower, to, xor, operands[0], 0x8000_0000, bits),
        Arithmetic::Absolute => with_constant(lower, to, and, operands[0], 0x7fff_ffff, bits),
        Arithmetic::Maximum => binary(lower, to, Opcode::Vmax, operands, float),
        Arithmetic::Minimum => binary(lower, to, Opcode::Vmin, operands, float),
        Arithmetic::Floor => unary(lower, to, round, operands[0], float, Some(DOWN)),
        Arithmetic::Ceiling => unary(lower, to, round, operands[0], float, Some(UP)),
        Arithmetic::Truncate => unary(lower, to, round, operands[0], float, Some(TO_ZERO)),
        Arithmetic::RoundEven => unary(lower, to, round, operands[0], float, Some(TO_EVEN)),
        Arithmetic::Less => compare(lower, to, operands, float, LESS, ty),
        Arithmetic::LessEqual => compare(lower, to, operands, float, LESS_EQUAL, ty),
        Arithmetic::Equal => compare(lower, to, operands, float, EQUAL, ty),
        Arithmetic::Ordered => compare(lower, to, operands, float, ORDERED, ty),
        Arithmetic::Select => select(lower, to, operands, ty),
        Arithmetic::And => commutative(lower, to, and, operands, bits),
        Arithmetic::Or => commutative(lower, to, or, operands, bits),
        Arithmetic::ExclusiveOr => commutative(lower, to, xor, operands, bits),
        Arithmetic::IntegerAdd => commutative(lower, to, Opcode::Vpaddd, operands, bits),
        Arithmetic::IntegerSubtract => binary(lower, to, Opcode::Vpsubd, operands, bits),
        Arithmetic::IntegerMultiply => commutative(lower, to, Opcode::Vpmulld, operands, bits),
        Arithmetic::ShiftLeft => shift(lower, to, Opcode::Vpslld, Opcode::Vpsllvd, operands, bits),
        Arithmetic::ShiftRight => shift(lower, to, Opcode::Vpsrld, Opcode::Vpsrlvd, operands, bits),
        Arithmetic::ShiftRightSigned => shift(lower, to, Opcode::Vpsrad, Opcode::Vpsravd, operands, bits),
        Arithmetic::IntegerLess => compare_integers(lower, to, operands[1], operands[0], Opcode::Vpcmpgtd, ty),
        Arithmetic::IntegerEqual => compare_integers(lower, to, operands[0], operands[1], Opcode::Vpcmpeqd, ty),
        Arithmetic::ToInteger => to_integer(lower, to, operands[0], bits),
        Arithmetic::FromInteger => unary(lower, to, Opcode::Vcvtdq2ps, operands[0], bits, None),
    }
}

impl Machine for X86 {
    type Opcode = Opcode;
    type View = View;

    fn lanes(&self) -> usize {
        if self.wide { 16 } else { 8 }
    }

    // AVX-512 repeats a word of memory by itself.
    fn pool_words(&self) -> usize {
        if self.wide { 1 } else { 8 }
    }

    fn registers(&self, class: Class) -> &'static [usize] {
        const VECTORS: &[usize] = &[
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
            29, 30, 31,
        ];
        match class {
            // Those that need not be saved come first; 4 is the stack pointer.
            Class::General => &[0, 1, 2, 6, 7, 8, 9, 10, 11, 3, 5, 12, 13, 14, 15],
            Class::Vector => &VECTORS[..if self.wide { 32 } else { 16 }],
            // k0 cannot mask.
            Class::Mask => &[1, 2, 3, 4, 5, 6, 7],
        }
    }

    fn arguments(&self) -> [usize; 3] {
        [7, 6, 2]
    }

    fn flow(opcode: Opcode) -> Flow {
        opcode.flow()
    }

    fn role(opcode: Opcode) -> Role {
        opcode.role()
    }

    fn reaches(&self, _access: Access, displacement: i64) -> bool {
        i32::try_from(displacement).is_ok()
    }

    fn scales(&self, scale: i64) -> bool {
        matches!(scale, 1 | 2 | 4 | 8)
    }

    fn is_copy(instruction: &Instruction<Self>) -> bool {
        matches!(instruction.opcode, Opcode::Mov | Opcode::Vmovaps | Opcode::Kmovw)
            && matches!(instruction.operands[..], [Operand::Register(..), Operand::Register(..)])
    }

    fn copy(&self, to: Register, from: Register) -> Instruction<Self> {
        let (opcode, view) = match to.class {
            Class::General => (Opcode::Mov, View::Quad),
            Class::Vector => (Opcode::Vmovaps, self.full()),
            Class::Mask => (Opcode::Kmovw, View::Mask),
        };
        Instruction { opcode, operands: vec![register(to, view), register(from, view)], depth: 0 }
    }

    fn constant(&self, to: Register, bits: u32, place: Memory) -> Instruction<Self> {
        let to = register(to, self.full());
        let (opcode, operands) = match (bits, self.wide) {
            (0, true) => (Opcode::ZeroXord, vec![to]),
            (0, false) => (Opcode::ZeroXorps, vec![to]),
            (_, true) => (Opcode::Vbroadcastss, vec![to, Operand::Memory(place)]),
            (_, false) => (Opcode::Vmovups, vec![to, Operand::Memory(place)]),
        };
        Instruction { opcode, operands, depth: 0 }
    }

    fn reload(&self, to: Register, from: Memory) -> Instruction<Self> {
        let (opcode, view) = general::transfer(to.class, self.full());
        let bytes = if to.class == Class::Mask { 2 } else { bytes(view) };
        let operands = vec![register(to, view), Operand::Memory(Memory { bytes, ..from })];
        Instruction { opcode, operands, depth: 0 }
    }

    fn spill(&self, to: Memory, from: Register) -> Instruction<Self> {
        let mut instruction = self.reload(from, to);
        instruction.operands.swap(0, 1);
        instruction
    }

    fn fold(&self, instruction: &Instruction<Self>, operand: usize, memory: Memory) -> Option<Instruction<Self>> {
        general::fold(instruction, operand, memory, self.wide, bytes)
    }

    fn apply(lower: &mut Lower<Self>, ty: Type, to: Register, instruction: Arithmetic, operands: &[ValueId]) {
        apply(lower, ty, to, instruction, operands);
    }

    fn widen(lower: &mut Lower<Self>, ty: Type, to: Register, from: ValueId, half: usize) {
        double::widen(lower, ty, to, from, half);
    }

    fn multiply_add(lower: &mut Lower<Self>, ty: Type, to: Register, a: Register, b: Register) {
        let operands = [to, a, b].map(|of| register(of, lower.machine.doubles(ty)));
        lower.emit(Opcode::Vfmadd231pd, operands.to_vec());
    }

    fn add_doubles(lower: &mut Lower<Self>, ty: Type, to: Register, a: Register, b: Register) {
        let operands = [to, a, b].map(|of| register(of, lower.machine.doubles(ty)));
        lower.emit(Opcode::Vaddpd, operands.to_vec());
    }

    fn narrow(lower: &mut Lower<Self>, to: Register, halves: &[Register]) {
        double::narrow(lower, to, halves);
    }

    fn masks(&self) -> bool {
        self.wide
    }

    fn rotate(lower: &mut Lower<Self>, to: Register, from: Register, distance: usize) {
        let view = lower.machine.full();
        let (to, from) = (register(to, view), register(from, view));
        if lower.machine.wide {
            return lower.emit(Opcode::Valignd, vec![to, from, from, Operand::Immediate(distance as i64)]);
        }
        if distance == 4 {
            return lower.emit(Opcode::Vperm2f128, vec![to, from, from, Operand::Immediate(1)]);
        }
        let lanes: Vec<u32> = (0..8).map(|lane| (lane + distance as u32) % 8).collect();
        let lanes = lower.entry(&lanes);
        lower.emit(Opcode::Vpermps, vec![to, register(lanes, view), from]);
    }

    fn splat(lower: &mut Lower<Self>, to: Register, from: Register) {
        let view = lower.machine.full();
        lower.emit(Opcode::Vbroadcastss, vec![register(to, view), register(from, View::Xmm)]);
    }

    fn load(lower: &mut Lower<Self>, ty: Type, to: Register, from: Memory, format: Format) {
        format::load(lower, ty, to, from, format);
    }

    fn broadcast(lower: &mut Lower<Self>, to: Register, from: Memory, format: Format) {
        format::broadcast(lower, to, from, format);
    }

    fn store(lower: &mut Lower<Self>, ty: Type, to: Memory, from: Register, format: Format) {
        format::store(lower, ty, to, from, format);
    }

    fn prefetch(lower: &mut Lower<Self>, memory: Memory) {
        lower.emit(Opcode::Prefetcht1, vec![Operand::Memory(memory)]);
    }

    fn set(lower: &mut Lower<Self>, to: Register, number: i64) {
        general::set(lower, to, number);
    }

    fn advance(lower: &mut Lower<Self>, to: Register, number: i64) {
        general::advance(lower, to, number);
    }

    fn add(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Add, vec![register(to, View::Quad), register(from, View::Quad)]);
    }

    fn subtract(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Sub, vec![register(to, View::Quad), register(from, View::Quad)]);
    }

    fn multiply(lower: &mut Lower<Self>, to: Register, from: Register, number: i64) {
        general::multiply(lower, to, from, number);
    }

    fn pointer(lower: &mut Lower<Self>, to: Register, from: Memory) {
        lower.emit(Opcode::Mov, vec![register(to, View::Quad), Operand::Memory(from)]);
    }

    fn index_from(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Vmovd, vec![register(to, View::Word), register(from, View::Xmm)]);
        lower.emit(Opcode::Movsxd, vec![register(to, View::Quad), register(to, View::Word)]);
    }

    fn scalar_from(lower: &mut Lower<Self>, to: Register, from: Register) {
        lower.emit(Opcode::Vmovd, vec![register(to, View::Xmm), register(from, View::Word)]);
    }

    fn within(lower: &mut Lower<Self>, to: Register, from: Register, extent: i64) {
        general::within(lower, to, from, extent);
    }

    fn frame(&self, allocated: Allocated<Self>) -> Vec<Instruction<Self>> {
        general::frame(allocated)
    }

    fn print(&self, code: &[Instruction<Self>], pool: &[u32]) -> Vec<String> {
        x86_text::print(code, pool)
    }

    fn label(lower: &mut Lower<Self>, label: usize) {
        lower.emit(Opcode::Label, vec![Operand::Label(label)]);
    }

    fn jump(lower: &mut Lower<Self>, label: usize) {
        lower.emit(Opcode::Jmp, vec![Operand::Label(label)]);
    }

    fn jump_if_zero(lower: &mut Lower<Self>, scalar: Register, label: usize) {
        let word = lower.register(Class::General);
        lower.emit(Opcode::Vmovd, vec![register(word, View::Word), register(scalar, View::Xmm)]);
        lower.emit(Opcode::Test, vec![register(word, View::Word), register(word, View::Word)]);
        lower.emit(Opcode::Je, vec![Operand::Label(label)]);
    }

    fn jump_unless_positive(lower: &mut Lower<Self>, _register: Register, label: usize) {
        lower.emit(Opcode::Jle, vec![Operand::Label(label)]);
    }

    fn count_down(lower: &mut Lower<Self>, counter: Register, label: usize) {
        lower.emit(Opcode::Dec, vec![register(counter, View::Quad)]);
        lower.emit(Opcode::Jne, vec![Operand::Label(label)]);
    }

    fn count_up(lower: &mut Lower<Self>, counter: Register, extent: i64, label: usize) {
        lower.emit(Opcode::Inc, vec![register(counter, View::Quad)]);
        lower.emit(Opcode::Cmp, vec![register(counter, View::Quad), Operand::Immediate(extent)]);
        lower.emit(Opcode::Jne, vec![Operand::Label(label)]);
    }
}

/// Whether memory can stand for this operand of an instruction.
pub fn takes_memory(instruction: &Instruction<X86>, operand: usize, wide: bool) -> bool {
    let is_register = |operand: &Operand<View>| matches!(operand, Operand::Register(..));
    let last = instruction.operands.iter().rposition(is_register);
    match instruction.opcode.fold() {
        Fold::Never => false,
        Fold::General => true,
        Fold::Factor => operand == 1,
        Fold::Last => last == Some(operand) && operand > 0,
        Fold::LastEvex => wide && last == Some(operand) && operand > 0,
        Fold::Third => operand == 2,
    }
}
