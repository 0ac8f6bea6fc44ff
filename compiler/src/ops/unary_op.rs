//! UnaryOp: one of 28 functions of each element; 0: which.

use super::Lowering;
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;

/// An operation by its name in error messages.
type Row = (&'static str, Option<fn(&mut Expression, NodeId) -> NodeId>);

/// By ncnn's number (`src/layer/unaryop.h`).
const OPERATIONS: [Row; 28] = [
    ("abs", Some(|e, x| e.abs(x))),
    ("neg", Some(|e, x| e.neg(x))),
    ("floor", Some(|e, x| e.floor(x))),
    ("ceil", Some(|e, x| e.ceil(x))),
    ("square", Some(|e, x| e.mul(x, x))),
    ("sqrt", Some(|e, x| e.sqrt(x))),
    (
        "rsqrt",
        Some(|e, x| {
            let root = e.sqrt(x);
            reciprocal(e, root)
        }),
    ),
    ("exp", Some(|e, x| e.call(Function::Exponential, &[x]))),
    ("log", Some(|e, x| e.call(Function::Logarithm, &[x]))),
    ("sin", None),
    ("cos", None),
    ("tan", None),
    ("asin", None),
    ("acos", None),
    ("atan", None),
    ("reciprocal", Some(reciprocal)),
    ("tanh", Some(|e, x| e.call(Function::HyperbolicTangent, &[x]))),
    ("log10", None),
    ("round", Some(|e, x| e.round_even(x))),
    ("trunc", Some(|e, x| e.trunc(x))),
    ("sign", Some(sign)),
    ("expm1", None),
    ("sinh", None),
    ("asinh", None),
    ("cosh", None),
    ("acosh", None),
    ("atanh", None),
    ("log1p", None),
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
    let number = l.layer.parameters.int(0, 0);
    let row = usize::try_from(number).ok().and_then(|number| OPERATIONS.get(number));
    let Some((name, operation)) = row else {
        let names: Vec<String> = OPERATIONS.iter().enumerate().map(|(i, (name, _))| format!("{i} {name}")).collect();
        return Err(l.error(format!("there is no unary operation {number}")).hint(names.join(", ")));
    };
    match operation {
        Some(operation) => l.pointwise(operation),
        None => Err(l.error(format!("the unary operation {name} isn't supported yet"))),
    }
}
