//! The elementary functions: for each its exact meaning, and the instructions that compute it in `f32`.
//!
//! No mathematical library is ever called: every function is a polynomial built from the instruction table, so that its
//! bits are the same on every machine. Coefficients come from `compiler/docs/minimax.py`. Must not know tensors, kernels
//! or targets.

mod activation;
mod compensation;
pub(crate) mod double;
mod error;
pub(crate) mod exponential;
mod hyperbolic;
mod inverse;
pub(crate) mod logarithm;
mod power;
mod real;
mod remainder;
mod trigonometric;

use crate::expression::{Expression, NodeId};

/// Declares the functions from rows `Name "text" (arguments) => double-precision meaning, expansion, worst error in ulp`.
macro_rules! functions {
    ($($(#[doc = $doc:literal])+ $Name:ident $text:literal ($($argument:ident),*) => $real:expr, $expand:path, $bound:literal;)*) => {
        /// An elementary function of one or two arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Function { $($(#[doc = $doc])+ $Name,)* }

        impl Function {
            /// Every function, in the table's order.
            pub const ALL: &'static [Function] = &[$(Self::$Name,)*];

            /// The name in printed plans.
            pub fn text(self) -> &'static str {
                match self { $(Self::$Name => $text,)* }
            }

            /// What it is, in words.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$Name => concat!($($doc),+).trim_start(),)* }
            }

            /// How many arguments it takes.
            pub fn arity(self) -> usize {
                match self { $(Self::$Name => [$(stringify!($argument)),*].len(),)* }
            }

            /// The function in double precision.
            pub fn real(self, arguments: &[f64]) -> f64 {
                match self { $(Self::$Name => {
                    let [$($argument),*] = arguments.try_into().expect("as many arguments as the function takes");
                    $real
                })* }
            }

            /// Adds the instructions that compute it to `e`.
            pub fn expand(self, e: &mut Expression, arguments: &[NodeId]) -> NodeId {
                match self { $(Self::$Name => {
                    let [$($argument),*] = arguments.try_into().expect("as many arguments as the function takes");
                    $expand(e, $($argument),*)
                })* }
            }

            /// No result is further than this from the true one, in units of the last place of the true one.
            pub fn worst_error_ulp(self) -> f64 {
                match self { $(Self::$Name => $bound,)* }
            }
        }
    };
}

functions! {
    /// e to the power of the argument.
    Exponential "exp" (x) => x.exp(), exponential::exponential, 1.0;
    /// `exp(x) - 1`.
    ExponentialMinusOne "expm1" (x) => x.exp_m1(), exponential::exponential_minus_one, 1.0;
    /// The natural logarithm.
    Logarithm "log" (x) => x.ln(), logarithm::logarithm, 1.0;
    /// `log(1 + x)`.
    LogarithmOnePlus "log1p" (x) => x.ln_1p(), logarithm::logarithm_one_plus, 1.0;
    /// The decimal logarithm.
    LogarithmTen "log10" (x) => x.log10(), logarithm::logarithm_ten, 1.0;
    /// The sine of radians.
    Sine "sin" (x) => x.sin(), trigonometric::sine, 1.0;
    /// The cosine of radians.
    Cosine "cos" (x) => x.cos(), trigonometric::cosine, 1.0;
    /// The tangent of radians.
    Tangent "tan" (x) => x.tan(), trigonometric::tangent, 1.0;
    /// The inverse sine, in radians.
    ArcSine "asin" (x) => x.asin(), inverse::arc_sine, 1.0;
    /// The inverse cosine, in radians.
    ArcCosine "acos" (x) => x.acos(), inverse::arc_cosine, 1.0;
    /// The inverse tangent, in radians.
    ArcTangent "atan" (x) => x.atan(), inverse::arc_tangent, 1.0;
    /// The hyperbolic sine.
    HyperbolicSine "sinh" (x) => x.sinh(), hyperbolic::sine, 1.0;
    /// The hyperbolic cosine.
    HyperbolicCosine "cosh" (x) => x.cosh(), hyperbolic::cosine, 1.0;
    /// The hyperbolic tangent.
    HyperbolicTangent "tanh" (x) => x.tanh(), hyperbolic::tangent, 1.0;
    /// The inverse hyperbolic sine.
    AreaSine "asinh" (x) => x.asinh(), logarithm::area_sine, 1.0;
    /// The inverse hyperbolic cosine.
    AreaCosine "acosh" (x) => real::area_cosine(x), logarithm::area_cosine, 1.0;
    /// The inverse hyperbolic tangent.
    AreaTangent "atanh" (x) => x.atanh(), logarithm::area_tangent, 1.0;
    /// The error function.
    ErrorFunction "erf" (x) => real::error_function(x), error::error_function, 1.0;
    /// `1 / (1 + exp(-x))`.
    Sigmoid "sigmoid" (x) => 1.0 / (1.0 + (-x).exp()), exponential::sigmoid, 1.0;
    /// `log(1 + exp(x))`.
    Softplus "softplus" (x) => x.max(0.0) + (-x.abs()).exp().ln_1p(), logarithm::softplus, 1.0;
    /// `x tanh(softplus(x))`.
    Mish "mish" (x) => real::mish(x), activation::mish, 1.0;
    /// `x / 2 erfc(-x / sqrt(2))`: x times the normal distribution up to x.
    Gelu "gelu" (x) => real::gelu(x), activation::gelu, 1.5;
    /// -1, 0 or 1, by the sign; zeros and NaN as themselves.
    Sign "sign" (x) => if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x }, remainder::sign, 0.0;
    /// x to the power of y, with the special cases of C's `pow`.
    Power "pow" (x, y) => x.powf(y), power::power, 1.0;
    /// The angle of the point (second argument, first argument) from the first axis, in radians, as C's `atan2`.
    ArcTangentOfTwo "atan2" (y, x) => y.atan2(x), inverse::arc_tangent_of_two, 1.0;
    /// What x leaves when divided by y, the quotient rounded towards zero, as C's `fmod`; exact.
    Modulo "fmod" (x, y) => x % y, remainder::modulo, 0.0;
    /// What x leaves when divided by y, the quotient rounded to nearest even, as C's `remainder`; exact.
    Remainder "remainder" (x, y) => real::remainder(x, y), remainder::remainder, 0.0;
    /// `log(exp(x) + exp(y))`; the bound is in units in the last place of the greater argument where the result is
    /// smaller.
    LogarithmOfSum "logaddexp" (x, y) => real::logarithm_of_sum(x, y), logarithm::logarithm_of_sum, 2.0;
    /// The argument, rounded to a word where it has two.
    Rounded "rounded" (x) => x, compensation::rounded, 0.0;
    /// What rounding to a word takes from the argument; zero where the argument is a word or a real number.
    Rest "rest" (x) => if x.is_nan() { x } else { 0.0 }, compensation::rest, 0.0;
    /// The sum of a word and its rest, as the two words of one number.
    Joined "joined" (x, rest) => x + rest, compensation::joined, 1.0;
}

/// 1.5 * 2^23. Added to a number of moderate size, it leaves the nearest integer in the low bits of the sum; subtracted
/// again, that integer as a float.
pub(crate) const ROUNDING: f32 = 12_582_912.0;

pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 to the nearest float, and the rest.
pub(crate) const LN_2: f32 = std::f32::consts::LN_2;
pub(crate) const LN_2_REST: f32 = -1.904_654_3e-9;

/// `coefficients[0] + coefficients[1] x + ...`, by Horner's rule.
pub(crate) fn polynomial(e: &mut Expression, x: NodeId, coefficients: &[f32]) -> NodeId {
    let (highest, lower) = coefficients.split_last().expect("a polynomial has coefficients");
    let start = e.constant(*highest);
    lower.iter().rev().fold(start, |sum, coefficient| {
        let coefficient = e.constant(*coefficient);
        e.fma(sum, x, coefficient)
    })
}

/// The magnitude of `magnitude` (a positive number or NaN) with the sign of `sign`.
fn with_sign_of(e: &mut Expression, magnitude: NodeId, sign: NodeId) -> NodeId {
    let sign_bit = e.bits(0x8000_0000);
    let sign = e.and(sign, sign_bit);
    e.or(magnitude, sign)
}

/// Whether `|x| < limit`; not where x is NaN.
pub(crate) fn magnitude_below(e: &mut Expression, x: NodeId, limit: f32) -> NodeId {
    let magnitude = e.abs(x);
    let limit = e.constant(limit);
    e.less(magnitude, limit)
}

#[cfg(test)]
mod tests;
