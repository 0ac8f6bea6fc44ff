//! Folds multiplications and additions of constants behind a contraction into its weights and bias.
//!
//! `a * (bias + sum of weight * x) + b` becomes `(a * bias + b) + sum of (a * weight) * x`: batch normalisation, scales
//! and biases behind a convolution cost nothing. The new constants are computed in double precision and rounded once;
//! the sum has other terms than before, so bits change.

use super::accesses::{extents, for_each_iteration, stays_inside};
use super::fuse::fused;
use super::operands::renumbered;
use super::uses::{Uses, nest_at};
use crate::expression::{Expression, Node, NodeId};
use crate::graph::{Access, Element, Graph, Index, Nest, Source};
use crate::instruction::Instruction;
use crate::mode::Mode;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Folds until nothing is left to fold.
pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let mut changes = Vec::new();
    let mut uses = Uses::of(graph);
    for at in 0..graph.operations.len() {
        let Some((producer, fold)) = fold_at(graph, &uses, at) else { continue };
        let producer_name = graph.operations[producer].name();
        changes.push(format!("{} folded into the constants of {producer_name}", graph.operations[at].name()));
        let nest = fold.apply(graph);
        uses.merge(graph, [producer, at], nest);
    }
    uses.drop_merged(graph);
    changes
}

/// A contraction and the affine map behind it, with the constants of both as one contraction.
struct Fold {
    /// The two fused.
    nest: Nest,
    /// Which read is the weight.
    weight: usize,
    /// The weight times the map's scale.
    scaled: Arc<[u32]>,
    /// The loops that the new bias depends on.
    bias_loops: Vec<usize>,
    /// The new bias, row-major over those loops.
    shifted: Arc<[u32]>,
}

impl Fold {
    /// Adds the new constants to the graph; gives the contraction that uses them.
    fn apply(mut self, graph: &mut Graph) -> Nest {
        let name = self.nest.name.clone();
        let weight_shape = graph.tensor(self.nest.reads[self.weight].tensor).shape.clone();
        let mut constant = |what: &str, shape: &[usize], words| {
            graph.add_tensor(&format!("{name}.{what}.folded"), shape, Element::F32, Source::Constant(words))
        };
        self.nest.reads[self.weight].tensor = constant("weight", &weight_shape, self.scaled);
        // A leading axis of one keeps the shape of a bias that is the same everywhere from being empty.
        let extents = self.bias_loops.iter().map(|axis| self.nest.parallel[*axis].extent);
        let shape: Vec<usize> = std::iter::once(1).chain(extents).collect();
        let index = std::iter::once(Index::constant(0)).chain(self.bias_loops.iter().map(|axis| Index::axis(*axis)));
        let bias = Access::new(constant("bias", &shape, self.shifted), &shape, index.collect());

        let reduction = self.nest.reduction.as_mut().expect("a contraction");
        let used = operands(&reduction.term);
        let number = |old: usize| used.iter().position(|i| *i == old).expect("collected from the term");
        reduction.term = renumbered(&reduction.term, number);
        reduction.start = Expression::read_of(used.len());
        let mut reads: Vec<Access> = used.iter().map(|i| self.nest.reads[*i].clone()).collect();
        reads.push(bias);
        self.nest.store = Expression::read_of(reads.len());
        self.nest.reads = reads;
        self.nest
    }
}

/// The contraction that the element-wise nest at a position folds into, and how.
fn fold_at(graph: &Graph, uses: &Uses, at: usize) -> Option<(usize, Fold)> {
    let is_fast = |nest: &Nest| graph.mode_of(&nest.name) == Mode::Fast;
    let map = nest_at(graph, at).filter(|nest| nest.reduction.is_none() && is_fast(nest))?;
    let mut producers = map.reads.iter().filter_map(|access| uses.private_writer(access.tensor));
    let producer = producers
        .find(|producer| nest_at(graph, *producer).is_some_and(|nest| is_fast(nest) && is_bare(graph, nest)))?;
    // The two as one nest tell which constants the map reads in which of the contraction's loops.
    let nest = fused(nest_at(graph, producer)?, map)?;
    let weight = constant_factor(graph, &nest)?;
    let reduced = nest.reduced();
    let map_reads: Vec<usize> = operands(&nest.store).into_iter().filter(|i| *i != reduced).collect();
    let bias_reads = operands(&nest.reduction.as_ref()?.start);
    if !map_reads.iter().chain(&bias_reads).all(|i| is_constant(graph, &nest, *i)) {
        return None;
    }
    let loops = |reads: &[usize]| -> BTreeSet<usize> { reads.iter().flat_map(|i| nest.reads[*i].loops()).collect() };
    let channels = loops(&map_reads);
    if !channels.is_subset(&loops(&[weight])) {
        return None;
    }
    let bias_loops: Vec<usize> = channels.union(&loops(&bias_reads)).copied().collect();
    let scaled = scaled_weight(graph, &nest, weight)?;
    let shifted = shifted_bias(graph, &nest, &bias_loops)?;
    Some((producer, Fold { nest, weight, scaled, bias_loops, shifted }))
}

/// Whether a nest is a contraction that stores the sum itself.
fn is_bare(graph: &Graph, nest: &Nest) -> bool {
    constant_factor(graph, nest).is_some() && nest.store == Expression::read_of(nest.reduced())
}

/// The read that is the constant one of a contraction's two factors.
fn constant_factor(graph: &Graph, nest: &Nest) -> Option<usize> {
    let mut constant = nest.factors()?.into_iter().filter(|i| is_constant(graph, nest, *i));
    constant.next().filter(|_| constant.next().is_none())
}

/// Whether a read is of a constant, always inside.
fn is_constant(graph: &Graph, nest: &Nest, read: usize) -> bool {
    let access = &nest.reads[read];
    graph.constant(access.tensor).is_some() && stays_inside(access, &extents(nest))
}

/// The operands an expression reads, ascending.
fn operands(expression: &Expression) -> Vec<usize> {
    let reads = expression.nodes.iter().filter_map(|node| match node {
        Node::Read(operand) => Some(*operand),
        Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
    });
    reads.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A constant's value in one iteration.
fn constant_at(graph: &Graph, access: &Access, iteration: &[usize]) -> Option<f64> {
    let words = graph.constant(access.tensor)?;
    Some(f64::from(f32::from_bits(words[access.position(iteration)?])))
}

/// Calls `visit` for every iteration of some of a nest's loops, the others at 0; `None` as soon as it gives `None`.
fn try_iterations(nest: &Nest, loops: &[usize], mut visit: impl FnMut(&[usize]) -> Option<()>) -> Option<()> {
    let all = extents(nest);
    let chosen: Vec<usize> = loops.iter().map(|axis| all[*axis]).collect();
    let mut full = vec![0; all.len()];
    let mut result = Some(());
    for_each_iteration(&chosen, |iteration| {
        loops.iter().zip(iteration).for_each(|(axis, i)| full[*axis] = *i);
        result = result.and_then(|()| visit(&full));
    });
    result
}

/// The weight times the map's scale; `None` when a weight would have to be scaled in two ways.
fn scaled_weight(graph: &Graph, nest: &Nest, weight: usize) -> Option<Arc<[u32]>> {
    let access = &nest.reads[weight];
    let mut words = graph.constant(access.tensor)?.to_vec();
    let mut scaled = vec![false; words.len()];
    let loops: Vec<usize> = access.loops().into_iter().collect();
    try_iterations(nest, &loops, |iteration| {
        let at = access.position(iteration)?;
        if std::mem::replace(&mut scaled[at], true) {
            return None;
        }
        let map = Affine::of(graph, nest, iteration)?;
        words[at] = rounded(map.scale * f64::from(f32::from_bits(words[at])))?;
        Some(())
    })?;
    Some(words.into())
}

/// The start of the sum taken through the map, row-major over these loops.
fn shifted_bias(graph: &Graph, nest: &Nest, loops: &[usize]) -> Option<Arc<[u32]>> {
    let start = &nest.reduction.as_ref()?.start;
    let mut words = Vec::new();
    try_iterations(nest, loops, |iteration| {
        let map = Affine::of(graph, nest, iteration)?;
        let bias = Affine::evaluate(start, |i| Some(Affine::constant(constant_at(graph, &nest.reads[i], iteration)?)))?;
        words.push(rounded(map.scale * bias.shift + map.shift)?);
        Some(())
    })?;
    Some(words.into())
}

/// The bits of the nearest `f32`, if it is finite.
fn rounded(value: f64) -> Option<u32> {
    let single = value as f32;
    single.is_finite().then_some(single.to_bits())
}

/// `scale * x + shift`.
#[derive(Clone, Copy)]
struct Affine {
    scale: f64,
    shift: f64,
    /// Whether `x` occurs at all.
    varies: bool,
}

impl Affine {
    fn constant(shift: f64) -> Self {
        Self { scale: 0.0, shift, varies: false }
    }

    /// The store of a nest in one iteration as a function of the reduction's result.
    fn of(graph: &Graph, nest: &Nest, iteration: &[usize]) -> Option<Self> {
        let operand = |i: usize| match nest.reads.get(i) {
            Some(access) => Some(Self::constant(constant_at(graph, access, iteration)?)),
            None => Some(Self { scale: 1.0, shift: 0.0, varies: true }),
        };
        Self::evaluate(&nest.store, operand).filter(|map| map.varies)
    }

    /// An expression's result, if it is affine.
    fn evaluate(expression: &Expression, operand: impl Fn(usize) -> Option<Self>) -> Option<Self> {
        let mut values: Vec<Self> = Vec::with_capacity(expression.nodes.len());
        for node in &expression.nodes {
            let given = |ids: &[NodeId]| ids.iter().map(|id| values[id.0 as usize]).collect::<Vec<_>>();
            let value = match node {
                Node::Read(number) => operand(*number)?,
                Node::Constant(bits) => Self::constant(f64::from(f32::from_bits(*bits))),
                Node::Apply(instruction, ids) => Self::apply(*instruction, &given(ids))?,
                Node::Call(function, ids) => {
                    let arguments = Self::constants(&given(ids))?;
                    Self::constant(function.real(&arguments))
                }
            };
            values.push(value);
        }
        Some(values[expression.result().0 as usize])
    }

    fn constants(values: &[Self]) -> Option<Vec<f64>> {
        values.iter().map(|value| (!value.varies).then_some(value.shift)).collect()
    }

    fn apply(instruction: Instruction, operands: &[Self]) -> Option<Self> {
        match (instruction, operands) {
            (Instruction::Add, [a, b]) => Some(a.plus(*b)),
            (Instruction::Subtract, [a, b]) => Some(a.plus(b.times(Self::constant(-1.0))?)),
            (Instruction::Negate, [a]) => a.times(Self::constant(-1.0)),
            (Instruction::Multiply, [a, b]) => a.times(*b),
            (Instruction::FusedMultiplyAdd, [a, b, c]) => Some(a.times(*b)?.plus(*c)),
            (Instruction::Divide, [a, b]) if !b.varies => {
                Some(Self { scale: a.scale / b.shift, shift: a.shift / b.shift, varies: a.varies })
            }
            (other, operands) => Some(Self::constant(other.real(&Self::constants(operands)?)?)),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { scale: self.scale + other.scale, shift: self.shift + other.shift, varies: self.varies || other.varies }
    }

    fn times(self, other: Self) -> Option<Self> {
        let (x, factor) = if other.varies { (other, self) } else { (self, other) };
        (!factor.varies).then_some(Self {
            scale: x.scale * factor.shift,
            shift: x.shift * factor.shift,
            varies: x.varies,
        })
    }
}
