//! Sine, cosine and tangent, for all finite arguments.

use super::double::{Double, ordered_fma, ordered_sum, product, sum};
use super::{ROUNDING, polynomial};
use crate::expression::{Expression, NodeId};

/// `sin(r) = r + r^3 p(r^2)` for `|r| <= pi/4`, to 2^-32.6 relative.
const SIN: [f32; 4] = [-0.166_666_67, 0.008_333_38, -0.000_198_535_11, 0.000_002_837_512_3];
/// `cos(r) = 1 - r^2/2 + r^4 p(r^2)` for `|r| <= pi/4`, to 2^-33.
const COS: [f32; 3] = [0.041_666_646, -0.001_388_730_1, 0.000_024_430_668];
/// pi/2 in two words.
const HALF_PI: [f32; 2] = [std::f32::consts::FRAC_PI_2, -4.371_139e-8];

/// `2^(20 j) * 2/pi` modulo 4 in four words, for each j (`compiler/docs/two_over_pi.py`).
///
/// `x = X 2^(20 j)` with an integer X, so `x * 2/pi` and `X` times this differ by a multiple of 4: of whole turns.
const TWO_OVER_PI: [[u32; 4]; 6] = [
    [0x3f22_f983, 0x32dc_9c88, 0x25a9_4fe1, 0x18ea_fa3f],
    [0x3e5b_9391, 0x2fa9_4fe1, 0x22ea_fa3f, 0x9632_c890],
    [0xbfdd_f56b, 0xb076_2a0c, 0x23fa_9a6f, 0x967c_9276],
    [0xbfb0_1ec5, 0xb302_e0ad, 0x269b_b81b, 0x1a58_a566],
    [0xbf28_2e0b, 0x3253_7703, 0x25db_14ad, 0x98d8_778e],
    [0xbf2c_b224, 0x315b_6296, 0xa4cd_8779, 0x1782_0ff3],
];

/// An angle as quarter turns (in the low two bits of a word) and at most an eighth of a turn in radians.
struct Reduced {
    quarters: NodeId,
    radians: Double,
}

/// The float nearest to zero that differs from `x` by a multiple of 4.
fn modulo_four(e: &mut Expression, x: NodeId) -> NodeId {
    let [quarter, minus_four] = [0.25, -4.0].map(|c| e.constant(c));
    let turns = e.mul(x, quarter);
    let turns = e.round_even(turns);
    e.fma(turns, minus_four, x)
}

/// Reduces a magnitude: `x * 2/pi` in exact products whose whole turns are dropped at once (Payne and Hanek's idea, in
/// floats).
fn reduced(e: &mut Expression, magnitude: NodeId) -> Reduced {
    // X < 2^43, and an integer as soon as j > 0.
    let one = e.constant(1.0);
    let mut scale = one;
    let mut words = TWO_OVER_PI[0].map(|bits| e.bits(bits));
    for (j, row) in TWO_OVER_PI.iter().enumerate().skip(1) {
        let [limit, factor] = [23 + 20 * j as i32, -20 * j as i32].map(|power| e.constant(2f32.powi(power)));
        let is_beyond = e.less_equal(limit, magnitude);
        scale = e.select(is_beyond, factor, scale);
        for (word, bits) in words.iter_mut().zip(row) {
            let bits = e.bits(*bits);
            *word = e.select(is_beyond, bits, *word);
        }
    }
    let x = e.mul(magnitude, scale);
    let [first, second, third] = [words[0], words[1], words[2]].map(|word| product(e, x, word));
    let fourth = e.mul(x, words[3]);

    // Words in order of size: what the first product leaves is a multiple of its last place, or nothing.
    let top = modulo_four(e, first.high);
    let middle = sum(e, first.low, second.high);
    let middle_turn = modulo_four(e, middle.high);
    let top = ordered_sum(e, top, middle_turn);
    let lower = sum(e, middle.low, second.low);
    let lower_third = sum(e, lower.high, third.high);
    let lower_top = sum(e, lower_third.high, top.low);
    let total = sum(e, top.high, lower_top.high);

    let rounding = e.constant(ROUNDING);
    let quarters = e.add(total.high, rounding);
    let n = e.sub(quarters, rounding);
    let high = e.sub(total.high, n);
    let rest = e.add(third.low, fourth);
    let rest =
        [lower_top.low, lower_third.low, lower.low, total.low].iter().fold(rest, |rest, part| e.add(rest, *part));
    let fraction = ordered_sum(e, high, rest);
    let [half_pi, half_pi_rest] = HALF_PI.map(|c| e.constant(c));
    let radians = fraction.times(e, Double { high: half_pi, low: half_pi_rest });
    let radians = ordered_sum(e, radians.high, radians.low);

    // Below an eighth of a turn the argument is its own radians, however small.
    let [limit, zero] = [0.75, 0.0].map(|c| e.constant(c));
    let is_small = e.less(magnitude, limit);
    let high = e.select(is_small, magnitude, radians.high);
    let low = e.select(is_small, zero, radians.low);
    Reduced { quarters, radians: Double { high, low } }
}

/// The sine of at most an eighth of a turn; the low word is not small.
fn small_sine(e: &mut Expression, radians: Double, square: NodeId) -> Double {
    let p = polynomial(e, square, &SIN);
    let cube = e.mul(square, radians.high);
    Double { high: radians.high, low: e.fma(cube, p, radians.low) }
}

/// The cosine of at most an eighth of a turn; the low word is not small.
fn small_cosine(e: &mut Expression, radians: Double, square: NodeId) -> Double {
    let [one, half] = [1.0, 0.5].map(|c| e.constant(c));
    let half_radians = e.mul(radians.high, half);
    let minus = e.neg(half_radians);
    let Double { high, low } = ordered_fma(e, minus, radians.high, one);
    let p = polynomial(e, square, &COS);
    let fourth = e.mul(square, square);
    let low = e.fma(fourth, p, low);
    let minus = e.neg(radians.high);
    Double { high, low: e.fma(minus, radians.low, low) }
}

/// Sine and cosine of the reduced angle, and a mask that is all ones where an odd number of quarter turns swaps them.
fn both(e: &mut Expression, reduced: &Reduced) -> (Double, Double, NodeId) {
    let square = e.mul(reduced.radians.high, reduced.radians.high);
    let sine = small_sine(e, reduced.radians, square);
    let cosine = small_cosine(e, reduced.radians, square);
    let [one, zero] = [1, 0].map(|c| e.bits(c));
    let odd = e.and(reduced.quarters, one);
    (sine, cosine, e.integer_sub(zero, odd))
}

/// The second bit of `quarters`, as a float's sign.
fn half_turn_sign(e: &mut Expression, quarters: NodeId) -> NodeId {
    let [thirty, sign_bit] = [30, 0x8000_0000].map(|c| e.bits(c));
    let moved = e.shift_left(quarters, thirty);
    e.and(moved, sign_bit)
}

/// `sin(x)`.
pub(super) fn sine(e: &mut Expression, x: NodeId) -> NodeId {
    let magnitude = e.abs(x);
    let reduced = reduced(e, magnitude);
    let (sine, cosine, is_odd) = both(e, &reduced);
    let [sine, cosine] = [sine, cosine].map(|v| v.rounded(e));
    let result = e.select(is_odd, cosine, sine);
    let turned = half_turn_sign(e, reduced.quarters);
    let sign_bit = e.bits(0x8000_0000);
    let sign = e.and(x, sign_bit);
    let sign = e.xor(sign, turned);
    e.xor(result, sign)
}

/// `cos(x)`: the sine a quarter turn further.
pub(super) fn cosine(e: &mut Expression, x: NodeId) -> NodeId {
    let magnitude = e.abs(x);
    let reduced = reduced(e, magnitude);
    let (sine, cosine, is_odd) = both(e, &reduced);
    let [sine, cosine] = [sine, cosine].map(|v| v.rounded(e));
    let result = e.select(is_odd, sine, cosine);
    let one = e.bits(1);
    let further = e.integer_add(reduced.quarters, one);
    let sign = half_turn_sign(e, further);
    e.xor(result, sign)
}

/// `tan(x)`: sine over cosine, or its negative inverse after an odd number of quarter turns.
pub(super) fn tangent(e: &mut Expression, x: NodeId) -> NodeId {
    let magnitude = e.abs(x);
    let reduced = reduced(e, magnitude);
    let (sine, cosine, is_odd) = both(e, &reduced);
    let [sine, cosine] = [sine, cosine].map(|v| ordered_sum(e, v.high, v.low));
    let mut choose =
        |a: Double, b: Double| Double { high: e.select(is_odd, a.high, b.high), low: e.select(is_odd, a.low, b.low) };
    let (numerator, denominator) = (choose(cosine, sine), choose(sine, cosine));
    let ratio = numerator.over(e, denominator).rounded(e);
    let sign_bit = e.bits(0x8000_0000);
    let sign = e.xor(x, is_odd);
    let sign = e.and(sign, sign_bit);
    e.xor(ratio, sign)
}
