//! Long sums with vectors along the sum: the planned lanes are the lanes of vectors.

use super::frame::{Coordinate, Frame};
use super::generic::{Loops, values, variables};
use crate::expression::Node;
use crate::kernel::{Op, Type, ValueId, VariableId};
use crate::recipe::Sum;

impl Loops {
    /// Whether the terms of a reduction in lanes lie side by side, so that vectors can run along them.
    pub fn terms_run(&self, sum: &Sum) -> bool {
        let axis = self.parallel;
        self.reads.iter().enumerate().all(|(number, read)| {
            let guarded = read.position.guards.iter().any(|guard| guard.axes[axis].iter().any(|step| *step != 0));
            let runs = read.position.runs_along(axis, self.extents[axis], self.extents[axis], 1);
            let read_here = sum.step.nodes.contains(&Node::Read(number));
            !read_here || !read.position.depends_on(axis) || (!guarded && runs)
        })
    }

    /// The sum for one iteration of the parallel loops, as scalars.
    pub fn reduce_along(&self, frame: &mut Frame, sum: &Sum, planned: usize) -> Vec<ValueId> {
        let lanes = frame.builder.lanes();
        let axis = self.parallel;
        let start = frame.expression(Type::Vector, &sum.start, &self.reads, &[], None);
        let sums: Vec<Vec<VariableId>> = (0..planned / lanes).map(|_| variables(frame, Type::Vector, &start)).collect();
        let accumulate = |frame: &mut Frame, at: Coordinate, into: &[VariableId]| {
            frame.coordinates[axis] = at;
            self.accumulate(frame, Type::Vector, Some(axis), sum, into);
        };
        let terms = self.extents[axis];
        let rounds = terms / planned;
        if rounds > 0 {
            frame.repeat(rounds, |frame, round| {
                for (part, into) in sums.iter().enumerate() {
                    accumulate(frame, Coordinate::counted(round, planned, rounds).moved(part * lanes), into);
                }
            });
        }
        let mut done = rounds * planned;
        for into in sums.iter().take((terms - done) / lanes) {
            accumulate(frame, Coordinate::fixed(done), into);
            done += lanes;
        }
        let vectors: Vec<Vec<ValueId>> = sums.iter().map(|sum| values(frame, sum)).collect();
        if done == terms {
            return tree(frame, sum, vectors);
        }
        // The last terms fill no vector: they join their lanes one by one.
        let mut scalars: Vec<Vec<ValueId>> = vectors
            .iter()
            .flat_map(|words| (0..lanes).map(move |lane| (words, lane)))
            .map(|(words, lane)| words.iter().map(|word| frame.first_of(*word, lane)).collect())
            .collect();
        for at in done..terms {
            frame.coordinates[axis] = Coordinate::fixed(at);
            let there = &mut scalars[at % planned];
            *there = frame.expression(Type::Scalar, &sum.step, &self.reads, there, None);
        }
        fold(frame, Type::Scalar, sum, scalars)
    }
}

/// Lane `j` takes lane `j + n/2`, down to one lane: first whole vectors, then within the last one.
fn tree(frame: &mut Frame, sum: &Sum, vectors: Vec<Vec<ValueId>>) -> Vec<ValueId> {
    let mut words = fold(frame, Type::Vector, sum, vectors);
    let mut half = frame.builder.lanes() / 2;
    while half > 0 {
        let turned = words.iter().map(|word| frame.builder.define(Type::Vector, Op::Rotate(*word, half))).collect();
        words = fold(frame, Type::Vector, sum, vec![words, turned]);
        half /= 2;
    }
    words.iter().map(|word| frame.first_of(*word, 0)).collect()
}

/// Partial sum `j` takes partial sum `j + n/2`, down to one.
pub fn fold(frame: &mut Frame, ty: Type, sum: &Sum, mut sums: Vec<Vec<ValueId>>) -> Vec<ValueId> {
    while sums.len() > 1 {
        let half = sums.len() / 2;
        let both = |j: usize| [&sums[j][..], &sums[j + half]].concat();
        sums = (0..half).map(|j| frame.builder.expression(ty, &sum.fold, &both(j))).collect();
    }
    sums.remove(0)
}
