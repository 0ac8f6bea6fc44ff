//! Cases and networks as graphs that no pass has touched, with what to feed them.

use crate::cases::Case;
use crate::networks::Network;
use crate::planned::{case_inputs, case_outputs, case_shapes, network_shapes, one_text, read};
use crate::scope;
use ncnnc_compiler::graph::{Graph, Operation};
use ncnnc_compiler::ncnn::{self, Model};
use ncnnc_compiler::ops;
use std::collections::HashMap;
use std::path::Path;

/// Multiply-adds up to which a network is interpreted in a second or two.
pub const SMALL_NETWORK_MACS: u64 = 150_000_000;

/// A graph and what to feed it.
pub struct Lowered {
    /// The graph.
    pub graph: Graph,
    /// The words of each input, in the graph's order.
    pub inputs: Vec<Vec<u32>>,
}

impl Lowered {
    /// The multiply-adds of all operations.
    pub fn macs(&self) -> u64 {
        self.graph.operations.iter().map(Operation::macs).sum()
    }
}

/// The layers of a file; `name` stands for its path.
///
/// # Errors
///
/// What the compiler says where it refuses the file.
pub fn read_model(name: &str, param: &Path) -> Result<Model, String> {
    ncnn::read_param(name, &read(param)).map_err(one_text)
}

/// The graph of a case.
///
/// # Errors
///
/// What the compiler says where it refuses the model.
pub fn lower_case(case: &Case, model: Model) -> Result<Lowered, String> {
    let graph = lower(&case.id, model, &read(&case.bin), case_shapes(case), &case_outputs(case))?;
    let inputs = case_inputs(case, &graph);
    Ok(Lowered { graph, inputs })
}

/// The graph of a case; nothing where that is out of scope.
///
/// # Panics
///
/// When the compiler refuses it.
pub fn known_case(case: &Case) -> Option<Lowered> {
    let refused = |problem: String| -> ! { panic!("{} ({}): {problem}", case.id, case.parameters) };
    let is_in_scope = scope::has_case(case).unwrap_or_else(|problem| refused(problem));
    let lowered = || read_model(&case.id, &case.param).and_then(|model| lower_case(case, model));
    is_in_scope.then(|| lowered().unwrap_or_else(|problem| refused(problem)))
}

/// The graph of a network that puts out these blobs.
///
/// # Errors
///
/// What the compiler says where it refuses the model.
pub fn lower_network(network: &Network, model: Model, outputs: &[String]) -> Result<Lowered, String> {
    let graph = lower(&network.name, model, &network.weights(), network_shapes(network), outputs)?;
    Ok(Lowered { graph, inputs: vec![network.input_tensor().words] })
}

fn lower(
    name: &str,
    mut model: Model,
    weights: &[u8],
    shapes: HashMap<String, Vec<usize>>,
    outputs: &[String],
) -> Result<Graph, String> {
    ops::read_weights(&mut model, name, weights).map_err(one_text)?;
    ops::lower(&model, &shapes, outputs).map_err(one_text)
}
