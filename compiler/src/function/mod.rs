//! The elementary functions: for each its exact meaning, and the instructions that compute it in `f32`.
//!
//! No mathematical library is ever called: every function is a polynomial built from the instruction table, so that its
//! bits are the same on every machine. Coefficients come from `compiler/docs/minimax.py`. Must not know tensors, kernels
//! or targets.

mod error;
mod exponential;
mod hyperbolic;
mod logarithm;
mod real;

use crate::expression::{Expression, NodeId};

/// Declares the functions from rows `Name "text" (arguments) => double-precision meaning, expansion, worst error in ulp`.
macro_rules! functions {
    ($($(#[$doc:meta])* $Name:ident $text:literal ($($argument:ident),*) => $real:expr, $expand:path, $bound:literal;)*) => {
        /// An elementary function of one or two arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Function { $($(#[$doc])* $Name,)* }

        impl Function {
            /// Every function, in the table's order.
            pub const ALL: &'static [Function] = &[$(Self::$Name,)*];

            /// The name in printed plans.
            pub fn text(self) -> &'static str {
                match self { $(Self::$Name => $text,)* }
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
    /// `1 / (1 + exp(-x))`.
    Sigmoid "sigmoid" (x) => 1.0 / (1.0 + (-x).exp()), exponential::sigmoid, 1.0;
    /// The natural logarithm.
    Logarithm "log" (x) => x.ln(), logarithm::logarithm, 1.0;
    /// The hyperbolic tangent.
    HyperbolicTangent "tanh" (x) => x.tanh(), hyperbolic::tangent, 1.0;
    /// The error function.
    ErrorFunction "erf" (x) => real::error_function(x), error::error_function, 1.0;
}

/// 1.5 * 2^23. Added to a number of moderate size, it leaves the nearest integer in the low bits of the sum; subtracted
/// again, that integer as a float.
const ROUNDING: f32 = 12_582_912.0;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 to the nearest float, and the rest.
const LN_2: f32 = std::f32::consts::LN_2;
const LN_2_REST: f32 = -1.904_654_3e-9;

/// `coefficients[0] + coefficients[1] x + ...`, by Horner's rule.
fn polynomial(e: &mut Expression, x: NodeId, coefficients: &[f32]) -> NodeId {
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
