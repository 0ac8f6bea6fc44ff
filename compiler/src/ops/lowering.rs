//! What an operator has at hand while it lowers one layer.

use super::custom::{self, CustomLayer};
use super::shape::text;
use super::signature::{has_errors, warning};
use super::{Operator, data, operator, unknown_layer};
use crate::diagnostic::{Code, Diagnostic};
use crate::expression::Expression;
use crate::graph::{
    Access, Axis, Element, Graph, Index, Nest, Operation, Output, Source, Tensor, TensorId, View, axes,
};
use crate::ncnn::{Blob, BlobId, FORBIDS_WINOGRAD, Layer, Model, SHAPE_HINTS};
use std::collections::HashMap;
use std::sync::Arc;

/// Elements of all tensors of a network: 8 GiB of floats. Beyond it, a file is malformed or malicious.
pub const MOST_ELEMENTS: usize = 1 << 31;

/// Iterations of one nest. A minute of every core of a large machine; no layer of a known network has a thousandth.
const MOST_ITERATIONS: usize = 1 << 44;

/// Iterations along one axis. Positions along it are tabulated when it is scheduled, so that more would take minutes and
/// gigabytes; the largest image of a known network has a thousandth.
const MOST_ALONG_AN_AXIS: usize = 1 << 22;

/// Terms that one element may be made of, which are tabulated as well where they are no products: a norm over the 16
/// channels of a group at 1024x1024.
const MOST_TERMS: usize = 1 << 24;

/// Elements that padding may add, and times how many it may make a tensor larger besides. Dilated convolutions pad their
/// input to ten times its size (DeepLab, 33x33 with 36 on every side).
const MOST_PADDING: usize = 1 << 24;
const MOST_PADDED: f64 = 64.0;

/// Operations one layer may become.
const MOST_OPERATIONS: usize = 1 << 16;

/// One layer being lowered: its parameters, the values of its inputs, and the graph it adds to.
pub struct Lowering<'a> {
    /// The layer.
    pub layer: &'a Layer,
    /// The values of its inputs, in the layer's order.
    pub inputs: Vec<View>,
    /// The graph so far.
    pub graph: &'a mut Graph,
    /// Names of the layer's output blobs.
    pub output_names: Vec<String>,
    /// For `Input`: the shape the user gave for this blob, or else the one the file claims, outermost first.
    pub given_shape: Option<Vec<usize>>,
    outputs: Vec<Option<View>>,
    /// What the user should know of the layer.
    warnings: Vec<Diagnostic>,
    /// The tensors' names, and for each how many copies of it have been made unique.
    names: &'a mut HashMap<String, usize>,
}

impl Lowering<'_> {
    /// An error about this layer, at its line.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.layer.error(message)
    }

    /// An error about one of its parameters, where that is written.
    pub fn error_in(&self, parameter: u32, message: impl Into<String>) -> Diagnostic {
        self.layer.error_in(parameter, message)
    }

    /// Tells the user of something about one of its parameters that doesn't keep it from being computed.
    pub fn warn_in(&mut self, parameter: u32, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(warning(self.layer, parameter, message.into()).hint(hint));
    }

    /// Input `i` in its shape.
    pub fn input(&self, i: usize) -> Result<View, Diagnostic> {
        self.inputs.get(i).cloned().ok_or_else(|| {
            self.error(format!("{} needs at least {} inputs, but has {}", self.layer.kind, i + 1, self.inputs.len()))
        })
    }

    /// Input `i` of a layer that can only take values whose size is known now.
    pub fn fixed_input(&self, i: usize) -> Result<View, Diagnostic> {
        let view = self.input(i)?;
        if view.extents.is_some() {
            let kind = &self.layer.kind;
            let message = format!("{kind} can't follow a layer whose output size depends on the data");
            return Err(self
                .error(message)
                .hint("only layers that keep the shape can; end the network before this layer"));
        }
        Ok(view)
    }

    /// A shape that a tensor can have.
    ///
    /// # Errors
    /// When an extent isn't positive or there are too many elements.
    pub fn checked_shape(&self, what: &str, extents: &[i64]) -> Result<Vec<usize>, Diagnostic> {
        let text = || extents.iter().map(i64::to_string).collect::<Vec<_>>().join("x");
        if extents.iter().any(|extent| *extent <= 0) {
            let message = format!("{what} would be empty: {}", text());
            return Err(self.error(message).hint("every extent must be at least 1"));
        }
        let shape: Vec<usize> = extents.iter().map(|extent| extent.unsigned_abs() as usize).collect();
        match product(&shape) {
            Some(_) => Ok(shape),
            None => {
                let message = format!("{what} of {} has more than {MOST_ELEMENTS} elements", text());
                Err(self
                    .error(message)
                    .code(Code::Size)
                    .hint("look for an extent or a parameter that is far too large"))
            }
        }
    }

    /// A constant of the layer, such as `weight`.
    pub fn constant(&mut self, what: &str, shape: &[usize], values: &[f32]) -> View {
        let words: Arc<[u32]> = values.iter().map(|value| value.to_bits()).collect();
        let name = format!("{}.{what}", self.layer.name);
        self.add(&name, shape, Element::F32, Source::Constant(words))
    }

    /// The layer's array number `i` as a constant of this shape.
    ///
    /// # Errors
    /// When it hasn't as many elements.
    pub fn weight(&mut self, i: usize, what: &str, extents: &[i64]) -> Result<View, Diagnostic> {
        let shape = self.checked_shape(&format!("the {what}"), extents)?;
        let Some(weights) = self.layer.weights.get(i) else {
            return Err(self.error(format!("the {what} hasn't been read")).hint("read the .bin before lowering"));
        };
        let (have, need) = (weights.len(), shape.iter().product::<usize>());
        if have != need {
            let text = extents.iter().map(i64::to_string).collect::<Vec<_>>().join("x");
            let product = if extents.len() > 1 { format!(" ({text})") } else { String::new() };
            let message = format!("the {what} has {have} elements, but {need}{product} are needed");
            return Err(self
                .error(message)
                .hint("check the parameters that give its size against the shape of the input"));
        }
        let values = weights.values();
        Ok(self.constant(what, &shape, &values))
    }

    /// A tensor that stays inside the layer.
    pub fn temporary(&mut self, what: &str, shape: &[usize]) -> View {
        let name = format!("{}.{what}", self.layer.name);
        self.add(&name, shape, Element::F32, Source::Computed)
    }

    /// A new tensor for output `i`, which it becomes.
    pub fn output(&mut self, i: usize, shape: &[usize]) -> View {
        let name = self.output_names[i].clone();
        let view = self.add(&name, shape, Element::F32, Source::Computed);
        self.set_output(i, view.clone());
        view
    }

    /// Adds a tensor under a name made unique if need be.
    pub fn add(&mut self, name: &str, shape: &[usize], element: Element, source: Source) -> View {
        let mut unique = name.to_string();
        let mut copies = self.names.get(name).copied().unwrap_or(0);
        while self.names.contains_key(&unique) {
            copies += 1;
            unique = format!("{name}.{}", copies + 1);
        }
        self.names.insert(name.to_string(), copies);
        self.names.entry(unique.clone()).or_insert(0);
        self.graph.tensors.push(Tensor { name: unique, shape: shape.to_vec(), element, source, layer: None });
        self.graph.view(TensorId(self.graph.tensors.len() - 1))
    }

    /// Makes a value that exists output `i`: layers that move nothing cost nothing.
    pub fn set_output(&mut self, i: usize, view: View) {
        self.outputs[i] = Some(view);
    }

    /// Adds a nest. Its name becomes the layer's.
    pub fn nest(&mut self, nest: Nest) {
        if self.layer.parameters.feature_mask() & FORBIDS_WINOGRAD != 0 {
            self.graph.by_definition.insert(self.layer.name.clone());
        }
        self.graph.operations.push(Operation::Nest(Nest { name: self.layer.name.clone(), ..nest }));
    }

    /// Adds the element-wise nest `to[axes] = value(reads)`, where `to` is indexed by the axes of its own shape.
    pub fn map(&mut self, to: &View, reads: Vec<Access>, value: Expression) {
        let parallel = axes(&to.shape);
        let write = to.elementwise();
        self.nest(Nest { name: String::new(), parallel, reduction: None, reads, store: value, write });
    }

    /// Marks the outputs that the layer has made, rather than found: those among the tensors from `first` on.
    fn claim_outputs(&mut self, first: usize) {
        for view in self.outputs.iter().flatten().filter(|view| view.tensor.0 >= first) {
            let tensor = &mut self.graph.tensors[view.tensor.0];
            if tensor.source == Source::Computed {
                tensor.layer = Some(self.layer.name.clone());
            }
        }
    }

    /// Refuses what the layer has added when it is absurdly large; `sizes` are the numbers of tensors and operations
    /// before it, `elements` the elements so far.
    fn check_sizes(&self, sizes: (usize, usize), elements: &mut usize) -> Result<(), Diagnostic> {
        for tensor in &self.graph.tensors[sizes.0..] {
            let sum = product(&tensor.shape).and_then(|count| elements.checked_add(count));
            *elements = sum.filter(|sum| *sum <= MOST_ELEMENTS).ok_or_else(|| {
                self.error(format!("up to this layer the tensors have more than {MOST_ELEMENTS} elements"))
                    .code(Code::Size)
            })?;
        }
        let operations = &self.graph.operations[sizes.1..];
        if operations.len() > MOST_OPERATIONS {
            return Err(self
                .error(format!("the layer would take more than {MOST_OPERATIONS} operations"))
                .code(Code::Size));
        }
        for operation in operations {
            let Operation::Nest(nest) = operation else { continue };
            let iterations = nest.axes().try_fold(1_usize, |product, axis| product.checked_mul(axis.extent));
            if iterations.is_none_or(|iterations| iterations > MOST_ITERATIONS) {
                return Err(self
                    .error(format!("the layer would take more than {MOST_ITERATIONS} steps"))
                    .code(Code::Size));
            }
            if let Some(axis) = nest.axes().find(|axis| axis.extent > MOST_ALONG_AN_AXIS) {
                let (name, extent) = (axis.name, axis.extent);
                let message =
                    format!("the layer would take {extent} steps along {name}, more than {MOST_ALONG_AN_AXIS}");
                return Err(self.error(message).code(Code::Size));
            }
            if let Some(access) = nest.reads.iter().find(|access| reaches_too_far(access, nest)) {
                let name = &self.graph.tensor(access.tensor).name;
                let message = format!("what is read of `{name}` and around it would be too large, most of it padding");
                let hint = "check the padding and the dilation: with them, all of it lies in memory";
                return Err(self.error(message).code(Code::Size).hint(hint));
            }
            let terms = nest.reduction.iter().flat_map(|reduction| &reduction.axes).map(|axis| axis.extent);
            if terms.product::<usize>() > MOST_TERMS {
                let message = format!("an element would be made of more than {MOST_TERMS} others");
                return Err(self.error(message).code(Code::Size));
            }
        }
        Ok(())
    }
}

/// The number of elements of a shape, if a network can have them.
fn product(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1_usize, |product, extent| product.checked_mul(*extent));
    product.filter(|product| *product <= MOST_ELEMENTS)
}

/// Whether the box that holds all that is read, with what lies beyond the tensor's edge, has too many elements.
fn reaches_too_far(access: &Access, nest: &Nest) -> bool {
    let extents: Vec<usize> = nest.axes().map(|axis| axis.extent).collect();
    let reach = |(index, extent): (&Index, &usize)| {
        let range = index.range(&extents);
        let (first, last) = (i128::from(*range.start()).min(0), i128::from(*range.end()).max(*extent as i128 - 1));
        (last - first + 1) as f64
    };
    let inside: f64 = access.shape.iter().map(|extent| *extent as f64).product();
    let all: f64 = access.index.iter().zip(&access.shape).map(reach).product();
    all > (MOST_PADDING as f64 + MOST_PADDED * inside).min(MOST_ELEMENTS as f64)
}

/// One loop.
pub fn axis(name: &'static str, extent: usize) -> Axis {
    Axis { name, extent }
}

impl View {
    /// The element at the loops themselves, loop `i` counting axis `i`.
    pub fn elementwise(&self) -> Access {
        Access::new(self.tensor, &self.shape, (0..self.shape.len()).map(Index::axis).collect())
    }

    /// The element at these indices.
    pub fn at(&self, index: Vec<Index>) -> Access {
        Access::new(self.tensor, &self.shape, index)
    }

    /// The same elements in another shape.
    pub fn reshaped(&self, shape: &[usize]) -> Self {
        debug_assert_eq!(self.elements(), shape.iter().product::<usize>());
        Self { tensor: self.tensor, shape: shape.to_vec(), extents: None }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it is an input without elements.
    pub fn is_empty(&self) -> bool {
        self.shape == [0]
    }
}

/// What a layer means.
enum Meaning<'c> {
    /// What the table says.
    Known(&'static Operator),
    /// What the user's function with this number computes.
    Declared((usize, &'c CustomLayer)),
}

/// A model lowered.
pub struct Lowered {
    /// What is computed.
    pub graph: Graph,
    /// What the user should know of its layers.
    pub warnings: Vec<Diagnostic>,
}

/// Lowers a whole model without layers of the user's own, of which nothing is to be known; see [`lower_with`].
///
/// # Errors
/// As there.
pub fn lower(model: &Model, shapes: &HashMap<String, Vec<usize>>, extra: &[String]) -> Result<Graph, Vec<Diagnostic>> {
    lower_with(model, shapes, extra, &[]).map(|lowered| lowered.graph)
}

/// Lowers a whole model. `shapes` gives, by blob name and outermost first, the shapes of inputs that the file leaves
/// open; `extra` names further blobs to put out beside the model's own outputs; `custom` declares layers that functions
/// of the user's compute.
///
/// # Errors
/// Every layer that isn't known, whose parameters contradict each other or whose inputs don't fit, all at once.
pub fn lower_with(
    model: &Model,
    shapes: &HashMap<String, Vec<usize>>,
    extra: &[String],
    custom: &[CustomLayer],
) -> Result<Lowered, Vec<Diagnostic>> {
    let Layers { mut graph, values, mut problems } = lower_layers(model, shapes, custom);
    let wanted = wanted_blobs(model, extra, &mut problems);
    let empty = wanted.iter().filter(|id| values[id.0].as_ref().is_some_and(View::is_empty));
    problems.extend(empty.map(|id| {
        let message = format!("the output `{}` is an input that is empty", model.blob(*id).name);
        Diagnostic::error(message).hint("remove the input, or give it a shape without zeros")
    }));
    if has_errors(&problems) {
        return Err(problems);
    }
    for id in wanted {
        if let Some(view) = values[id.0].clone() {
            graph.outputs.push(Output { name: model.blob(id).name.clone(), view });
        }
    }
    graph.verify();
    Ok(Lowered { graph, warnings: problems })
}

/// What is wrong with the layers of a model of which some may be missing, and some arrays not read.
pub(super) fn problems(model: &Model, shapes: &HashMap<String, Vec<usize>>, custom: &[CustomLayer]) -> Vec<Diagnostic> {
    lower_layers(model, shapes, custom).problems
}

/// All layers lowered, as far as nothing is wrong with them.
struct Layers {
    graph: Graph,
    /// The values of all blobs.
    values: Vec<Option<View>>,
    problems: Vec<Diagnostic>,
}

fn lower_layers(model: &Model, shapes: &HashMap<String, Vec<usize>>, custom: &[CustomLayer]) -> Layers {
    let mut graph = Graph::default();
    let mut names = HashMap::new();
    let mut values: Vec<Option<View>> = vec![None; model.blobs.len()];
    let mut problems = Vec::new();
    let mut elements = 0;
    // Where shapes aren't those that the file claims, those of what is made of them needn't be either.
    let mut is_astray = vec![false; model.blobs.len()];
    for layer in &model.layers {
        let declared = || custom::find(custom, layer).map(Meaning::Declared);
        let Some(meaning) = operator(&layer.kind).map(Meaning::Known).or_else(declared) else {
            problems.push(unknown_layer(layer));
            continue;
        };
        if let Meaning::Known(operator) = &meaning {
            let of_layer = operator.signature.problems(layer);
            if has_errors(&of_layer) {
                problems.extend(of_layer);
                continue;
            }
        }
        // A layer behind a faulty one can't be judged; the fault is reported once, where it is.
        let Some(inputs) = layer.inputs.iter().map(|id| values[id.0].clone()).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let caches = match &meaning {
            Meaning::Known(operator) => operator.signature.caches(layer),
            Meaning::Declared(_) => 0..0,
        };
        if let Some(at) = (0..inputs.len()).find(|at| inputs[*at].is_empty() && !caches.contains(at)) {
            let message = format!("input `{}` is empty", model.blob(layer.inputs[at]).name);
            let hint = "only caches of keys and values can be; give the input a shape without zeros";
            problems.push(layer.error(message).code(Code::Shape).hint(hint));
            continue;
        }
        let output_names: Vec<String> = layer.outputs.iter().map(|id| model.blob(*id).name.clone()).collect();
        let hint = layer.outputs.first().and_then(|id| model.blob(*id).shape_hint.clone());
        let given_shape = output_names.first().and_then(|name| shapes.get(name)).cloned();
        let goes_astray = layer.inputs.iter().any(|id| is_astray[id.0])
            || hint
                .clone()
                .or_else(|| data::written_shape(layer))
                .is_some_and(|claimed| given_shape.as_ref().is_some_and(|given| *given != claimed));
        let given_shape = given_shape.or(hint);
        let sizes = (graph.tensors.len(), graph.operations.len());
        let outputs = vec![None; layer.outputs.len()];
        let graph = &mut graph;
        let (names, warnings) = (&mut names, Vec::new());
        let mut lowering = Lowering { layer, inputs, graph, output_names, given_shape, outputs, warnings, names };
        let lowered = match meaning {
            Meaning::Known(operator) => (operator.lower)(&mut lowering),
            Meaning::Declared((function, declared)) => custom::lower(&mut lowering, function, declared),
        };
        let lowered = lowered.and_then(|()| lowering.check_sizes(sizes, &mut elements));
        problems.append(&mut lowering.warnings);
        match lowered {
            Ok(()) => {
                lowering.claim_outputs(sizes.0);
                for (id, view) in layer.outputs.iter().zip(lowering.outputs) {
                    let contradiction = view.as_ref().and_then(|view| contradiction(layer, model.blob(*id), view));
                    is_astray[id.0] = goes_astray || contradiction.is_some();
                    problems.extend(contradiction.filter(|_| !goes_astray));
                    values[id.0] = view;
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    Layers { graph, values, problems }
}

/// That an output hasn't the shape that the file claims for it.
fn contradiction(layer: &Layer, blob: &Blob, view: &View) -> Option<Diagnostic> {
    let claimed = blob.shape_hint.as_ref().filter(|claimed| view.extents.is_none() && **claimed != view.shape)?;
    let message =
        format!("parameter 30 claims the shape {} for `{}`, which has {}", text(claimed), blob.name, text(&view.shape));
    Some(warning(layer, SHAPE_HINTS, message).hint("correct it or leave it out; what follows isn't compared with it"))
}

/// What is wrong with the blobs asked for beside a model's outputs.
pub fn check_outputs(model: &Model, extra: &[String]) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    wanted_blobs(model, extra, &mut problems);
    problems
}

/// The model's outputs and the blobs asked for besides, each once; to ask for one twice is a mistake.
fn wanted_blobs(model: &Model, extra: &[String], problems: &mut Vec<Diagnostic>) -> Vec<BlobId> {
    let mut wanted = model.outputs();
    for (number, name) in extra.iter().enumerate() {
        if extra[..number].contains(name) {
            problems.push(Diagnostic::error(format!("output `{name}` is given twice")).hint("give each blob once"));
            continue;
        }
        match model.blobs.iter().position(|blob| blob.name == *name) {
            Some(at) if wanted.contains(&BlobId(at)) => {}
            Some(at) => wanted.push(BlobId(at)),
            None => {
                let problem = Diagnostic::error(format!("the model has no blob `{name}` to put out"));
                problems.push(problem.hint("blobs are named behind a layer's numbers of inputs and outputs"));
            }
        }
    }
    wanted
}
