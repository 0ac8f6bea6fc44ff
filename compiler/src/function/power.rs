//! Powers.

use super::exponential::{SCALE_EXCESS, Scale, clamp};
use super::logarithm::{exponent_of_power, logarithm_two_double};
use super::{LN_2, ROUNDING, magnitude_below, polynomial};
use crate::expression::{Expression, NodeId};

/// `2^f = 1 + f p(f)` for `|f| <= 1/2`, to 2^-28.3.
pub(super) const EXP2: [f32; 6] =
    [LN_2, 0.240_226_5, 0.055_503_596, 0.009_618_062_5, 0.001_339_098_4, 0.000_154_628_84];

/// `|x|^y`, also for zero and infinite x and infinite y; 1 where `|x|` is 1.
fn magnitude_power(e: &mut Expression, magnitude: NodeId, y: NodeId) -> NodeId {
    let [zero, one, infinity, minus_infinity] = [0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY].map(|c| e.constant(c));
    let mut log = logarithm_two_double(e, magnitude);
    let is_zero = e.equal(magnitude, zero);
    let is_infinite = e.equal(magnitude, infinity);
    log.high = e.select(is_zero, minus_infinity, log.high);
    log.high = e.select(is_infinite, infinity, log.high);
    let exponent = exponent_of_power(e, log, y);
    // Beyond these the result rounds to 0 or to infinity, and the low word may be NaN.
    let is_moderate = magnitude_below(e, exponent.high, 160.0);
    let low = e.and(is_moderate, exponent.low);
    let high = clamp(e, exponent.high, -152.0, 129.0);
    let rounding = e.constant(ROUNDING + SCALE_EXCESS);
    let shifted = e.add(high, rounding);
    let n = e.sub(shifted, rounding);
    let fraction = e.sub(high, n);
    let fraction = e.add(fraction, low);
    let q = polynomial(e, fraction, &EXP2);
    let mantissa = e.fma(fraction, q, one);
    let power = Scale::from_shifted(e, shifted).apply(e, mantissa);
    let is_one = e.equal(magnitude, one);
    e.select(is_one, one, power)
}

/// `x^y`, with the special cases of C's `pow`.
pub(super) fn power(e: &mut Expression, x: NodeId, y: NodeId) -> NodeId {
    let [zero, half, one, infinity, nan] = [0.0, 0.5, 1.0, f32::INFINITY, f32::NAN].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let power = magnitude_power(e, magnitude, y);
    // The sign: that of x when y is odd.
    let whole = e.trunc(y);
    let is_integer = e.equal(whole, y);
    let halved = e.mul(y, half);
    let whole_half = e.trunc(halved);
    let is_even = e.equal(whole_half, halved);
    let all = e.bits(u32::MAX);
    let is_not_even = e.xor(is_even, all);
    let is_odd = e.and(is_integer, is_not_even);
    let sign_bit = e.bits(0x8000_0000);
    let sign = e.and(x, sign_bit);
    let sign = e.and(sign, is_odd);
    let power = e.or(power, sign);
    // No real power: a negative finite number to a fraction.
    let is_negative = e.less(x, zero);
    let is_finite = e.less(magnitude, infinity);
    let is_fraction = e.xor(is_integer, all);
    let is_undefined = e.and(is_negative, is_finite);
    let is_undefined = e.and(is_undefined, is_fraction);
    let power = e.select(is_undefined, nan, power);
    let both = e.ordered(x, y);
    let power = e.select(both, power, nan);
    // 1 for these, even where the other argument is NaN.
    let is_one = e.equal(x, one);
    let is_constant = e.equal(y, zero);
    let is_one = e.or(is_one, is_constant);
    e.select(is_one, one, power)
}
