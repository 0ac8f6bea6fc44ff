//! Softmax: exponentials along an axis, divided by their sum. Source: `src/layer/softmax.cpp`.

use super::Lowering;
use super::lowering::axis;
use super::signature::{AXES, Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Combine, Index, Nest, Reduction, View};
use crate::ncnn::Layer;

const AXIS: u32 = 0;

pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(AXIS, "axis", Accepts::Between(AXES.0, AXES.1)),
        Parameter::new(1, "flag that the axis counts as it should", Accepts::Flag),
    ],
)
.rules(&[is_new]);

/// Refuses files of before the axis was counted as it is now.
fn is_new(layer: &Layer) -> Result<(), Diagnostic> {
    if layer.parameters.int(1, 0) == 0 && layer.parameters.int(AXIS, 0) != 0 {
        let hint = "if the axis is right, add 1=1 to say so";
        return Err(layer.error_in(AXIS, "old Softmax layers meant another axis than they named").hint(hint));
    }
    Ok(())
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let along = l.axis_along(AXIS, l.layer.parameters.int(AXIS, 0), input.shape.len())?;
    let output = l.output(0, &input.shape);
    along_axis(l, &input, along, &output);
    Ok(())
}

/// Fills `to` with the softmax of `from`, which has the same shape, along an axis.
pub(super) fn along_axis(l: &mut Lowering, from: &View, along: usize, to: &View) {
    const OUTER: usize = 0;
    const INNER: usize = 1;
    const K: usize = 2;
    let outer: usize = from.shape[..along].iter().product();
    let extent = from.shape[along];
    let inner: usize = from.shape[along + 1..].iter().product();
    let lines = [outer, extent, inner];
    let (from, to) = (from.reshaped(&lines), to.reshaped(&lines));
    let element = || vec![Index::axis(OUTER), Index::axis(K), Index::axis(INNER)];
    let of_line = || vec![Index::axis(OUTER), Index::axis(INNER)];
    let reduce = |l: &mut Lowering, of: &View, to: &View, combine: Combine, start: f32| {
        let (start, term) = (Expression::constant_of(start), Expression::read_of(0));
        l.nest(Nest {
            name: String::new(),
            parallel: vec![axis("outer", outer), axis("inner", inner)],
            reduction: Some(Reduction { axes: vec![axis("k", extent)], combine, start, term }),
            reads: vec![of.at(element())],
            store: Expression::read_of(1),
            write: to.at(of_line()),
        });
    };
    let map = |l: &mut Lowering, of: &View, line: &View, to: &View, value: Expression| {
        l.nest(Nest {
            name: String::new(),
            parallel: vec![axis("outer", outer), axis("inner", inner), axis("k", extent)],
            reduction: None,
            reads: vec![of.at(element()), line.at(of_line())],
            store: value,
            write: to.at(element()),
        });
    };
    let largest = l.temporary("largest", &[outer, inner]);
    reduce(l, &from, &largest, Combine::Maximum, f32::NEG_INFINITY);
    let exponentials = l.temporary("exponentials", &lines);
    let exponential = Expression::new(|e| {
        let (x, largest) = (e.read(0), e.read(1));
        let below = e.sub(x, largest);
        e.call(Function::Exponential, &[below])
    });
    map(l, &from, &largest, &exponentials, exponential);
    let sum = l.temporary("sum", &[outer, inner]);
    reduce(l, &exponentials, &sum, Combine::Sum, 0.0);
    let quotient = Expression::new(|e| {
        let (x, sum) = (e.read(0), e.read(1));
        e.div(x, sum)
    });
    map(l, &exponentials, &sum, &to, quotient);
}
