//! Instructions of the table in Cranelift's language, a machine word at a time: four lanes or one.
//!
//! No function of a library is ever called: what a machine lacks is done as the runtime's `words` do it. A value is a
//! float or an integer of the same size, whichever it was made as.

use crate::bytes;
use crate::instruction::Instruction;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, F64, I8X16, I32, I32X4, I64};
use cranelift_codegen::ir::{ConstantData, Endianness, FuncRef, InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::FunctionBuilder;

/// What a machine has beside what all have.
#[derive(Clone, Copy)]
pub(super) enum Arithmetic {
    /// Instructions for `a * b + c` rounded once and for rounding to integers.
    Complete,
    /// Neither; the function computes the former from three floats.
    Basic { fused: FuncRef },
}

/// The value as this type of the same size.
pub(super) fn cast(b: &mut FunctionBuilder, value: Value, ty: Type) -> Value {
    if b.func.dfg.value_type(value) == ty {
        return value;
    }
    b.ins().bitcast(ty, MemFlagsData::new().with_endianness(Endianness::Little), value)
}

/// The word in every lane.
pub(super) fn constant(b: &mut FunctionBuilder, bits: u32, float: Type) -> Value {
    if float == F32 {
        return b.ins().f32const(f32::from_bits(bits));
    }
    if float == F64 {
        return b.ins().f64const(f64::from(f32::from_bits(bits)));
    }
    let bytes = bytes::of_words(&[bits; 4]);
    let constant = b.func.dfg.constants.insert(ConstantData::from(&bytes[..]));
    b.ins().vconst(float, constant)
}

/// The words of a vector moved by so many lanes, counted round.
pub(super) fn rotate(b: &mut FunctionBuilder, vector: Value, distance: usize, ty: Type) -> Value {
    let bytes = cast(b, vector, I8X16);
    let order: Vec<u8> = (0..16).map(|byte| (byte + 4 * distance as u8) % 16).collect();
    let order = b.func.dfg.immediates.push(ConstantData::from(&order[..]));
    let rotated = b.ins().shuffle(bytes, bytes, order);
    cast(b, rotated, ty)
}

/// Half of a vector's lanes in double precision.
pub(super) fn widen(b: &mut FunctionBuilder, vector: Value, half: usize) -> Value {
    let floats = match half {
        0 => cast(b, vector, F32X4),
        _ => rotate(b, vector, 2, F32X4),
    };
    b.ins().fvpromote_low(floats)
}

/// Two halves of a vector as the nearest floats.
pub(super) fn narrow(b: &mut FunctionBuilder, low: Value, high: Value) -> Value {
    let [low, high] = [low, high].map(|half| {
        let floats = b.ins().fvdemote(half);
        cast(b, floats, I8X16)
    });
    let order: Vec<u8> = (0..8).chain(16..24).collect();
    let order = b.func.dfg.immediates.push(ConstantData::from(&order[..]));
    let floats = b.ins().shuffle(low, high, order);
    cast(b, floats, F32X4)
}

/// `x * y + sum` in double precision, where the product is exact.
pub(super) fn multiply_add(b: &mut FunctionBuilder, arithmetic: Arithmetic, [x, y, sum]: [Value; 3]) -> Value {
    match arithmetic {
        Arithmetic::Complete => b.ins().fma(x, y, sum),
        Arithmetic::Basic { .. } => {
            let product = b.ins().fmul(x, y);
            b.ins().fadd(product, sum)
        }
    }
}

/// The integer type of a float type's size.
fn integer(float: Type) -> Type {
    if float == F32 { I32 } else { I32X4 }
}

/// An instruction on words of this float type. `amount` is the last operand when it is known.
pub(super) fn apply(
    b: &mut FunctionBuilder,
    arithmetic: Arithmetic,
    instruction: Instruction,
    operands: &[Value],
    amount: Option<u32>,
    float: Type,
) -> Value {
    let integer = integer(float);
    let f: Vec<Value> = match takes_floats(instruction) {
        true => operands.iter().map(|operand| cast(b, *operand, float)).collect(),
        false => operands.iter().map(|operand| cast(b, *operand, integer)).collect(),
    };
    match (instruction, arithmetic) {
        (Instruction::Add, _) => b.ins().fadd(f[0], f[1]),
        (Instruction::Subtract, _) => b.ins().fsub(f[0], f[1]),
        (Instruction::Multiply, _) => b.ins().fmul(f[0], f[1]),
        (Instruction::Divide, _) => b.ins().fdiv(f[0], f[1]),
        (Instruction::FusedMultiplyAdd, Arithmetic::Complete) => b.ins().fma(f[0], f[1], f[2]),
        (Instruction::FusedMultiplyAdd, Arithmetic::Basic { fused }) => {
            let call = b.ins().call(fused, &f);
            b.inst_results(call)[0]
        }
        (Instruction::SquareRoot, _) => b.ins().sqrt(f[0]),
        (Instruction::Negate, _) => b.ins().fneg(f[0]),
        (Instruction::Absolute, _) => b.ins().fabs(f[0]),
        (Instruction::Maximum, _) => choose(b, FloatCC::GreaterThan, f[0], f[1]),
        (Instruction::Minimum, _) => choose(b, FloatCC::LessThan, f[0], f[1]),
        (Instruction::Floor, Arithmetic::Complete) => b.ins().floor(f[0]),
        (Instruction::Floor, Arithmetic::Basic { .. }) => round_down(b, f[0]),
        (Instruction::Ceiling, Arithmetic::Complete) => b.ins().ceil(f[0]),
        (Instruction::Ceiling, Arithmetic::Basic { .. }) => {
            let negative = b.ins().fneg(f[0]);
            let down = round_down(b, negative);
            b.ins().fneg(down)
        }
        (Instruction::Truncate, Arithmetic::Complete) => b.ins().trunc(f[0]),
        (Instruction::Truncate, Arithmetic::Basic { .. }) => {
            let size = b.ins().fabs(f[0]);
            let down = round_down(b, size);
            b.ins().fcopysign(down, f[0])
        }
        (Instruction::RoundEven, Arithmetic::Complete) => b.ins().nearest(f[0]),
        (Instruction::RoundEven, Arithmetic::Basic { .. }) => round_to_even(b, f[0]),
        (Instruction::Less, _) => compare(b, FloatCC::LessThan, f[0], f[1]),
        (Instruction::LessEqual, _) => compare(b, FloatCC::LessThanOrEqual, f[0], f[1]),
        (Instruction::Equal, _) => compare(b, FloatCC::Equal, f[0], f[1]),
        (Instruction::Ordered, _) => {
            let (first, second) = (compare(b, FloatCC::Equal, f[0], f[0]), compare(b, FloatCC::Equal, f[1], f[1]));
            b.ins().band(first, second)
        }
        (Instruction::Select, _) => b.ins().bitselect(f[0], f[1], f[2]),
        (Instruction::And, _) => b.ins().band(f[0], f[1]),
        (Instruction::Or, _) => b.ins().bor(f[0], f[1]),
        (Instruction::ExclusiveOr, _) => b.ins().bxor(f[0], f[1]),
        (Instruction::IntegerAdd, _) => b.ins().iadd(f[0], f[1]),
        (Instruction::IntegerSubtract, _) => b.ins().isub(f[0], f[1]),
        (Instruction::IntegerMultiply, _) => b.ins().imul(f[0], f[1]),
        (Instruction::ShiftLeft, _) => shift(b, f[0], f[1], amount, |b, a, by| b.ins().ishl(a, by)),
        (Instruction::ShiftRight, _) => shift(b, f[0], f[1], amount, |b, a, by| b.ins().ushr(a, by)),
        (Instruction::ShiftRightSigned, _) => shift(b, f[0], f[1], amount, |b, a, by| b.ins().sshr(a, by)),
        (Instruction::IntegerLess, _) => {
            let truth = b.ins().icmp(IntCC::SignedLessThan, f[0], f[1]);
            spread(b, truth, integer)
        }
        (Instruction::IntegerEqual, _) => {
            let truth = b.ins().icmp(IntCC::Equal, f[0], f[1]);
            spread(b, truth, integer)
        }
        (Instruction::ToInteger, _) => b.ins().fcvt_to_sint_sat(integer, f[0]),
        (Instruction::FromInteger, _) => b.ins().fcvt_from_sint(float, f[0]),
    }
}

/// Whether an instruction reads floats rather than integers.
fn takes_floats(instruction: Instruction) -> bool {
    use Instruction::*;
    match instruction {
        Add | Subtract | Multiply | Divide | FusedMultiplyAdd | SquareRoot | Negate | Absolute | Maximum | Minimum => {
            true
        }
        Floor | Ceiling | Truncate | RoundEven | Less | LessEqual | Equal | Ordered | ToInteger => true,
        Select | And | Or | ExclusiveOr | IntegerAdd | IntegerSubtract | IntegerMultiply => false,
        ShiftLeft | ShiftRight | ShiftRightSigned | IntegerLess | IntegerEqual | FromInteger => false,
    }
}

/// `a` where the comparison holds, `b` elsewhere.
fn choose(b: &mut FunctionBuilder, comparison: FloatCC, first: Value, second: Value) -> Value {
    let float = b.func.dfg.value_type(first);
    let truth = b.ins().fcmp(comparison, first, second);
    if float == F32 {
        return b.ins().select(truth, first, second);
    }
    let mask = cast(b, truth, float);
    b.ins().bitselect(mask, first, second)
}

/// All ones where the comparison holds.
fn compare(b: &mut FunctionBuilder, comparison: FloatCC, first: Value, second: Value) -> Value {
    let integer = integer(b.func.dfg.value_type(first));
    let truth = b.ins().fcmp(comparison, first, second);
    spread(b, truth, integer)
}

/// A truth value as all ones or zeros; of vectors it is that already.
pub(super) fn spread(b: &mut FunctionBuilder, truth: Value, integer: Type) -> Value {
    if integer == I32 { b.ins().bmask(I32, truth) } else { truth }
}

/// A shift; of vectors, Cranelift shifts all lanes alike.
fn shift(
    b: &mut FunctionBuilder,
    value: Value,
    amounts: Value,
    amount: Option<u32>,
    shift: impl Fn(&mut FunctionBuilder, Value, Value) -> Value,
) -> Value {
    if b.func.dfg.value_type(value) == I32 {
        return shift(b, value, amounts);
    }
    if let Some(amount) = amount {
        let amount = b.ins().iconst(I32, i64::from(amount & 31));
        return shift(b, value, amount);
    }
    (0..4_u8).fold(value, |result, lane| {
        let (word, amount) = (b.ins().extractlane(value, lane), b.ins().extractlane(amounts, lane));
        let word = shift(b, word, amount);
        b.ins().insertlane(result, word, lane)
    })
}

/// The runtime's `round_to_even`.
fn round_to_even(b: &mut FunctionBuilder, a: Value) -> Value {
    let large = b.ins().f32const(8_388_608.0);
    let size = b.ins().fabs(a);
    let sum = b.ins().fadd(size, large);
    let whole = b.ins().fsub(sum, large);
    let whole = b.ins().fcopysign(whole, a);
    let has_fraction = b.ins().fcmp(FloatCC::LessThan, size, large);
    b.ins().select(has_fraction, whole, a)
}

/// The runtime's `round_down`.
fn round_down(b: &mut FunctionBuilder, a: Value) -> Value {
    let nearest = round_to_even(b, a);
    let one = b.ins().f32const(1.0);
    let below = b.ins().fsub(nearest, one);
    let below = b.ins().fcopysign(below, a);
    let is_above = b.ins().fcmp(FloatCC::GreaterThan, nearest, a);
    b.ins().select(is_above, below, nearest)
}

/// The runtime's `software_fused_multiply_add`.
pub(super) fn fused_multiply_add(b: &mut FunctionBuilder, operands: [Value; 3]) -> Value {
    let [x, y, c] = operands.map(|operand| b.ins().fpromote(F64, operand));
    let product = b.ins().fmul(x, y);
    let sum = b.ins().fadd(product, c);
    let rest = b.ins().fsub(sum, product);
    let difference = b.ins().fsub(sum, rest);
    let (first, second) = (b.ins().fsub(product, difference), b.ins().fsub(c, rest));
    let error = b.ins().fadd(first, second);
    let size = b.ins().fabs(error);
    let zero = b.ins().f64const(0.0);
    let inexact = b.ins().fcmp(FloatCC::GreaterThan, size, zero);
    let (bits, error) = (cast(b, sum, I64), cast(b, error, I64));
    // The last bit where the sum is inexact and even, else nothing: outwards it is set, inwards one is subtracted.
    let one = b.ins().iconst(I64, 1);
    let even = b.ins().band_not(one, bits);
    let nothing = b.ins().iconst(I64, 0);
    let step = b.ins().select(inexact, even, nothing);
    let signs = b.ins().bxor(error, bits);
    let (up, down) = (b.ins().iadd(bits, step), b.ins().isub(bits, step));
    let inwards = b.ins().icmp(IntCC::SignedLessThan, signs, nothing);
    let odd = b.ins().select(inwards, down, up);
    let odd = cast(b, odd, F64);
    b.ins().fdemote(F32, odd)
}
