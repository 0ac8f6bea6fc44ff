//! Which tensors are stored in which format, and the constants as they are after that.

use crate::expression::Node;
use crate::format::Format;
use crate::graph::{Combine, Element, Graph, Nest, Operation, Source, TensorId};
use std::collections::HashMap;

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

/// Rounds the constants that layers multiply by to the formats chosen for the layers, words where none is; gives every
/// tensor's format, and what overflowed.
///
/// Narrow are the constant factors of contractions: they are nearly all of a network's bytes, and each is used once for
/// many elements. What is added, scaled with or looked up stays as it is, and so does a constant that layers with
/// different choices share, or that is seen outside: by a routine, by a user's function or as an output.
pub(super) fn store(graph: &mut Graph, layers: &HashMap<String, Format>) -> (Vec<Format>, Vec<Overflow>) {
    let mut formats = vec![Format::Word; graph.tensors.len()];
    let mut overflows = Vec::new();
    for (tensor, layer, format) in chosen(graph, layers) {
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

/// The constants to be stored narrow, with a layer that multiplies by each, in the order of the tensors.
fn chosen(graph: &Graph, layers: &HashMap<String, Format>) -> Vec<(TensorId, String, Format)> {
    let mut chosen: HashMap<TensorId, (&str, Format)> = HashMap::new();
    for operation in &graph.operations {
        if let Operation::Nest(nest) = operation {
            let format = layers.get(&nest.name).copied().unwrap_or_default();
            for tensor in factors(graph, nest) {
                let choice = chosen.entry(tensor).or_insert((&nest.name, format));
                if choice.1 != format {
                    choice.1 = Format::Word;
                }
            }
        }
    }
    let routines = graph.operations.iter().filter(|operation| matches!(operation, Operation::Routine(_)));
    let outside = routines.flat_map(Operation::reads).chain(graph.outputs.iter().map(|output| output.view.tensor));
    outside.for_each(|tensor| {
        chosen.remove(&tensor);
    });
    let mut chosen: Vec<_> =
        chosen.into_iter().map(|(tensor, (layer, format))| (tensor, layer.to_string(), format)).collect();
    chosen.retain(|(_, _, format)| format.is_narrow());
    chosen.sort();
    chosen
}

/// The constants that a nest multiplies by, if it is a contraction.
fn factors(graph: &Graph, nest: &Nest) -> Vec<TensorId> {
    let Some(reduction) = nest.reduction.as_ref().filter(|reduction| reduction.combine == Combine::FusedSum) else {
        return Vec::new();
    };
    let read = |node: &Node| match node {
        Node::Read(operand) => Some(nest.reads[*operand].tensor),
        Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
    };
    let factors = reduction.term.results.iter().filter_map(|id| read(&reduction.term.nodes[id.0 as usize]));
    let is_float =
        |tensor: &TensorId| graph.constant(*tensor).is_some() && graph.tensor(*tensor).element == Element::F32;
    factors.filter(is_float).collect()
}
