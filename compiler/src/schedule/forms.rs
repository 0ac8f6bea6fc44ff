//! Chooses the form each operation reads and writes its tensors in: the same for every target, so that one set of packed
//! constants serves all.

use super::contraction::Contraction;
use super::place::{BLOCK, Form, Halo, Home, Layout, Position, refine};
use crate::graph::{Access, Combine, Graph, Nest, Operation, Outside, Source, TensorId};
use crate::plan::winograd::{Window, Winograd};
use crate::plan::{LONGEST_CHAIN, Numerics, Plan};
use std::collections::HashMap;

/// How one nest is carried out.
pub struct Choice {
    /// The contraction it is, where the register tile can take it.
    pub contraction: Option<Contraction>,
    /// The form of each read.
    pub reads: Vec<Form>,
}

/// Forms and halos of a whole plan.
pub struct Forms {
    /// For each operation, how it is carried out; routines take everything dense.
    pub choices: Vec<Option<Choice>>,
    /// The form each tensor is made in.
    pub primary: HashMap<TensorId, Form>,
    /// The halo of each tensor in each form but dense.
    halos: HashMap<Home, Halo>,
}

impl Forms {
    /// Chooses for every operation, in order.
    pub fn choose(plan: &Plan) -> Self {
        let mut forms = Self { choices: Vec::new(), primary: HashMap::new(), halos: HashMap::new() };
        let writers = writers(&plan.graph);
        for (operation, numerics) in plan.graph.operations.iter().zip(&plan.numerics) {
            let choice = match operation {
                Operation::Nest(nest) => Some(forms.choose_nest(&plan.graph, nest, *numerics, &writers)),
                Operation::Routine(_) => None,
            };
            forms.choices.push(choice);
        }
        forms
    }

    /// The layout of a tensor in a form.
    pub fn layout(&self, home: Home) -> Layout {
        match home.form {
            Form::Dense => Layout::DENSE,
            Form::Planes => Layout { blocked: false, halo: self.halo(home) },
            Form::Blocks => Layout { blocked: true, halo: self.halo(home) },
        }
    }

    fn halo(&self, home: Home) -> Halo {
        self.halos.get(&home).copied().unwrap_or_default()
    }

    /// The form a tensor is made in; inputs and constants are dense.
    pub fn primary(&self, tensor: TensorId) -> Form {
        self.primary.get(&tensor).copied().unwrap_or(Form::Dense)
    }

    fn choose_nest(
        &mut self,
        graph: &Graph,
        nest: &Nest,
        numerics: Numerics,
        writers: &HashMap<TensorId, Vec<&Nest>>,
    ) -> Choice {
        let contraction = Contraction::of(graph, nest);
        let write = self.write_form(graph, nest, contraction.as_ref(), writers);
        if let Numerics::Winograd(winograd) = numerics {
            return Choice { contraction: None, reads: self.winograd_reads(graph, nest, winograd, write) };
        }
        if let Some(contraction) = contraction
            && let Some(reads) = self.contraction_reads(graph, nest, &contraction, write)
        {
            return Choice { contraction: Some(contraction), reads };
        }
        if write == Form::Dense && only_form_for_vectors(graph, nest) == Some(Form::Dense) {
            return Choice { contraction: None, reads: vec![Form::Dense; nest.reads.len()] };
        }
        let channel = (write == Form::Blocks).then(|| channel_axis(graph, nest)).flatten();
        let reads = (0..nest.reads.len()).map(|read| self.read_form(graph, nest, read, channel, write)).collect();
        Choice { contraction: None, reads }
    }

    /// Tensors are made in blocks when every part of them can be and something about them already is, unless vectors
    /// need another form.
    fn write_form(
        &mut self,
        graph: &Graph,
        nest: &Nest,
        contraction: Option<&Contraction>,
        writers: &HashMap<TensorId, Vec<&Nest>>,
    ) -> Form {
        let tensor = nest.write.tensor;
        if let Some(form) = self.primary.get(&tensor) {
            return *form;
        }
        let blocks = Layout { blocked: true, halo: Halo::default() };
        let shape = &graph.tensor(tensor).shape;
        let possible = writers[&tensor]
            .iter()
            .all(|writer| Position::new(&writer.write, shape, blocks, &extents(writer)).is_some());
        let channels_side_by_side = |contraction: &Contraction| {
            let (channel, extents) = (contraction.channel, extents(nest));
            Position::new(&nest.write, shape, blocks, &extents)
                .is_some_and(|position| position.runs_along(channel, extents[channel], BLOCK, 1))
        };
        let from_blocks = || {
            nest.reads.iter().any(|read| {
                let from = &graph.tensor(read.tensor).shape;
                self.primary(read.tensor) == Form::Blocks && Position::new(read, from, blocks, &extents(nest)).is_some()
            })
        };
        let wanted = contraction.is_some_and(channels_side_by_side)
            || only_form_for_vectors(graph, nest).map_or_else(from_blocks, |form| form == Form::Blocks);
        let form = if possible && wanted { Form::Blocks } else { Form::Dense };
        self.primary.insert(tensor, form);
        form
    }

    fn contraction_reads(
        &mut self,
        graph: &Graph,
        nest: &Nest,
        contraction: &Contraction,
        write: Form,
    ) -> Option<Vec<Form>> {
        let extents = extents(nest);
        let channel = contraction.channel;
        let run = if write == Form::Blocks { BLOCK } else { extents[channel] };
        let access = &nest.reads[contraction.activation];
        let (form, halo) = self.activation_form(graph, access, &extents)?;
        let mut reads = Vec::with_capacity(nest.reads.len());
        for (number, read) in nest.reads.iter().enumerate() {
            let form = if number == contraction.activation {
                form
            } else if number == contraction.weight {
                self.read_form(graph, nest, number, None, Form::Dense)
            } else {
                let form = self.read_form(graph, nest, number, Some(channel), write);
                let shape = &graph.tensor(read.tensor).shape;
                let position = Position::new(read, shape, layout_of(form), &extents)?;
                let constant = matches!(graph.tensor(read.tensor).source, Source::Constant(_));
                let vector =
                    constant || !position.depends_on(channel) || position.runs_along(channel, extents[channel], run, 1);
                (vector && position.guards.is_empty()).then_some(())?;
                form
            };
            reads.push(form);
        }
        self.widen(access.tensor, form, halo);
        Some(reads)
    }

    /// Everything that has channels in blocks, so that vectors run along them; what is filtered, with a halo that
    /// completes the last tiles.
    fn winograd_reads(&mut self, graph: &Graph, nest: &Nest, winograd: Winograd, write: Form) -> Vec<Form> {
        let window = Window::of(graph, nest).expect("the plan chooses only for windows of 3x3");
        let activation = nest.reads[window.activation].tensor;
        let [bottom, right] = winograd.overhang(&window, &graph.tensor(activation).shape);
        self.widen(activation, Form::Blocks, Halo { top: window.top, left: window.left, bottom, right });
        let extents = extents(nest);
        let form = |(number, read): (usize, &Access)| {
            let constant = matches!(graph.tensor(read.tensor).source, Source::Constant(_));
            let moves = Position::new(read, &read.shape, Layout::DENSE, &extents)
                .is_some_and(|position| position.depends_on(Window::CHANNEL));
            let blocks = number == window.activation || (moves && !constant);
            if blocks { Form::Blocks } else { self.read_form(graph, nest, number, None, write) }
        };
        nest.reads.iter().enumerate().map(form).collect()
    }

    /// A form in which an activation needs no guard, and the halo it takes.
    fn activation_form(&self, graph: &Graph, access: &Access, extents: &[usize]) -> Option<(Form, Halo)> {
        let tensor = graph.tensor(access.tensor);
        let halo = needed_halo(access, &tensor.shape, extents);
        let fits = |layout: Layout| {
            Position::new(access, &tensor.shape, layout, extents).is_some_and(|position| position.guards.is_empty())
        };
        let blocks = (self.primary(access.tensor) == Form::Blocks)
            .then_some(halo)
            .flatten()
            .filter(|halo| fits(Layout { blocked: true, halo: *halo }));
        if let Some(halo) = blocks {
            return Some((Form::Blocks, halo));
        }
        if fits(Layout::DENSE) {
            return Some((Form::Dense, Halo::default()));
        }
        halo.filter(|halo| fits(Layout { blocked: false, halo: *halo })).map(|halo| (Form::Planes, halo))
    }

    fn read_form(&mut self, graph: &Graph, nest: &Nest, read: usize, channel: Option<usize>, write: Form) -> Form {
        let access = &nest.reads[read];
        let tensor = graph.tensor(access.tensor);
        let extents = extents(nest);
        let position = Position::new(access, &tensor.shape, layout_of(Form::Blocks), &extents);
        let Some(position) = position else { return Form::Dense };
        let along = channel.is_some_and(|channel| {
            position.depends_on(channel) && position.runs_along(channel, extents[channel], BLOCK, 1)
        });
        let primary = self.primary(access.tensor);
        let form = if primary == Form::Blocks || (write == Form::Blocks && along) { Form::Blocks } else { primary };
        let window = nest.reduction.as_ref().is_some_and(|reduction| reduction.combine == Combine::FusedSum);
        if window
            && !matches!(tensor.source, Source::Constant(_))
            && let Some(halo) = needed_halo(access, &tensor.shape, &extents)
            && halo != Halo::default()
        {
            let form = if form == Form::Dense { Form::Planes } else { form };
            self.widen(access.tensor, form, halo);
            return form;
        }
        form
    }

    fn widen(&mut self, tensor: TensorId, form: Form, halo: Halo) {
        let wide = self.halos.entry(Home { tensor, form }).or_default();
        *wide = wide.union(halo);
    }
}

/// The form that a nest which reduces a window must have its tensors in for vectors to run along any loop; nothing where
/// both forms allow vectors or neither does. A window is worth bringing its operands into another form, what only moves or
/// maps elements isn't; in long reductions vectors can run along the terms.
fn only_form_for_vectors(graph: &Graph, nest: &Nest) -> Option<Form> {
    let reduction = nest.reduction.as_ref().filter(|reduction| reduction.combine != Combine::FusedSum)?;
    let terms: usize = reduction.axes.iter().map(|axis| axis.extent).product();
    (terms <= LONGEST_CHAIN).then_some(())?;
    match [Form::Dense, Form::Blocks].map(|form| vectors_fit(graph, nest, form)) {
        [true, false] => Some(Form::Dense),
        [false, true] => Some(Form::Blocks),
        [true, true] | [false, false] => None,
    }
}

/// Whether vectors can run along some loop when everything is in this form. Halos, which come later, may add to that.
fn vectors_fit(graph: &Graph, nest: &Nest, form: Form) -> bool {
    let extents = extents(nest);
    let position =
        |access: &Access| Position::new(access, &graph.tensor(access.tensor).shape, layout_of(form), &extents);
    let constant = |access: &&Access| matches!(graph.tensor(access.tensor).source, Source::Constant(_));
    let reads: Option<Vec<Position>> = nest.reads.iter().filter(|read| !constant(read)).map(position).collect();
    let (Some(reads), Some(write)) = (reads, position(&nest.write)) else { return false };
    (0..nest.parallel.len()).any(|axis| {
        let run = if form == Form::Blocks { BLOCK } else { extents[axis] };
        let runs = |position: &Position| position.runs_along(axis, extents[axis], run, 1);
        let guarded = |position: &Position| position.guards.iter().any(|guard| !guard.axes[axis].is_empty());
        let reads = reads.iter().all(|read| !read.depends_on(axis) || (runs(read) && !guarded(read)));
        extents[axis] >= BLOCK && write.depends_on(axis) && runs(&write) && reads
    })
}

/// Extents of a nest's loops.
pub fn extents(nest: &Nest) -> Vec<usize> {
    nest.axes().map(|axis| axis.extent).collect()
}

/// A form without a halo, to ask what positions are like in it.
fn layout_of(form: Form) -> Layout {
    match form {
        Form::Dense | Form::Planes => Layout::DENSE,
        Form::Blocks => Layout { blocked: true, halo: Halo::default() },
    }
}

fn writers(graph: &Graph) -> HashMap<TensorId, Vec<&Nest>> {
    let mut writers: HashMap<TensorId, Vec<&Nest>> = HashMap::new();
    for operation in &graph.operations {
        if let Operation::Nest(nest) = operation {
            writers.entry(nest.write.tensor).or_default().push(nest);
        }
    }
    writers
}

/// The parallel axis that counts channels within blocks of what is written.
fn channel_axis(graph: &Graph, nest: &Nest) -> Option<usize> {
    let extents = extents(nest);
    let shape = &graph.tensor(nest.write.tensor).shape;
    let position = Position::new(&nest.write, shape, layout_of(Form::Blocks), &extents)?;
    (0..nest.parallel.len())
        .find(|axis| position.depends_on(*axis) && position.runs_along(*axis, extents[*axis], BLOCK, 1))
}

/// The halo that makes every index of an access fall inside, where what lies outside is zero and only rows and columns
/// leave the tensor.
fn needed_halo(access: &Access, shape: &[usize], extents: &[usize]) -> Option<Halo> {
    let index = refine(access, shape, extents)?;
    let beyond = |axis: usize| {
        let (low, high) = index[axis].bounds(extents);
        ((-low).max(0) as usize, (high + 1 - shape[axis] as i64).max(0) as usize)
    };
    let (top, bottom) = beyond(1);
    let (left, right) = beyond(2);
    let halo = Halo { top, left, bottom, right };
    (halo == Halo::default() || access.outside == Outside::Value(0)).then_some(halo)
}
