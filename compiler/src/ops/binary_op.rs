//! BinaryOp: an operation on each pair of elements, or on each element and a number. Source: `src/layer/binaryop.cpp`.

use super::signature::{Accepts, Blobs, Parameter, Signature};
use super::{Lowering, pointwise, shape};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;
use crate::ncnn::Parameters;

pub(super) const SIGNATURE: Signature = Signature::new(
    |parameters| Blobs::new(if is_with_number(parameters) { 1 } else { 2 }, 1),
    &[
        Parameter::new(0, "binary operation", Accepts::RowOf(|| OPERATIONS.map(|(name, ..)| name).to_vec())),
        Parameter::new(1, "flag that a number is the second operand", Accepts::Flag),
        Parameter::new(2, "number", Accepts::Float).when(is_with_number),
    ],
);

fn is_with_number(parameters: &Parameters) -> bool {
    parameters.int(1, 0) != 0
}

type Formula = fn(&mut Expression, NodeId, NodeId) -> NodeId;

/// By ncnn's number (`src/layer/binaryop.h`): a name for error messages, whether the operands change places, and what
/// is computed.
const OPERATIONS: [(&str, bool, Formula); 19] = [
    ("add", false, |e, a, b| e.add(a, b)),
    ("sub", false, |e, a, b| e.sub(a, b)),
    ("mul", false, |e, a, b| e.mul(a, b)),
    ("div", false, |e, a, b| e.div(a, b)),
    // std::max and std::min give the first of equal operands, and the first when either is NaN.
    ("max", true, |e, b, a| e.max(b, a)),
    ("min", true, |e, b, a| e.min(b, a)),
    ("pow", false, power),
    ("rsub", true, |e, a, b| e.sub(a, b)),
    ("rdiv", true, |e, a, b| e.div(a, b)),
    ("rpow", true, power),
    ("atan2", false, |e, a, b| e.call(Function::ArcTangentOfTwo, &[a, b])),
    ("ratan2", true, |e, a, b| e.call(Function::ArcTangentOfTwo, &[a, b])),
    ("fmod", false, |e, a, b| e.call(Function::Modulo, &[a, b])),
    ("rfmod", true, |e, a, b| e.call(Function::Modulo, &[a, b])),
    ("logaddexp", false, |e, a, b| e.call(Function::LogarithmOfSum, &[a, b])),
    ("floor_divide", false, floor_divide),
    ("rfloor_divide", true, floor_divide),
    ("remainder", false, |e, a, b| e.call(Function::Remainder, &[a, b])),
    ("rremainder", true, |e, a, b| e.call(Function::Remainder, &[a, b])),
];

/// C's `pow`, which is what ncnn computes of the elements that fill no vector. Of those that do, it takes
/// `exp(b log(a))`: for a negative base or one of 0 there is no sense in the result (-2 cubed is 2.4e38).
fn power(e: &mut Expression, a: NodeId, b: NodeId) -> NodeId {
    e.call(Function::Power, &[a, b])
}

fn floor_divide(e: &mut Expression, a: NodeId, b: NodeId) -> NodeId {
    let quotient = e.div(a, b);
    e.floor(quotient)
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (name, swapped, formula) = *l.row_of(&OPERATIONS);
    let operate = |e: &mut Expression, a, b| if swapped { formula(e, b, a) } else { formula(e, a, b) };
    if is_with_number(&l.layer.parameters) {
        let scalar = l.layer.parameters.float(2, 0.0);
        return l.pointwise(|e, x| {
            if name == "pow" {
                return pointwise::constant_power(e, x, scalar);
            }
            let scalar = e.constant(scalar);
            operate(e, x, scalar)
        });
    }
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
