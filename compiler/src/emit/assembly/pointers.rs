//! Walking pointers: which register leads to which address, and how far it is ahead or behind.
//!
//! Addresses are grouped by buffer and terms. Each group has one pointer, which each loop among its terms moves on at the
//! end of an iteration; once a loop is over, its pointers serve other groups. Distances known now (constant offsets, what a finished loop has moved a pointer too far) wait as
//! *pending* bytes in the displacements and are settled at the end of the next loop around. Must not know machines.

use super::machine::Register;
use crate::kernel::{Address, BufferId, ValueId};
use std::collections::{BTreeMap, HashMap};

/// A sum of indices times constants, and a constant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sum {
    /// Indices with their factors, none of them zero.
    pub terms: BTreeMap<ValueId, i64>,
    /// The constant.
    pub constant: i64,
}

/// What an index is.
#[derive(Clone, Debug)]
pub enum Index {
    /// The counter of a loop being run, or the task.
    Counter,
    /// A number in a register.
    Dynamic(Register),
    /// A sum of others; the counter of a finished loop is a constant.
    Sum(Sum),
}

/// A group of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The buffer.
    pub buffer: BufferId,
    /// The counters with their strides in bytes.
    pub terms: BTreeMap<ValueId, i64>,
}

/// A group's pointer.
#[derive(Clone, Debug)]
pub struct Pointer {
    /// Where its addresses are; only counters of loops being run.
    pub group: Group,
    /// The register.
    pub register: Register,
    /// What to add to the register for the pointer's true place, in bytes.
    pub pending: i64,
    /// When it was last used.
    used: usize,
}

/// The indices and pointers of one kernel.
#[derive(Default)]
pub struct Pointers {
    indices: HashMap<ValueId, Index>,
    /// When each counter's loop was entered.
    entered: HashMap<ValueId, usize>,
    /// Counts uses of pointers and entries into loops.
    clock: usize,
    /// The pointers, in the order of their first use.
    pub pointers: Vec<Pointer>,
}

impl Pointers {
    /// Says what an index is from here on.
    pub fn define(&mut self, value: ValueId, index: Index) {
        self.indices.insert(value, index);
    }

    /// A sum in terms of counters and dynamic indices.
    pub fn expand(&self, terms: &[(ValueId, i64)], constant: i64) -> Sum {
        let mut sum = Sum { terms: BTreeMap::new(), constant };
        for (value, factor) in terms {
            self.add(&mut sum, *value, *factor);
        }
        sum.terms.retain(|_, factor| *factor != 0);
        sum
    }

    fn add(&self, sum: &mut Sum, value: ValueId, factor: i64) {
        match &self.indices[&value] {
            Index::Counter | Index::Dynamic(_) => *sum.terms.entry(value).or_default() += factor,
            Index::Sum(inner) => {
                sum.constant += inner.constant * factor;
                for (term, inner_factor) in &inner.terms {
                    self.add(sum, *term, inner_factor * factor);
                }
            }
        }
    }

    /// The register of a dynamic index.
    pub fn dynamic(&self, value: ValueId) -> Option<Register> {
        match self.indices[&value] {
            Index::Dynamic(register) => Some(register),
            Index::Counter | Index::Sum(_) => None,
        }
    }

    /// An address as a group, its dynamic terms with their strides in bytes, and a constant number of bytes; an element
    /// of its buffer has so many `bytes`.
    pub fn split(&self, address: &Address, bytes: i64) -> (Group, Vec<(Register, i64)>, i64) {
        let sum = self.expand(&address.terms, address.offset);
        let mut group = Group { buffer: address.buffer, terms: BTreeMap::new() };
        let mut dynamic = Vec::new();
        for (value, stride) in sum.terms.into_iter().map(|(value, stride)| (value, bytes * stride)) {
            match self.dynamic(value) {
                Some(register) => dynamic.push((register, stride)),
                None => {
                    group.terms.insert(value, stride);
                }
            }
        }
        (group, dynamic, bytes * sum.constant)
    }

    /// Notes that a loop is entered.
    pub fn enter(&mut self, counter: ValueId) {
        self.clock += 1;
        self.entered.insert(counter, self.clock);
        self.define(counter, Index::Counter);
    }

    /// The number of a group's pointer: one that leads there already, or one that has not been used since the loops were
    /// entered that it lacks, and can as well be moved by them.
    pub fn find(&mut self, group: &Group) -> Option<usize> {
        let lacks = |pointer: &Pointer| {
            let missing = group.terms.keys().filter(|counter| !pointer.group.terms.contains_key(counter));
            missing.copied().collect::<Vec<ValueId>>()
        };
        let fits = |pointer: &Pointer| {
            pointer.group.buffer == group.buffer
                && pointer.group.terms.iter().all(|(counter, stride)| group.terms.get(counter) == Some(stride))
                && lacks(pointer).iter().all(|counter| self.entered[counter] > pointer.used)
        };
        let candidates = self.pointers.iter().enumerate().filter(|(_, pointer)| fits(pointer));
        let (number, _) = candidates.min_by_key(|(_, pointer)| lacks(pointer).len())?;
        self.clock += 1;
        let pointer = &mut self.pointers[number];
        pointer.used = self.clock;
        pointer.group = group.clone();
        Some(number)
    }

    /// Gives a group a pointer.
    pub fn insert(&mut self, group: Group, register: Register) -> usize {
        self.clock += 1;
        self.pointers.push(Pointer { group, register, pending: 0, used: self.clock });
        self.pointers.len() - 1
    }

    /// What is pending on every pointer.
    pub fn pending(&self) -> Vec<i64> {
        self.pointers.iter().map(|pointer| pointer.pending).collect()
    }

    /// Moves every pointer to where it was when `before` was pending, `counter` having counted on `steps` times since.
    ///
    /// Gives what must be added to which register; pointers made since had nothing pending.
    pub fn settle(&mut self, before: &[i64], counter: Option<ValueId>) -> Vec<(Register, i64)> {
        let mut moves = Vec::new();
        for (number, pointer) in self.pointers.iter_mut().enumerate() {
            let stride = counter.and_then(|counter| pointer.group.terms.get(&counter)).copied().unwrap_or(0);
            let target = before.get(number).copied().unwrap_or(0);
            let distance = stride + pointer.pending - target;
            pointer.pending = target;
            if distance != 0 {
                moves.push((pointer.register, distance));
            }
        }
        moves
    }

    /// Takes a finished loop's steps back.
    pub fn rewind(&mut self, counter: ValueId, extent: i64) {
        for pointer in &mut self.pointers {
            if let Some(stride) = pointer.group.terms.remove(&counter) {
                pointer.pending -= stride * extent;
            }
        }
    }
}
