//! The packed constants of a model, each distinct run of words once.

use super::place::BLOCK;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Constants being collected; offsets are in words and fall on lines of 64 bytes.
#[derive(Default)]
pub struct Constants {
    words: Vec<u32>,
    /// Offsets and lengths by the hash of the words there.
    known: HashMap<u64, Vec<(usize, usize)>>,
}

impl Constants {
    /// Adds words, or finds them; gives their offset.
    pub fn add(&mut self, words: &[u32]) -> usize {
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        let places = self.known.entry(hasher.finish()).or_default();
        let same = places.iter().find(|(at, length)| self.words[*at..at + length] == *words);
        if let Some((at, _)) = same {
            return *at;
        }
        let at = self.words.len();
        places.push((at, words.len()));
        self.words.extend(words);
        self.words.resize(self.words.len().next_multiple_of(BLOCK), 0);
        at
    }

    /// Everything that was added.
    pub fn finish(self) -> Arc<[u32]> {
        self.words.into()
    }
}
