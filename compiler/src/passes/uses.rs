//! Who writes and who reads every tensor, kept while a pass merges operations.

use crate::graph::{Graph, Nest, Operation, TensorId};

/// Positions of operations, by tensor.
pub(super) struct Uses {
    /// Operations that write it, in order.
    pub writers: Vec<Vec<usize>>,
    /// Operations that read it, in order, each once.
    pub readers: Vec<Vec<usize>>,
    /// Whether the caller gets it or its extents.
    pub wanted: Vec<bool>,
    /// Operations whose work others do now.
    merged: Vec<usize>,
}

impl Uses {
    /// Collects the uses in a graph.
    pub fn of(graph: &Graph) -> Self {
        let empty = vec![Vec::new(); graph.tensors.len()];
        let wanted = vec![false; graph.tensors.len()];
        let mut uses = Self { writers: empty.clone(), readers: empty, wanted, merged: Vec::new() };
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

    /// Puts a nest that does the work of two operations in the place of the later one. The earlier one stays where it is,
    /// so that positions keep their meaning, and is no longer among the uses; [`Self::drop_merged`] takes it away.
    ///
    /// Going through a network so takes a time that grows with its length, and no faster.
    pub fn merge(&mut self, graph: &mut Graph, [earlier, later]: [usize; 2], merged: Nest) {
        self.writers.resize(graph.tensors.len(), Vec::new());
        self.readers.resize(graph.tensors.len(), Vec::new());
        self.wanted.resize(graph.tensors.len(), false);
        for at in [earlier, later] {
            let operation = &graph.operations[at];
            let forget = |uses: &mut Vec<usize>| uses.retain(|user| *user != at);
            operation.writes().into_iter().for_each(|TensorId(tensor)| forget(&mut self.writers[tensor]));
            operation.reads().into_iter().for_each(|TensorId(tensor)| forget(&mut self.readers[tensor]));
        }
        let add = |uses: &mut Vec<usize>| {
            if let Err(place) = uses.binary_search(&later) {
                uses.insert(place, later);
            }
        };
        add(&mut self.writers[merged.write.tensor.0]);
        merged.reads.iter().for_each(|access| add(&mut self.readers[access.tensor.0]));
        self.merged.push(earlier);
        graph.operations[later] = Operation::Nest(merged);
    }

    /// Takes the operations away whose work others do now. Positions are other ones after this.
    pub fn drop_merged(self, graph: &mut Graph) {
        let mut kept = vec![true; graph.operations.len()];
        self.merged.into_iter().for_each(|at| kept[at] = false);
        let mut kept = kept.into_iter();
        graph.operations.retain(|_| kept.next().expect("one flag for each operation"));
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
