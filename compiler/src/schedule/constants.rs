//! The packed constants of a model, each once however many targets read it.

use super::place::BLOCK;
use crate::format::Format;
use crate::graph::TensorId;
use std::collections::HashMap;
use std::sync::Arc;

/// What a run of constants is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A constant of the graph, in dense rows.
    Tensor(TensorId),
    /// What the operation with this number reads as this operand, packed for vectors along this axis.
    Packed(usize, usize, usize),
    /// Positions that no stride describes.
    Table(Vec<u32>),
}

/// Constants being collected; offsets are in words and fall on lines of 64 bytes.
#[derive(Default)]
pub struct Constants {
    words: Vec<u32>,
    known: HashMap<Key, usize>,
}

impl Constants {
    /// The offset of a run of constants in a format, whose elements are added when they aren't there yet.
    pub fn place(&mut self, key: Key, format: Format, elements: impl FnOnce(&Key) -> Vec<u32>) -> usize {
        if let Some(at) = self.known.get(&key) {
            return *at;
        }
        let at = self.words.len();
        self.words.extend(format.pack(&elements(&key)));
        self.words.resize(self.words.len().next_multiple_of(BLOCK), 0);
        self.known.insert(key, at);
        at
    }

    /// How many words there are so far.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// Everything that was added.
    pub fn finish(self) -> Arc<[u32]> {
        self.words.into()
    }
}
