//! 64-bit ARM with NEON: 32 registers of 128 bits.
use crate::{Architecture, Target, Tile};

/// 8x2 and 8x3 reach the FMLA limit in llvm-mca's models of neoverse-n1 and apple-m1.
pub const TARGET: Target = Target {
    name: "neon",
    architecture: Architecture::Aarch64,
    lanes: 4,
    vector_registers: 32,
    features: &["neon"],
    tiles: &[Tile { pixels: 6, vectors: 4 }, Tile { pixels: 8, vectors: 2 }],
};
