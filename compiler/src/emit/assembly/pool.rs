//! The literal pool of one kernel, and how it is written.

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

/// The lines that put a pool's words, if there are any, under a label; `directive` is the assembler's for 32-bit words.
pub fn directives(words: &[u32], label: usize, alignment_bytes: usize, directive: &str) -> Vec<String> {
    /// Half an entry of the widest target: a line that can still be read.
    const MOST_IN_LINE: usize = 8;
    if words.is_empty() {
        return Vec::new();
    }
    let line = |words: &[u32]| {
        let words: Vec<String> = words.iter().map(|word| format!("0x{word:08x}")).collect();
        format!("{directive} {}", words.join(", "))
    };
    let head = [format!(".balign {alignment_bytes}"), format!("{label}:")];
    head.into_iter().chain(words.chunks(MOST_IN_LINE.min(alignment_bytes / 4)).map(line)).collect()
}
