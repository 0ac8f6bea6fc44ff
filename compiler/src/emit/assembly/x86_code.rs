//! x86-64 instructions as bytes.

use super::machine::{Base, Class, Instruction, Memory, Operand, Register};
use super::x86::{View, X86};
use super::x86_opcode::{Opcode, Style};
use iced_x86::{BlockEncoder, BlockEncoderOptions, Code, Encoder, IcedError, InstructionBlock, MemoryOperand};
use std::collections::HashMap;

/// The alignment of the literal pool, and so of the whole: a cache line, which is also the widest vector.
pub const ALIGNMENT: usize = 64;
/// Where instructions are said to be before it is known: far from the literal pool's true place.
const NOWHERE: u64 = 1 << 40;

/// The encodings of an instruction, shortest first: the first one that has room for its operands is taken.
fn codes(opcode: Opcode) -> &'static [Code] {
    use Code::*;
    match opcode {
        Opcode::Label => &[],
        Opcode::Jmp => &[Jmp_rel8_64],
        Opcode::Je => &[Je_rel8_64],
        Opcode::Jne => &[Jne_rel8_64],
        Opcode::Jle => &[Jle_rel8_64],
        Opcode::Ret => &[Retnq],
        Opcode::Push => &[Push_r64],
        Opcode::Pop => &[Pop_r64],
        Opcode::Mov => &[Mov_r64_rm64, Mov_rm64_r64, Mov_rm64_imm32],
        Opcode::MovAbs => &[Mov_r64_imm64],
        Opcode::Movsxd => &[Movsxd_r64_rm32],
        Opcode::Add => &[Add_rm64_imm8, Add_rm64_imm32, Add_r64_rm64, Add_rm64_r64],
        Opcode::Sub => &[Sub_rm64_imm8, Sub_rm64_imm32, Sub_r64_rm64, Sub_rm64_r64],
        Opcode::And => &[And_rm64_imm8, And_rm64_imm32, And_r64_rm64, And_rm64_r64],
        Opcode::Sbb => &[Sbb_rm32_imm8],
        Opcode::Imul => &[Imul_r64_rm64_imm8, Imul_r64_rm64_imm32],
        Opcode::Inc => &[Inc_rm64],
        Opcode::Dec => &[Dec_rm64],
        Opcode::Cmp => &[Cmp_rm64_imm8, Cmp_rm64_imm32, Cmp_r64_rm64, Cmp_rm64_r64],
        Opcode::Test => &[Test_rm32_r32],
        Opcode::Prefetcht1 => &[Prefetcht1_m8],
        Opcode::Vzeroupper => &[VEX_Vzeroupper],
        Opcode::Kmovw => &[VEX_Kmovw_kr_km16, VEX_Kmovw_m16_kr],
        Opcode::Vmovd => &[VEX_Vmovd_xmm_rm32, VEX_Vmovd_rm32_xmm, EVEX_Vmovd_xmm_rm32, EVEX_Vmovd_rm32_xmm],
        Opcode::Vmovaps => &[VEX_Vmovaps_ymm_ymmm256, EVEX_Vmovaps_zmm_k1z_zmmm512],
        Opcode::Vmovups => &[
            VEX_Vmovups_ymm_ymmm256,
            VEX_Vmovups_ymmm256_ymm,
            EVEX_Vmovups_zmm_k1z_zmmm512,
            EVEX_Vmovups_zmmm512_k1z_zmm,
            VEX_Vmovups_xmmm128_xmm,
        ],
        Opcode::Vmovss => &[VEX_Vmovss_xmm_m32, VEX_Vmovss_m32_xmm, EVEX_Vmovss_xmm_k1z_m32, EVEX_Vmovss_m32_k1_xmm],
        Opcode::Vbroadcastss => &[
            VEX_Vbroadcastss_xmm_m32,
            VEX_Vbroadcastss_ymm_m32,
            VEX_Vbroadcastss_ymm_xmm,
            EVEX_Vbroadcastss_zmm_k1z_xmmm32,
        ],
        Opcode::Vadd => &[
            VEX_Vaddss_xmm_xmm_xmmm32,
            VEX_Vaddps_ymm_ymm_ymmm256,
            EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vaddss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vsub => &[
            VEX_Vsubss_xmm_xmm_xmmm32,
            VEX_Vsubps_ymm_ymm_ymmm256,
            EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vsubss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vmul => &[
            VEX_Vmulss_xmm_xmm_xmmm32,
            VEX_Vmulps_ymm_ymm_ymmm256,
            EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vmulss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vdiv => &[
            VEX_Vdivss_xmm_xmm_xmmm32,
            VEX_Vdivps_ymm_ymm_ymmm256,
            EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vdivss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vmax => &[
            VEX_Vmaxss_xmm_xmm_xmmm32,
            VEX_Vmaxps_ymm_ymm_ymmm256,
            EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae,
            EVEX_Vmaxss_xmm_k1z_xmm_xmmm32_sae,
        ],
        Opcode::Vmin => &[
            VEX_Vminss_xmm_xmm_xmmm32,
            VEX_Vminps_ymm_ymm_ymmm256,
            EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae,
            EVEX_Vminss_xmm_k1z_xmm_xmmm32_sae,
        ],
        Opcode::Vfmadd231 => &[
            VEX_Vfmadd231ss_xmm_xmm_xmmm32,
            VEX_Vfmadd231ps_ymm_ymm_ymmm256,
            EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd231ss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vfmadd213 => &[
            VEX_Vfmadd213ss_xmm_xmm_xmmm32,
            VEX_Vfmadd213ps_ymm_ymm_ymmm256,
            EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd213ss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vfmadd132 => &[
            VEX_Vfmadd132ss_xmm_xmm_xmmm32,
            VEX_Vfmadd132ps_ymm_ymm_ymmm256,
            EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd132ss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vfmadd231pd => &[
            VEX_Vfmadd231pd_xmm_xmm_xmmm128,
            VEX_Vfmadd231pd_ymm_ymm_ymmm256,
            EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er,
            EVEX_Vfmadd231pd_xmm_k1z_xmm_xmmm128b64,
        ],
        Opcode::Vaddpd => &[
            VEX_Vaddpd_xmm_xmm_xmmm128,
            VEX_Vaddpd_ymm_ymm_ymmm256,
            EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er,
            EVEX_Vaddpd_xmm_k1z_xmm_xmmm128b64,
        ],
        Opcode::Vsqrt => &[
            VEX_Vsqrtss_xmm_xmm_xmmm32,
            VEX_Vsqrtps_ymm_ymmm256,
            EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er,
            EVEX_Vsqrtss_xmm_k1z_xmm_xmmm32_er,
        ],
        Opcode::Vround => &[VEX_Vroundss_xmm_xmm_xmmm32_imm8, VEX_Vroundps_ymm_ymmm256_imm8],
        Opcode::Vrndscale => {
            &[EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, EVEX_Vrndscaless_xmm_k1z_xmm_xmmm32_imm8_sae]
        }
        Opcode::Vcmp => &[
            VEX_Vcmpss_xmm_xmm_xmmm32_imm8,
            VEX_Vcmpps_ymm_ymm_ymmm256_imm8,
            EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae,
            EVEX_Vcmpss_kr_k1_xmm_xmmm32_imm8_sae,
        ],
        Opcode::Vblendvps => &[VEX_Vblendvps_xmm_xmm_xmmm128_xmm, VEX_Vblendvps_ymm_ymm_ymmm256_ymm],
        Opcode::Vblendmps => &[EVEX_Vblendmps_xmm_k1z_xmm_xmmm128b32, EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32],
        Opcode::Vxorps | Opcode::ZeroXorps => &[VEX_Vxorps_xmm_xmm_xmmm128, VEX_Vxorps_ymm_ymm_ymmm256],
        Opcode::Vandps => &[VEX_Vandps_xmm_xmm_xmmm128, VEX_Vandps_ymm_ymm_ymmm256],
        Opcode::Vandnps => &[VEX_Vandnps_xmm_xmm_xmmm128, VEX_Vandnps_ymm_ymm_ymmm256],
        Opcode::Vorps => &[VEX_Vorps_xmm_xmm_xmmm128, VEX_Vorps_ymm_ymm_ymmm256],
        Opcode::Vpandd => &[EVEX_Vpandd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32],
        Opcode::Vpord => &[EVEX_Vpord_xmm_k1z_xmm_xmmm128b32, EVEX_Vpord_zmm_k1z_zmm_zmmm512b32],
        Opcode::Vpxord | Opcode::ZeroXord => &[EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32, EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32],
        Opcode::Vpternlogd => {
            &[EVEX_Vpternlogd_xmm_k1z_xmm_xmmm128b32_imm8, EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8]
        }
        Opcode::Vpaddd => &[
            VEX_Vpaddd_xmm_xmm_xmmm128,
            VEX_Vpaddd_ymm_ymm_ymmm256,
            EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32,
        ],
        Opcode::Vpsubd => &[
            VEX_Vpsubd_xmm_xmm_xmmm128,
            VEX_Vpsubd_ymm_ymm_ymmm256,
            EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpsubd_xmm_k1z_xmm_xmmm128b32,
        ],
        Opcode::Vpmulld => &[
            VEX_Vpmulld_xmm_xmm_xmmm128,
            VEX_Vpmulld_ymm_ymm_ymmm256,
            EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpmulld_xmm_k1z_xmm_xmmm128b32,
        ],
        Opcode::Vpslld => &[
            VEX_Vpslld_xmm_xmm_imm8,
            VEX_Vpslld_ymm_ymm_imm8,
            EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8,
            EVEX_Vpslld_xmm_k1z_xmmm128b32_imm8,
        ],
        Opcode::Vpsrld => &[
            VEX_Vpsrld_xmm_xmm_imm8,
            VEX_Vpsrld_ymm_ymm_imm8,
            EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8,
            EVEX_Vpsrld_xmm_k1z_xmmm128b32_imm8,
        ],
        Opcode::Vpsrad => &[
            VEX_Vpsrad_xmm_xmm_imm8,
            VEX_Vpsrad_ymm_ymm_imm8,
            EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8,
            EVEX_Vpsrad_xmm_k1z_xmmm128b32_imm8,
        ],
        Opcode::Vpsllvd => &[
            VEX_Vpsllvd_xmm_xmm_xmmm128,
            VEX_Vpsllvd_ymm_ymm_ymmm256,
            EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpsllvd_xmm_k1z_xmm_xmmm128b32,
        ],
        Opcode::Vpsrlvd => &[
            VEX_Vpsrlvd_xmm_xmm_xmmm128,
            VEX_Vpsrlvd_ymm_ymm_ymmm256,
            EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpsrlvd_xmm_k1z_xmm_xmmm128b32,
        ],
        Opcode::Vpsravd => &[
            VEX_Vpsravd_xmm_xmm_xmmm128,
            VEX_Vpsravd_ymm_ymm_ymmm256,
            EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32,
            EVEX_Vpsravd_xmm_k1z_xmm_xmmm128b32,
        ],
        Opcode::Vpcmpgtd => &[
            VEX_Vpcmpgtd_xmm_xmm_xmmm128,
            VEX_Vpcmpgtd_ymm_ymm_ymmm256,
            EVEX_Vpcmpgtd_kr_k1_zmm_zmmm512b32,
            EVEX_Vpcmpgtd_kr_k1_xmm_xmmm128b32,
        ],
        Opcode::Vpcmpeqd => &[
            VEX_Vpcmpeqd_xmm_xmm_xmmm128,
            VEX_Vpcmpeqd_ymm_ymm_ymmm256,
            EVEX_Vpcmpeqd_kr_k1_zmm_zmmm512b32,
            EVEX_Vpcmpeqd_kr_k1_xmm_xmmm128b32,
        ],
        Opcode::Vpmovm2d => &[EVEX_Vpmovm2d_xmm_kr, EVEX_Vpmovm2d_zmm_kr],
        Opcode::Vcvttps2dq => &[
            VEX_Vcvttps2dq_xmm_xmmm128,
            VEX_Vcvttps2dq_ymm_ymmm256,
            EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae,
            EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32,
        ],
        Opcode::Vcvttps2dqMasked => &[EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32, EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae],
        Opcode::Vcvtdq2ps => &[
            VEX_Vcvtdq2ps_xmm_xmmm128,
            VEX_Vcvtdq2ps_ymm_ymmm256,
            EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er,
            EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32,
        ],
        Opcode::Vcvtps2pd => &[
            VEX_Vcvtps2pd_xmm_xmmm64,
            VEX_Vcvtps2pd_ymm_xmmm128,
            EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae,
            EVEX_Vcvtps2pd_xmm_k1z_xmmm64b32,
        ],
        Opcode::Vcvtpd2ps => &[
            VEX_Vcvtpd2ps_xmm_xmmm128,
            VEX_Vcvtpd2ps_xmm_ymmm256,
            EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er,
            EVEX_Vcvtpd2ps_xmm_k1z_xmmm128b64,
        ],
        Opcode::Vcvtph2ps => &[
            VEX_Vcvtph2ps_xmm_xmmm64,
            VEX_Vcvtph2ps_ymm_xmmm128,
            EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae,
            EVEX_Vcvtph2ps_xmm_k1z_xmmm64,
        ],
        Opcode::Vcvtps2ph => &[
            VEX_Vcvtps2ph_xmmm64_xmm_imm8,
            VEX_Vcvtps2ph_xmmm128_ymm_imm8,
            EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae,
            EVEX_Vcvtps2ph_xmmm64_k1z_xmm_imm8,
        ],
        Opcode::Vpmovzxwd => &[VEX_Vpmovzxwd_ymm_xmmm128, EVEX_Vpmovzxwd_zmm_k1z_ymmm256],
        Opcode::Vpmovdw => &[EVEX_Vpmovdw_ymmm256_k1z_zmm],
        Opcode::Vpackusdw => &[VEX_Vpackusdw_xmm_xmm_xmmm128],
        Opcode::Vextracti128 => &[VEX_Vextracti128_xmmm128_ymm_imm8],
        Opcode::Vextracti64x4 => &[EVEX_Vextracti64x4_ymmm256_k1z_zmm_imm8],
        Opcode::Vinserti128 => &[VEX_Vinserti128_ymm_ymm_xmmm128_imm8],
        Opcode::Vinserti64x4 => &[EVEX_Vinserti64x4_zmm_k1z_zmm_ymmm256_imm8],
        Opcode::Vpbroadcastw => &[
            VEX_Vpbroadcastw_xmm_xmmm16,
            VEX_Vpbroadcastw_ymm_xmmm16,
            EVEX_Vpbroadcastw_xmm_k1z_xmmm16,
            EVEX_Vpbroadcastw_ymm_k1z_xmmm16,
            EVEX_Vpbroadcastw_zmm_k1z_xmmm16,
        ],
        Opcode::Vpextrw => &[VEX_Vpextrw_r32m16_xmm_imm8, EVEX_Vpextrw_r32m16_xmm_imm8],
        Opcode::Valignd => &[EVEX_Valignd_zmm_k1z_zmm_zmmm512b32_imm8],
        Opcode::Vpermps => &[VEX_Vpermps_ymm_ymm_ymmm256],
        Opcode::Vperm2f128 => &[VEX_Vperm2f128_ymm_ymm_ymmm256_imm8],
    }
}

/// The bytes of a kernel, its literal pool behind the code; they want to lie at a multiple of [`ALIGNMENT`].
pub fn encode(code: &[Instruction<X86>], pool: &[u32]) -> Vec<u8> {
    // Labels are the places of what follows them; an instruction's place is its number.
    let mut labels = HashMap::new();
    let mut number = 0;
    for instruction in code {
        match instruction.opcode {
            Opcode::Label => drop(labels.insert(instruction.label(), number)),
            _real => number += 1,
        }
    }
    let real = code.iter().filter(|instruction| instruction.opcode != Opcode::Label);
    let assemble = |pool| {
        let mut selector = Selector { encoder: Encoder::new(64), pool, labels: &labels };
        let instructions: Vec<_> = (real.clone().zip(NOWHERE..))
            .map(|(instruction, place)| {
                let mut encoded = selector.select(instruction);
                encoded.set_ip(place);
                encoded
            })
            .collect();
        let block = InstructionBlock::new(&instructions, 0);
        BlockEncoder::encode(64, block, BlockEncoderOptions::NONE).expect("every instruction fits").code_buffer
    };
    // No instruction's length depends on where the pool is.
    let mut bytes = assemble(0);
    if !pool.is_empty() {
        let place = bytes.len().next_multiple_of(ALIGNMENT);
        bytes = assemble(place as u64);
        bytes.resize(place, 0xcc);
        bytes.extend(crate::bytes::of_words(pool));
    }
    bytes
}

/// An operand in the encoder's words.
#[derive(Clone, Copy)]
enum Part {
    Register(iced_x86::Register),
    Memory(MemoryOperand),
    Number(i64),
}

struct Selector<'a> {
    /// Tries encodings out.
    encoder: Encoder,
    /// Where the literal pool is.
    pool: u64,
    labels: &'a HashMap<Option<usize>, u64>,
}

impl Selector<'_> {
    fn select(&mut self, instruction: &Instruction<X86>) -> iced_x86::Instruction {
        let codes = codes(instruction.opcode);
        if let Some(label) = instruction.label() {
            let target = NOWHERE + self.labels[&Some(label)];
            return iced_x86::Instruction::with_branch(codes[0], target).expect("jumps take a target");
        }
        let mut parts: Vec<Part> = instruction.operands.iter().map(|operand| self.part(operand)).collect();
        let style = instruction.opcode.style();
        let mask = match style {
            Style::Masked | Style::MaskedZero => Some(parts.remove(1)),
            Style::Thrice => {
                parts = vec![parts[0]; 3];
                None
            }
            Style::Plain | Style::Float | Style::Label => None,
        };
        let fits = |code: &Code| {
            let mut shape = iced_x86::Instruction::default();
            shape.set_code(*code);
            if shape.op_count() as usize != parts.len() {
                return None;
            }
            let mut candidate = with(*code, &parts).ok()?;
            if let Some(Part::Register(mask)) = mask {
                candidate.set_op_mask(mask);
                candidate.set_zeroing_masking(style == Style::MaskedZero);
            }
            let repeats = candidate.is_broadcast();
            let fits = self.encoder.encode(&candidate, 0).is_ok() && candidate.memory_size().is_broadcast() == repeats;
            drop(self.encoder.take_buffer());
            fits.then_some(candidate)
        };
        codes.iter().find_map(fits).unwrap_or_else(|| panic!("no encoding of {instruction:?}"))
    }

    fn part(&self, operand: &Operand<View>) -> Part {
        match operand {
            Operand::Register(register, view) => Part::Register(name(*register, *view)),
            Operand::Memory(memory) => Part::Memory(self.memory(memory)),
            Operand::Immediate(number) => Part::Number(*number),
            Operand::Label(_) => unreachable!("labels are operands of jumps only"),
        }
    }

    fn memory(&self, memory: &Memory) -> MemoryOperand {
        let (base, displacement) = match memory.base {
            Base::Register(register) => (name(register, View::Quad), memory.displacement),
            Base::Frame => (iced_x86::Register::RSP, memory.displacement),
            // The encoder takes the place itself and finds the distance.
            Base::Pool => (iced_x86::Register::RIP, self.pool.cast_signed() + memory.displacement),
        };
        let (index, scale) = match memory.index {
            Some((index, scale)) => (name(index, View::Quad), u32::from(scale)),
            None => (iced_x86::Register::None, 1),
        };
        let broadcast = memory.broadcast.is_some();
        // With a size of one byte, the encoder takes as many as the displacement needs.
        let size = u32::from(displacement != 0);
        MemoryOperand::new(base, index, scale, displacement, size, broadcast, iced_x86::Register::None)
    }
}

/// An instruction with these operands, if there is such a form of it.
fn with(code: Code, parts: &[Part]) -> Result<iced_x86::Instruction, IcedError> {
    use Part::{Memory as M, Number as N, Register as R};
    use iced_x86::Instruction as I;
    match *parts {
        [] => Ok(I::with(code)),
        [R(a)] => I::with1(code, a),
        [M(a)] => I::with1(code, a),
        [R(a), R(b)] => I::with2(code, a, b),
        [R(a), M(b)] => I::with2(code, a, b),
        [M(a), R(b)] => I::with2(code, a, b),
        [R(a), N(b)] => I::with2(code, a, b),
        [M(a), N(b)] => I::with2(code, a, b as i32),
        [R(a), R(b), R(c)] => I::with3(code, a, b, c),
        [R(a), R(b), M(c)] => I::with3(code, a, b, c),
        [R(a), R(b), N(c)] => I::with3(code, a, b, c as i32),
        [M(a), R(b), N(c)] => I::with3(code, a, b, c as i32),
        [R(a), M(b), N(c)] => I::with3(code, a, b, c as i32),
        [R(a), R(b), R(c), R(d)] => I::with4(code, a, b, c, d),
        [R(a), R(b), M(c), R(d)] => I::with4(code, a, b, c, d),
        [R(a), R(b), R(c), N(d)] => I::with4(code, a, b, c, d as i32),
        [R(a), R(b), M(c), N(d)] => I::with4(code, a, b, c, d as i32),
        _ => unreachable!("no instruction in use has such operands"),
    }
}

fn name(register: Register, view: View) -> iced_x86::Register {
    use iced_x86::Register::{EAX, K0, RAX, XMM0, YMM0, ZMM0};
    let first = match (register.class, view) {
        (Class::General, View::Word) => EAX,
        (Class::General, _quad) => RAX,
        (Class::Mask, _any) => K0,
        (Class::Vector, View::Ymm) => YMM0,
        (Class::Vector, View::Zmm) => ZMM0,
        (Class::Vector, _narrow) => XMM0,
    };
    first + register.number as u32
}
