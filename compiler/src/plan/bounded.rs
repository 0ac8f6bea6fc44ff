//! Real numbers that carry a bound of what `f32` arithmetic makes of them: running error analysis.
//!
//! Interpreting an operation in this arithmetic gives, beside each result in double precision, how far the planned `f32`
//! evaluation can be from it at most: every instruction adds what its operands' errors become and half a unit in the last
//! place of its own (Higham, "Accuracy and Stability of Numerical Algorithms", 3.3). For a sum that is the familiar
//! `u (|s_1| + ... + |s_n|)` over its partial sums `s_i`, which is never above `gamma_n sum |terms|`. Bounds hold to first order in
//! the elementary functions, which are taken to be monotone across an error.

use super::arithmetic::{Arithmetic, Reals};
use crate::expression::Expression;
use crate::format::Format;
use crate::function::Function;
use crate::graph::{Element, Nest};
use crate::instruction::Instruction;
use crate::recipe::Recipe;

/// The unit roundoff of `f32`.
const UNIT: f64 = 1.0 / 16_777_216.0;

/// Half the smallest denormal: what a rounding adds where numbers are no longer spaced by their magnitude.
const HALF_DENORMAL: f64 = 7.006_492_321_624_085e-46;

/// A number and how far its `f32` evaluation can be from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounded {
    /// The number. Truth values are 1 and 0.
    pub value: f64,
    /// The bound; of a truth value 1 where it can turn out otherwise.
    pub error: f64,
}

/// Double precision with bounds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds;

impl Bounded {
    fn exact(value: f64) -> Self {
        Self { value, error: 0.0 }
    }

    /// `value` computed from operands whose errors make `inherited` of it, and rounded.
    fn rounded(value: f64, inherited: f64) -> Self {
        Self { value, error: inherited + UNIT * (value.abs() + inherited) + HALF_DENORMAL }
    }

    /// What the bounds of a monotone function of one argument differ by at most from its value.
    fn spread(self, f: impl Fn(f64) -> f64) -> f64 {
        if self.error == 0.0 {
            return 0.0;
        }
        let middle = f(self.value);
        // At the edge of a function's domain only one side has a value.
        let side = |x: f64| (f(x) - middle).abs();
        side(self.value - self.error).max(side(self.value + self.error))
    }

    /// A truth value that holds for sure or not.
    fn truth(value: f64, certain: bool) -> Self {
        Self { value, error: if certain { 0.0 } else { 1.0 } }
    }

    fn apart(self, other: Self) -> bool {
        (self.value - other.value).abs() > self.error + other.error || (self.error == 0.0 && other.error == 0.0)
    }
}

impl Arithmetic for Bounds {
    type Value = Bounded;

    const AS_PLANNED: bool = true;

    #[inline(always)]
    fn read(word: u32, element: Element) -> Bounded {
        Bounded::exact(Reals::read(word, element))
    }

    fn word(value: Bounded, element: Element) -> u32 {
        Reals::word(value.value, element)
    }

    fn stored(value: Bounded, format: Format) -> Bounded {
        let furthest = value.value.abs() + value.error;
        let own = match (format.is_narrow(), furthest > format.largest()) {
            (false, _) => 0.0,
            (true, true) => f64::INFINITY,
            (true, false) => format.step(furthest) / 2.0,
        };
        Bounded { error: value.error + own, ..value }
    }

    fn rounded(value: f64) -> Bounded {
        Bounded::rounded(value, 0.0)
    }

    fn constant(bits: u32) -> Bounded {
        Bounded::exact(Reals::constant(bits))
    }

    fn integer(value: Bounded) -> i64 {
        Reals::integer(value.value)
    }

    fn recipe(nest: &Nest, compensated: bool) -> Recipe {
        Reals::recipe(nest, compensated)
    }

    fn prepared(expression: &Expression) -> Expression {
        Reals::prepared(expression)
    }

    fn apply(instruction: Instruction, operands: &[Bounded]) -> Bounded {
        use Instruction::*;
        let mut values = [0.0; 3];
        operands.iter().zip(&mut values).for_each(|(operand, value)| *value = operand.value);
        let value = Reals::apply(instruction, &values[..operands.len()]);
        match (instruction, operands) {
            (Add | Subtract, [a, b]) => Bounded::rounded(value, a.error + b.error),
            (Multiply, [a, b]) => Bounded::rounded(value, product_error(*a, *b)),
            (FusedMultiplyAdd, [a, b, c]) => Self::fma(*a, *b, *c),
            (Divide, [a, b]) => {
                let below = b.value.abs() - b.error;
                let inherited = if below > 0.0 { (a.error + value.abs() * b.error) / below } else { f64::INFINITY };
                Bounded::rounded(value, inherited)
            }
            (SquareRoot, [a]) => Bounded::rounded(value, a.spread(|x| x.max(0.0).sqrt())),
            (Negate | Absolute, [a]) => Bounded { value, error: a.error },
            (Maximum | Minimum, [a, b]) => Bounded { value, error: a.error.max(b.error) },
            (Floor | Ceiling | Truncate | RoundEven | ToInteger, [a]) => {
                Bounded { value, error: a.spread(|x| Reals::apply(instruction, &[x])) }
            }
            (FromInteger, [a]) => Bounded::rounded(value, a.error),
            (Less | LessEqual | Equal, [a, b]) => Bounded::truth(value, a.apart(*b)),
            (Ordered, _) => Bounded::exact(value),
            (Select, [mask, a, b]) => {
                let chosen = if mask.value != 0.0 { a.error } else { b.error };
                let other = a.error.max(b.error) + (a.value - b.value).abs();
                Bounded { value, error: if mask.error > 0.0 { other } else { chosen } }
            }
            (And | Or | ExclusiveOr, [a, b]) => Bounded::truth(value, a.error == 0.0 && b.error == 0.0),
            (
                IntegerAdd | IntegerSubtract | IntegerMultiply | ShiftLeft | ShiftRight | ShiftRightSigned
                | IntegerLess | IntegerEqual,
                _,
            ) => unreachable!("instructions on bits stand only inside functions"),
            (
                Add | Subtract | Multiply | Divide | FusedMultiplyAdd | SquareRoot | Negate | Absolute | Maximum
                | Minimum | Floor | Ceiling | Truncate | RoundEven | ToInteger | FromInteger | Less | LessEqual | Equal
                | Select | And | Or | ExclusiveOr,
                operands,
            ) => unreachable!("{} operands of {}", operands.len(), instruction.text()),
        }
    }

    fn call(function: Function, operands: &[Bounded]) -> Bounded {
        let values: Vec<f64> = operands.iter().map(|operand| operand.value).collect();
        let value = function.real(&values);
        let inherited: f64 = (operands.iter().enumerate())
            .map(|(at, operand)| {
                operand.spread(|x| {
                    let mut moved = values.clone();
                    moved[at] = x;
                    function.real(&moved)
                })
            })
            .sum();
        // A unit in the last place is up to twice the unit roundoff twice over.
        let own = function.worst_error_ulp() * 2.0 * UNIT * (value.abs() + inherited) + 2.0 * HALF_DENORMAL;
        Bounded { value, error: inherited + own }
    }

    #[inline(always)]
    fn fma(a: Bounded, b: Bounded, c: Bounded) -> Bounded {
        Bounded::rounded(a.value * b.value + c.value, product_error(a, b) + c.error)
    }
}

#[inline(always)]
fn product_error(a: Bounded, b: Bounded) -> f64 {
    a.value.abs() * b.error + b.value.abs() * a.error + a.error * b.error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, error: f64) -> Bounded {
        Bounded { value, error }
    }

    #[test]
    fn a_sum_is_bounded_by_its_partial_sums() {
        let terms = [1.0, 1e-3, -0.5, 2.0_f64.powi(-30)];
        let sum = terms.iter().fold(near(0.0, 0.0), |sum, term| Bounds::fma(near(*term, 0.0), near(1.0, 0.0), sum));
        let (mut partial, mut bound) = (0.0, 0.0);
        for term in terms {
            partial += term;
            bound += UNIT * partial.abs();
        }
        assert_eq!(sum.value, partial);
        assert!(sum.error >= bound && sum.error < bound * 1.000_001, "{} for {bound}", sum.error);
    }

    #[test]
    fn what_an_error_can_turn_is_uncertain() {
        let less = |a, b| Bounds::apply(Instruction::Less, &[a, b]);
        assert_eq!(less(near(1.0, 0.1), near(2.0, 0.1)), near(1.0, 0.0));
        assert_eq!(less(near(1.0, 0.6), near(2.0, 0.6)), near(1.0, 1.0));
        assert_eq!(less(near(1.0, 0.0), near(1.0, 0.0)), near(0.0, 0.0));
        let select = |mask| Bounds::apply(Instruction::Select, &[mask, near(5.0, 0.25), near(7.0, 0.5)]);
        assert_eq!(select(near(1.0, 0.0)), near(5.0, 0.25));
        assert_eq!(select(near(1.0, 1.0)), near(5.0, 2.5));
        assert_eq!(Bounds::apply(Instruction::Floor, &[near(2.9, 0.2)]), near(2.0, 1.0));
        assert_eq!(Bounds::apply(Instruction::Divide, &[near(1.0, 0.0), near(0.1, 0.2)]).error, f64::INFINITY);
    }

    #[test]
    fn storing_adds_half_a_step() {
        let stored = |value, format| Bounds::stored(near(value, 0.25), format);
        assert_eq!(stored(4.0, Format::F16), near(4.0, 0.25 + 1.0 / 512.0));
        assert_eq!(stored(3.0, Format::Bf16), near(3.0, 0.25 + 1.0 / 128.0));
        assert_eq!(stored(3.0, Format::Word), near(3.0, 0.25));
        assert_eq!(stored(65504.0, Format::F16).error, f64::INFINITY);
    }

    #[test]
    fn functions_pass_errors_on() {
        let bounded = Bounds::call(Function::Exponential, &[near(1.0, 1e-3)]);
        let inherited = 1.001_f64.exp() - 1.0_f64.exp();
        assert!(bounded.error > inherited && bounded.error < inherited + 1e-6, "{bounded:?}");
    }
}
