//! Which of the instruction sets a network was compiled for this machine has.

/// An instruction set networks are compiled for. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// x86-64 with AVX-512 (F, BW, CD, DQ, VL).
    Avx512,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// 64-bit ARM.
    Neon,
    /// Plain Rust: any machine.
    Portable,
}

impl InstructionSet {
    /// Every instruction set, best first.
    pub const ALL: &'static [Self] = &[Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The name the compiler has for it, such as `avx2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// Whether this machine has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Avx512 => x86_64().avx512,
            Self::Avx2 => x86_64().avx2,
            // Every 64-bit ARM processor that runs Rust's usual targets has it.
            Self::Neon => cfg!(all(target_arch = "aarch64", target_feature = "neon")),
            Self::Portable => true,
        }
    }

    /// The best one this machine has.
    #[must_use]
    pub fn detect() -> Self {
        Self::ALL.iter().copied().find(|set| set.is_available()).unwrap_or(Self::Portable)
    }
}

struct X86_64 {
    avx2: bool,
    avx512: bool,
}

#[cfg(not(target_arch = "x86_64"))]
fn x86_64() -> X86_64 {
    X86_64 { avx2: false, avx512: false }
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
fn x86_64() -> X86_64 {
    use std::is_x86_feature_detected as has;
    let avx2 = has!("avx2") && has!("fma") && has!("f16c");
    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    X86_64 { avx2, avx512: avx2 && avx512 }
}

#[cfg(all(target_arch = "x86_64", not(feature = "std")))]
fn x86_64() -> X86_64 {
    cpuid()
}

/// Asks the processor and what the operating system saves of its registers (Intel 64 and IA-32 Architectures Software
/// Developer's Manual, volume 1, sections 14.3 and 15.2; leaf numbers from volume 2, CPUID).
#[cfg(all(target_arch = "x86_64", any(test, not(feature = "std"))))]
fn cpuid() -> X86_64 {
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    /// Whether all bits with these numbers are set.
    fn all(word: u32, bits: &[u32]) -> bool {
        bits.iter().all(|bit| word >> bit & 1 == 1)
    }
    #[target_feature(enable = "xsave")]
    fn saved_registers() -> u32 {
        // SAFETY: register 0 exists wherever OSXSAVE is set, as checked by the caller.
        let word = unsafe { _xgetbv(0) };
        word as u32
    }

    const FMA_OSXSAVE_AVX_F16C: [u32; 4] = [12, 27, 28, 29];
    const AVX2: [u32; 1] = [5];
    const AVX512_F_DQ_CD_BW_VL: [u32; 5] = [16, 17, 28, 30, 31];
    const XMM_YMM: [u32; 2] = [1, 2];
    const MASKS_ZMM: [u32; 3] = [5, 6, 7];
    let none = X86_64 { avx2: false, avx512: false };
    if __cpuid(0).eax < 7 || !all(__cpuid(1).ecx, &FMA_OSXSAVE_AVX_F16C) {
        return none;
    }
    // SAFETY: OSXSAVE says that the operating system has enabled the instruction.
    let saved = unsafe { saved_registers() };
    let features = __cpuid_count(7, 0).ebx;
    let avx2 = all(saved, &XMM_YMM) && all(features, &AVX2);
    X86_64 { avx2, avx512: avx2 && all(saved, &MASKS_ZMM) && all(features, &AVX512_F_DQ_CD_BW_VL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn asking_the_processor_finds_what_the_standard_library_finds() {
        let (ours, theirs) = (cpuid(), x86_64());
        assert_eq!((ours.avx2, ours.avx512), (theirs.avx2, theirs.avx512));
    }

    #[test]
    fn there_is_always_a_best_set() {
        assert!(InstructionSet::detect().is_available());
    }
}
