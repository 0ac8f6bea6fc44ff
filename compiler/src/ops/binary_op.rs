//! BinaryOp: an operation on each pair of elements, or on each element and a number.
//!
//! 0: which operation, 1: 1 for a number instead of a second input, 2: the number.

use super::{Lowering, shape};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};

type Formula = fn(&mut Expression, NodeId, NodeId) -> NodeId;

/// By ncnn's number (`src/layer/binaryop.h`): a name for error messages, whether the operands change places, and what
/// is computed.
const OPERATIONS: [(&str, bool, Option<Formula>); 19] = [
    ("add", false, Some(|e, a, b| e.add(a, b))),
    ("sub", false, Some(|e, a, b| e.sub(a, b))),
    ("mul", false, Some(|e, a, b| e.mul(a, b))),
    ("div", false, Some(|e, a, b| e.div(a, b))),
    // std::max and std::min give the first of equal operands, and the first when either is NaN.
    ("max", true, Some(|e, b, a| e.max(b, a))),
    ("min", true, Some(|e, b, a| e.min(b, a))),
    ("pow", false, None),
    ("rsub", true, Some(|e, a, b| e.sub(a, b))),
    ("rdiv", true, Some(|e, a, b| e.div(a, b))),
    ("rpow", true, None),
    ("atan2", false, None),
    ("ratan2", true, None),
    ("fmod", false, Some(truncated_remainder)),
    ("rfmod", true, Some(truncated_remainder)),
    ("logaddexp", false, None),
    ("floor_divide", false, Some(floor_divide)),
    ("rfloor_divide", true, Some(floor_divide)),
    ("remainder", false, Some(nearest_remainder)),
    ("rremainder", true, Some(nearest_remainder)),
];

fn floor_divide(e: &mut Expression, a: NodeId, b: NodeId) -> NodeId {
    let quotient = e.div(a, b);
    e.floor(quotient)
}

/// The remainder of the quotient rounded towards zero, with the sign of `a`; exact while the quotient is below 2^24.
fn truncated_remainder(e: &mut Expression, a: NodeId, b: NodeId) -> NodeId {
    let (x, y) = (e.abs(a), e.abs(b));
    let quotient = e.div(x, y);
    let whole = e.trunc(quotient);
    let taken = e.neg(whole);
    let rest = e.fma(taken, y, x);
    // The quotient may have been rounded up to the next integer.
    let (zero, raised) = (e.constant(0.0), e.add(rest, y));
    let too_far = e.less(rest, zero);
    let rest = e.select(too_far, raised, rest);
    // Also for an infinite divisor, which no multiple of can be taken away.
    let small = e.less(x, y);
    let rest = e.select(small, x, rest);
    with_sign_of(e, a, rest)
}

/// The remainder of the quotient rounded to the nearest integer, ties to even (IEEE-754 5.3.1); exact while the quotient
/// is below 2^23.
fn nearest_remainder(e: &mut Expression, a: NodeId, b: NodeId) -> NodeId {
    let (x, y) = (e.abs(a), e.abs(b));
    let quotient = e.div(x, y);
    let whole = e.round_even(quotient);
    let taken = e.neg(whole);
    let rest = e.fma(taken, y, x);
    // The quotient may have been rounded across the middle between two integers.
    let half = e.constant(0.5);
    let (most, least) = (e.mul(y, half), e.neg(half));
    let least = e.mul(y, least);
    let (lowered, raised) = (e.sub(rest, y), e.add(rest, y));
    let above = e.less(most, rest);
    let below = e.less(rest, least);
    let rest = e.select(above, lowered, rest);
    let rest = e.select(below, raised, rest);
    let small = e.less(x, most);
    let rest = e.select(small, x, rest);
    with_sign_of(e, a, rest)
}

/// `value`, negated where `a` is negative.
fn with_sign_of(e: &mut Expression, a: NodeId, value: NodeId) -> NodeId {
    let (zero, negated) = (e.constant(0.0), e.neg(value));
    let negative = e.less(a, zero);
    e.select(negative, negated, value)
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let number = l.layer.parameters.int(0, 0);
    let row = usize::try_from(number).ok().and_then(|number| OPERATIONS.get(number));
    let Some((name, swapped, formula)) = row.copied() else {
        let names: Vec<String> = OPERATIONS.iter().enumerate().map(|(i, row)| format!("{i} {}", row.0)).collect();
        return Err(l.error(format!("there is no binary operation {number}")).hint(names.join(", ")));
    };
    let Some(formula) = formula else {
        return Err(l.error(format!("the binary operation {name} isn't supported yet")));
    };
    let operate = |e: &mut Expression, a, b| if swapped { formula(e, b, a) } else { formula(e, a, b) };
    if l.layer.parameters.int(1, 0) != 0 {
        let scalar = l.layer.parameters.float(2, 0.0);
        return l.pointwise(|e, x| {
            let scalar = e.constant(scalar);
            operate(e, x, scalar)
        });
    }
    l.expect_blobs(2, 2, 1)?;
    let (a, b) = (l.fixed_input(0)?, l.fixed_input(1)?);
    let (a_shape, b_shape) = (aligned(&a.shape, &b.shape), aligned(&b.shape, &a.shape));
    let mut extents = Vec::new();
    for (x, y) in a_shape.iter().zip(&b_shape) {
        if x != y && *x != 1 && *y != 1 {
            let message = format!("{} and {} don't broadcast", shape::text(&a.shape), shape::text(&b.shape));
            let hint = "extents must be equal or 1; an operand with fewer axes is aligned with the outermost ones";
            return Err(l.error(message).hint(hint));
        }
        extents.push(*x.max(y) as i64);
    }
    let out_shape = l.shape(&extents)?;
    let output = l.output(0, &out_shape);
    let reads = vec![a.reshaped(&a_shape).broadcast(), b.reshaped(&b_shape).broadcast()];
    let value = Expression::new(|e| {
        let (a, b) = (e.read(0), e.read(1));
        operate(e, a, b)
    });
    l.map(&output, reads, value);
    Ok(())
}

/// A shape with axes of extent 1 added to reach the rank of `other`.
///
/// Axes are aligned from the outermost, except that a vector whose length isn't the other's outermost extent lies along
/// the innermost axis.
fn aligned(shape: &[usize], other: &[usize]) -> Vec<usize> {
    let missing = other.len().saturating_sub(shape.len());
    let ones = vec![1; missing];
    if missing > 0 && shape.len() == 1 && shape[0] != other[0] {
        [ones, shape.to_vec()].concat()
    } else {
        [shape.to_vec(), ones].concat()
    }
}
