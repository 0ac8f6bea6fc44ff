//! How a plan is carried out on one target: forms of tensors, tiles, vectors, tasks, memory.
//!
//! Nothing here can change a bit: vectors run along parallel axes, and sums keep the planned order. Owns layouts, packing
//! and the arena. Must not know what is computed beyond the shape of its loops, nor which emitter follows.

mod constants;
mod contraction;
mod forms;
mod frame;
mod generic;
mod lanes;
mod memory;
mod place;
pub mod routine;

pub use constants::Constants;

use constants::Key;

use crate::expression::Expression;
use crate::graph::{Access, Axis, Element, Graph, Index, Nest, Operation, Output, Outside, Source, TensorId};
use crate::kernel::{Argument, BufferId, Builder, Kernel, Port, Program, Step};
use crate::plan::{Numerics, Order, Plan};
use contraction::{Contraction, Tiling, parts};
use forms::{Choice, Forms, extents};
use frame::{Frame, Operand};
use generic::{Loops, VectorAxis};
use ncnnc_targets::Target;
use place::{Form, Home, Layout, Position};
use std::collections::HashMap;

/// Schedules a plan for a target. Constants are collected in `constants`, which serves the programs of all targets.
pub fn schedule(plan: &Plan, target: &'static Target, constants: &mut Constants) -> Program {
    let mut scheduler = Scheduler {
        plan,
        target,
        constants,
        forms: Forms::choose(plan),
        kernels: Vec::new(),
        known: HashMap::new(),
        steps: Vec::new(),
        places: Vec::new(),
        homes: HashMap::new(),
        outputs: direct_outputs(plan),
    };
    for number in 0..plan.graph.operations.len() {
        scheduler.operation(number);
    }
    scheduler.remaining_outputs();
    scheduler.finish()
}

/// Where a buffer of a step lies, before the arena is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Location {
    /// A place in the arena, by number.
    Arena(usize),
    /// Somewhere that is known already.
    Known(Argument),
}

struct Draft {
    name: String,
    kernel: usize,
    arguments: Vec<Location>,
}

struct Scheduler<'p> {
    plan: &'p Plan,
    target: &'static Target,
    constants: &'p mut Constants,
    forms: Forms,
    kernels: Vec<Kernel>,
    /// Kernels without their names, to find equal ones.
    known: HashMap<Kernel, usize>,
    steps: Vec<Draft>,
    /// Words of each place in the arena.
    places: Vec<usize>,
    homes: HashMap<Home, Location>,
    /// Tensors that are made right where the caller wants them.
    outputs: HashMap<TensorId, usize>,
}

/// What an access finds: where it lies and how its positions run.
#[derive(Clone)]
struct Place {
    name: String,
    /// Nothing for constants that have not been put anywhere yet.
    location: Option<Location>,
    words: usize,
    /// Whether lanes behind the last element may be touched.
    padded: bool,
    position: Position,
    outside: u32,
}

impl Place {
    /// The operand of a nest that this is, before its buffer has a number.
    fn operand(&self) -> Operand {
        Operand { buffer: BufferId(usize::MAX), position: self.position.clone(), outside: self.outside }
    }
}

/// The kernel's buffers being collected for one step: each place is one buffer, however many accesses it has.
struct Buffers {
    locations: Vec<Location>,
    ids: Vec<BufferId>,
}

impl Buffers {
    fn id(&mut self, builder: &mut Builder, name: &str, location: Location, words: usize, writable: bool) -> BufferId {
        if let Some(at) = self.locations.iter().position(|known| *known == location) {
            assert!(!writable, "a kernel writes a place that it reads");
            return self.ids[at];
        }
        let id = if writable { builder.output(name, words) } else { builder.input(name, words) };
        self.locations.push(location);
        self.ids.push(id);
        id
    }
}

impl Scheduler<'_> {
    fn graph(&self) -> &Graph {
        &self.plan.graph
    }

    fn operation(&mut self, number: usize) {
        let plan = self.plan;
        match &plan.graph.operations[number] {
            Operation::Nest(nest) => {
                let choice = self.forms.choices[number].take().expect("every nest has a choice");
                self.nest(number, nest, plan.numerics[number], &choice);
            }
            Operation::Routine(routine) => self.routine(routine),
        }
    }

    fn nest(&mut self, number: usize, nest: &Nest, numerics: Numerics, choice: &Choice) {
        for (read, form) in nest.reads.iter().zip(&choice.reads) {
            // Constants are packed for their reader where they aren't read as they are.
            if !self.is_constant(read.tensor) {
                self.bring(Home { tensor: read.tensor, form: *form });
            }
        }
        let home = Home { tensor: nest.write.tensor, form: self.forms.primary(nest.write.tensor) };
        self.make(home);
        match &choice.contraction {
            Some(contraction) => self.contraction(number, nest, numerics, contraction, &choice.reads),
            None => self.generic(number, nest, numerics, &choice.reads),
        }
    }

    /// Words of a home, and whether lanes beyond its elements may be touched.
    fn room(&self, home: Home) -> (usize, bool) {
        let shape = &self.graph().tensor(home.tensor).shape;
        let layout = self.forms.layout(home);
        match self.homes.get(&home) {
            Some(Location::Known(Argument::Input(_) | Argument::Output(_))) => (shape.iter().product(), false),
            Some(Location::Known(Argument::Arena(_) | Argument::Constants(_)) | Location::Arena(_)) | None => {
                (layout.words(shape), layout.blocked || shape.iter().filter(|extent| **extent > 1).count() <= 1)
            }
        }
    }

    /// Makes sure that a tensor is there in a form.
    fn bring(&mut self, home: Home) {
        if self.homes.contains_key(&home) {
            return;
        }
        let plan = self.plan;
        let tensor = plan.graph.tensor(home.tensor);
        match (&tensor.source, home.form) {
            (Source::Input, Form::Dense) => {
                let number = plan.graph.inputs.iter().position(|input| *input == home.tensor).expect("an input");
                self.homes.insert(home, Location::Known(Argument::Input(number)));
            }
            (Source::Constant(words), Form::Dense) => {
                let at = self.constants.place(Key::Tensor(home.tensor), |_| words.to_vec());
                self.homes.insert(home, Location::Known(Argument::Constants(at)));
            }
            (Source::Input | Source::Constant(_) | Source::Computed, _) => {
                let from = Home { tensor: home.tensor, form: self.forms.primary(home.tensor) };
                self.bring(from);
                self.make(home);
                self.copy(from, home, &tensor.name);
            }
        }
    }

    /// Makes room for a tensor that is about to be computed, with zeros in its halo.
    fn make(&mut self, home: Home) {
        if self.homes.contains_key(&home) {
            return;
        }
        if let (Form::Dense, Some(output)) = (home.form, self.outputs.get(&home.tensor)) {
            self.homes.insert(home, Location::Known(Argument::Output(*output)));
            return;
        }
        let layout = self.forms.layout(home);
        let shape = self.graph().tensor(home.tensor).shape.clone();
        self.places.push(layout.words(&shape));
        let location = Location::Arena(self.places.len() - 1);
        self.homes.insert(home, location);
        if layout.halo != place::Halo::default() {
            self.clear_halo(home, layout, &shape, location);
        }
    }

    fn clear_halo(&mut self, home: Home, layout: Layout, shape: &[usize], location: Location) {
        let name = &self.graph().tensor(home.tensor).name;
        let planes = shape[0].div_ceil(layout.block());
        let mut builder = Builder::new(format!("clear_halo_{name}"), self.target.lanes, planes);
        let buffer = builder.output("planes", layout.words(shape));
        place::clear_halo(&mut builder, buffer, layout, shape);
        let step = format!("{name}: zeros around it");
        self.step(step, builder.finish(), vec![location]);
    }

    /// Copies a tensor from one form to another.
    fn copy(&mut self, from: Home, to: Home, name: &str) {
        let shape = self.graph().tensor(from.tensor).shape.clone();
        let whole = |tensor| Access::new(tensor, &shape, (0..shape.len()).map(Index::axis).collect());
        let nest = Nest {
            name: format!("{name}: to {}", form_text(to.form)),
            parallel: shape.iter().map(|extent| Axis { name: "i", extent: *extent }).collect(),
            reduction: None,
            reads: vec![whole(from.tensor)],
            store: Expression::read_of(0),
            write: whole(to.tensor),
        };
        self.generic_into(None, &nest, Numerics::Plain, &[from.form], to);
    }

    fn generic(&mut self, number: usize, nest: &Nest, numerics: Numerics, reads: &[Form]) {
        let form = self.forms.primary(nest.write.tensor);
        self.generic_into(Some(number), nest, numerics, reads, Home { tensor: nest.write.tensor, form });
    }

    /// A nest by loops; `number` is the operation's, where constants may be packed for it.
    fn generic_into(&mut self, number: Option<usize>, nest: &Nest, numerics: Numerics, reads: &[Form], to: Home) {
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
        self.finish_step(nest.name.clone(), frame, buffers);
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
        let words = contraction.packed_words(nest);
        let position = contraction.packed(nest);
        let location = if self.is_constant(nest.reads[contraction.weight].tensor) {
            let key = Key::Packed(number, contraction.weight, contraction.channel);
            let at = self.constants.place(key, |_| contraction.pack(&plan.graph, nest));
            Location::Known(Argument::Constants(at))
        } else {
            self.pack_at_run_time(nest, &places[contraction.weight], &position, words)
        };
        let (name, location) = ("weight".to_string(), Some(location));
        places[contraction.weight] = Place { name, location, words, padded: true, position, outside: 0 };
        let partial = !extents(nest)[contraction.channel].is_multiple_of(place::BLOCK);
        for (at, place) in places.iter_mut().enumerate() {
            if at == contraction.weight {
                continue;
            }
            // The last vector of a group's channels may reach beyond them: packed, each group has room.
            let along = place.position.depends_on(contraction.channel);
            match (self.is_constant(nest.reads[at].tensor), along) {
                (true, true) => *place = self.pack_along(number, at, nest, place, contraction.channel),
                (true, false) => self.keep_constant(nest.reads[at].tensor, reads[at], place),
                (false, true) if partial && !place.padded => {
                    let position = place.position.along(contraction.channel, &extents(nest));
                    let words = position.last_word().next_multiple_of(place::BLOCK);
                    let location = Some(self.pack_at_run_time(nest, place, &position, words));
                    *place = Place { location, words, padded: true, position, ..place.clone() };
                }
                (false, _) => {}
            }
        }
        // Activations are broadcast: lanes behind the last channel don't reach into them.
        places[contraction.activation].padded = true;
        let write = self.place_at(nest, &nest.write, to);
        let loops = self.loops(nest, numerics, &places, &write, to);
        for part in parts(contraction, &loops.extents, loops.padded, self.target) {
            let mut tiling = Tiling { loops: loops.clone(), contraction, part };
            let mut builder = Builder::new(kernel_name(&nest.name), lanes, tiling.tasks(lanes));
            let buffers = self.buffers(&mut builder, &mut tiling.loops, &places, &write);
            let mut frame = Frame::new(builder, loops.extents.len());
            tiling.emit(&mut frame);
            self.finish_step(nest.name.clone(), frame, buffers);
        }
    }

    /// Adds a step that packs a factor that is computed.
    fn pack_at_run_time(&mut self, nest: &Nest, from: &Place, packed: &Position, words: usize) -> Location {
        self.places.push(words);
        let location = Location::Arena(self.places.len() - 1);
        let moves = |axis: usize| from.position.depends_on(axis) || packed.depends_on(axis);
        let extents: Vec<usize> =
            extents(nest).iter().enumerate().map(|(axis, extent)| if moves(axis) { *extent } else { 1 }).collect();
        let (name, position) = ("packed".to_string(), packed.clone());
        let to = Place { name, location: Some(location), words, padded: false, position, outside: 0 };
        let mut loops = Loops {
            parallel: extents.len(),
            extents,
            reduction: None,
            reads: vec![from.operand()],
            store: Expression::read_of(0),
            write: to.operand(),
            padded: false,
        };
        let lanes = self.target.lanes;
        let vector = loops.vector_axis(lanes, &[false]);
        let mut builder = Builder::new(format!("pack_{}", kernel_name(&nest.name)), lanes, loops.tasks(vector, lanes));
        let buffers = self.buffers(&mut builder, &mut loops, std::slice::from_ref(from), &to);
        let mut frame = Frame::new(builder, loops.extents.len());
        loops.emit(&mut frame, vector);
        self.finish_step(format!("{}: packed", nest.name), frame, buffers);
        location
    }

    fn is_constant(&self, tensor: TensorId) -> bool {
        matches!(self.graph().tensor(tensor).source, Source::Constant(_))
    }

    /// Where an access finds its tensor in a form.
    fn place(&self, nest: &Nest, access: &Access, form: Form) -> Place {
        self.place_at(nest, access, Home { tensor: access.tensor, form })
    }

    fn place_at(&self, nest: &Nest, access: &Access, home: Home) -> Place {
        let tensor = self.graph().tensor(home.tensor);
        let (words, padded) = self.room(home);
        Place {
            name: kernel_name(&tensor.name),
            location: self.homes.get(&home).copied(),
            words,
            padded,
            position: Position::new(access, &tensor.shape, self.forms.layout(home), &extents(nest))
                .expect("forms are chosen so that positions exist"),
            outside: match access.outside {
                Outside::Never => 0,
                Outside::Value(bits) => bits,
            },
        }
    }

    /// Puts a constant where it is read as it is.
    fn keep_constant(&mut self, tensor: TensorId, form: Form, place: &mut Place) {
        let home = Home { tensor, form };
        self.bring(home);
        place.location = self.homes.get(&home).copied();
    }

    /// Packs a constant so that the axis of the vectors is innermost.
    fn pack_along(&mut self, number: usize, read: usize, nest: &Nest, place: &Place, axis: usize) -> Place {
        let plan = self.plan;
        let extents = extents(nest);
        let position = place.position.along(axis, &extents);
        let words = position.last_word().next_multiple_of(place::BLOCK);
        let at = self.constants.place(Key::Packed(number, read, axis), |_| {
            let Source::Constant(from) = &plan.graph.tensor(nest.reads[read].tensor).source else {
                panic!("only constants are packed")
            };
            place::pack(from, &place.position, &position, &extents, words)
        });
        let location = Some(Location::Known(Argument::Constants(at)));
        Place { location, words, position, padded: true, ..place.clone() }
    }

    /// A nest with its accesses resolved, but for the numbers of its buffers.
    fn loops<'n>(&self, nest: &'n Nest, numerics: Numerics, places: &[Place], write: &Place, to: Home) -> Loops<'n> {
        let extents = extents(nest);
        let shape = &self.graph().tensor(to.tensor).shape;
        let end = place::reaches_end(&nest.write, shape, self.forms.layout(to), &extents);
        let reduction = match (&nest.reduction, numerics) {
            (Some(reduction), Numerics::Direct(order)) => Some((reduction, order)),
            (None, Numerics::Plain) => None,
            (Some(_), Numerics::Plain) | (None, Numerics::Direct(_)) => {
                panic!("{}: numerics of another nest", nest.name)
            }
        };
        Loops {
            extents,
            parallel: nest.parallel.len(),
            reduction,
            reads: places.iter().map(Place::operand).collect(),
            store: nest.store.expanded(),
            write: write.operand(),
            padded: end && places.iter().chain([write]).all(|place| place.padded),
        }
    }

    /// Numbers the buffers of a kernel.
    fn buffers(&self, builder: &mut Builder, loops: &mut Loops, places: &[Place], write: &Place) -> Buffers {
        let mut buffers = Buffers { locations: Vec::new(), ids: Vec::new() };
        let mut id = |place: &Place, writable: bool| {
            let location = place.location.expect("every operand has been brought");
            buffers.id(builder, &place.name, location, place.words, writable)
        };
        loops.write.buffer = id(write, true);
        for (operand, place) in loops.reads.iter_mut().zip(places) {
            operand.buffer = id(place, false);
        }
        buffers
    }

    fn finish_step(&mut self, name: String, frame: Frame, buffers: Buffers) {
        let (kernel, tables) = frame.finish();
        let mut arguments = buffers.locations;
        if let Some((buffer, words)) = tables {
            assert_eq!(buffer.0, arguments.len(), "tables come last");
            let at = self.constants.place(Key::Table(words), |key| match key {
                Key::Table(words) => words.clone(),
                Key::Tensor(_) | Key::Packed(..) => unreachable!("the key is a table"),
            });
            arguments.push(Location::Known(Argument::Constants(at)));
        }
        self.step(name, kernel, arguments);
    }

    fn step(&mut self, name: String, kernel: Kernel, arguments: Vec<Location>) {
        let key = kernel.anonymous();
        let kernels = &mut self.kernels;
        let number = *self.known.entry(key).or_insert_with(|| {
            kernels.push(kernel);
            kernels.len() - 1
        });
        self.steps.push(Draft { name, kernel: number, arguments });
    }

    /// Copies the outputs that were not made where the caller wants them.
    fn remaining_outputs(&mut self) {
        for (number, output) in all_outputs(self.graph()).iter().enumerate() {
            let tensor = output.view.tensor;
            if self.outputs.get(&tensor) == Some(&number) && self.forms.primary(tensor) == Form::Dense {
                continue;
            }
            let from = Home { tensor, form: self.forms.primary(tensor) };
            self.bring(from);
            let location = Location::Known(Argument::Output(number));
            // A second home of the same form: the copy is made under a form that the tensor doesn't have otherwise.
            let dense = Home { tensor, form: Form::Dense };
            let before = self.homes.insert(dense, location);
            let reads = Home { tensor, form: from.form };
            if from.form == Form::Dense {
                let source = before.expect("a dense tensor is there");
                self.copy_dense(source, location, tensor);
                self.homes.insert(dense, source);
            } else {
                self.copy(reads, dense, &output.name);
            }
        }
    }

    /// Copies dense words.
    fn copy_dense(&mut self, from: Location, to: Location, tensor: TensorId) {
        let name = self.graph().tensor(tensor).name.clone();
        let words = self.graph().tensor(tensor).elements();
        let mut builder = Builder::new(format!("copy_{}", kernel_name(&name)), self.target.lanes, 1);
        let source = builder.input("from", words);
        let sink = builder.output("to", words);
        place::copy(&mut builder, source, sink, words);
        self.step(format!("{name}: to output"), builder.finish(), vec![from, to]);
    }

    fn finish(self) -> Program {
        let mut lives = self
            .places
            .iter()
            .map(|words| memory::Life { first: usize::MAX, last: 0, words: *words })
            .collect::<Vec<_>>();
        for (number, step) in self.steps.iter().enumerate() {
            for argument in &step.arguments {
                if let Location::Arena(place) = argument {
                    lives[*place].first = lives[*place].first.min(number);
                    lives[*place].last = lives[*place].last.max(number);
                }
            }
        }
        let (offsets, arena_words) = memory::place(&lives);
        let steps = self
            .steps
            .into_iter()
            .map(|draft| Step {
                name: draft.name,
                kernel: draft.kernel,
                arguments: draft
                    .arguments
                    .into_iter()
                    .map(|location| match location {
                        Location::Arena(place) => Argument::Arena(offsets[place]),
                        Location::Known(argument) => argument,
                    })
                    .collect(),
            })
            .collect();
        let (inputs, outputs) = ports(&self.plan.graph);
        let constants = std::sync::Arc::from([]);
        Program { kernels: self.kernels, steps, arena_words, constants, inputs, outputs }
    }
}

/// For each tensor that is made for the caller in dense rows, the first output it is.
fn direct_outputs(plan: &Plan) -> HashMap<TensorId, usize> {
    let mut outputs = HashMap::new();
    for (number, output) in all_outputs(&plan.graph).iter().enumerate() {
        if plan.graph.tensor(output.view.tensor).source == Source::Computed {
            outputs.entry(output.view.tensor).or_insert(number);
        }
    }
    outputs
}

/// The model's outputs, and after them the actual extents of those whose size depends on the data.
fn all_outputs(graph: &Graph) -> Vec<Output> {
    let extents = graph.outputs.iter().filter_map(|output| {
        let view = graph.view(output.view.extents?);
        Some(Output { name: format!("{}.extents", output.name), view })
    });
    graph.outputs.iter().cloned().chain(extents).collect()
}

fn ports(graph: &Graph) -> (Vec<Port>, Vec<Port>) {
    let port = |name: &str, shape: &[usize], tensor: TensorId| Port {
        name: name.to_string(),
        shape: shape.to_vec(),
        extents: None,
        integer: graph.tensor(tensor).element == Element::I32,
    };
    let inputs = graph.inputs.iter().map(|id| port(&graph.tensor(*id).name, &graph.tensor(*id).shape, *id)).collect();
    let mut outputs: Vec<Port> =
        all_outputs(graph).iter().map(|output| port(&output.name, &output.view.shape, output.view.tensor)).collect();
    let sized = (0..graph.outputs.len()).filter(|number| graph.outputs[*number].view.extents.is_some());
    for (at, number) in sized.enumerate() {
        outputs[number].extents = Some(graph.outputs.len() + at);
    }
    (inputs, outputs)
}

fn form_text(form: Form) -> &'static str {
    match form {
        Form::Dense => "dense rows",
        Form::Planes => "planes",
        Form::Blocks => "blocks",
    }
}

/// A name made of letters, digits and underscores.
fn kernel_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}
