//! The kernel for contractions with constant weights: a register tile of pixels times channel vectors.
//!
//! One micro-kernel serves direct, pointwise, strided and grouped convolutions and matrix products. Each step of the
//! reduction loads the tile's weight vectors once, broadcasts one activation for each pixel and accumulates every product
//! in a register, so that the arithmetic units stay busy whatever the memory does.

use super::frame::{Coordinate, Frame};
use super::generic::Loops;
use super::place::{BLOCK, Position};
use crate::expression::{Expression, Node};
use crate::graph::{Combine, Graph, Nest, Outside, Source};
use crate::instruction::Instruction;
use crate::kernel::{Type, ValueId, VariableId};
use crate::plan::Order;
use ncnnc_targets::{Target, Tile};
use std::ops::Range;

/// Reductions shorter than this leave nothing to keep in registers; the generic kernel is as good.
const SHORTEST: usize = 4;

/// A nest seen as a contraction.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// The read that is broadcast: activations.
    pub activation: usize,
    /// The read that is loaded as vectors: constant weights.
    pub weight: usize,
    /// The parallel axis that vectors run along: output channels.
    pub channel: usize,
    /// Parallel axes of which the weights know nothing, outermost first: pixels, rows.
    pub pixels: Vec<usize>,
    /// Parallel axes that both factors share: groups.
    pub groups: Vec<usize>,
}

impl Contraction {
    /// Recognises a contraction with constant weights.
    pub fn of(graph: &Graph, nest: &Nest) -> Option<Self> {
        let reduction = nest.reduction.as_ref().filter(|reduction| reduction.combine == Combine::FusedSum)?;
        let terms: usize = reduction.axes.iter().map(|axis| axis.extent).product();
        (terms >= SHORTEST).then_some(())?;
        let factor = |i: usize| match reduction.term.nodes[reduction.term.results[i].0 as usize] {
            Node::Read(operand) => Some(operand),
            Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
        };
        let (a, b) = (factor(0)?, factor(1)?);
        let constant = |read: usize| {
            let access = &nest.reads[read];
            access.outside == Outside::Never && matches!(graph.tensor(access.tensor).source, Source::Constant(_))
        };
        let (activation, weight) = match (constant(a), constant(b)) {
            (false, true) => (a, b),
            (true, false) => (b, a),
            (true, true) | (false, false) => return None,
        };
        let uses = |read: usize, axis: usize| {
            nest.reads[read].index.iter().flat_map(|index| &index.terms).any(|term| term.axis.0 == axis)
        };
        let axes = 0..nest.parallel.len();
        let channel = axes
            .clone()
            .filter(|axis| uses(weight, *axis) && !uses(activation, *axis) && nest.parallel[*axis].extent > 1)
            .max_by_key(|axis| nest.parallel[*axis].extent)?;
        let pixels = axes.clone().filter(|axis| !uses(weight, *axis)).collect();
        let groups = axes.filter(|axis| *axis != channel && uses(weight, *axis)).collect();
        Some(Self { activation, weight, channel, pixels, groups })
    }

    /// Where each weight lies when packed: `[channel block][groups][first reduction axis in blocks][the others][within
    /// the block][16 channels]`, the order in which every kernel reads them.
    pub fn packed(&self, nest: &Nest) -> Position {
        let extents: Vec<usize> = nest.axes().map(|axis| axis.extent).collect();
        let parallel = nest.parallel.len();
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

    /// Words of the packed weights.
    pub fn packed_words(&self, nest: &Nest) -> usize {
        let position = self.packed(nest);
        let last: i64 = position.axes.iter().filter_map(|axis| axis.last()).sum();
        (last as usize + 1).next_multiple_of(BLOCK)
    }

    /// Packs the weights, given dense; what no weight fills is zero.
    pub fn pack(&self, graph: &Graph, nest: &Nest) -> Vec<u32> {
        let access = &nest.reads[self.weight];
        let Source::Constant(words) = &graph.tensor(access.tensor).source else { panic!("weights are constant") };
        let extents: Vec<usize> = nest.axes().map(|axis| axis.extent).collect();
        let from = Position::new(access, &access.shape, super::place::Layout::DENSE, &extents).expect("dense");
        let to = self.packed(nest);
        let moving: Vec<usize> = (0..extents.len()).filter(|axis| !to.axes[*axis].is_empty()).collect();
        let mut packed = vec![0; self.packed_words(nest)];
        let (from, to) = (&from, &to);
        let mut pairs = vec![(from.offset, 0)];
        let (innermost, outer) = moving.split_last().expect("weights have a reduction axis");
        for axis in outer {
            pairs = pairs
                .iter()
                .flat_map(|(f, t)| (0..extents[*axis]).map(move |i| (f + from.step(*axis, i), t + to.step(*axis, i))))
                .collect();
        }
        for (f, t) in pairs {
            for i in 0..extents[*innermost] {
                packed[(t + to.step(*innermost, i)) as usize] = words[(f + from.step(*innermost, i)) as usize];
            }
        }
        packed
    }
}

/// A part of a contraction that one kernel carries out: a range of channels, all in groups of the same width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// First channel.
    pub first: usize,
    /// Channels; the last group may be partial.
    pub channels: usize,
    /// Vectors in a group.
    pub vectors: usize,
    /// Pixels in a tile, at most.
    pub pixels: usize,
}

/// Divides the channels into parts and chooses the tile for each. Unless places are `padded`, the channels that fill no
/// vector are in a part of one group.
pub fn parts(contraction: &Contraction, extents: &[usize], padded: bool, target: &Target) -> Vec<Part> {
    let channels = extents[contraction.channel];
    let pixels: usize = contraction.pixels.iter().map(|axis| extents[*axis]).product();
    let vectors = channels.div_ceil(target.lanes);
    let best = target
        .tiles
        .iter()
        .min_by(|a, b| cost(**a, pixels, vectors).total_cmp(&cost(**b, pixels, vectors)))
        .expect("a target has tiles");
    // A single row of outputs is held in several vectors to hide the latency of the sum.
    let tile = if pixels == 1 { Tile { pixels: 1, vectors: LONGEST_ROW } } else { *best };
    let full = if padded { vectors } else { channels / target.lanes };
    let width = tile.vectors.min(full).max(1);
    let whole = full / width * width;
    let mut parts = Vec::new();
    if whole > 0 {
        let covered = (whole * target.lanes).min(channels);
        parts.push(Part { first: 0, channels: covered, vectors: width, pixels: tile.pixels });
    }
    let rest = vectors - whole;
    if rest > 0 {
        let first = whole * target.lanes;
        // Fewer vectors leave room for more pixels.
        let pixels = ((target.vector_registers - rest - 2) / rest).min(tile.pixels * tile.vectors);
        parts.push(Part { first, channels: channels - first, vectors: rest, pixels });
    }
    parts
}

/// Vectors of output of a matrix-vector product held at once.
const LONGEST_ROW: usize = 8;

/// Cycles for one step of the reduction over the whole output, for machines with two multiply-add units and two loads in
/// a cycle: what a tile size costs in edges and in loads.
fn cost(tile: Tile, pixels: usize, vectors: usize) -> f64 {
    let tiles = pixels.div_ceil(tile.pixels) as f64;
    let one = |width: usize| {
        let pixels = pixels as f64 / tiles;
        let multiply = (pixels * width as f64 / 2.0).max(4.0);
        multiply.max((pixels + width as f64) / 2.0)
    };
    let whole = (vectors / tile.vectors) as f64 * one(tile.vectors);
    let rest = if vectors.is_multiple_of(tile.vectors) { 0.0 } else { one(vectors % tile.vectors) };
    tiles * (whole + rest)
}

/// One part of a contraction being emitted.
pub struct Tiling<'n> {
    /// The nest with its accesses resolved; the weight's position is the packed one.
    pub loops: Loops<'n>,
    /// The axes' roles.
    pub contraction: &'n Contraction,
    /// Which channels.
    pub part: Part,
}

impl Tiling<'_> {
    /// Whether groups of channels are the tasks, rather than rows of pixels.
    fn channels_are_tasks(&self, lanes: usize) -> bool {
        self.rows().is_none_or(|rows| self.channel_groups(lanes) >= self.loops.extents[rows])
    }

    fn channel_groups(&self, lanes: usize) -> usize {
        self.part.channels.div_ceil(self.part.vectors * lanes)
    }

    /// The outermost pixel axis, if there is one beside the one that tiles run along.
    fn rows(&self) -> Option<usize> {
        let (_, outer) = self.long_pixels().split_last().map(|(last, outer)| (*last, outer.to_vec()))?;
        outer.first().copied()
    }

    fn long_pixels(&self) -> Vec<usize> {
        self.contraction.pixels.iter().copied().filter(|axis| self.loops.extents[*axis] > 1).collect()
    }

    /// Number of tasks.
    pub fn tasks(&self, lanes: usize) -> usize {
        match self.rows() {
            Some(rows) if !self.channels_are_tasks(lanes) => self.loops.extents[rows],
            Some(_) | None => self.channel_groups(lanes),
        }
    }

    /// Adds the part to a frame whose kernel has [`Self::tasks`].
    pub fn emit(&self, frame: &mut Frame) {
        let lanes = frame.builder.lanes();
        let task = frame.builder.task();
        let groups = self.channel_groups(lanes);
        let width = self.part.vectors * lanes;
        let mut outer: Vec<usize> = self.contraction.groups.clone();
        let pixels = self.long_pixels();
        outer.extend(pixels.iter().rev().skip(1).rev());
        if self.channels_are_tasks(lanes) {
            frame.coordinates[self.contraction.channel] =
                Coordinate::counted(task, width, groups).moved(self.part.first);
            self.outer(frame, &outer, &|frame| self.row(frame, &pixels));
            return;
        }
        let rows = self.rows().expect("rows are tasks");
        outer.retain(|axis| *axis != rows);
        frame.coordinates[rows] = Coordinate::counted(task, 1, self.loops.extents[rows]);
        self.outer(frame, &outer, &|frame| {
            let inner = |frame: &mut Frame, at: Coordinate| {
                frame.coordinates[self.contraction.channel] = at.moved(self.part.first);
                self.row(frame, &pixels);
            };
            match groups {
                1 => inner(frame, Coordinate::fixed(0)),
                _ => frame.repeat(groups, |frame, group| inner(frame, Coordinate::counted(group, width, groups))),
            }
        });
    }

    fn outer(&self, frame: &mut Frame, axes: &[usize], inner: &dyn Fn(&mut Frame)) {
        let Some((axis, rest)) = axes.split_first() else { return inner(frame) };
        let extent = self.loops.extents[*axis];
        if extent == 1 {
            frame.coordinates[*axis] = Coordinate::fixed(0);
            return self.outer(frame, rest, inner);
        }
        frame.repeat(extent, |frame, counter| {
            frame.coordinates[*axis] = Coordinate::counted(counter, 1, extent);
            self.outer(frame, rest, inner);
        });
    }

    /// The tiles along the innermost pixel axis: near-equal widths, the wider ones first.
    fn row(&self, frame: &mut Frame, pixels: &[usize]) {
        let Some(axis) = pixels.last().copied() else { return self.tile(frame, None) };
        for (range, count) in tiles(self.loops.extents[axis], self.part.pixels) {
            let width = range.len();
            match count {
                1 => self.tile(frame, Some((axis, Coordinate::fixed(range.start), width))),
                _ => frame.repeat(count, |frame, counter| {
                    let at = Coordinate::counted(counter, width, count).moved(range.start);
                    self.tile(frame, Some((axis, at, width)));
                }),
            }
        }
    }

    /// One register tile.
    fn tile(&self, frame: &mut Frame, along: Option<(usize, Coordinate, usize)>) {
        let lanes = frame.builder.lanes();
        let Contraction { activation, weight, channel, .. } = *self.contraction;
        let (reduction, order) = self.loops.reduction.expect("a contraction has a reduction");
        let Order::Chain { block } = order else { panic!("contractions are chains") };
        let base = frame.coordinates[channel].clone();
        let width = along.as_ref().map_or(1, |(_, _, width)| *width);
        let pixel = |frame: &mut Frame, i: usize| {
            if let Some((axis, at, _)) = &along {
                frame.coordinates[*axis] = at.clone().moved(i);
            }
        };
        let vector = |frame: &mut Frame, v: usize| frame.coordinates[channel] = base.clone().moved(v * lanes);
        let sums: Vec<VariableId> =
            (0..width * self.part.vectors).map(|_| frame.builder.variable(Type::Vector)).collect();
        let start = reduction.start.expanded();
        let shared = !start.nodes.iter().any(|node| matches!(node, Node::Read(read) if self.moves(*read)));
        for v in 0..self.part.vectors {
            vector(frame, v);
            let mut value = None;
            for i in 0..width {
                pixel(frame, i);
                if value.is_none() || !shared {
                    value = Some(frame.expression(Type::Vector, &start, &self.loops.reads, None, Some(channel))[0]);
                }
                frame.builder.set(sums[i * self.part.vectors + v], value.expect("computed above"));
            }
        }
        self.loops.chain(frame, block, &|frame| {
            let weights: Vec<ValueId> = (0..self.part.vectors)
                .map(|v| {
                    vector(frame, v);
                    frame.read(Type::Vector, &self.loops.reads[weight], Some(channel))
                })
                .collect();
            for i in 0..width {
                pixel(frame, i);
                let factor = frame.read(Type::Vector, &self.loops.reads[activation], Some(channel));
                for (v, weight) in weights.iter().enumerate() {
                    let sum = sums[i * self.part.vectors + v];
                    let there = frame.builder.get(sum);
                    let next = frame.builder.apply(Instruction::FusedMultiplyAdd, &[*weight, factor, there]);
                    frame.builder.set(sum, next);
                }
            }
        });
        for i in 0..width {
            for v in 0..self.part.vectors {
                pixel(frame, i);
                vector(frame, v);
                let sum = frame.builder.get(sums[i * self.part.vectors + v]);
                self.finish(frame, v, sum);
            }
        }
        frame.coordinates[channel] = base;
    }

    /// Whether a read moves with the pixels of a tile.
    fn moves(&self, read: usize) -> bool {
        self.contraction.pixels.iter().any(|axis| self.loops.reads[read].position.depends_on(*axis))
    }

    /// Stores one vector of sums; of a last, partial vector only the channels there are.
    fn finish(&self, frame: &mut Frame, v: usize, sum: ValueId) {
        let lanes = frame.builder.lanes();
        let channel = self.contraction.channel;
        let store: &Expression = &self.loops.store;
        let value = frame.expression(Type::Vector, store, &self.loops.reads, Some(sum), Some(channel))[0];
        let address = frame.address(&self.loops.write);
        let there = self.part.channels.saturating_sub(v * lanes);
        if self.loops.padded || there >= lanes {
            return frame.builder.store(address, value);
        }
        for lane in 0..there {
            let word = frame.first_of(value, lane);
            frame.builder.store(address.clone().moved(lane as i64), word);
        }
    }
}

/// Near-equal tiles over so many pixels, as the first tile's range and how many of that width follow one another.
fn tiles(pixels: usize, at_most: usize) -> Vec<(Range<usize>, usize)> {
    let count = pixels.div_ceil(at_most);
    let (narrow, wide) = (pixels / count, pixels % count);
    let mut tiles = Vec::new();
    if wide > 0 {
        tiles.push((0..narrow + 1, wide));
    }
    let start = wide * (narrow + 1);
    tiles.push((start..start + narrow, count - wide));
    tiles
}
