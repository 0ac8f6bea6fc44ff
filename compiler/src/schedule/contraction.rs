//! The kernel for contractions: a register tile of pixels times channel vectors.
//!
//! One micro-kernel serves direct, pointwise, strided and grouped convolutions and matrix products. Each step of the
//! reduction loads the tile's weight vectors once, broadcasts one activation for each pixel and accumulates every product
//! in a register, so that the arithmetic units stay busy whatever the memory does.

use super::frame::{Coordinate, Frame};
use super::generic::{Loops, tasks_text, values};
use super::place::{BLOCK, Layout, Position, pack};
use crate::expression::Node;
use crate::graph::{Combine, Graph, Nest, Outside, Source};
use crate::instruction::Instruction;
use crate::kernel::{Address, Type, ValueId, VariableId};
use crate::plan::Order;
use crate::recipe::Sum;
use ncnnc_targets::{Target, Tile};
use std::ops::Range;

/// Reductions shorter than this are left to the generic kernel: a tile would store about as often as it accumulates. A
/// judgement, not a measurement.
const SHORTEST: usize = 4;

/// Tiles that run from row to row have code of their own, so there may be at most so many in a plane. A judgement, not a
/// measurement.
const MOST_TILES: usize = 12;

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

/// A part of a contraction that one kernel carries out: a range of channels, all in groups of the same width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// First channel.
    pub first: usize,
    /// Channels; the last group may be partial.
    pub channels: usize,
    /// Vectors in a group.
    pub vectors: usize,
    /// Which pixels are in a tile.
    pub along: Along,
}

/// How tiles run along the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Parts of a row, of at most so many pixels.
    Row(usize),
    /// Whole rows, at most so many.
    Rows(usize),
    /// From row to row through a small plane, at most so many pixels, each at a fixed place.
    Plane(usize),
}

/// How much of a group's sums a walk over its tiles carries out. Long sums are cut into slices whose weights stay in the
/// first-level cache while all pixels use them; the sums wait in the output, where they are exactly what they were.
#[derive(Clone, Copy)]
enum Stage {
    /// From the start to what is stored.
    Whole,
    /// The start alone.
    Start,
    /// This one of so many slices.
    Slice(ValueId, usize),
    /// What is stored alone.
    Finish,
}

/// Tiles that use the same weights, one after another.
struct Walk {
    stage: Stage,
    /// The pixel axes they run along, outermost first.
    pixels: Vec<usize>,
}

/// Bytes of weights that stay in the first-level cache beside the activations of a tile: half of what even small cores have.
const NEAR: usize = 16 << 10;

/// Weights of a group beyond so many bytes don't stay in the second-level cache while one tile after another uses them all.
/// Without a window, whose taps use activations again, those stream as well, and weights must come from nearer.
const FAR: usize = 256 << 10;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// A slice of weights is read from further away for one tile; so many more must find it near to make up for keeping the
/// sums in memory. A judgement, not a measurement.
const WORTH_SLICING: usize = 4;

/// Divides the channels into parts and chooses the tile for each. Unless places are `padded`, the channels that fill no
/// vector are in a part of one group. Each sum takes so many `words`.
pub fn parts(contraction: &Contraction, extents: &[usize], padded: bool, words: usize, target: &Target) -> Vec<Part> {
    let channels = extents[contraction.channel];
    let plane = Plane::of(contraction, extents);
    let vectors = channels.div_ceil(target.lanes);
    let (best, _) = best(plane, vectors, target);
    let tile = match (words, plane.pixels()) {
        // A single row of outputs is held in several vectors to hide the latency of the sum.
        (1, 1) => Tile { pixels: 1, vectors: LONGEST_ROW },
        (1, _) => best,
        (_, 1) => Tile { pixels: 1, vectors: COMPENSATED.pixels * COMPENSATED.vectors },
        (_, _) => COMPENSATED,
    };
    let full = if padded { vectors } else { channels / target.lanes };
    let width = tile.vectors.min(full).max(1);
    let whole = full / width * width;
    let mut parts = Vec::new();
    if whole > 0 {
        let covered = (whole * target.lanes).min(channels);
        parts.push(Part { first: 0, channels: covered, vectors: width, along: plane.along(tile.pixels, width).0 });
    }
    let rest = vectors - whole;
    // Fewer vectors leave room for more pixels.
    if let Some(room) = (target.vector_registers - rest - 2).checked_div(rest) {
        let first = whole * target.lanes;
        let pixels = room.clamp(1, tile.pixels * tile.vectors);
        parts.push(Part { first, channels: channels - first, vectors: rest, along: plane.along(pixels, rest).0 });
    }
    parts
}

/// What a contraction costs for each pixel and step of the sum, in cycles of a machine with two multiply-add units and two
/// loads in a cycle.
pub fn cost_of_pixel(contraction: &Contraction, extents: &[usize], target: &Target) -> f64 {
    let plane = Plane::of(contraction, extents);
    let (_, cost) = best(plane, extents[contraction.channel].div_ceil(target.lanes), target);
    cost / plane.pixels() as f64
}

/// The best tile and what it costs for each step of the reduction over the whole output, as [`cost_of_step`] counts.
fn best(plane: Plane, vectors: usize, target: &Target) -> (Tile, f64) {
    let cost = |tile: &Tile| {
        let across = |width: usize| plane.along(tile.pixels, width).1;
        let rest = if vectors.is_multiple_of(tile.vectors) { 0.0 } else { across(vectors % tile.vectors) };
        (vectors / tile.vectors) as f64 * across(tile.vectors) + rest
    };
    let tiles = target.tiles.iter().map(|tile| (*tile, cost(tile)));
    tiles.min_by(|(_, a), (_, b)| a.total_cmp(b)).expect("a target has tiles")
}

/// The pixels of a contraction: planes of rows along the two innermost axes.
#[derive(Clone, Copy)]
struct Plane {
    planes: usize,
    rows: usize,
    row: usize,
}

impl Plane {
    fn of(contraction: &Contraction, extents: &[usize]) -> Self {
        let mut long: Vec<usize> =
            contraction.pixels.iter().map(|axis| extents[*axis]).filter(|extent| *extent > 1).collect();
        let row = long.pop().unwrap_or(1);
        let rows = long.pop().unwrap_or(1);
        Self { planes: long.iter().product(), rows, row }
    }

    fn pixels(self) -> usize {
        self.planes * self.rows * self.row
    }

    /// How tiles of at most so many pixels and so many vectors best run, and what they cost for each step of the reduction.
    /// Of equal ways, whole rows reuse weights most, and parts of a row need the least code.
    fn along(self, pixels: usize, vectors: usize) -> (Along, f64) {
        let rows = pixels / self.row;
        let ways = [
            (rows > 1 && self.rows > 1).then_some(Along::Rows(rows)),
            Some(Along::Row(pixels)),
            (self.rows > 1 && self.rows * self.row <= MOST_TILES * pixels).then_some(Along::Plane(pixels)),
        ];
        let cost = |along: &Along| -> f64 {
            let tiles = self.tiles(*along).into_iter();
            tiles.map(|(pixels, count)| count as f64 * cost_of_step(pixels, vectors)).sum()
        };
        let ways = ways.into_iter().flatten().map(|along| (along, cost(&along)));
        ways.min_by(|(_, a), (_, b)| a.total_cmp(b)).expect("a part of a row always fits")
    }

    /// Pixels of tiles, and how many tiles have so many.
    fn tiles(self, along: Along) -> Vec<(usize, usize)> {
        let (extent, at_most, pixels, repeated) = match along {
            Along::Row(pixels) => (self.row, pixels, 1, self.planes * self.rows),
            Along::Rows(rows) => (self.rows, rows, self.row, self.planes),
            Along::Plane(pixels) => (self.rows * self.row, pixels, 1, self.planes),
        };
        let tiles = tiles(extent, at_most).into_iter();
        tiles.map(|(range, count)| (range.len() * pixels, count * repeated)).collect()
    }
}

/// Vectors of output of a matrix-vector product held at once.
const LONGEST_ROW: usize = 8;

/// The tile of compensated sums, which take two registers each and several more for every product: what sixteen registers
/// hold. The arithmetic of four sums keeps the units busy.
const COMPENSATED: Tile = Tile { pixels: 2, vectors: 2 };

/// Cycles that one step of the reduction takes for one tile.
fn cost_of_step(pixels: usize, vectors: usize) -> f64 {
    let multiply = (pixels * vectors) as f64 / 2.0;
    // Fewer sums than this leave the units waiting for the sum before.
    multiply.max((pixels + vectors) as f64 / 2.0).max(4.0)
}

/// One part of a contraction being emitted.
pub struct Tiling<'n> {
    /// The nest with its accesses resolved; the weight's position is the packed one.
    pub loops: Loops,
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

    /// The outermost pixel axis, if there is one beside those that tiles run along.
    fn rows(&self) -> Option<usize> {
        self.outer_pixels().first().copied()
    }

    /// The axes that tiles run along: the innermost, and the one around it where tiles reach into several rows.
    fn tile_axes(&self) -> Vec<usize> {
        let long = self.long_pixels();
        let count = match self.part.along {
            Along::Row(_) => 1,
            Along::Rows(_) | Along::Plane(_) => 2,
        };
        long[long.len().saturating_sub(count)..].to_vec()
    }

    fn outer_pixels(&self) -> Vec<usize> {
        let long = self.long_pixels();
        let tiled = self.tile_axes();
        long.into_iter().filter(|axis| !tiled.contains(axis)).collect()
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

    /// The register tile and what the tasks are, in words; `names` are those of the axes.
    pub fn how(&self, lanes: usize, names: &[&str]) -> String {
        let along = match self.rows() {
            Some(rows) if !self.channels_are_tasks(lanes) => rows,
            Some(_) | None => self.contraction.channel,
        };
        let slices = match self.slices(lanes) {
            1 => String::new(),
            slices => format!("; sums in {slices} slices"),
        };
        format!("{}{slices}; {}", self.tile_text(lanes, names), tasks_text(self.tasks(lanes), names[along]))
    }

    /// The register tile in words.
    pub fn tile_text(&self, lanes: usize, names: &[&str]) -> String {
        let extent = |axis: &usize| self.loops.extents[*axis];
        let widths = |extent: usize, at_most: usize| {
            let widths = tiles(extent, at_most).into_iter().map(|(range, _)| range.len().to_string());
            widths.collect::<Vec<_>>().join(" or ")
        };
        let counted = |count: &str, what: &str| format!("{count} {what}{}", if count == "1" { "" } else { "s" });
        let pixels = match (self.part.along, &self.tile_axes()[..]) {
            (Along::Row(pixels), [axis]) => counted(&widths(extent(axis), pixels), "pixel"),
            (Along::Rows(rows), [outer, inner]) => {
                let rows = counted(&widths(extent(outer), rows), "row");
                format!("{rows} of {}", counted(&extent(inner).to_string(), "pixel"))
            }
            (Along::Plane(pixels), [outer, inner]) => {
                let pixels = counted(&widths(extent(outer) * extent(inner), pixels), "pixel");
                format!("{pixels} from row to row")
            }
            (Along::Row(_) | Along::Rows(_) | Along::Plane(_), _) => counted("1", "pixel"),
        };
        let Part { first, channels, vectors, .. } = self.part;
        let channel = self.contraction.channel;
        let share = match (first, channels) {
            (0, all) if all == extent(&channel) => String::new(),
            (first, channels) => format!(", {} {first} to {}", names[channel], first + channels - 1),
        };
        let vectors = counted(&vectors.to_string(), "vector");
        format!("tiles of {pixels} x {vectors} of {lanes} channels{share}")
    }

    /// Adds the part to a frame whose kernel has [`Self::tasks`].
    pub fn emit(&self, frame: &mut Frame) {
        let lanes = frame.builder.lanes();
        let task = frame.builder.task();
        let groups = self.channel_groups(lanes);
        let width = self.part.vectors * lanes;
        let mut outer: Vec<usize> = self.contraction.groups.clone();
        if self.channels_are_tasks(lanes) {
            frame.coordinates[self.contraction.channel] =
                Coordinate::counted(task, width, groups).moved(self.part.first);
            self.outer(frame, &outer, &|frame| self.stages(frame));
            return;
        }
        let rows = self.rows().expect("rows are tasks");
        outer.extend(self.outer_pixels().into_iter().filter(|axis| *axis != rows));
        let pixels = self.long_pixels().into_iter().filter(|axis| *axis != rows).collect();
        let walk = Walk { stage: Stage::Whole, pixels };
        frame.coordinates[rows] = Coordinate::counted(task, 1, self.loops.extents[rows]);
        self.outer(frame, &outer, &|frame| {
            let inner = |frame: &mut Frame, at: Coordinate| {
                frame.coordinates[self.contraction.channel] = at.moved(self.part.first);
                self.walk(frame, &walk);
            };
            match groups {
                1 => inner(frame, Coordinate::fixed(0)),
                _ => frame.repeat(groups, |frame, group| inner(frame, Coordinate::counted(group, width, groups))),
            }
        });
    }

    /// All pixels of a group of channels.
    fn stages(&self, frame: &mut Frame) {
        let outer = self.outer_pixels();
        let all = |frame: &mut Frame, stage| {
            let walk = Walk { stage, pixels: self.long_pixels() };
            self.outer(frame, &outer, &|frame| self.walk(frame, &walk));
        };
        match self.slices(frame.builder.lanes()) {
            1 => all(frame, Stage::Whole),
            slices => {
                all(frame, Stage::Start);
                frame.repeat(slices, |frame, slice| all(frame, Stage::Slice(slice, slices)));
                all(frame, Stage::Finish);
            }
        }
    }

    /// How many slices the sums are best cut into.
    fn slices(&self, lanes: usize) -> usize {
        let Tiling { loops, contraction, part } = self;
        let whole = loops.padded == Some(contraction.channel) || part.channels.is_multiple_of(lanes);
        let (channels, taps) = loops.extents[loops.parallel..].split_first().expect("a contraction has a reduction");
        let tiles = Plane::of(contraction, &loops.extents).tiles(part.along);
        let tiles: usize = tiles.into_iter().map(|(_, count)| count).sum();
        // The output has room for one word of a sum.
        let waits = loops.sum.as_ref().is_some_and(|(sum, _)| sum.words() == 1);
        let can = waits && self.channels_are_tasks(lanes) && whole && loops.writes_vectors(contraction.channel);
        if !can || tiles < WORTH_SLICING || channels % BLOCK != 0 {
            return 1;
        }
        let taps: usize = taps.iter().product();
        let blocks = channels / BLOCK;
        let block = BLOCK * taps * part.vectors * lanes * size_of::<f32>();
        if blocks * block <= if taps > 1 { FAR } else { 2 * NEAR } {
            return 1;
        }
        let fits = |slices: &usize| blocks.is_multiple_of(*slices) && blocks / slices * block <= NEAR;
        (1..=blocks).find(fits).unwrap_or(blocks)
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

    /// All tiles of the axes they run along, at the present point of the others.
    pub fn tiles(&self, frame: &mut Frame) {
        self.walk(frame, &Walk { stage: Stage::Whole, pixels: self.tile_axes() });
    }

    fn walk(&self, frame: &mut Frame, walk: &Walk) {
        let extent = |axis: &usize| self.loops.extents[*axis];
        match (self.part.along, &self.tile_axes()[..]) {
            (Along::Row(pixels), [axis]) => along(frame, extent(axis), pixels, &|frame, at, width| {
                let pixel = |i| vec![(*axis, at.clone().moved(i))];
                self.tile(frame, walk, &(0..width).map(pixel).collect::<Vec<_>>());
            }),
            (Along::Rows(rows), [outer, inner]) => along(frame, extent(outer), rows, &|frame, at, rows| {
                let row = extent(inner);
                let pixel = |i| vec![(*outer, at.clone().moved(i / row)), (*inner, Coordinate::fixed(i % row))];
                self.tile(frame, walk, &(0..rows * row).map(pixel).collect::<Vec<_>>());
            }),
            (Along::Plane(pixels), [outer, inner]) => {
                let row = extent(inner);
                let pixel = |i| vec![(*outer, Coordinate::fixed(i / row)), (*inner, Coordinate::fixed(i % row))];
                for (first, count) in tiles(extent(outer) * row, pixels) {
                    for tile in 0..count {
                        let start = first.start + tile * first.len();
                        self.tile(frame, walk, &(start..start + first.len()).map(pixel).collect::<Vec<_>>());
                    }
                }
            }
            (Along::Row(_) | Along::Rows(_) | Along::Plane(_), _) => self.tile(frame, walk, &[Vec::new()]),
        }
    }

    /// One register tile of pixels, given by their coordinates on the axes that tiles run along.
    fn tile(&self, frame: &mut Frame, walk: &Walk, pixels: &[Vec<(usize, Coordinate)>]) {
        let lanes = frame.builder.lanes();
        let Contraction { activation, weight, channel, .. } = *self.contraction;
        let (sum, order) = self.loops.sum.as_ref().expect("a contraction has a sum");
        let Order::Chain { block } = *order else { panic!("contractions are chains") };
        let stage = walk.stage;
        let base = frame.coordinates[channel].clone();
        let width = pixels.len();
        let pixel = |frame: &mut Frame, i: usize| {
            for (axis, at) in &pixels[i] {
                frame.coordinates[*axis] = at.clone();
            }
        };
        let vector = |frame: &mut Frame, v: usize| frame.coordinates[channel] = base.clone().moved(v * lanes);
        let words = sum.words();
        let sums: Vec<VariableId> =
            (0..width * self.part.vectors * words).map(|_| frame.builder.variable(Type::Vector)).collect();
        let sum_of = |i: usize, v: usize| &sums[(i * self.part.vectors + v) * words..][..words];
        let start = &sum.start;
        let shared = !start.nodes.iter().any(|node| matches!(node, Node::Read(read) if self.moves(*read)));
        for v in 0..self.part.vectors {
            vector(frame, v);
            let mut value = None;
            for i in 0..width {
                pixel(frame, i);
                let begun = match stage {
                    Stage::Whole | Stage::Start if value.is_none() || !shared => {
                        frame.expression(Type::Vector, start, &self.loops.reads, &[], Some(channel))
                    }
                    Stage::Whole | Stage::Start => value.expect("computed above"),
                    Stage::Slice(..) | Stage::Finish => {
                        let address = frame.address(&self.loops.write);
                        vec![frame.builder.load(Type::Vector, address)]
                    }
                };
                sum_of(i, v).iter().zip(&begun).for_each(|(word, value)| frame.builder.set(*word, *value));
                value = Some(begun);
            }
        }
        let step = |frame: &mut Frame| {
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
                    self.step(frame, sum, *weight, factor, sum_of(i, v));
                }
            }
        };
        pixel(frame, 0);
        self.ask_ahead(frame, walk, width);
        match stage {
            Stage::Whole => self.loops.chain(frame, block, &step),
            Stage::Slice(slice, slices) => self.loops.slice_of_chain(frame, block, (slice, slices), &step),
            Stage::Start | Stage::Finish => {}
        }
        for i in 0..width {
            for v in 0..self.part.vectors {
                pixel(frame, i);
                vector(frame, v);
                let sum = values(frame, sum_of(i, v));
                match stage {
                    Stage::Whole | Stage::Finish => {
                        let there = self.part.channels.saturating_sub(v * lanes).min(lanes);
                        finish(frame, &self.loops, channel, there, &sum);
                    }
                    Stage::Start | Stage::Slice(..) => {
                        let address = frame.address(&self.loops.write);
                        frame.builder.store(address, sum[0]);
                    }
                }
            }
        }
        frame.coordinates[channel] = base;
    }

    /// Asks for the weights that are used after those of this walk and lie behind them: each of the walk's pixels for its
    /// share, so that they arrive while it goes on.
    fn ask_ahead(&self, frame: &mut Frame, walk: &Walk, width: usize) {
        let Loops { extents, parallel, reads, .. } = &self.loops;
        let Contraction { weight, channel, .. } = *self.contraction;
        let weights = &reads[weight];
        let size = frame.builder.format(weights.buffer).bytes();
        let Stage::Slice(slice, slices) = walk.stage else { return };
        let pixels: usize = walk.pixels.iter().map(|axis| extents[*axis]).product();
        for (axis, extent) in extents.iter().enumerate().skip(*parallel) {
            let outermost = axis == *parallel;
            frame.coordinates[axis] =
                if outermost { Coordinate::counted(slice, extent / slices, slices) } else { Coordinate::fixed(0) };
        }
        let ahead = extents[*parallel..].iter().product::<usize>() / slices * BLOCK;
        let share = ahead.div_ceil(pixels);
        let base = frame.coordinates[channel].clone();
        for block in 0..(self.part.vectors * frame.builder.lanes()).div_ceil(BLOCK) {
            frame.coordinates[channel] = base.clone().moved(block * BLOCK);
            let mut address = frame.address(weights).moved(ahead as i64);
            let mut step = share;
            for axis in walk.pixels.iter().rev() {
                let at = &frame.coordinates[*axis];
                address = address.moved((at.constant * step) as i64);
                for (counter, by, _) in &at.loops {
                    address = address.plus(*counter, (by * step) as i64);
                }
                step *= extents[*axis];
            }
            let line = LINE / size;
            let ask = |frame: &mut Frame, address: Address| frame.builder.prefetch(address);
            match (width * share).div_ceil(line) {
                1 => ask(frame, address),
                lines => frame.repeat(lines, |frame, at| ask(frame, address.plus(at, line as i64))),
            }
        }
        frame.coordinates[channel] = base;
    }

    /// Adds the product of two factors to a sum.
    fn step(&self, frame: &mut Frame, sum: &Sum, weight: ValueId, factor: ValueId, into: &[VariableId]) {
        let there = values(frame, into);
        if let ([into], [there]) = (into, &there[..]) {
            let next = frame.builder.apply(Instruction::FusedMultiplyAdd, &[weight, factor, *there]);
            return frame.builder.set(*into, next);
        }
        let mut operands = vec![factor; self.loops.reads.len()];
        operands[self.contraction.weight] = weight;
        operands.extend(there);
        let next = frame.builder.expression(Type::Vector, &sum.step, &operands);
        into.iter().zip(next).for_each(|(word, value)| frame.builder.set(*word, value));
    }

    /// Whether a read moves with the pixels of a tile.
    fn moves(&self, read: usize) -> bool {
        self.contraction.pixels.iter().any(|axis| self.loops.reads[read].position.depends_on(*axis))
    }
}

/// Stores the next `there` channels, a vector of sums: whole, or lane by lane where channels don't lie side by side and
/// for the channels there are of a last, partial vector.
pub fn finish(frame: &mut Frame, loops: &Loops, channel: usize, there: usize, sum: &[ValueId]) {
    let lanes = frame.builder.lanes();
    let value = frame.expression(Type::Vector, &loops.store, &loops.reads, sum, Some(channel))[0];
    let write = &loops.write;
    if loops.writes_vectors(channel) && (loops.padded == Some(channel) || there == lanes) {
        let address = frame.address(write);
        return frame.builder.store(address, value);
    }
    let base = frame.coordinates[channel].clone();
    for lane in 0..there {
        let word = frame.first_of(value, lane);
        frame.coordinates[channel] = base.clone().moved(lane);
        let address = frame.address(write);
        frame.builder.store(address, word);
    }
    frame.coordinates[channel] = base;
}

/// Tiles along an axis: near-equal widths, the wider ones first.
fn along(frame: &mut Frame, extent: usize, at_most: usize, tile: &dyn Fn(&mut Frame, Coordinate, usize)) {
    for (range, count) in tiles(extent, at_most) {
        let width = range.len();
        match count {
            1 => tile(frame, Coordinate::fixed(range.start), width),
            _ => frame.repeat(count, |frame, counter| {
                tile(frame, Coordinate::counted(counter, width, count).moved(range.start), width);
            }),
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

#[cfg(test)]
mod tests {
    use super::{Contraction, parts};
    use ncnnc_targets::TARGETS;

    #[test]
    fn parts_cover_any_number_of_channels() {
        let contraction = Contraction { activation: 0, weight: 1, channel: 0, pixels: vec![1, 2], groups: Vec::new() };
        for (target, channels) in TARGETS.iter().flat_map(|target| (1..300).map(move |channels| (target, channels))) {
            for (plane, padded, words) in
                [([1, 1], false, 1), ([1, 1], true, 2), ([7, 7], false, 1), ([7, 7], false, 2), ([14, 14], true, 1)]
            {
                let parts = parts(&contraction, &[channels, plane[0], plane[1], 64], padded, words, target);
                let covered = parts.iter().fold(0, |covered, part| {
                    assert_eq!(part.first, covered, "{} {channels} {plane:?}", target.name);
                    covered + part.channels
                });
                assert_eq!(covered, channels, "{} {plane:?}", target.name);
            }
        }
    }
}
