//! Convolution and ConvolutionDepthWise: windows of all channels of a group, weighted and summed.
//!
//! Weights: (outputs, inputs per group, height, width), then raw bias; or, where they come as an input, the bias as
//! another. Sources: `src/layer/convolution.cpp`, `convolutiondepthwise.cpp`.

use super::Lowering;
use super::activation::{self, Activation};
use super::contraction::{self, BIASED, Contraction, GROUPS, OUTPUTS, WEIGHTS, weights_and_bias, without_group};
use super::inner_product;
use super::lowering::axis;
use super::signature::{Accepts, Blobs, Parameter, Signature, joined};
use super::window::{self, KERNEL_HEIGHT, KERNEL_WIDTH, Window};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Index, View};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};
use loops::{G, IC, KX, KY, OC, X, Y};

/// The loops of a convolution's nest, transposed or not: group, output channel within it, row and column of the output;
/// then those of the sum: input channel within the group, row and column of the kernel.
pub(super) mod loops {
    pub const G: usize = 0;
    pub const OC: usize = 1;
    pub const Y: usize = 2;
    pub const X: usize = 3;
    pub const IC: usize = 4;
    pub const KY: usize = 5;
    pub const KX: usize = 6;
}

pub(super) const QUANTISATION: u32 = 8;
const PADDING_VALUE: u32 = 18;
const DYNAMIC: u32 = 19;

pub(super) const SIGNATURE: Signature = Signature::new(blobs, &PARAMETERS).rules(&[
    is_not_quantised,
    window::pads_sensibly,
    activation::has_its_numbers,
    shares_its_weights,
]);

pub(super) const SIGNATURE_IN_GROUPS: Signature = Signature::new(blobs, &PARAMETERS_IN_GROUPS).rules(&[
    is_not_quantised,
    window::pads_sensibly,
    activation::has_its_numbers,
    shares_its_weights,
    shares_its_outputs,
]);

const PARAMETERS: [Parameter; 18] = joined(&[OWN, window::OF_CONVOLUTION, activation::PARAMETERS]);
const PARAMETERS_IN_GROUPS: [Parameter; 19] = joined(&[&PARAMETERS, &[contraction::IN_GROUPS]]);

const OWN: &[Parameter] = &[
    Parameter::new(OUTPUTS, "number of outputs", Accepts::AtLeast(1)).required().when(has_weights),
    Parameter::new(KERNEL_WIDTH, "kernel width", Accepts::AtLeast(1)).required().when(has_weights),
    Parameter::new(BIASED, "flag that there is a bias", Accepts::Flag),
    Parameter::new(WEIGHTS, "number of weights", Accepts::AtLeast(1)).required().when(has_weights),
    Parameter::new(QUANTISATION, "quantisation", Accepts::Integer),
    Parameter::new(KERNEL_HEIGHT, "kernel height", Accepts::AtLeast(1)).when(has_weights),
    Parameter::new(PADDING_VALUE, "value of the padding", Accepts::Float),
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

/// Quantised layers change the numbers, so they are never taken for others.
pub(super) fn is_not_quantised(layer: &Layer) -> Result<(), Diagnostic> {
    if layer.parameters.int(QUANTISATION, 0) == 0 {
        return Ok(());
    }
    let problem = layer.error_in(QUANTISATION, format!("int8 {} is not supported yet", layer.kind));
    Err(problem.code(Code::Unsupported).hint("give the model before quantisation (before ncnn2int8)"))
}

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    if !has_weights(&layer.parameters) {
        return Ok(Vec::new());
    }
    weights_and_bias(layer, reader, WEIGHTS, BIASED)
}

pub(super) fn plain(l: &mut Lowering) -> Result<(), Diagnostic> {
    convolution(l, 1)
}

pub(super) fn grouped(l: &mut Lowering) -> Result<(), Diagnostic> {
    let groups = i64::from(l.layer.parameters.int(GROUPS, 1));
    convolution(l, groups)
}

/// The weights of a convolution as `[groups, outputs per group, inputs per group, kernel height, kernel width]`.
struct Kernel {
    weight: View,
    bias: Option<View>,
}

fn convolution(l: &mut Lowering, groups: i64) -> Result<(), Diagnostic> {
    let parameters = &l.layer.parameters;
    let dynamic = !has_weights(parameters);
    let biased = parameters.int(BIASED, 0) != 0;
    let input = l.fixed_input(0)?;
    let one_by_one = parameters.int(KERNEL_WIDTH, 0) == 1 && parameters.int(KERNEL_HEIGHT, 1) == 1;
    if input.shape.len() == 1 && one_by_one && !dynamic && l.layer.kind == "Convolution" {
        return inner_product::of_vector(l, &input, biased);
    }
    let vector = input.clone();
    let input = window::image(l, &input)?;
    let is_vector = vector.shape.len() == 1 && l.layer.kind == "Convolution";
    let channels = input.shape[0] as i64;
    check_division(l, channels, "input channels", groups)?;
    let activation = Activation::of(l.layer);
    let (kernel, windows) = if dynamic {
        let blob = l.fixed_input(1)?;
        let [outputs, per_group, height, width] = contraction::weight_blob(l, &blob)?;
        if is_vector && [per_group, height, width] == [vector.elements(), 1, 1] {
            let bias = dynamic_bias(l, biased, 1, outputs)?.map(|bias| bias.reshaped(&[outputs]));
            return inner_product::of_vector_by(l, &vector, &blob.reshaped(&[outputs, per_group]), bias);
        }
        let windows = on_image(l, &input, Some((height as i64, width as i64)))?;
        check_division(l, outputs as i64, "outputs", groups)?;
        if per_group as i64 != channels / groups {
            let message = format!("the weight blob is for {per_group} channels in a group, the input has {channels}");
            return Err(l.error(message).hint("it is (outputs, inputs in a group, kernel height, kernel width)"));
        }
        let weight = in_groups(&blob, groups);
        (Kernel { weight, bias: dynamic_bias(l, biased, groups, outputs)? }, windows)
    } else {
        let windows = on_image(l, &input, None)?;
        let outputs = i64::from(l.layer.parameters.int(OUTPUTS, 0));
        let [height, width] = windows.map(|window| window.kernel as i64);
        let weight = l.weight(0, "weight", &[outputs, channels / groups, height, width])?;
        let bias = if biased { Some(l.weight(1, "bias", &[outputs])?) } else { None };
        (Kernel { weight: in_groups(&weight, groups), bias: bias.map(|bias| in_groups(&bias, groups)) }, windows)
    };
    add_nest(l, &input, kernel, windows, activation)
}

fn on_image(l: &Lowering, input: &View, kernel: Option<(i64, i64)>) -> Result<[Window; 2], Diagnostic> {
    let [height, width] = window::of_convolution(&l.layer.parameters, kernel);
    Ok([height.along_height(l).on(l, "height", input.shape[1])?, width.on(l, "width", input.shape[2])?])
}

/// Refuses a number of channels that groups can't share evenly.
pub(super) fn check_division(l: &Lowering, channels: i64, what: &str, groups: i64) -> Result<(), Diagnostic> {
    if channels % groups == 0 {
        return Ok(());
    }
    let message = format!("{channels} {what} can't be divided into {groups} groups");
    Err(l.error_in(GROUPS, message).hint(format!("parameter {GROUPS} must divide {channels}")))
}

/// The bias from the third input, as `[groups, outputs per group]`.
pub(super) fn dynamic_bias(
    l: &Lowering,
    biased: bool,
    groups: i64,
    outputs: usize,
) -> Result<Option<View>, Diagnostic> {
    if !biased {
        return Ok(None);
    }
    let blob = l.fixed_input(2)?;
    if blob.elements() != outputs {
        let message = format!("the bias blob has {} elements for {outputs} outputs", blob.elements());
        return Err(l.error(message).hint("the third input is the bias, one element for each output"));
    }
    Ok(Some(in_groups(&blob.reshaped(&[outputs]), groups)))
}

/// A value whose outermost axis counts the outputs of all groups, with that axis divided into groups and outputs.
pub(super) fn in_groups(view: &View, groups: i64) -> View {
    let groups = groups as usize;
    view.reshaped(&[&[groups, view.shape[0] / groups], &view.shape[1..]].concat())
}

fn add_nest(
    l: &mut Lowering,
    input: &View,
    kernel: Kernel,
    windows: [Window; 2],
    activation: Activation,
) -> Result<(), Diagnostic> {
    let [groups, outputs, inputs, ..] = kernel.weight.shape[..] else { unreachable!("a kernel has 5 axes") };
    let [rows, columns] = windows;
    let extents = [(groups * outputs) as i64, rows.outputs, columns.outputs];
    let shape = l.shape(&extents)?;
    let output = l.output(0, &shape);
    let pixel = vec![Index::axis(G), Index::axis(IC), rows.index(Y, KY), columns.index(X, KX)];
    let left = input.reshaped(&[groups, inputs, input.shape[1], input.shape[2]]).at(pixel);
    let padded = rows.is_padded() || columns.is_padded();
    let weight = vec![Index::axis(G), Index::axis(OC), Index::axis(IC), Index::axis(KY), Index::axis(KX)];
    let contraction = Contraction {
        parallel: vec![axis("g", groups), axis("oc", outputs), axis("y", shape[1]), axis("x", shape[2])],
        reduction: vec![axis("ic", inputs), axis("ky", rows.kernel), axis("kx", columns.kernel)],
        left: if padded { left.or(l.layer.parameters.float(PADDING_VALUE, 0.0)) } else { left },
        right: kernel.weight.at(weight),
        bias: kernel.bias.map(|bias| bias.at(vec![Index::axis(G), Index::axis(OC)])),
        activation,
        write: output.reshaped(&[groups, outputs, shape[1], shape[2]]).elementwise(),
    };
    let nest = contraction.nest();
    l.nest(if groups == 1 { without_group(nest) } else { nest });
    Ok(())
}
