//! MatMul: products of matrices in the last two axes, the axes before them as a batch that broadcasts.
//!
//! 0: the last two axes of the second input are exchanged. Source: `src/layer/matmul.cpp`.

use super::Lowering;
use super::contraction::sum_of_products;
use super::lowering::axis;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, Nest};

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    const D: usize = 0;
    const C: usize = 1;
    const M: usize = 2;
    const N: usize = 3;
    const K: usize = 4;
    l.expect_blobs(2, 2, 1)?;
    let (a, b) = (l.fixed_input(0)?, l.fixed_input(1)?);
    let transposed = l.layer.parameters.int(0, 0) != 0;
    let (a_vector, b_vector) = (a.shape.len() == 1, b.shape.len() == 1);
    // A vector is a row on the left and a column on the right; as a column it is its own transpose.
    let transposed = transposed || b_vector;
    let a_shape = in_four(l, &a.shape)?;
    let b_shape = in_four(l, &b.shape)?;
    let (m, k) = (a_shape[2], a_shape[3]);
    let (b_k, n) = if transposed { (b_shape[3], b_shape[2]) } else { (b_shape[2], b_shape[3]) };
    if k != b_k {
        return Err(l.error(format!("a {m}x{k} matrix can't be multiplied by a {b_k}x{n} matrix")));
    }
    let mut batch = [0; 2];
    for (at, extent) in batch.iter_mut().enumerate() {
        let (x, y) = (a_shape[at], b_shape[at]);
        if x != y && x != 1 && y != 1 {
            return Err(l.error(format!("batches of {x} and {y} matrices don't broadcast")));
        }
        *extent = x.max(y);
    }
    let whole = l.shape(&[batch[0], batch[1], m, n].map(|extent| extent as i64))?;
    let rank = a.shape.len().max(b.shape.len());
    let mut shape: Vec<usize> = match rank {
        1 => Vec::new(),
        _ => whole[4 - rank..2].to_vec(),
    };
    shape.extend((!a_vector).then_some(m));
    shape.extend((!b_vector).then_some(n));
    if shape.is_empty() {
        shape.push(1);
    }
    let output = l.output(0, &shape);
    let along = |at: usize, extent: usize| if extent == 1 { Index::constant(0) } else { Index::axis(at) };
    let (last, before) = if transposed { (K, N) } else { (N, K) };
    let left = vec![along(D, a_shape[0]), along(C, a_shape[1]), Index::axis(M), Index::axis(K)];
    let right = vec![along(D, b_shape[0]), along(C, b_shape[1]), Index::axis(before), Index::axis(last)];
    l.nest(Nest {
        name: String::new(),
        parallel: vec![axis("d", batch[0]), axis("c", batch[1]), axis("m", m), axis("n", n)],
        reduction: Some(sum_of_products(vec![axis("k", k)], Expression::constant_of(0.0))),
        reads: vec![a.reshaped(&a_shape).at(left), b.reshaped(&b_shape).at(right)],
        store: Expression::read_of(2),
        write: output.reshaped(&whole).elementwise(),
    });
    Ok(())
}

/// A shape with axes of extent 1 added before it, up to four.
fn in_four(l: &Lowering, shape: &[usize]) -> Result<Vec<usize>, Diagnostic> {
    if shape.len() > 4 {
        return Err(l.error(format!("{} dimensions are too many", shape.len())));
    }
    Ok([vec![1; 4 - shape.len()], shape.to_vec()].concat())
}
