//! Activations made of several functions.

use super::double::{Double, ordered_sum, product, sum};
use super::exponential::{EXP_MINUS_ONE, SCALE_EXCESS, Scale, clamp, exponential_double};
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

/// The slope of `1 + v p(v)` near the upper end of its range, for what the first word of v leaves out.
const TAIL_SLOPE: f32 = -0.5;

/// `x Phi(x)` as `max(x, 0) - |x| Phi(-|x|)`, the second term in two words.
pub(super) fn gelu(e: &mut Expression, x: NodeId) -> NodeId {
    // From here on the second term is below half the least denormal.
    let [zero, limit] = [0.0, 14.6].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let magnitude = e.min(limit, magnitude);
    let (decay, scale) = decay(e, magnitude);
    let tail = tail(e, magnitude);
    let tail = decay.times(e, tail);
    // Nearest in its first word, so that a denormal result is rounded once.
    let tail = ordered_sum(e, tail.high, tail.low);
    let high = scale.apply(e, tail.high);
    let low = scale.apply(e, tail.low);
    let positive = e.max(zero, x);
    let minus = e.neg(high);
    let Double { high, low: rest } = ordered_sum(e, positive, minus);
    let rest = e.sub(rest, low);
    let result = e.add(high, rest);
    // The sign is that of x, which only zeros have lost.
    let result = with_sign_of(e, result, x);
    // Infinity has no rest.
    let is_large = e.less(limit, x);
    e.select(is_large, x, result)
}

/// `exp(-a^2/2)` for `0 <= a <= 14.6`, still to be multiplied by a power of two.
fn decay(e: &mut Expression, a: NodeId) -> (Double, Scale) {
    let square = product(e, a, a);
    // exp(-a^2/2) = 2^n exp(r) with r = -a^2/2 - n ln 2.
    let [half, minus_half_log2_e, rounding, minus_ln_2, minus_rest, one] =
        [-0.5, -0.5 * LOG2_E, ROUNDING + SCALE_EXCESS, -LN_2, -LN_2_REST, 1.0].map(|c| e.constant(c));
    let shifted = e.fma(square.high, minus_half_log2_e, rounding);
    let n = e.sub(shifted, rounding);
    let exponent = e.mul(square.high, half);
    let exact = e.fma(n, minus_ln_2, exponent);
    let rest = e.mul(square.low, half);
    let rest = e.fma(n, minus_rest, rest);
    let r = sum(e, exact, rest);
    let q = polynomial(e, r.high, &EXP_MINUS_ONE);
    let bent = e.mul(r.high, r.high);
    let bent = e.fma(bent, q, r.low);
    let line = ordered_sum(e, one, r.high);
    (Double { high: line.high, low: e.add(line.low, bent) }, Scale::from_shifted(e, shifted))
}

/// `a Phi(-a) exp(a^2/2)` by [`TAIL`].
fn tail(e: &mut Expression, a: NodeId) -> Double {
    let [zero, two, slope] = [0.0, 2.0, TAIL_SLOPE].map(|c| e.constant(c));
    let denominator = sum(e, two, a);
    let v = Double { high: a, low: zero }.over(e, denominator);
    // The last two steps of Horner's rule in two words each.
    let rest = Double { high: polynomial(e, v.high, &TAIL[1..]), low: zero };
    let steps = [TAIL[0], 1.0];
    let Double { high, low } = steps.into_iter().fold(rest, |rest, coefficient| {
        let coefficient = e.constant(coefficient);
        let bend = product(e, v.high, rest.high);
        let Double { high, low } = ordered_sum(e, coefficient, bend.high);
        let low = e.add(low, bend.low);
        Double { high, low: e.fma(v.high, rest.low, low) }
    });
    let low = e.fma(v.low, slope, low);
    v.times(e, Double { high, low })
}
