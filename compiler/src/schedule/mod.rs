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
mod nest;
mod parts;
mod place;
mod ports;
pub mod routine;
mod sums;
mod tiling;
mod winograd;

pub use constants::Constants;

use crate::expression::Expression;
use crate::format::Format;
use crate::graph::{Access, Graph, Index, Nest, Operation, Source, TensorId, axes};
use crate::kernel::{Argument, Builder, Callee, Kernel, Program, Step};
use crate::plan::{Numerics, Plan};
use constants::Key;
use forms::Forms;
use generic::tasks_text;
use ncnnc_targets::Target;
use place::{BLOCK, Form, Home, Layout};
use ports::{direct_outputs, ports};
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
    how: String,
    callee: Callee,
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

    fn is_constant(&self, tensor: TensorId) -> bool {
        matches!(self.graph().tensor(tensor).source, Source::Constant(_))
    }

    /// How the elements of a home are stored: as planned, but what is made of constants at run time in words.
    fn format(&self, home: Home) -> Format {
        match home.form {
            Form::Planes | Form::Blocks if self.is_constant(home.tensor) => Format::Word,
            Form::Dense | Form::Planes | Form::Blocks => self.plan.formats[home.tensor.0],
        }
    }

    /// Room in the arena for so many elements, in whole lines.
    fn new_place(&mut self, format: Format, elements: usize) -> Location {
        self.places.push(format.words(elements).next_multiple_of(BLOCK));
        Location::Arena(self.places.len() - 1)
    }

    /// Elements of a home.
    fn room(&self, home: Home) -> usize {
        let shape = &self.graph().tensor(home.tensor).shape;
        match self.homes.get(&home) {
            Some(Location::Known(Argument::Input(_) | Argument::Output(_))) => shape.iter().product(),
            Some(
                Location::Known(Argument::Arena(_) | Argument::Constants(_) | Argument::Tables(_)) | Location::Arena(_),
            )
            | None => self.forms.layout(home).words(shape),
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
                let at = self.constants.place(Key::Tensor(home.tensor), self.format(home), || words.to_vec());
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
        let location = self.new_place(self.format(home), layout.words(&shape));
        self.homes.insert(home, location);
        if layout.halo != place::Halo::default() {
            self.clear_halo(home, layout, &shape, location);
        }
    }

    fn clear_halo(&mut self, home: Home, layout: Layout, shape: &[usize], location: Location) {
        let name = &self.graph().tensor(home.tensor).name;
        let planes = shape[0].div_ceil(layout.block());
        let mut builder = Builder::new(format!("clear_halo_{name}"), self.target.lanes, planes);
        let buffer = builder.output_in(self.format(home), "planes", layout.words(shape));
        place::clear_halo(&mut builder, buffer, layout, shape);
        let how = format!("{}; writes {name} {layout}", tasks_text(planes, "c"));
        self.step(format!("zeros around {name}"), how, builder.finish(), vec![location]);
    }

    /// Copies a tensor from one form to another.
    fn copy(&mut self, from: Home, to: Home, name: &str) {
        let shape = self.graph().tensor(from.tensor).shape.clone();
        let whole = |tensor| Access::new(tensor, &shape, (0..shape.len()).map(Index::axis).collect());
        let nest = Nest {
            name: format!("{name} to {}", form_text(to.form)),
            parallel: axes(&shape),
            reduction: None,
            reads: vec![whole(from.tensor)],
            store: Expression::read_of(0),
            write: whole(to.tensor),
        };
        self.generic_into(None, &nest, Numerics::Plain, &[from.form], to);
    }

    fn step(&mut self, name: String, how: String, kernel: Kernel, arguments: Vec<Location>) {
        let key = kernel.anonymous();
        let kernels = &mut self.kernels;
        let number = *self.known.entry(key).or_insert_with(|| {
            kernels.push(kernel);
            kernels.len() - 1
        });
        self.steps.push(Draft { name, how, callee: Callee::Kernel(number), arguments });
    }

    /// Copies dense words.
    fn copy_dense(&mut self, from: Location, to: Location, tensor: TensorId) {
        let name = self.graph().tensor(tensor).name.clone();
        let words = self.graph().tensor(tensor).elements();
        let mut builder = Builder::new(format!("copy_{}", kernel_name(&name)), self.target.lanes, 1);
        let source = builder.input("from", words);
        let sink = builder.output("to", words);
        place::copy(&mut builder, source, sink, words);
        let how = format!("vectors of {}; 1 task; reads {name} in rows; writes rows for the caller", self.target.lanes);
        self.step(format!("{name} to output"), how, builder.finish(), vec![from, to]);
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
                how: draft.how,
                callee: draft.callee,
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
        let (constants, tables) = (std::sync::Arc::from([]), std::sync::Arc::from([]));
        let program = Program { kernels: self.kernels, steps, arena_words, constants, tables, inputs, outputs };
        program.verify(self.constants.words(), self.constants.tables());
        program
    }
}

fn form_text(form: Form) -> &'static str {
    match form {
        Form::Dense => "rows",
        Form::Planes => "planes",
        Form::Blocks => "blocks",
    }
}

/// A name made of letters, digits and underscores.
fn kernel_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}
