//! Remainders of division, exact for all arguments, and the sign.

use super::{magnitude_below, with_sign_of};
use crate::expression::{Expression, NodeId};

/// Quotient bits that one division settles. A quotient of this many bits is within 1 of the float division's.
const BITS: i32 = 24;
/// Divisions needed: the greatest float is below 2^(24 * 12) times the least.
const STEPS: i32 = 12;

/// `|x| - n |y|` for an integer n that makes it at most `|y|/2`; n is even where two would do.
///
/// Reduces by `|y| 2^(24 i)`, i falling: every remainder is representable, so every step is exact.
fn reduced(e: &mut Expression, x: NodeId, y: NodeId) -> NodeId {
    let [magnitude, divisor] = [x, y].map(|v| e.abs(v));
    let infinity = e.constant(f32::INFINITY);
    let rest = (0..STEPS).rev().fold(magnitude, |rest, step| {
        // Two factors, as the power of two itself may be beyond the greatest float.
        let [half, other] =
            [(BITS * step) / 2, BITS * step - (BITS * step) / 2].map(|bits| e.constant(2f32.powi(bits)));
        let multiple = if step == 0 { divisor } else { e.mul(divisor, half) };
        let multiple = if step == 0 { multiple } else { e.mul(multiple, other) };
        let quotient = e.div(rest, multiple);
        let quotient = e.round_even(quotient);
        let minus = e.neg(quotient);
        let reduced = e.fma(minus, multiple, rest);
        let is_finite = e.less(multiple, infinity);
        e.select(is_finite, reduced, rest)
    });
    // The last quotient may have been rounded onto a tie before it was rounded to an integer.
    let size = e.abs(rest);
    let twice = e.add(size, size);
    let is_beyond = e.less(divisor, twice);
    let signed = with_sign_of(e, divisor, rest);
    let corrected = e.sub(rest, signed);
    e.select(is_beyond, corrected, rest)
}

/// `rest` with the sign of x turned in, or NaN where x is infinite or either is NaN.
fn finished(e: &mut Expression, rest: NodeId, x: NodeId, y: NodeId) -> NodeId {
    let [sign_bit, nan] = [0x8000_0000, f32::NAN.to_bits()].map(|c| e.bits(c));
    let sign = e.and(x, sign_bit);
    let rest = e.xor(rest, sign);
    let is_finite = magnitude_below(e, x, f32::INFINITY);
    let both = e.ordered(x, y);
    let is_valid = e.and(is_finite, both);
    e.select(is_valid, rest, nan)
}

/// C's `remainder(x, y)`.
pub(super) fn remainder(e: &mut Expression, x: NodeId, y: NodeId) -> NodeId {
    let rest = reduced(e, x, y);
    finished(e, rest, x, y)
}

/// C's `fmod(x, y)`.
pub(super) fn modulo(e: &mut Expression, x: NodeId, y: NodeId) -> NodeId {
    let rest = reduced(e, x, y);
    let zero = e.constant(0.0);
    let divisor = e.abs(y);
    let is_negative = e.less(rest, zero);
    let positive = e.add(rest, divisor);
    let rest = e.select(is_negative, positive, rest);
    finished(e, rest, x, y)
}

/// -1, 0 or 1.
pub(super) fn sign(e: &mut Expression, x: NodeId) -> NodeId {
    let [zero, one] = [0.0, 1.0].map(|c| e.constant(c));
    let unit = with_sign_of(e, one, x);
    let magnitude = e.abs(x);
    let is_signed = e.less(zero, magnitude);
    e.select(is_signed, unit, x)
}
