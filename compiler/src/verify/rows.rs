//! What is compared with what: the steps of a plan, and the layers whose plain definition each of them carries out.
//!
//! Passes fuse layers, fold some into the constants of others and read through copies; but every tensor that a plan keeps
//! has the name, and is meant to have the values, of one of the graph that no pass has touched. A row is the least set of
//! operations that belong together: those of one layer, those that fill one tensor, and those on both sides of a tensor
//! without a namesake. The layers it stands for are found from its results backwards to what it reads.

use crate::graph::{Graph, Source, TensorId};
use crate::plan::Plan;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A tensor of the plan and its namesake in the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub plan: TensorId,
    pub definition: TensorId,
}

/// Operations of a plan and what they stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Operations of the plan, in order.
    pub operations: Vec<usize>,
    /// Operations of the definition, in order.
    pub definition: Vec<usize>,
    /// The layers these come from, in order.
    pub layers: Vec<String>,
    /// What it reads and does not make.
    pub inputs: Vec<Pair>,
    /// What it makes and others, or the caller, read.
    pub outputs: Vec<Pair>,
}

/// The rows of a plan, in the order in which they are complete.
pub(super) fn rows(plan: &Plan, definition: &Plan) -> Vec<Row> {
    let names: HashMap<&str, TensorId> = (definition.graph.tensors.iter().enumerate())
        .map(|(at, tensor)| (tensor.name.as_str(), TensorId(at)))
        .collect();
    let graph = &plan.graph;
    let namesake = |id: TensorId| {
        let tensor = graph.tensor(id);
        names
            .get(tensor.name.as_str())
            .copied()
            .filter(|id| definition.graph.tensor(*id).elements() == tensor.elements())
    };
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let roots = roots(graph, &|id| namesake(id).is_some());
    for (operation, root) in roots.iter().enumerate() {
        groups.entry(*root).or_default().push(operation);
    }
    let mut rows: Vec<Row> =
        groups.into_values().map(|operations| row(graph, &definition.graph, operations, &namesake)).collect();
    rows.sort_by_key(|row| row.operations.last().copied());
    rows
}

/// For each operation one that stands for its row.
fn roots(graph: &Graph, has_namesake: &dyn Fn(TensorId) -> bool) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..graph.operations.len()).collect();
    let mut layers: HashMap<&str, usize> = HashMap::new();
    let mut writers: HashMap<TensorId, usize> = HashMap::new();
    for (at, operation) in graph.operations.iter().enumerate() {
        let mut friends: Vec<usize> = layers.insert(operation.name(), at).into_iter().collect();
        let apart = |id: &TensorId| is_computed(graph, *id) && !has_namesake(*id);
        friends.extend(operation.reads().into_iter().filter(apart).filter_map(|id| writers.get(&id).copied()));
        friends.extend(operation.writes().into_iter().filter_map(|id| writers.insert(id, at)));
        for friend in friends {
            let (a, b) = (root(&parents, at), root(&parents, friend));
            parents[a.max(b)] = a.min(b);
        }
    }
    (0..parents.len()).map(|at| root(&parents, at)).collect()
}

fn root(parents: &[usize], mut at: usize) -> usize {
    while parents[at] != at {
        at = parents[at];
    }
    at
}

fn is_computed(graph: &Graph, id: TensorId) -> bool {
    match graph.tensor(id).source {
        Source::Computed => true,
        Source::Input | Source::Constant(_) => false,
    }
}

fn row(
    graph: &Graph,
    definition: &Graph,
    operations: Vec<usize>,
    namesake: &dyn Fn(TensorId) -> Option<TensorId>,
) -> Row {
    let pair = |id: TensorId| namesake(id).map(|definition| Pair { plan: id, definition });
    let made: Vec<TensorId> = distinct(operations.iter().flat_map(|at| graph.operations[*at].writes()));
    let read = distinct(operations.iter().flat_map(|at| graph.operations[*at].reads()));
    let constant = |id: &TensorId| graph.constant(*id).is_some();
    let inputs: Vec<Pair> =
        read.iter().filter(|id| !made.contains(id) && !constant(id)).filter_map(|id| pair(*id)).collect();
    let needed_elsewhere: HashSet<TensorId> = (graph.operations.iter().enumerate())
        .filter(|(at, _)| !operations.contains(at))
        .flat_map(|(_, operation)| operation.reads())
        .chain(graph.outputs.iter().flat_map(|output| [Some(output.view.tensor), output.view.extents]).flatten())
        .collect();
    let outputs: Vec<Pair> =
        made.iter().filter(|id| needed_elsewhere.contains(id)).filter_map(|id| pair(*id)).collect();
    let ends: Vec<TensorId> = inputs.iter().map(|pair| pair.definition).collect();
    let definition_operations = between(definition, &ends, outputs.iter().map(|pair| pair.definition));
    let mut layers: Vec<String> = Vec::new();
    for at in &definition_operations {
        let name = definition.operations[*at].name();
        if !layers.iter().any(|layer| layer == name) {
            layers.push(name.to_string());
        }
    }
    Row { operations, definition: definition_operations, layers, inputs, outputs }
}

/// The operations that make `results` out of `ends`, in order.
fn between(graph: &Graph, ends: &[TensorId], results: impl Iterator<Item = TensorId>) -> Vec<usize> {
    let mut wanted: HashSet<TensorId> = results.collect();
    let mut found = Vec::new();
    for (at, operation) in graph.operations.iter().enumerate().rev() {
        if operation.writes().iter().any(|id| wanted.contains(id) && !ends.contains(id)) {
            wanted.extend(operation.reads());
            found.push(at);
        }
    }
    found.reverse();
    found
}

fn distinct(ids: impl Iterator<Item = TensorId>) -> Vec<TensorId> {
    let mut seen = Vec::new();
    for id in ids {
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    seen
}
