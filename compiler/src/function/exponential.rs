//! The exponential and what is made of it alone.

use super::double::{Double, ordered_fma, ordered_sum};
use super::{LN_2, LN_2_REST, LOG2_E, ROUNDING, magnitude_below, polynomial};
use crate::expression::{Expression, NodeId};

/// `exp(r) = 1 + r q(r)` for `|r| <= ln(2)/2`, to 2^-28.2 relative.
const EXP: [f32; 6] = [1.0, 0.499_999_94, 0.166_665_23, 0.041_668_292, 0.008_368_532, 0.001_381_829_8];
/// `exp(r) = 1 + r + r^2 w(r)` for `|r| <= ln(2)/2`, to 2^-31.1 relative to `exp(r) - 1`.
pub(super) const EXP_MINUS_ONE: [f32; 6] =
    [0.5, 0.166_666_66, 0.041_666_493, 0.008_333_547, 0.001_393_232, 0.000_197_607_97];

/// 2^n as two factors, each a power of two that needs no denormal: `|n| < 250`.
pub(crate) struct Scale(pub(crate) NodeId, pub(crate) NodeId);

impl Scale {
    /// From the n in the low bits of `shifted`, twice the exponent bias added to it.
    pub(crate) fn from_shifted(e: &mut Expression, shifted: NodeId) -> Self {
        let [one, exponent] = [1, 23].map(|c| e.bits(c));
        let half = e.shift_right(shifted, one);
        let other_half = e.integer_sub(shifted, half);
        Scale(e.shift_left(half, exponent), e.shift_left(other_half, exponent))
    }

    /// `x 2^n`: two steps, so that a denormal result is rounded once and the greatest results need no 2^128.
    pub(crate) fn apply(&self, e: &mut Expression, x: NodeId) -> NodeId {
        let x = e.mul(x, self.0);
        e.mul(x, self.1)
    }

    /// 2^n itself.
    pub(crate) fn power(&self, e: &mut Expression) -> NodeId {
        e.mul(self.0, self.1)
    }
}

/// Twice the exponent bias: what [`Scale`] wants added to n.
pub(crate) const SCALE_EXCESS: f32 = 254.0;

/// The integer nearest to `x / ln 2`: as itself, and in the low bits of a word with `excess` added.
struct Whole {
    n: NodeId,
    shifted: NodeId,
}

fn whole(e: &mut Expression, x: NodeId, excess: f32) -> Whole {
    let [log2_e, rounding] = [LOG2_E, ROUNDING + excess].map(|c| e.constant(c));
    let shifted = e.fma(x, log2_e, rounding);
    Whole { n: e.sub(shifted, rounding), shifted }
}

/// Splits `x = n ln 2 + r`, `|r| <= ln(2)/2`; gives r, and n in the low bits of a word with `excess` added. `|x| < 170`;
/// a NaN stays in r.
fn split(e: &mut Expression, x: NodeId, excess: f32) -> (NodeId, NodeId) {
    let Whole { n, shifted } = whole(e, x, excess);
    let [minus_ln_2, minus_rest] = [-LN_2, -LN_2_REST].map(|c| e.constant(c));
    // The first step is exact.
    let r = e.fma(n, minus_ln_2, x);
    (e.fma(n, minus_rest, r), shifted)
}

/// The numbers between `low` and `high`, and NaN as itself.
pub(crate) fn clamp(e: &mut Expression, x: NodeId, low: f32, high: f32) -> NodeId {
    let [low, high] = [low, high].map(|c| e.constant(c));
    let x = e.max(low, x);
    e.min(high, x)
}

/// `exp(x)`.
pub(super) fn exponential(e: &mut Expression, x: NodeId) -> NodeId {
    // Beyond these the result rounds to 0 (below 2^-150) or to infinity.
    let x = clamp(e, x, -104.5, 89.0);
    let (p, shifted) = exponential_mantissa(e, x, SCALE_EXCESS);
    Scale::from_shifted(e, shifted).apply(e, p)
}

/// `exp(x)` still to be multiplied by 2^n; n stands in the low bits of the last word with `excess` added.
pub(super) fn exponential_mantissa(e: &mut Expression, x: NodeId, excess: f32) -> (NodeId, NodeId) {
    let (r, shifted) = split(e, x, excess);
    let q = polynomial(e, r, &EXP);
    let one = e.constant(1.0);
    (e.fma(r, q, one), shifted)
}

/// `exp(x)` as two words still to be multiplied by 2^n; to about 2^-26.5. n stands in the low bits of the last word with
/// `excess` added.
pub(super) fn exponential_double(e: &mut Expression, x: NodeId, excess: f32) -> (Double, NodeId) {
    let (r, shifted) = split(e, x, excess);
    let q = polynomial(e, r, &EXP);
    let one = e.constant(1.0);
    (ordered_fma(e, r, q, one), shifted)
}

/// `1 / (1 + exp(-x))`, as `2^n / (2^n + exp(-r))` with `x = n ln 2 + r`, the denominator in two words.
pub(super) fn sigmoid(e: &mut Expression, x: NodeId) -> NodeId {
    // Below, the result rounds to 0; above, to 1.
    let x = clamp(e, x, -104.5, 20.0);
    let (r, shifted) = split(e, x, SCALE_EXCESS);
    let scale = Scale::from_shifted(e, shifted);
    // exp(-r) = 1 + r q, so q has the signs of the odd coefficients turned; all of it is negated, for the residual.
    let minus_q = polynomial(e, r, &std::array::from_fn::<f32, 6, _>(|i| if i % 2 == 0 { EXP[i] } else { -EXP[i] }));
    let power = scale.power(e);
    let [one, minus_one] = [1.0, -1.0].map(|c| e.constant(c));
    // whole + whole_rest = -(1 + 2^n); the denominator's two words are -(2^n + exp(-r)).
    let whole = e.sub(minus_one, power);
    let back = e.sub(minus_one, whole);
    let whole_rest = e.sub(back, power);
    let denominator = ordered_fma(e, r, minus_q, whole);
    let rest = e.add(denominator.low, whole_rest);
    let quotient = e.div(minus_one, denominator.high);
    let residual = e.fma(quotient, denominator.high, one);
    let residual = e.fma(quotient, rest, residual);
    let quotient = e.fma(residual, quotient, quotient);
    scale.apply(e, quotient)
}

/// `exp(x) - 1`, as `(2^n - 1) + 2^n (exp(r) - 1)`, everything halved until the end so that 2^128 is not needed.
pub(super) fn exponential_minus_one(e: &mut Expression, x: NodeId) -> NodeId {
    // Below, the result rounds to -1; above, to infinity.
    let limited = clamp(e, x, -18.0, 89.0);
    // 126 is the exponent bias less one, which halves the power.
    let Whole { n, shifted } = whole(e, limited, 126.0);
    let [minus_ln_2, minus_rest] = [-LN_2, -LN_2_REST].map(|c| e.constant(c));
    let r = e.fma(n, minus_ln_2, limited);
    // exp(x) = 2^n exp(r) (1 + correction): r stays exact, which matters next to zero.
    let correction = e.mul(n, minus_rest);
    let w = polynomial(e, r, &EXP_MINUS_ONE);
    let exponent = e.bits(23);
    let power = e.shift_left(shifted, exponent);
    let half = e.constant(0.5);
    let base = e.sub(power, half);
    let back = e.sub(power, base);
    let base_rest = e.sub(back, half);
    let linear = e.mul(power, r);
    let Double { high, low } = ordered_sum(e, base, linear);
    let low = e.add(low, base_rest);
    let square = e.mul(linear, r);
    let rest = e.fma(square, w, low);
    let nearly = e.add(high, rest);
    let exponential = e.add(nearly, half);
    let rest = e.fma(correction, exponential, rest);
    let halved = e.add(high, rest);
    let result = e.add(halved, halved);
    // Halves of denormals are not exact, and zero keeps its sign.
    let is_tiny = magnitude_below(e, x, 1e-8);
    e.select(is_tiny, x, result)
}
