//! The elementary functions: for each its exact meaning, and the instructions that compute it in `f32`.
//!
//! No mathematical library is ever called: every function is a polynomial built from the instruction table, so that its
//! bits are the same on every machine. Must not know tensors, kernels or targets.

use crate::expression::{Expression, NodeId};

/// An elementary function of one or two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// e to the power of the argument.
    Exponential,
}

impl Function {
    /// The name in printed plans.
    pub fn text(self) -> &'static str {
        match self {
            Self::Exponential => "exp",
        }
    }

    /// How many arguments it takes.
    pub fn arity(self) -> usize {
        match self {
            Self::Exponential => 1,
        }
    }

    /// The function in double precision.
    pub fn real(self, arguments: &[f64]) -> f64 {
        match self {
            Self::Exponential => arguments[0].exp(),
        }
    }

    /// Adds the instructions that compute it to `e`.
    pub fn expand(self, _e: &mut Expression, _arguments: &[NodeId]) -> NodeId {
        todo!()
    }
}
