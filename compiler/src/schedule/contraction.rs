//! Which nests are contractions, and how their weights are packed.
//!
//! One micro-kernel serves direct, pointwise, strided and grouped convolutions and matrix products. Each step of the
//! reduction loads the tile's weight vectors once, broadcasts one activation for each pixel and accumulates every product
//! in a register, so that the arithmetic units stay busy whatever the memory does. `parts` chooses the tiles, `tiling` emits
//! them.

use super::place::{BLOCK, Layout, Position, pack};
use crate::expression::Node;
use crate::graph::{Combine, Graph, Nest, Outside, Source};

/// Reductions shorter than this are left to the generic kernel: a tile would store about as often as it accumulates. A
/// judgement, not a measurement.
const SHORTEST: usize = 4;

/// Uses of a computed factor that make up for packing it, which takes a load and a store for each word. A judgement, not a
/// measurement.
const WORTH_PACKING: usize = 4;

/// A nest seen as a contraction.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// The read that is broadcast: activations.
    pub activation: usize,
    /// The read that is loaded as vectors: weights.
    pub weight: usize,
    /// The parallel axis that vectors run along: output channels.
    pub channel: usize,
    /// Parallel axes of which the weights know nothing, outermost first: pixels, rows.
    pub pixels: Vec<usize>,
    /// Parallel axes that both factors share: groups.
    pub groups: Vec<usize>,
}

impl Contraction {
    /// Recognises a contraction.
    pub fn of(graph: &Graph, nest: &Nest) -> Option<Self> {
        let reduction = nest.reduction.as_ref().filter(|reduction| reduction.combine == Combine::FusedSum)?;
        let terms: usize = reduction.axes.iter().map(|axis| axis.extent).product();
        (terms >= SHORTEST).then_some(())?;
        let factor = |i: usize| match reduction.term.nodes[reduction.term.results[i].0 as usize] {
            Node::Read(operand) => Some(operand),
            Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
        };
        let (a, b) = (factor(0)?, factor(1)?);
        let uses = |read: usize, axis: usize| {
            nest.reads[read].index.iter().flat_map(|index| &index.terms).any(|term| term.axis.0 == axis)
        };
        let axes = 0..nest.parallel.len();
        let channel = |activation: usize, weight: usize| {
            axes.clone()
                .filter(|axis| uses(weight, *axis) && !uses(activation, *axis) && nest.parallel[*axis].extent > 1)
                .max_by_key(|axis| nest.parallel[*axis].extent)
        };
        let constant = |read: usize| matches!(graph.tensor(nest.reads[read].tensor).source, Source::Constant(_));
        let reused = |weight: usize| -> usize {
            axes.clone().filter(|axis| !uses(weight, *axis)).map(|axis| nest.parallel[axis].extent).product()
        };
        // Constants are packed now; what is computed is packed at run time, which takes a few uses to pay.
        let (activation, weight, channel) = [(a, b), (b, a)].into_iter().find_map(|(activation, weight)| {
            let worth_packing = constant(weight) || (reused(weight) >= WORTH_PACKING && !constant(activation));
            let fits = worth_packing && nest.reads[weight].outside == Outside::Never;
            Some((activation, weight, channel(activation, weight).filter(|_| fits)?))
        })?;
        let pixels = axes.clone().filter(|axis| !uses(weight, *axis)).collect();
        let groups = axes.filter(|axis| *axis != channel && uses(weight, *axis)).collect();
        Some(Self { activation, weight, channel, pixels, groups })
    }

    /// Where each weight lies when packed: `[channel block][groups][first reduction axis in blocks][the others][within
    /// the block][16 channels]`, the order in which every kernel reads them.
    pub fn packed(&self, nest: &Nest) -> Position {
        self.packed_over(&super::forms::extents(nest), nest.parallel.len())
    }

    /// The same for loops of these extents, of which so many are parallel.
    pub fn packed_over(&self, extents: &[usize], parallel: usize) -> Position {
        let mut axes = vec![Vec::new(); extents.len()];
        let width = extents[parallel].min(BLOCK);
        let others: usize = extents[parallel + 1..].iter().product();
        let mut stride = (BLOCK * width) as i64;
        for axis in (parallel + 1..extents.len()).rev() {
            axes[axis] = (0..extents[axis]).map(|i| i as i64 * stride).collect();
            stride *= extents[axis] as i64;
        }
        let block = (BLOCK * width * others) as i64;
        axes[parallel] =
            (0..extents[parallel]).map(|i| (i / width) as i64 * block + (i % width * BLOCK) as i64).collect();
        let mut stride = block * extents[parallel].div_ceil(width) as i64;
        for axis in self.groups.iter().rev() {
            axes[*axis] = (0..extents[*axis]).map(|i| i as i64 * stride).collect();
            stride *= extents[*axis] as i64;
        }
        axes[self.channel] =
            (0..extents[self.channel]).map(|i| (i / BLOCK) as i64 * stride + (i % BLOCK) as i64).collect();
        Position { offset: 0, axes, guards: Vec::new() }
    }

    /// Elements of the packed weights.
    pub fn packed_elements(&self, nest: &Nest) -> usize {
        self.packed(nest).last_word().next_multiple_of(BLOCK)
    }

    /// Packs the weights; what no weight fills is zero.
    pub fn pack(&self, graph: &Graph, nest: &Nest) -> Vec<u32> {
        let access = &nest.reads[self.weight];
        let Source::Constant(words) = &graph.tensor(access.tensor).source else { panic!("weights are constant") };
        let extents = super::forms::extents(nest);
        let from = Position::new(access, &access.shape, Layout::DENSE, &extents).expect("dense rows have positions");
        pack(words, &from, &self.packed(nest), &extents, self.packed_elements(nest))
    }
}
