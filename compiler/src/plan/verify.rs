//! Checks that a plan keeps its own rules. A failure is a defect of the compiler, never of the user's model.

use super::winograd::Window;
use super::{Mode, Numerics, Order, Plan};
use crate::graph::{Combine, Element, Graph, Operation, Source};

impl Plan {
    /// Panics with a description when the plan or its graph breaks a rule.
    pub fn verify(&self) {
        self.graph.verify();
        assert_eq!(self.numerics.len(), self.graph.operations.len(), "numerics for every operation");
        assert_eq!(self.formats.len(), self.graph.tensors.len(), "a format for every tensor");
        for (tensor, format) in self.graph.tensors.iter().zip(&self.formats).filter(|(_, format)| format.is_narrow()) {
            let name = &tensor.name;
            assert_eq!(tensor.element, Element::F32, "{name}: integers are words");
            match &tensor.source {
                Source::Input => panic!("{name}: what the caller gives is words"),
                Source::Constant(words) => {
                    let kept = words.iter().all(|word| format.round(*word) == *word || f32::from_bits(*word).is_nan());
                    assert!(kept, "{name}: a constant that has not been rounded");
                }
                Source::Computed => assert!(tensor.layer.is_some(), "{name}: what stays inside a layer is words"),
            }
        }
        for output in &self.graph.outputs {
            assert!(!self.formats[output.view.tensor.0].is_narrow(), "{}: what the caller gets is words", output.name);
        }
        for (operation, numerics) in self.graph.operations.iter().zip(&self.numerics) {
            verify_numerics(&self.graph, operation, *numerics);
            let by_definition = !matches!(numerics, Numerics::Winograd(_));
            let name = operation.name();
            let mode = self.mode.max(self.graph.mode_of(name));
            assert!(by_definition || mode == Mode::Fast, "{name}: Winograd's algorithm in {} mode", mode.text());
        }
    }
}

fn verify_numerics(graph: &Graph, operation: &Operation, numerics: Numerics) {
    let name = operation.name();
    let combine = match operation {
        Operation::Nest(nest) => nest.reduction.as_ref().map(|reduction| reduction.combine),
        Operation::Routine(_) => None,
    };
    match (combine, numerics) {
        (None, Numerics::Plain) => {}
        (Some(_), Numerics::Direct(Order::Chain { block })) => assert!(block > 0, "{name}: blocks of no iterations"),
        (Some(combine), Numerics::Direct(Order::Lanes(lanes))) => {
            assert!(lanes.is_power_of_two(), "{name}: {lanes} lanes have no tree");
            // Each lane would add the bias.
            assert_ne!(combine, Combine::FusedSum, "{name}: a contraction in lanes");
        }
        (Some(_), Numerics::Winograd(_)) => {
            let Operation::Nest(nest) = operation else { unreachable!("routines combine nothing") };
            assert!(Window::of(graph, nest).is_some(), "{name}: Winograd's algorithm without a window of 3x3");
        }
        (None, Numerics::Direct(_) | Numerics::Winograd(_)) => panic!("{name}: an order without a reduction"),
        (Some(_), Numerics::Plain) => panic!("{name}: a reduction without an order"),
    }
}
