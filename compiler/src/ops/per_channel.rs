//! BatchNorm, Scale and Bias: a line for each index of the outermost axis. Sources: `src/layer/batchnorm.cpp`, `scale.cpp`
//! and `bias.cpp`.
//!
//! Weights, all of them raw: slope, mean, variance and bias of BatchNorm, scale and bias of Scale, bias of Bias.

use super::Lowering;
use super::signature::{Accepts, Blobs, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Access, Index, View};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};

const CHANNELS: u32 = 0;

pub(super) const BATCH_NORM: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(CHANNELS, "number of channels", Accepts::AtLeast(1)).required(),
        Parameter::new(1, "epsilon", Accepts::Float),
    ],
);

const WITH_BIAS: u32 = 1;

/// The number of channels that asks for a scale from the second input.
const FROM_INPUT: i32 = -233;

pub(super) const SCALE: Signature = Signature::new(
    |parameters| Blobs::new(if is_from_input(parameters) { 2 } else { 1 }, 1),
    &[
        Parameter::new(CHANNELS, "number of scales", Accepts::AtLeast(1))
            .required()
            .when(|parameters| !is_from_input(parameters)),
        Parameter::new(WITH_BIAS, "flag that there is a bias", Accepts::Flag),
    ],
)
.rules(&[has_weights_for_bias]);

pub(super) const BIAS: Signature =
    Signature::new(ONE_TO_ONE, &[Parameter::new(CHANNELS, "number of biases", Accepts::AtLeast(1)).required()]);

fn is_from_input(parameters: &Parameters) -> bool {
    parameters.int(CHANNELS, 0) == FROM_INPUT
}

fn is_biased(parameters: &Parameters) -> bool {
    parameters.int(WITH_BIAS, 0) != 0
}

/// In ncnn, too, a scale from an input comes without a bias: there is nothing it could be read from.
fn has_weights_for_bias(layer: &Layer) -> Result<(), Diagnostic> {
    if is_from_input(&layer.parameters) && is_biased(&layer.parameters) {
        let message = "a scale from an input can't have a bias";
        return Err(layer.error_in(WITH_BIAS, message).hint("leave parameter 1 out, and add the bias with BinaryOp"));
    }
    Ok(())
}

/// The element of a vector at the outermost axis, or its only one.
pub(super) fn outermost(vector: &View) -> Access {
    vector.at(vec![if vector.shape[0] == 1 { Index::constant(0) } else { Index::axis(0) }])
}

fn raw_arrays(count: usize, layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    let channels = reader.count(&[layer.parameters.int(CHANNELS, 0)])?;
    (0..count).map(|_| reader.raw(channels)).collect()
}

pub(super) fn batch_norm_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    raw_arrays(4, layer, reader)
}

pub(super) fn batch_norm(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let channels = input.shape[0];
    let epsilon = f64::from(l.layer.parameters.float(1, 0.0));
    let [slope, mean, variance, bias] = &l.layer.weights[..] else {
        return Err(l.error("the arrays haven't been read").hint("read the .bin before the network is lowered"));
    };
    if slope.len() != channels {
        let message = format!("there are {} channels in the weights and {channels} in the input", slope.len());
        return Err(l.error_in(CHANNELS, message).hint("parameter 0 must be the outermost extent of the input"));
    }
    let [slope, mean, variance, bias] = [slope, mean, variance, bias].map(Weights::values);
    let (mut scale, mut shift) = (Vec::new(), Vec::new());
    for (((slope, mean), variance), bias) in slope.iter().zip(&mean[..]).zip(&variance[..]).zip(&bias[..]) {
        let [slope, mean, variance, bias] = [slope, mean, variance, bias].map(|value| f64::from(*value));
        let deviation = (variance + epsilon).sqrt();
        // ncnn's own substitute for a division by zero.
        let deviation = if deviation == 0.0 { 1e-4 } else { deviation };
        scale.push((slope / deviation) as f32);
        shift.push((bias - slope * mean / deviation) as f32);
    }
    let scale = l.constant("scale", &[channels], &scale);
    let shift = l.constant("shift", &[channels], &shift);
    line(l, &input, &scale, Some(&shift));
    Ok(())
}

/// The mean and the deviation that each channel of a batch norm's results had in training; nothing for other layers.
pub fn statistics(layer: &Layer) -> Option<Vec<[f32; 2]>> {
    let epsilon = f64::from(layer.parameters.float(1, 0.0));
    let arrays: Vec<_> = layer.weights.iter().map(Weights::values).collect();
    let [slope, _, variance, bias] = &arrays[..] else { return None };
    let channel = |((slope, variance), bias): ((&f32, &f32), &f32)| {
        let variance = f64::from(*variance);
        let share = if variance > 0.0 { (variance / (variance + epsilon)).sqrt() } else { 0.0 };
        [*bias, (f64::from(slope.abs()) * share) as f32]
    };
    let channels = slope.iter().zip(variance.iter()).zip(bias.iter()).map(channel);
    (layer.kind == "BatchNorm").then(|| channels.collect())
}

pub(super) fn scale_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    if is_from_input(&layer.parameters) {
        return Ok(Vec::new());
    }
    raw_arrays(1 + usize::from(is_biased(&layer.parameters)), layer, reader)
}

pub(super) fn scale(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let channels = input.shape[0] as i64;
    if is_from_input(&l.layer.parameters) {
        let scale = l.fixed_input(1)?;
        if scale.elements() as i64 != channels {
            let message = format!("{} scales don't fit {channels} channels", scale.elements());
            return Err(l
                .error(message)
                .hint("the second input must have as many as the outermost extent of the first"));
        }
        line(l, &input, &scale.reshaped(&[input.shape[0]]), None);
        return Ok(());
    }
    let scales = i64::from(l.layer.parameters.int(CHANNELS, 0));
    if scales != channels {
        let message = format!("{scales} scales don't fit {channels} channels");
        return Err(l.error_in(CHANNELS, message).hint("parameter 0 must be the outermost extent of the input"));
    }
    let scale = l.weight(0, "scale", &[channels])?;
    let bias = if is_biased(&l.layer.parameters) { Some(l.weight(1, "bias", &[channels])?) } else { None };
    line(l, &input, &scale, bias.as_ref());
    Ok(())
}

/// `scale * x + shift`, rounded once.
fn line(l: &mut Lowering, input: &View, scale: &View, shift: Option<&View>) {
    let output = l.output(0, &input.shape);
    let mut reads = vec![input.elementwise(), outermost(scale)];
    reads.extend(shift.map(outermost));
    let value = Expression::new(|e| {
        let (x, scale) = (e.read(0), e.read(1));
        if shift.is_none() {
            return e.mul(x, scale);
        }
        let shift = e.read(2);
        e.fma(x, scale, shift)
    });
    l.map(&output, reads, value);
}

pub(super) fn bias_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    raw_arrays(1, layer, reader)
}

pub(super) fn bias(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let biases = i64::from(l.layer.parameters.int(CHANNELS, 0));
    let bias = l.weight(0, "bias", &[biases])?;
    let read = match input.shape.len() {
        // One channel, in ncnn's eyes; further biases are never looked at.
        1 | 2 => bias.at(vec![Index::constant(0)]),
        _ if bias.shape[0] == input.shape[0] => bias.at(vec![Index::axis(0)]),
        _ => {
            let message = format!("{biases} biases don't fit {} channels", input.shape[0]);
            return Err(l.error_in(CHANNELS, message).hint("there must be one for each index of the outermost axis"));
        }
    };
    let output = l.output(0, &input.shape);
    let value = Expression::new(|e| {
        let (x, bias) = (e.read(0), e.read(1));
        e.add(x, bias)
    });
    l.map(&output, vec![input.elementwise(), read], value);
    Ok(())
}
