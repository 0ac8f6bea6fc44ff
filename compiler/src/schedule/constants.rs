//! The packed constants of a model and the tables of positions in it, each once however many targets read it.

use super::place::BLOCK;
use crate::format::Format;
use crate::graph::TensorId;
use crate::kernel::Program;
use std::collections::HashMap;
use std::sync::Arc;

/// What a run of constants is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A constant of the graph, in dense rows.
    Tensor(TensorId),
    /// What the operation with this number reads as this operand, packed for vectors along this axis.
    Packed(usize, usize, usize),
}

/// Constants being collected; offsets are in words and fall on lines of 64 bytes.
#[derive(Default)]
pub struct Constants {
    words: Vec<u32>,
    known: HashMap<Key, usize>,
    tables: Vec<u32>,
    known_tables: HashMap<Vec<u32>, usize>,
}

impl Constants {
    /// The offset of a run of constants in a format, whose elements are added when they aren't there yet.
    pub fn place(&mut self, key: Key, format: Format, elements: impl FnOnce() -> Vec<u32>) -> usize {
        if let Some(at) = self.known.get(&key) {
            return *at;
        }
        let at = append(&mut self.words, &format.pack(elements()));
        self.known.insert(key, at);
        at
    }

    /// The offset among the tables of positions that no stride describes.
    pub fn table(&mut self, positions: Vec<u32>) -> usize {
        if let Some(at) = self.known_tables.get(&positions) {
            return *at;
        }
        let at = append(&mut self.tables, &positions);
        self.known_tables.insert(positions, at);
        at
    }

    /// How many words of constants there are so far.
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// The tables so far.
    pub fn tables(&self) -> &[u32] {
        &self.tables
    }

    /// Gives everything that was added to the programs that read it.
    pub fn finish<'p>(self, programs: impl IntoIterator<Item = &'p mut Program>) {
        let (constants, tables): (Arc<[u32]>, Arc<[u32]>) = (self.words.into(), self.tables.into());
        for program in programs {
            program.constants = constants.clone();
            program.tables = tables.clone();
        }
    }
}

/// Adds whole lines; where they begin.
fn append(words: &mut Vec<u32>, added: &[u32]) -> usize {
    let at = words.len();
    words.extend(added);
    words.resize(words.len().next_multiple_of(BLOCK), 0);
    at
}
