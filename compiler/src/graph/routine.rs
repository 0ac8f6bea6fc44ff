//! Computations whose course depends on the data, such as choosing and sorting detections, or on a user's function.
//!
//! Each kind is named here with its parameters; what it computes is defined twice, independently: by the plan's
//! interpreter and by the kernel that carries it out. Only what the user defines has no definition here.

use super::{TensorId, View};
use crate::expression::{Expression, NodeId};

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
pub enum RoutineKind {
    /// Chooses and sorts detections. Reads boxes `[candidates, 4]` (left, top, right, bottom), areas `[candidates]`,
    /// scores `[groups, candidates]`, labels `[groups, 1]` or `[groups, candidates]`; writes rows `[most, 6]` (label,
    /// score, box) and their extents.
    Detections(Detections),
    /// Cuts a box out of a tensor. Reads the tensor and a vector of integers; writes the box, with the tensor's shape
    /// as its capacity, and its extents. Whatever the integers are, the box is first confined to the tensor.
    Crop(Crop),
    /// Calls the function of the user's with this number on everything it reads and everything it writes, and nothing
    /// else: neither its values nor its course are known here.
    Custom(usize),
}

/// The function that computes a layer of the user's: it gets what the layer reads and fills what it writes, dense and
/// row-major, whatever that held before.
pub type CustomFunction<'f> = &'f dyn Fn(&[&[f32]], &mut [&mut [f32]]);

/// How detections are chosen: in each group alone the candidates with a sufficient score, sorted by descending score,
/// each unless it overlaps one chosen before; then those of all groups, sorted by descending score. A score that is NaN
/// is never sufficient. Before each sorting, candidates and groups are in their own order.
#[derive(Clone, Debug, PartialEq)]
pub struct Detections {
    /// Number of groups: 1, or one for each class.
    pub groups: usize,
    /// Number of boxes.
    pub candidates: usize,
    /// The score from which a candidate counts.
    pub threshold: f32,
    /// Whether a score equal to the threshold is sufficient.
    pub inclusive: bool,
    /// The intersection over union above which two boxes overlap.
    pub overlap: f32,
    /// Whether that is decided without a division: `intersection > overlap * union`.
    pub by_product: bool,
    /// Candidates of a group with the best scores that are considered.
    pub most_in_group: usize,
    /// Detections that are kept in all.
    pub most: usize,
    /// In which order equal scores come.
    pub ties: Ties,
}

/// The order of equal scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// As before: for scores that are computed here, so that equal ones need not be equal in ncnn, nor the other way round.
    InOrder,
    /// That in which ncnn's quicksort leaves them (`qsort_descent_inplace`, `src/layer/detectionoutput.cpp`), whose pivot is
    /// the score in the middle, at `(first + last) / 2`: from either end it goes on to the next score that is no larger, or
    /// no smaller, than the pivot, and exchanges the two, until the ends have met. For scores that are read, and so are the
    /// same in ncnn.
    AsQuicksort,
}

/// Where the integers of a crop say what, for each axis of the tensor, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Positions of the first entries along the axes.
    pub offsets: Vec<usize>,
    /// Positions of the numbers of entries along the axes.
    pub sizes: Vec<usize>,
}

impl Detections {
    /// Candidates of one group that can be chosen.
    pub fn chosen_in_group(&self) -> usize {
        self.most_in_group.min(self.candidates)
    }

    /// Rows there can be; at least one, since no tensor is empty.
    pub fn rows(&self) -> usize {
        self.most.min(self.groups * self.chosen_in_group()).max(1)
    }

    /// Whether two boxes overlap, as a mask. Operands: the edges of the first (left, top, right, bottom), those of the
    /// second, the area of the first, that of the second. Boxes that only touch intersect in zero.
    pub fn overlaps(&self) -> Expression {
        Expression::new(|e| {
            let operands: Vec<NodeId> = (0..10).map(|i| e.read(i)).collect();
            let [left, top, right, bottom, other_left, other_top, other_right, other_bottom, area, other_area] =
                operands[..]
            else {
                unreachable!("ten operands")
            };
            let beyond = [
                e.less(other_right, left),
                e.less(right, other_left),
                e.less(other_bottom, top),
                e.less(bottom, other_top),
            ];
            let apart = beyond[1..].iter().fold(beyond[0], |any, one| e.or(any, *one));
            let ends = [e.min(right, other_right), e.min(bottom, other_bottom)];
            let starts = [e.max(left, other_left), e.max(top, other_top)];
            let (width, height) = (e.sub(ends[0], starts[0]), e.sub(ends[1], starts[1]));
            let (zero, common) = (e.constant(0.0), e.mul(width, height));
            let common = e.select(apart, zero, common);
            let both = e.add(area, other_area);
            let union = e.sub(both, common);
            let limit = e.constant(self.overlap);
            if self.by_product {
                let limit = e.mul(limit, union);
                e.less(limit, common)
            } else {
                let quotient = e.div(common, union);
                e.less(limit, quotient)
            }
        })
    }
}
