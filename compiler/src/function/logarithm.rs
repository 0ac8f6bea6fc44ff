//! Logarithms.

use super::polynomial;
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
/// The leading 15 bits of ln 2, so that its products with exponents are exact, and the rest.
const LN_2_SHORT: f32 = f32::from_bits(0x3f31_7200);
const LN_2_SHORT_REST: f32 = 1.428_606_8e-6;
/// The bits of sqrt(1/2), where the range of mantissas begins.
const SQRT_HALF: u32 = 0x3f35_04f3;

/// Splits a positive finite `x = 2^k (1 + f)` with `sqrt(1/2) <= 1 + f < sqrt(2)`; gives k as a float, and f.
fn split(e: &mut Expression, x: NodeId) -> (NodeId, NodeId) {
    let [least_normal, two_to_23, one] = [f32::MIN_POSITIVE, 8_388_608.0, 1.0].map(|c| e.constant(c));
    let is_denormal = e.less(x, least_normal);
    let enlarged = e.mul(x, two_to_23);
    let normal = e.select(is_denormal, enlarged, x);
    let [twenty_three, sqrt_half, mantissa_bits] = [23, SQRT_HALF, 0x007f_ffff].map(|c| e.bits(c));
    let excess = e.and(is_denormal, twenty_three);
    let offset = e.integer_sub(normal, sqrt_half);
    let k = e.shift_right_signed(offset, twenty_three);
    let k = e.integer_sub(k, excess);
    let k = e.from_integer(k);
    let mantissa = e.and(offset, mantissa_bits);
    let mantissa = e.integer_add(mantissa, sqrt_half);
    (k, e.sub(mantissa, one))
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
    let (k, f) = split(e, x);
    let p = polynomial(e, f, &LOG);
    let square = e.mul(f, f);
    let [ln_2, ln_2_rest] = [LN_2_SHORT, LN_2_SHORT_REST].map(|c| e.constant(c));
    // k ln 2 + f as a rounded sum and what the rounding left.
    let whole = e.mul(k, ln_2);
    let sum = e.add(whole, f);
    let back = e.sub(sum, whole);
    let rest = e.sub(f, back);
    let rest = e.fma(k, ln_2_rest, rest);
    let rest = e.fma(square, p, rest);
    let log = e.add(sum, rest);
    with_special_cases(e, x, log)
}
