//! Cast: values narrowed to another type, or widened again. Source: `src/layer/cast.cpp`.
//!
//! Tensors here hold floats whatever the type, so that widening changes nothing and narrowing rounds.

use super::Lowering;
use super::pointwise;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::ncnn::{Layer, Parameters};

const FROM: u32 = 0;
const TO: u32 = 1;

pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(FROM, "type to cast from", Accepts::OneOf(TYPES)).required().when(changes_something),
        Parameter::new(TO, "type to cast to", Accepts::OneOf(TYPES)).required().when(changes_something),
    ],
)
.rules(&[is_to_or_from_float]);

const FLOAT: i32 = 1;
const HALF: i32 = 2;
const INT8: i32 = 3;
const BFLOAT16: i32 = 4;

const TYPES: &[(i32, &str)] = &[(FLOAT, "float"), (HALF, "half precision"), (INT8, "int8"), (BFLOAT16, "bfloat16")];

/// Whether the types differ, whatever they are.
fn changes_something(parameters: &Parameters) -> bool {
    parameters.int(FROM, 0) != parameters.int(TO, 0)
}

fn is_to_or_from_float(layer: &Layer) -> Result<(), Diagnostic> {
    let (from, to) = (layer.parameters.int(FROM, 0), layer.parameters.int(TO, 0));
    if from == to || from == FLOAT || to == FLOAT {
        return Ok(());
    }
    let name = |number: i32| TYPES.iter().find(|(value, _)| *value == number).map_or("", |(_, name)| *name);
    let message = format!("there is no cast from {} to {}", name(from), name(to));
    Err(layer.error_in(TO, message).hint(format!("cast to {FLOAT}, float, and from there in a second layer")))
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    match (l.layer.parameters.int(FROM, 0), l.layer.parameters.int(TO, 0)) {
        (FLOAT, HALF) => l.pointwise(half),
        (FLOAT, INT8) => l.pointwise(byte),
        (FLOAT, BFLOAT16) => l.pointwise(bfloat),
        _ => pointwise::same(l),
    }
}

/// `x` without its lowest `bits` bits, rounded to nearest even; `x` times 2^bits must be finite.
///
/// Veltkamp's splitting (Boldo, "Pitfalls of a full floating-point proof", 2006) gives a nearest number, but either of
/// two equally near ones.
fn rounded(e: &mut Expression, x: NodeId, bits: u32) -> NodeId {
    let nearest = split(e, x, bits);
    let rest = e.sub(x, nearest);
    let twice = e.add(rest, rest);
    let other = e.add(nearest, twice);
    // Both are as near when the other one is a number of so few bits too; the even one has one bit less.
    let other_split = split(e, other, bits);
    let tie = e.equal(other_split, other);
    let even = split(e, other, bits + 1);
    let other_is_even = e.equal(even, other);
    let take_other = e.and(tie, other_is_even);
    e.select(take_other, other, nearest)
}

fn split(e: &mut Expression, x: NodeId, bits: u32) -> NodeId {
    let factor = e.constant((1_u32 << bits) as f32 + 1.0);
    let scaled = e.mul(x, factor);
    let below = e.sub(scaled, x);
    e.sub(scaled, below)
}

/// `x` without its lowest `bits` bits, as a type has it whose smallest normal number is `least`: below it, rounded to
/// what adding `shift` leaves.
fn narrowed(e: &mut Expression, x: NodeId, bits: u32, least: f32, shift: f32) -> NodeId {
    let normal = rounded(e, x, bits);
    let shift = e.constant(shift);
    let shifted = e.add(x, shift);
    let tiny = e.sub(shifted, shift);
    let (magnitude, least) = (e.abs(x), e.constant(least));
    let is_tiny = e.less(magnitude, least);
    e.select(is_tiny, tiny, normal)
}

/// `x` rounded to half precision: 11 bits, no less than multiples of 2^-24, infinite from 65520 on.
fn half(e: &mut Expression, x: NodeId) -> NodeId {
    // Far beyond the largest finite value, yet small enough to be split.
    let (low, high) = (e.constant(-1e6), e.constant(1e6));
    let raised = e.max(low, x);
    let limited = e.min(high, raised);
    let finite = narrowed(e, limited, 13, 2.0_f32.powi(-14), 0.75);
    let (magnitude, most, limit) = (e.abs(limited), e.constant(65520.0), e.constant(f32::INFINITY));
    let infinite = e.mul(limited, limit);
    let too_large = e.less_equal(most, magnitude);
    e.select(too_large, infinite, finite)
}

/// `x` rounded to bfloat16: 8 bits, no less than multiples of 2^-133.
fn bfloat(e: &mut Expression, x: NodeId) -> NodeId {
    let small = narrowed(e, x, 16, f32::MIN_POSITIVE, 0.75 * 2.0_f32.powi(-109));
    // Large numbers are split after division by a power of two, which is exact.
    let (down, up) = (e.constant(2.0_f32.powi(-32)), e.constant(2.0_f32.powi(32)));
    let scaled = e.mul(x, down);
    let scaled = rounded(e, scaled, 16);
    let large = e.mul(scaled, up);
    let (magnitude, border, limit) = (e.abs(x), e.constant(2.0_f32.powi(64)), e.constant(f32::INFINITY));
    let is_large = e.less(border, magnitude);
    let value = e.select(is_large, large, small);
    // Infinity and NaN stay what they are.
    let is_finite = e.less(magnitude, limit);
    e.select(is_finite, value, x)
}

/// `x` rounded to an integer, halves away from zero, between -127 and 127.
fn byte(e: &mut Expression, x: NodeId) -> NodeId {
    let whole = e.trunc(x);
    let rest = e.sub(x, whole);
    let doubled = e.add(rest, rest);
    // 1 or -1 from a half on.
    let step = e.trunc(doubled);
    let nearest = e.add(whole, step);
    let (low, high) = (e.constant(-127.0), e.constant(127.0));
    let raised = e.max(low, nearest);
    e.min(high, raised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    fn value(of: impl FnOnce(&mut Expression, NodeId) -> NodeId) -> impl Fn(f32) -> f32 {
        let expression = Expression::new(|e| {
            let x = e.read(0);
            of(e, x)
        });
        move |x| {
            let mut scratch = Vec::new();
            expression.evaluate(|_| x.to_bits(), &mut scratch);
            f32::from_bits(scratch[expression.result().0 as usize])
        }
    }

    /// Numbers of all magnitudes that type `f16` tells apart, those between two of them, and their neighbours.
    fn numbers() -> impl Iterator<Item = f32> {
        (0..=u16::MAX).flat_map(|bits| {
            let (this, next) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits.wrapping_add(1)).to_f32());
            let middle = this / 2.0 + next / 2.0;
            [this, middle, f32::from_bits(middle.to_bits() + 1), f32::from_bits(middle.to_bits().wrapping_sub(1))]
        })
    }

    #[test]
    fn halves_are_rounded_to_nearest_even() {
        let half = value(half);
        for x in numbers().filter(|x| !x.is_nan()) {
            assert_eq!(half(x), f16::from_f32(x).to_f32(), "{x:e}");
        }
    }

    #[test]
    fn bfloats_are_rounded_to_nearest_even() {
        let bfloat = value(bfloat);
        for upper in 0..=u16::MAX {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let x = f32::from_bits(u32::from(upper) << 16 | lower);
                if !x.is_nan() {
                    assert_eq!(bfloat(x), bf16::from_f32(x).to_f32(), "{x:e}");
                }
            }
        }
    }

    #[test]
    fn bytes_are_rounded_away_from_zero() {
        let byte = value(byte);
        for (x, want) in [(0.5, 1.0), (-0.5, -1.0), (0.499_999_97, 0.0), (126.5, 127.0), (-1e9, -127.0), (2.5, 3.0)] {
            assert_eq!(byte(x), want, "{x}");
        }
    }
}
