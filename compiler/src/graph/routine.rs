//! Computations whose course depends on the data, such as choosing and sorting detections.
//!
//! Each kind is named here with its parameters; what it computes is defined twice, independently: by the plan's
//! interpreter and by the kernel that carries it out.

use super::{TensorId, View};

/// A data-dependent computation.
#[derive(Clone, Debug, PartialEq)]
pub struct Routine {
    /// The layer it comes from.
    pub name: String,
    /// What it does.
    pub kind: RoutineKind,
    /// What it reads.
    pub reads: Vec<View>,
    /// What it fills; a tensor whose size depends on the data is followed by its extents.
    pub writes: Vec<TensorId>,
}

/// What a routine does.
#[derive(Clone, Debug, PartialEq)]
pub enum RoutineKind {}
