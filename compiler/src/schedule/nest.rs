//! Builds the steps of one nest: resolves its accesses, packs what no kernel takes as it lies, and emits its kernels.
//!
//! Must not know where tensors come from: their homes are made before, and are asked for here.

use super::constants::Key;
use super::contraction::Contraction;
use super::forms::{Choice, extents};
use super::frame::{Frame, Operand};
use super::generic::{Loops, VectorAxis};
use super::parts::parts;
use super::place::{self, Form, Home, Layout, Position};
use super::tiling::Tiling;
use super::{Location, Scheduler, kernel_name};
use crate::expression::Expression;
use crate::format::Format;
use crate::graph::{Access, Nest, Outside, Source, TensorId};
use crate::kernel::{Argument, BufferId, Builder, Type};
use crate::plan::{Numerics, Order, winograd};
use crate::recipe::Recipe;

/// How a place holds its elements.
#[derive(Clone, Copy)]
pub(super) enum Held {
    /// As any reader of the tensor may find it.
    As(Layout),
    /// In the order in which one nest reads it.
    Packed,
    /// As Winograd's algorithm reads it.
    Transformed,
}

/// What an access finds: where it lies and how its positions run.
#[derive(Clone)]
pub(super) struct Place {
    /// The tensor's name; that of a constant of the layer at hand, what it is there: `weight`.
    pub name: String,
    /// How it lies there.
    pub held: Held,
    /// Nothing for constants that have not been put anywhere yet.
    pub location: Option<Location>,
    /// Its length.
    pub elements: usize,
    /// How they are stored.
    pub format: Format,
    /// Where the access finds each element.
    pub position: Position,
    /// What the access finds elsewhere.
    pub outside: u32,
}

impl Place {
    /// `in0 in rows`, `weight packed in f16`.
    pub fn text(&self) -> String {
        let stored = if self.format.is_narrow() { format!(" in {}", self.format.text()) } else { String::new() };
        match self.held {
            Held::As(layout) => format!("{} {layout}{stored}", self.name),
            Held::Packed => format!("{} packed{stored}", self.name),
            Held::Transformed => format!("{} transformed{stored}", self.name),
        }
    }

    /// What a kernel calls it: the name, and the form where it isn't rows.
    pub fn buffer_name(&self) -> String {
        let form = match self.held {
            Held::As(Layout::DENSE) => "",
            Held::As(Layout { blocked: false, .. }) => "_planes",
            Held::As(Layout { blocked: true, .. }) => "_blocks",
            Held::Packed => "_packed",
            Held::Transformed => "_transformed",
        };
        kernel_name(&self.name) + form
    }

    /// The operand of a nest that this is, before its buffer has a number.
    fn operand(&self) -> Operand {
        Operand { buffer: BufferId(usize::MAX), position: self.position.clone(), outside: self.outside }
    }
}

/// What a step reads and writes, in words.
pub(super) fn traffic(reads: &[Place], write: &Place) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in reads.iter().map(Place::text) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let reads = if texts.is_empty() { String::new() } else { format!("reads {}; ", texts.join(", ")) };
    format!("{reads}writes {}", write.text())
}

/// The names of a nest's axes.
fn axis_names(nest: &Nest) -> Vec<&'static str> {
    nest.axes().map(|axis| axis.name).collect()
}

/// The kernel's buffers being collected for one step: each place is one buffer, however many accesses it has.
#[derive(Default)]
pub(super) struct Buffers {
    locations: Vec<Location>,
    ids: Vec<BufferId>,
}

impl Buffers {
    pub fn id(&mut self, builder: &mut Builder, place: &Place, writable: bool) -> BufferId {
        let location = place.location.expect("every operand has been brought");
        if let Some(at) = self.locations.iter().position(|known| *known == location) {
            assert!(!writable, "a kernel writes a place that it reads");
            return self.ids[at];
        }
        let (format, name, elements) = (place.format, place.buffer_name(), place.elements);
        let id = match writable {
            true => builder.output_in(format, &name, elements),
            false => builder.input_in(format, &name, elements),
        };
        self.locations.push(location);
        self.ids.push(id);
        id
    }
}

impl Scheduler<'_> {
    /// Adds the steps of a nest that is carried out as chosen.
    pub(super) fn nest(&mut self, number: usize, nest: &Nest, numerics: Numerics, choice: &Choice) {
        for (read, form) in nest.reads.iter().zip(&choice.reads) {
            // Constants are packed for their reader where they aren't read as they are.
            if !self.is_constant(read.tensor) {
                self.bring(Home { tensor: read.tensor, form: *form });
            }
        }
        let home = Home { tensor: nest.write.tensor, form: self.forms.primary(nest.write.tensor) };
        self.make(home);
        match (numerics, &choice.contraction) {
            (Numerics::Winograd(winograd), _) => self.winograd(number, nest, winograd, &choice.reads),
            (Numerics::Direct(_) | Numerics::Plain, Some(contraction)) => {
                self.contraction(number, nest, numerics, contraction, &choice.reads);
            }
            (Numerics::Direct(_) | Numerics::Plain, None) => self.generic(number, nest, numerics, &choice.reads),
        }
    }

    fn generic(&mut self, number: usize, nest: &Nest, numerics: Numerics, reads: &[Form]) {
        let form = self.forms.primary(nest.write.tensor);
        self.generic_into(Some(number), nest, numerics, reads, Home { tensor: nest.write.tensor, form });
    }

    /// A nest by loops; `number` is the operation's, where constants may be packed for it.
    pub(super) fn generic_into(
        &mut self,
        number: Option<usize>,
        nest: &Nest,
        numerics: Numerics,
        reads: &[Form],
        to: Home,
    ) {
        let lanes = self.target.lanes;
        let mut places: Vec<Place> =
            nest.reads.iter().zip(reads).map(|(access, form)| self.place(nest, access, *form)).collect();
        let write = self.place_at(nest, &nest.write, to);
        let mut loops = self.loops(nest, numerics, &places, &write, to);
        let constant: Vec<bool> = nest.reads.iter().map(|read| self.is_constant(read.tensor)).collect();
        let vector = loops.vector_axis(lanes, &constant);
        for (at, place) in places.iter_mut().enumerate().filter(|(at, _)| constant[*at]) {
            let position = &loops.reads[at].position;
            let misfit = |vector: &VectorAxis| loops.stands_in_the_way(position, *vector);
            match (vector.filter(misfit), number) {
                (Some(vector), Some(number)) => *place = self.pack_along(number, at, nest, place, vector.axis),
                (Some(_) | None, _) => self.keep_constant(nest.reads[at].tensor, reads[at], place),
            }
            loops.reads[at].position = place.position.clone();
        }
        if let Numerics::Direct(Order::Lanes(_)) = numerics {
            loops = loops.with_one_reduction_axis();
        }
        let mut builder = Builder::new(kernel_name(&nest.name), lanes, loops.tasks(vector, lanes));
        let buffers = self.buffers(&mut builder, &mut loops, &places, &write);
        let mut frame = Frame::new(builder, loops.extents.len());
        loops.emit(&mut frame, vector);
        let how = format!("{}; {}", loops.how(vector, lanes, &axis_names(nest)), traffic(&places, &write));
        self.finish_step(nest.name.clone(), how, frame, buffers);
    }

    fn contraction(
        &mut self,
        number: usize,
        nest: &Nest,
        numerics: Numerics,
        contraction: &Contraction,
        reads: &[Form],
    ) {
        let plan = self.plan;
        let to = Home { tensor: nest.write.tensor, form: self.forms.primary(nest.write.tensor) };
        let lanes = self.target.lanes;
        let mut places: Vec<Place> =
            nest.reads.iter().zip(reads).map(|(access, form)| self.place(nest, access, *form)).collect();
        let elements = contraction.packed_elements(nest);
        let position = contraction.packed(nest);
        let weight = nest.reads[contraction.weight].tensor;
        let (location, format) = if self.is_constant(weight) {
            let key = Key::Packed(number, contraction.weight, contraction.channel);
            let format = plan.formats[weight.0];
            let at = self.constants.place(key, format, || contraction.pack(&plan.graph, nest));
            (Location::Known(Argument::Constants(at)), format)
        } else {
            (self.pack_at_run_time(nest, &places[contraction.weight], &position, elements), Format::Word)
        };
        let (held, location, name) = (Held::Packed, Some(location), places[contraction.weight].name.clone());
        places[contraction.weight] = Place { held, location, elements, format, position, outside: 0, name };
        for (at, place) in places.iter_mut().enumerate() {
            if at == contraction.weight {
                continue;
            }
            // The last vector of a group's channels may reach beyond them: packed, each group has room.
            let along = place.position.depends_on(contraction.channel);
            match (self.is_constant(nest.reads[at].tensor), along) {
                (true, true) => *place = self.pack_along(number, at, nest, place, contraction.channel),
                (true, false) => self.keep_constant(nest.reads[at].tensor, reads[at], place),
                (false, true) if place.position.last_word_of_block(contraction.channel) > place.elements => {
                    let position = place.position.along(contraction.channel, &extents(nest));
                    let elements = position.last_word().next_multiple_of(place::BLOCK);
                    let location = Some(self.pack_at_run_time(nest, place, &position, elements));
                    let (held, format) = (Held::Packed, Format::Word);
                    *place = Place { held, location, elements, format, position, ..place.clone() };
                }
                (false, _) => {}
            }
        }
        let write = self.place_at(nest, &nest.write, to);
        let loops = self.loops(nest, numerics, &places, &write, to);
        let registers = loops.sum.as_ref().map_or(1, |(sum, _)| sum.parts(Type::Vector));
        let padded = loops.padded == Some(contraction.channel);
        for part in parts(contraction, &loops.extents, padded, registers, self.target) {
            let mut tiling =
                Tiling { loops: loops.clone(), contraction, part, stored: write.format, target: self.target };
            let mut builder = Builder::new(kernel_name(&nest.name), lanes, tiling.tasks(lanes));
            let buffers = self.buffers(&mut builder, &mut tiling.loops, &places, &write);
            let mut frame = Frame::new(builder, loops.extents.len());
            tiling.emit(&mut frame);
            let how = format!("{}; {}", tiling.how(lanes, &axis_names(nest)), traffic(&places, &write));
            self.finish_step(nest.name.clone(), how, frame, buffers);
        }
    }

    /// Adds a step that packs a factor that is computed.
    fn pack_at_run_time(&mut self, nest: &Nest, from: &Place, packed: &Position, elements: usize) -> Location {
        let location = self.new_place(Format::Word, elements);
        let moves = |axis: usize| from.position.depends_on(axis) || packed.depends_on(axis);
        let extents: Vec<usize> =
            extents(nest).iter().enumerate().map(|(axis, extent)| if moves(axis) { *extent } else { 1 }).collect();
        let to = Place {
            name: from.name.clone(),
            held: Held::Packed,
            location: Some(location),
            elements,
            format: Format::Word,
            position: packed.clone(),
            outside: 0,
        };
        let mut loops = Loops {
            parallel: extents.len(),
            extents,
            sum: None,
            reads: vec![from.operand()],
            store: Expression::read_of(0),
            write: to.operand(),
            padded: None,
        };
        let lanes = self.target.lanes;
        let vector = loops.vector_axis(lanes, &[false]);
        let mut builder = Builder::new(format!("pack_{}", kernel_name(&nest.name)), lanes, loops.tasks(vector, lanes));
        let buffers = self.buffers(&mut builder, &mut loops, std::slice::from_ref(from), &to);
        let mut frame = Frame::new(builder, loops.extents.len());
        loops.emit(&mut frame, vector);
        let how =
            format!("{}; {}", loops.how(vector, lanes, &axis_names(nest)), traffic(std::slice::from_ref(from), &to));
        self.finish_step(format!("{} packed for {}", from.name, nest.name), how, frame, buffers);
        location
    }

    /// Where an access finds its tensor in a form.
    pub(super) fn place(&self, nest: &Nest, access: &Access, form: Form) -> Place {
        self.place_at(nest, access, Home { tensor: access.tensor, form })
    }

    pub(super) fn place_at(&self, nest: &Nest, access: &Access, home: Home) -> Place {
        let tensor = self.graph().tensor(home.tensor);
        let constant = matches!(tensor.source, Source::Constant(_));
        let own = tensor.name.strip_prefix(&nest.name).and_then(|rest| rest.strip_prefix('.')).filter(|_| constant);
        Place {
            name: own.unwrap_or(&tensor.name).to_string(),
            held: Held::As(self.forms.layout(home)),
            location: self.homes.get(&home).copied(),
            elements: self.room(home),
            format: self.format(home),
            position: Position::new(access, &tensor.shape, self.forms.layout(home), &extents(nest))
                .expect("forms are chosen so that positions exist"),
            outside: match access.outside {
                Outside::Never => 0,
                Outside::Value(bits) => bits,
            },
        }
    }

    /// Puts a constant where it is read as it is.
    pub(super) fn keep_constant(&mut self, tensor: TensorId, form: Form, place: &mut Place) {
        let home = Home { tensor, form };
        self.bring(home);
        place.location = self.homes.get(&home).copied();
    }

    /// Packs a constant so that the axis of the vectors is innermost.
    pub(super) fn pack_along(&mut self, number: usize, read: usize, nest: &Nest, place: &Place, axis: usize) -> Place {
        let plan = self.plan;
        let extents = extents(nest);
        let position = place.position.along(axis, &extents);
        let elements = position.last_word().next_multiple_of(place::BLOCK);
        let tensor = nest.reads[read].tensor;
        let format = plan.formats[tensor.0];
        let at = self.constants.place(Key::Packed(number, read, axis), format, || {
            let Source::Constant(from) = &plan.graph.tensor(tensor).source else { panic!("only constants are packed") };
            place::pack(from, &place.position, &position, &extents, elements)
        });
        let location = Some(Location::Known(Argument::Constants(at)));
        Place { held: Held::Packed, location, elements, format, position, ..place.clone() }
    }

    /// A nest with its accesses resolved, but for the numbers of its buffers.
    pub(super) fn loops(&self, nest: &Nest, numerics: Numerics, places: &[Place], write: &Place, to: Home) -> Loops {
        let extents = extents(nest);
        let shape = &self.graph().tensor(to.tensor).shape;
        // Vectors are loaded and stored up to the end of the last block: there must be room.
        let room = |place: &Place, axis: usize| {
            let loaded = place.position.runs_along(axis, extents[axis], place::BLOCK, 1);
            !loaded || !place.position.depends_on(axis) || place.position.last_word_of_block(axis) <= place.elements
        };
        let padded = place::reaches_end(&nest.write, shape, self.forms.layout(to), &extents)
            .filter(|axis| places.iter().chain([write]).all(|place| room(place, *axis)));
        let Recipe { sum, store } = Recipe::of(nest, self.graph().is_compensated(nest));
        let (sum, store) = match (sum, numerics) {
            (Some(sum), Numerics::Direct(order)) => (Some((sum, order)), store),
            // The sum is over before anything is stored.
            (Some(_), Numerics::Winograd(_)) => (None, winograd::store(nest).expanded()),
            (None, Numerics::Plain) => (None, store),
            (Some(_), Numerics::Plain) | (None, Numerics::Direct(_) | Numerics::Winograd(_)) => {
                panic!("{}: numerics of another nest", nest.name)
            }
        };
        Loops {
            padded,
            extents,
            parallel: nest.parallel.len(),
            sum,
            reads: places.iter().map(Place::operand).collect(),
            store,
            write: write.operand(),
        }
    }

    /// Numbers the buffers of a kernel.
    pub(super) fn buffers(&self, builder: &mut Builder, loops: &mut Loops, places: &[Place], write: &Place) -> Buffers {
        let mut buffers = Buffers::default();
        let mut id = |place: &Place, writable: bool| buffers.id(builder, place, writable);
        loops.write.buffer = id(write, true);
        for (operand, place) in loops.reads.iter_mut().zip(places) {
            operand.buffer = id(place, false);
        }
        buffers
    }

    pub(super) fn finish_step(&mut self, name: String, mut how: String, frame: Frame, buffers: Buffers) {
        let (kernel, tables) = frame.finish();
        let mut arguments = buffers.locations;
        if let Some((buffer, words)) = tables {
            assert_eq!(buffer.0, arguments.len(), "tables come last");
            arguments.push(Location::Known(Argument::Tables(self.constants.table(words))));
            how += "; by a table of places";
        }
        self.step(name, how, kernel, arguments);
    }
}
