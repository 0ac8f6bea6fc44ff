//! Numbers in two words: a float, and a second one for what the first could not hold.
//!
//! Error-free sums and products after Dekker and Knuth (Muller and others, Handbook of Floating-Point Arithmetic,
//! chapter 4); with fused multiply-adds the products are cheap.

use crate::expression::{Expression, NodeId};

/// `high + low`, the low word at most about a unit in the last place of the high one.
#[derive(Clone, Copy)]
pub(crate) struct Double {
    pub(crate) high: NodeId,
    pub(crate) low: NodeId,
}

/// `a + b` exactly, whatever their sizes.
pub(crate) fn sum(e: &mut Expression, a: NodeId, b: NodeId) -> Double {
    let high = e.add(a, b);
    let b_part = e.sub(high, a);
    let a_part = e.sub(high, b_part);
    let a_rest = e.sub(a, a_part);
    let b_rest = e.sub(b, b_part);
    Double { high, low: e.add(a_rest, b_rest) }
}

/// `a + b` exactly, when `a` is zero or its exponent is not below that of `b`.
pub(crate) fn ordered_sum(e: &mut Expression, a: NodeId, b: NodeId) -> Double {
    let high = e.add(a, b);
    let back = e.sub(high, a);
    Double { high, low: e.sub(b, back) }
}

/// `a * b` exactly.
pub(crate) fn product(e: &mut Expression, a: NodeId, b: NodeId) -> Double {
    let high = e.mul(a, b);
    let minus = e.neg(high);
    Double { high, low: e.fma(a, b, minus) }
}

/// `a + b c` exactly, when `a` is zero or its exponent is not below that of `b c`, and that of `a` less the sum holds.
pub(crate) fn ordered_fma(e: &mut Expression, b: NodeId, c: NodeId, a: NodeId) -> Double {
    let high = e.fma(b, c, a);
    let rest = e.sub(a, high);
    Double { high, low: e.fma(b, c, rest) }
}

impl Double {
    /// The nearest float.
    pub(crate) fn rounded(self, e: &mut Expression) -> NodeId {
        e.add(self.high, self.low)
    }

    /// `self * other`, to about 2^-46.
    pub(crate) fn times(self, e: &mut Expression, other: Double) -> Double {
        let Double { high, low } = product(e, self.high, other.high);
        let low = e.fma(self.high, other.low, low);
        Double { high, low: e.fma(self.low, other.high, low) }
    }

    /// `self / other`, to about 2^-46; the low word is only an estimate when the quotient is denormal.
    pub(crate) fn over(self, e: &mut Expression, other: Double) -> Double {
        let high = e.div(self.high, other.high);
        let minus = e.neg(high);
        let rest = e.fma(minus, other.high, self.high);
        let rest = e.add(rest, self.low);
        let rest = e.fma(minus, other.low, rest);
        Double { high, low: e.div(rest, other.high) }
    }

    /// The square root, to about 2^-46; zero for zero.
    pub(crate) fn square_root(self, e: &mut Expression) -> Double {
        let high = e.sqrt(self.high);
        let minus = e.neg(high);
        let rest = e.fma(minus, high, self.high);
        let rest = e.add(rest, self.low);
        let twice = e.add(high, high);
        // The rest of zero is zero, whatever it is divided by.
        let tiny = e.constant(1e-30);
        let twice = e.max(tiny, twice);
        Double { high, low: e.div(rest, twice) }
    }
}
