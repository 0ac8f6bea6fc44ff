//! Convolution and ConvolutionDepthWise: windows of all channels of a group, weighted and summed.
//!
//! 0: outputs, 1/11: kernel width and height, 2/12: dilation, 3/13: stride, 4/15/14/16: padding left, right, top and
//! bottom, 5: bias, 6: number of weights, 7: groups, 8: int8, 9/10: activation, 18: value of the padding, 19: weights
//! from the second input. Weights: (outputs, inputs per group, height, width), then raw bias.

use super::Lowering;
use super::activation::Activation;
use super::contraction::{Contraction, weights_and_bias, without_group};
use super::inner_product;
use super::lowering::axis;
use super::window::{self, Window};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Index, View};
use crate::ncnn::{Layer, WeightReader, Weights};
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

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    refuse_int8(layer)?;
    if layer.parameters.int(19, 0) != 0 {
        return Ok(Vec::new());
    }
    weights_and_bias(layer, reader, 6, 5)
}

/// Quantised layers change the numbers, so they are never taken for others.
pub(super) fn refuse_int8(layer: &Layer) -> Result<(), Diagnostic> {
    if layer.parameters.int(8, 0) == 0 {
        return Ok(());
    }
    Err(Diagnostic::error(format!("int8 {} is not supported yet", layer.kind))
        .code(Code::Unsupported)
        .at(layer.location.clone())
        .layer(&layer.name)
        .hint("give the model before quantisation (before ncnn2int8)"))
}

pub(super) fn plain(l: &mut Lowering) -> Result<(), Diagnostic> {
    convolution(l, 1)
}

pub(super) fn grouped(l: &mut Lowering) -> Result<(), Diagnostic> {
    let groups = i64::from(l.layer.parameters.int(7, 1));
    convolution(l, groups)
}

/// The weights of a convolution as `[groups, outputs per group, inputs per group, kernel height, kernel width]`.
struct Kernel {
    weight: View,
    bias: Option<View>,
}

fn convolution(l: &mut Lowering, groups: i64) -> Result<(), Diagnostic> {
    refuse_int8(l.layer)?;
    let parameters = &l.layer.parameters;
    let dynamic = parameters.int(19, 0) != 0;
    let biased = parameters.int(5, 0) != 0;
    let inputs = if dynamic { 2 + usize::from(biased) } else { 1 };
    l.expect_blobs(inputs, inputs, 1)?;
    let input = l.fixed_input(0)?;
    let one_by_one = parameters.int(1, 0) == 1 && parameters.int(11, 1) == 1;
    if input.shape.len() == 1 && one_by_one && !dynamic && l.layer.kind == "Convolution" {
        return inner_product::of_vector(l, &input, biased);
    }
    let input = window::image(l, &input)?;
    let channels = input.shape[0] as i64;
    check_division(l, channels, "input channels", groups)?;
    let activation = Activation::of(l)?;
    let (kernel, windows) = if dynamic {
        let blob = l.fixed_input(1)?;
        let [outputs, per_group, height, width] = blob.shape[..] else {
            return Err(l.error(format!("the weight blob must have 4 dimensions, not {}", blob.shape.len())));
        };
        let windows = on_image(l, &input, Some((height as i64, width as i64)))?;
        check_groups(l, outputs as i64, groups)?;
        if per_group as i64 != channels / groups {
            let message = format!("the weight blob is for {per_group} channels in a group, the input has {channels}");
            return Err(l.error(message));
        }
        let weight = in_groups(&blob, groups);
        (Kernel { weight, bias: dynamic_bias(l, biased, groups, outputs)? }, windows)
    } else {
        let windows = on_image(l, &input, None)?;
        let outputs = i64::from(l.layer.parameters.int(0, 0));
        check_groups(l, outputs, groups)?;
        let [height, width] = windows.map(|window| window.kernel as i64);
        let weight = l.weight(0, "weight", &[outputs, channels / groups, height, width])?;
        let bias = if biased { Some(l.weight(1, "bias", &[outputs])?) } else { None };
        (Kernel { weight: in_groups(&weight, groups), bias: bias.map(|bias| in_groups(&bias, groups)) }, windows)
    };
    add_nest(l, &input, kernel, windows, activation)
}

fn on_image(l: &Lowering, input: &View, kernel: Option<(i64, i64)>) -> Result<[Window; 2], Diagnostic> {
    let [height, width] = window::of_convolution(l, kernel);
    Ok([height.along_height(l).on(l, "height", input.shape[1])?, width.on(l, "width", input.shape[2])?])
}

/// Refuses a number of outputs that isn't positive or can't be divided into groups.
pub(super) fn check_groups(l: &Lowering, outputs: i64, groups: i64) -> Result<(), Diagnostic> {
    if outputs < 1 {
        return Err(l.error(format!("the number of outputs is {outputs}, but must be at least 1")));
    }
    check_division(l, outputs, "outputs", groups)
}

/// Refuses a number of channels that groups can't share evenly.
pub(super) fn check_division(l: &Lowering, channels: i64, what: &str, groups: i64) -> Result<(), Diagnostic> {
    if groups < 1 || channels % groups != 0 {
        return Err(l.error(format!("{channels} {what} can't be divided into {groups} groups")));
    }
    Ok(())
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
        return Err(l.error(format!("the bias blob has {} elements for {outputs} outputs", blob.elements())));
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
        left: if padded { left.or(l.layer.parameters.float(18, 0.0)) } else { left },
        right: kernel.weight.at(weight),
        bias: kernel.bias.map(|bias| bias.at(vec![Index::axis(G), Index::axis(OC)])),
        activation,
        write: output.reshaped(&[groups, outputs, shape[1], shape[2]]).elementwise(),
    };
    let nest = contraction.nest();
    l.nest(if groups == 1 { without_group(nest) } else { nest });
    Ok(())
}
