//! x86-64 with AVX-512: 32 registers of 512 bits.
use crate::{Architecture, Target, Tile, USUAL};

/// Tiles measured at 99-100 % of the FMA peak on an L1-resident panel; 9x3 serves channel counts that 48 divides.
pub const TARGET: Target = Target {
    name: "avx512",
    architecture: Architecture::X86_64,
    lanes: 16,
    vector_registers: 32,
    features: &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "f16c"],
    tiles: &[
        Tile { pixels: 14, vectors: 2 },
        Tile { pixels: 6, vectors: 4 },
        Tile { pixels: 9, vectors: 3 },
        Tile { pixels: 28, vectors: 1 },
    ],
    // Whole layers run at 44 % of the FMA peak of words with it; doubles have half the lanes.
    compensated: Tile { pixels: 6, vectors: 2 },
    caches: USUAL,
};
