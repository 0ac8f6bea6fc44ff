//! Layers that compute each element of their output from the same element of their input.
//!
//! Where a formula differs from the one in ncnn (`src/layer/<name>.cpp`), it is the same function rounded less often or
//! without overflow.

use super::signature::{ANY_TO_ANY, Accepts, ONE_TO_ONE, Parameter, Signature, counted};
use super::{Lowering, activation};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;
use crate::graph::View;
use crate::ncnn::Layer;

type Lowered = Result<(), Diagnostic>;

/// Of all layers without parameters.
pub(super) const PLAIN: Signature = Signature::new(ONE_TO_ONE, &[]);

/// Any number of blobs that are passed on, in their order.
pub(super) const NOOP: Signature = Signature::new(ANY_TO_ANY, &[]).rules(&[has_enough_inputs]);

/// HardSigmoid and HardSwish.
pub(super) const GATE: Signature = Signature::new(
    ONE_TO_ONE,
    &[Parameter::new(0, "slope", Accepts::Float), Parameter::new(1, "offset", Accepts::Float)],
)
.rules(&[has_slope]);

pub(super) const GELU: Signature =
    Signature::new(ONE_TO_ONE, &[Parameter::new(0, "word to approximate by tanh", Accepts::Flag)]);

const ALPHA: &[Parameter] = &[Parameter::new(0, "alpha", Accepts::Float)];

pub(super) const ELU: Signature = Signature::new(ONE_TO_ONE, ALPHA);

pub(super) const CELU: Signature = Signature::new(ONE_TO_ONE, ALPHA).rules(&[has_alpha]);

pub(super) const SELU: Signature = Signature::new(
    ONE_TO_ONE,
    &[Parameter::new(0, "alpha", Accepts::Float), Parameter::new(1, "lambda", Accepts::Float)],
);

pub(super) const SHRINK: Signature = Signature::new(
    ONE_TO_ONE,
    &[Parameter::new(0, "bias", Accepts::Float), Parameter::new(1, "lambda", Accepts::Float)],
);

pub(super) const THRESHOLD: Signature = Signature::new(ONE_TO_ONE, &[Parameter::new(0, "threshold", Accepts::Float)]);

pub(super) const POWER: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "power", Accepts::Float),
        Parameter::new(1, "scale", Accepts::Float),
        Parameter::new(2, "shift", Accepts::Float),
    ],
);

/// The base that stands for e.
const NATURAL: f32 = -1.0;

const BASE: &[Parameter] = &[
    Parameter::new(0, "base, -1 for e", Accepts::Float),
    Parameter::new(1, "scale", Accepts::Float),
    Parameter::new(2, "shift", Accepts::Float),
];

pub(super) const EXPONENTIAL: Signature = Signature::new(ONE_TO_ONE, BASE);

pub(super) const LOGARITHM: Signature = Signature::new(ONE_TO_ONE, BASE).rules(&[has_base]);

pub(super) const DROPOUT: Signature = Signature::new(ONE_TO_ONE, &[Parameter::new(0, "scale", Accepts::Float)]);

fn has_enough_inputs(layer: &Layer) -> Lowered {
    let (have, outputs) = (layer.inputs.len(), layer.outputs.len());
    if have < outputs {
        let message = format!("{} can't be passed on to {}", counted(have, "input"), counted(outputs, "output"));
        return Err(layer.error(message).hint("give an input for each output"));
    }
    Ok(())
}

/// Slope and offset of a hard gate.
fn gate_parameters(layer: &Layer) -> (f32, f32) {
    (layer.parameters.float(0, 0.2), layer.parameters.float(1, 0.5))
}

fn has_slope(layer: &Layer) -> Lowered {
    let (alpha, beta) = gate_parameters(layer);
    if alpha >= 0.0 && alpha.is_finite() && beta.is_finite() {
        return Ok(());
    }
    let message = format!("{} can't have slope {alpha:?} and offset {beta:?}", layer.kind);
    let hint = format!("{}; leave parameters 0 and 1 out for 0.2 and 0.5", activation::FALLING);
    Err(layer.error_in(0, message).hint(hint))
}

fn continuous_alpha(layer: &Layer) -> f32 {
    layer.parameters.float(0, 1.0)
}

fn has_alpha(layer: &Layer) -> Lowered {
    if continuous_alpha(layer) == 0.0 {
        return Err(layer.error_in(0, "CELU divides by alpha, which is 0").hint("leave parameter 0 out for 1"));
    }
    Ok(())
}

fn has_base(layer: &Layer) -> Lowered {
    let base = layer.parameters.float(0, NATURAL);
    if base != NATURAL && (base <= 0.0 || base == 1.0 || !base.is_finite()) {
        return Err(layer.error_in(0, format!("there is no logarithm to the base {base}")).hint("use -1 for e"));
    }
    Ok(())
}

impl Lowering<'_> {
    /// Makes the only output: `value` of every element of the only input.
    pub(super) fn pointwise(&mut self, value: impl FnOnce(&mut Expression, NodeId) -> NodeId) -> Lowered {
        let input = self.input(0)?;
        let output = self.output(0, &input.shape);
        let expression = Expression::new(|e| {
            let x = e.read(0);
            value(e, x)
        });
        self.map(&output, vec![input.elementwise()], expression);
        self.set_output(0, View { extents: input.extents, ..output });
        Ok(())
    }

    fn float(&self, id: u32, default: f32) -> f32 {
        self.layer.parameters.float(id, default)
    }
}

/// `value` where `x` is negative, else `x`.
fn where_negative(e: &mut Expression, x: NodeId, value: NodeId) -> NodeId {
    let zero = e.constant(0.0);
    let negative = e.less(x, zero);
    e.select(negative, value, x)
}

/// `scale * x + shift`, without the operations that change nothing.
fn affine(e: &mut Expression, x: NodeId, scale: f32, shift: f32) -> NodeId {
    match (scale == 1.0, shift == 0.0) {
        (true, true) => x,
        (true, false) => {
            let shift = e.constant(shift);
            e.add(x, shift)
        }
        (false, true) => {
            let scale = e.constant(scale);
            e.mul(x, scale)
        }
        (false, false) => {
            let (scale, shift) = (e.constant(scale), e.constant(shift));
            e.fma(x, scale, shift)
        }
    }
}

/// `x` to a constant power; exact shortcuts where the power is one operation.
pub(super) fn constant_power(e: &mut Expression, x: NodeId, power: f32) -> NodeId {
    if power == 1.0 {
        x
    } else if power == 2.0 {
        e.mul(x, x)
    } else if power == -1.0 {
        let one = e.constant(1.0);
        e.div(one, x)
    } else {
        let power = e.constant(power);
        e.call(Function::Power, &[x, power])
    }
}

/// `|x|`.
pub(super) fn absolute(l: &mut Lowering) -> Lowered {
    l.pointwise(|e, x| e.abs(x))
}

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(l: &mut Lowering) -> Lowered {
    l.pointwise(|e, x| e.call(Function::Sigmoid, &[x]))
}

/// The hyperbolic tangent.
pub(super) fn hyperbolic_tangent(l: &mut Lowering) -> Lowered {
    l.pointwise(|e, x| e.call(Function::HyperbolicTangent, &[x]))
}

/// `x / (1 + exp(-x))`.
pub(super) fn swish(l: &mut Lowering) -> Lowered {
    l.pointwise(|e, x| {
        let gate = e.call(Function::Sigmoid, &[x]);
        e.mul(x, gate)
    })
}

/// `min(max(alpha * x + beta, 0), 1)`.
pub(super) fn hard_sigmoid(l: &mut Lowering) -> Lowered {
    let (alpha, beta) = gate_parameters(l.layer);
    l.pointwise(|e, x| {
        let line = affine(e, x, alpha, beta);
        activation::clip(e, line, 0.0, 1.0)
    })
}

/// `x * min(max(alpha * x + beta, 0), 1)`.
pub(super) fn hard_swish(l: &mut Lowering) -> Lowered {
    let (alpha, beta) = gate_parameters(l.layer);
    l.pointwise(|e, x| activation::hard_swish(e, x, alpha, beta))
}

/// `x * P(X <= x)` for a standard normal X.
pub(super) fn gelu(l: &mut Lowering) -> Lowered {
    if l.layer.parameters.int(0, 0) != 0 {
        return l.pointwise(fast_gelu);
    }
    l.pointwise(|e, x| e.call(Function::Gelu, &[x]))
}

/// `x * (1 + tanh(u)) / 2` with `u = sqrt(2 / pi) * (x + 0.044715 * x^3)`, as `x * sigmoid(2 * u)`: one function, and
/// no cancellation for negative x.
fn fast_gelu(e: &mut Expression, x: NodeId) -> NodeId {
    let (cubic, scale, one) = (e.constant(0.044_715), e.constant(2.0 * 0.797_884_5), e.constant(1.0));
    let square = e.mul(x, x);
    let bend = e.fma(square, cubic, one);
    let bent = e.mul(x, bend);
    let doubled = e.mul(bent, scale);
    let gate = e.call(Function::Sigmoid, &[doubled]);
    e.mul(x, gate)
}

/// `x * tanh(ln(1 + exp(x)))`.
pub(super) fn mish(l: &mut Lowering) -> Lowered {
    l.pointwise(activation::mish)
}

/// `x` above 0, `alpha * (exp(x) - 1)` below.
pub(super) fn exponential_unit(l: &mut Lowering) -> Lowered {
    let alpha = l.float(0, 0.1);
    l.pointwise(|e, x| {
        let alpha = e.constant(alpha);
        let shrunk = e.call(Function::ExponentialMinusOne, &[x]);
        let below = e.mul(shrunk, alpha);
        where_negative(e, x, below)
    })
}

/// `lambda * x` above 0, `lambda * alpha * (exp(x) - 1)` below.
pub(super) fn scaled_exponential_unit(l: &mut Lowering) -> Lowered {
    let (alpha, lambda) = (l.float(0, 1.673_263_2), l.float(1, 1.050_701));
    l.pointwise(|e, x| {
        let (both, scale, zero) = (e.constant(alpha * lambda), e.constant(lambda), e.constant(0.0));
        let shrunk = e.call(Function::ExponentialMinusOne, &[x]);
        let below = e.mul(shrunk, both);
        let above = e.mul(x, scale);
        let negative = e.less(x, zero);
        e.select(negative, below, above)
    })
}

/// `x` above 0, `alpha * (exp(x / alpha) - 1)` below.
pub(super) fn continuous_exponential_unit(l: &mut Lowering) -> Lowered {
    let alpha = continuous_alpha(l.layer);
    l.pointwise(|e, x| {
        let alpha = e.constant(alpha);
        let scaled = e.div(x, alpha);
        let shrunk = e.call(Function::ExponentialMinusOne, &[scaled]);
        let below = e.mul(shrunk, alpha);
        where_negative(e, x, below)
    })
}

/// `x + bias` below -lambda, `x - bias` above lambda, 0 between.
pub(super) fn shrink(l: &mut Lowering) -> Lowered {
    let (bias, lambda) = (l.float(0, 0.0), l.float(1, 0.5));
    l.pointwise(|e, x| {
        let (shift, zero) = (e.constant(bias), e.constant(0.0));
        let (low, high) = (e.constant(-lambda), e.constant(lambda));
        let raised = e.add(x, shift);
        let lowered = e.sub(x, shift);
        let above = e.less(high, x);
        let rest = e.select(above, lowered, zero);
        let below = e.less(x, low);
        e.select(below, raised, rest)
    })
}

/// 1 above the threshold, else 0.
pub(super) fn threshold(l: &mut Lowering) -> Lowered {
    let threshold = l.float(0, 0.0);
    l.pointwise(|e, x| {
        let (threshold, zero, one) = (e.constant(threshold), e.constant(0.0), e.constant(1.0));
        let above = e.less(threshold, x);
        e.select(above, one, zero)
    })
}

/// `ln(1 + exp(x))`: BNLL and Softplus are the same function.
pub(super) fn softplus(l: &mut Lowering) -> Lowered {
    l.pointwise(|e, x| e.call(Function::Softplus, &[x]))
}

/// The error function.
pub(super) fn error_function(l: &mut Lowering) -> Lowered {
    l.pointwise(|e, x| e.call(Function::ErrorFunction, &[x]))
}

/// `(shift + scale * x) ^ power`.
pub(super) fn power(l: &mut Lowering) -> Lowered {
    let (power, scale, shift) = (l.float(0, 1.0), l.float(1, 1.0), l.float(2, 0.0));
    l.pointwise(|e, x| {
        let line = affine(e, x, scale, shift);
        constant_power(e, line, power)
    })
}

/// `base ^ (shift + scale * x)`.
pub(super) fn exponential(l: &mut Lowering) -> Lowered {
    let (base, scale, shift) = (l.float(0, NATURAL), l.float(1, 1.0), l.float(2, 0.0));
    l.pointwise(|e, x| {
        let line = affine(e, x, scale, shift);
        if base == NATURAL {
            return e.call(Function::Exponential, &[line]);
        }
        let base = e.constant(base);
        e.call(Function::Power, &[base, line])
    })
}

/// `log(shift + scale * x)` to a base.
pub(super) fn logarithm(l: &mut Lowering) -> Lowered {
    let (base, scale, shift) = (l.float(0, NATURAL), l.float(1, 1.0), l.float(2, 0.0));
    l.pointwise(|e, x| {
        let line = affine(e, x, scale, shift);
        let natural = e.call(Function::Logarithm, &[line]);
        if base == NATURAL {
            return natural;
        }
        let scale = e.constant((1.0 / f64::from(base).ln()) as f32);
        e.mul(natural, scale)
    })
}

/// `scale * x`; at run time Dropout drops nothing.
pub(super) fn dropout(l: &mut Lowering) -> Lowered {
    let scale = l.float(0, 1.0);
    if scale == 1.0 {
        return same(l);
    }
    l.pointwise(|e, x| affine(e, x, scale, 0.0))
}

/// The inputs themselves.
pub(super) fn same(l: &mut Lowering) -> Lowered {
    for i in 0..l.output_names.len() {
        let input = l.input(i)?;
        l.set_output(i, input);
    }
    Ok(())
}
