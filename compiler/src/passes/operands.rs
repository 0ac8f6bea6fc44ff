//! Expressions whose operands are renumbered or replaced.

use crate::expression::Expression;
use crate::graph::{Access, Nest};

/// The expression with operand `i` under the number `new(i)`.
pub(super) fn renumbered(expression: &Expression, new: impl Fn(usize) -> usize) -> Expression {
    let mut result = Expression::default();
    result.results = result.inline_with(expression, |e, i| e.read(new(i)));
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
