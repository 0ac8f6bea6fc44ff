//! The network as mathematics: tensors with shapes, and nests of loops that fill them.
//!
//! Owns what is computed from what. Must not know ncnn's layer types and parameter ids, the order of sums, the memory
//! layout of tensors, or targets. Sums here are sums of real numbers; the plan fixes their order.

mod nest;
mod print;
mod routine;
mod verify;

pub use nest::{Access, Axis, AxisId, Combine, Factor, Index, Nest, Outside, Reduction, Term, axes};
pub use routine::{Crop, CustomFunction, Detections, Routine, RoutineKind, Ties};

use crate::mode::Mode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A tensor of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// What the 32-bit words of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE-754 single precision.
    F32,
    /// Two's complement integers.
    I32,
}

/// Where a tensor's values come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The caller, at run time.
    Input,
    /// The model: exact values, row-major, as words.
    Constant(Arc<[u32]>),
    /// One or more operations.
    Computed,
}

/// A tensor: values under a name, in row-major order, outermost axis first.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The blob's name, or one derived from it; unique in the graph.
    pub name: String,
    /// Extents, outermost first: `[channels, height, width]` for an image. Never empty, none is zero.
    pub shape: Vec<usize>,
    /// What a word is.
    pub element: Element,
    /// Where the values come from.
    pub source: Source,
    /// The layer that it is an output of; none for what the caller gives, constants, and what stays inside a layer.
    pub layer: Option<String>,
}

impl Tensor {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A tensor seen in a shape: the same elements in row-major order. Reshaping costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Whose elements.
    pub tensor: TensorId,
    /// In which shape.
    pub shape: Vec<usize>,
    /// For values whose size depends on the data: an `I32` tensor with one extent for each axis of `shape`, which is
    /// then the capacity. The elements lie densely in the actual shape.
    pub extents: Option<TensorId>,
}

/// What the caller gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The blob's name.
    pub name: String,
    /// Its value.
    pub view: View,
}

/// One step of the computation.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Loops whose iterations are known now.
    Nest(Nest),
    /// A computation whose course depends on the data.
    Routine(Routine),
}

impl Operation {
    /// The name of the layer it comes from.
    pub fn name(&self) -> &str {
        match self {
            Self::Nest(nest) => &nest.name,
            Self::Routine(routine) => &routine.name,
        }
    }

    /// Multiply-adds, where it is a contraction.
    pub fn macs(&self) -> u64 {
        match self {
            Self::Nest(nest) => nest.macs(),
            Self::Routine(_) => 0,
        }
    }

    /// The tensors it reads.
    pub fn reads(&self) -> Vec<TensorId> {
        match self {
            Self::Nest(nest) => nest.reads.iter().map(|access| access.tensor).collect(),
            Self::Routine(routine) => {
                routine.reads.iter().flat_map(|view| std::iter::once(view.tensor).chain(view.extents)).collect()
            }
        }
    }

    /// The tensors it writes.
    pub fn writes(&self) -> Vec<TensorId> {
        match self {
            Self::Nest(nest) => vec![nest.write.tensor],
            Self::Routine(routine) => routine.writes.clone(),
        }
    }
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Every tensor.
    pub tensors: Vec<Tensor>,
    /// Every operation, in an order in which each finds its operands ready.
    pub operations: Vec<Operation>,
    /// What the caller gives, in order.
    pub inputs: Vec<TensorId>,
    /// What the caller gets, in order.
    pub outputs: Vec<Output>,
    /// Layers that the model wants computed by their definitions, term by term.
    pub by_definition: BTreeSet<String>,
    /// Layers of which the user wants more than that they be fast. Where arithmetic is compensated, expressions keep what
    /// rounding takes until a value is marked as [rounded](crate::function::Function::Rounded).
    pub modes: BTreeMap<String, Mode>,
}

impl Graph {
    /// Adds a tensor under a name made unique if need be.
    pub fn add_tensor(&mut self, name: &str, shape: &[usize], element: Element, source: Source) -> TensorId {
        debug_assert!(!shape.is_empty() && shape.iter().all(|extent| *extent > 0), "{name}: {shape:?}");
        let taken = |candidate: &str| self.tensors.iter().any(|tensor| tensor.name == candidate);
        let mut unique = name.to_string();
        let mut copy = 2;
        while taken(&unique) {
            unique = format!("{name}.{copy}");
            copy += 1;
        }
        self.tensors.push(Tensor { name: unique, shape: shape.to_vec(), element, source, layer: None });
        TensorId(self.tensors.len() - 1)
    }

    /// Whether a nest's arithmetic is compensated.
    pub fn is_compensated(&self, nest: &Nest) -> bool {
        self.mode_of(&nest.name) == Mode::Compensated
    }

    /// What the user lets the compiler do in the layer of this name.
    pub fn mode_of(&self, layer: &str) -> Mode {
        self.modes.get(layer).copied().unwrap_or_default()
    }

    /// The tensor behind an id.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The words of a tensor that is a constant.
    pub fn constant(&self, id: TensorId) -> Option<&Arc<[u32]>> {
        match &self.tensor(id).source {
            Source::Constant(words) => Some(words),
            Source::Input | Source::Computed => None,
        }
    }

    /// The whole of a tensor in its own shape.
    pub fn view(&self, id: TensorId) -> View {
        View { tensor: id, shape: self.tensor(id).shape.clone(), extents: None }
    }
}
