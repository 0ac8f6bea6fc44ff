//! Checks that a graph keeps its own rules. A failure is a defect of the compiler, never of the user's model.

use super::{Access, Combine, Factor, Graph, Nest, Operation, Outside, Source};
use crate::expression::{Expression, Node};

impl Graph {
    /// Panics with a description when the graph breaks a rule.
    pub fn verify(&self) {
        let mut ready: Vec<bool> = self.tensors.iter().map(|tensor| tensor.source != Source::Computed).collect();
        for tensor in &self.tensors {
            if let Source::Constant(words) = &tensor.source {
                assert_eq!(words.len(), tensor.elements(), "values of {}", tensor.name);
            }
        }
        for operation in &self.operations {
            for read in operation.reads() {
                assert!(ready[read.0], "{} reads {} before it is there", operation.name(), self.tensor(read).name);
            }
            for write in operation.writes() {
                let tensor = self.tensor(write);
                assert_eq!(tensor.source, Source::Computed, "{} writes {}", operation.name(), tensor.name);
                ready[write.0] = true;
            }
            if let Operation::Nest(nest) = operation {
                self.verify_nest(nest);
            }
        }
        for output in &self.outputs {
            assert!(ready[output.view.tensor.0], "nothing makes output {}", output.name);
            assert_eq!(output.view.shape.iter().product::<usize>(), self.tensor(output.view.tensor).elements());
        }
    }

    fn verify_nest(&self, nest: &Nest) {
        let parallel = nest.parallel.len();
        assert!(nest.axes().all(|axis| axis.extent > 0), "{}: an empty loop", nest.name);
        let no_loops = nest.parallel.is_empty() || nest.reduction.as_ref().is_some_and(|r| r.axes.is_empty());
        assert!(!no_loops, "{}: a nest or a reduction without loops", nest.name);
        for access in nest.reads.iter().chain([&nest.write]) {
            self.verify_access(nest, access);
        }
        assert!(uses_parallel_only(&nest.write, parallel), "{}: the write moves with the reduction", nest.name);
        assert_eq!(nest.write.outside, Outside::Never, "{}: a write outside", nest.name);
        verify_expression(nest, &nest.store, 1, nest.reads.len() + usize::from(nest.reduction.is_some()));
        verify_parallel_reads(nest, &nest.store);
        if let Some(reduction) = &nest.reduction {
            let factors = if reduction.combine == Combine::FusedSum { 2 } else { 1 };
            verify_expression(nest, &reduction.term, factors, nest.reads.len());
            verify_expression(nest, &reduction.start, 1, nest.reads.len());
            verify_parallel_reads(nest, &reduction.start);
        }
    }

    fn verify_access(&self, nest: &Nest, access: &Access) {
        let tensor = self.tensor(access.tensor);
        let name = &tensor.name;
        assert_eq!(access.shape.iter().product::<usize>(), tensor.elements(), "{}: a view of {name}", nest.name);
        assert_eq!(access.shape.len(), access.index.len(), "{}: indices of {name}", nest.name);
        let extents: Vec<usize> = nest.axes().map(|axis| axis.extent).collect();
        for term in access.index.iter().flat_map(|index| &index.terms) {
            if let Factor::Table(table) = &term.factor {
                assert_eq!(table.len(), extents[term.axis.0], "{}: a table for {name}", nest.name);
            }
        }
        for (index, extent) in access.index.iter().zip(&access.shape) {
            let (low, high) = index.bounds(&extents);
            assert!(
                (low >= 0 && high < *extent as i64) || access.outside != Outside::Never,
                "{}: an index of {name} runs over {low}..={high} of {extent}",
                nest.name
            );
        }
    }
}

impl super::Index {
    /// The smallest and largest value over loops of these extents.
    pub fn bounds(&self, extents: &[usize]) -> (i64, i64) {
        let (mut low, mut high) = (self.offset, self.offset);
        for term in &self.terms {
            let (least, most) = match &term.factor {
                Factor::Stride(stride) => (0, stride * (extents[term.axis.0] as i64 - 1)),
                Factor::Table(table) => {
                    (table.iter().copied().min().unwrap_or(0), table.iter().copied().max().unwrap_or(0))
                }
            };
            low += least.min(most);
            high += least.max(most);
        }
        (low, high)
    }
}

fn uses_parallel_only(access: &Access, parallel: usize) -> bool {
    access.index.iter().flat_map(|index| &index.terms).all(|term| term.axis.0 < parallel)
}

fn verify_parallel_reads(nest: &Nest, expression: &Expression) {
    for node in &expression.nodes {
        if let Node::Read(operand) = node
            && let Some(access) = nest.reads.get(*operand)
        {
            let parallel = uses_parallel_only(access, nest.parallel.len());
            assert!(parallel, "{}: read {operand} moves with the reduction", nest.name);
        }
    }
}

fn verify_expression(nest: &Nest, expression: &Expression, results: usize, operands: usize) {
    assert_eq!(expression.results.len(), results, "{}: results of {expression}", nest.name);
    for (at, node) in expression.nodes.iter().enumerate() {
        match node {
            Node::Read(operand) => assert!(*operand < operands, "{}: operand {operand} of {operands}", nest.name),
            Node::Constant(_) => {}
            Node::Apply(_, ids) | Node::Call(_, ids) => {
                assert!(ids.iter().all(|id| (id.0 as usize) < at), "{}: a node before its operands", nest.name);
            }
        }
    }
}
