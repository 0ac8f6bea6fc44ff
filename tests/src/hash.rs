//! One hash per model: the same number on every target, through every emitter, for any number of threads.
//!
//! FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv), over the output words in little-endian order. Which NaN an
//! operation makes differs between architectures, so every NaN counts as the same one; all else counts bit by bit.

use crate::shared::workspace;
use std::collections::BTreeMap;

/// The file of recorded hashes, in the workspace: a network's name and its hash on each line.
pub const TABLE: &str = "tests/hashes.txt";
/// Where FNV-1a starts.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// What FNV-1a multiplies by.
const PRIME: u64 = 0x0000_0100_0000_01b3;
/// The NaN that stands for all of them.
const NAN: u32 = 0x7fc0_0000;

/// A hash over several outputs, fed one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(OFFSET_BASIS)
    }
}

impl Hash {
    /// Continues the hash with the bits of f32 values.
    pub fn add(&mut self, words: impl IntoIterator<Item = u32>) {
        for word in words {
            let word = if f32::from_bits(word).is_nan() { NAN } else { word };
            for byte in word.to_le_bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
            }
        }
    }

    /// The hash of all words so far.
    pub fn finish(self) -> u64 {
        self.0
    }
}

/// The hash of a network's outputs, in order, given by the bits of their f32 values.
pub fn hash_outputs<'a>(outputs: impl IntoIterator<Item = &'a [u32]>) -> u64 {
    let mut hash = Hash::default();
    outputs.into_iter().for_each(|words| hash.add(words.iter().copied()));
    hash.finish()
}

/// The hash of one output given by the bits of its f32 values.
pub fn hash_words(words: &[u32]) -> u64 {
    let mut hash = Hash::default();
    hash.add(words.iter().copied());
    hash.finish()
}

/// The hash of one output.
pub fn hash_values(values: &[f32]) -> u64 {
    let mut hash = Hash::default();
    hash.add(values.iter().map(|value| value.to_bits()));
    hash.finish()
}

/// The recorded hashes by network.
///
/// # Panics
///
/// When the table is absent or malformed.
pub fn recorded() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(workspace().join(TABLE)).expect("the table of hashes is in the repository");
    let row = |line: &str| {
        let (name, hash) = line.split_once(' ').expect("name and hash");
        (name.to_string(), u64::from_str_radix(hash.trim(), 16).expect("a number in base 16"))
    };
    text.lines().map(row).collect()
}

/// FNV-1a of bytes as they are, for files and snapshots of them.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        // From the test vectors of the FNV draft (64-bit FNV-1a).
        assert_eq!(hash_bytes(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash_bytes(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash_bytes(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn words_are_little_endian() {
        assert_eq!(hash_words(&[0x6261_6f66, 0x0000_0072]), hash_bytes(b"foabr\0\0\0"));
    }

    #[test]
    fn any_nan_is_one_nan_and_nothing_else_is() {
        let canonical = hash_words(&[0x7fc0_0000]);
        for nan in [0xffc0_0000, 0x7f80_0001, 0xffff_ffff] {
            assert_eq!(hash_words(&[nan]), canonical);
        }
        for other in [0x7f80_0000, 0xff80_0000, 0, 0x8000_0000] {
            assert_ne!(hash_words(&[other]), canonical);
        }
        assert_ne!(hash_values(&[0.0]), hash_values(&[-0.0]));
    }

    #[test]
    fn outputs_follow_one_another() {
        let mut hash = Hash::default();
        hash.add([1, 2]);
        hash.add([3]);
        assert_eq!(hash.finish(), hash_words(&[1, 2, 3]));
        assert_ne!(hash.finish(), hash_words(&[3, 1, 2]));
    }
}
