//! MatMul: products of matrices in the last two axes, the axes before them as a batch that broadcasts.
//!
//! Source: `src/layer/matmul.cpp`.

use super::Lowering;
use super::contraction::sum_of_products;
use super::lowering::axis;
use super::signature::{Accepts, Blobs, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, Nest};

const TRANSPOSED: u32 = 0;

pub(super) const SIGNATURE: Signature = Signature::new(
    |_| Blobs::new(2, 1),
    &[Parameter::new(TRANSPOSED, "flag that the second input's last two axes are exchanged", Accepts::Flag)],
);

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    const D: usize = 0;
    const C: usize = 1;
    const M: usize = 2;
    const N: usize = 3;
    const K: usize = 4;
    let (a, b) = (l.fixed_input(0)?, l.fixed_input(1)?);
    let transposed = l.layer.parameters.int(TRANSPOSED, 0) != 0;
    let (a_vector, b_vector) = (a.shape.len() == 1, b.shape.len() == 1);
    // A vector is a row on the left and a column on the right; as a column it is its own transpose.
    let transposed = transposed || b_vector;
    let a_shape = in_four(&a.shape);
    let b_shape = in_four(&b.shape);
    let (m, k) = (a_shape[2], a_shape[3]);
    let (b_k, n) = if transposed { (b_shape[3], b_shape[2]) } else { (b_shape[2], b_shape[3]) };
    if k != b_k {
        let message = format!("a {m}x{k} matrix can't be multiplied by a {b_k}x{n} matrix");
        let hint = "the first needs as many columns as the second has rows; parameter 0 exchanges the second's axes";
        return Err(l.error(message).hint(hint));
    }
    let mut batch = [0; 2];
    for (at, extent) in batch.iter_mut().enumerate() {
        let (x, y) = (a_shape[at], b_shape[at]);
        if x != y && x != 1 && y != 1 {
            let message = format!("batches of {x} and {y} matrices don't broadcast");
            return Err(l.error(message).hint("along each axis there must be equally many, or one"));
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
fn in_four(shape: &[usize]) -> Vec<usize> {
    [vec![1; 4 - shape.len()], shape.to_vec()].concat()
}
