//! Activations made of several functions.

use super::double::{Double, product, sum};
use super::exponential::{EXP_OF_MINUS_HALF, SCALE_EXCESS, Scale, clamp, exponential_double};
use super::{LN_2, LN_2_REST, LOG2_E, ROUNDING, polynomial, with_sign_of};
use crate::expression::{Expression, NodeId};

/// `x tanh(log(1 + exp(x)))` as `x w (w + 2) / (w (w + 2) + 2)` with `w = exp(x)`, in two words throughout.
pub(super) fn mish(e: &mut Expression, x: NodeId) -> NodeId {
    // Below, the result rounds to 0; above 20, the quotient to 1.
    let lowest = e.constant(-120.0);
    let x = e.max(lowest, x);
    let limited = clamp(e, x, -120.0, 20.0);
    let (p, shifted) = exponential_double(e, limited, SCALE_EXCESS);
    let scale = Scale::from_shifted(e, shifted);
    let [two, zero] = [2.0, 0.0].map(|c| e.constant(c));
    let w = Double { high: scale.apply(e, p.high), low: scale.apply(e, p.low) };
    let numerator = sum(e, two, w.high);
    let numerator = Double { high: numerator.high, low: e.add(numerator.low, w.low) };
    let square = numerator.times(e, w);
    let denominator = sum(e, two, square.high);
    let denominator = Double { high: denominator.high, low: e.add(denominator.low, square.low) };
    let quotient = numerator.over(e, denominator);
    // The power of two comes last, where it rounds a denormal result once.
    let product = p.times(e, Double { high: x, low: zero });
    let product = product.times(e, quotient).rounded(e);
    let result = scale.apply(e, product);
    // The sign is that of x, which only zero has lost.
    let result = with_sign_of(e, result, x);
    // The product above may overflow where x is near the greatest float.
    let border = e.constant(20.0);
    let is_large = e.less(border, x);
    e.select(is_large, x, result)
}

/// `a Phi(-a) = exp(-a^2/2) (v + v^2 p(v))` with `v = a / (a + 2)` for `0 <= a <= 14.6`, Phi the normal distribution.
const TAIL: [f32; 11] = [
    -0.5957697,
    -0.19150102,
    0.084175915,
    0.115238234,
    -0.015769998,
    0.22149986,
    -0.6112167,
    0.9510671,
    -1.0074651,
    0.5821561,
    -0.13347152,
];

/// `x Phi(x)` as `max(x, 0) - |x| Phi(-|x|)`.
pub(super) fn gelu(e: &mut Expression, x: NodeId) -> NodeId {
    // From here on the second term is below half the least denormal.
    let [zero, limit] = [0.0, 14.6].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let magnitude = e.min(limit, magnitude);
    // exp(-a^2/2) = 2^n exp(-w/2) with w = a^2 + 2 n ln 2.
    let square = product(e, magnitude, magnitude);
    let [minus_half_log2_e, rounding, two_ln_2, two_rest, one] =
        [-0.5 * LOG2_E, ROUNDING + SCALE_EXCESS, 2.0 * LN_2, 2.0 * LN_2_REST, 1.0].map(|c| e.constant(c));
    let shifted = e.fma(square.high, minus_half_log2_e, rounding);
    let n = e.sub(shifted, rounding);
    let w = e.fma(n, two_ln_2, square.high);
    let rest = e.fma(n, two_rest, square.low);
    let w = e.add(w, rest);
    let q = polynomial(e, w, &EXP_OF_MINUS_HALF);
    let decay = e.fma(w, q, one);
    let two = e.constant(2.0);
    let denominator = e.add(magnitude, two);
    let v = e.div(magnitude, denominator);
    let p = polynomial(e, v, &TAIL);
    let p = e.mul(v, p);
    let tail = e.fma(v, p, v);
    let tail = e.mul(tail, decay);
    let tail = Scale::from_shifted(e, shifted).apply(e, tail);
    let positive = e.max(zero, x);
    let result = e.sub(positive, tail);
    // The sign is that of x, which only zeros have lost.
    with_sign_of(e, result, x)
}
