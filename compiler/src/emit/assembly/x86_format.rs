//! x86-64: elements of every format to and from memory.
//!
//! F16C converts half precision; bfloat16 is the high half of a lane. Must not know what is computed.

use super::lower::Lower;
use super::machine::{Class, Memory, Operand, Register};
use super::x86::{View, X86, register};
use super::x86_opcode::Opcode;
use crate::format::Format;
use crate::kernel::Type;

type Code<'a, 'k> = &'a mut Lower<'k, X86>;

/// Rounding of vcvtps2ph to nearest even, whatever the control register says (Intel SDM volume 2, VCVTPS2PH).
const TO_NEAREST_EVEN: i64 = 0;
/// The predicate of vcmpps for a NaN among the operands, which does not signal.
const UNORDERED: i64 = 0x03;

/// Elements from memory, widened.
pub fn load(lower: Code, ty: Type, to: Register, from: Memory, format: Format) {
    let view = lower.machine.float(ty);
    match (format, ty) {
        (Format::Word, Type::Scalar) => lower.emit(Opcode::Vmovss, vec![register(to, view), Operand::Memory(from)]),
        (Format::Word, _) => lower.emit(Opcode::Vmovups, vec![register(to, view), Operand::Memory(from)]),
        // No vector instruction reads 16 bits and clears the rest: those in the other lanes are never looked at.
        (Format::F16 | Format::Bf16, Type::Scalar) => repeat(lower, to, from, format, View::Xmm, View::Xmm),
        (Format::F16, _) => lower.emit(Opcode::Vcvtph2ps, vec![register(to, view), Operand::Memory(from)]),
        (Format::Bf16, _) => {
            lower.emit(Opcode::Vpmovzxwd, vec![register(to, view), Operand::Memory(from)]);
            high_half(lower, to, view);
        }
    }
}

/// One element from memory in every lane, widened.
pub fn broadcast(lower: Code, to: Register, from: Memory, format: Format) {
    let (full, half) = (lower.machine.full(), lower.machine.half());
    match format {
        Format::Word => lower.emit(Opcode::Vbroadcastss, vec![register(to, full), Operand::Memory(from)]),
        Format::F16 | Format::Bf16 => repeat(lower, to, from, format, full, half),
    }
}

/// Repeats 16 bits of memory and widens them where they then are.
fn repeat(lower: Code, to: Register, from: Memory, format: Format, view: View, half: View) {
    let narrow = if format == Format::F16 { half } else { view };
    lower.emit(Opcode::Vpbroadcastw, vec![register(to, narrow), Operand::Memory(from)]);
    match format {
        Format::F16 => lower.emit(Opcode::Vcvtph2ps, vec![register(to, view), register(to, half)]),
        Format::Bf16 => high_half(lower, to, view),
        Format::Word => unreachable!("words are repeated whole"),
    }
}

/// The low halves of all lanes moved to the high ones.
fn high_half(lower: Code, to: Register, view: View) {
    lower.emit(Opcode::Vpslld, vec![register(to, view), register(to, view), Operand::Immediate(16)]);
}

/// Elements to memory, rounded.
pub fn store(lower: Code, ty: Type, to: Memory, from: Register, format: Format) {
    let (view, half) = (lower.machine.float(ty), lower.machine.half());
    let to = Operand::Memory(to);
    match (format, ty) {
        (Format::Word, Type::Scalar) => lower.emit(Opcode::Vmovss, vec![to, register(from, view)]),
        (Format::Word, _) => lower.emit(Opcode::Vmovups, vec![to, register(from, view)]),
        (Format::F16, Type::Scalar) => {
            let narrow = register(lower.register(Class::Vector), View::Xmm);
            let rounding = Operand::Immediate(TO_NEAREST_EVEN);
            lower.emit(Opcode::Vcvtps2ph, vec![narrow, register(from, View::Xmm), rounding]);
            lower.emit(Opcode::Vpextrw, vec![to, narrow, Operand::Immediate(0)]);
        }
        (Format::F16, _) => {
            lower.emit(Opcode::Vcvtps2ph, vec![to, register(from, view), Operand::Immediate(TO_NEAREST_EVEN)]);
        }
        (Format::Bf16, Type::Scalar) => {
            let rounded = rounded_high_half(lower, from, View::Xmm);
            lower.emit(Opcode::Vpextrw, vec![to, register(rounded, View::Xmm), Operand::Immediate(0)]);
        }
        (Format::Bf16, _) => {
            let rounded = rounded_high_half(lower, from, view);
            if lower.machine.is_wide() {
                return lower.emit(Opcode::Vpmovdw, vec![to, register(rounded, view)]);
            }
            let (upper, packed) = (lower.register(Class::Vector), lower.register(Class::Vector));
            let (upper, packed) = (register(upper, half), register(packed, half));
            lower.emit(Opcode::Vextracti128, vec![upper, register(rounded, view), Operand::Immediate(1)]);
            lower.emit(Opcode::Vpackusdw, vec![packed, register(rounded, half), upper]);
            lower.emit(Opcode::Vmovups, vec![to, packed]);
        }
    }
}

/// The high half of every lane, rounded to nearest even, in the low half of a new register: just under half of the last
/// place that stays is added, and that place's own bit, so that a tie goes up only from an odd number. The sum would carry
/// a NaN into infinity or zero: NaNs are quieted instead.
fn rounded_high_half(lower: Code, from: Register, view: View) -> Register {
    let wide = lower.machine.is_wide();
    let (and, or) = if wide { (Opcode::Vpandd, Opcode::Vpord) } else { (Opcode::Vandps, Opcode::Vorps) };
    let [one, below_half, quiet] = [1, 0x7fff, 0x0040_0000].map(|word| register(lower.constant(word), view));
    let [rounded, number] = [(); 2].map(|()| lower.register(Class::Vector));
    let [sum, number, from] = [rounded, number, from].map(|of| register(of, view));
    lower.emit(Opcode::Vpsrld, vec![sum, from, Operand::Immediate(16)]);
    lower.emit(and, vec![sum, sum, one]);
    lower.emit(Opcode::Vpaddd, vec![sum, sum, below_half]);
    lower.emit(Opcode::Vpaddd, vec![sum, sum, from]);
    lower.emit(or, vec![number, from, quiet]);
    if wide {
        let mask = register(lower.register(Class::Mask), View::Mask);
        lower.emit(Opcode::Vcmp, vec![mask, from, from, Operand::Immediate(UNORDERED)]);
        lower.emit(Opcode::Vblendmps, vec![sum, mask, sum, number]);
    } else {
        let mask = register(lower.register(Class::Vector), view);
        lower.emit(Opcode::Vcmp, vec![mask, from, from, Operand::Immediate(UNORDERED)]);
        lower.emit(Opcode::Vblendvps, vec![sum, sum, number, mask]);
    }
    lower.emit(Opcode::Vpsrld, vec![sum, sum, Operand::Immediate(16)]);
    rounded
}
