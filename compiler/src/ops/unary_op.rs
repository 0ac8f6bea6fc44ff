//! UnaryOp: one of 28 functions of each element. Source: `src/layer/unaryop.cpp`.

use super::Lowering;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;

pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[Parameter::new(0, "unary operation", Accepts::RowOf(|| OPERATIONS.map(|(name, _)| name).to_vec()))],
);

/// An operation by its name in error messages.
type Row = (&'static str, fn(&mut Expression, NodeId) -> NodeId);

/// By ncnn's number (`src/layer/unaryop.h`).
const OPERATIONS: [Row; 28] = [
    ("abs", |e, x| e.abs(x)),
    ("neg", |e, x| e.neg(x)),
    ("floor", |e, x| e.floor(x)),
    ("ceil", |e, x| e.ceil(x)),
    ("square", |e, x| e.mul(x, x)),
    ("sqrt", |e, x| e.sqrt(x)),
    ("rsqrt", |e, x| {
        let root = e.sqrt(x);
        reciprocal(e, root)
    }),
    ("exp", |e, x| e.call(Function::Exponential, &[x])),
    ("log", |e, x| e.call(Function::Logarithm, &[x])),
    ("sin", |e, x| e.call(Function::Sine, &[x])),
    ("cos", |e, x| e.call(Function::Cosine, &[x])),
    ("tan", |e, x| e.call(Function::Tangent, &[x])),
    ("asin", |e, x| e.call(Function::ArcSine, &[x])),
    ("acos", |e, x| e.call(Function::ArcCosine, &[x])),
    ("atan", |e, x| e.call(Function::ArcTangent, &[x])),
    ("reciprocal", reciprocal),
    ("tanh", |e, x| e.call(Function::HyperbolicTangent, &[x])),
    ("log10", |e, x| e.call(Function::LogarithmTen, &[x])),
    ("round", |e, x| e.round_even(x)),
    ("trunc", |e, x| e.trunc(x)),
    ("sign", sign),
    ("expm1", |e, x| e.call(Function::ExponentialMinusOne, &[x])),
    ("sinh", |e, x| e.call(Function::HyperbolicSine, &[x])),
    ("asinh", |e, x| e.call(Function::AreaSine, &[x])),
    ("cosh", |e, x| e.call(Function::HyperbolicCosine, &[x])),
    ("acosh", |e, x| e.call(Function::AreaCosine, &[x])),
    ("atanh", |e, x| e.call(Function::AreaTangent, &[x])),
    ("log1p", |e, x| e.call(Function::LogarithmOnePlus, &[x])),
];

fn reciprocal(e: &mut Expression, x: NodeId) -> NodeId {
    let one = e.constant(1.0);
    e.div(one, x)
}

/// 1, -1, or 0 for zeros and NaN.
fn sign(e: &mut Expression, x: NodeId) -> NodeId {
    let (zero, one, minus) = (e.constant(0.0), e.constant(1.0), e.constant(-1.0));
    let negative = e.less(x, zero);
    let rest = e.select(negative, minus, zero);
    let positive = e.less(zero, x);
    e.select(positive, one, rest)
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (_, operation) = l.row_of(&OPERATIONS);
    l.pointwise(operation)
}
