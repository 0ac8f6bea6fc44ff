//! All of a plan that decides bits, as bytes: equal plans give equal bytes on every machine.

use super::{Numerics, Plan};
use crate::bytes;
use crate::graph::{Nest, Operation, Reduction, Source};
use crate::recipe::Recipe;

impl Plan {
    /// Hands everything that decides the bits of the outputs to `take`, piece by piece: tensors with the constants in them,
    /// operations with their functions as instructions, orders of sums, algorithms with their transforms, formats.
    pub fn describe(&self, take: &mut dyn FnMut(&[u8])) {
        let mut text = |text: String| take((text + "\n").as_bytes());
        let graph = &self.graph;
        for (tensor, format) in graph.tensors.iter().zip(&self.formats) {
            let kind = match tensor.source {
                Source::Input => "input",
                Source::Constant(_) => "constant",
                Source::Computed => "computed",
            };
            text(format!("{kind} {:?} {:?} {}", tensor.element, tensor.shape, format.text()));
        }
        for (operation, numerics) in graph.operations.iter().zip(&self.numerics) {
            text(match operation {
                Operation::Nest(nest) if graph.is_compensated(nest) => format!("{nest:?} {:?}", Recipe::of(nest, true)),
                Operation::Nest(nest) => format!("{:?}", expanded(nest)),
                Operation::Routine(routine) => format!("{routine:?}"),
            });
            text(format!("{numerics:?}"));
            match numerics {
                Numerics::Winograd(winograd) => text(winograd.definition()),
                Numerics::Plain | Numerics::Direct(_) => {}
            }
        }
        text(format!("{:?} {:?}", graph.inputs, graph.outputs));
        for tensor in &graph.tensors {
            if let Source::Constant(words) = &tensor.source {
                take(&bytes::of_words(words));
            }
        }
    }
}

/// A nest whose functions are instructions.
fn expanded(nest: &Nest) -> Nest {
    let reduction = nest.reduction.as_ref().map(|reduction| Reduction {
        start: reduction.start.expanded(),
        term: reduction.term.expanded(),
        ..reduction.clone()
    });
    Nest { store: nest.store.expanded(), reduction, ..nest.clone() }
}
