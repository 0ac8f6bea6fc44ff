//! The kernel of a contraction: walks of register tiles over its pixels, whole sums or slice by slice.

use super::contraction::Contraction;
use super::frame::{Coordinate, Frame};
use super::generic::{Loops, tasks_text};
use super::parts::{Along, Part, Plane, tiles};
use super::place::BLOCK;
use super::sums::{set, values};
use crate::expression::Node;
use crate::format::Format;
use crate::instruction::Instruction;
use crate::kernel::{Address, Op, Type, ValueId, VariableId};
use crate::plan::Order;
use crate::recipe::{Accumulation, Sum};
use ncnnc_targets::{Caches, Target};

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

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// A slice of weights is read from further away for one tile; so many more must find it near to make up for keeping the
/// sums in memory. A judgement, not a measurement.
const WORTH_SLICING: usize = 4;

/// One part of a contraction being emitted.
pub struct Tiling<'n> {
    /// The nest with its accesses resolved; the weight's position is the packed one.
    pub loops: Loops,
    /// The axes' roles.
    pub contraction: &'n Contraction,
    /// Which channels.
    pub part: Part,
    /// How what is written is stored.
    pub stored: Format,
    /// What runs it.
    pub target: &'n Target,
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
        let Tiling { loops, contraction, part, .. } = self;
        let whole = loops.padded == Some(contraction.channel) || part.channels.is_multiple_of(lanes);
        let (channels, taps) = loops.extents[loops.parallel..].split_first().expect("a contraction has a reduction");
        let tiles = Plane::of(contraction, &loops.extents).tiles(part.along);
        let tiles: usize = tiles.into_iter().map(|(_, count)| count).sum();
        // The output has room for one word of a sum, where it doesn't round.
        let waits = loops.sum.as_ref().is_some_and(|(sum, _)| sum.words() == 1) && !self.stored.is_narrow();
        let can = waits && self.channels_are_tasks(lanes) && whole && loops.writes_vectors(contraction.channel);
        if !can || tiles < WORTH_SLICING || channels % BLOCK != 0 {
            return 1;
        }
        let taps: usize = taps.iter().product();
        let blocks = channels / BLOCK;
        let block = BLOCK * taps * part.vectors * lanes * size_of::<f32>();
        // Half of a cache is for what else is in use. Without a window, whose taps use activations again, those stream through
        // the second-level cache, and weights must come from nearer.
        let Caches { first, second } = self.target.caches;
        if blocks * block <= if taps > 1 { second / 2 } else { first } {
            return 1;
        }
        let fits = |slices: &usize| blocks.is_multiple_of(*slices) && blocks / slices * block <= first / 2;
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
        let (held, parts) = (sum.held(Type::Vector), sum.parts(Type::Vector));
        let sums: Vec<VariableId> =
            (0..width * self.part.vectors * parts).map(|_| frame.builder.variable(held)).collect();
        let sum_of = |i: usize, v: usize| &sums[(i * self.part.vectors + v) * parts..][..parts];
        let start = &sum.start;
        let shared = !start.nodes.iter().any(|node| matches!(node, Node::Read(read) if self.moves(*read)));
        for v in 0..self.part.vectors {
            vector(frame, v);
            let mut value = None;
            for i in 0..width {
                pixel(frame, i);
                let begun = match stage {
                    Stage::Whole | Stage::Start if value.is_none() || !shared => {
                        let start = frame.expression(Type::Vector, start, &self.loops.reads, &[], Some(channel));
                        sum.begun(frame, Type::Vector, start)
                    }
                    Stage::Whole | Stage::Start => value.expect("computed above"),
                    Stage::Slice(..) | Stage::Finish => {
                        let address = frame.address(&self.loops.write);
                        vec![frame.builder.load(Type::Vector, address)]
                    }
                };
                set(frame, sum_of(i, v), &begun);
                value = Some(begun);
            }
        }
        let weight = |frame: &mut Frame, v: usize| {
            vector(frame, v);
            frame.read(Type::Vector, &self.loops.reads[weight], Some(channel))
        };
        let factor = |frame: &mut Frame, i: usize| {
            pixel(frame, i);
            frame.read(Type::Vector, &self.loops.reads[activation], Some(channel))
        };
        let step = |frame: &mut Frame| self.step(frame, sum, width, &weight, &factor, &sums);
        pixel(frame, 0);
        self.ask_ahead(frame, walk, width);
        match stage {
            Stage::Whole => self.loops.chain(frame, block, None, &step),
            Stage::Slice(slice, slices) => self.loops.chain(frame, block, Some((slice, slices)), &step),
            Stage::Start | Stage::Finish => {}
        }
        for i in 0..width {
            for v in 0..self.part.vectors {
                pixel(frame, i);
                vector(frame, v);
                let parts = values(frame, sum_of(i, v));
                match stage {
                    Stage::Whole | Stage::Finish => {
                        let sum = sum.complete(frame, Type::Vector, parts, &self.loops.store, self.loops.reads.len());
                        let there = self.part.channels.saturating_sub(v * lanes).min(lanes);
                        finish(frame, &self.loops, channel, there, &sum);
                    }
                    Stage::Start | Stage::Slice(..) => {
                        let address = frame.address(&self.loops.write);
                        frame.builder.store(address, parts[0]);
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

    /// One step of the reduction for a tile of so many pixels: the product of each pixel's factor and each vector of weights
    /// is added to a sum.
    fn step(
        &self,
        frame: &mut Frame,
        sum: &Sum,
        width: usize,
        weight: &dyn Fn(&mut Frame, usize) -> ValueId,
        factor: &dyn Fn(&mut Frame, usize) -> ValueId,
        sums: &[VariableId],
    ) {
        let vectors = self.part.vectors;
        let (held, parts) = (sum.held(Type::Vector), sum.parts(Type::Vector));
        let widen = |frame: &mut Frame, value: ValueId, half: usize| match sum.accumulation {
            Accumulation::Words { .. } => value,
            Accumulation::Double { .. } => frame.builder.define(held, Op::Widen(value, half)),
        };
        let factor = |frame: &mut Frame, i: usize| {
            let factor = factor(frame, i);
            widen(frame, factor, 0)
        };
        let add_product = |frame: &mut Frame, weight: ValueId, factor: ValueId, into: VariableId| {
            let there = frame.builder.get(into);
            let next = match sum.accumulation {
                Accumulation::Words { .. } => Op::Apply(Instruction::FusedMultiplyAdd, vec![weight, factor, there]),
                Accumulation::Double { .. } => Op::MultiplyAdd([weight, factor, there]),
            };
            let next = frame.builder.define(held, next);
            frame.builder.set(into, next);
        };
        // Words stay where they are until they are used; of what is widened, that which takes fewer registers is kept.
        if sum.held(Type::Vector) == Type::Doubles && width <= vectors * parts {
            let factors: Vec<ValueId> = (0..width).map(|i| factor(frame, i)).collect();
            for v in 0..vectors {
                let weight = weight(frame, v);
                for part in 0..parts {
                    let weight = widen(frame, weight, part);
                    for (i, factor) in factors.iter().enumerate() {
                        add_product(frame, weight, *factor, sums[(i * vectors + v) * parts + part]);
                    }
                }
            }
            return;
        }
        let mut weights = Vec::with_capacity(vectors * parts);
        for v in 0..vectors {
            let weight = weight(frame, v);
            weights.extend((0..parts).map(|part| widen(frame, weight, part)));
        }
        for (i, sums) in sums.chunks(vectors * parts).enumerate() {
            let factor = factor(frame, i);
            weights.iter().zip(sums).for_each(|(weight, into)| add_product(frame, *weight, factor, *into));
        }
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
