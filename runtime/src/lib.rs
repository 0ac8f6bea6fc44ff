//! Neural networks compiled into your crate.
//!
//! `include_model!` turns a network in ncnn's format into Rust at build time: shapes, addresses and weights are fixed,
//! nothing is interpreted, loaded or allocated while it runs, and the output bits are the same on every machine.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[doc(hidden)]
pub mod generated;
mod instruction_set;
mod memory;
mod options;
#[cfg(feature = "std")]
mod pool;
mod rows;
mod weights;
#[doc(hidden)]
pub mod words;

pub use instruction_set::InstructionSet;
#[cfg(feature = "alloc")]
pub use memory::leak_weights;
pub use memory::{Arena, Memory, Owned};
pub use ncnnc_macros::include_model;
pub use options::Options;
pub use rows::Rows;
pub use weights::WeightsError;

/// Keeps its items: this build has a heap.
#[cfg(feature = "alloc")]
#[doc(hidden)]
#[macro_export]
macro_rules! with_heap {
    ($($item:item)*) => { $($item)* };
}

/// Drops its items: this build has no heap.
#[cfg(not(feature = "alloc"))]
#[doc(hidden)]
#[macro_export]
macro_rules! with_heap {
    ($($item:item)*) => {};
}
