//! Reads through copies: a reader of a slice, crop, permutation or part of a concatenation reads the source instead.
//!
//! Only element-wise readers do, which touch each element about once; a contraction is better off with the dense copy.

use super::accesses::{Linear, compose, extents, stays_inside};
use super::operands::merge_equal_reads;
use super::uses::{Uses, nest_at};
use crate::expression::Expression;
use crate::graph::{Access, Factor, Graph, Index, Nest, Operation, Outside, TensorId};

/// Forwards the sources of copies until no reader of a copy is left that could read the source.
pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let mut changes = Vec::new();
    let uses = Uses::of(graph);
    // Operations are in order, so what a copy reads has been forwarded before its own readers look through it.
    for (tensor, readers) in uses.readers.iter().enumerate() {
        let copies: Option<Vec<usize>> =
            uses.writers[tensor].iter().map(|at| is_copy(nest_at(graph, *at)?).then_some(*at)).collect();
        // While somebody needs the copy, forwarding the others saves nothing.
        let Some(copies) = copies.filter(|copies| !copies.is_empty() && !uses.wanted[tensor]) else { continue };
        let tensor = TensorId(tensor);
        let Some(forwarded) = readers.iter().map(|at| forward(graph, tensor, &copies, *at)).collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        for (reader, nest) in readers.iter().zip(forwarded) {
            changes.push(format!("{} reads through {}", nest.name, graph.tensor(tensor).name));
            graph.operations[*reader] = Operation::Nest(nest);
        }
    }
    changes
}

/// Whether a nest moves elements and does nothing else.
pub(super) fn is_copy(nest: &Nest) -> bool {
    nest.reduction.is_none() && nest.reads.len() == 1 && nest.store == Expression::read_of(0)
}

/// The reader at a position, reading the sources of these copies instead of the tensor they fill.
fn forward(graph: &Graph, tensor: TensorId, copies: &[usize], reader: usize) -> Option<Nest> {
    let mut nest = nest_at(graph, reader)?.clone();
    if nest.reduction.is_some() {
        return None;
    }
    let loops = extents(&nest);
    for access in nest.reads.iter_mut().filter(|access| access.tensor == tensor) {
        *access = copies.iter().find_map(|copy| through(access, &loops, nest_at(graph, *copy)?))?;
    }
    merge_equal_reads(&mut nest);
    Some(nest)
}

/// The access to what a copy has filled as an access to its source, if it can be written so.
fn through(access: &Access, loops: &[usize], copy: &Nest) -> Option<Access> {
    let copied = extents(copy);
    let source = &copy.reads[0];
    if is_reshape(copy, &copied) {
        return Some(Access { tensor: source.tensor, ..access.clone() });
    }
    if access.shape != copy.write.shape {
        return None;
    }
    let inside = stays_inside(access, loops);
    // Beyond the copy's edge must be beyond the source's edge, at the same places.
    if !inside && (source.outside != Outside::Never || !is_permutation(copy, &copied)) {
        return None;
    }
    let index = source_index(copy, &copied, access, loops, inside)?;
    let outside = if inside { source.outside } else { access.outside };
    Some(Access { tensor: source.tensor, shape: source.shape.clone(), index, outside })
}

/// The index of a copy's source over the loops of a reader of its result.
fn source_index(copy: &Nest, copied: &[usize], access: &Access, loops: &[usize], inside: bool) -> Option<Vec<Index>> {
    // The copy's loops, as functions of the reader's; a loop that the write doesn't name runs once.
    let mut counters: Vec<Option<Index>> = vec![None; copied.len()];
    for (written, read) in copy.write.index.iter().zip(&access.index) {
        let extent = match &written.terms[..] {
            [] => 1,
            [term] if term.factor == Factor::Stride(1) && counters[term.axis.0].is_none() => {
                counters[term.axis.0] = Some(read.clone().moved(-written.offset));
                copied[term.axis.0]
            }
            _ => return None,
        };
        let (low, high) = read.clone().moved(-written.offset).bounds(loops);
        if inside && (low < 0 || high >= extent as i64) {
            return None;
        }
    }
    let counters: Vec<Index> = counters.into_iter().map(|counter| counter.unwrap_or(Index::constant(0))).collect();
    copy.reads[0].index.iter().map(|index| compose(index, &counters, loops)).collect()
}

/// Whether a copy gives the same elements in the same order.
fn is_reshape(copy: &Nest, copied: &[usize]) -> bool {
    let row_major = |access| Linear::of(access, copied).is_some_and(|linear| linear.is_row_major(copied));
    let whole = |access: &Access| access.shape.iter().product::<usize>() == copied.iter().product::<usize>();
    row_major(&copy.reads[0]) && row_major(&copy.write) && whole(&copy.reads[0]) && whole(&copy.write)
}

/// Whether every axis of both the source and the result is one loop, over all of it.
fn is_permutation(copy: &Nest, copied: &[usize]) -> bool {
    let plain = |access: &Access| {
        access.index.iter().zip(&access.shape).all(|(index, extent)| match &index.terms[..] {
            [term] => term.factor == Factor::Stride(1) && index.offset == 0 && copied[term.axis.0] == *extent,
            _ => false,
        })
    };
    plain(&copy.reads[0]) && plain(&copy.write)
}
