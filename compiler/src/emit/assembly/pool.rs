//! The literal pool of one kernel.

use super::machine::{Base, Memory};

/// Entries of one size, each stored once.
pub struct Pool {
    entry_words: usize,
    /// The words, entry after entry.
    pub words: Vec<u32>,
}

impl Pool {
    /// An empty pool.
    pub fn new(entry_words: usize) -> Self {
        Self { entry_words, words: Vec::new() }
    }

    /// The place of the first entry, whether there is one or not.
    pub fn start(&self) -> Memory {
        Memory::new(Base::Pool, 0, 4 * self.entry_words)
    }

    /// The place of an entry.
    pub fn entry(&mut self, words: &[u32]) -> Memory {
        assert_eq!(words.len(), self.entry_words, "entries have one size");
        let known = self.words.chunks(self.entry_words).position(|entry| entry == words);
        let position = known.unwrap_or_else(|| {
            self.words.extend(words);
            self.words.len() / self.entry_words - 1
        });
        let bytes = 4 * self.entry_words;
        Memory::new(Base::Pool, (position * bytes) as i64, bytes)
    }
}
