//! Long sums with vectors along the sum: the planned lanes are the lanes of vectors.

use super::frame::{Coordinate, Frame};
use super::generic::{Loops, combine, combine_whole};
use crate::expression::Node;
use crate::graph::Reduction;
use crate::kernel::{Op, Type, ValueId, VariableId};

impl Loops<'_> {
    /// Whether the terms of a reduction in lanes lie side by side, so that vectors can run along them.
    pub fn terms_run(&self, reduction: &Reduction) -> bool {
        let axis = self.parallel;
        self.reads.iter().enumerate().all(|(number, read)| {
            let guarded = read.position.guards.iter().any(|guard| guard.axes[axis].iter().any(|step| *step != 0));
            let runs = read.position.runs_along(axis, self.extents[axis], self.extents[axis], 1);
            let read_here = reduction.term.nodes.contains(&Node::Read(number));
            !read_here || !read.position.depends_on(axis) || (!guarded && runs)
        })
    }

    /// The reduction for one iteration of the parallel loops, as a scalar.
    pub fn reduce_along(&self, frame: &mut Frame, reduction: &Reduction, planned: usize) -> ValueId {
        let lanes = frame.builder.lanes();
        let axis = self.parallel;
        let term = reduction.term.expanded();
        let start = frame.expression(Type::Vector, &reduction.start.expanded(), &self.reads, None, None)[0];
        let sums: Vec<VariableId> = (0..planned / lanes).map(|_| frame.builder.variable(Type::Vector)).collect();
        sums.iter().for_each(|sum| frame.builder.set(*sum, start));
        let accumulate = |frame: &mut Frame, at: Coordinate, into: VariableId| {
            frame.coordinates[axis] = at;
            let terms = frame.expression(Type::Vector, &term, &self.reads, None, Some(axis));
            let there = frame.builder.get(into);
            let next = combine(frame, reduction.combine, there, &terms);
            frame.builder.set(into, next);
        };
        let terms = self.extents[axis];
        let rounds = terms / planned;
        if rounds > 0 {
            frame.repeat(rounds, |frame, round| {
                for (part, sum) in sums.iter().enumerate() {
                    accumulate(frame, Coordinate::counted(round, planned, rounds).moved(part * lanes), *sum);
                }
            });
        }
        let mut done = rounds * planned;
        for sum in sums.iter().take((terms - done) / lanes) {
            accumulate(frame, Coordinate::fixed(done), *sum);
            done += lanes;
        }
        let values: Vec<ValueId> = sums.iter().map(|sum| frame.builder.get(*sum)).collect();
        if done == terms {
            return self.tree(frame, reduction, values);
        }
        // The last terms fill no vector: they join their lanes one by one.
        let mut scalars: Vec<ValueId> = values
            .iter()
            .flat_map(|value| (0..lanes).map(|lane| (*value, lane)).collect::<Vec<_>>())
            .map(|(value, lane)| frame.first_of(value, lane))
            .collect();
        for at in done..terms {
            frame.coordinates[axis] = Coordinate::fixed(at);
            let terms = frame.expression(Type::Scalar, &term, &self.reads, None, None);
            scalars[at % planned] = combine(frame, reduction.combine, scalars[at % planned], &terms);
        }
        fold(frame, reduction, scalars)
    }

    /// Lane `j` takes lane `j + n/2`, down to one lane: first whole vectors, then within the last one.
    fn tree(&self, frame: &mut Frame, reduction: &Reduction, values: Vec<ValueId>) -> ValueId {
        let mut value = fold(frame, reduction, values);
        let mut half = frame.builder.lanes() / 2;
        while half > 0 {
            let turned = frame.builder.define(Type::Vector, Op::Rotate(value, half));
            value = combine_whole(frame, reduction.combine, value, turned);
            half /= 2;
        }
        frame.first_of(value, 0)
    }
}

/// Value `j` takes value `j + n/2`, down to one.
pub fn fold(frame: &mut Frame, reduction: &Reduction, mut values: Vec<ValueId>) -> ValueId {
    while values.len() > 1 {
        let half = values.len() / 2;
        values = (0..half).map(|j| combine_whole(frame, reduction.combine, values[j], values[j + half])).collect();
    }
    values[0]
}
