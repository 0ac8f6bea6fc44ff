//! x86-64 with AVX2 and FMA: 16 registers of 256 bits.
use crate::{Architecture, Target, Tile};

/// Tiles measured at 99-100 % of the FMA peak on an L1-resident panel.
pub const TARGET: Target = Target {
    name: "avx2",
    architecture: Architecture::X86_64,
    lanes: 8,
    vector_registers: 16,
    features: &["avx2", "fma", "f16c"],
    tiles: &[Tile { pixels: 6, vectors: 2 }, Tile { pixels: 4, vectors: 3 }, Tile { pixels: 14, vectors: 1 }],
};
