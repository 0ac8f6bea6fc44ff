//! A nest: parallel loops around at most one reduction, every access an affine or tabulated function of the loops.
//!
//! Convolutions, products, element-wise maps, reductions and movements of data are all nests. They differ in which
//! parts are present, not in kind, so that one interpreter and one scheduler serve them all.

use super::TensorId;
use crate::expression::{Expression, Node, NodeId};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A loop of a nest: parallel loops come first, those of the reduction after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AxisId(pub usize);

/// A loop: its name in printed nests (`oc`, `y`, `k`) and how often it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// What it counts.
    pub name: &'static str,
    /// Number of iterations, at least one.
    pub extent: usize,
}

/// Loops over a shape, named as the field names the axes of a tensor of that rank.
pub fn axes(shape: &[usize]) -> Vec<Axis> {
    const NAMES: [&[&str]; 5] = [&[], &["x"], &["y", "x"], &["c", "y", "x"], &["c", "z", "y", "x"]];
    let name = |i: usize| NAMES.get(shape.len()).map_or("i", |names| names[i]);
    shape.iter().enumerate().map(|(i, extent)| Axis { name: name(i), extent: *extent }).collect()
}

/// `for parallel axes { reduced = reduction; write = store(reads, reduced) }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Nest {
    /// The layer it comes from.
    pub name: String,
    /// Loops whose iterations are independent.
    pub parallel: Vec<Axis>,
    /// What is accumulated in each iteration of the parallel loops.
    pub reduction: Option<Reduction>,
    /// What is read. Operand `i` of every expression is `reads[i]`.
    pub reads: Vec<Access>,
    /// What is stored. Operand `reads.len()` is the reduction's result. Its reads use parallel axes only.
    pub store: Expression,
    /// Where it is stored: parallel axes only, never outside, never the same element twice.
    pub write: Access,
}

/// A value accumulated over loops.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduction {
    /// The loops, outermost first. Their ids follow those of the parallel axes.
    pub axes: Vec<Axis>,
    /// How terms come together.
    pub combine: Combine,
    /// What accumulation starts from; its reads use parallel axes only. For every `combine` but
    /// [`Combine::FusedSum`] it must be neutral, so that accumulation can start in several places at once.
    pub start: Expression,
    /// The term of one iteration: one result, or the two factors of [`Combine::FusedSum`].
    pub term: Expression,
}

/// How a reduction combines the next term with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Combine {
    /// `fma(first factor, second factor, sum)`: contractions.
    FusedSum,
    /// `sum + term`.
    Sum,
    /// `product * term`.
    Product,
    /// `max(term, largest)` of the instruction table: a NaN term leaves what there was.
    Maximum,
    /// `min(term, smallest)` of the instruction table: a NaN term leaves what there was.
    Minimum,
}

/// An element of a tensor as a function of the loops.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Whose element.
    pub tensor: TensorId,
    /// The shape in which the tensor is indexed; as many elements as it has, row-major.
    pub shape: Vec<usize>,
    /// One index for each axis of `shape`.
    pub index: Vec<Index>,
    /// What an index beyond the shape means.
    pub outside: Outside,
}

/// What an access finds beyond the tensor's edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outside {
    /// It doesn't happen; the verifier shows it.
    Never,
    /// This value, as the bits of a word; reads only.
    Value(u32),
}

/// A sum of functions of single axes, plus a constant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Index {
    /// At most one term for an axis.
    pub terms: Vec<Term>,
    /// Added to the sum of the terms.
    pub offset: i64,
}

/// What one axis contributes to an index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// The axis.
    pub axis: AxisId,
    /// Its contribution.
    pub factor: Factor,
}

/// A function of one axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Factor {
    /// The axis times this.
    Stride(i64),
    /// The entry for the axis; one for each iteration.
    Table(Arc<[i64]>),
}

impl Factor {
    /// The contribution in iteration `i`.
    pub fn at(&self, i: usize) -> i64 {
        match self {
            Self::Stride(stride) => stride * i as i64,
            Self::Table(table) => table[i],
        }
    }
}

impl Index {
    /// A fixed position.
    pub fn constant(offset: i64) -> Self {
        Self { terms: Vec::new(), offset }
    }

    /// The axis itself.
    pub fn axis(axis: usize) -> Self {
        Self::constant(0).plus(axis, 1)
    }

    /// The table's entry for the axis.
    pub fn table(axis: usize, table: impl Into<Arc<[i64]>>) -> Self {
        Self { terms: vec![Term { axis: AxisId(axis), factor: Factor::Table(table.into()) }], offset: 0 }
    }

    /// This and `stride` times another axis.
    pub fn plus(mut self, axis: usize, stride: i64) -> Self {
        self.terms.push(Term { axis: AxisId(axis), factor: Factor::Stride(stride) });
        self
    }

    /// This, moved by `offset`.
    pub fn moved(mut self, offset: i64) -> Self {
        self.offset += offset;
        self
    }

    /// From the least to the greatest value, where the loops have these extents.
    pub fn range(&self, extents: &[usize]) -> RangeInclusive<i64> {
        let ends = self.terms.iter().map(|term| match &term.factor {
            Factor::Stride(stride) => {
                let last = stride.saturating_mul(extents[term.axis.0] as i64 - 1);
                (last.min(0), last.max(0))
            }
            Factor::Table(table) => {
                (table.iter().copied().min().unwrap_or(0), table.iter().copied().max().unwrap_or(0))
            }
        });
        let (first, last) = ends.fold((self.offset, self.offset), |(first, last), (least, most)| {
            (first.saturating_add(least), last.saturating_add(most))
        });
        first..=last
    }

    /// The value in one iteration of all loops.
    pub fn at(&self, iteration: &[usize]) -> i64 {
        self.offset + self.terms.iter().map(|term| term.factor.at(iteration[term.axis.0])).sum::<i64>()
    }
}

impl Access {
    /// An element of a tensor in its own or another shape, never outside.
    pub fn new(tensor: TensorId, shape: &[usize], index: Vec<Index>) -> Self {
        debug_assert_eq!(shape.len(), index.len());
        Self { tensor, shape: shape.to_vec(), index, outside: Outside::Never }
    }

    /// The same, with a value for what lies outside.
    pub fn or(self, value: f32) -> Self {
        Self { outside: Outside::Value(value.to_bits()), ..self }
    }

    /// The element's row-major position in one iteration of all loops, or `None` outside.
    pub fn position(&self, iteration: &[usize]) -> Option<usize> {
        let mut position = 0;
        for (index, extent) in self.index.iter().zip(&self.shape) {
            let at = usize::try_from(index.at(iteration)).ok().filter(|at| at < extent)?;
            position = position * extent + at;
        }
        Some(position)
    }

    /// The loops it moves with, ascending.
    pub fn loops(&self) -> BTreeSet<usize> {
        self.index.iter().flat_map(|index| &index.terms).map(|term| term.axis.0).collect()
    }
}

impl Nest {
    /// All loops in the order of their ids.
    pub fn axes(&self) -> impl Iterator<Item = &Axis> + Clone {
        self.parallel.iter().chain(self.reduction.iter().flat_map(|reduction| &reduction.axes))
    }

    /// Calls `visit` in every iteration of some loops, the last of them fastest, with the iteration of all loops; the others
    /// are where `iteration` has them.
    pub fn each_iteration(&self, loops: &[usize], iteration: &mut [usize], mut visit: impl FnMut(&mut [usize])) {
        let all: Vec<usize> = self.axes().map(|axis| axis.extent).collect();
        loops.iter().for_each(|axis| iteration[*axis] = 0);
        for _ in 0..loops.iter().map(|axis| all[*axis]).product() {
            visit(iteration);
            for axis in loops.iter().rev() {
                iteration[*axis] = (iteration[*axis] + 1) % all[*axis];
                if iteration[*axis] > 0 {
                    break;
                }
            }
        }
    }

    /// The operand under which `store` finds the reduction's result.
    pub fn reduced(&self) -> usize {
        self.reads.len()
    }

    /// The reads whose products are summed, where the nest is a contraction of what is read.
    pub fn factors(&self) -> Option<[usize; 2]> {
        let term = &self.reduction.as_ref().filter(|reduction| reduction.combine == Combine::FusedSum)?.term;
        let factor = |id: NodeId| match term.nodes[id.0 as usize] {
            Node::Read(operand) => Some(operand),
            Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
        };
        let [first, second] = term.results[..] else { return None };
        Some([factor(first)?, factor(second)?])
    }

    /// Multiply-adds, where the nest is a contraction.
    pub fn macs(&self) -> u64 {
        match &self.reduction {
            Some(reduction) if reduction.combine == Combine::FusedSum => {
                self.axes().map(|axis| axis.extent as u64).product()
            }
            Some(_) | None => 0,
        }
    }
}
