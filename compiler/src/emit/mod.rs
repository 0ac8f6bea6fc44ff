//! Programs as code. Must not decide anything about them: what arrives here is compiled as it stands.

pub mod assembly;
#[cfg(feature = "object")]
pub mod object;
pub mod rust;
