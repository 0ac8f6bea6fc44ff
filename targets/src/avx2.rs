//! x86-64 with AVX2 and FMA: 16 registers of 256 bits.
use crate::{Architecture, Target, Tile, USUAL};

/// 6x2 is measured at 100 % of the FMA peak on an L1-resident panel. 4x3 and 14x1 are as fast there, but begin within blocks
/// of 16 channels: whole layers ran at 85 % and 59 % with them, at 98 % and 77 % without.
pub const TARGET: Target = Target {
    name: "avx2",
    architecture: Architecture::X86_64,
    lanes: 8,
    vector_registers: 16,
    features: &["avx2", "fma", "f16c"],
    tiles: &[Tile { pixels: 6, vectors: 2 }],
    // Whole layers run at 43-48 % of the FMA peak of words with it, 2x2 at 44 % in a bare loop: it fills all 16 registers.
    compensated: Tile { pixels: 3, vectors: 2 },
    caches: USUAL,
};
