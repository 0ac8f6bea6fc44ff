//! Deconvolution and DeconvolutionDepthWise: the transpose of a convolution.
//!
//! Weights: (groups, outputs per group, inputs per group, height, width), then raw bias; a weight blob is (inputs,
//! outputs per group, height, width). Sources: `src/layer/deconvolution.cpp`, `deconvolutiondepthwise.cpp`.
//!
//! Outputs whose distance is a multiple of the stride see the same taps of the kernel. So each such phase is a
//! convolution with stride 1 of its own, which writes every stride-th row and column and multiplies by no zeros.

use super::Lowering;
use super::activation::{self, Activation};
use super::contraction::{self, BIASED, Contraction, GROUPS, OUTPUTS, WEIGHTS, weights_and_bias, without_group};
use super::convolution::loops::{G, IC, KX, KY, OC, X, Y};
use super::convolution::{check_division, dynamic_bias, in_groups};
use super::lowering::MOST_ELEMENTS;
use super::lowering::axis;
use super::signature::{Accepts, Blobs, Parameter, Signature, joined};
use super::window::{self, KERNEL_HEIGHT, KERNEL_WIDTH, Padding, SAME_LOWER, SAME_UPPER, Shape};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::expression::Expression;
use crate::graph::{Index, Nest, View};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};

/// Most phases of a layer. The largest stride in use is 32 in both directions (FCN-32s).
const MOST_PHASES: usize = 4096;

const EXTRA_RIGHT: u32 = 18;
const EXTRA_BOTTOM: u32 = 19;
const OUTPUT_WIDTH: u32 = 20;
const OUTPUT_HEIGHT: u32 = 21;
const DYNAMIC: u32 = 28;

pub(super) const SIGNATURE: Signature = Signature::new(blobs, &PARAMETERS).rules(&[
    cuts_sensibly,
    activation::has_its_numbers,
    shares_its_weights,
    has_room,
]);

pub(super) const SIGNATURE_IN_GROUPS: Signature = Signature::new(blobs, &PARAMETERS_IN_GROUPS).rules(&[
    cuts_sensibly,
    activation::has_its_numbers,
    shares_its_weights,
    shares_its_outputs,
    has_room,
]);

const PARAMETERS: [Parameter; 20] = joined(&[OWN, window::OF_CONVOLUTION, activation::PARAMETERS]);
const PARAMETERS_IN_GROUPS: [Parameter; 21] = joined(&[&PARAMETERS, &[contraction::IN_GROUPS]]);

const OWN: &[Parameter] = &[
    Parameter::new(OUTPUTS, "number of outputs", Accepts::AtLeast(1)).required().when(has_weights),
    Parameter::new(KERNEL_WIDTH, "kernel width", Accepts::AtLeast(1)).required().when(has_weights),
    Parameter::new(BIASED, "flag that there is a bias", Accepts::Flag),
    Parameter::new(WEIGHTS, "number of weights", Accepts::AtLeast(1)).required().when(has_weights),
    Parameter::new(KERNEL_HEIGHT, "kernel height", Accepts::AtLeast(1)).when(has_weights),
    Parameter::new(EXTRA_RIGHT, "output padding right", Accepts::AtLeast(0)),
    Parameter::new(EXTRA_BOTTOM, "output padding bottom", Accepts::AtLeast(0)),
    Parameter::new(OUTPUT_WIDTH, "output width", Accepts::Integer),
    Parameter::new(OUTPUT_HEIGHT, "output height", Accepts::Integer),
    Parameter::new(DYNAMIC, "flag that the weights are an input", Accepts::Flag),
];

/// Whether the weights are the layer's own.
fn has_weights(parameters: &Parameters) -> bool {
    parameters.int(DYNAMIC, 0) == 0
}

fn blobs(parameters: &Parameters) -> Blobs {
    contraction::blobs(parameters, has_weights(parameters))
}

fn shares_its_weights(layer: &Layer) -> Result<(), Diagnostic> {
    contraction::shares_its_weights(layer, has_weights(&layer.parameters))
}

fn shares_its_outputs(layer: &Layer) -> Result<(), Diagnostic> {
    contraction::shares_its_outputs(layer, has_weights(&layer.parameters))
}

/// What is cut off the outputs.
enum Cut {
    /// So many rows and columns: left, right, top and bottom.
    Sides([i64; 4]),
    /// All but so many in the middle, width and height; the odd one is cut off behind, or before.
    AllBut([i64; 2], Padding),
}

impl Cut {
    /// By the layer's parameters; nothing where ncnn puts nothing out.
    fn of(parameters: &Parameters) -> Option<Self> {
        let sides = window::padding(parameters).map(|(_, value)| value);
        let width = parameters.int(OUTPUT_WIDTH, 0);
        let height = parameters.int(OUTPUT_HEIGHT, width);
        if sides.iter().any(|side| *side > 0) || width <= 0 || height <= 0 {
            return Some(Self::Sides(sides.map(|side| i64::from(side.max(0)))));
        }
        let wanted = [width, height].map(i64::from);
        match sides {
            _ if sides.contains(&SAME_UPPER) => Some(Self::AllBut(wanted, Padding::SameUpper)),
            _ if sides.contains(&SAME_LOWER) => Some(Self::AllBut(wanted, Padding::SameLower)),
            _ => None,
        }
    }
}

/// Judges the padding, which is cut off.
fn cuts_sensibly(layer: &Layer) -> Result<(), Diagnostic> {
    match Cut::of(&layer.parameters) {
        Some(Cut::AllBut(..)) => Ok(()),
        Some(Cut::Sides(_)) => window::pads_sensibly(layer),
        None => {
            let hint = "say what to cut off: with 4=-233 the odd one behind, with 4=-234 the odd one before; or leave out \
                        the output's size";
            Err(layer.error_in(OUTPUT_WIDTH, "an output size without padding, of which ncnn makes nothing").hint(hint))
        }
    }
}

/// Refuses a kernel that makes too much of a single element.
fn has_room(layer: &Layer) -> Result<(), Diagnostic> {
    let parameters = &layer.parameters;
    if !has_weights(parameters) || cuts_sensibly(layer).is_err_and(|problem| problem.severity == Severity::Error) {
        return Ok(());
    }
    let extents = window::of_convolution(parameters, None).map(Shape::extent);
    let [height, width] = match Cut::of(parameters) {
        Some(Cut::AllBut([width, height], _)) => [height, width],
        Some(Cut::Sides([left, right, top, bottom])) => {
            let extra_right = parameters.int(EXTRA_RIGHT, 0);
            let extra = [parameters.int(EXTRA_BOTTOM, extra_right), extra_right].map(i64::from);
            [extents[0] + extra[0] - top - bottom, extents[1] + extra[1] - left - right]
        }
        None => return Ok(()),
    };
    let outputs = i128::from(parameters.int(OUTPUTS, 0));
    let elements = [height, width].iter().map(|extent| i128::from(*extent).max(1)).product::<i128>();
    if outputs.saturating_mul(elements) <= MOST_ELEMENTS as i128 {
        return Ok(());
    }
    let message = format!("the output of at least {outputs}x{height}x{width} has more than {MOST_ELEMENTS} elements");
    Err(layer.error(message).code(Code::Size).hint("look for a kernel or a dilation that is far too large"))
}

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    if !has_weights(&layer.parameters) {
        return Ok(Vec::new());
    }
    weights_and_bias(layer, reader, WEIGHTS, BIASED)
}

pub(super) fn plain(l: &mut Lowering) -> Result<(), Diagnostic> {
    deconvolution(l, 1)
}

pub(super) fn grouped(l: &mut Lowering) -> Result<(), Diagnostic> {
    let groups = i64::from(l.layer.parameters.int(GROUPS, 1));
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
    let parameters = &l.layer.parameters;
    let dynamic = !has_weights(parameters);
    let biased = parameters.int(BIASED, 0) != 0;
    let input = window::image(l, &l.fixed_input(0)?)?;
    let channels = input.shape[0] as i64;
    check_division(l, channels, "input channels", groups)?;
    let activation = Activation::of(l.layer);
    let (shapes, weight, bias) = if dynamic {
        let blob = l.fixed_input(1)?;
        let [blob_inputs, per_group, height, width] = contraction::weight_blob(l, &blob)?;
        if blob_inputs as i64 != channels {
            let message = format!("the weight blob is for {blob_inputs} channels, the input has {channels}");
            return Err(l.error(message).hint("it is (inputs, outputs in a group, kernel height, kernel width)"));
        }
        let weight = in_groups(&blob, groups);
        let bias = dynamic_bias(l, biased, groups, per_group * groups as usize)?;
        (window::of_convolution(parameters, Some((height as i64, width as i64))), weight, bias)
    } else {
        let shapes = window::of_convolution(parameters, None);
        let outputs = i64::from(parameters.int(OUTPUTS, 0));
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
        let message = format!("strides of {} and {} are too large", shapes[0].stride, shapes[1].stride);
        let hint = format!("together they may leave out up to {MOST_PHASES} places; resize in two layers");
        return Err(l.error_in(3, message).code(Code::Size).hint(hint));
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
    let parameters = &l.layer.parameters;
    let extra_right = parameters.int(EXTRA_RIGHT, 0);
    let extra_bottom = parameters.int(EXTRA_BOTTOM, extra_right);
    let full = |side: usize, extra: i32| {
        (input.shape[side + 1] as i64 - 1) * shapes[side].stride + shapes[side].extent() + i64::from(extra)
    };
    let (height, width) = (full(0, extra_bottom), full(1, extra_right));
    match Cut::of(parameters) {
        Some(Cut::AllBut([wanted_width, wanted_height], odd)) => {
            if wanted_width > width || wanted_height > height {
                let message =
                    format!("an output of {wanted_height}x{wanted_width}, but the layer makes only {height}x{width}");
                let hint = "that size is what is left after cutting; parameters 18 and 19 add elements before it";
                return Err(l.error_in(OUTPUT_WIDTH, message).hint(hint));
            }
            let before = |cut: i64| if odd == Padding::SameUpper { cut / 2 } else { cut - cut / 2 };
            Ok([(wanted_height, before(height - wanted_height)), (wanted_width, before(width - wanted_width))])
        }
        Some(Cut::Sides([left, right, top, bottom])) => {
            Ok([(height - top - bottom, top), (width - left - right, left)])
        }
        None => unreachable!("the signature refuses a size without padding"),
    }
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
