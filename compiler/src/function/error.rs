//! The error function.

use super::power::EXP2;
use super::{ROUNDING, polynomial, with_sign_of};
use crate::expression::{Expression, NodeId};

/// Where [`error_function`] changes from one formula to the other.
const BORDER: f32 = 0.95;
/// `erf(x) = x + x p(x^2)` for `|x| <= 0.95`, to 2^-29.9.
const ERF_SMALL: [f32; 7] =
    [0.128_379_17, -0.376_126_3, 0.112_836_25, -0.026_855_668, 0.005_192_228, -0.000_804_782_1, 0.000_079_894_715];
/// `erfc(x) = 2^(x p(x))` for `0.95 <= x <= 3.95`, to 2^-30.2 of erf.
const ERFC_EXPONENT: [f32; 7] =
    [-1.628_325_2, -0.916_209_9, -0.153_464_59, 0.034_450_516, -0.005_334_6, 0.000_485_224_9, -0.000_018_146_93];

/// `erf(x)`: a polynomial near 0, `1 - 2^(x p(x))` beyond.
pub(super) fn error_function(e: &mut Expression, x: NodeId) -> NodeId {
    let one = e.constant(1.0);
    let magnitude = e.abs(x);
    let square = e.mul(x, x);
    let p = polynomial(e, square, &ERF_SMALL);
    let small = e.fma(x, p, x);

    // From 3.92 on the result rounds to 1.
    let limit = e.constant(3.95);
    let limited = e.min(limit, magnitude);
    let p = polynomial(e, limited, &ERFC_EXPONENT);
    // 127 is the exponent bias; the 256 above it sets the sign, so that the power comes out negative.
    let rounding = e.constant(ROUNDING + 127.0 + 256.0);
    let shifted = e.fma(limited, p, rounding);
    let minus_n = e.sub(rounding, shifted);
    let fraction = e.fma(limited, p, minus_n);
    let q = polynomial(e, fraction, &EXP2);
    let mantissa = e.fma(fraction, q, one);
    let exponent = e.bits(23);
    let minus_power = e.shift_left(shifted, exponent);
    let large = e.fma(minus_power, mantissa, one);
    let large = with_sign_of(e, large, x);

    let border = e.constant(BORDER);
    let is_small = e.less(magnitude, border);
    e.select(is_small, small, large)
}
