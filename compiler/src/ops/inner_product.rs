//! InnerProduct: every output a weighted sum of all inputs, or of all inputs of its row.
//!
//! Weights: (outputs, inputs), then raw bias. Source: `src/layer/innerproduct.cpp`.

use super::Lowering;
use super::activation::{self, Activation};
use super::contraction::{Contraction, OUTPUTS, weights_and_bias};
use super::convolution::{QUANTISATION, is_not_quantised};
use super::lowering::axis;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature, joined};
use crate::diagnostic::Diagnostic;
use crate::graph::{Index, View};
use crate::ncnn::{Layer, WeightReader, Weights};

const BIASED: u32 = 1;
const WEIGHTS: u32 = 2;

pub(super) const SIGNATURE: Signature =
    Signature::new(ONE_TO_ONE, &PARAMETERS).rules(&[is_not_quantised, activation::has_its_numbers, shares_its_weights]);

const PARAMETERS: [Parameter; 6] = joined(&[
    &[
        Parameter::new(OUTPUTS, "number of outputs", Accepts::AtLeast(1)).required(),
        Parameter::new(BIASED, "flag that there is a bias", Accepts::Flag),
        Parameter::new(WEIGHTS, "number of weights", Accepts::AtLeast(1)).required(),
        Parameter::new(QUANTISATION, "quantisation", Accepts::Integer),
    ],
    activation::PARAMETERS,
]);

/// Refuses a number of weights that isn't the same for every output.
fn shares_its_weights(layer: &Layer) -> Result<(), Diagnostic> {
    let [outputs, weights] = [OUTPUTS, WEIGHTS].map(|id| layer.parameters.int(id, 0));
    if weights % outputs == 0 {
        return Ok(());
    }
    let message = format!("{weights} weights can't be divided among {outputs} outputs");
    Err(layer.error_in(WEIGHTS, message).hint("the number of weights is outputs x inputs"))
}

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    weights_and_bias(layer, reader, WEIGHTS, BIASED)
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let [outputs, biased, weights] = [OUTPUTS, BIASED, WEIGHTS].map(|id| l.layer.parameters.int(id, 0));
    let biased = biased != 0;
    match input.shape[..] {
        [rows, width] if i64::from(weights / outputs) == width as i64 => of_rows(l, &input, rows, biased),
        _ => of_vector(l, &input, biased),
    }
}

/// The product with all of the input, whatever its shape.
pub(super) fn of_vector(l: &mut Lowering, input: &View, biased: bool) -> Result<(), Diagnostic> {
    let (weight, bias, _) = operands(l, input.elements(), biased)?;
    of_vector_by(l, input, &weight, bias)
}

/// The same by weights `[outputs, inputs]` and a bias `[outputs]` that need not be the layer's own.
pub(super) fn of_vector_by(
    l: &mut Lowering,
    input: &View,
    weight: &View,
    bias: Option<View>,
) -> Result<(), Diagnostic> {
    const N: usize = 0;
    const K: usize = 1;
    let [outputs, inputs] = weight.shape[..] else { unreachable!("weights are a matrix") };
    let activation = Activation::of(l.layer);
    let output = l.output(0, &[outputs]);
    let contraction = Contraction {
        parallel: vec![axis("n", outputs)],
        reduction: vec![axis("k", inputs)],
        left: input.reshaped(&[inputs]).at(vec![Index::axis(K)]),
        right: weight.at(vec![Index::axis(N), Index::axis(K)]),
        bias: bias.map(|bias| bias.at(vec![Index::axis(N)])),
        activation,
        write: output.elementwise(),
    };
    l.nest(contraction.nest());
    Ok(())
}

fn of_rows(l: &mut Lowering, input: &View, rows: usize, biased: bool) -> Result<(), Diagnostic> {
    const ROW: usize = 0;
    const N: usize = 1;
    const K: usize = 2;
    let inputs = input.shape[1];
    let (weight, bias, outputs) = operands(l, inputs, biased)?;
    let activation = Activation::of(l.layer);
    let shape = l.shape(&[rows as i64, outputs as i64])?;
    let output = l.output(0, &shape);
    let contraction = Contraction {
        parallel: vec![axis("row", rows), axis("n", outputs)],
        reduction: vec![axis("k", inputs)],
        left: input.at(vec![Index::axis(ROW), Index::axis(K)]),
        right: weight.at(vec![Index::axis(N), Index::axis(K)]),
        bias: bias.map(|bias| bias.at(vec![Index::axis(N)])),
        activation,
        write: output.elementwise(),
    };
    l.nest(contraction.nest());
    Ok(())
}

/// Weight `[outputs, inputs]`, bias `[outputs]` and the number of outputs.
fn operands(l: &mut Lowering, inputs: usize, biased: bool) -> Result<(View, Option<View>, usize), Diagnostic> {
    let outputs = i64::from(l.layer.parameters.int(OUTPUTS, 0));
    let weight = l.weight(0, "weight", &[outputs, inputs as i64])?;
    let bias = if biased { Some(l.weight(1, "bias", &[outputs])?) } else { None };
    let outputs = weight.shape[0];
    Ok((weight, bias, outputs))
}
