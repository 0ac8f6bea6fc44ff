//! Deconvolution and DeconvolutionDepthWise: the transpose of a convolution.
//!
//! Parameters as Convolution, and 18/19: extra elements right and bottom, 20/21: output width and height for padding
//! -233 and -234, 28: weights from the second input. Weights: (groups, outputs per group, inputs per group, height,
//! width), then raw bias; a weight blob is (inputs, outputs per group, height, width).
//!
//! Outputs whose distance is a multiple of the stride see the same taps of the kernel. So each such phase is a
//! convolution with stride 1 of its own, which writes every stride-th row and column and multiplies by no zeros.

use super::Lowering;
use super::activation::Activation;
use super::contraction::{Contraction, weights_and_bias, without_group};
use super::convolution::loops::{G, IC, KX, KY, OC, X, Y};
use super::convolution::{check_division, check_groups, dynamic_bias, in_groups, refuse_int8};
use super::lowering::axis;
use super::window::{self, Padding, Shape};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, Nest, View};
use crate::ncnn::{Layer, WeightReader, Weights};

/// Most phases of a layer. The largest stride in use is 32 in both directions (FCN-32s).
const MOST_PHASES: usize = 4096;

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    refuse_int8(layer)?;
    if layer.parameters.int(28, 0) != 0 {
        return Ok(Vec::new());
    }
    weights_and_bias(layer, reader, 6, 5)
}

pub(super) fn plain(l: &mut Lowering) -> Result<(), Diagnostic> {
    deconvolution(l, 1)
}

pub(super) fn grouped(l: &mut Lowering) -> Result<(), Diagnostic> {
    let groups = i64::from(l.layer.parameters.int(7, 1));
    deconvolution(l, groups)
}

/// What all phases share.
struct Layout {
    /// `[groups, inputs per group, height, width]`.
    input: View,
    /// `[groups, outputs per group, inputs per group, kernel height, kernel width]`, its second and third axis
    /// exchanged when `transposed`.
    weight: View,
    transposed: bool,
    /// `[groups, outputs per group]`.
    bias: Option<View>,
    /// `[groups, outputs per group, height, width]`.
    output: View,
    activation: Activation,
}

/// The outputs along one axis that see the same taps.
#[derive(Clone, Copy)]
struct Phase {
    /// The first output and the distance to the next.
    first: usize,
    stride: usize,
    outputs: usize,
    /// The first tap, the distance to the next and their number, perhaps zero.
    tap: usize,
    tap_step: usize,
    taps: usize,
    /// The input under the first output's first tap; later taps look further back.
    input: i64,
    input_step: i64,
}

fn deconvolution(l: &mut Lowering, groups: i64) -> Result<(), Diagnostic> {
    refuse_int8(l.layer)?;
    let dynamic = l.layer.parameters.int(28, 0) != 0;
    let biased = l.layer.parameters.int(5, 0) != 0;
    let inputs = if dynamic { 2 + usize::from(biased) } else { 1 };
    l.expect_blobs(inputs, inputs, 1)?;
    let input = window::image(l, &l.fixed_input(0)?)?;
    let channels = input.shape[0] as i64;
    check_division(l, channels, "input channels", groups)?;
    let activation = Activation::of(l)?;
    let (shapes, weight, bias) = if dynamic {
        let blob = l.fixed_input(1)?;
        let [blob_inputs, per_group, height, width] = blob.shape[..] else {
            return Err(l.error(format!("the weight blob must have 4 dimensions, not {}", blob.shape.len())));
        };
        if blob_inputs as i64 != channels {
            return Err(l.error(format!("the weight blob is for {blob_inputs} channels, the input has {channels}")));
        }
        let weight = in_groups(&blob, groups);
        let bias = dynamic_bias(l, biased, groups, per_group * groups as usize)?;
        (window::of_convolution(l, Some((height as i64, width as i64))), weight, bias)
    } else {
        let shapes = window::of_convolution(l, None);
        let outputs = i64::from(l.layer.parameters.int(0, 0));
        check_groups(l, outputs, groups)?;
        // Before the kernel has been found positive, its extents may not size anything.
        shapes[0].extent(l, "height")?;
        shapes[1].extent(l, "width")?;
        let extents = [outputs, channels / groups, shapes[0].kernel, shapes[1].kernel];
        let weight = in_groups(&l.weight(0, "weight", &extents)?, groups);
        let bias = if biased { Some(in_groups(&l.weight(1, "bias", &[outputs])?, groups)) } else { None };
        (shapes, weight, bias)
    };
    let outputs_per_group = weight.shape[if dynamic { 2 } else { 1 }];
    let [(height, top), (width, left)] = extents(l, &shapes, &input)?;
    let groups = groups as usize;
    let shape = l.shape(&[(groups * outputs_per_group) as i64, height, width])?;
    let output = l.output(0, &shape);
    let rows = phases(shapes[0], shape[1], top);
    let columns = phases(shapes[1], shape[2], left);
    if rows.len() * columns.len() > MOST_PHASES {
        return Err(l.error(format!("strides of {} and {} are too large", shapes[0].stride, shapes[1].stride)));
    }
    let layout = Layout {
        input: input.reshaped(&[groups, input.shape[0] / groups, input.shape[1], input.shape[2]]),
        weight,
        transposed: dynamic,
        bias,
        output: output.reshaped(&[groups, outputs_per_group, shape[1], shape[2]]),
        activation,
    };
    for row in &rows {
        for column in &columns {
            layout.add_phase(l, *row, *column);
        }
    }
    Ok(())
}

/// Height and width of the output, each with the number of rows or columns cut off before it.
fn extents(l: &Lowering, shapes: &[Shape; 2], input: &View) -> Result<[(i64, i64); 2], Diagnostic> {
    let parameter = |id: u32, default: i64| i64::from(l.layer.parameters.int(id, default as i32));
    let extra_right = parameter(18, 0);
    let extra_bottom = parameter(19, extra_right);
    let wanted_width = parameter(20, 0);
    let wanted_height = parameter(21, wanted_width);
    if extra_right < 0 || extra_bottom < 0 {
        return Err(l.error(format!("the output padding is negative: {extra_bottom} and {extra_right}")));
    }
    let one = |side: usize, name: &str, extra: i64, wanted: i64| {
        let shape = shapes[side];
        let full = (input.shape[side + 1] as i64 - 1) * shape.stride + shape.extent(l, name)? + extra;
        let cut = full - wanted;
        let chosen = wanted_width > 0 && wanted_height > 0;
        let (before, after) = match shape.padding {
            Padding::Explicit(before, after) => (before, after),
            Padding::SameUpper if chosen => (cut / 2, cut - cut / 2),
            Padding::SameLower if chosen => (cut - cut / 2, cut / 2),
            Padding::SameUpper | Padding::SameLower => (0, 0),
        };
        if before < 0 || after < 0 {
            return Err(l.error(format!("{before} and {after} elements of the {name} can't be cut off")));
        }
        Ok((full - before - after, before))
    };
    Ok([one(0, "height", extra_bottom, wanted_height)?, one(1, "width", extra_right, wanted_width)?])
}

/// The phases along an axis of `outputs` elements, before which `cut` have been cut off.
fn phases(shape: Shape, outputs: usize, cut: i64) -> Vec<Phase> {
    let (kernel, dilation, stride) = (shape.kernel, shape.dilation, shape.stride);
    // Taps of one phase follow one another at the distance at which dilation times tap is a multiple of the stride.
    let tap_step = stride / greatest_common_divisor(stride, dilation);
    let phase = |first: usize| {
        let position = first as i64 + cut;
        let tap = (0..tap_step.min(kernel)).find(|tap| (position - tap * dilation) % stride == 0);
        Phase {
            first,
            stride: stride as usize,
            outputs: (outputs - first).div_ceil(stride as usize),
            tap: tap.unwrap_or(0) as usize,
            tap_step: tap_step as usize,
            taps: tap.map_or(0, |tap| ((kernel - tap - 1) / tap_step + 1) as usize),
            input: (position - tap.unwrap_or(0) * dilation) / stride,
            input_step: -(tap_step * dilation / stride),
        }
    };
    // One more than can be accepted suffices to refuse them.
    (0..outputs.min(stride as usize).min(MOST_PHASES + 1)).map(phase).collect()
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Layout {
    fn add_phase(&self, l: &mut Lowering, row: Phase, column: Phase) {
        let written = |phase: Phase, at| Index::constant(phase.first as i64).plus(at, phase.stride as i64);
        let write = self.output.at(vec![Index::axis(G), Index::axis(OC), written(row, Y), written(column, X)]);
        let bias = self.bias.as_ref().map(|bias| bias.at(vec![Index::axis(G), Index::axis(OC)]));
        let [groups, outputs, ..] = self.output.shape[..] else { unreachable!("an output has 4 axes") };
        let parallel = vec![axis("g", groups), axis("oc", outputs), axis("y", row.outputs), axis("x", column.outputs)];
        if row.taps == 0 || column.taps == 0 {
            let store = Expression::new(|e| {
                let sum = if bias.is_some() { e.read(0) } else { e.constant(0.0) };
                self.activation.apply(e, sum)
            });
            let reads = bias.into_iter().collect();
            self.add(l, Nest { name: String::new(), parallel, reduction: None, reads, store, write });
            return;
        }
        let source = |phase: Phase, at, tap| Index::axis(at).plus(tap, phase.input_step).moved(phase.input);
        let pixel = vec![Index::axis(G), Index::axis(IC), source(row, Y, KY), source(column, X, KX)];
        let tap = |phase: Phase, at| Index::constant(phase.tap as i64).plus(at, phase.tap_step as i64);
        let (second, third) = if self.transposed { (IC, OC) } else { (OC, IC) };
        let weight = vec![Index::axis(G), Index::axis(second), Index::axis(third), tap(row, KY), tap(column, KX)];
        let contraction = Contraction {
            parallel,
            reduction: vec![axis("ic", self.input.shape[1]), axis("ky", row.taps), axis("kx", column.taps)],
            left: self.input.at(pixel).or(0.0),
            right: self.weight.at(weight),
            bias,
            activation: self.activation,
            write,
        };
        self.add(l, contraction.nest());
    }

    fn add(&self, l: &mut Lowering, nest: Nest) {
        l.nest(if self.input.shape[0] == 1 { without_group(nest) } else { nest });
    }
}
