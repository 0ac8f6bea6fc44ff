//! Elements of every format to and from memory: what a word is widened from, and rounded to.
//!
//! Cranelift converts no numbers of 16 bits; instructions of the table do it as the runtime's `words` do.

use super::words::{Arithmetic, apply, cast, constant};
use crate::format::Format;
use crate::instruction::Instruction::{
    self, Add, And, FromInteger, IntegerAdd, IntegerLess, IntegerSubtract, Multiply, Or, Select, ShiftLeft, ShiftRight,
};
use cranelift_codegen::ir::types::{F32X4, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::FunctionBuilder;

/// Elements are known to be aligned as elements only.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Elements in sequence from memory, as many as the type has lanes.
pub(super) fn load(b: &mut FunctionBuilder, format: Format, float: Type, pointer: Value, offset: i32) -> Value {
    if format == Format::Word {
        return b.ins().load(float, flags(), pointer, offset);
    }
    let elements = match float {
        F32X4 => b.ins().uload16x4(flags(), pointer, offset),
        _scalar => b.ins().uload16(I32, flags(), pointer, offset),
    };
    let mut words = Words { b, float };
    match format {
        Format::F16 => words.widen_f16(elements),
        Format::Bf16 | Format::Word => words.shift(ShiftLeft, elements, 16),
    }
}

/// Elements to memory, rounded.
pub(super) fn store(b: &mut FunctionBuilder, format: Format, float: Type, word: Value, pointer: Value, offset: i32) {
    if format == Format::Word {
        b.ins().store(flags(), word, pointer, offset);
        return;
    }
    let mut words = Words { b, float };
    let elements = match format {
        Format::F16 => words.narrow_f16(word),
        Format::Bf16 | Format::Word => words.narrow_bf16(word),
    };
    if float != F32X4 {
        let element = cast(b, elements, I32);
        b.ins().istore16(flags(), element, pointer, offset);
        return;
    }
    let elements = cast(b, elements, I32X4);
    let halves = b.ins().unarrow(elements, elements);
    debug_assert_eq!(b.func.dfg.value_type(halves), I16X8);
    let pairs = cast(b, halves, I64X2);
    let low = b.ins().extractlane(pairs, 0);
    b.ins().store(flags(), low, pointer, offset);
}

/// Instructions of the table on words of one type.
struct Words<'a, 'b> {
    b: &'a mut FunctionBuilder<'b>,
    float: Type,
}

impl Words<'_, '_> {
    fn apply(&mut self, instruction: Instruction, operands: &[Value]) -> Value {
        apply(self.b, Arithmetic::Complete, instruction, operands, None, self.float)
    }

    fn word(&mut self, bits: u32) -> Value {
        constant(self.b, bits, self.float)
    }

    /// An instruction whose second operand is known.
    fn with(&mut self, instruction: Instruction, value: Value, bits: u32) -> Value {
        let word = self.word(bits);
        self.apply(instruction, &[value, word])
    }

    fn shift(&mut self, instruction: Instruction, value: Value, amount: u32) -> Value {
        let word = self.word(amount);
        apply(self.b, Arithmetic::Complete, instruction, &[value, word], Some(amount), self.float)
    }

    /// Whether an integer is at least this large.
    fn reaches(&mut self, value: Value, bits: u32) -> Value {
        let below = self.word(bits - 1);
        self.apply(IntegerLess, &[below, value])
    }

    fn select(&mut self, mask: Value, bits: u32, other: Value) -> Value {
        let word = self.word(bits);
        self.apply(Select, &[mask, word, other])
    }

    /// The runtime's `widen_f16`.
    fn widen_f16(&mut self, element: Value) -> Value {
        let sign = self.with(And, element, 0x8000);
        let sign = self.shift(ShiftLeft, sign, 16);
        let magnitude = self.with(And, element, 0x7fff);
        let is_special = self.reaches(magnitude, 0x7c00);
        let usual = self.word(0x3800_0000);
        let beyond = self.select(is_special, 0x7000_0000, usual);
        let normal = self.shift(ShiftLeft, magnitude, 13);
        let normal = self.apply(IntegerAdd, &[normal, beyond]);
        let subnormal = self.apply(FromInteger, &[magnitude]);
        let subnormal = self.with(Multiply, subnormal, 0x3380_0000);
        let is_normal = self.reaches(magnitude, 0x400);
        let size = self.apply(Select, &[is_normal, normal, subnormal]);
        self.apply(Or, &[sign, size])
    }

    /// The runtime's `narrow_f16`.
    fn narrow_f16(&mut self, word: Value) -> Value {
        let sign = self.shift(ShiftRight, word, 16);
        let sign = self.with(And, sign, 0x8000);
        let magnitude = self.with(And, word, 0x7fff_ffff);
        let last = self.shift(ShiftRight, magnitude, 13);
        let last = self.with(And, last, 1);
        let normal = self.with(IntegerSubtract, magnitude, 0x3800_0000 - 0xfff);
        let normal = self.apply(IntegerAdd, &[normal, last]);
        let normal = self.shift(ShiftRight, normal, 13);
        let subnormal = self.with(Add, magnitude, 0.5_f32.to_bits());
        let subnormal = self.with(IntegerSubtract, subnormal, 0x3f00_0000);
        let is_normal = self.reaches(magnitude, 0x3880_0000);
        let finite = self.apply(Select, &[is_normal, normal, subnormal]);
        let is_large = self.reaches(magnitude, 0x477f_f000);
        let number = self.select(is_large, 0x7c00, finite);
        let is_nan = self.reaches(magnitude, 0x7f80_0001);
        let size = self.select(is_nan, 0x7e00, number);
        self.apply(Or, &[sign, size])
    }

    /// The runtime's `narrow_bf16`.
    fn narrow_bf16(&mut self, word: Value) -> Value {
        let last = self.shift(ShiftRight, word, 16);
        let last = self.with(And, last, 1);
        let rounded = self.with(IntegerAdd, word, 0x7fff);
        let rounded = self.apply(IntegerAdd, &[rounded, last]);
        let magnitude = self.with(And, word, 0x7fff_ffff);
        let is_nan = self.reaches(magnitude, 0x7f80_0001);
        let quiet = self.with(Or, word, 0x40_0000);
        let kept = self.apply(Select, &[is_nan, quiet, rounded]);
        self.shift(ShiftRight, kept, 16)
    }
}
