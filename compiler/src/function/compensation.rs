//! What marks compensated arithmetic in an expression, for those that compute in single words or in real numbers.
//!
//! In compensated arithmetic, `crate::recipe` gives these their meaning.

use crate::expression::{Expression, NodeId};

/// A word is rounded already.
pub(super) fn rounded(_: &mut Expression, x: NodeId) -> NodeId {
    x
}

/// A word has no rest.
pub(super) fn rest(e: &mut Expression, x: NodeId) -> NodeId {
    let zero = e.constant(0.0);
    let is_number = e.ordered(x, x);
    e.select(is_number, zero, x)
}

/// The sum.
pub(super) fn joined(e: &mut Expression, x: NodeId, rest: NodeId) -> NodeId {
    e.add(x, rest)
}
