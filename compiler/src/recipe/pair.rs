//! Arithmetic on unevaluated sums of two floats.
//!
//! The high word follows what single words would compute; the low word has what rounding took. Where a number is infinite
//! or not a number the low word means nothing, and rounding leaves it out. (Ogita, Rump and Oishi, "Accurate sum and dot
//! product", 2005; Muller and others, Handbook of Floating-Point Arithmetic, chapters 4 and 5.)

use crate::expression::{Expression, NodeId};
use crate::function::double::{self, Double};

/// How much the words of a pair say by themselves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// The low word may be of any size.
    Loose,
    /// The high word is the nearest float to the sum.
    Nearest,
    /// So it is, and the low word is zero where the high one is not finite.
    Clean,
}

/// A number in two words.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub high: NodeId,
    pub low: NodeId,
    form: Form,
}

impl Pair {
    /// Two words of which nothing is known but their sum.
    pub fn loose(Double { high, low }: Double) -> Self {
        Self { high, low, form: Form::Loose }
    }

    /// Two words of which the high one is the nearest float to their sum.
    pub fn nearest(Double { high, low }: Double) -> Self {
        Self { high, low, form: Form::Nearest }
    }

    /// A float.
    pub fn exact(e: &mut Expression, high: NodeId) -> Self {
        Self { high, low: e.constant(0.0), form: Form::Clean }
    }

    pub fn words(self) -> Double {
        Double { high: self.high, low: self.low }
    }

    /// The nearest float.
    pub fn rounded(self, e: &mut Expression) -> NodeId {
        match self.form {
            Form::Loose => self.clean(e).high,
            Form::Nearest | Form::Clean => self.high,
        }
    }

    /// The same number with the nearest float as its high word, and a low word of zero beside what is not finite.
    pub fn clean(self, e: &mut Expression) -> Self {
        let (high, low) = match self.form {
            Form::Clean => return self,
            Form::Nearest => (self.high, self.low),
            Form::Loose => {
                // Minus zero is what changes no high word, not even a zero.
                let [zero, minus_zero] = [0.0, -0.0].map(|c| e.constant(c));
                let size = e.abs(self.low);
                let is_there = e.less(zero, size);
                let is_finite = finite(e, self.low);
                let means = e.and(is_there, is_finite);
                let low = e.select(means, self.low, minus_zero);
                let high = e.add(self.high, low);
                let back = e.sub(high, self.high);
                (high, e.sub(low, back))
            }
        };
        let is_finite = finite(e, low);
        Self { high, low: e.and(is_finite, low), form: Form::Clean }
    }

    pub fn negated(self, e: &mut Expression) -> Self {
        Self { high: e.neg(self.high), low: e.neg(self.low), form: self.form }
    }

    /// `mask ? self : other`.
    pub fn or(self, e: &mut Expression, mask: NodeId, other: Self) -> Self {
        let (high, low) = (e.select(mask, self.high, other.high), e.select(mask, self.low, other.low));
        Self { high, low, form: self.form.min(other.form) }
    }

    pub fn magnitude(self, e: &mut Expression) -> Self {
        let number = self.clean(e);
        let zero = e.constant(0.0);
        let is_negative = e.less(number.high, zero);
        let minus = e.neg(number.low);
        Self { high: e.abs(number.high), low: e.select(is_negative, minus, number.low), form: Form::Clean }
    }

    pub fn plus(self, e: &mut Expression, other: Self) -> Self {
        let Double { high, low } = double::sum(e, self.high, other.high);
        let lows = e.add(self.low, other.low);
        Self::loose(Double { high, low: e.add(low, lows) })
    }

    /// The sum with a float.
    pub fn plus_word(self, e: &mut Expression, other: NodeId) -> Self {
        let Double { high, low } = double::sum(e, self.high, other);
        Self::loose(Double { high, low: e.add(self.low, low) })
    }

    /// The product with a float.
    pub fn times_word(self, e: &mut Expression, other: NodeId) -> Self {
        let Double { high, low } = double::product(e, self.high, other);
        Self::loose(Double { high, low: e.fma(self.low, other, low) })
    }

    pub fn times(self, e: &mut Expression, other: Self) -> Self {
        Self::loose(self.words().times(e, other.words()))
    }

    pub fn over(self, e: &mut Expression, other: Self) -> Self {
        let other = other.clean(e);
        Self::loose(self.words().over(e, other.words()))
    }

    pub fn square_root(self, e: &mut Expression) -> Self {
        let number = self.clean(e);
        Self::loose(number.words().square_root(e))
    }

    /// The nearest integer below, exactly.
    pub fn floor(self, e: &mut Expression) -> Self {
        let number = self.clean(e);
        let high = e.floor(number.high);
        let low = e.floor(number.low);
        let is_whole = e.equal(high, number.high);
        Self::loose(Double { high, low: e.and(is_whole, low) })
    }

    /// Whether this is less than, or equal to, another number.
    pub fn compared(self, e: &mut Expression, other: Self, order: Order) -> NodeId {
        let (a, b) = (self.clean(e), other.clean(e));
        let are_equal = e.equal(a.high, b.high);
        let lows = match order {
            Order::Less => e.less(a.low, b.low),
            Order::LessEqual => e.less_equal(a.low, b.low),
            Order::Equal => e.equal(a.low, b.low),
        };
        let by_lows = e.and(are_equal, lows);
        if order == Order::Equal {
            return by_lows;
        }
        let by_highs = e.less(a.high, b.high);
        e.or(by_highs, by_lows)
    }
}

/// What is asked of two numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessEqual,
    Equal,
}

/// Whether a word is a finite number.
pub(super) fn finite(e: &mut Expression, x: NodeId) -> NodeId {
    let infinity = e.constant(f32::INFINITY);
    let size = e.abs(x);
    e.less(size, infinity)
}
