//! Long sums with vectors along the sum: the planned lanes are the lanes of vectors.

use super::frame::{Coordinate, Frame};
use super::generic::Loops;
use super::sums::{values, variables};
use crate::kernel::{Type, ValueId, VariableId};
use crate::recipe::Sum;

impl Loops {
    /// Whether the terms of a reduction in lanes lie side by side, so that vectors can run along them.
    pub fn terms_run(&self, sum: &Sum) -> bool {
        let axis = self.parallel;
        self.reads.iter().enumerate().all(|(number, read)| {
            let guarded = read.position.guards.iter().any(|guard| guard.axes[axis].iter().any(|step| *step != 0));
            let runs = read.position.runs_along(axis, self.extents[axis], self.extents[axis], 1);
            !sum.reads(number) || !read.position.depends_on(axis) || (!guarded && runs)
        })
    }

    /// The sum for one iteration of the parallel loops, in the parts of a scalar.
    pub fn reduce_along(&self, frame: &mut Frame, sum: &Sum, planned: usize) -> Vec<ValueId> {
        let lanes = frame.builder.lanes();
        let axis = self.parallel;
        let start = frame.expression(Type::Vector, &sum.start, &self.reads, &[], None);
        let start = sum.begun(frame, Type::Vector, start);
        let held = sum.held(Type::Vector);
        let sums: Vec<Vec<VariableId>> = (0..planned / lanes).map(|_| variables(frame, held, &start)).collect();
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
            return sum.tree(frame, vectors);
        }
        // The last terms fill no vector: they join their lanes one by one.
        let mut scalars: Vec<Vec<ValueId>> = vectors.iter().flat_map(|parts| sum.scalars(frame, parts)).collect();
        for at in done..terms {
            frame.coordinates[axis] = Coordinate::fixed(at);
            let there = &mut scalars[at % planned];
            *there = sum.next(frame, Type::Scalar, None, &self.reads, there);
        }
        sum.fold(frame, Type::Scalar, scalars)
    }
}
