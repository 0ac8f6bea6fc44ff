//! Bias correction: what rounding a contraction's constants does to the mean of each channel of its results is made up for
//! where its sums start.
//!
//! Owns which contractions can be corrected, what their channels are, and the corrected plan. Must not know how means are
//! come by.

use super::Plan;
use crate::expression::{Expression, Node};
use crate::format::Format;
use crate::graph::{Access, Element, Graph, Index, Nest, Operation, Outside, Source, TensorId};
use std::collections::BTreeSet;

/// What the sums of a contraction start with beside its bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// The layer it comes from.
    pub layer: String,
    /// A number for each channel; none where the contraction stays as it is.
    pub values: Vec<f32>,
}

/// A contraction with a constant factor that is stored narrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// Its place among the operations.
    pub operation: usize,
    /// The read that is the narrow constant.
    pub weight: usize,
    /// The read that is the other factor.
    pub activation: usize,
    /// The parallel loops that the constant is indexed by, ascending. Every iteration of them, row-major, is a channel.
    pub channels: Vec<usize>,
}

impl Plan {
    /// The contractions whose constant factor is stored narrow, in the order of the operations.
    pub fn narrowed(&self) -> Vec<Narrowed> {
        let nests = self.graph.operations.iter().enumerate().filter_map(|(at, operation)| match operation {
            Operation::Nest(nest) => Some((at, nest)),
            Operation::Routine(_) => None,
        });
        nests.filter_map(|(operation, nest)| self.narrowed_at(operation, nest)).collect()
    }

    fn narrowed_at(&self, operation: usize, nest: &Nest) -> Option<Narrowed> {
        let [first, second] = nest.factors()?;
        let is_narrow = |read: usize| {
            let tensor = nest.reads[read].tensor;
            self.graph.constant(tensor).is_some() && self.formats[tensor.0].is_narrow()
        };
        let (weight, activation) = if is_narrow(first) { (first, second) } else { (second, first) };
        let channels = nest.reads[weight].loops().into_iter().filter(|axis| *axis < nest.parallel.len()).collect();
        is_narrow(weight).then_some(Narrowed { operation, weight, activation, channels })
    }

    /// The same plan with the sums of each such contraction starting from as much more as the correction with its number
    /// says; nothing where corrections are other ones than the plan can take.
    pub fn corrected(&self, corrections: &[Correction]) -> Option<Self> {
        let narrowed = self.narrowed();
        let fits = |(narrowed, correction): (&Narrowed, &Correction)| {
            let Operation::Nest(nest) = &self.graph.operations[narrowed.operation] else { return false };
            let channels: usize = narrowed.channels.iter().map(|axis| nest.parallel[*axis].extent).product();
            correction.layer == nest.name && [0, channels].contains(&correction.values.len())
        };
        if narrowed.len() != corrections.len() || !narrowed.iter().zip(corrections).all(fits) {
            return None;
        }
        let mut plan = self.clone();
        for (narrowed, correction) in narrowed.iter().zip(corrections).filter(|(_, of)| !of.values.is_empty()) {
            correct(&mut plan.graph, narrowed, &correction.values);
        }
        plan.formats.resize(plan.graph.tensors.len(), Format::Word);
        plan.verify();
        Some(plan)
    }
}

/// Has the sums of a contraction start from more.
fn correct(graph: &mut Graph, narrowed: &Narrowed, values: &[f32]) {
    let Operation::Nest(mut nest) = graph.operations[narrowed.operation].clone() else { return };
    let reduction = nest.reduction.as_ref().expect("a contraction");
    let known = known_starts(graph, &nest, &narrowed.channels);
    let sum = |(start, value): (&f32, &f32)| start + value;
    let values = known.as_ref().map_or_else(|| values.to_vec(), |starts| starts.iter().zip(values).map(sum).collect());
    // What was the bias is needed no more where it is known and used for nothing else.
    let bias = reads_of(&reduction.start).into_iter().next().filter(|bias| {
        known.is_some() && !reads_of(&reduction.term).contains(bias) && !reads_of(&nest.store).contains(bias)
    });
    // A leading axis of one keeps the shape of what is the same everywhere from being empty.
    let extents = narrowed.channels.iter().map(|axis| nest.parallel[*axis].extent);
    let shape: Vec<usize> = std::iter::once(1).chain(extents).collect();
    let index = std::iter::once(Index::constant(0)).chain(narrowed.channels.iter().map(|axis| Index::axis(*axis)));
    let words = values.iter().map(|value| value.to_bits()).collect();
    let name = format!("{}.bias.corrected", nest.name);
    let mut tensor = graph.add_tensor(&name, &shape, Element::F32, Source::Constant(words));
    if let Some(unneeded) = bias.map(|bias| nest.reads[bias].tensor).filter(|bias| is_read_once(graph, *bias)) {
        graph.tensors.swap_remove(unneeded.0);
        tensor = unneeded;
    }
    let access = Access::new(tensor, &shape, index.collect());
    let (read, start) = match (bias, known) {
        (Some(bias), _) => (bias, Expression::read_of(bias)),
        (None, Some(_)) => (nest.reads.len(), Expression::read_of(nest.reads.len())),
        (None, None) => (
            nest.reads.len(),
            Expression::new(|e| {
                let bias = e.inline_with(&reduction.start, Expression::read)[0];
                let correction = e.read(nest.reads.len());
                e.add(bias, correction)
            }),
        ),
    };
    match nest.reads.get_mut(read) {
        Some(bias) => *bias = access,
        None => {
            let mut store = Expression::default();
            store.results = store.inline_with(&nest.store, |e, i| e.read(if i == read { i + 1 } else { i }));
            nest.store = store;
            nest.reads.push(access);
        }
    }
    nest.reduction.as_mut().expect("a contraction").start = start;
    graph.operations[narrowed.operation] = Operation::Nest(nest);
}

/// Whether one operation alone reads a tensor, and the caller doesn't get it.
fn is_read_once(graph: &Graph, tensor: TensorId) -> bool {
    let readers = graph.operations.iter().filter(|operation| operation.reads().contains(&tensor)).count();
    readers == 1 && graph.outputs.iter().all(|output| output.view.tensor != tensor)
}

/// What the sums of each channel start from, row-major, if that is known now and the same everywhere in a channel.
fn known_starts(graph: &Graph, nest: &Nest, channels: &[usize]) -> Option<Vec<f32>> {
    let start = nest.reduction.as_ref()?.start.expanded();
    let is_known = |read: &usize| {
        let access = &nest.reads[*read];
        let of_channels = access.loops().iter().all(|axis| channels.contains(axis));
        of_channels && access.outside == Outside::Never && graph.constant(access.tensor).is_some()
    };
    reads_of(&start).iter().all(is_known).then_some(())?;
    let word = |read: usize, iteration: &[usize]| -> Option<u32> {
        let access = &nest.reads[read];
        Some(graph.constant(access.tensor)?[access.position(iteration)?])
    };
    let (mut starts, mut scratch) = (Vec::new(), Vec::new());
    nest.each_iteration(channels, &mut vec![0; nest.axes().count()], |iteration| {
        start.evaluate(|read| word(read, iteration).expect("a constant within its shape"), &mut scratch);
        starts.push(f32::from_bits(scratch[start.result().0 as usize]));
    });
    Some(starts)
}

/// The operands that an expression reads, ascending.
fn reads_of(expression: &Expression) -> BTreeSet<usize> {
    let read = |node: &Node| match node {
        Node::Read(operand) => Some(*operand),
        Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
    };
    expression.nodes.iter().filter_map(read).collect()
}
