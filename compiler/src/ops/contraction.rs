//! What all contractions share: their arrays, the sum of products, its start, and what is stored; and what
//! convolutions, transposed or not, ask of their weights.

use super::Lowering;
use super::activation::Activation;
use super::signature::{Accepts, Blobs, Parameter};
use super::window::{KERNEL_HEIGHT, KERNEL_WIDTH};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Access, Axis, Combine, Nest, Reduction, View};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};

/// Parameters of convolutions, transposed or not: the number of outputs, whether there is a bias, the numbers of
/// weights and of groups.
pub(super) const OUTPUTS: u32 = 0;
pub(super) const BIASED: u32 = 5;
pub(super) const WEIGHTS: u32 = 6;
pub(super) const GROUPS: u32 = 7;

/// What convolutions in groups have besides.
pub(super) const IN_GROUPS: Parameter = Parameter::new(GROUPS, "number of groups", Accepts::AtLeast(1));

/// The blobs of a convolution: weights that aren't its own are inputs, and so is the bias then.
pub(super) fn blobs(parameters: &Parameters, own_weights: bool) -> Blobs {
    let biased = parameters.int(BIASED, 0) != 0;
    Blobs::new(if own_weights { 1 } else { 2 + usize::from(biased) }, 1)
}

/// Refuses a number of weights that isn't the same for every output and every place of the kernel.
pub(super) fn shares_its_weights(layer: &Layer, own_weights: bool) -> Result<(), Diagnostic> {
    let parameters = &layer.parameters;
    let [weights, outputs] = [WEIGHTS, OUTPUTS].map(|id| i64::from(parameters.int(id, 0)));
    let width = parameters.int(KERNEL_WIDTH, 0);
    let height = parameters.int(KERNEL_HEIGHT, width);
    let places = i64::from(width) * i64::from(height);
    if !own_weights || places.checked_mul(outputs).is_some_and(|share| weights % share == 0) {
        return Ok(());
    }
    let message = format!("{weights} weights can't be shared by {outputs} outputs with kernels of {height}x{width}");
    let hint = "the number of weights is outputs x inputs in a group x kernel height x kernel width";
    Err(layer.error_in(WEIGHTS, message).hint(hint))
}

/// Refuses a number of outputs that isn't the same for every group.
pub(super) fn shares_its_outputs(layer: &Layer, own_weights: bool) -> Result<(), Diagnostic> {
    let (outputs, groups) = (layer.parameters.int(OUTPUTS, 0), layer.parameters.int(GROUPS, 1));
    if !own_weights || outputs % groups == 0 {
        return Ok(());
    }
    let message = format!("{outputs} outputs can't be divided into {groups} groups");
    Err(layer.error_in(GROUPS, message).hint(format!("parameter {GROUPS} must divide {outputs}")))
}

/// The extents of weights that are an input.
pub(super) fn weight_blob(l: &Lowering, blob: &View) -> Result<[usize; 4], Diagnostic> {
    let wrong = || {
        let message = format!("the weight blob must have 4 dimensions, not {}", blob.shape.len());
        l.error(message)
            .hint("the second input is the weights, with height and width of the kernel as the last two axes")
    };
    blob.shape[..].try_into().map_err(|_| wrong())
}

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

/// Reads the weights, as many as parameter `count` says, and where parameter `biased` says so a raw bias for each of
/// the outputs, which parameter 0 counts.
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
