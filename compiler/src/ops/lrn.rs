//! LRN: each element divided by a power of the mean square around it.
//!
//! 0: 0 across channels, 1 within a channel; 1: the width of the window; 2, 3, 4: alpha, beta and bias of
//! `x * (bias + alpha / n * sum of squares) ^ -beta`, n being the size of the whole window, also at the edges.

use super::Lowering;
use super::shape::text;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Axis, Combine, Index, Nest, Reduction, axes};

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let parameters = &l.layer.parameters;
    let (region, width) = (parameters.int(0, 0), i64::from(parameters.int(1, 5)));
    let (alpha, beta, bias) = (parameters.float(2, 1.0), parameters.float(3, 0.75), parameters.float(4, 1.0));
    if !(0..=1).contains(&region) {
        return Err(l.error(format!("there is no region {region}")).hint("0 across channels, 1 within a channel"));
    }
    if width < 1 {
        return Err(l.error(format!("a window of {width} elements")).hint("it must have at least one"));
    }
    // A blob of fewer dimensions has one channel, a vector also one row.
    let seen: Vec<usize> = match input.shape[..] {
        [w] => vec![1, 1, w],
        [h, w] => vec![1, h, w],
        [c, h, w] => vec![c, h, w],
        _ => return Err(l.error(format!("LRN takes blobs of one to three dimensions, not {}", text(&input.shape)))),
    };
    let seen_input = input.reshaped(&seen);
    let across = region == 0;
    let windows: &[(usize, &'static str)] = if across { &[(0, "k")] } else { &[(1, "ky"), (2, "kx")] };
    let mut index: Vec<Index> = (0..3).map(Index::axis).collect();
    let mut reduced = Vec::new();
    for (axis, name) in windows {
        // Of an even window, the larger half lies before the element. What is beyond the blob adds nothing.
        let last = seen[*axis] as i64 - 1;
        let (before, after) = ((width / 2).min(last), (width - width / 2 - 1).min(last));
        index[*axis] = Index::axis(*axis).plus(3 + reduced.len(), 1).moved(-before);
        reduced.push(Axis { name, extent: (before + after + 1) as usize });
    }
    let size = if across { width as f32 } else { width as f32 * width as f32 };
    let output = l.output(0, &input.shape).reshaped(&seen);
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
        reads: vec![seen_input.at(index).or(0.0), seen_input.elementwise()],
        store,
        write: output.elementwise(),
    });
    Ok(())
}
