//! Joins loops that only exist because a layer sees its output in a finer shape than the output has.
//!
//! A channel shuffle writes `[2, 29, h, w]` of a tensor of 58 channels; over one loop of 58 channels it writes the tensor
//! itself and reads by a table, which every layout can address.

use super::accesses::extents;
use crate::graph::{Access, Axis, AxisId, Factor, Graph, Index, Nest, Operation, Outside, Term};

/// Joins the loops of every nest without a reduction that writes a refinement of its tensor.
pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let mut changes = Vec::new();
    for at in 0..graph.operations.len() {
        let Operation::Nest(nest) = &graph.operations[at] else { continue };
        let shape = graph.tensor(nest.write.tensor).shape.clone();
        if let Some(joined) = joined(nest, &shape) {
            changes.push(format!("{} writes {} in its own shape", joined.name, graph.tensor(joined.write.tensor).name));
            graph.operations[at] = Operation::Nest(joined);
        }
    }
    changes
}

fn joined(nest: &Nest, shape: &[usize]) -> Option<Nest> {
    if nest.reduction.is_some()
        || nest.write.shape == shape
        || nest.reads.iter().any(|read| read.outside != Outside::Never)
    {
        return None;
    }
    let groups = groups(nest, shape)?;
    let names: &[&str] = match shape.len() {
        1 => &["x"],
        2 => &["y", "x"],
        3 => &["c", "y", "x"],
        _ => &["c", "z", "y", "x"],
    };
    let parallel = names.iter().zip(shape).map(|(name, extent)| Axis { name, extent: *extent }).collect();
    let loops = extents(nest);
    let reads = nest.reads.iter().map(|read| rejoined(read, &groups, &loops)).collect();
    let index = (0..shape.len()).map(Index::axis).collect();
    let write = Access::new(nest.write.tensor, shape, index);
    Some(Nest { parallel, reads, write, ..nest.clone() })
}

/// For each axis of the tensor, the loops that count it, outermost first; `None` unless every loop counts whole axes of
/// the written shape, each once.
fn groups(nest: &Nest, shape: &[usize]) -> Option<Vec<Vec<usize>>> {
    (shape.len() <= 4).then_some(())?;
    let mut parts = nest.write.index.iter().zip(&nest.write.shape).filter(|(_, extent)| **extent > 1);
    let mut used = vec![false; nest.parallel.len()];
    let mut groups = Vec::with_capacity(shape.len());
    for extent in shape {
        let (mut group, mut covered) = (Vec::new(), 1);
        while covered < *extent {
            let (index, part) = parts.next()?;
            let [Term { axis, factor: Factor::Stride(1) }] = index.terms[..] else { return None };
            let whole = index.offset == 0 && nest.parallel[axis.0].extent == *part && !used[axis.0];
            whole.then_some(())?;
            used[axis.0] = true;
            group.push(axis.0);
            covered *= part;
        }
        (covered == *extent).then_some(())?;
        groups.push(group);
    }
    let idle = |axis: usize| used[axis] || nest.parallel[axis].extent == 1;
    (0..nest.parallel.len()).all(idle).then_some(groups)
}

/// An access over the joined loops.
fn rejoined(access: &Access, groups: &[Vec<usize>], loops: &[usize]) -> Access {
    let index = access.index.iter().map(|index| {
        let mut terms = Vec::new();
        for (axis, group) in groups.iter().enumerate() {
            let table = contributions(index, group, loops);
            if table.iter().any(|entry| *entry != 0) {
                terms.push(Term { axis: AxisId(axis), factor: factor(table) });
            }
        }
        // Loops that run once add the same everywhere.
        let idle = index.terms.iter().filter(|term| !groups.iter().flatten().any(|axis| *axis == term.axis.0));
        let offset = index.offset + idle.map(|term| term.factor.at(0)).sum::<i64>();
        Index { terms, offset }
    });
    Access { index: index.collect(), ..access.clone() }
}

/// What the loops of a group add to an index, for each value of the loop they become.
fn contributions(index: &Index, group: &[usize], loops: &[usize]) -> Vec<i64> {
    group.iter().fold(vec![0], |sums, axis| {
        let terms: Vec<&Term> = index.terms.iter().filter(|term| term.axis.0 == *axis).collect();
        let at = |i: usize| terms.iter().map(|term| term.factor.at(i)).sum::<i64>();
        sums.iter().flat_map(|sum| (0..loops[*axis]).map(|i| sum + at(i)).collect::<Vec<_>>()).collect()
    })
}

fn factor(table: Vec<i64>) -> Factor {
    let stride = table.get(1).map_or(0, |second| second - table[0]);
    if table.iter().enumerate().all(|(i, entry)| *entry == stride * i as i64) {
        Factor::Stride(stride)
    } else {
        Factor::Table(table.into())
    }
}
