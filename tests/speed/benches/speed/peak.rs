//! The most multiply-adds a core can do with an instruction set: many independent ones, all operands in registers.

use ncnnc::InstructionSet;

/// Independent sums: at least the latency of a multiply-add times the units, on every processor so far, and few enough for
/// the 16 registers of AVX2.
const SUMS: usize = 12;
/// Multiply-adds of each sum in a burst: tens of microseconds, short beside a time slice and long beside the clock's tick.
const TERMS: usize = 8192;

/// Carries out a burst.
pub struct Peak {
    burst: fn(),
    /// Floating-point operations in a burst.
    pub operations: f64,
}

impl Peak {
    /// For this instruction set, which the machine has; nothing is known about the others.
    pub fn of(set: InstructionSet) -> Option<Self> {
        let (burst, lanes): (fn(), usize) = match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => (x86_64::avx512, 16),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => (x86_64::avx2, 8),
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => (aarch64::neon, 4),
            _ => return None,
        };
        set.is_available().then_some(Self { burst, operations: (2 * SUMS * TERMS * lanes) as f64 })
    }

    /// One burst.
    pub fn burst(&self) {
        (self.burst)();
    }
}

/// A burst with vectors of one kind.
macro_rules! burst {
    ($name:ident, $features:literal, $splat:ident, $multiply_add:ident) => {
        pub fn $name() {
            #[target_feature(enable = $features)]
            fn burst() {
                let (factor, addend) = (black_box($splat(0.5)), black_box($splat(1.0)));
                // Hidden from the compiler, which could make one sum of twelve equal ones.
                let mut sums = black_box([addend; super::SUMS]);
                for _ in 0..super::TERMS {
                    for sum in &mut sums {
                        *sum = $multiply_add(*sum, factor, addend);
                    }
                }
                black_box(sums);
            }
            // SAFETY: `Peak::of` has asked the machine for these features.
            unsafe { burst() }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use core::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
    use std::hint::black_box;

    burst!(avx512, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps);
    burst!(avx2, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps);
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use core::arch::aarch64::{float32x4_t, vdupq_n_f32, vfmaq_f32};
    use std::hint::black_box;

    /// `sum * factor + addend`.
    #[target_feature(enable = "neon")]
    fn multiply_add(sum: float32x4_t, factor: float32x4_t, addend: float32x4_t) -> float32x4_t {
        vfmaq_f32(sum, factor, addend)
    }

    burst!(neon, "neon", vdupq_n_f32, multiply_add);
}
