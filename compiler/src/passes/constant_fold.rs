//! Computes at build time what depends on constants alone.
//!
//! Only element-wise nests: their elements are single expressions, evaluated here exactly as compiled code would. The
//! order of a sum isn't known before the plan, so nests with a reduction stay; models have none over constants.

use super::accesses::for_each_iteration;
use super::uses::{Uses, nest_at};
use crate::graph::{Access, Graph, Nest, Outside, Source};
use crate::recipe::Recipe;
use std::sync::Arc;

/// Elements up to which a tensor is computed at build time: a megabyte-sized table is worth its place in the binary, the
/// expansion of a small constant into a large one isn't.
const LARGEST: usize = 1 << 20;

/// Turns tensors that are computed from constants into constants.
pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let writers = Uses::of(graph).writers;
    let mut changes = Vec::new();
    let mut done = vec![false; graph.operations.len()];
    for at in 0..graph.operations.len() {
        let Some(nest) = nest_at(graph, at) else { continue };
        let tensor = nest.write.tensor;
        // A tensor of several parts is computed where its last part is, when all its operands are known.
        let parts = &writers[tensor.0];
        if parts.last() != Some(&at) || graph.tensor(tensor).elements() > LARGEST {
            continue;
        }
        let Some(nests) = parts.iter().map(|part| foldable(graph, *part)).collect::<Option<Vec<&Nest>>>() else {
            continue;
        };
        let mut words = vec![0; graph.tensor(tensor).elements()];
        nests.iter().for_each(|nest| evaluate(graph, nest, &mut words));
        changes.push(format!("{} is constant", graph.tensor(tensor).name));
        parts.iter().for_each(|part| done[*part] = true);
        graph.tensors[tensor.0].source = Source::Constant(words.into());
    }
    let mut done = done.into_iter();
    graph.operations.retain(|_| !done.next().expect("one flag for each operation"));
    changes
}

/// The nest at a position when it is element-wise and reads constants only.
fn foldable(graph: &Graph, at: usize) -> Option<&Nest> {
    let nest = nest_at(graph, at)?;
    let constant = |access: &Access| graph.constant(access.tensor).is_some();
    (nest.reduction.is_none() && nest.reads.iter().all(constant)).then_some(nest)
}

fn evaluate(graph: &Graph, nest: &Nest, words: &mut [u32]) {
    let sources: Vec<&Arc<[u32]>> = nest.reads.iter().filter_map(|access| graph.constant(access.tensor)).collect();
    let store = Recipe::of(nest, graph.is_compensated(nest)).store;
    let mut scratch = Vec::new();
    for_each_iteration(&nest.parallel.iter().map(|axis| axis.extent).collect::<Vec<_>>(), |iteration| {
        let operand = |i: usize| {
            let access = &nest.reads[i];
            match (access.position(iteration), access.outside) {
                (Some(at), _) => sources[i][at],
                (None, Outside::Value(bits)) => bits,
                (None, Outside::Never) => unreachable!("the verifier bounds every index"),
            }
        };
        store.evaluate(operand, &mut scratch);
        let at = nest.write.position(iteration).expect("the verifier bounds every index");
        words[at] = scratch[store.result().0 as usize];
    });
}
