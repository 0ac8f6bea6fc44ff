//! Makes the nests of compensated layers say what is kept and what is rounded.
//!
//! A layer's result is rounded once, where it is stored, and marked so: whoever fuses the layer with another one keeps the
//! rounding. What the layer itself goes on with is kept in two tensors: the nearest words, which are all that others read,
//! and what rounding to them took. A nest writes one tensor, so each of them has a nest of its own, which computes the same
//! up to that.

use super::uses::Uses;
use crate::expression::{Expression, Node, NodeId};
use crate::function::Function;
use crate::graph::{Access, Element, Graph, Nest, Operation, Outside, Reduction, RoutineKind, Source, TensorId};
use crate::instruction::Instruction;
use crate::mode::Mode;
use crate::recipe;
use std::collections::{BTreeSet, HashMap};

/// A layer that can't be compensated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Its name.
    pub layer: String,
    /// Why, as half a sentence.
    pub reason: String,
}

/// Marks the layers whose mode asks for it.
///
/// # Errors
/// Every layer that can't be compensated, once.
pub fn compensate(graph: &mut Graph) -> Result<(), Vec<Refused>> {
    let inside = read_inside(graph);
    let mut rests = Rests::default();
    let mut refused = BTreeSet::new();
    let operations = std::mem::take(&mut graph.operations);
    // Writers come before readers, so what they leave is known; a tensor of several parts has a rest when one of them has.
    for operation in &operations {
        if graph.mode_of(operation.name()) != Mode::Compensated {
            continue;
        }
        match exactness(operation, &rests) {
            Ok(true) => {}
            Ok(false) => {
                for tensor in operation.writes().into_iter().filter(|tensor| inside.contains(tensor)) {
                    let layer = operation.name();
                    rests.0.entry(tensor).or_insert_with(|| (layer.to_string(), add_rest(graph, tensor)));
                }
            }
            Err(reason) => {
                refused.insert(Refused { layer: operation.name().to_string(), reason });
            }
        }
    }
    if !refused.is_empty() {
        return Err(refused.into_iter().collect());
    }
    for operation in operations {
        match operation {
            Operation::Nest(nest) if graph.is_compensated(&nest) => {
                graph.operations.extend(marked(&nest, &rests).into_iter().map(Operation::Nest));
            }
            other => graph.operations.push(other),
        }
    }
    graph.verify();
    Ok(())
}

/// The tensors of rests, with the layers that make and read them, by the tensors that they complete.
#[derive(Default)]
struct Rests(HashMap<TensorId, (String, TensorId)>);

impl Rests {
    /// What a nest reads, or writes, beside a tensor of its own layer.
    fn of(&self, nest: &Nest, tensor: TensorId) -> Option<TensorId> {
        self.0.get(&tensor).filter(|(layer, _)| *layer == nest.name).map(|(_, rest)| *rest)
    }
}

/// The tensors that compensated layers go on with themselves.
fn read_inside(graph: &Graph) -> BTreeSet<TensorId> {
    let uses = Uses::of(graph);
    let nest_of = |at: &usize| match &graph.operations[*at] {
        Operation::Nest(nest) => Some(nest.name.as_str()),
        Operation::Routine(_) => None,
    };
    let is_read_inside = |tensor: &usize| {
        let mut writers = uses.writers[*tensor].iter().map(nest_of);
        let Some(Some(layer)) = writers.next() else { return false };
        let made = writers.all(|other| other == Some(layer)) && graph.mode_of(layer) == Mode::Compensated;
        let read = uses.readers[*tensor].iter().any(|at| nest_of(at) == Some(layer));
        made && read && graph.tensors[*tensor].element == Element::F32
    };
    (0..graph.tensors.len()).filter(is_read_inside).map(TensorId).collect()
}

fn add_rest(graph: &mut Graph, tensor: TensorId) -> TensorId {
    let whole = graph.tensor(tensor).clone();
    graph.add_tensor(&format!("{}.rest", whole.name), &whole.shape, Element::F32, Source::Computed)
}

/// Whether words hold all that an operation writes; otherwise why it can't be compensated.
fn exactness(operation: &Operation, rests: &Rests) -> Result<bool, String> {
    match operation {
        Operation::Nest(nest) => recipe::is_exact(&joined(nest, rests)).map_err(|refusal| refusal.to_string()),
        Operation::Routine(routine) => match routine.kind {
            RoutineKind::Crop(_) => Ok(true),
            RoutineKind::Detections(_) => {
                Err("what it chooses depends on comparisons, which no bound of an error decides".to_string())
            }
            RoutineKind::Custom(_) => Err("a function of yours computes it".to_string()),
        },
    }
}

/// The nests that do the same with what rounding takes: one, or a second one for the rest.
fn marked(nest: &Nest, rests: &Rests) -> Vec<Nest> {
    let rest = rests.of(nest, nest.write.tensor);
    if let (None, Node::Read(read)) = (&nest.reduction, &nest.store.nodes[nest.store.result().0 as usize]) {
        return copies(nest, rests.of(nest, nest.reads[*read].tensor), rest);
    }
    let nest = joined(nest, rests);
    let Some(rest) = rest else {
        return vec![Nest { store: rounded(&nest.store), ..nest }];
    };
    let second = Nest {
        store: called(&nest.store, Function::Rest),
        write: Access { tensor: rest, ..nest.write.clone() },
        ..nest.clone()
    };
    vec![Nest { store: nearest(&nest.store), ..nest }, second]
}

/// A copy, and a copy of the rest.
fn copies(nest: &Nest, source: Option<TensorId>, rest: Option<TensorId>) -> Vec<Nest> {
    let mut nests = vec![nest.clone()];
    if let Some(rest) = rest {
        let write = Access { tensor: rest, ..nest.write.clone() };
        let second = Nest { write, ..nest.clone() };
        nests.push(match source {
            Some(source) => Nest { reads: vec![of_rest(&nest.reads[0], source)], ..second },
            None => Nest { reads: Vec::new(), store: Expression::constant_of(0.0), ..second },
        });
    }
    nests
}

/// An expression whose only result is a function of the one it had.
fn called(expression: &Expression, function: Function) -> Expression {
    let mut called = expression.clone();
    let result = called.call(function, &[expression.result()]);
    called.results = vec![result];
    called
}

/// An expression whose result is rounded. Rounding keeps the order of numbers, and keeps floats: so bounds that are floats
/// are the same behind it, where they cost one instruction.
fn rounded(expression: &Expression) -> Expression {
    let mut rounded = expression.clone();
    let result = rounded_node(&mut rounded, expression.result());
    rounded.results = vec![result];
    rounded.pruned()
}

fn rounded_node(e: &mut Expression, node: NodeId) -> NodeId {
    let is_float = |e: &Expression, id: NodeId| matches!(e.nodes[id.0 as usize], Node::Constant(_));
    match e.nodes[node.0 as usize].clone() {
        Node::Apply(bound @ (Instruction::Maximum | Instruction::Minimum), operands) => match operands[..] {
            [a, b] if is_float(e, a) => {
                let b = rounded_node(e, b);
                e.apply(bound, &[a, b])
            }
            [a, b] if is_float(e, b) => {
                let a = rounded_node(e, a);
                e.apply(bound, &[a, b])
            }
            _ => e.call(Function::Rounded, &[node]),
        },
        Node::Read(_) | Node::Constant(_) | Node::Apply(..) | Node::Call(..) => e.call(Function::Rounded, &[node]),
    }
}

/// The word next to an expression's result. A function of words may by itself be rounded to a neighbour of that.
fn nearest(expression: &Expression) -> Expression {
    let mut nearest = expression.clone();
    let result = expression.result();
    if matches!(nearest.nodes[result.0 as usize], Node::Call(..)) {
        let rest = nearest.call(Function::Rest, &[result]);
        let word = nearest.sub(result, rest);
        nearest.results = vec![word];
    }
    called(&nearest, Function::Rounded)
}

/// The nest with every value that has a rest read in two words.
fn joined(nest: &Nest, rests: &Rests) -> Nest {
    let mut reads = nest.reads.clone();
    let seconds: Vec<Option<usize>> = (nest.reads.iter())
        .map(|access| {
            let rest = rests.of(nest, access.tensor)?;
            reads.push(of_rest(access, rest));
            Some(reads.len() - 1)
        })
        .collect();
    let joined = |expression: &Expression| {
        let mut joined = Expression::default();
        joined.results = joined.inline_with(expression, |e, operand| {
            let read = e.read(if operand == nest.reduced() { reads.len() } else { operand });
            match seconds.get(operand).copied().flatten() {
                Some(second) => {
                    let rest = e.read(second);
                    e.call(Function::Joined, &[read, rest])
                }
                None => read,
            }
        });
        joined
    };
    let store = joined(&nest.store);
    let reduction = nest.reduction.as_ref().map(|reduction| Reduction {
        start: joined(&reduction.start),
        term: joined(&reduction.term),
        ..reduction.clone()
    });
    Nest { store, reduction, reads, ..nest.clone() }
}

/// The rest of what an access finds; there is none outside.
fn of_rest(access: &Access, rest: TensorId) -> Access {
    let outside = match access.outside {
        Outside::Never => Outside::Never,
        Outside::Value(_) => Outside::Value(0),
    };
    Access { tensor: rest, outside, ..access.clone() }
}
