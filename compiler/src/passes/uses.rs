//! Who writes and who reads every tensor.

use crate::graph::{Graph, Nest, Operation, TensorId};

/// Positions of operations, by tensor.
pub(super) struct Uses {
    /// Operations that write it, in order.
    pub writers: Vec<Vec<usize>>,
    /// Operations that read it, in order, each once.
    pub readers: Vec<Vec<usize>>,
    /// Whether the caller gets it or its extents.
    pub wanted: Vec<bool>,
}

impl Uses {
    /// Collects the uses in a graph.
    pub fn of(graph: &Graph) -> Self {
        let empty = vec![Vec::new(); graph.tensors.len()];
        let mut uses = Self { writers: empty.clone(), readers: empty, wanted: vec![false; graph.tensors.len()] };
        for (at, operation) in graph.operations.iter().enumerate() {
            for TensorId(tensor) in operation.writes() {
                uses.writers[tensor].push(at);
            }
            for TensorId(tensor) in operation.reads() {
                if uses.readers[tensor].last() != Some(&at) {
                    uses.readers[tensor].push(at);
                }
            }
        }
        for output in &graph.outputs {
            for TensorId(tensor) in std::iter::once(output.view.tensor).chain(output.view.extents) {
                uses.wanted[tensor] = true;
            }
        }
        uses
    }

    /// The only operation that writes a tensor, when it stays inside the graph and one operation alone reads it.
    pub fn private_writer(&self, TensorId(tensor): TensorId) -> Option<usize> {
        match (&self.writers[tensor][..], &self.readers[tensor][..], self.wanted[tensor]) {
            ([writer], [_], false) => Some(*writer),
            _ => None,
        }
    }
}

/// The nest at a position, if there is one.
pub(super) fn nest_at(graph: &Graph, at: usize) -> Option<&Nest> {
    match &graph.operations[at] {
        Operation::Nest(nest) => Some(nest),
        Operation::Routine(_) => None,
    }
}
