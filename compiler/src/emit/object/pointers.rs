//! Pointers that walk with the loops: an address costs nothing but its constant offset.
//!
//! Addresses of a loop's body that differ only in their offset share a pointer, which the loop advances. Must not know
//! instructions.

use crate::kernel::{Address, Op, Statement, ValueId};
use cranelift_frontend::Variable;
use std::collections::HashSet;

/// Where a pointer points, in elements: a buffer and what is added to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Walk {
    /// The number of the buffer.
    pub buffer: usize,
    /// Indices times strides.
    pub terms: Vec<(ValueId, i64)>,
    /// The constant part, as far as a single access cannot reach.
    pub offset: i64,
}

impl Walk {
    /// The pointer for an address, and the elements from there to it; an access reaches this many.
    pub fn new(address: &Address, reach: i64) -> (Self, i64) {
        let near = address.offset.rem_euclid(reach);
        let mut terms = address.terms.clone();
        terms.sort();
        (Self { buffer: address.buffer.0, terms, offset: address.offset - near }, near)
    }

    /// The part of it that depends on these indices only, and the rest of its terms.
    pub fn split(&self, is_counter: impl Fn(ValueId) -> bool) -> (Self, Vec<(ValueId, i64)>) {
        let (own, rest) = self.terms.iter().partition(|(index, _)| is_counter(*index));
        (Self { terms: own, ..self.clone() }, rest)
    }

    /// The same without an index, and the index's stride; `None` when it doesn't depend on the index.
    pub fn without(&self, index: ValueId) -> Option<(Self, i64)> {
        let stride = self.terms.iter().filter(|(other, _)| *other == index).map(|(_, stride)| stride).sum();
        let terms: Vec<_> = self.terms.iter().filter(|(other, _)| *other != index).copied().collect();
        (terms.len() < self.terms.len()).then(|| (Self { terms, ..self.clone() }, stride))
    }
}

/// A loop being written.
pub(super) struct Loop {
    /// Its counter.
    pub index: ValueId,
    /// The pointers it advances, and by how many elements.
    pub pointers: Vec<(Walk, Variable, i64)>,
}

/// The pointers a loop wants: each the part of an address that depends on the counters of open loops, this one's among
/// them.
pub(super) fn wanted(body: &[Statement], index: ValueId, counters: &[ValueId], reach: i64) -> Vec<Walk> {
    let (mut walks, mut seen) = (Vec::new(), HashSet::new());
    each_address(body, &mut |address| {
        let (walk, _) = Walk::new(address, reach);
        let (walk, _) = walk.split(|other| other == index || counters.contains(&other));
        if walk.without(index).is_some() && seen.insert(walk.clone()) {
            walks.push(walk);
        }
    });
    walks
}

/// Calls back with every address of the statements that is loaded from or stored to.
fn each_address(body: &[Statement], each: &mut impl FnMut(&Address)) {
    for statement in body {
        match statement {
            Statement::Let(_, Op::Load(address) | Op::Broadcast(address)) | Statement::Store(address, _) => {
                each(address)
            }
            Statement::Let(..) | Statement::Set(..) | Statement::Prefetch(_) => {}
            Statement::For { body, .. } => each_address(body, each),
            Statement::While { test, body, .. } => {
                each_address(test, each);
                each_address(body, each);
            }
            Statement::If { then, otherwise, .. } => {
                each_address(then, each);
                each_address(otherwise, each);
            }
        }
    }
}
