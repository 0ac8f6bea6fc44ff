//! Models as graphs with their inputs.

use ncnnc_compiler::graph::Graph;
use ncnnc_compiler::{ncnn, ops};
use ncnnc_tests::cases::Case;
use std::collections::HashMap;

/// A graph and the words of its inputs, in order.
pub struct Lowered {
    /// The graph.
    pub graph: Graph,
    /// What to feed it.
    pub inputs: Vec<Vec<u32>>,
}

/// The graph of a case; nothing where an input is never fed or the compiler refuses the model, which is for the
/// conformance test to complain of.
pub fn lower_case(case: &Case) -> Option<Lowered> {
    if case.inputs.iter().any(|input| !input.is_fed()) {
        return None;
    }
    let shapes = case.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect();
    let names: Vec<String> = case.outputs.iter().map(|output| output.name.clone()).collect();
    let graph = lower(&case.id, &read(&case.param), &read(&case.bin), shapes, &names)?;
    let inputs = graph
        .inputs
        .iter()
        .map(|id| {
            let name = &graph.tensor(*id).name;
            case.inputs.iter().find(|input| input.name == *name).expect("every input is fed").read().words
        })
        .collect();
    Some(Lowered { graph, inputs })
}

/// The bytes of a file.
pub fn read(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The graph of a model, its inputs in these shapes; nothing where the compiler refuses it.
pub fn lower(
    name: &str,
    param: &[u8],
    bin: &[u8],
    shapes: HashMap<String, Vec<usize>>,
    outputs: &[String],
) -> Option<Graph> {
    let mut model = ncnn::read_param(name, param).ok()?;
    ops::read_weights(&mut model, name, bin).ok()?;
    ops::lower(&model, &shapes, outputs).ok()
}
