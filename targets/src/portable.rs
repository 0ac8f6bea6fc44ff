//! Plain Rust for every machine: what runs where nothing better is known.
use crate::{Architecture, Target, Tile, USUAL};

/// Four lanes are what every optimiser turns into the machine's own vectors.
pub const TARGET: Target = Target {
    name: "portable",
    architecture: Architecture::Any,
    lanes: 4,
    vector_registers: 16,
    features: &[],
    tiles: &[Tile { pixels: 2, vectors: 4 }],
    compensated: Tile { pixels: 2, vectors: 2 },
    caches: USUAL,
};
