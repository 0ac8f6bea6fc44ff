//! Which layers an output's error comes from: the definition is carried out with the results of one step of the plan in it.

use super::measure::{Traces, alone, nearest, numbers};
use super::rows::Row;
use super::subject::Subject;
use crate::graph::TensorId;
use crate::plan::{Interpreter, Reals, Words};
use std::collections::HashSet;

/// How far the outputs move, at most, when a step alone is computed as planned, on the inputs that the definition gives it.
pub(super) fn moves(subject: &Subject, row: &Row, traces: &Traces) -> f64 {
    let (plan, definition) = (&subject.plan, &subject.definition.graph);
    let exact = &traces.definition;
    let inputs: Vec<(TensorId, Vec<u32>)> = (row.inputs.iter())
        .map(|pair| (pair.plan, nearest(&exact.values(pair.definition), plan.graph.tensor(pair.plan).element)))
        .collect();
    let step = alone::<Words>(plan, &row.operations, &inputs);
    let mut moved = Interpreter::<Reals>::new(&subject.definition);
    let mut touched: HashSet<TensorId> = HashSet::new();
    for pair in &row.outputs {
        moved.set(pair.definition, numbers(&plan.graph, pair.plan, &step.values(pair.plan)));
        touched.insert(pair.definition);
    }
    for (at, operation) in definition.operations.iter().enumerate() {
        let (reads, writes) = (operation.reads(), operation.writes());
        if row.definition.contains(&at) || !reads.iter().any(|id| touched.contains(id)) {
            continue;
        }
        // What is written may be written in part only.
        for id in reads.iter().chain(&writes).filter(|id| !touched.contains(id) && definition.constant(**id).is_none())
        {
            moved.set(*id, exact.values(*id));
        }
        moved.step(at);
        touched.extend(writes);
    }
    let outputs = definition.outputs.iter().enumerate().filter(|(_, output)| touched.contains(&output.view.tensor));
    let distance = |at: usize, id: TensorId| {
        let (moved, (_, exact)) = (moved.values(id), exact.output(at));
        moved.iter().zip(&exact).map(|(moved, exact)| (moved - exact).abs()).fold(0.0, f64::max)
    };
    outputs.map(|(at, output)| distance(at, output.view.tensor)).fold(0.0, f64::max)
}
