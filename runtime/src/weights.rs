//! Packed weights that come at run time, and what can be wrong with them.

use core::fmt;
use core::hash::Hasher;
use siphasher::sip128::{Hasher128, SipHasher13};

/// Why packed weights were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightsError {
    /// They are not as long as this network's.
    Length {
        /// Bytes that the network wants.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// They don't begin at a multiple of 64 bytes.
    Alignment,
    /// They are those of another model, or packed by another version of the compiler, or damaged.
    Content,
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "the packed weights have {found} bytes, but this network's have {expected}")
            }
            Self::Alignment => f.write_str("the packed weights don't begin at a multiple of 64 bytes"),
            Self::Content => f.write_str("the packed weights are damaged, or not those this network was compiled with"),
        }
    }
}

impl core::error::Error for WeightsError {}

/// Whether these are the weights with this length and hash.
#[doc(hidden)]
pub fn check(weights: &[u8], bytes: usize, hash: u128) -> Result<(), WeightsError> {
    if weights.len() != bytes {
        return Err(WeightsError::Length { expected: bytes, found: weights.len() });
    }
    if !weights.as_ptr().addr().is_multiple_of(64) {
        return Err(WeightsError::Alignment);
    }
    let mut hasher = SipHasher13::new();
    hasher.write(weights);
    if hasher.finish128().as_u128() == hash { Ok(()) } else { Err(WeightsError::Content) }
}
