//! LRN: each element divided by a power of the mean square around it, `x * (bias + alpha / n * sum of squares) ^
//! -beta`, n being the size of the whole window, also at the edges. Source: `src/layer/lrn.cpp`.
//!
//! Of a blob of four dimensions ncnn takes the first plane of each channel for the whole of it, and leaves the others
//! as they are.

use super::Lowering;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Axis, Combine, Index, Nest, Reduction, View, axes};

const REGION: u32 = 0;
const WIDTH: u32 = 1;
const ALPHA: u32 = 2;
const BETA: u32 = 3;
const BIAS: u32 = 4;

pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(REGION, "region", Accepts::OneOf(&[(0, "across channels"), (1, "within a channel")])),
        Parameter::new(WIDTH, "width of the window", Accepts::AtLeast(1)),
        Parameter::new(ALPHA, "alpha", Accepts::Float),
        Parameter::new(BETA, "beta", Accepts::Float),
        Parameter::new(BIAS, "bias", Accepts::Float),
    ],
);

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let output = l.output(0, &input.shape);
    // A blob of fewer dimensions has one channel, a vector also one row.
    let seen: Vec<usize> = match input.shape[..] {
        [w] => vec![1, 1, 1, w],
        [h, w] => vec![1, 1, h, w],
        [c, h, w] => vec![c, 1, h, w],
        _ => input.shape.clone(),
    };
    let (input, output) = (input.reshaped(&seen), output.reshaped(&seen));
    normalize(l, &input, &output);
    let others = [seen[0], seen[1] - 1, seen[2], seen[3]];
    if others[1] > 0 {
        let index = vec![Index::axis(0), Index::axis(1).moved(1), Index::axis(2), Index::axis(3)];
        l.copy(axes(&others), input.at(index.clone()), &output, index);
    }
    Ok(())
}

/// Fills the first plane of each channel.
fn normalize(l: &mut Lowering, input: &View, output: &View) {
    let parameters = &l.layer.parameters;
    let (region, width) = (parameters.int(REGION, 0), i64::from(parameters.int(WIDTH, 5)));
    let (alpha, beta, bias) = (parameters.float(ALPHA, 1.0), parameters.float(BETA, 0.75), parameters.float(BIAS, 1.0));
    let seen = [input.shape[0], input.shape[2], input.shape[3]];
    let across = region == 0;
    let windows: &[(usize, &'static str)] = if across { &[(0, "k")] } else { &[(1, "ky"), (2, "kx")] };
    let element: Vec<Index> = (0..3).map(Index::axis).collect();
    let in_first_plane = |mut index: Vec<Index>| {
        index.insert(1, Index::constant(0));
        index
    };
    let mut index = element.clone();
    let mut reduced = Vec::new();
    for (axis, name) in windows {
        // Of an even window, the larger half lies before the element. What is beyond the blob adds nothing.
        let last = seen[*axis] as i64 - 1;
        let (before, after) = ((width / 2).min(last), (width - width / 2 - 1).min(last));
        index[*axis] = Index::axis(*axis).plus(3 + reduced.len(), 1).moved(-before);
        reduced.push(Axis { name, extent: (before + after + 1) as usize });
    }
    let size = if across { width as f32 } else { width as f32 * width as f32 };
    let square = Expression::new(|e| {
        let x = e.read(0);
        e.mul(x, x)
    });
    let store = Expression::new(|e| {
        let (x, sum) = (e.read(1), e.read(2));
        let (scale, bias, power) = (e.constant(alpha / size), e.constant(bias), e.constant(-beta));
        let base = e.fma(sum, scale, bias);
        let factor = e.call(Function::Power, &[base, power]);
        e.mul(x, factor)
    });
    let start = Expression::constant_of(0.0);
    l.nest(Nest {
        name: String::new(),
        parallel: axes(&seen),
        reduction: Some(Reduction { axes: reduced, combine: Combine::Sum, start, term: square }),
        reads: vec![input.at(in_first_plane(index)).or(0.0), input.at(in_first_plane(element.clone()))],
        store,
        write: output.at(in_first_plane(element)),
    });
}
