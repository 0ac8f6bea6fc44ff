//! The meaning of every routine, for the interpreters.

use super::arithmetic::Arithmetic;
use crate::graph::{Graph, Routine};

/// Carries out a routine on the values it reads; gives the values of each tensor it writes, whole.
pub(super) fn run<A: Arithmetic>(_: &Graph, routine: &Routine, _: &[Vec<A::Value>]) -> Vec<Vec<A::Value>> {
    match routine.kind {}
}
