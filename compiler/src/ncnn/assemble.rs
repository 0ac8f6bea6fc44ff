//! Puts layers, in file order, together to a [`Model`]: names become blobs, shape hints are checked, and what consumes
//! must come after what produces. Shared by the text and the binary form; must not know either grammar.

use super::order::Cycles;
use super::parameters::{FEATURE_MASK, Parameters, SHAPE_HINTS, Value};
use super::problems::{Place, Problems, excerpt};
use super::{Blob, BlobId, Judge, Layer, Model};
use crate::diagnostic::{Code, Diagnostic, Severity};
use std::collections::{HashMap, HashSet};

/// A name and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub text: String,
    pub place: Place,
}

/// One layer as read.
#[derive(Debug)]
pub(super) struct ReadLayer {
    pub kind: String,
    pub name: Name,
    pub inputs: Vec<Name>,
    pub outputs: Vec<Name>,
    pub parameters: Parameters,
    pub place: Place,
    /// Something is wrong with it already.
    pub faulty: bool,
}

/// An input that no earlier layer makes.
pub(super) struct Missing {
    /// The layer that reads it.
    pub consumer: usize,
    pub name: Name,
}

/// The model so far.
pub(super) struct Assembly {
    pub problems: Problems,
    layers: Vec<Layer>,
    blobs: Vec<Blob>,
    blob_places: Vec<Place>,
    by_name: HashMap<String, BlobId>,
    layer_names: HashMap<String, Place>,
    missing: Vec<Missing>,
    /// Layers with which something is wrong.
    faulty: HashSet<usize>,
    /// Words of layers that could not be read: what they might have produced is not reported as missing.
    suspects: HashSet<String>,
}

impl Assembly {
    /// Nothing yet, from a file of this name.
    pub fn new(path: &str) -> Self {
        Self {
            problems: Problems::new(path),
            layers: Vec::new(),
            blobs: Vec::new(),
            blob_places: Vec::new(),
            by_name: HashMap::new(),
            layer_names: HashMap::new(),
            missing: Vec::new(),
            faulty: HashSet::new(),
            suspects: HashSet::new(),
        }
    }

    /// The number of blobs so far.
    pub fn blob_count(&self) -> usize {
        self.blobs.len()
    }

    /// Notes a word of an unreadable layer, which may be the name of a blob that others read.
    pub fn suspect(&mut self, word: &str) {
        self.suspects.insert(word.into());
    }

    /// Adds the next layer.
    pub fn add(&mut self, read: ReadLayer) {
        let index = self.layers.len();
        let errors = self.problems.errors();
        if let Some(first) = self.layer_names.get(&read.name.text) {
            let message = format!("an earlier layer{} has the same name", on_line(*first));
            let warning = Diagnostic::warning(message);
            let hint = "settings by layer name cannot tell them apart; rename one";
            self.problems.at(read.name.place, warning.layer(&read.name.text).hint(hint));
        } else {
            self.layer_names.insert(read.name.text.clone(), read.name.place);
        }
        let mut inputs = Vec::new();
        for name in read.inputs {
            if let Some(id) = self.by_name.get(&name.text) {
                self.blobs[id.0].consumers.push(index);
                inputs.push(*id);
            } else {
                self.missing.push(Missing { consumer: index, name });
            }
        }
        let outputs = read.outputs.into_iter().map(|name| self.produce(name, index, &read.name.text)).collect();
        let location = self.problems.location(read.place);
        let layer = Layer {
            kind: read.kind,
            name: read.name.text,
            inputs,
            outputs,
            parameters: read.parameters,
            location,
            weights: Vec::new(),
        };
        self.check_feature_mask(&layer);
        match shape_hints(&layer.parameters, layer.outputs.len()) {
            Ok(hints) => {
                for (id, hint) in layer.outputs.iter().zip(hints) {
                    self.blobs[id.0].shape_hint = hint;
                }
            }
            Err(problem) => self.about_parameter(&layer, SHAPE_HINTS, problem),
        }
        if read.faulty || self.problems.errors() > errors {
            self.faulty.insert(index);
        }
        self.layers.push(layer);
    }

    fn produce(&mut self, name: Name, producer: usize, layer: &str) -> BlobId {
        let id = BlobId(self.blobs.len());
        if let Some(first) = self.by_name.get(&name.text) {
            let earlier = self.layers.get(self.blobs[first.0].producer);
            let by = earlier.map_or("this layer".into(), |earlier| format!("layer `{}`", excerpt(&earlier.name)));
            let place = on_line(self.blob_places[first.0]);
            let message =
                format!("blob `{}` is produced a second time; {by}{place} produces it already", excerpt(&name.text));
            let hint = "ncnn would give later layers the first of the two; give each blob a name of its own";
            self.problems.at(name.place, Diagnostic::error(message).code(Code::Blob).layer(layer).hint(hint));
        } else {
            self.by_name.insert(name.text.clone(), id);
        }
        self.blob_places.push(name.place);
        self.blobs.push(Blob { name: name.text, producer, consumers: Vec::new(), shape_hint: None });
        id
    }

    fn about_parameter(&mut self, layer: &Layer, id: u32, problem: Diagnostic) {
        let location = layer.parameters.location(id).unwrap_or_else(|| layer.location.clone());
        self.problems.push(problem.code(Code::Parameter).at(location).layer(&layer.name));
    }

    fn check_feature_mask(&mut self, layer: &Layer) {
        match layer.parameters.value(FEATURE_MASK) {
            None | Some(Value::Int(_) | Value::Word(_)) => {}
            Some(Value::Float(_) | Value::Ints(_) | Value::Floats(_) | Value::Words(_) | Value::String(_)) => {
                let problem = Diagnostic::error("parameter 31, the feature mask, is not an integer")
                    .hint("write the sum of what to switch off, such as `31=64` for Winograd");
                self.about_parameter(layer, FEATURE_MASK, problem);
            }
        }
    }

    /// Checks what only the whole file shows and gives the model up, or everything that is wrong.
    pub fn finish(mut self, judge: &Judge) -> Result<Model, Vec<Diagnostic>> {
        let mut absent: HashMap<usize, usize> = HashMap::new();
        for missing in &self.missing {
            *absent.entry(missing.consumer).or_default() += 1;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            // An input that no layer makes counts as one all the same.
            let completed = absent.get(&index).map(|count| {
                let mut layer = layer.clone();
                layer.inputs.extend(std::iter::repeat_n(BlobId(usize::MAX), *count));
                layer
            });
            for problem in (judge.layer)(completed.as_ref().unwrap_or(layer)) {
                if problem.severity == Severity::Error {
                    self.faulty.insert(index);
                }
                self.problems.push(problem);
            }
        }
        let missing = std::mem::take(&mut self.missing);
        let cycles = Cycles::find(&self.layers, &self.blobs, &missing, &self.by_name);
        for missing in missing {
            self.faulty.insert(missing.consumer);
            if let Some(problem) = self.explain(&missing, &cycles) {
                let problem = problem.code(Code::Blob).layer(&self.layers[missing.consumer].name);
                self.problems.at(missing.name.place, problem);
            }
        }
        if self.problems.errors() > 0 {
            let layers = self.layers.into_iter().enumerate().filter(|(index, _)| !self.faulty.contains(index));
            let layers = layers.map(|(_, layer)| layer).collect();
            let rest = Model { layers, blobs: self.blobs, warnings: Vec::new() };
            (judge.rest)(rest).into_iter().for_each(|problem| self.problems.push(problem));
            return Err(self.problems.finish());
        }
        Ok(Model { layers: self.layers, blobs: self.blobs, warnings: self.problems.finish() })
    }

    /// Why an input cannot be had; nothing when a layer that could not be read may have made it.
    fn explain(&self, Missing { consumer, name }: &Missing, cycles: &Cycles) -> Option<Diagnostic> {
        let blob = excerpt(&name.text);
        let Some(id) = self.by_name.get(&name.text) else {
            let input = format!("Input {blob} 0 1 {blob} 0=WIDTH 1=HEIGHT 2=CHANNELS");
            let hint = if name.place.line > 0 {
                format!(
                    "correct the name, or declare an input with a line `{input}` and raise both counts in the second line"
                )
            } else {
                "every blob must be the output of a layer; an input of the network that of an Input layer".into()
            };
            let unknown = !self.suspects.contains(&name.text);
            return unknown.then(|| Diagnostic::error(format!("no layer makes `{blob}`")).hint(hint));
        };
        let producer = self.blobs[id.0].producer;
        if producer == *consumer {
            let problem = Diagnostic::error(format!("the layer reads `{blob}`, which it makes itself"));
            return Some(problem.hint("let it read another blob or name its output otherwise"));
        }
        let later = excerpt(&self.layers[producer].name);
        let line = on_line(self.blob_places[id.0]);
        Some(match cycles.through(*consumer, producer) {
            Some(length) => Diagnostic::error(format!(
                "`{blob}` is made by the later layer `{later}`{line}, which depends on this one: a cycle of {length} layers"
            ))
            .hint("a network in ncnn's format has no loops; unroll it or feed the blob as an input"),
            None => Diagnostic::error(format!("`{blob}` is made only later, by layer `{later}`{line}"))
                .hint("move that layer before this one: ncnn runs layers in file order"),
        })
    }
}

/// ` (line 7)`, or nothing in a binary file.
fn on_line(place: Place) -> String {
    if place.line > 0 { format!(" (line {})", place.line) } else { String::new() }
}

/// The shapes parameter 30 claims for the outputs, outermost first (`NetPrivate::load_shape_hints`, `src/net.cpp`):
/// four (`dims w h c`) or five (`dims w h d c`) numbers for each. Empty when it claims none.
///
/// # Errors
/// When it holds no shapes, or of another number of outputs.
pub fn shape_hints(parameters: &Parameters, outputs: usize) -> Result<Vec<Option<Vec<usize>>>, Diagnostic> {
    const FORM: &str =
        "give `dims,w,h,d,c` for every output, such as `-23330=5,3,224,224,1,3`, or leave parameter 30 out";
    let problem = |message: String| Err(Diagnostic::error(message).hint(FORM));
    match parameters.value(SHAPE_HINTS) {
        None => return Ok(Vec::new()),
        Some(Value::Ints(_) | Value::Words(_)) => {}
        Some(Value::Int(_) | Value::Float(_) | Value::Word(_) | Value::Floats(_) | Value::String(_)) => {
            return problem("parameter 30, the shapes of the outputs, is not an array of integers".into());
        }
    }
    let numbers = parameters.ints(SHAPE_HINTS);
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    if outputs == 0 {
        let message = "parameter 30 claims shapes of outputs, but the layer has none";
        return Err(Diagnostic::warning(message).hint("leave it out"));
    }
    let step = numbers.len() / outputs;
    if !numbers.len().is_multiple_of(outputs) || (step != 4 && step != 5) {
        return problem(format!("parameter 30 holds {} numbers for {outputs} outputs", numbers.len()));
    }
    numbers.chunks_exact(step).map(shape_hint).collect()
}

fn shape_hint(numbers: &[i32]) -> Result<Option<Vec<usize>>, Diagnostic> {
    let problem = |message: String| Err(Diagnostic::error(message).hint("correct parameter 30 or leave it out"));
    let innermost_first: Vec<i32> = match (numbers, numbers[0]) {
        (_, 0) => return Ok(None),
        (_, 1) => vec![numbers[1]],
        (_, 2) => vec![numbers[1], numbers[2]],
        (_, 3) => vec![numbers[1], numbers[2], numbers[numbers.len() - 1]],
        ([_, w, h, d, c], 4) => vec![*w, *h, *d, *c],
        (_, dimensions) => return problem(format!("parameter 30 claims a shape of {dimensions} dimensions")),
    };
    let mut elements = 1usize;
    for extent in &innermost_first {
        let Ok(extent) = usize::try_from(*extent) else {
            return problem(format!("parameter 30 claims an extent of {extent}"));
        };
        // A blob of more bytes than this cannot be addressed with ncnn's own 32-bit offsets, nor sensibly held.
        match elements.checked_mul(extent).filter(|elements| *elements <= i32::MAX as usize) {
            Some(product) => elements = product,
            None => return problem(format!("parameter 30 claims a shape of more than {} elements", i32::MAX)),
        }
    }
    let shape: Vec<usize> = innermost_first.iter().rev().map(|extent| extent.unsigned_abs() as usize).collect();
    Ok((!shape.contains(&0)).then_some(shape))
}
