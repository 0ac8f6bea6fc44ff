//! What the caller gives and gets: ports, and the copies for outputs that aren't made where the caller wants them.

use super::place::{Form, Home};
use super::{Location, Scheduler};
use crate::graph::{Element, Graph, Output, Source, TensorId};
use crate::kernel::{Argument, Port};
use crate::plan::Plan;
use std::collections::HashMap;

impl Scheduler<'_> {
    /// Copies the outputs that were not made where the caller wants them.
    pub(super) fn remaining_outputs(&mut self) {
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
}

/// For each tensor that is made for the caller in dense rows, the first output it is.
pub fn direct_outputs(plan: &Plan) -> HashMap<TensorId, usize> {
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

/// The program's ports.
pub fn ports(graph: &Graph) -> (Vec<Port>, Vec<Port>) {
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
