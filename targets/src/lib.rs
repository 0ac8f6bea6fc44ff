//! What the compiler knows about each architecture it schedules for.
//!
//! One file per target, one line in [`TARGETS`]. A number here may change how fast a program runs, never a bit of what
//! it computes. Owns registers, vector widths, tiles and features; must not know networks, tensors or kernels.
#![forbid(unsafe_code)]

mod avx2;
mod avx512;
mod neon;
mod portable;

/// Every target, best first within an architecture.
pub const TARGETS: &[&Target] = &[&avx512::TARGET, &avx2::TARGET, &neon::TARGET, &portable::TARGET];

/// An instruction set the compiler can schedule for.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The name users see and generated modules carry, such as `avx512`.
    pub name: &'static str,
    /// Whose instructions these are.
    pub architecture: Architecture,
    /// 32-bit lanes in one vector register.
    pub lanes: usize,
    /// Vector registers a kernel may use.
    pub vector_registers: usize,
    /// Features a processor must report, in the spelling of Rust's `target_feature`.
    pub features: &'static [&'static str],
    /// Register tiles for contractions, best first: pixels times channel vectors, which are whole blocks of 16 channels.
    pub tiles: &'static [Tile],
    /// The tile of compensated sums, of which a vector takes two registers in double precision.
    pub compensated: Tile,
    /// What even small cores that run it have.
    pub caches: Caches,
}

/// Bytes of a core's caches of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caches {
    /// The first-level cache.
    pub first: usize,
    /// The second-level cache.
    pub second: usize,
}

/// The caches of nearly all cores since 2015, or smaller than theirs.
const USUAL: Caches = Caches { first: 32 << 10, second: 512 << 10 };

/// A register tile of a contraction: `pixels * vectors` accumulators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Output positions held at once, each broadcast against every channel vector.
    pub pixels: usize,
    /// Vectors of output channels held at once.
    pub vectors: usize,
}

/// An instruction-set architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Plain Rust: any machine with IEEE-754 arithmetic.
    Any,
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

/// The target called `name`, if there is one.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
