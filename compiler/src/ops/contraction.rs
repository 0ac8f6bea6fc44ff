//! What all contractions share: their arrays, the sum of products, its start, and what is stored.

use super::activation::Activation;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Access, Axis, Combine, Nest, Reduction};
use crate::ncnn::{Layer, WeightReader, Weights};

/// A contraction being put together: `store(start + sum of left * right)`.
pub(super) struct Contraction {
    /// The loops of its result.
    pub parallel: Vec<Axis>,
    /// The loops of the sum, the channels first.
    pub reduction: Vec<Axis>,
    /// One factor of every product.
    pub left: Access,
    /// The other one, the weight if there is one.
    pub right: Access,
    /// What the sum starts from, otherwise zero.
    pub bias: Option<Access>,
    /// What is done to the sum.
    pub activation: Activation,
    /// Where the result goes.
    pub write: Access,
}

impl Contraction {
    /// The nest, with the factors as reads 0 and 1 and the bias as read 2.
    pub(super) fn nest(self) -> Nest {
        let mut reads = vec![self.left, self.right];
        let start = match self.bias {
            Some(bias) => {
                reads.push(bias);
                Expression::read_of(2)
            }
            None => Expression::constant_of(0.0),
        };
        let reduced = reads.len();
        let store = Expression::new(|e| {
            let sum = e.read(reduced);
            self.activation.apply(e, sum)
        });
        let reduction = Some(sum_of_products(self.reduction, start));
        Nest { name: String::new(), parallel: self.parallel, reduction, reads, store, write: self.write }
    }
}

/// Reads the weights, as many as parameter `count` says, and where parameter `biased` says so a raw bias for each of the
/// outputs, which parameter 0 counts.
pub(super) fn weights_and_bias(
    layer: &Layer,
    reader: &mut WeightReader,
    count: u32,
    biased: u32,
) -> Result<Vec<Weights>, Diagnostic> {
    let parameters = &layer.parameters;
    let mut weights = vec![reader.tagged(reader.count(&[parameters.int(count, 0)])?)?];
    if parameters.int(biased, 0) != 0 {
        weights.push(reader.raw(reader.count(&[parameters.int(0, 0)])?)?);
    }
    Ok(weights)
}

/// The sum of the products of reads 0 and 1.
pub(super) fn sum_of_products(axes: Vec<Axis>, start: Expression) -> Reduction {
    let mut term = Expression::default();
    term.results = vec![term.read(0), term.read(1)];
    Reduction { axes, combine: Combine::FusedSum, start, term }
}

/// The nest without its first loop, which runs once and is the first index of every access.
pub(super) fn without_group(mut nest: Nest) -> Nest {
    debug_assert_eq!(nest.parallel[0].extent, 1, "groups");
    nest.parallel.remove(0);
    for access in nest.reads.iter_mut().chain([&mut nest.write]) {
        access.shape.remove(0);
        access.index.remove(0);
        for term in access.index.iter_mut().flat_map(|index| &mut index.terms) {
            term.axis.0 -= 1;
        }
    }
    nest
}
