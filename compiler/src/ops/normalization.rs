//! Layers that bring groups of elements to mean 0 and deviation 1, or to length 1: LayerNorm, GroupNorm, InstanceNorm,
//! RMSNorm, MVN and Normalize. Sources: `src/layer/layernorm.cpp`, `groupnorm.cpp`, `instancenorm.cpp`, `rmsnorm.cpp`,
//! `mvn.cpp` and `normalize.cpp`.
//!
//! Each is one or two reductions to a number for each group, and a map. Squares are summed of differences from the mean,
//! as in ncnn, which is what makes the variance accurate.

use super::Lowering;
use super::shape::text;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::graph::{Access, Axis, Combine, Index, Nest, Reduction, View, axes};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};
use std::sync::Arc;

/// LayerNorm and RMSNorm.
pub(super) const INNERMOST: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "number of elements normalised together", Accepts::AtLeast(1)).required().when(is_affine),
        Parameter::new(1, "epsilon", Accepts::Float),
        Parameter::new(2, "flag that there are learned values", Accepts::Flag),
    ],
);

pub(super) const INSTANCE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "number of channels", Accepts::AtLeast(1)).required().when(is_affine),
        Parameter::new(1, "epsilon", Accepts::Float),
        Parameter::new(2, "flag that there are learned values", Accepts::Flag),
    ],
);

const GROUPS: u32 = 0;
const CHANNELS: u32 = 1;

pub(super) const GROUP: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(GROUPS, "number of groups", Accepts::AtLeast(1)),
        Parameter::new(CHANNELS, "number of channels", Accepts::AtLeast(1)).required(),
        Parameter::new(2, "epsilon", Accepts::Float),
        Parameter::new(3, "flag that there are learned values", Accepts::Flag),
    ],
)
.rules(&[are_equal_groups]);

pub(super) const MEAN_VARIANCE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "word to divide by the deviation too", Accepts::Flag),
        Parameter::new(1, "flag that all channels are taken together", Accepts::Flag),
        Parameter::new(2, "epsilon, added to the deviation", Accepts::Float),
    ],
);

pub(super) const NORMALIZE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "word to sum over space", Accepts::Flag),
        Parameter::new(1, "flag that all channels share a scale", Accepts::Flag),
        Parameter::new(2, "epsilon", Accepts::Float),
        Parameter::new(3, "number of scales", Accepts::AtLeast(1)).required(),
        Parameter::new(4, "word to sum over channels", Accepts::Flag),
        Parameter::new(9, "use of epsilon", Accepts::OneOf(&[(0, "added"), (1, "least root"), (2, "least sum")])),
    ],
);

/// Whether LayerNorm, RMSNorm and InstanceNorm have learned values.
fn is_affine(parameters: &Parameters) -> bool {
    parameters.int(2, 1) != 0
}

fn are_equal_groups(layer: &Layer) -> Result<(), Diagnostic> {
    let (groups, channels) = (layer.parameters.int(GROUPS, 1), layer.parameters.int(CHANNELS, 0));
    if channels % groups != 0 {
        let message = format!("{channels} channels can't be divided into {groups} groups");
        return Err(layer.error_in(GROUPS, message).hint("the number of groups must divide that of channels"));
    }
    Ok(())
}

/// Scale and, with `arrays` 2, shift, of the size that parameter `size` gives, unless parameter `flag` is 0.
fn affine(
    layer: &Layer,
    reader: &mut WeightReader,
    size: u32,
    flag: u32,
    arrays: usize,
) -> Result<Vec<Weights>, Diagnostic> {
    if layer.parameters.int(flag, 1) == 0 {
        return Ok(Vec::new());
    }
    let count = reader.count(&[layer.parameters.int(size, 0)])?;
    (0..arrays).map(|_| reader.raw(count)).collect()
}

pub(super) fn layer_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    affine(layer, reader, 0, 2, 2)
}

pub(super) fn group_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    affine(layer, reader, 1, 3, 2)
}

pub(super) fn root_mean_square_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    affine(layer, reader, 0, 2, 1)
}

pub(super) fn normalize_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    let count = reader.count(&[layer.parameters.int(3, 0)])?;
    Ok(vec![reader.raw(count)?])
}

/// A division of a blob into groups of equal size.
struct Groups {
    /// The blob.
    input: View,
    /// Loops over the groups.
    groups: Vec<Axis>,
    /// Loops over the elements of a group.
    members: Vec<Axis>,
    /// Where a member is, by the loops over groups and then over members.
    member: Vec<Index>,
    /// The group an element is in, by loops over the blob's own axes.
    of_element: Vec<Index>,
}

impl Groups {
    /// One group for each position along the `outer` outermost axes; without any, one of the whole blob.
    fn leading(input: View, outer: usize) -> Self {
        if outer == 0 {
            return Self::of_outermost(input, 1);
        }
        let all = axes(&input.shape);
        let member = (0..all.len()).map(Index::axis).collect();
        let of_element = (0..outer).map(Index::axis).collect();
        Self { groups: all[..outer].to_vec(), members: all[outer..].to_vec(), input, member, of_element }
    }

    /// One group for each position along all axes but the outermost.
    fn across_outermost(input: View) -> Self {
        let all = axes(&input.shape);
        let inner = all.len() - 1;
        let member = std::iter::once(Index::axis(inner)).chain((0..inner).map(Index::axis)).collect();
        let of_element = (1..all.len()).map(Index::axis).collect();
        Self { groups: all[1..].to_vec(), members: all[..1].to_vec(), input, member, of_element }
    }

    /// `count` groups of neighbours along the outermost axis, which `count` divides.
    fn of_outermost(input: View, count: usize) -> Self {
        let all = axes(&input.shape);
        let size = all[0].extent / count;
        let mut member: Vec<Index> = (0..all.len()).map(|axis| Index::axis(axis + 1)).collect();
        member[0] = Index::axis(1).plus(0, size as i64);
        let table: Arc<[i64]> = (0..all[0].extent).map(|at| (at / size) as i64).collect();
        let mut members = all;
        members[0].extent = size;
        let groups = vec![Axis { name: "g", extent: count }];
        let of_element = if count == 1 { Index::constant(0) } else { Index::table(0, table) };
        Self { groups, members, input, member, of_element: vec![of_element] }
    }

    /// Elements in a group.
    fn size(&self) -> f32 {
        self.members.iter().map(|axis| axis.extent).product::<usize>() as f32
    }

    /// A number for each group: the sum of `term` over its members, then `store` of that. `term` is given the member
    /// and, where there is one, `known`, the group's number found before.
    fn reduce(
        &self,
        l: &mut Lowering,
        name: &str,
        known: Option<&View>,
        term: impl FnOnce(&mut Expression, &[NodeId]) -> NodeId,
        store: impl FnOnce(&mut Expression, NodeId) -> NodeId,
    ) -> View {
        let shape: Vec<usize> = self.groups.iter().map(|axis| axis.extent).collect();
        let result = l.temporary(name, &shape);
        let mut reads = vec![self.input.at(self.member.clone())];
        reads.extend(known.map(View::elementwise));
        let operands = reads.len();
        let term = Expression::new(|e| {
            let nodes: Vec<NodeId> = (0..operands).map(|operand| e.read(operand)).collect();
            term(e, &nodes)
        });
        let store = Expression::new(|e| {
            let sum = e.read(operands);
            store(e, sum)
        });
        let start = Expression::constant_of(0.0);
        l.nest(Nest {
            name: String::new(),
            parallel: self.groups.clone(),
            reduction: Some(Reduction { axes: self.members.clone(), combine: Combine::Sum, start, term }),
            reads,
            store,
            write: result.elementwise(),
        });
        result
    }

    fn mean(&self, l: &mut Lowering) -> View {
        let size = self.size();
        self.reduce(
            l,
            "mean",
            None,
            |_, x| x[0],
            |e, sum| {
                let size = e.constant(size);
                e.div(sum, size)
            },
        )
    }

    /// The inverse of a deviation: `finish` of the mean square of the members, or of their differences from the mean.
    fn inverse_deviation(
        &self,
        l: &mut Lowering,
        mean: Option<&View>,
        finish: impl FnOnce(&mut Expression, NodeId) -> NodeId,
    ) -> View {
        let size = self.size();
        let square = |e: &mut Expression, x: &[NodeId]| {
            let from_mean = if let [x, mean] = x { e.sub(*x, *mean) } else { x[0] };
            e.mul(from_mean, from_mean)
        };
        self.reduce(l, "scale", mean, square, |e, sum| {
            let size = e.constant(size);
            let mean_square = e.div(sum, size);
            let deviation = finish(e, mean_square);
            let one = e.constant(1.0);
            e.div(one, deviation)
        })
    }

    /// Makes the output, of this shape: the difference from the mean over `sqrt(variance + epsilon)`, `* gamma + beta`.
    fn standardise(
        &self,
        l: &mut Lowering,
        shape: &[usize],
        epsilon: f32,
        gamma: Option<Access>,
        beta: Option<Access>,
    ) {
        let mean = self.mean(l);
        let scale = self.inverse_deviation(l, Some(&mean), root(epsilon));
        let output = l.output(0, shape).reshaped(&self.input.shape);
        let scales = std::iter::once(scale.at(self.of_element.clone())).chain(gamma).collect();
        self.apply(l, &output, Some(&mean), scales, beta);
    }

    /// Makes `output`: `((x - mean) * scale) * gamma + beta`, each where it is there.
    fn apply(&self, l: &mut Lowering, output: &View, mean: Option<&View>, scales: Vec<Access>, shift: Option<Access>) {
        let mut reads = vec![self.input.elementwise()];
        reads.extend(mean.map(|mean| mean.at(self.of_element.clone())));
        let (centred, scaled) = (mean.is_some(), scales.len());
        reads.extend(scales);
        reads.extend(shift.clone());
        let value = Expression::new(|e| {
            let mut operand = 0;
            let mut next = |e: &mut Expression| {
                operand += 1;
                e.read(operand - 1)
            };
            let mut x = next(e);
            if centred {
                let mean = next(e);
                x = e.sub(x, mean);
            }
            for i in 0..scaled {
                let scale = next(e);
                if i + 1 == scaled && shift.is_some() {
                    let shift = next(e);
                    return e.fma(x, scale, shift);
                }
                x = e.mul(x, scale);
            }
            x
        });
        l.map(output, reads, value);
    }
}

/// `sqrt(mean square + epsilon)`.
fn root(epsilon: f32) -> impl FnOnce(&mut Expression, NodeId) -> NodeId {
    move |e, mean_square| {
        let epsilon = e.constant(epsilon);
        let sum = e.add(mean_square, epsilon);
        e.sqrt(sum)
    }
}

/// A blob with one channel in front, as ncnn sees those of fewer than three dimensions.
fn with_channels(input: &View) -> View {
    let ones = vec![1; usize::from(input.shape.len() < 3)];
    input.reshaped(&[ones, input.shape.clone()].concat())
}

/// The layer's array `i` as a constant of this shape, read by `index`; `None` when the file has none.
fn learned(l: &mut Lowering, i: usize, shape: &[usize], index: Vec<Index>) -> Result<Option<Access>, Diagnostic> {
    if l.layer.weights.get(i).is_none() {
        return Ok(None);
    }
    let extents: Vec<i64> = shape.iter().map(|extent| *extent as i64).collect();
    let name = if i == 0 { "gamma" } else { "beta" };
    Ok(Some(l.weight(i, name, &extents)?.at(index)))
}

/// The number of outer axes such that the others have `affine_size` elements together.
fn outer_axes(l: &Lowering, shape: &[usize], affine_size: i32, affine: bool) -> Result<usize, Diagnostic> {
    // A vector is one row.
    let first = usize::from(shape.len() > 1);
    let fits = |outer: &usize| shape[*outer..].iter().product::<usize>() as i64 == i64::from(affine_size);
    match (first..shape.len()).rev().find(fits) {
        Some(outer) => Ok(outer),
        // Without learned values, or with more than enough, ncnn doesn't look: rows of images, all of a channel of deeper blobs.
        None if !affine || i64::from(affine_size) > shape[first..].iter().product::<usize>() as i64 => Ok(first),
        None => {
            let message = format!("no inner axes of {} have {affine_size} elements together", text(shape));
            Err(l.error_in(0, message).hint("parameter 0 must be the product of the innermost extents"))
        }
    }
}

/// Groups over the inner axes of `affine_size` elements, and the shape of learned values with the index among them of the one
/// for an element.
fn inner_groups(l: &mut Lowering) -> Result<(Groups, Vec<usize>, Vec<Index>), Diagnostic> {
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let (affine_size, affine) = (parameters.int(0, 0), is_affine(parameters));
    let outer = outer_axes(l, &input.shape, affine_size, affine)?;
    let inner_shape = input.shape[outer..].to_vec();
    let elements: usize = inner_shape.iter().product();
    if affine && affine_size as usize > elements {
        let message = format!("only {elements} of {affine_size} learned values are used, as in ncnn");
        l.warn_in(0, message, "parameter 0 should be the product of the innermost extents");
        let strides = inner_shape.iter().scan(elements as i64, |rest, extent| {
            *rest /= *extent as i64;
            Some(*rest)
        });
        let index = (outer..).zip(strides).fold(Index::constant(0), |index, (axis, stride)| index.plus(axis, stride));
        return Ok((Groups::leading(input, outer), vec![affine_size as usize], vec![index]));
    }
    let inner_index = (outer..input.shape.len()).map(Index::axis).collect();
    Ok((Groups::leading(input, outer), inner_shape, inner_index))
}

/// LayerNorm, over the innermost axes.
pub(super) fn layer(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (groups, inner_shape, inner_index) = inner_groups(l)?;
    let epsilon = l.layer.parameters.float(1, 0.001);
    let gamma = learned(l, 0, &inner_shape, inner_index.clone())?;
    let beta = learned(l, 1, &inner_shape, inner_index)?;
    let shape = groups.input.shape.clone();
    groups.standardise(l, &shape, epsilon, gamma, beta);
    Ok(())
}

/// RMSNorm, over the innermost axes.
pub(super) fn root_mean_square(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (groups, inner_shape, inner_index) = inner_groups(l)?;
    let epsilon = l.layer.parameters.float(1, 0.001);
    let gamma = learned(l, 0, &inner_shape, inner_index)?;
    let scale = groups.inverse_deviation(l, None, root(epsilon));
    let output = l.output(0, &groups.input.shape);
    let scales = std::iter::once(scale.at(groups.of_element.clone())).chain(gamma).collect();
    groups.apply(l, &output, None, scales, None);
    Ok(())
}

/// GroupNorm. The outermost axis holds the channels, whatever the rank.
pub(super) fn group(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let (count, channels, epsilon) =
        (parameters.int(GROUPS, 1), parameters.int(CHANNELS, 0), parameters.float(2, 0.001));
    let have = input.shape[0];
    if i64::from(channels) != have as i64 {
        let message = format!("parameter {CHANNELS} says {channels} channels, the input is {}", text(&input.shape));
        return Err(l.error_in(CHANNELS, message).hint("they must be the outermost extent"));
    }
    let count = count.unsigned_abs() as usize;
    let by_channel = vec![Index::axis(0)];
    let gamma = learned(l, 0, &[have], by_channel.clone())?;
    let beta = learned(l, 1, &[have], by_channel)?;
    l.tabulated(&input.shape[..1])?;
    let groups = Groups::of_outermost(input, count);
    let shape = groups.input.shape.clone();
    groups.standardise(l, &shape, epsilon, gamma, beta);
    Ok(())
}

/// InstanceNorm: each channel for itself.
pub(super) fn instance(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let seen = with_channels(&input);
    let epsilon = l.layer.parameters.float(1, 0.001);
    let (channels, by_channel) = ([seen.shape[0]], vec![Index::axis(0)]);
    let gamma = learned(l, 0, &channels, by_channel.clone())?;
    let beta = learned(l, 1, &channels, by_channel)?;
    let groups = Groups::leading(seen, 1);
    groups.standardise(l, &input.shape, epsilon, gamma, beta);
    Ok(())
}

/// MVN.
pub(super) fn mean_variance(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let (divide, together) = (parameters.int(0, 0) != 0, parameters.int(1, 0) != 0);
    let epsilon = parameters.float(2, 0.0001);
    // ncnn gives a blob of three dimensions for those of fewer.
    let ones = vec![1; 3_usize.saturating_sub(input.shape.len())];
    let out_shape = [ones, input.shape.clone()].concat();
    let groups = Groups::leading(input.reshaped(&out_shape), usize::from(!together));
    let mean = groups.mean(l);
    let scales = if divide {
        let scale = groups.inverse_deviation(l, Some(&mean), |e, mean_square| {
            let (deviation, epsilon) = (e.sqrt(mean_square), e.constant(epsilon));
            e.add(deviation, epsilon)
        });
        vec![scale.at(groups.of_element.clone())]
    } else {
        Vec::new()
    };
    let output = l.output(0, &out_shape);
    groups.apply(l, &output, Some(&mean), scales, None);
    Ok(())
}

/// Normalize: divided by the root of a sum of squares.
pub(super) fn normalize(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let (space, channels) = (parameters.int(0, 0) != 0, parameters.int(4, 1) != 0);
    let (shared, epsilon, mode) = (parameters.int(1, 0) != 0, parameters.float(2, 0.0001), parameters.int(9, 0));
    let seen = with_channels(&input);
    let (extent, index) = if shared { (1, Index::constant(0)) } else { (seen.shape[0], Index::axis(0)) };
    let gamma = learned(l, 0, &[extent], vec![index])?;
    let groups = match (space, channels) {
        (true, true) => Groups::leading(seen, 0),
        (true, false) => Groups::leading(seen, 1),
        (false, true) => Groups::across_outermost(seen),
        (false, false) => {
            l.set_output(0, input);
            return Ok(());
        }
    };
    let square = |e: &mut Expression, x: &[NodeId]| e.mul(x[0], x[0]);
    let scale = groups.reduce(l, "scale", None, square, |e, sum| {
        let (epsilon, one) = (e.constant(epsilon), e.constant(1.0));
        let length = if mode == 0 {
            let sum = e.add(sum, epsilon);
            e.sqrt(sum)
        } else if mode == 1 {
            let root = e.sqrt(sum);
            e.max(epsilon, root)
        } else {
            let sum = e.max(epsilon, sum);
            e.sqrt(sum)
        };
        e.div(one, length)
    });
    let output = l.output(0, &input.shape).reshaped(&groups.input.shape);
    let scales = std::iter::once(scale.at(groups.of_element.clone())).chain(gamma).collect();
    groups.apply(l, &output, None, scales, None);
    Ok(())
}
