//! `ncnnc`'s compiler: neural networks in ncnn's format in, specialised code with reproducible numbers out.
//!
//! One direction of data: `ncnn` (the files) → `graph` (tensors and nests) → `passes` → `plan` (what is computed, to the
//! bit) → `schedule` (how, on one target) → `kernel` (programs) → `emit` (tokens). `ARCHITECTURE.md` has the invariants.
#![forbid(unsafe_code)]

pub mod budget;
pub mod build;
mod bytes;
pub mod compile;
pub mod diagnostic;
pub mod door;
pub mod emit;
pub mod expression;
pub mod format;
pub mod function;
pub mod graph;
pub mod instruction;
pub mod kernel;
pub mod lock;
pub mod mode;
pub mod ncnn;
pub mod ops;
pub mod passes;
pub mod pattern;
pub mod plan;
pub mod precision;
pub mod recipe;
pub mod schedule;
#[cfg(feature = "verify")]
pub mod verify;
