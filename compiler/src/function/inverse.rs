//! The inverse trigonometric functions.

use super::double::{Double, ordered_sum, product};
use super::{polynomial, with_sign_of};
use crate::expression::{Expression, NodeId};

/// `asin(x) = x + x^3 p(x^2)` for `|x| <= 1/2`, to 2^-27.6 relative.
const ASIN: [f32; 5] = [0.166_667_54, 0.074_952_52, 0.045_476_038, 0.024_152_13, 0.042_211_708];
/// `atan(x) = x + x^3 (p(x^2) - 1/4)` for `|x| <= 1`, to 2^-28.7 relative.
const ATAN: [f32; 9] = [
    -0.083_333_015,
    0.199_986_28,
    -0.142_651_26,
    0.109_569_33,
    -0.084_175_43,
    0.058_201_257,
    -0.031_422_142,
    0.011_046_255,
    -0.001_823_116,
];
/// pi and pi/2 in two words.
const PI: [f32; 2] = [std::f32::consts::PI, -8.742_278e-8];
const HALF_PI: [f32; 2] = [std::f32::consts::FRAC_PI_2, -4.371_139e-8];

/// `base + v + tail`, rounded once; the base is zero or at least `|v|`, the tail much smaller.
fn sum_of_three(e: &mut Expression, base: Double, v: NodeId, tail: NodeId) -> NodeId {
    let Double { high, low } = ordered_sum(e, base.high, v);
    let tail = e.add(tail, base.low);
    let low = e.add(low, tail);
    e.add(high, low)
}

/// `base + asin(v) + rest` for `|v| <= 1/2` with `v^2` in `square`.
fn add_arc_sine(e: &mut Expression, base: Double, v: NodeId, square: NodeId, rest: NodeId) -> NodeId {
    let p = polynomial(e, square, &ASIN);
    let cube = e.mul(square, v);
    let tail = e.fma(cube, p, rest);
    sum_of_three(e, base, v, tail)
}

/// `base + atan(v) + rest` for `|v| <= 1`. The cubic term is a quarter of the result next to 1, so its leading part, -1/4
/// of the cube, is computed to more than a word.
fn add_arc_tangent(e: &mut Expression, base: Double, v: NodeId, rest: NodeId) -> NodeId {
    let square = product(e, v, v);
    let cube = product(e, square.high, v);
    let p = polynomial(e, square.high, &ATAN);
    let [quarter, minus_half, one] = [-0.25, -0.5, 1.0].map(|c| e.constant(c));
    // The derivative, 1 / (1 + v^2), is within 9 % of this, which is enough for the rest.
    let derivative = e.fma(square.high, minus_half, one);
    let rest = e.mul(rest, derivative);
    let cube_rest = e.fma(square.low, v, cube.low);
    let rest = e.fma(cube_rest, quarter, rest);
    let rest = e.fma(cube.high, p, rest);
    let tail = e.fma(cube.high, quarter, rest);
    sum_of_three(e, base, v, tail)
}

/// `if mask { words } else { 0 }`.
fn masked(e: &mut Expression, mask: NodeId, words: [f32; 2]) -> Double {
    let [high, low] = words.map(|c| e.constant(c));
    Double { high: e.and(mask, high), low: e.and(mask, low) }
}

/// For `|x| > 1/2`, `asin(sqrt((1 - |x|) / 2))` is the small angle to work with; its sine in two words, and its square.
fn half_angle(e: &mut Expression, magnitude: NodeId) -> (Double, NodeId) {
    let [one, half, zero] = [1.0, 0.5, 0.0].map(|c| e.constant(c));
    let distance = e.sub(one, magnitude);
    let square = e.mul(distance, half);
    (Double { high: square, low: zero }.square_root(e), square)
}

/// `asin(x)`: `pi/2 - 2 asin(sqrt((1 - |x|) / 2))` beyond 1/2.
pub(super) fn arc_sine(e: &mut Expression, x: NodeId) -> NodeId {
    let [half, minus_two] = [0.5, -2.0].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let is_small = e.less(magnitude, half);
    let all = e.bits(u32::MAX);
    let is_large = e.xor(is_small, all);
    let (sine, sine_square) = half_angle(e, magnitude);
    let v = e.mul(sine.high, minus_two);
    let v = e.select(is_small, magnitude, v);
    let rest = e.mul(sine.low, minus_two);
    let rest = e.and(is_large, rest);
    let own_square = e.mul(x, x);
    let square = e.select(is_small, own_square, sine_square);
    let base = masked(e, is_large, HALF_PI);
    let angle = add_arc_sine(e, base, v, square, rest);
    with_sign_of(e, angle, x)
}

/// `acos(x)`: `pi/2 - asin(x)` up to 1/2, `2 asin(sqrt((1 - x) / 2))` above, pi less that of `-x` below.
pub(super) fn arc_cosine(e: &mut Expression, x: NodeId) -> NodeId {
    let [half, two, zero] = [0.5, 2.0, 0.0].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let is_small = e.less(magnitude, half);
    let all = e.bits(u32::MAX);
    let is_large = e.xor(is_small, all);
    let (sine, sine_square) = half_angle(e, magnitude);
    let twice = with_sign_of(e, two, x);
    let v = e.mul(sine.high, twice);
    let minus = e.neg(x);
    let v = e.select(is_small, minus, v);
    let rest = e.mul(sine.low, twice);
    let rest = e.and(is_large, rest);
    let own_square = e.mul(x, x);
    let square = e.select(is_small, own_square, sine_square);
    let is_negative = e.less(x, zero);
    let straight = masked(e, is_negative, PI);
    let right = masked(e, is_small, HALF_PI);
    let base = Double {
        high: e.select(is_small, right.high, straight.high),
        low: e.select(is_small, right.low, straight.low),
    };
    add_arc_sine(e, base, v, square, rest)
}

/// `atan(x)`: `pi/2 + atan(-1 / |x|)` beyond 1.
pub(super) fn arc_tangent(e: &mut Expression, x: NodeId) -> NodeId {
    let [one, minus_one, limit] = [1.0, -1.0, 1e30].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let is_large = e.less(one, magnitude);
    // Infinity would make the residual NaN; from here on the result is pi/2.
    let limited = e.min(limit, magnitude);
    let inverse = e.div(minus_one, limited);
    let residual = e.fma(inverse, limited, one);
    let rest = e.mul(residual, inverse);
    let rest = e.and(is_large, rest);
    let v = e.select(is_large, inverse, magnitude);
    let base = masked(e, is_large, HALF_PI);
    let angle = add_arc_tangent(e, base, v, rest);
    with_sign_of(e, angle, x)
}

/// The least over the greatest of two magnitudes, in two words; 0 for two zeros, 1 for two infinities.
fn ratio(e: &mut Expression, lesser: NodeId, greater: NodeId) -> Double {
    let [zero, one, infinity] = [0.0, 1.0, f32::INFINITY].map(|c| e.constant(c));
    let is_infinite = e.equal(greater, infinity);
    let are_infinite = e.equal(lesser, infinity);
    let of_infinite = e.select(are_infinite, one, zero);
    let lesser = e.select(is_infinite, of_infinite, lesser);
    let greater = e.select(is_infinite, one, greater);
    // Small numbers are enlarged so that the residual of the division is exact.
    let [small, enlarging, tiny] = [2f32.powi(-40), 2f32.powi(80), 2f32.powi(-70)].map(|c| e.constant(c));
    let is_small = e.less(greater, small);
    let factor = e.select(is_small, enlarging, one);
    let high = e.mul(lesser, factor);
    let greater = e.mul(greater, factor);
    let greater = e.max(tiny, greater);
    Double { high, low: zero }.over(e, Double { high: greater, low: zero })
}

/// `atan2(y, x)`.
pub(super) fn arc_tangent_of_two(e: &mut Expression, y: NodeId, x: NodeId) -> NodeId {
    let [height, width] = [y, x].map(|v| e.abs(v));
    let is_steep = e.less(width, height);
    let lesser = e.min(height, width);
    let greater = e.max(height, width);
    let ratio = ratio(e, lesser, greater);
    let thirty_one = e.bits(31);
    let is_left = e.shift_right_signed(x, thirty_one);
    // The small angle counts backwards from pi/2 in the right half, and from pi in the left.
    let is_backward = e.xor(is_steep, is_left);
    let sign_bit = e.bits(0x8000_0000);
    let sign = e.and(is_backward, sign_bit);
    let v = e.xor(ratio.high, sign);
    let rest = e.xor(ratio.low, sign);
    let straight = masked(e, is_left, PI);
    let [right_high, right_low] = HALF_PI.map(|c| e.constant(c));
    let base = Double {
        high: e.select(is_steep, right_high, straight.high),
        low: e.select(is_steep, right_low, straight.low),
    };
    let angle = add_arc_tangent(e, base, v, rest);
    let angle = with_sign_of(e, angle, y);
    let both = e.ordered(x, y);
    let unordered = e.add(x, y);
    e.select(both, angle, unordered)
}
