//! Which tensors are stored in which format, and the constants as they are after that.
//!
//! What is computed is stored narrow where it is an output of a layer that keeps it so, and stays in the network: what the
//! caller gets is words, and so is what stays inside a layer, such as a mean or a sum of exponentials.

use crate::format::Format;
use crate::graph::{Element, Graph, Nest, Operation, Routine, RoutineKind, Source, Tensor, TensorId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The formats in which layers store, by their names; words for those that are not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// For the constants that a layer multiplies by.
    pub constants: HashMap<String, Format>,
    /// For its outputs, where they stay in the network.
    pub activations: HashMap<String, Format>,
}

/// Numbers of a constant that its format has no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The layer that multiplies by them.
    pub layer: String,
    /// The constant.
    pub tensor: TensorId,
    /// How many became infinite.
    pub numbers: usize,
}

/// Rounds the constants that layers multiply by to the formats chosen for the layers; gives every tensor's format, and what
/// overflowed.
///
/// Narrow are the constant factors of contractions: they are nearly all of a network's bytes, and each is used once for
/// many elements. What is added, scaled with or looked up stays as it is, and so does a constant that layers with
/// different choices share, or that is seen outside: by a routine, by a user's function or as an output.
pub(super) fn store(graph: &mut Graph, layers: &Formats) -> (Vec<Format>, Vec<Overflow>) {
    let mut formats = activations(graph, &layers.activations);
    let mut overflows = Vec::new();
    for (tensor, layer, format) in chosen(graph, &layers.constants) {
        formats[tensor.0] = format;
        let Source::Constant(words) = &mut graph.tensors[tensor.0].source else {
            unreachable!("only constants are chosen")
        };
        let is_finite = |word: &u32| f32::from_bits(*word).is_finite();
        let before = words.iter().filter(|word| is_finite(word)).count();
        *words = words.iter().map(|word| format.round(*word)).collect();
        let numbers = before - words.iter().filter(|word| is_finite(word)).count();
        if numbers > 0 {
            overflows.push(Overflow { layer, tensor, numbers });
        }
    }
    (formats, overflows)
}

/// The formats of all tensors while the constants are words.
fn activations(graph: &Graph, layers: &HashMap<String, Format>) -> Vec<Format> {
    let words = kept_in_words(graph);
    let format = |(at, tensor): (usize, &Tensor)| {
        let chosen = tensor.layer.as_ref().and_then(|layer| layers.get(layer));
        let floats = tensor.element == Element::F32 && !words.contains(&TensorId(at));
        chosen.copied().filter(|_| floats).unwrap_or_default()
    };
    graph.tensors.iter().enumerate().map(format).collect()
}

/// What is seen outside, by the caller or by functions of the user's, and detections, which hold the numbers of classes.
fn kept_in_words(graph: &Graph) -> BTreeSet<TensorId> {
    let routine = |operation: &Operation| match operation {
        Operation::Nest(_) => Vec::new(),
        Operation::Routine(Routine { kind: RoutineKind::Crop(_), .. }) => Vec::new(),
        Operation::Routine(Routine { kind: RoutineKind::Detections(_), .. }) => operation.writes(),
        Operation::Routine(Routine { kind: RoutineKind::Custom(_), .. }) => {
            operation.reads().into_iter().chain(operation.writes()).collect()
        }
    };
    graph.operations.iter().flat_map(routine).chain(graph.outputs.iter().map(|output| output.view.tensor)).collect()
}

/// The constants to be stored narrow, with a layer that multiplies by each, in the order of the tensors.
fn chosen(graph: &Graph, layers: &HashMap<String, Format>) -> Vec<(TensorId, String, Format)> {
    let format = |layer: &str| layers.get(layer).copied().unwrap_or_default();
    let choice = |(tensor, readers): (TensorId, Vec<&str>)| {
        let first = *readers.first()?;
        let agreed = format(first).is_narrow() && readers.iter().all(|layer| format(layer) == format(first));
        agreed.then(|| (tensor, first.to_string(), format(first)))
    };
    storable(graph).into_iter().filter_map(choice).collect()
}

/// The constants that can be stored narrow, each with the layers that multiply by it, in the order of the tensors.
pub fn storable(graph: &Graph) -> Vec<(TensorId, Vec<&str>)> {
    let mut readers: BTreeMap<TensorId, Vec<&str>> = BTreeMap::new();
    for operation in &graph.operations {
        if let Operation::Nest(nest) = operation {
            factors(graph, nest).into_iter().for_each(|tensor| readers.entry(tensor).or_default().push(&nest.name));
        }
    }
    let routines = graph.operations.iter().filter(|operation| matches!(operation, Operation::Routine(_)));
    let outside = routines.flat_map(Operation::reads).chain(graph.outputs.iter().map(|output| output.view.tensor));
    outside.for_each(|tensor| {
        readers.remove(&tensor);
    });
    readers.into_iter().collect()
}

/// The constants that a nest multiplies by, if it is a contraction.
fn factors(graph: &Graph, nest: &Nest) -> Vec<TensorId> {
    let tensors = nest.factors().into_iter().flatten().map(|read| nest.reads[read].tensor);
    let is_float =
        |tensor: &TensorId| graph.constant(*tensor).is_some() && graph.tensor(*tensor).element == Element::F32;
    tensors.filter(is_float).collect()
}
