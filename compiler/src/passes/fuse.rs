//! Folds element-wise nests into the store of the nest that makes their operand.
//!
//! Bias, residual addition, activation, normalisation by constants, `x * sigmoid(x)` and the copies of a concatenation then
//! happen while the element is at hand. Every operation keeps its own rounding, so no bit changes.

use super::accesses::{Linear, Sum, extents, substitute};
use super::forward_copies::is_copy;
use super::operands::{merge_equal_reads, renumbered};
use super::uses::{Uses, nest_at};
use crate::expression::Expression;
use crate::graph::{Access, Graph, Nest, Outside, TensorId};

/// Nodes of a store up to which more is fused into it: those of a few layers. Every step over a store would take longer
/// the longer it is, and the results of a hundred layers in a row fit no registers.
const LONGEST: usize = 64;

/// Fuses until nothing is left to fuse.
pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let mut changes = Vec::new();
    let mut uses = Uses::of(graph);
    for at in 0..graph.operations.len() {
        // What has been fused may go on to be fused with what else it reads.
        while let Some((producer, fused)) = fuse_at(graph, &uses, at) {
            let producer_name = graph.operations[producer].name();
            changes.push(format!("{} fused into {producer_name}", graph.operations[at].name()));
            uses.merge(graph, [producer, at], fused);
        }
    }
    uses.drop_merged(graph);
    changes
}

/// The producer that an element-wise nest can be fused with, and the two as one nest.
fn fuse_at(graph: &Graph, uses: &Uses, at: usize) -> Option<(usize, Nest)> {
    let map = nest_at(graph, at).filter(|nest| nest.reduction.is_none())?;
    let mut producers: Vec<usize> =
        map.reads.iter().filter_map(|access| uses.private_writer(access.tensor)).filter(|p| *p < at).collect();
    producers.sort_unstable();
    producers.dedup();
    // The latest first: what it reads has lived longest already.
    producers.iter().rev().find_map(|at| {
        let producer = nest_at(graph, *at)
            .filter(|nest| nest.store.nodes.len() + map.store.nodes.len() <= LONGEST)
            .filter(|nest| have_one_arithmetic(graph, nest, map))?;
        Some((*at, fused(producer, map)?))
    })
}

/// Whether both nests can be carried out as one: all of it is compensated, or none. The two have the producer's name.
fn have_one_arithmetic(graph: &Graph, producer: &Nest, map: &Nest) -> bool {
    graph.is_compensated(producer) == graph.is_compensated(map) || is_copy(map)
}

/// `map` and the nest that makes one of its operands as one nest, if the map reads exactly what an iteration makes.
pub(super) fn fused(producer: &Nest, map: &Nest) -> Option<Nest> {
    let (made, used) = (extents(producer), extents(map));
    let parallel = &made[..producer.parallel.len()];
    let written = Linear::of(&producer.write, parallel)?;
    let tensor = producer.write.tensor;
    let mut reads = map.reads.iter().filter(|access| access.tensor == tensor).map(|access| Linear::of(access, &used));
    let read = reads.next()??;
    if !reads.all(|other| other.as_ref() == Some(&read)) {
        return None;
    }
    if let Some(sums) = read.in_terms_of(&used, &written, parallel)
        && let Some(nest) = into_producer(producer, map, &sums)
    {
        return Some(nest);
    }
    if producer.reduction.is_some() {
        return None;
    }
    let sums = written.in_terms_of(parallel, &read, &used)?;
    into_map(producer, map, &sums)
}

/// The producer with the map's store after its own; `sums` are the map's loops in terms of the producer's.
fn into_producer(producer: &Nest, map: &Nest, sums: &[Sum]) -> Option<Nest> {
    let used = extents(map);
    let parallel: Vec<usize> = producer.parallel.iter().map(|axis| axis.extent).collect();
    let moved = |access: &Access| Some(in_shape_of(&producer.write, &parallel, substitute(access, &used, sums)?));
    let others = map.reads.iter().map(moved).collect::<Option<Vec<Access>>>()?;
    let write = moved(&map.write)?;
    // A contraction stores whole vectors: it can't ask for each lane whether it is outside.
    let asks = others.iter().any(|access| access.outside != Outside::Never);
    if producer.reduction.is_some() && (asks || !same_order(producer, &write)) {
        return None;
    }
    let mut nest = Nest { reads: producer.reads.clone(), write, ..producer.clone() };
    let numbers = append_reads(&mut nest.reads, others, producer.write.tensor);
    let reduced = nest.reads.len();
    let store = renumbered(&producer.store, |i| if i == producer.reduced() { reduced } else { i });
    nest.store = after(store, &map.store, &numbers);
    merge_equal_reads(&mut nest);
    Some(nest)
}

/// The access in the shape of another one that visits the same positions: a view that was flattened for the map's sake.
fn in_shape_of(model: &Access, parallel: &[usize], access: Access) -> Access {
    let same_size = model.shape.iter().product::<usize>() == access.shape.iter().product::<usize>();
    let linear = Linear::of(&access, parallel);
    if same_size && access.outside == Outside::Never && linear.is_some() && linear == Linear::of(model, parallel) {
        Access { tensor: access.tensor, ..model.clone() }
    } else {
        access
    }
}

/// The map with the producer's store before its own; `sums` are the producer's loops in terms of the map's.
fn into_map(producer: &Nest, map: &Nest, sums: &[Sum]) -> Option<Nest> {
    let made = extents(producer);
    let reads = producer.reads.iter().map(|access| substitute(access, &made, sums)).collect::<Option<Vec<Access>>>()?;
    let mut nest = Nest { name: producer.name.clone(), reads, ..map.clone() };
    let numbers = append_reads(&mut nest.reads, map.reads.clone(), producer.write.tensor);
    nest.store = after(producer.store.clone(), &map.store, &numbers);
    merge_equal_reads(&mut nest);
    Some(nest)
}

/// Appends accesses to a nest's reads, but for those of `tensor`; gives the number of each.
fn append_reads(reads: &mut Vec<Access>, others: Vec<Access>, tensor: TensorId) -> Vec<Option<usize>> {
    let append = |access: Access| {
        (access.tensor != tensor).then(|| {
            reads.push(access);
            reads.len() - 1
        })
    };
    others.into_iter().map(append).collect()
}

/// `second` applied after `first`: operand `i` is read under `numbers[i]`, and is `first`'s result where it has none.
fn after(first: Expression, second: &Expression, numbers: &[Option<usize>]) -> Expression {
    let made = first.result();
    let mut store = Expression { results: Vec::new(), ..first };
    store.results = store.inline_with(second, |e, i| numbers[i].map_or(made, |number| e.read(number)));
    store
}

/// Whether a write walks memory in the order in which the nest's own does, innermost steps alike. A contraction stores
/// blocks of neighbouring elements; a permuting copy behind it would tear them apart.
fn same_order(nest: &Nest, write: &Access) -> bool {
    let parallel: Vec<usize> = nest.parallel.iter().map(|axis| axis.extent).collect();
    let order = |access: &Access| {
        let strides = Linear::of(access, &parallel)?.strides;
        let mut axes: Vec<usize> = (0..parallel.len()).filter(|axis| parallel[*axis] > 1).collect();
        axes.sort_by_key(|axis| strides[*axis]);
        Some((axes.first().map(|axis| strides[*axis]), axes))
    };
    matches!((order(&nest.write), order(write)), (Some(a), Some(b)) if a == b)
}
