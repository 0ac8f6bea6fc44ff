//! ReLU, PReLU and Clip: lines with bends. Sources: `src/layer/relu.cpp`, `prelu.cpp` and `clip.cpp`.

use super::Lowering;
use super::activation::{clip as clip_formula, leaky_relu, relu as relu_formula};
use super::per_channel::outermost;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::ncnn::{Layer, WeightReader, Weights};

pub(super) const RELU: Signature = Signature::new(ONE_TO_ONE, &[Parameter::new(0, "slope below zero", Accepts::Float)]);

/// There is one slope, or one for each index of the outermost axis.
pub(super) const PRELU: Signature =
    Signature::new(ONE_TO_ONE, &[Parameter::new(0, "number of slopes", Accepts::AtLeast(1)).required()]);

pub(super) const CLIP: Signature = Signature::new(
    ONE_TO_ONE,
    &[Parameter::new(0, "lowest value", Accepts::Float), Parameter::new(1, "highest value", Accepts::Float)],
);

pub(super) fn relu(l: &mut Lowering) -> Result<(), Diagnostic> {
    let slope = l.layer.parameters.float(0, 0.0);
    l.pointwise(|e, x| {
        if slope == 0.0 {
            return relu_formula(e, x);
        }
        let slope = e.constant(slope);
        leaky_relu(e, x, slope)
    })
}

pub(super) fn clip(l: &mut Lowering) -> Result<(), Diagnostic> {
    let low = l.layer.parameters.float(0, f32::MIN);
    let high = l.layer.parameters.float(1, f32::MAX);
    l.pointwise(|e, x| clip_formula(e, x, low, high))
}

/// The slopes, raw.
pub(super) fn prelu_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    Ok(vec![reader.raw(reader.count(&[layer.parameters.int(0, 0)])?)?])
}

pub(super) fn prelu(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let slopes = i64::from(l.layer.parameters.int(0, 0));
    let channels = input.shape[0] as i64;
    if slopes != 1 && slopes != channels {
        let message = format!("{slopes} slopes don't fit {channels} channels");
        return Err(l.error_in(0, message).hint("parameter 0 must be 1 or the outermost extent of the input"));
    }
    let slope = l.weight(0, "slope", &[slopes])?;
    let output = l.output(0, &input.shape);
    let value = Expression::new(|e| {
        let (x, slope) = (e.read(0), e.read(1));
        leaky_relu(e, x, slope)
    });
    l.map(&output, vec![input.elementwise(), outermost(&slope)], value);
    Ok(())
}
