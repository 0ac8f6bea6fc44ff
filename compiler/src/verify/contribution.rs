//! Which layers an output's error comes from: the definition is carried out with the results of one step of the plan in it.

use super::cause::{Outputs, distance};
use super::measure::{Traces, alone, nearest, numbers};
use super::rerun::{Effect, Rerun};
use super::rows::Row;
use super::subject::Subject;
use crate::graph::TensorId;
use crate::plan::Words;

/// How far the outputs move, at most, when a step alone is computed as planned, on the inputs that the definition gives it.
pub(super) fn moves(subject: &Subject, row: &Row, traces: &Traces) -> f64 {
    let (plan, exact) = (&subject.plan.graph, &traces.definition);
    let inputs: Vec<(TensorId, Vec<u32>)> = (row.inputs.iter())
        .map(|pair| (pair.plan, nearest(&exact.values(pair.definition), plan.tensor(pair.plan).element)))
        .collect();
    let step = alone::<Words>(&subject.plan, &row.operations, &inputs);
    let given = row.outputs.iter().map(|pair| (pair.definition, numbers(plan, pair.plan, &step.values(pair.plan))));
    let effect = |at: usize| if row.definition.contains(&at) { Effect::Given } else { Effect::Follows };
    let mut rerun = Rerun::new(&subject.definition, exact, given.collect(), effect);
    let outputs = 0..plan.outputs.len();
    let moved: Outputs = outputs.clone().map(|output| rerun.output(output)).collect();
    distance(&moved, &outputs.map(|output| exact.output(output).1).collect())
}
