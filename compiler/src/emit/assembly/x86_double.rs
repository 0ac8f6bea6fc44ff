//! x86-64: floats to double precision and back. Must not know what is computed.

use super::lower::{Lower, Place};
use super::machine::{Class, Memory, Operand, Register};
use super::x86::{View, X86, register};
use super::x86_opcode::Opcode;
use crate::format::Format;
use crate::kernel::{Type, ValueId};

type Code<'a, 'k> = &'a mut Lower<'k, X86>;

/// Half of a vector's lanes, or a scalar, in double precision; converted from memory where they are still there.
pub fn widen(lower: Code, ty: Type, to: Register, value: ValueId, half: usize) {
    let (full, narrow) = (lower.machine.full(), lower.machine.half());
    if ty == Type::Double {
        let from = lower.value(value);
        return lower.emit(Opcode::Vcvtps2pd, vec![register(to, View::Xmm), register(from, View::Xmm)]);
    }
    if let Place::Memory { memory, format: Format::Word, broadcast, .. } = lower.place(value)
        && lower.uses.is_local(value)
    {
        if lower.dies(value) {
            lower.used_in_memory(value);
        }
        return match (broadcast, lower.machine.is_wide()) {
            (false, _) => {
                let bytes = memory.bytes / 2;
                let displacement = memory.displacement + (bytes * half) as i64;
                let memory = Operand::Memory(Memory { displacement, bytes, ..memory });
                lower.emit(Opcode::Vcvtps2pd, vec![register(to, full), memory]);
            }
            (true, true) => {
                let memory = Operand::Memory(Memory { broadcast: Some(lower.kernel.lanes / 2), ..memory });
                lower.emit(Opcode::Vcvtps2pd, vec![register(to, full), memory]);
            }
            (true, false) => {
                lower.emit(Opcode::Vbroadcastss, vec![register(to, narrow), Operand::Memory(memory)]);
                lower.emit(Opcode::Vcvtps2pd, vec![register(to, full), register(to, narrow)]);
            }
        };
    }
    let from = lower.value(value);
    let from = match half {
        0 => from,
        _ => {
            let opcode = if lower.machine.is_wide() { Opcode::Vextracti64x4 } else { Opcode::Vextracti128 };
            let upper = lower.register(Class::Vector);
            lower.emit(opcode, vec![register(upper, narrow), register(from, full), Operand::Immediate(1)]);
            upper
        }
    };
    lower.emit(Opcode::Vcvtps2pd, vec![register(to, full), register(from, narrow)]);
}

/// Both halves of a vector, or one double, as the nearest floats.
pub fn narrow(lower: Code, to: Register, halves: &[Register]) {
    let (full, narrow) = (lower.machine.full(), lower.machine.half());
    let [low, high] = halves else {
        return lower.emit(Opcode::Vcvtpd2ps, vec![register(to, View::Xmm), register(halves[0], View::Xmm)]);
    };
    let [lower_half, upper_half] = [low, high].map(|half| {
        let converted = lower.register(Class::Vector);
        lower.emit(Opcode::Vcvtpd2ps, vec![register(converted, narrow), register(*half, full)]);
        converted
    });
    let opcode = if lower.machine.is_wide() { Opcode::Vinserti64x4 } else { Opcode::Vinserti128 };
    let operands = [register(to, full), register(lower_half, full), register(upper_half, narrow)];
    lower.emit(opcode, operands.into_iter().chain([Operand::Immediate(1)]).collect());
}
