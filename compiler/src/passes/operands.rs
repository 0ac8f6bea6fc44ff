//! Expressions whose operands are renumbered or replaced.

use crate::expression::{Expression, Node, NodeId};
use crate::graph::{Access, Nest};

/// Copies `other` into `into`, asking `operand` for a node in the place of each operand that is read.
pub(super) fn inline_with(
    into: &mut Expression,
    other: &Expression,
    operand: impl Fn(&mut Expression, usize) -> NodeId,
) -> Vec<NodeId> {
    let mut copies: Vec<NodeId> = Vec::with_capacity(other.nodes.len());
    for node in &other.nodes {
        let moved = |ids: &[NodeId]| ids.iter().map(|id| copies[id.0 as usize]).collect::<Vec<_>>();
        let copy = match node {
            Node::Read(number) => operand(into, *number),
            Node::Constant(bits) => into.bits(*bits),
            Node::Apply(instruction, ids) => into.node(Node::Apply(*instruction, moved(ids))),
            Node::Call(function, ids) => into.node(Node::Call(*function, moved(ids))),
        };
        copies.push(copy);
    }
    other.results.iter().map(|id| copies[id.0 as usize]).collect()
}

/// The expression with operand `i` under the number `new(i)`.
pub(super) fn renumbered(expression: &Expression, new: impl Fn(usize) -> usize) -> Expression {
    let mut result = Expression::default();
    result.results = inline_with(&mut result, expression, |e, i| e.read(new(i)));
    result
}

/// Reads that are the same are read once.
pub(super) fn merge_equal_reads(nest: &mut Nest) {
    let mut kept: Vec<Access> = Vec::new();
    let number = |access: &Access| {
        kept.iter().position(|old| old == access).unwrap_or_else(|| {
            kept.push(access.clone());
            kept.len() - 1
        })
    };
    let numbers: Vec<usize> = nest.reads.iter().map(number).collect();
    if kept.len() == nest.reads.len() {
        return;
    }
    let reduced = kept.len();
    let new = |i: usize| numbers.get(i).copied().unwrap_or(reduced);
    nest.store = renumbered(&nest.store, new);
    if let Some(reduction) = &mut nest.reduction {
        reduction.term = renumbered(&reduction.term, new);
        reduction.start = renumbered(&reduction.start, new);
    }
    nest.reads = kept;
}
