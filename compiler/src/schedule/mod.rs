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

use crate::expression::Expression;
use crate::graph::{Access, Axis, Element, Graph, Index, Nest, Operation, Output, Source, TensorId};
use crate::kernel::{Argument, BufferId, Builder, Kernel, Port, Program, Step};
use crate::plan::{Numerics, Plan};
use contraction::{Contraction, Tiling, parts};
use forms::{Choice, Forms, extents};
use frame::{Frame, Operand};
use generic::Loops;
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
                self.nest(nest, plan.numerics[number], &choice);
            }
            Operation::Routine(routine) => self.routine(routine),
        }
    }

    fn nest(&mut self, nest: &Nest, numerics: Numerics, choice: &Choice) {
        for (read, form) in nest.reads.iter().zip(&choice.reads) {
            self.bring(Home { tensor: read.tensor, form: *form });
        }
        let home = Home { tensor: nest.write.tensor, form: self.forms.primary(nest.write.tensor) };
        self.make(home);
        match &choice.contraction {
            Some(contraction) => self.contraction(nest, numerics, contraction, &choice.reads),
            None => self.generic(nest, numerics, &choice.reads),
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
                let at = self.constants.add(words);
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
        self.generic_into(&nest, Numerics::Plain, &[from.form], to);
    }

    fn generic(&mut self, nest: &Nest, numerics: Numerics, reads: &[Form]) {
        let form = self.forms.primary(nest.write.tensor);
        self.generic_into(nest, numerics, reads, Home { tensor: nest.write.tensor, form });
    }

    fn generic_into(&mut self, nest: &Nest, numerics: Numerics, reads: &[Form], to: Home) {
        let lanes = self.target.lanes;
        let mut buffers = Buffers { locations: Vec::new(), ids: Vec::new() };
        // The number of tasks depends on the loops, which depend on the buffers: build with one task, then set it.
        let mut builder = Builder::new(kernel_name(&nest.name), lanes, 1);
        let mut loops = self.loops(nest, numerics, reads, to, &mut builder, &mut buffers);
        if let Numerics::Direct(crate::plan::Order::Lanes(_)) = numerics {
            loops = merge_reduction(loops);
        }
        let vector = loops.vector_axis(lanes);
        builder.set_tasks(loops.tasks(vector, lanes));
        let mut frame = Frame::new(builder, loops.extents.len());
        loops.emit(&mut frame, vector);
        self.finish_step(nest.name.clone(), frame, buffers);
    }

    fn contraction(&mut self, nest: &Nest, numerics: Numerics, contraction: &Contraction, reads: &[Form]) {
        let to = Home { tensor: nest.write.tensor, form: self.forms.primary(nest.write.tensor) };
        let extents = extents(nest);
        let lanes = self.target.lanes;
        let padded = nest.reads.iter().zip(reads).enumerate().all(|(number, (read, form))| {
            number == contraction.activation
                || number == contraction.weight
                || self.room(Home { tensor: read.tensor, form: *form }).1
        }) && self.room(to).1;
        let shape = &self.graph().tensor(to.tensor).shape;
        let padded = padded && place::reaches_end(&nest.write, shape, self.forms.layout(to), &extents);
        let packed = self.constants.add(&contraction.pack(&self.plan.graph, nest));
        for part in parts(contraction, &extents, padded, self.target) {
            let mut buffers = Buffers { locations: Vec::new(), ids: Vec::new() };
            let mut builder = Builder::new(kernel_name(&nest.name), lanes, 1);
            let mut loops = self.loops(nest, numerics, reads, to, &mut builder, &mut buffers);
            loops.padded = padded;
            let location = Location::Known(Argument::Constants(packed));
            let words = contraction.packed_words(nest);
            loops.reads[contraction.weight] = Operand {
                buffer: buffers.id(&mut builder, "weight", location, words, false),
                position: contraction.packed(nest),
                outside: 0,
            };
            let tiling = Tiling { loops, contraction, part };
            builder.set_tasks(tiling.tasks(lanes));
            let mut frame = Frame::new(builder, extents.len());
            tiling.emit(&mut frame);
            self.finish_step(nest.name.clone(), frame, buffers);
        }
    }

    /// A nest with its accesses resolved to buffers.
    fn loops<'n>(
        &mut self,
        nest: &'n Nest,
        numerics: Numerics,
        reads: &[Form],
        to: Home,
        builder: &mut Builder,
        buffers: &mut Buffers,
    ) -> Loops<'n> {
        let extents = extents(nest);
        let mut padded = true;
        let mut operand = |this: &Self, access: &Access, home: Home, writable: bool| {
            let tensor = this.graph().tensor(home.tensor);
            let position = Position::new(access, &tensor.shape, this.forms.layout(home), &extents)
                .expect("forms are chosen so that positions exist");
            let (words, room) = this.room(home);
            padded &= room;
            let outside = match access.outside {
                crate::graph::Outside::Never => 0,
                crate::graph::Outside::Value(bits) => bits,
            };
            let buffer = buffers.id(builder, &kernel_name(&tensor.name), this.homes[&home], words, writable);
            Operand { buffer, position, outside }
        };
        let write = operand(self, &nest.write, to, true);
        let end =
            place::reaches_end(&nest.write, &self.graph().tensor(to.tensor).shape, self.forms.layout(to), &extents);
        let reads = nest
            .reads
            .iter()
            .zip(reads)
            .map(|(access, form)| operand(self, access, Home { tensor: access.tensor, form: *form }, false))
            .collect();
        let reduction = match (&nest.reduction, numerics) {
            (Some(reduction), Numerics::Direct(order)) => Some((reduction, order)),
            (None, Numerics::Plain) => None,
            (Some(_), Numerics::Plain) | (None, Numerics::Direct(_)) => {
                panic!("{}: numerics of another nest", nest.name)
            }
        };
        let parallel = nest.parallel.len();
        Loops { extents, parallel, reduction, reads, store: nest.store.expanded(), write, padded: padded && end }
    }

    fn finish_step(&mut self, name: String, frame: Frame, buffers: Buffers) {
        let (kernel, tables) = frame.finish();
        let mut arguments = buffers.locations;
        if let Some((buffer, words)) = tables {
            assert_eq!(buffer.0, arguments.len(), "tables come last");
            arguments.push(Location::Known(Argument::Constants(self.constants.add(&words))));
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

/// The same loops with the axes of the reduction made one.
fn merge_reduction(loops: Loops) -> Loops {
    let parallel = loops.parallel;
    let merged =
        |operand: &Operand| Operand { position: operand.position.merged(parallel, &loops.extents), ..operand.clone() };
    let reads = loops.reads.iter().map(merged).collect();
    let write = merged(&loops.write);
    let terms = loops.extents[parallel..].iter().product();
    let extents = loops.extents[..parallel].iter().copied().chain([terms]).collect();
    Loops { extents, reads, write, ..loops }
}
