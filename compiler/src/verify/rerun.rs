//! Carrying a plan out again after a change, from where the change begins.

use crate::graph::TensorId;
use crate::plan::{Arithmetic, Interpreter, Plan};
use std::collections::HashSet;

/// What a change means for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It computes something else.
    Changed,
    /// It computes the same, from what may have changed.
    Follows,
    /// Its results are given.
    Given,
}

/// A run after a change, beside the one before it.
pub(super) struct Rerun<'a, A: Arithmetic> {
    before: &'a Interpreter<'a, A>,
    after: Interpreter<'a, A>,
    plan: &'a Plan,
    /// What differs, perhaps.
    changed: HashSet<TensorId>,
}

impl<'a, A: Arithmetic> Rerun<'a, A> {
    /// Carries out what has to be, with some tensors given; `before` has carried out a plan with the same operations.
    pub fn new(
        plan: &'a Plan,
        before: &'a Interpreter<'a, A>,
        given: Vec<(TensorId, Vec<A::Value>)>,
        effect: impl Fn(usize) -> Effect,
    ) -> Self {
        let changed = given.iter().map(|(id, _)| *id).collect();
        let mut rerun = Self { before, after: Interpreter::new(plan), plan, changed };
        given.into_iter().for_each(|(id, values)| rerun.after.set(id, values));
        for (at, operation) in plan.graph.operations.iter().enumerate() {
            let (reads, writes) = (operation.reads(), operation.writes());
            let runs = match effect(at) {
                Effect::Changed => true,
                Effect::Follows => reads.iter().any(|id| rerun.changed.contains(id)),
                Effect::Given => false,
            };
            if runs {
                // What is written may be written in part only.
                reads.iter().chain(&writes).for_each(|id| rerun.complete(*id));
                rerun.after.step(at);
                rerun.changed.extend(writes);
            }
        }
        rerun
    }

    /// Has a tensor as it was, unless it has changed.
    fn complete(&mut self, id: TensorId) {
        if !self.changed.contains(&id) && self.plan.graph.constant(id).is_none() {
            self.after.set(id, self.before.values(id));
        }
    }

    /// The elements of an output.
    pub fn output(&mut self, output: usize) -> Vec<A::Value> {
        let view = &self.plan.graph.outputs[output].view;
        [Some(view.tensor), view.extents].into_iter().flatten().for_each(|id| self.complete(id));
        self.after.output(output).1
    }
}
