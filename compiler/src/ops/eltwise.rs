//! Eltwise: products, sums or maxima of values of equal shape. Source: `src/layer/eltwise.cpp`.

use super::Lowering;
use super::shape::text;
use super::signature::{Accepts, Blobs, Parameter, Signature, counted};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::ncnn::{Layer, Parameters};

/// Most inputs of one layer; their sum is one expression.
const MOST_INPUTS: usize = 256;

const PRODUCT: i32 = 0;
const SUM: i32 = 1;
const MAXIMUM: i32 = 2;

const COEFFICIENTS: u32 = 1;

pub(super) const SIGNATURE: Signature = Signature::new(
    |_| Blobs::between(2, MOST_INPUTS, 1),
    &[
        Parameter::new(0, "operation", Accepts::OneOf(&[(PRODUCT, "product"), (SUM, "sum"), (MAXIMUM, "maximum")])),
        Parameter::new(COEFFICIENTS, "coefficients", Accepts::Floats).when(is_sum),
    ],
)
.rules(&[has_coefficients]);

fn is_sum(parameters: &Parameters) -> bool {
    parameters.int(0, PRODUCT) == SUM
}

/// The coefficients of a sum, none for ones.
fn coefficients(parameters: &Parameters) -> Vec<f32> {
    if is_sum(parameters) { parameters.floats(COEFFICIENTS) } else { Vec::new() }
}

/// Refuses fewer coefficients than inputs; ncnn doesn't look at further ones.
fn has_coefficients(layer: &Layer) -> Result<(), Diagnostic> {
    let (have, need) = (coefficients(&layer.parameters).len(), layer.inputs.len());
    if (1..need).contains(&have) {
        let message = format!("{} for {}", counted(have, "coefficient"), counted(need, "input"));
        return Err(layer.error_in(COEFFICIENTS, message).hint("give one for each input, or none at all"));
    }
    Ok(())
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let operation = l.layer.parameters.int(0, PRODUCT);
    let inputs = (0..l.inputs.len()).map(|i| l.fixed_input(i)).collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = inputs.iter().find(|input| input.shape != inputs[0].shape) {
        let message = format!("inputs of {} and {} differ", text(&inputs[0].shape), text(&other.shape));
        return Err(l.error(message).hint("all must have the same shape; BinaryOp spreads one over the other"));
    }
    let coefficients = coefficients(&l.layer.parameters);
    let value = Expression::new(|e| {
        let mut value = e.read(0);
        if let Some(first) = coefficients.first() {
            let first = e.constant(*first);
            value = e.mul(value, first);
        }
        for i in 1..inputs.len() {
            let x = e.read(i);
            value = match (operation, coefficients.get(i)) {
                (PRODUCT, _) => e.mul(value, x),
                (SUM, None) => e.add(value, x),
                (SUM, Some(coefficient)) => {
                    let coefficient = e.constant(*coefficient);
                    e.fma(x, coefficient, value)
                }
                // As `std::max`: the first of equal values, and of NaN and a number.
                (_, _) => e.max(x, value),
            };
        }
        value
    });
    let output = l.output(0, &inputs[0].shape);
    l.map(&output, inputs.iter().map(|input| input.elementwise()).collect(), value);
    Ok(())
}
