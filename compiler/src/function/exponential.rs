//! The exponential and what is made of it alone.

use super::{LN_2, LN_2_REST, LOG2_E, ROUNDING, polynomial};
use crate::expression::{Expression, NodeId};

/// `exp(r) = 1 + r q(r)` for `|r| <= ln(2)/2`, to 2^-28.2 relative.
const EXP: [f32; 6] = [1.0, 0.499_999_94, 0.166_665_23, 0.041_668_292, 0.008_368_532, 0.001_381_829_8];

/// 2^n as two factors, each a power of two that needs no denormal: `|n| < 250`.
pub(super) struct Scale(pub NodeId, pub NodeId);

/// Splits `x = n ln 2 + r`, `|r| <= ln(2)/2`; gives r and 2^n. `|x| < 170`; a NaN stays in r.
pub(super) fn split(e: &mut Expression, x: NodeId) -> (NodeId, Scale) {
    // The excess 254 = 2 * 127 becomes the exponent bias of each factor.
    let [log2_e, rounding] = [LOG2_E, ROUNDING + 254.0].map(|c| e.constant(c));
    let shifted = e.fma(x, log2_e, rounding);
    let n = e.sub(shifted, rounding);
    let [minus_ln_2, minus_rest] = [-LN_2, -LN_2_REST].map(|c| e.constant(c));
    let r = e.fma(n, minus_ln_2, x);
    let r = e.fma(n, minus_rest, r);
    let [one, exponent] = [1, 23].map(|c| e.bits(c));
    let half = e.shift_right(shifted, one);
    let other_half = e.integer_sub(shifted, half);
    let scale = Scale(e.shift_left(half, exponent), e.shift_left(other_half, exponent));
    (r, scale)
}

/// The numbers between `low` and `high`, and NaN as itself.
pub(super) fn clamp(e: &mut Expression, x: NodeId, low: f32, high: f32) -> NodeId {
    let [low, high] = [low, high].map(|c| e.constant(c));
    let x = e.max(low, x);
    e.min(high, x)
}

/// `exp(x)`.
pub(super) fn exponential(e: &mut Expression, x: NodeId) -> NodeId {
    // Beyond these the result rounds to 0 (below 2^-150) or to infinity.
    let x = clamp(e, x, -104.5, 89.0);
    let (r, scale) = split(e, x);
    let q = polynomial(e, r, &EXP);
    let one = e.constant(1.0);
    let p = e.fma(r, q, one);
    // Two steps, so that a denormal result is rounded once and the greatest results need no 2^128.
    let p = e.mul(p, scale.0);
    e.mul(p, scale.1)
}

/// `1 / (1 + exp(-x))`, as `2^n / (2^n + exp(-r))` with `x = n ln 2 + r`, the denominator in two words.
pub(super) fn sigmoid(e: &mut Expression, x: NodeId) -> NodeId {
    // Below, the result rounds to 0; above, to 1.
    let x = clamp(e, x, -104.5, 20.0);
    let (r, scale) = split(e, x);
    // exp(-r) = 1 + r q, so q has the signs of the odd coefficients turned; all of it is negated, for the residual.
    let minus_q = polynomial(e, r, &std::array::from_fn::<f32, 6, _>(|i| if i % 2 == 0 { EXP[i] } else { -EXP[i] }));
    let power = e.mul(scale.0, scale.1);
    let [one, minus_one] = [1.0, -1.0].map(|c| e.constant(c));
    // whole + whole_rest = -(1 + 2^n); denominator + rest = -(2^n + exp(-r)).
    let whole = e.sub(minus_one, power);
    let back = e.sub(minus_one, whole);
    let whole_rest = e.sub(back, power);
    let denominator = e.fma(r, minus_q, whole);
    let rest = e.sub(whole, denominator);
    let rest = e.fma(r, minus_q, rest);
    let rest = e.add(rest, whole_rest);
    let quotient = e.div(minus_one, denominator);
    let residual = e.fma(quotient, denominator, one);
    let residual = e.fma(quotient, rest, residual);
    let quotient = e.fma(residual, quotient, quotient);
    let scaled = e.mul(quotient, scale.0);
    e.mul(scaled, scale.1)
}
