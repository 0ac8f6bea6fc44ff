//! Eltwise: products, sums or maxima of values of equal shape.
//!
//! 0: 0 product, 1 sum, 2 maximum, 1: coefficients of a sum. Source: `src/layer/eltwise.cpp`.

use super::Lowering;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;

/// Most inputs of one layer; their sum is one expression.
const MOST_INPUTS: usize = 256;

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(2, MOST_INPUTS, 1)?;
    let operation = l.layer.parameters.int(0, 0);
    if !(0..=2).contains(&operation) {
        return Err(l.error(format!("there is no operation {operation}")).hint("0 product, 1 sum, 2 maximum"));
    }
    let inputs = (0..l.inputs.len()).map(|i| l.fixed_input(i)).collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = inputs.iter().find(|input| input.shape != inputs[0].shape) {
        return Err(l.error(format!("inputs of {:?} and {:?} differ", inputs[0].shape, other.shape)));
    }
    let coefficients = if operation == 1 { l.layer.parameters.floats(1) } else { Vec::new() };
    if !coefficients.is_empty() && coefficients.len() != inputs.len() {
        return Err(l.error(format!("{} coefficients for {} inputs", coefficients.len(), inputs.len())));
    }
    let value = Expression::new(|e| {
        let mut value = e.read(0);
        if let Some(first) = coefficients.first() {
            let first = e.constant(*first);
            value = e.mul(value, first);
        }
        for i in 1..inputs.len() {
            let x = e.read(i);
            value = match (operation, coefficients.get(i)) {
                (0, _) => e.mul(value, x),
                (1, None) => e.add(value, x),
                (1, Some(coefficient)) => {
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
