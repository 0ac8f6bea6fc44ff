//! The activation functions that layers carry with them (parameters 9 and 10), and formulas others share.
//!
//! Source: `src/layer/fused_activation.h`. Where ncnn's code paths differ in the treatment of NaN, here it stays NaN.

use super::signature::{Accepts, Parameter};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;
use crate::ncnn::Layer;

const KIND: u32 = 9;
const NUMBERS: u32 = 10;

/// The parameters by which a layer has an activation.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(KIND, "activation", Accepts::OneOf(KINDS)),
    Parameter::new(NUMBERS, "numbers of the activation", Accepts::Floats)
        .when(|parameters| numbers_of(parameters.int(KIND, 0)) > 0),
];

const KINDS: &[(i32, &str)] =
    &[(0, "none"), (1, "ReLU"), (2, "leaky ReLU"), (3, "clip"), (4, "sigmoid"), (5, "mish"), (6, "hard swish")];

/// How many numbers of its own an activation has.
fn numbers_of(kind: i32) -> usize {
    match kind {
        2 => 1,
        3 | 6 => 2,
        _ => 0,
    }
}

/// Why gates with a slope below 0 are refused: elements that fill a vector ncnn cuts at 0 and 1; of the others it takes those
/// below the line's zero for 0.
pub(super) const FALLING: &str = "with a slope below 0 what ncnn makes of an element depends on its place";

/// Refuses an activation without its numbers, or with numbers of which ncnn makes now this, now that.
pub(super) fn has_its_numbers(layer: &Layer) -> Result<(), Diagnostic> {
    let kind = layer.parameters.int(KIND, 0);
    let numbers = layer.parameters.floats(NUMBERS);
    let (have, need) = (numbers.len(), numbers_of(kind));
    if have >= need {
        return match numbers.first() {
            Some(slope) if kind == 6 && *slope < 0.0 => {
                Err(layer.error_in(NUMBERS, format!("a hard swish can't have slope {slope:?}")).hint(FALLING))
            }
            _ => Ok(()),
        };
    }
    let place = if layer.parameters.has(NUMBERS) { NUMBERS } else { KIND };
    let message = format!("activation {kind} needs {need} numbers, but parameter {NUMBERS} has {have}");
    let hint = match kind {
        2 => "give the slope: `10=0.1,`",
        3 => "give the lowest and the highest value: `10=0.0,6.0`",
        _ => "give alpha and beta: `10=0.1666667,0.5`",
    };
    Err(layer.error_in(place, message).hint(hint))
}

/// What a layer does to each of its results before it stores it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `slope * x`.
    LeakyRelu { slope: f32 },
    /// No less than `low`, no more than `high`.
    Clip { low: f32, high: f32 },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x * tanh(ln(1 + exp(x)))`.
    Mish,
    /// `x * clip(alpha * x + beta, 0, 1)`.
    HardSwish { alpha: f32, beta: f32 },
}

impl Activation {
    /// The activation of a layer that has the usual parameters for it.
    pub(super) fn of(layer: &Layer) -> Self {
        let numbers = layer.parameters.floats(NUMBERS);
        match layer.parameters.int(KIND, 0) {
            1 => Self::Relu,
            2 => Self::LeakyRelu { slope: numbers[0] },
            3 => Self::Clip { low: numbers[0], high: numbers[1] },
            4 => Self::Sigmoid,
            5 => Self::Mish,
            6 => Self::HardSwish { alpha: numbers[0], beta: numbers[1] },
            _ => Self::None,
        }
    }

    /// The activation of `x`.
    pub(super) fn apply(self, e: &mut Expression, x: NodeId) -> NodeId {
        match self {
            Self::None => x,
            Self::Relu => relu(e, x),
            Self::LeakyRelu { slope } => {
                let slope = e.constant(slope);
                leaky_relu(e, x, slope)
            }
            Self::Clip { low, high } => clip(e, x, low, high),
            Self::Sigmoid => e.call(Function::Sigmoid, &[x]),
            Self::Mish => mish(e, x),
            Self::HardSwish { alpha, beta } => hard_swish(e, x, alpha, beta),
        }
    }
}

/// `max(x, 0)`; NaN stays.
pub(super) fn relu(e: &mut Expression, x: NodeId) -> NodeId {
    let zero = e.constant(0.0);
    e.max(zero, x)
}

/// `x`, times `slope` where it is negative.
pub(super) fn leaky_relu(e: &mut Expression, x: NodeId, slope: NodeId) -> NodeId {
    let zero = e.constant(0.0);
    let scaled = e.mul(x, slope);
    let negative = e.less(x, zero);
    e.select(negative, scaled, x)
}

/// No less than `low`, no more than `high`, which wins; NaN stays.
pub(super) fn clip(e: &mut Expression, x: NodeId, low: f32, high: f32) -> NodeId {
    let low = e.constant(low);
    let high = e.constant(high);
    let raised = e.max(low, x);
    e.min(high, raised)
}

/// `x * tanh(ln(1 + exp(x)))`: with `n = exp(x) (exp(x) + 2)` the hyperbolic tangent is `n / (n + 2)`.
pub(super) fn mish(e: &mut Expression, x: NodeId) -> NodeId {
    // From 20 on the quotient rounds to 1 even in double precision, and far above it would be infinity by infinity.
    let limit = e.constant(20.0);
    let limited = e.min(limit, x);
    let exponential = e.call(Function::Exponential, &[limited]);
    let two = e.constant(2.0);
    let factor = e.add(exponential, two);
    let n = e.mul(exponential, factor);
    let below = e.add(n, two);
    let quotient = e.div(n, below);
    e.mul(x, quotient)
}

/// `x * clip(alpha * x + beta, 0, 1)`.
pub(super) fn hard_swish(e: &mut Expression, x: NodeId, alpha: f32, beta: f32) -> NodeId {
    let (alpha, beta) = (e.constant(alpha), e.constant(beta));
    let line = e.fma(x, alpha, beta);
    let gate = clip(e, line, 0.0, 1.0);
    e.mul(x, gate)
}
