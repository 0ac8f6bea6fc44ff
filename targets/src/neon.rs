//! 64-bit ARM with NEON: 32 registers of 128 bits.
use crate::{Architecture, Target, Tile, USUAL};

/// Four vectors are a whole block of 16 channels; with six pixels they leave registers for the weights and one activation.
pub const TARGET: Target = Target {
    name: "neon",
    architecture: Architecture::Aarch64,
    lanes: 4,
    vector_registers: 32,
    features: &["neon"],
    tiles: &[Tile { pixels: 6, vectors: 4 }],
    // 24 sums, four vectors of weights and a factor; not measured.
    compensated: Tile { pixels: 6, vectors: 2 },
    caches: USUAL,
};
