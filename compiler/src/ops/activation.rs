//! The activation functions that layers carry with them (parameters 9 and 10), and formulas others share.
//!
//! Source: `src/layer/fused_activation.h`. Where ncnn's code paths differ in the treatment of NaN, here it stays NaN.

use super::Lowering;
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;

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
    ///
    /// # Errors
    /// When there is no such activation or its own parameters are missing.
    pub(super) fn of(l: &Lowering) -> Result<Self, Diagnostic> {
        let kind = l.layer.parameters.int(9, 0);
        let numbers = l.layer.parameters.floats(10);
        let number = |i: usize| {
            let missing = || l.error(format!("activation {kind} needs at least {} numbers in parameter 10", i + 1));
            numbers.get(i).copied().ok_or_else(missing)
        };
        Ok(match kind {
            0 => Self::None,
            1 => Self::Relu,
            2 => Self::LeakyRelu { slope: number(0)? },
            3 => Self::Clip { low: number(0)?, high: number(1)? },
            4 => Self::Sigmoid,
            5 => Self::Mish,
            6 => Self::HardSwish { alpha: number(0)?, beta: number(1)? },
            _ => {
                let known = "0 none, 1 ReLU, 2 leaky ReLU, 3 clip, 4 sigmoid, 5 mish, 6 hard swish";
                return Err(l.error(format!("there is no activation {kind}")).hint(known));
            }
        })
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
