//! The kernels of Winograd's algorithm: one transforms the tiles of the input, the other multiplies, sums and transforms
//! back.
//!
//! The products are contractions, one for each transformed value, and the register tile of all contractions takes them.
//! Their sums stay in a piece of memory of the task's own until the tile is transformed back, so that they leave the nearer
//! caches as seldom as can be. Must not know what the transforms are.

use super::constants::Key;
use super::contraction::Contraction;
use super::frame::{Coordinate, Frame, Operand};
use super::generic::{Loops, tasks_text};
use super::nest::{Held, Place, traffic};
use super::parts::{Part, cost_of_pixel, parts};
use super::place::{BLOCK, Form, Home, Layout, Position, pack};
use super::tiling::{Tiling, finish};
use super::{Location, Scheduler, kernel_name};
use crate::expression::Expression;
use crate::format::Format;
use crate::graph::{Axis, Combine, Nest, Reduction};
use crate::kernel::{Address, Argument, BufferId, Builder, Type, ValueId};
use crate::plan::winograd::{Filtering, Window, Winograd};
use crate::plan::{CHANNEL_BLOCK, Numerics, Order};
use crate::recipe::Sum;
use ncnnc_targets::Target;
use std::ops::Range;

/// Blocks of tiles below which there are too few to be tasks.
const FEWEST_BLOCKS: usize = 4;

/// The loops of the products: output channel, block of tiles, transformed value, tile within the block, input channel.
mod axis {
    pub const CHANNEL: usize = 0;
    pub const BLOCK: usize = 1;
    pub const VALUE: usize = 2;
    pub const TILE: usize = 3;
    pub const INPUT: usize = 4;
    /// How many are parallel.
    pub const PARALLEL: usize = INPUT;
}

/// The roles of the loops of the products.
fn products() -> Contraction {
    let (pixels, groups) = (vec![axis::TILE], vec![axis::VALUE]);
    Contraction { activation: 0, weight: 1, channel: axis::CHANNEL, pixels, groups }
}

/// The tiles of one convolution and how they are grouped.
#[derive(Clone, Copy)]
struct Tiles {
    winograd: Winograd,
    window: Window,
    /// Rows of tiles, and tiles in a row.
    down: usize,
    across: usize,
    /// Rows of tiles in a block.
    rows: usize,
}

impl Tiles {
    /// Where there are more tiles than output channels, blocks are rows of tiles, whose transformed values stay near while
    /// the weights pass by; otherwise the tiles are one block, and the weights are read once.
    fn new(winograd: Winograd, window: Window, target: &Target) -> Self {
        let [down, across] = winograd.tiles(&window);
        let all = Self { winograd, window, down, across, rows: down };
        let whole = window.height.is_multiple_of(winograd.rows.outputs());
        if down * across <= window.outputs || !whole {
            return all;
        }
        let cost = |tiles: &Self| cost_of_pixel(&products(), &tiles.extents(), target);
        (1..=down / FEWEST_BLOCKS)
            .filter(|rows| down.is_multiple_of(*rows))
            .map(|rows| Self { rows, ..all })
            .min_by(|a, b| cost(a).total_cmp(&cost(b)))
            .unwrap_or(all)
    }

    fn blocks(&self) -> usize {
        self.down / self.rows
    }

    /// Tiles in a block.
    fn count(&self) -> usize {
        self.rows * self.across
    }

    fn input_blocks(&self) -> usize {
        self.window.inputs.div_ceil(BLOCK)
    }

    /// Extents of the loops of the products.
    fn extents(&self) -> Vec<usize> {
        vec![self.window.outputs, self.blocks(), self.winograd.values(), self.count(), self.window.inputs]
    }

    /// Words from one transformed value to the next among so many words of each: an odd number of lines of 64 bytes, so
    /// that the values of a tile don't compete for the same lines of a cache.
    fn apart(words: usize) -> usize {
        words / BLOCK * BLOCK + if (words / BLOCK).is_multiple_of(2) { BLOCK } else { 0 }
    }

    /// Where the transformed input lies: `[block][value][input channels in blocks][tile][16 channels]`.
    fn transformed(&self) -> Position {
        let [_, blocks, values, tiles, inputs] = self.extents()[..] else { unreachable!("there are five loops") };
        let value = Self::apart(self.input_blocks() * tiles * BLOCK);
        let mut axes = vec![Vec::new(); self.extents().len()];
        axes[axis::BLOCK] = strides(blocks, values * value);
        axes[axis::VALUE] = strides(values, value);
        axes[axis::TILE] = strides(tiles, BLOCK);
        axes[axis::INPUT] = (0..inputs).map(|i| (i / BLOCK * tiles * BLOCK + i % BLOCK) as i64).collect();
        Position { offset: 0, axes, guards: Vec::new() }
    }

    fn transformed_words(&self) -> usize {
        self.blocks() * self.winograd.values() * Self::apart(self.input_blocks() * self.count() * BLOCK)
    }
}

fn strides(extent: usize, stride: usize) -> Vec<i64> {
    (0..extent).map(|i| (i * stride) as i64).collect()
}

/// The sums of the products of one task at a time: `[task][value][tile][channels of a group]`.
struct Sums {
    /// Channels of a group, rounded up to whole blocks.
    width: usize,
    /// Words from one value to the next.
    value: usize,
    /// Words of a task.
    task: usize,
    /// Whether tasks are groups of channels, rather than blocks of tiles.
    by_channels: bool,
    tasks: usize,
}

impl Sums {
    fn new(tiles: &Tiles, part: &Part, lanes: usize) -> Self {
        let width = (part.vectors * lanes).next_multiple_of(BLOCK);
        let value = Tiles::apart(tiles.count() * width);
        let by_channels = tiles.blocks() == 1;
        let tasks = if by_channels { groups(part, lanes) } else { tiles.blocks() };
        Self { width, value, task: tiles.winograd.values() * value, by_channels, tasks }
    }

    fn position(&self, tiles: &Tiles, part: &Part, lanes: usize) -> Position {
        let [outputs, blocks, values, count, _] = tiles.extents()[..] else { unreachable!("there are five loops") };
        let group = part.vectors * lanes;
        let of_group = |group: usize| if self.by_channels { group * self.task } else { 0 };
        let channel = |i: usize| of_group(i / group) + i % group;
        let first = channel(0) as i64;
        let mut axes = vec![Vec::new(); tiles.extents().len()];
        // The first channel of the part is at the beginning.
        axes[axis::CHANNEL] =
            (0..outputs).map(|i| i.checked_sub(part.first).map_or(0, |i| channel(i) as i64 - first)).collect();
        axes[axis::BLOCK] = strides(blocks, self.task);
        axes[axis::VALUE] = strides(values, self.value);
        axes[axis::TILE] = strides(count, self.width);
        Position { offset: 0, axes, guards: Vec::new() }
    }
}

fn groups(part: &Part, lanes: usize) -> usize {
    part.channels.div_ceil(part.vectors * lanes)
}

impl Scheduler<'_> {
    /// Adds the steps of a convolution by Winograd's algorithm.
    pub(super) fn winograd(&mut self, number: usize, nest: &Nest, winograd: Winograd, reads: &[Form]) {
        let window = Window::of(self.graph(), nest).expect("the plan chooses only for windows of 3x3");
        let tiles = Tiles::new(winograd, window, self.target);
        let mut places: Vec<Place> =
            nest.reads.iter().zip(reads).map(|(access, form)| self.place(nest, access, *form)).collect();
        places[window.activation] = self.transform_input(nest, &tiles, &places[window.activation]);
        places[window.weight] = self.transformed_weights(number, nest, &tiles, &places[window.weight]);
        for (at, place) in places.iter_mut().enumerate() {
            let waits = ![window.activation, window.weight].contains(&at) && self.is_constant(nest.reads[at].tensor);
            match (waits, place.position.depends_on(Window::CHANNEL)) {
                (true, true) => *place = self.pack_along(number, at, nest, place, Window::CHANNEL),
                (true, false) => self.keep_constant(nest.reads[at].tensor, reads[at], place),
                (false, _) => {}
            }
        }
        self.multiply(nest, &tiles, &places);
    }

    /// Where the transformed weights are, packed for the products.
    fn transformed_weights(&mut self, number: usize, nest: &Nest, tiles: &Tiles, from: &Place) -> Place {
        let (plan, extents, products) = (self.plan, tiles.extents(), products());
        let position = products.packed_over(&extents, axis::PARALLEL);
        let words = position.last_word().next_multiple_of(BLOCK);
        let key = Key::Packed(number, tiles.window.weight, Window::CHANNEL);
        let at = self.constants.place(key, Format::Word, || {
            let weights = tiles.winograd.weights(&plan.graph, nest);
            let weights: Vec<u32> = weights.into_iter().map(|weight| (weight as f32).to_bits()).collect();
            let Window { inputs, outputs, .. } = tiles.window;
            let mut axes = vec![Vec::new(); extents.len()];
            axes[axis::VALUE] = strides(tiles.winograd.values(), outputs * inputs);
            axes[axis::CHANNEL] = strides(outputs, inputs);
            axes[axis::INPUT] = strides(inputs, 1);
            pack(&weights, &Position { offset: 0, axes, guards: Vec::new() }, &position, &extents, words)
        });
        let location = Some(Location::Known(Argument::Constants(at)));
        transformed(from, location, words, position)
    }

    /// Adds the step that transforms the input; where it puts the tiles.
    fn transform_input(&mut self, nest: &Nest, tiles: &Tiles, from: &Place) -> Place {
        let words = tiles.transformed_words();
        let location = Some(self.new_place(Format::Word, words));
        let position = tiles.transformed();
        let to = transformed(from, location, words, position);
        let home = Home { tensor: nest.reads[tiles.window.activation].tensor, form: Form::Blocks };
        let (layout, shape) = (self.forms.layout(home), &self.graph().tensor(home.tensor).shape);
        let source = Source { row: layout.row(shape), plane: layout.plane(shape), offset: from.position.offset };
        let by_channels = tiles.blocks() == 1;
        let (tasks, along) = if by_channels { (tiles.input_blocks(), "ic") } else { (tiles.blocks(), "y") };
        let lanes = self.target.lanes;
        let mut builder = Builder::new(format!("transform_{}", kernel_name(&from.name)), lanes, tasks);
        let mut buffers = super::nest::Buffers::default();
        let sink = buffers.id(&mut builder, &to, true);
        let image = buffers.id(&mut builder, from, false);
        source.transform(&mut builder, tiles, image, sink);
        let frame = Frame::new(builder, 0);
        let [tall, wide] = [tiles.winograd.rows, tiles.winograd.columns].map(Filtering::inputs);
        let how = format!(
            "{} x {} tiles of {tall} x {wide} by vectors of {lanes} channels; {}; {}",
            tiles.down,
            tiles.across,
            tasks_text(tasks, along),
            traffic(std::slice::from_ref(from), &to)
        );
        self.finish_step(format!("{} transformed for {}", from.name, nest.name), how, frame, buffers);
        to
    }

    /// Makes room for the sums of a part.
    fn sums(&mut self, tiles: &Tiles, part: &Part, sums: &Sums) -> Place {
        let elements = sums.tasks * sums.task;
        let location = Some(self.new_place(Format::Word, elements));
        Place {
            name: "sums".to_string(),
            held: Held::As(Layout::DENSE),
            location,
            elements,
            format: Format::Word,
            position: sums.position(tiles, part, self.target.lanes),
            outside: 0,
        }
    }

    /// Adds the steps that multiply, sum, transform back and store.
    fn multiply(&mut self, nest: &Nest, tiles: &Tiles, places: &[Place]) {
        let to = Home { tensor: nest.write.tensor, form: self.forms.primary(nest.write.tensor) };
        let write = self.place_at(nest, &nest.write, to);
        let numerics = Numerics::Winograd(tiles.winograd);
        let lanes = self.target.lanes;
        let reduction = sum_over(tiles.window.inputs);
        let store = self.loops(nest, numerics, places, &write, to);
        for part in parts(&products(), &tiles.extents(), store.padded == Some(Window::CHANNEL), 1, self.target) {
            let mut store = store.clone();
            let sums = Sums::new(tiles, &part, lanes);
            let scratch = self.sums(tiles, &part, &sums);
            let mut builder = Builder::new(kernel_name(&nest.name), lanes, sums.tasks);
            let mut buffers = self.buffers(&mut builder, &mut store, places, &write);
            let operand =
                |buffer: BufferId, position: &Position| Operand { buffer, position: position.clone(), outside: 0 };
            let into = operand(buffers.id(&mut builder, &scratch, true), &scratch.position);
            let product = Loops {
                extents: tiles.extents(),
                parallel: axis::PARALLEL,
                sum: Some((Sum::definition(&reduction, 2), Order::Chain { block: CHANNEL_BLOCK })),
                reads: [tiles.window.activation, tiles.window.weight]
                    .map(|read| operand(store.reads[read].buffer, &places[read].position))
                    .to_vec(),
                store: Expression::read_of(2),
                write: into,
                padded: Some(axis::CHANNEL),
            };
            let products = products();
            let along = if sums.by_channels { "oc" } else { "y" };
            let (stored, target) = (scratch.format, self.target);
            let tiling = Tiling { loops: product, contraction: &products, part, stored, target };
            let how = tiling.tile_text(lanes, &["oc", "y", "value", "tile", "ic"]);
            let mut frame = Frame::new(builder, 0);
            Multiplication { tiles, sums: &sums, tiling: &tiling, store: &store }.emit(&mut frame);
            let how = format!("{how}; {}; {}", tasks_text(sums.tasks, along), traffic(places, &write));
            self.finish_step(nest.name.clone(), how, frame, buffers);
        }
    }
}

/// What is made of a tensor for Winograd's algorithm.
fn transformed(from: &Place, location: Option<Location>, elements: usize, position: Position) -> Place {
    let (name, held, format) = (from.name.clone(), Held::Transformed, Format::Word);
    Place { name, held, location, elements, format, position, outside: 0 }
}

/// The sum of products over so many input channels.
fn sum_over(inputs: usize) -> Reduction {
    let mut term = Expression::default();
    term.results = vec![term.read(0), term.read(1)];
    let axes = vec![Axis { name: "ic", extent: inputs }];
    Reduction { axes, combine: Combine::FusedSum, start: Expression::constant_of(0.0), term }
}

/// What is filtered, in blocks of channels.
struct Source {
    /// Words from one row to the next.
    row: usize,
    /// Words from one block of channels to the next.
    plane: usize,
    /// Where the first tile begins.
    offset: i64,
}

impl Source {
    /// Adds the transforms to a kernel whose tasks are blocks of tiles or, where there is one, of channels.
    fn transform(&self, builder: &mut Builder, tiles: &Tiles, from: BufferId, to: BufferId) {
        let Winograd { rows, columns } = tiles.winograd;
        let position = tiles.transformed();
        let stride = |of: usize| position.step(of, 1);
        let lanes = builder.lanes();
        let task = builder.task();
        let tall = rows.outputs() * self.row;
        let channels = (tiles.count() * BLOCK) as i64;
        let (inputs, blocks) = (tiles.input_blocks(), tiles.blocks());
        let tile = |builder: &mut Builder, from: Address, to: Address| {
            let value = |i: usize, j: usize| (i * columns.inputs() + j) as i64 * stride(axis::VALUE);
            let taken = |builder: &mut Builder, i: usize, j: usize| {
                builder.load(Type::Vector, from.clone().moved((i * self.row + j * BLOCK) as i64))
            };
            let transformed = two_dimensional(builder, tiles.winograd, Filtering::input_transform, &taken);
            for (at, row) in transformed.iter().enumerate() {
                for (j, word) in row.iter().enumerate() {
                    builder.store(to.clone().moved(value(at, j)), *word);
                }
            }
        };
        let row = |builder: &mut Builder, from: Address, to: Address| {
            builder.repeat(tiles.rows, |builder, row| {
                let (from, to) = (from.plus(row, tall as i64), to.plus(row, (tiles.across * BLOCK) as i64));
                builder.repeat(tiles.across, |builder, at| {
                    let (from, to) = (from.plus(at, (columns.outputs() * BLOCK) as i64), to.plus(at, BLOCK as i64));
                    builder.repeat(BLOCK / lanes, |builder, part| {
                        tile(builder, from.plus(part, lanes as i64), to.plus(part, lanes as i64));
                    });
                });
            });
        };
        let (from, to) = (Address::new(from, self.offset), Address::new(to, 0));
        if blocks == 1 {
            return row(builder, from.plus(task, self.plane as i64), to.plus(task, channels));
        }
        let from = from.plus(task, (tiles.rows * tall) as i64);
        let to = to.plus(task, stride(axis::BLOCK));
        builder.repeat(inputs, |builder, block| {
            row(builder, from.plus(block, self.plane as i64), to.plus(block, channels));
        });
    }
}

/// A tile transformed column by column, then row by row: its rows.
fn two_dimensional(
    builder: &mut Builder,
    winograd: Winograd,
    transform: fn(Filtering) -> Expression,
    value: &dyn Fn(&mut Builder, usize, usize) -> ValueId,
) -> Vec<Vec<ValueId>> {
    let (down, across) = (transform(winograd.rows), transform(winograd.columns));
    let columns: Vec<Vec<ValueId>> = (0..winograd.columns.inputs())
        .map(|j| {
            let column: Vec<ValueId> = (0..winograd.rows.inputs()).map(|i| value(builder, i, j)).collect();
            builder.expression(Type::Vector, &down, &column)
        })
        .collect();
    (0..down.results.len())
        .map(|i| {
            let row: Vec<ValueId> = columns.iter().map(|column| column[i]).collect();
            builder.expression(Type::Vector, &across, &row)
        })
        .collect()
}

/// The second kernel: products and sums of a group of channels of a block, then their transforms.
struct Multiplication<'m> {
    tiles: &'m Tiles,
    sums: &'m Sums,
    tiling: &'m Tiling<'m>,
    /// The convolution's nest without its sum.
    store: &'m Loops,
}

impl Multiplication<'_> {
    fn emit(&self, frame: &mut Frame) {
        let task = frame.builder.task();
        let part = &self.tiling.part;
        let width = part.vectors * frame.builder.lanes();
        let groups = groups(part, frame.builder.lanes());
        let (block, fixed) = (Coordinate::counted(task, 1, self.tiles.blocks()), Coordinate::fixed(0));
        match (self.sums.by_channels, groups) {
            (true, _) => self.group(frame, &Coordinate::counted(task, width, groups), &fixed),
            (false, 1) => self.group(frame, &fixed, &block),
            (false, _) => frame.repeat(groups, |frame, group| {
                self.group(frame, &Coordinate::counted(group, width, groups), &block);
            }),
        }
    }

    /// One group of channels of one block of tiles.
    fn group(&self, frame: &mut Frame, channels: &Coordinate, block: &Coordinate) {
        let channels = channels.clone().moved(self.tiling.part.first);
        let values = self.tiles.winograd.values();
        frame.coordinates = vec![Coordinate::default(); self.tiles.extents().len()];
        frame.coordinates[axis::CHANNEL] = channels.clone();
        frame.coordinates[axis::BLOCK] = block.clone();
        frame.repeat(values, |frame, value| {
            frame.coordinates[axis::VALUE] = Coordinate::counted(value, 1, values);
            self.tiling.tiles(frame);
        });
        frame.coordinates[axis::VALUE] = Coordinate::fixed(0);
        frame.coordinates[axis::TILE] = Coordinate::fixed(0);
        let sums = frame.address(&self.tiling.loops.write);
        frame.coordinates = vec![Coordinate::default(); self.store.extents.len()];
        let lanes = frame.builder.lanes();
        let there = if self.store.padded == Some(Window::CHANNEL) { usize::MAX } else { self.tiling.part.channels };
        let (vectors, last) = (self.tiling.part.vectors.min(there / lanes), there % lanes);
        if vectors > 0 {
            frame.repeat(vectors, |frame, vector| {
                let channels = channels.clone().plus(vector, lanes, vectors);
                self.vector(frame, &channels, block, sums.clone().plus(vector, lanes as i64), lanes);
            });
        }
        if vectors < self.tiling.part.vectors {
            let channels = channels.moved(vectors * lanes);
            self.vector(frame, &channels, block, sums.moved((vectors * lanes) as i64), last);
        }
    }

    /// All tiles of a block, for a vector of channels of which so many are there.
    fn vector(&self, frame: &mut Frame, channels: &Coordinate, block: &Coordinate, sums: Address, there: usize) {
        let Tiles { winograd: Winograd { rows, columns }, window, across, .. } = *self.tiles;
        let (tall, wide) = (rows.outputs(), columns.outputs());
        frame.coordinates[Window::CHANNEL] = channels.clone();
        let height = if self.sums.by_channels { window.height } else { self.tiles.rows * tall };
        for (down, here) in whole_and_rest(height, tall) {
            frame.repeat(down.len(), |frame, row| {
                let y = Coordinate::counted(row, tall, down.len()).moved(down.start * tall);
                let y = block.loops.iter().fold(y, |y, (counter, _, count)| y.plus(*counter, height, *count));
                let stride = across * self.sums.width;
                let sums = sums.clone().moved((down.start * stride) as i64).plus(row, stride as i64);
                for (right, side) in whole_and_rest(window.width, wide) {
                    frame.repeat(right.len(), |frame, column| {
                        let x = Coordinate::counted(column, wide, right.len()).moved(right.start * wide);
                        let sums = sums.clone().moved((right.start * self.sums.width) as i64);
                        let sums = sums.plus(column, self.sums.width as i64);
                        self.tile(frame, (&y, here), (&x, side), &sums, there);
                    });
                }
            });
        }
    }

    /// One tile, of which so many rows and columns are there.
    fn tile(
        &self,
        frame: &mut Frame,
        (y, height): (&Coordinate, usize),
        (x, width): (&Coordinate, usize),
        sums: &Address,
        there: usize,
    ) {
        let winograd = self.tiles.winograd;
        let taken = |builder: &mut Builder, i: usize, j: usize| {
            let value = (i * winograd.columns.inputs() + j) * self.sums.value;
            builder.load(Type::Vector, sums.clone().moved(value as i64))
        };
        let outputs = two_dimensional(&mut frame.builder, winograd, Filtering::output_transform, &taken);
        for (i, row) in outputs.iter().enumerate().take(height) {
            for (j, sum) in row.iter().enumerate().take(width) {
                frame.coordinates[Window::ROW] = y.clone().moved(i);
                frame.coordinates[Window::COLUMN] = x.clone().moved(j);
                finish(frame, self.store, Window::CHANNEL, there, &[*sum]);
            }
        }
    }
}

/// Tiles of whole length along an axis, and the last one where it is shorter: which, and how long.
fn whole_and_rest(extent: usize, tile: usize) -> Vec<(Range<usize>, usize)> {
    let (whole, rest) = (extent / tile, extent % tile);
    [(0..whole, tile), (whole..whole + 1, rest)]
        .into_iter()
        .filter(|(tiles, length)| !tiles.is_empty() && *length > 0)
        .collect()
}
