//! Asking an x86-64 processor for its instruction sets.

use super::driver::{Functions, signature};
use cranelift_codegen::ir::AbiParam;
use cranelift_codegen::ir::types::I64;
use cranelift_module::{FuncId, Module};
use iced_x86::{BlockEncoder, BlockEncoderOptions, Code, IcedError, Instruction, InstructionBlock, Register};

/// The instruction sets, each with all of those before it.
pub(super) const LEVELS: &[&str] = &["portable", "avx2", "avx512"];

// Bits of CPUID's leaves and of the register that says what the operating system saves (Intel 64 and IA-32 Architectures
// Software Developer's Manual, volume 1, sections 14.3 and 15.2; leaf numbers from volume 2, CPUID).
const FMA_OSXSAVE_AVX_F16C: u32 = 1 << 12 | 1 << 27 | 1 << 28 | 1 << 29;
const AVX2: u32 = 1 << 5;
const AVX512_F_DQ_CD_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30 | 1 << 31;
const XMM_YMM: u32 = 1 << 1 | 1 << 2;
const MASKS_ZMM: u32 = 1 << 5 | 1 << 6 | 1 << 7;

/// `detect()`: the position in [`LEVELS`] of the best set that the processor has and the operating system supports.
pub(super) fn detect<M: Module>(functions: &mut Functions<M>) -> FuncId {
    let mut own = signature(functions.platform.kernel_convention(), 0);
    own.returns = vec![AbiParam::new(I64)];
    let bytes = code().expect("every instruction has this form");
    functions.define_bytes("detect", &own, &bytes, 16)
}

/// The place of the code's end, for jumps to it.
const DONE: u64 = 1 << 32;

fn code() -> Result<Vec<u8>, IcedError> {
    use Register::{EAX, EBX, ECX, R8D, R9D, RBX};
    let leaf = |number: u32| {
        Ok([
            Instruction::with2(Code::Mov_r32_imm32, EAX, number)?,
            Instruction::with2(Code::Xor_r32_rm32, ECX, ECX)?,
            Instruction::with(Code::Cpuid),
        ])
    };
    let unless_all = |register: Register, bits: u32| {
        Ok([
            Instruction::with2(Code::And_rm32_imm32, register, bits)?,
            Instruction::with2(Code::Cmp_rm32_imm32, register, bits)?,
            Instruction::with_branch(Code::Jne_rel8_64, DONE)?,
        ])
    };
    let level = |number: u32| Instruction::with2(Code::Mov_r32_imm32, R8D, number);
    let mut code = vec![Instruction::with1(Code::Push_r64, RBX)?, level(0)?];
    code.extend(leaf(0)?);
    code.push(Instruction::with2(Code::Cmp_rm32_imm8, EAX, 7)?);
    code.push(Instruction::with_branch(Code::Jb_rel8_64, DONE)?);
    code.extend(leaf(1)?);
    code.extend(unless_all(ECX, FMA_OSXSAVE_AVX_F16C)?);
    code.push(Instruction::with2(Code::Xor_r32_rm32, ECX, ECX)?);
    code.push(Instruction::with(Code::Xgetbv));
    code.push(Instruction::with2(Code::Mov_r32_rm32, R9D, EAX)?);
    code.extend(unless_all(EAX, XMM_YMM)?);
    code.extend(leaf(7)?);
    code.push(Instruction::with2(Code::Mov_r32_rm32, EAX, EBX)?);
    code.extend(unless_all(EAX, AVX2)?);
    code.push(level(1)?);
    code.extend(unless_all(R9D, MASKS_ZMM)?);
    code.extend(unless_all(EBX, AVX512_F_DQ_CD_BW_VL)?);
    code.push(level(2)?);
    let mut done = Instruction::with2(Code::Mov_r32_rm32, EAX, R8D)?;
    code.iter_mut().zip(1..).for_each(|(instruction, place)| instruction.set_ip(place));
    done.set_ip(DONE);
    code.extend([done, Instruction::with1(Code::Pop_r64, RBX)?, Instruction::with(Code::Retnq)]);
    let block = InstructionBlock::new(&code, 0);
    Ok(BlockEncoder::encode(64, block, BlockEncoderOptions::NONE)?.code_buffer)
}
