//! What the tests share: the data they read, the rule outputs are compared by, and one hash per model.
//!
//! Data, rule and hash know nothing of the compiler, so that its mistakes cannot be repeated on both sides of a
//! comparison; `lowered`, `planned`, `generated` and `linked` put it to work. A file that is absent or malformed panics with its path: to a
//! test that is a failure, and there is nobody to recover.
#![forbid(unsafe_code)]

pub mod cases;
pub mod compare;
pub mod doubles;
pub mod generated;
pub mod hash;
#[cfg(feature = "objects")]
pub mod linked;
pub mod lowered;
pub mod networks;
pub mod npy;
pub mod planned;
pub mod random;
pub mod scope;
pub mod shared;
pub mod synth;
