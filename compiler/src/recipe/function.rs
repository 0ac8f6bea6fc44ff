//! Elementary functions of numbers in two words, for what is computed with their results.
//!
//! Each is known to about 2^-33 of its value (2^-28 at worst, for large exponents of powers): the surrounding arithmetic
//! rounds once, to 2^-25, and that decides.

use super::compensated::{Refusal, Value};
use super::pair::{Order, Pair, finite};
use crate::expression::{Expression, NodeId};
use crate::function::double::{Double, ordered_sum, product, sum};
use crate::function::exponential::{SCALE_EXCESS, Scale, clamp};
use crate::function::logarithm::{LN_2_SHORT, LN_2_SHORT_REST, Split, logarithm_of_quotient, split};
use crate::function::{Function, LN_2, LN_2_REST, LOG2_E, ROUNDING, polynomial};

/// A sixth in two words.
const SIXTH: [f32; 2] = [0.166_666_67, -4.967_054e-9];
/// `1/4!, 1/5!, ...`: `exp(r) = 1 + r + r^2/2 + r^3/6 + r^4 p(r)` for `|r| <= ln(2)/2`, to 2^-41.
const EXP_TAIL: [f32; 7] =
    [0.041_666_668, 0.008_333_334, 0.001_388_888_9, 1.984_127e-4, 2.480_158_8e-5, 2.755_732e-6, 2.755_732e-7];
/// Where exponentials become zero or infinite: far enough for those that are multiplied by a number before they are stored.
const LARGEST_EXPONENT: f32 = 160.0;
/// From here on `exp(x) - 1` is `exp(x)` to 2^-57.
const LARGE: f32 = 40.0;

/// `a Phi(-a) exp(a^2/2) = v (1 + v p(v))` with `v = a / (a + 2)` for `0 <= a <= 14.6`, Phi the normal distribution, to 2^-35;
/// Chebyshev interpolation. The lowest coefficients in two words.
const TAIL: [[f32; 2]; 8] = [
    [-0.595_769_1, -1.426_276_25e-8],
    [-0.191_538_24, 5.792_718_5e-10],
    [0.085_000_54, 9.274_377_4e-10],
    [0.106_152_505, 3.063_336_3e-9],
    [0.042_122_435, -1.232_430_9e-9],
    [-0.008_511_595, 3.034_664_7e-10],
    [-0.021_070_54, 4.282_813_8e-10],
    [-0.031_880_04, 2.493_635_6e-10],
];
/// The others.
const TAIL_REST: [f32; 8] = [
    0.026_299_722,
    -0.039_866_02,
    -0.032_578_327,
    0.252_602_85,
    -0.467_365,
    0.481_776_62,
    -0.266_203_97,
    0.059_771_158,
];
/// From here on `a Phi(-a)` is below half the least denormal.
const FAR_TAIL: f32 = 14.6;

/// A number in two words that is still to be multiplied by a power of two, so that neither of them is denormal before.
#[derive(Clone)]
pub(super) struct Scaled {
    mantissa: Pair,
    factors: [NodeId; 2],
}

impl Scaled {
    fn new(mantissa: Pair, scale: &Scale) -> Self {
        Self { mantissa, factors: [scale.0, scale.1] }
    }

    fn scale(&self, e: &mut Expression, word: NodeId) -> NodeId {
        self.factors.iter().fold(word, |word, factor| e.mul(word, *factor))
    }

    pub fn pair(&self, e: &mut Expression) -> Pair {
        let mantissa = self.mantissa.clean(e);
        let Double { high, low } = mantissa.words();
        let (high, low) = (self.scale(e, high), self.scale(e, low));
        Pair::nearest(Double { high, low })
    }

    pub fn rounded(&self, e: &mut Expression) -> NodeId {
        let word = self.mantissa.rounded(e);
        self.scale(e, word)
    }

    pub fn times(self, e: &mut Expression, other: Pair) -> Self {
        Self { mantissa: self.mantissa.times(e, other), ..self }
    }
}

/// A function of numbers in two words.
pub(super) fn in_pairs(e: &mut Expression, function: Function, operands: &[Value]) -> Result<Value, Refusal> {
    if let (Function::Gelu, [x]) = (function, operands) {
        let word = x.word().ok_or(Refusal::Function(function))?;
        return Ok(Value::Scaled(gelu(e, word)));
    }
    let mut operands =
        operands.iter().map(|operand| Ok(operand.pair(e)?.clean(e))).collect::<Result<Vec<Pair>, _>>()?;
    let second = operands.pop().expect("a function has an argument");
    Ok(match (function, operands.pop()) {
        (Function::Exponential, None) => Value::Scaled(exponential(e, second)),
        (Function::ExponentialMinusOne, None) => Value::Pair(exponential_minus_one(e, second)),
        (Function::Sigmoid, None) => Value::Scaled(sigmoid(e, second)),
        (Function::Logarithm, None) => Value::Pair(logarithm(e, second)),
        (Function::Power, Some(first)) => Value::Pair(power(e, first, second)),
        (Function::LogarithmOfSum, Some(first)) => Value::Pair(logarithm_of_sum(e, first, second)),
        _ => return Err(Refusal::Function(function)),
    })
}

/// `exp(x) = 2^n (1 + E)`: E and the power of two.
fn exponential_parts(e: &mut Expression, x: Pair) -> (Double, Scale) {
    let limited = clamp(e, x.high, -LARGEST_EXPONENT, LARGEST_EXPONENT);
    let is_within = e.equal(limited, x.high);
    let low = e.and(is_within, x.low);
    let [log2_e, rounding, minus_ln_2, minus_rest, half, sixth, sixth_rest] =
        [LOG2_E, ROUNDING + SCALE_EXCESS, -LN_2, -LN_2_REST, 0.5, SIXTH[0], SIXTH[1]].map(|c| e.constant(c));
    let shifted = e.fma(limited, log2_e, rounding);
    let n = e.sub(shifted, rounding);
    // The first step is exact.
    let r = e.fma(n, minus_ln_2, limited);
    let rest = product(e, n, minus_rest);
    let r = sum(e, r, rest.high);
    let rest = e.add(rest.low, low);
    let rest = e.add(r.low, rest);
    let r = ordered_sum(e, r.high, rest);
    let square = r.times(e, r);
    let cubic = square.times(e, r);
    let cubic = cubic.times(e, Double { high: sixth, low: sixth_rest });
    let quartic = e.mul(square.high, square.high);
    let tail = polynomial(e, r.high, &EXP_TAIL);
    let tail = e.mul(quartic, tail);
    let square = Double { high: e.mul(square.high, half), low: e.mul(square.low, half) };
    // From the smallest to the largest.
    let tail = Double { high: tail, low: e.constant(0.0) };
    let tail = ordered_plus(e, cubic, tail);
    let tail = ordered_plus(e, square, tail);
    (ordered_plus(e, r, tail), Scale::from_shifted(e, shifted))
}

/// `a + b` where `a` is not the smaller one.
fn ordered_plus(e: &mut Expression, a: Double, b: Double) -> Double {
    let Double { high, low } = ordered_sum(e, a.high, b.high);
    let lows = e.add(a.low, b.low);
    Double { high, low: e.add(low, lows) }
}

fn exponential(e: &mut Expression, x: Pair) -> Scaled {
    let (excess, scale) = exponential_parts(e, x);
    let mantissa = one_plus(e, excess);
    let [least, largest, zero, infinity] =
        [-LARGEST_EXPONENT, LARGEST_EXPONENT, 0.0, f32::INFINITY].map(|c| e.constant(c));
    let is_below = e.less(x.high, least);
    let is_above = e.less(largest, x.high);
    let mantissa = Pair::exact(e, zero).or(e, is_below, mantissa);
    Scaled::new(Pair::exact(e, infinity).or(e, is_above, mantissa), &scale)
}

fn one_plus(e: &mut Expression, x: Double) -> Pair {
    let one = Double { high: e.constant(1.0), low: e.constant(0.0) };
    Pair::loose(ordered_plus(e, one, x))
}

/// `(2^n - 1) + 2^n E`.
fn exponential_minus_one(e: &mut Expression, x: Pair) -> Pair {
    let (excess, scale) = exponential_parts(e, x);
    let whole = Scaled::new(one_plus(e, excess), &scale).pair(e);
    let power = scale.power(e);
    let minus_one = e.constant(-1.0);
    let base = Pair::nearest(sum(e, power, minus_one));
    let bent = Pair::loose(Double { high: e.mul(power, excess.high), low: e.mul(power, excess.low) });
    let below = base.plus(e, bent);
    let large = e.constant(LARGE);
    let is_large = e.less(large, x.high);
    whole.or(e, is_large, below)
}

/// `w / (1 + exp(-|x|))`, where w is `exp(x)` or 1.
fn sigmoid(e: &mut Expression, x: Pair) -> Scaled {
    let magnitude = x.magnitude(e);
    let decaying = magnitude.negated(e);
    let decay = exponential(e, decaying);
    let one = e.constant(1.0);
    let one = Pair::exact(e, one);
    let denominator = decay.pair(e).plus(e, one);
    let zero = e.constant(0.0);
    let is_negative = e.less(x.high, zero);
    let numerator = decay.mantissa.or(e, is_negative, one);
    let factors = decay.factors.map(|factor| e.select(is_negative, factor, one.high));
    Scaled { mantissa: numerator.over(e, denominator), factors }
}

/// `log(x)` for positive finite x.
fn logarithm_of_finite(e: &mut Expression, x: Pair) -> Double {
    let [one, two, ln_2, ln_2_rest, least_normal] =
        [1.0, 2.0, LN_2_SHORT, LN_2_SHORT_REST, f32::MIN_POSITIVE].map(|c| e.constant(c));
    let Split { k, f } = split(e, x.high);
    // The power of two that makes the mantissa of the high word; denormal numbers have no low word.
    let mantissa = e.add(one, f);
    let power = e.div(mantissa, x.high);
    let low = e.mul(x.low, power);
    let is_normal = e.less_equal(least_normal, x.high);
    let low = e.and(is_normal, low);
    let f = ordered_sum(e, f, low);
    // 1 + f = (1 + s) / (1 - s) with s = f / (2 + f).
    let denominator = ordered_sum(e, two, f.high);
    let denominator = Double { high: denominator.high, low: e.add(denominator.low, f.low) };
    let s = f.over(e, denominator);
    let fraction = logarithm_of_quotient(e, s);
    let exponent = e.mul(k, ln_2);
    let total = ordered_sum(e, exponent, fraction.high);
    let low = e.fma(k, ln_2_rest, fraction.low);
    Double { high: total.high, low: e.add(total.low, low) }
}

/// `log(x)`: zero, infinity and what has no logarithm as in single words.
fn logarithm(e: &mut Expression, x: Pair) -> Pair {
    let log = Pair::loose(logarithm_of_finite(e, x));
    let other = Function::Logarithm.expand(e, &[x.high]);
    let other = Pair::exact(e, other);
    let zero = e.constant(0.0);
    let is_positive = e.less(zero, x.high);
    let is_finite = finite(e, x.high);
    let is_regular = e.and(is_positive, is_finite);
    log.or(e, is_regular, other)
}

/// `x^y` as `exp(y log |x|)` with the sign, and the special cases, of the power in single words.
fn power(e: &mut Expression, x: Pair, y: Pair) -> Pair {
    let other = Function::Power.expand(e, &[x.high, y.high]);
    let magnitude = x.magnitude(e);
    let log = logarithm_of_finite(e, magnitude);
    let exponent = Pair::loose(log.times(e, y.words())).clean(e);
    let power = exponential(e, exponent).pair(e);
    let sign_bit = e.bits(0x8000_0000);
    let sign = e.and(other, sign_bit);
    let power = Pair::loose(Double { high: e.xor(power.high, sign), low: e.xor(power.low, sign) });
    let zero = e.constant(0.0);
    let size = e.abs(other);
    let regular = [
        e.less(zero, magnitude.high),
        finite(e, magnitude.high),
        e.less(zero, size),
        finite(e, size),
        finite(e, y.high),
    ];
    let is_regular = regular[1..].iter().fold(regular[0], |all, one| e.and(all, *one));
    let other = Pair::exact(e, other);
    power.or(e, is_regular, other)
}

/// `x Phi(x)` of a word as `max(x, 0) - |x| Phi(-|x|)`.
fn gelu(e: &mut Expression, x: NodeId) -> Scaled {
    let [zero, one, limit, minus_half] = [0.0, 1.0, FAR_TAIL, -0.5].map(|c| e.constant(c));
    let magnitude = e.abs(x);
    let magnitude = e.min(limit, magnitude);
    let square = product(e, magnitude, magnitude);
    let exponent = Double { high: e.mul(square.high, minus_half), low: e.mul(square.low, minus_half) };
    let decay = exponential(e, Pair::nearest(exponent));
    let tail = tail(e, magnitude);
    let below = decay.times(e, tail);
    let below = Scaled { mantissa: below.mantissa.negated(e), ..below };
    let above = below.pair(e).plus_word(e, x);
    let is_negative = e.less(x, zero);
    Scaled {
        mantissa: below.mantissa.or(e, is_negative, above),
        factors: below.factors.map(|factor| e.select(is_negative, factor, one)),
    }
}

/// `a Phi(-a) exp(a^2/2)` by [`TAIL`].
fn tail(e: &mut Expression, a: NodeId) -> Pair {
    let [zero, one, two] = [0.0, 1.0, 2.0].map(|c| e.constant(c));
    let denominator = sum(e, two, a);
    let v = Pair::loose(Double { high: a, low: zero }.over(e, denominator));
    let rest = polynomial(e, v.high, &TAIL_REST);
    let rest = Pair::exact(e, rest);
    let p = TAIL.iter().rev().fold(rest, |rest, coefficient| {
        let [high, low] = coefficient.map(|c| e.constant(c));
        let bend = rest.times(e, v);
        Pair::nearest(Double { high, low }).plus(e, bend)
    });
    let bend = p.times(e, v).plus_word(e, one);
    v.times(e, bend)
}

/// `log(exp(x) + exp(y))` as `max + log(1 + exp(min - max))`.
fn logarithm_of_sum(e: &mut Expression, x: Pair, y: Pair) -> Pair {
    let other = Function::LogarithmOfSum.expand(e, &[x.high, y.high]);
    let other = Pair::exact(e, other);
    let is_less = x.compared(e, y, Order::Less);
    let (greater, lesser) = (y.or(e, is_less, x), x.or(e, is_less, y));
    let minus = greater.negated(e);
    let distance = lesser.plus(e, minus).clean(e);
    let decay = exponential(e, distance).pair(e);
    let one = e.constant(1.0);
    let whole = Double { high: one, low: e.constant(0.0) };
    let whole = Pair::loose(ordered_plus(e, whole, decay.words())).clean(e);
    let correction = Pair::loose(logarithm_of_finite(e, whole));
    let log = greater.plus(e, correction);
    let (x_is_finite, y_is_finite) = (finite(e, x.high), finite(e, y.high));
    let are_finite = e.and(x_is_finite, y_is_finite);
    log.or(e, are_finite, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function of two-word numbers at these places, as the sum of its words.
    fn evaluate(function: Function, arguments: &[[f32; 2]]) -> f64 {
        let mut e = Expression::default();
        let operands: Vec<Value> = (0..arguments.len())
            .map(|i| {
                let (high, low) = (e.read(2 * i), e.read(2 * i + 1));
                Value::Pair(Pair::nearest(Double { high, low }))
            })
            .collect();
        let pair = in_pairs(&mut e, function, &operands).and_then(|value| value.pair(&mut e)).expect("it is known");
        let pair = pair.clean(&mut e);
        e.results = vec![pair.high, pair.low];
        words(&e, &arguments.concat()).iter().map(|word| f64::from(*word)).sum()
    }

    fn words(e: &Expression, operands: &[f32]) -> Vec<f32> {
        let mut scratch = Vec::new();
        e.evaluate(|operand| operands[operand].to_bits(), &mut scratch);
        e.results.iter().map(|id| f32::from_bits(scratch[id.0 as usize])).collect()
    }

    /// Numbers from `low` to `high`, with rests below half a unit in the last place.
    fn numbers(low: f32, high: f32) -> impl Iterator<Item = [f32; 2]> {
        (0..4000).map(move |i| {
            let x = low + (high - low) * (i as f32 + 0.37) / 4000.0;
            [x, x * f32::EPSILON * 0.24 * ((i % 7) as f32 - 3.0) / 3.0]
        })
    }

    fn real(x: [f32; 2]) -> f64 {
        x.iter().map(|word| f64::from(*word)).sum()
    }

    #[test]
    fn functions_of_one_argument_are_known_to_more_than_a_word() {
        use Function::*;
        for (function, low, high) in [
            (Exponential, -80.0, 80.0),
            (Exponential, -0.4, 0.4),
            (ExponentialMinusOne, -20.0, 20.0),
            (ExponentialMinusOne, -0.01, 0.01),
            (Sigmoid, -80.0, 30.0),
            (Logarithm, 1e-3, 1e3),
            (Logarithm, 0.99, 1.01),
        ] {
            for x in numbers(low, high) {
                let (got, want) = (evaluate(function, &[x]), function.real(&[real(x)]));
                let error = ((got - want) / want).abs();
                assert!(
                    error < 2.0_f64.powi(-31),
                    "{}({x:?}): {got:e} for {want:e}, 2^{}",
                    function.text(),
                    error.log2()
                );
            }
        }
    }

    #[test]
    fn functions_of_two_arguments_are_known_to_more_than_a_word() {
        for (x, y) in numbers(0.01, 9.0).zip(numbers(-7.0, 11.0)) {
            let (got, want) = (evaluate(Function::Power, &[x, y]), real(x).powf(real(y)));
            assert!(((got - want) / want).abs() < 2.0_f64.powi(-28), "{x:?}^{y:?}: {got:e} for {want:e}");
        }
        for (x, y) in numbers(0.5, 30.0).zip(numbers(30.0, -20.0)) {
            let arguments = [real(x), real(y)];
            let (got, want) = (evaluate(Function::LogarithmOfSum, &[x, y]), Function::LogarithmOfSum.real(&arguments));
            assert!(((got - want) / want).abs() < 2.0_f64.powi(-31), "{x:?}, {y:?}: {got:e} for {want:e}");
        }
        let cubes = [[-3.0, 0.0], [3.0, 0.0]].map(|x| evaluate(Function::Power, &[x, [3.0, 0.0]]));
        assert!((cubes[0] + 27.0).abs() < 1e-7 && (cubes[1] - 27.0).abs() < 1e-7, "{cubes:?}");
    }

    #[test]
    fn gelu_is_within_a_unit() {
        let mut e = Expression::default();
        let x = e.read(0);
        let word = gelu(&mut e, x).rounded(&mut e);
        e.results = vec![word];
        // Half a unit is the last rounding's, and 0.12 were measured beside it. A subnormal result is rounded a second time
        // where it is scaled down, which takes another quarter of a unit at most.
        let mut worst = [0.0_f64; 2];
        for i in 0..400_000 {
            let x = -15.0 + 25.0 * (i as f32) / 400_000.0;
            let (got, want) = (f64::from(words(&e, &[x])[0]), Function::Gelu.real(&[f64::from(x)]));
            let exponent = want.abs().log2().floor().max(-126.0);
            let worst = &mut worst[usize::from(want.abs() < f64::from(f32::MIN_POSITIVE))];
            *worst = worst.max((got - want).abs() / 2.0_f64.powf(exponent - 23.0));
        }
        assert!(worst[0] < 0.63 && worst[1] < 0.77, "{worst:?} ulp");
        for (x, want) in [(f32::NEG_INFINITY, -0.0), (-0.0, 0.0), (f32::INFINITY, f32::INFINITY)] {
            assert!(words(&e, &[x])[0] == want, "gelu({x})");
        }
        assert!(words(&e, &[f32::NAN])[0].is_nan());
    }

    #[test]
    fn special_values_are_those_of_words() {
        use Function::*;
        let specials = [f32::NEG_INFINITY, -0.0, 0.0, f32::INFINITY, f32::NAN, -2.0, f32::MAX, f32::from_bits(1)];
        for function in [Exponential, ExponentialMinusOne, Sigmoid, Logarithm] {
            for x in specials {
                let (got, want) = (evaluate(function, &[[x, 0.0]]) as f32, function.real(&[f64::from(x)]) as f32);
                assert!(
                    got == want || (got - want).abs() <= want.abs() * 1e-6 || got.is_nan() && want.is_nan(),
                    "{}({x}): {got} for {want}",
                    function.text()
                );
            }
        }
        for (x, y) in specials.iter().flat_map(|x| specials.iter().map(move |y| (*x, *y))) {
            let (got, want) = (evaluate(Power, &[[x, 0.0], [y, 0.0]]) as f32, x.powf(y));
            assert!(
                got == want || (got - want).abs() <= want.abs() * 1e-6 || got.is_nan() && want.is_nan(),
                "{x}^{y}: {got} for {want}"
            );
        }
    }
}
