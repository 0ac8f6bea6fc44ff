//! Logarithms, and functions that end in one.

use super::double::{Double, ordered_fma, ordered_sum, product, sum};
use super::exponential::{SCALE_EXCESS, Scale, clamp, exponential_double};
use super::{magnitude_below, polynomial, with_sign_of};
use crate::expression::{Expression, NodeId};

/// `log(1 + f) = f + f^2 p(f)` for `sqrt(1/2) <= 1 + f <= sqrt(2)`, to 2^-27.8 relative.
const LOG: [f32; 9] = [
    -0.499_999_88,
    0.333_333_22,
    -0.250_016_03,
    0.200_022_06,
    -0.166_088_7,
    0.141_774_37,
    -0.132_400_16,
    0.129_298_03,
    -0.076_595_46,
];
/// The leading bits of ln 2, so few that its products with exponents are exact, and the rest.
pub(crate) const LN_2_SHORT: f32 = f32::from_bits(0x3f31_7200);
pub(crate) const LN_2_SHORT_REST: f32 = 1.428_606_8e-6;
/// The same for log10 2.
const LOG10_2_SHORT: f32 = f32::from_bits(0x3e9a_2000);
const LOG10_2_SHORT_REST: f32 = 4.605_039e-6;
/// log10 e in two words.
const LOG10_E: [f32; 2] = [std::f32::consts::LOG10_E, -1.010_305e-8];
/// The bits of sqrt(1/2), where the range of mantissas begins.
const SQRT_HALF: u32 = 0x3f35_04f3;

/// `2^k (1 + f)` with `sqrt(1/2) <= 1 + f < sqrt(2)`, k as a float.
pub(crate) struct Split {
    pub(crate) k: NodeId,
    pub(crate) f: NodeId,
}

/// Splits a positive finite number.
pub(crate) fn split(e: &mut Expression, x: NodeId) -> Split {
    let [least_normal, two_to_23] = [f32::MIN_POSITIVE, 8_388_608.0].map(|c| e.constant(c));
    let is_denormal = e.less(x, least_normal);
    let enlarged = e.mul(x, two_to_23);
    let normal = e.select(is_denormal, enlarged, x);
    let twenty_three = e.bits(23);
    let excess = e.and(is_denormal, twenty_three);
    split_normal(e, normal, Some(excess))
}

/// Splits a positive finite number that is not denormal; `excess` is an integer to be taken from k.
fn split_normal(e: &mut Expression, normal: NodeId, excess: Option<NodeId>) -> Split {
    let [twenty_three, sqrt_half, mantissa_bits] = [23, SQRT_HALF, 0x007f_ffff].map(|c| e.bits(c));
    let offset = e.integer_sub(normal, sqrt_half);
    let k = e.shift_right_signed(offset, twenty_three);
    let k = if let Some(excess) = excess { e.integer_sub(k, excess) } else { k };
    let k = e.from_integer(k);
    let mantissa = e.and(offset, mantissa_bits);
    let mantissa = e.integer_add(mantissa, sqrt_half);
    let one = e.constant(1.0);
    Split { k, f: e.sub(mantissa, one) }
}

/// Corrects `log`, which holds for positive finite `x`, for the other arguments.
fn with_special_cases(e: &mut Expression, x: NodeId, log: NodeId) -> NodeId {
    let [zero, infinity, minus_infinity, nan] =
        [0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN].map(|c| e.constant(c));
    let is_zero = e.equal(x, zero);
    let not_positive = e.select(is_zero, minus_infinity, nan);
    let is_positive = e.less(zero, x);
    let log = e.select(is_positive, log, not_positive);
    let is_infinite = e.equal(x, infinity);
    e.select(is_infinite, infinity, log)
}

/// `log(x)`.
pub(super) fn logarithm(e: &mut Expression, x: NodeId) -> NodeId {
    let Split { k, f } = split(e, x);
    let p = polynomial(e, f, &LOG);
    let square = e.mul(f, f);
    let [ln_2, ln_2_rest] = [LN_2_SHORT, LN_2_SHORT_REST].map(|c| e.constant(c));
    let whole = e.mul(k, ln_2);
    let Double { high, low } = ordered_sum(e, whole, f);
    let low = e.fma(k, ln_2_rest, low);
    let low = e.fma(square, p, low);
    let log = e.add(high, low);
    with_special_cases(e, x, log)
}

/// `log10(x)`.
pub(super) fn logarithm_ten(e: &mut Expression, x: NodeId) -> NodeId {
    let Split { k, f } = split(e, x);
    let p = polynomial(e, f, &LOG);
    let square = e.mul(f, f);
    let natural = ordered_fma(e, square, p, f);
    let [high, low, log10_2, log10_2_rest] =
        [LOG10_E[0], LOG10_E[1], LOG10_2_SHORT, LOG10_2_SHORT_REST].map(|c| e.constant(c));
    let fraction = natural.times(e, Double { high, low });
    let whole = e.mul(k, log10_2);
    let Double { high, low } = ordered_sum(e, whole, fraction.high);
    let low = e.fma(k, log10_2_rest, low);
    let low = e.add(low, fraction.low);
    let log = e.add(high, low);
    with_special_cases(e, x, log)
}

/// `log(1 + z)` for a finite two-word z above -1.
pub(super) fn logarithm_one_plus_double(e: &mut Expression, z: Double) -> Double {
    let one = e.constant(1.0);
    let whole = sum(e, one, z.high);
    logarithm_of_words(e, whole, z.low, None)
}

/// `log(x + tail) + extra ln 2` for a positive finite two-word x that is not denormal and has `x.low + x.high - 1` as its
/// exact distance from 1; the tail is smaller than a unit in the last place of that distance.
fn logarithm_of_words(e: &mut Expression, x: Double, tail: NodeId, extra: Option<NodeId>) -> Double {
    let Split { k, f } = split_normal(e, x.high, None);
    let k = if let Some(extra) = extra { e.add(k, extra) } else { k };
    let p = polynomial(e, f, &LOG);
    let square = e.mul(f, f);
    let rest = e.add(x.low, tail);
    let relative = e.div(rest, x.high);
    // Where k is 0, f + x.low is the small argument itself and must not be rounded:
    // (x.low + tail) / (1 + f) = x.low + (tail - relative f).
    let zero = e.constant(0.0);
    let is_near_one = e.equal(k, zero);
    let linear = e.select(is_near_one, x.low, relative);
    let minus = e.neg(relative);
    let correction = e.fma(minus, f, tail);
    let correction = e.and(is_near_one, correction);
    let [ln_2, ln_2_rest, minus_half] = [LN_2_SHORT, LN_2_SHORT_REST, -0.5].map(|c| e.constant(c));
    let correction = e.fma(k, ln_2_rest, correction);
    let correction = e.fma(square, p, correction);
    let half = e.mul(linear, minus_half);
    let correction = e.fma(half, linear, correction);
    let whole = e.mul(k, ln_2);
    let Double { high, low } = ordered_sum(e, whole, f);
    let low = e.add(low, linear);
    let Double { high, low } = ordered_sum(e, high, low);
    Double { high, low: e.add(low, correction) }
}

/// `log(1 + x)`.
pub(super) fn logarithm_one_plus(e: &mut Expression, x: NodeId) -> NodeId {
    let [one, zero] = [1.0, 0.0].map(|c| e.constant(c));
    let whole = sum(e, one, x);
    let log = logarithm_of_words(e, whole, zero, None).rounded(e);
    let log = with_special_cases(e, whole.high, log);
    // The sign of the argument is that of the result, which only zero has lost.
    with_sign_of(e, log, x)
}

/// `log(1 + exp(x))` as `max(x, 0) + log(1 + exp(-|x|))`.
pub(super) fn softplus(e: &mut Expression, x: NodeId) -> NodeId {
    let magnitude = e.abs(x);
    let decay = e.neg(magnitude);
    let correction = logarithm_one_plus_exponential(e, decay, None);
    let zero = e.constant(0.0);
    let positive = e.max(zero, x);
    let Double { high, low } = sum(e, positive, correction.high);
    let low = e.add(low, correction.low);
    let result = e.add(high, low);
    let infinity = e.constant(f32::INFINITY);
    let is_infinite = e.equal(x, infinity);
    e.select(is_infinite, x, result)
}

/// `log(1 + exp(x + rest))` for `x <= 0` and a rest below a unit in its last place.
pub(super) fn logarithm_one_plus_exponential(e: &mut Expression, x: NodeId, rest: Option<NodeId>) -> Double {
    let limited = clamp(e, x, -104.5, 0.0);
    let (p, shifted) = exponential_double(e, limited, SCALE_EXCESS);
    let low = if let Some(rest) = rest { e.fma(rest, p.high, p.low) } else { p.low };
    let scale = Scale::from_shifted(e, shifted);
    let z = Double { high: scale.apply(e, p.high), low: scale.apply(e, low) };
    logarithm_one_plus_double(e, z)
}

/// Where squares are near overflow and `sqrt(x^2 +- 1)` has long been `|x|`.
const HUGE: f32 = 1_073_741_824.0;

/// `asinh(x)` as `log(1 + z)` with `z = |x| + (sqrt(x^2 + 1) - 1)`.
pub(super) fn area_sine(e: &mut Expression, x: NodeId) -> NodeId {
    let one = e.constant(1.0);
    let magnitude = e.abs(x);
    let square = ordered_fma(e, magnitude, magnitude, one);
    let root = square.square_root(e);
    let excess = e.sub(root.high, one);
    let z = ordered_sum(e, magnitude, excess);
    let z = Double { high: z.high, low: e.add(z.low, root.low) };
    let log = area_logarithm(e, magnitude, z);
    with_sign_of(e, log, x)
}

/// `acosh(x)` as `log(1 + z)` with `z = d + sqrt(d^2 + 2 d)`, `d = x - 1`.
pub(super) fn area_cosine(e: &mut Expression, x: NodeId) -> NodeId {
    let one = e.constant(1.0);
    let d = e.sub(x, one);
    let twice = e.add(d, d);
    let square = ordered_fma(e, d, d, twice);
    let root = square.square_root(e);
    let z = ordered_sum(e, root.high, d);
    let z = Double { high: z.high, low: e.add(z.low, root.low) };
    let log = area_logarithm(e, x, z);
    let nan = e.constant(f32::NAN);
    let is_valid = e.less_equal(one, x);
    e.select(is_valid, log, nan)
}

/// `log(1 + z)`, but `log(2 x)` where x is huge, and x itself where it is infinite or NaN.
fn area_logarithm(e: &mut Expression, x: NodeId, z: Double) -> NodeId {
    let [one, zero, huge, infinity] = [1.0, 0.0, HUGE, f32::INFINITY].map(|c| e.constant(c));
    let whole = sum(e, one, z.high);
    let is_moderate = e.less(x, huge);
    let high = e.select(is_moderate, whole.high, x);
    let [low, tail] = [whole.low, z.low].map(|low| e.and(is_moderate, low));
    let extra = e.select(is_moderate, zero, one);
    let log = logarithm_of_words(e, Double { high, low }, tail, Some(extra)).rounded(e);
    let is_finite = e.less(x, infinity);
    e.select(is_finite, log, x)
}

/// `atanh(x)` as `log(1 + z) / 2` with `z = 2 |x| / (1 - |x|)`.
pub(super) fn area_tangent(e: &mut Expression, x: NodeId) -> NodeId {
    let [one, zero, half, infinity, nan] = [1.0, 0.0, 0.5, f32::INFINITY, f32::NAN].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let minus = e.neg(magnitude);
    let denominator = ordered_sum(e, one, minus);
    let numerator = Double { high: e.add(magnitude, magnitude), low: zero };
    let z = numerator.over(e, denominator);
    let log = logarithm_one_plus_double(e, z).rounded(e);
    let log = e.mul(log, half);
    let is_one = e.equal(magnitude, one);
    let beyond = e.select(is_one, infinity, nan);
    let is_inside = e.less(magnitude, one);
    let result = e.select(is_inside, log, beyond);
    with_sign_of(e, result, x)
}

/// `log(exp(x) + exp(y))` as `max + log(1 + exp(min - max))`.
pub(super) fn logarithm_of_sum(e: &mut Expression, x: NodeId, y: NodeId) -> NodeId {
    let zero = e.constant(0.0);
    let greater = e.max(x, y);
    let lesser = e.min(x, y);
    let minus = e.neg(greater);
    let distance = sum(e, lesser, minus);
    let are_equal = e.equal(x, y);
    // Equal infinities have no difference, and where the exponential vanishes the rest doesn't matter, nor may it be
    // infinite.
    let high = e.select(are_equal, zero, distance.high);
    let is_near = magnitude_below(e, high, 105.0);
    let low = e.and(is_near, distance.low);
    let correction = logarithm_one_plus_exponential(e, high, Some(low));
    let total = sum(e, greater, correction.high);
    let low = e.add(total.low, correction.low);
    let log = e.add(total.high, low);
    let is_finite = magnitude_below(e, greater, f32::INFINITY);
    let log = e.select(is_finite, log, greater);
    let both = e.ordered(x, y);
    let unordered = e.add(x, y);
    e.select(both, log, unordered)
}

/// Two thirds in two words.
const TWO_THIRDS: [f32; 2] = [2.0 / 3.0, -1.986_821_6e-8];
/// `log((1 + s) / (1 - s)) = 2 s + s^3 (2/3 + s^2 p(s^2))` for `|s| <= 3 - 2 sqrt(2)`, to 2^-35.8.
const LOG_QUOTIENT: [f32; 3] = [0.400_001_53, 0.285_470_96, 0.234_193_9];
/// log2 e in two words.
const LOG2_E: [f32; 2] = [std::f32::consts::LOG2_E, 1.925_963e-8];

/// `log((1 + s) / (1 - s))` by [`LOG_QUOTIENT`].
pub(crate) fn logarithm_of_quotient(e: &mut Expression, s: Double) -> Double {
    let [two, third, third_rest] = [2.0, TWO_THIRDS[0], TWO_THIRDS[1]].map(|c| e.constant(c));
    let square = s.times(e, s);
    let p = polynomial(e, square.high, &LOG_QUOTIENT);
    let p = e.mul(p, square.high);
    let factor = ordered_sum(e, third, p);
    let factor = Double { high: factor.high, low: e.add(factor.low, third_rest) };
    let factor = square.times(e, factor);
    let whole = ordered_sum(e, two, factor.high);
    let whole = Double { high: whole.high, low: e.add(whole.low, factor.low) };
    s.times(e, whole)
}

/// `log2(x)` for positive finite x, to about 2^-35: what a power needs.
pub(super) fn logarithm_two_double(e: &mut Expression, x: NodeId) -> Double {
    let [zero, two, log2_e, log2_e_rest] = [0.0, 2.0, LOG2_E[0], LOG2_E[1]].map(|c| e.constant(c));
    let Split { k, f } = split(e, x);
    let denominator = ordered_sum(e, two, f);
    let s = Double { high: f, low: zero }.over(e, denominator);
    let natural = logarithm_of_quotient(e, s);
    let binary = natural.times(e, Double { high: log2_e, low: log2_e_rest });
    let total = ordered_sum(e, k, binary.high);
    let low = e.add(total.low, binary.low);
    ordered_sum(e, total.high, low)
}

/// `product(y, log2 x)` with the two words of the logarithm.
pub(super) fn exponent_of_power(e: &mut Expression, log: Double, y: NodeId) -> Double {
    let exact = product(e, log.high, y);
    Double { high: exact.high, low: e.fma(log.low, y, exact.low) }
}
