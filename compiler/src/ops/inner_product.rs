//! InnerProduct: every output a weighted sum of all inputs, or of all inputs of its row.
//!
//! 0: outputs, 1: bias, 2: number of weights, 8: int8, 9/10: activation. Weights: (outputs, inputs), then raw bias.
//! Source: `src/layer/innerproduct.cpp`.

use super::Lowering;
use super::activation::Activation;
use super::contraction::{Contraction, weights_and_bias};
use super::convolution::refuse_int8;
use super::lowering::axis;
use crate::diagnostic::Diagnostic;
use crate::graph::{Index, View};
use crate::ncnn::{Layer, WeightReader, Weights};

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    refuse_int8(layer)?;
    weights_and_bias(layer, reader, 2, 1)
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    refuse_int8(l.layer)?;
    let input = l.only_input()?;
    let biased = l.layer.parameters.int(1, 0) != 0;
    let outputs = i64::from(l.layer.parameters.int(0, 0));
    let weights = l.layer.weights.first().map_or(0, |weights| weights.len()) as i64;
    if outputs < 1 || weights % outputs != 0 {
        return Err(l.error(format!("{weights} weights can't be divided among {outputs} outputs")));
    }
    match input.shape[..] {
        [rows, width] if width as i64 == weights / outputs => of_rows(l, &input, rows, biased),
        _ => of_vector(l, &input, biased),
    }
}

/// The product with all of the input, whatever its shape.
pub(super) fn of_vector(l: &mut Lowering, input: &View, biased: bool) -> Result<(), Diagnostic> {
    const N: usize = 0;
    const K: usize = 1;
    let (weight, bias, outputs) = operands(l, input.elements(), biased)?;
    let inputs = input.elements();
    let activation = Activation::of(l)?;
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
    let activation = Activation::of(l)?;
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
    let outputs = i64::from(l.layer.parameters.int(0, 0));
    let weight = l.weight(0, "weight", &[outputs, inputs as i64])?;
    let bias = if biased { Some(l.weight(1, "bias", &[outputs])?) } else { None };
    let outputs = weight.shape[0];
    Ok((weight, bias, outputs))
}
