//! Reduction: the elements along some axes brought to one number. Source: `src/layer/reduction.cpp`.

use super::Lowering;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature, warning};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;
use crate::graph::{Axis, Combine, Index, Nest, Reduction, axes};
use crate::ncnn::Layer;

const ALL: u32 = 1;
const AXES: u32 = 3;
const IS_NEW: u32 = 5;

pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "reduction", Accepts::RowOf(|| OPERATIONS.iter().map(|row| row.name).collect())),
        Parameter::new(ALL, "flag that all axes are reduced", Accepts::Flag),
        Parameter::new(2, "factor of the result", Accepts::Float),
        Parameter::new(AXES, "axes", Accepts::Axes),
        Parameter::new(4, "flag that reduced axes stay, with extent 1", Accepts::Flag),
        Parameter::new(IS_NEW, "flag that the axes count as they should", Accepts::Flag),
    ],
)
.rules(&[is_new, has_axes]);

/// Refuses files of before the axes were counted as they are now.
fn is_new(layer: &Layer) -> Result<(), Diagnostic> {
    if layer.parameters.int(IS_NEW, 0) == 0 && !layer.parameters.ints(AXES).is_empty() {
        let message = "axes of a file this old count a batch axis";
        return Err(layer.error_in(AXES, message).hint("convert the model again, or count them from 0 and add 5=1"));
    }
    Ok(())
}

/// Warns of a layer that is to reduce some axes and names none.
fn has_axes(layer: &Layer) -> Result<(), Diagnostic> {
    if layer.parameters.int(ALL, 1) != 0 || !layer.parameters.ints(AXES).is_empty() {
        return Ok(());
    }
    let message = "no axes to reduce are given; as in ncnn, a vector is reduced as a whole, and of other blobs each element alone";
    Err(warning(layer, ALL, message.into()).hint("list them in parameter 3, or set 1=1 for all"))
}

type Formula = fn(&mut Expression, NodeId) -> NodeId;

/// A way to reduce: its name in messages, the term of an element, how terms come together, and what is made of the
/// result before the factor.
struct Row {
    name: &'static str,
    term: Formula,
    combine: Combine,
    finish: Formula,
}

/// By ncnn's number.
const OPERATIONS: [Row; 11] = [
    Row { name: "sum", term: itself, combine: Combine::Sum, finish: itself },
    Row { name: "sum of magnitudes", term: magnitude, combine: Combine::Sum, finish: itself },
    Row { name: "sum of squares", term: square, combine: Combine::Sum, finish: itself },
    Row { name: MEAN, term: itself, combine: Combine::Sum, finish: itself },
    Row { name: "maximum", term: itself, combine: Combine::Maximum, finish: itself },
    Row { name: "minimum", term: itself, combine: Combine::Minimum, finish: itself },
    Row { name: "product", term: itself, combine: Combine::Product, finish: itself },
    Row { name: "L1 norm", term: magnitude, combine: Combine::Sum, finish: itself },
    Row { name: "L2 norm", term: square, combine: Combine::Sum, finish: root },
    Row { name: "logarithm of the sum", term: itself, combine: Combine::Sum, finish: logarithm },
    Row { name: "logarithm of the sum of exponentials", term: exponential, combine: Combine::Sum, finish: logarithm },
];

const MEAN: &str = "mean";

fn itself(_: &mut Expression, x: NodeId) -> NodeId {
    x
}

fn magnitude(e: &mut Expression, x: NodeId) -> NodeId {
    e.abs(x)
}

fn square(e: &mut Expression, x: NodeId) -> NodeId {
    e.mul(x, x)
}

fn root(e: &mut Expression, x: NodeId) -> NodeId {
    e.sqrt(x)
}

fn exponential(e: &mut Expression, x: NodeId) -> NodeId {
    e.call(Function::Exponential, &[x])
}

fn logarithm(e: &mut Expression, x: NodeId) -> NodeId {
    e.call(Function::Logarithm, &[x])
}

/// The value that changes nothing.
fn neutral(combine: Combine) -> f32 {
    match combine {
        Combine::FusedSum | Combine::Sum => 0.0,
        Combine::Product => 1.0,
        Combine::Maximum => f32::NEG_INFINITY,
        Combine::Minimum => f32::INFINITY,
    }
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let row = l.row_of(&OPERATIONS);
    let reduced = reduced_axes(l, input.shape.len())?;
    let count: usize = reduced.iter().map(|axis| input.shape[*axis]).product();
    let factor = l.layer.parameters.float(2, 1.0) / if row.name == MEAN { count as f32 } else { 1.0 };
    let finish = |e: &mut Expression, result: NodeId| {
        let finished = (row.finish)(e, result);
        if factor == 1.0 {
            return finished;
        }
        let factor = e.constant(factor);
        e.mul(finished, factor)
    };
    if reduced.is_empty() {
        let output = l.output(0, &input.shape);
        let value = Expression::new(|e| {
            let x = e.read(0);
            let term = (row.term)(e, x);
            finish(e, term)
        });
        l.map(&output, vec![input.elementwise()], value);
        return Ok(());
    }
    let kept: Vec<usize> = (0..input.shape.len()).filter(|axis| !reduced.contains(axis)).collect();
    let all = axes(&input.shape);
    let mut parallel: Vec<Axis> = kept.iter().map(|axis| all[*axis].clone()).collect();
    let kept_shape: Vec<usize> = kept.iter().map(|axis| input.shape[*axis]).collect();
    if parallel.is_empty() {
        parallel.push(Axis { name: "i", extent: 1 });
    }
    let keep = l.layer.parameters.int(4, 0) != 0;
    let place = |axis: usize| kept.iter().position(|kept| *kept == axis);
    let (out_shape, write) = if keep {
        let shape = (0..all.len()).map(|axis| if kept.contains(&axis) { input.shape[axis] } else { 1 }).collect();
        (shape, (0..all.len()).map(|axis| place(axis).map_or(Index::constant(0), Index::axis)).collect())
    } else if kept.is_empty() {
        (vec![1], vec![Index::axis(0)])
    } else {
        (kept_shape, (0..kept.len()).map(Index::axis).collect())
    };
    let member = |axis: usize| {
        let within = reduced.iter().position(|reduced| *reduced == axis).map(|at| parallel.len() + at);
        Index::axis(place(axis).or(within).unwrap_or(axis))
    };
    let index: Vec<Index> = (0..all.len()).map(member).collect();
    let output = l.output(0, &out_shape);
    l.nest(Nest {
        name: String::new(),
        parallel,
        reduction: Some(Reduction {
            axes: reduced.iter().map(|axis| all[*axis].clone()).collect(),
            combine: row.combine,
            start: Expression::constant_of(neutral(row.combine)),
            term: Expression::new(|e| {
                let x = e.read(0);
                (row.term)(e, x)
            }),
        }),
        reads: vec![input.at(index)],
        store: Expression::new(|e| {
            let result = e.read(1);
            finish(e, result)
        }),
        write: output.at(write),
    });
    Ok(())
}

/// The axes to reduce, outermost first; there may be none.
fn reduced_axes(l: &Lowering, rank: usize) -> Result<Vec<usize>, Diagnostic> {
    let parameters = &l.layer.parameters;
    // A vector has nothing else to reduce, whatever the parameters say.
    if parameters.int(ALL, 1) != 0 || rank == 1 {
        return Ok((0..rank).collect());
    }
    // ncnn lets an axis be named twice.
    let mut axes = Vec::new();
    for number in parameters.ints(AXES) {
        axes.push(l.axis_in(AXES, number, rank)?);
    }
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}
