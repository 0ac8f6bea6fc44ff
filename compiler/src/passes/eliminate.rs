//! Drops what nobody needs, and keeps equal constants once.

use super::uses::nest_at;
use crate::graph::{Element, Graph, Operation, Source, TensorId};
use std::collections::HashMap;
use std::sync::Arc;

/// Merges equal constants, then drops operations and tensors that no output depends on.
pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let mut changes = merge_constants(graph);
    changes.extend(drop_unused(graph));
    changes
}

fn merge_constants(graph: &mut Graph) -> Vec<String> {
    let mut first: HashMap<(bool, Arc<[u32]>), TensorId> = HashMap::new();
    let mut changes = Vec::new();
    let mut names: Vec<TensorId> = (0..graph.tensors.len()).map(TensorId).collect();
    for (at, tensor) in graph.tensors.iter().enumerate() {
        let Source::Constant(words) = &tensor.source else { continue };
        let kept = *first.entry((tensor.element == Element::I32, words.clone())).or_insert(TensorId(at));
        if kept != TensorId(at) {
            changes.push(format!("{} is {}", tensor.name, graph.tensor(kept).name));
            names[at] = kept;
        }
    }
    if !changes.is_empty() {
        rename(graph, &|id| names[id.0]);
    }
    changes
}

fn drop_unused(graph: &mut Graph) -> Vec<String> {
    let mut needed = vec![false; graph.tensors.len()];
    let wanted = graph.outputs.iter().flat_map(|output| std::iter::once(output.view.tensor).chain(output.view.extents));
    for id in wanted.chain(graph.inputs.iter().copied()) {
        needed[id.0] = true;
    }
    let mut changes = Vec::new();
    let mut kept = vec![false; graph.operations.len()];
    for (at, operation) in graph.operations.iter().enumerate().rev() {
        let writes = operation.writes();
        kept[at] = writes.iter().any(|id| needed[id.0]);
        if kept[at] {
            // What a routine writes beside the wanted tensor must have a place all the same.
            writes.into_iter().chain(operation.reads()).for_each(|id| needed[id.0] = true);
        } else {
            let names: Vec<&str> = writes.iter().map(|id| graph.tensor(*id).name.as_str()).collect();
            let what = if nest_at(graph, at).is_some() { "nest" } else { "routine" };
            changes.push(format!("nobody needs {} of {what} {}", names.join(", "), operation.name()));
        }
    }
    changes.reverse();
    let mut keep = kept.into_iter();
    graph.operations.retain(|_| keep.next().expect("one flag for each operation"));
    let mut numbers = Vec::with_capacity(needed.len());
    let mut next = 0;
    for needed in &needed {
        numbers.push(TensorId(next));
        next += usize::from(*needed);
    }
    rename(graph, &|id| numbers[id.0]);
    let mut keep = needed.into_iter();
    graph.tensors.retain(|_| keep.next().expect("one flag for each tensor"));
    changes
}

/// Replaces every mention of a tensor.
fn rename(graph: &mut Graph, new: &dyn Fn(TensorId) -> TensorId) {
    for operation in &mut graph.operations {
        match operation {
            Operation::Nest(nest) => {
                nest.reads.iter_mut().chain([&mut nest.write]).for_each(|access| access.tensor = new(access.tensor));
            }
            Operation::Routine(routine) => {
                for view in &mut routine.reads {
                    view.tensor = new(view.tensor);
                    view.extents = view.extents.map(new);
                }
                routine.writes.iter_mut().for_each(|id| *id = new(*id));
            }
        }
    }
    for output in &mut graph.outputs {
        output.view.tensor = new(output.view.tensor);
        output.view.extents = output.view.extents.map(new);
    }
    graph.inputs.iter_mut().for_each(|id| *id = new(*id));
}
