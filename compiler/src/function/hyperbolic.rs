//! The hyperbolic functions.

use super::double::{Double, ordered_sum};
use super::exponential::exponential_double;
use super::{LN_2, LOG2_E, ROUNDING, polynomial, with_sign_of};
use crate::expression::{Expression, NodeId};

/// `tanh(x) = x + x^3 p(x^2)` for `|x| <= 1`, to 2^-27.9 relative.
const TANH: [f32; 7] =
    [-0.333_333, 0.133_324_04, -0.053_883_594, 0.021_497_756, -0.007_962_552, 0.002_313_360_8, -0.000_361_875_72];
/// `exp(2 r) = 1 + r q(r)` for `|r| <= ln(2)/4`, to 2^-28.2.
const EXP_TWICE: [f32; 6] = [2.0, 2.0, 1.333_321_7, 0.666_662_2, 0.267_797_68, 0.089_228_01];

/// `sinh(x) = x + x^3 p(x^2)` for `|x| <= 1`, to 2^-31.5 relative.
const SINH: [f32; 4] = [0.166_666_67, 0.008_333_311, 0.000_198_426_35, 0.000_002_783_925_5];

/// `tanh(x)`: a polynomial up to 1, `1 - 2 / (exp(2|x|) + 1)` beyond, where that difference no longer loses digits.
pub(super) fn tangent(e: &mut Expression, x: NodeId) -> NodeId {
    let one = e.constant(1.0);
    let magnitude = e.abs(x);
    let square = e.mul(magnitude, magnitude);
    let p = polynomial(e, square, &TANH);
    let cube = e.mul(square, magnitude);
    let small = e.fma(cube, p, magnitude);

    // From 9.02 on the result rounds to 1.
    let limit = e.constant(10.0);
    let limited = e.min(limit, magnitude);
    let [twice_log2_e, rounding, minus_half_ln_2] =
        [2.0 * LOG2_E, ROUNDING + 127.0, -LN_2 / 2.0].map(|c| e.constant(c));
    let shifted = e.fma(limited, twice_log2_e, rounding);
    let n = e.sub(shifted, rounding);
    let r = e.fma(n, minus_half_ln_2, limited);
    let q = polynomial(e, r, &EXP_TWICE);
    let p = e.fma(r, q, one);
    let exponent = e.bits(23);
    let power = e.shift_left(shifted, exponent);
    let denominator = e.fma(power, p, one);
    let minus_two = e.constant(-2.0);
    let quotient = e.div(minus_two, denominator);
    let large = e.add(quotient, one);

    let is_small = e.less(magnitude, one);
    let result = e.select(is_small, small, large);
    with_sign_of(e, result, x)
}

/// `exp(|x|) / 8` and `exp(-|x|) / 8`: small enough that no intermediate result overflows where the sum doesn't.
fn exponentials(e: &mut Expression, magnitude: NodeId) -> (Double, NodeId) {
    // From 89.5 on the results round to infinity.
    let limit = e.constant(90.0);
    let limited = e.min(limit, magnitude);
    // The exponent bias, less three for the eighth.
    let (p, shifted) = exponential_double(e, limited, 124.0);
    let exponent = e.bits(23);
    let power = e.shift_left(shifted, exponent);
    let rising = Double { high: e.mul(p.high, power), low: e.mul(p.low, power) };
    let sixty_fourth = e.constant(1.0 / 64.0);
    (rising, e.div(sixty_fourth, rising.high))
}

/// `4 (rising + falling)`, `|falling|` at most `rising`.
fn sum_of_exponentials(e: &mut Expression, rising: Double, falling: NodeId) -> NodeId {
    let sum = ordered_sum(e, rising.high, falling);
    let low = e.add(sum.low, rising.low);
    let eighth = e.add(sum.high, low);
    let four = e.constant(4.0);
    e.mul(eighth, four)
}

/// `sinh(x)`: a polynomial up to 1, exponentials beyond.
pub(super) fn sine(e: &mut Expression, x: NodeId) -> NodeId {
    let magnitude = e.abs(x);
    let square = e.mul(x, x);
    let p = polynomial(e, square, &SINH);
    let cube = e.mul(square, x);
    let small = e.fma(cube, p, x);

    let (rising, falling) = exponentials(e, magnitude);
    let falling = e.neg(falling);
    let large = sum_of_exponentials(e, rising, falling);
    let large = with_sign_of(e, large, x);

    let one = e.constant(1.0);
    let is_small = e.less(magnitude, one);
    e.select(is_small, small, large)
}

/// `cosh(x)`.
pub(super) fn cosine(e: &mut Expression, x: NodeId) -> NodeId {
    let magnitude = e.abs(x);
    let (rising, falling) = exponentials(e, magnitude);
    sum_of_exponentials(e, rising, falling)
}
