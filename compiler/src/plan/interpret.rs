//! Interprets a whole plan: in words, which is the truth, and in real numbers, which is what errors are measured against.

use super::arithmetic::{Arithmetic, Reals, Words};
use super::batch::Buffer;
use super::{Numerics, Order, Plan, nest, routines};
use crate::graph::{Graph, Operation, Source, TensorId, View};

/// An output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Extents, outermost first, as they turned out.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub words: Vec<u32>,
}

/// An output in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct RealValue {
    /// Extents, outermost first, as they turned out.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub values: Vec<f64>,
}

/// Runs the plan to the bit. `inputs` are the words of the graph's inputs, in order and row-major.
///
/// # Panics
/// When the inputs are not as many and as large as the graph says.
pub fn interpret(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<Value> {
    run::<Words>(plan, inputs).into_iter().map(|(shape, words)| Value { shape, words }).collect()
}

/// Runs the plan in double precision: constants read exactly, elementary functions by their definitions.
///
/// # Panics
/// As [`interpret`].
pub fn interpret_real(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<RealValue> {
    run::<Reals>(plan, inputs).into_iter().map(|(shape, values)| RealValue { shape, values }).collect()
}

fn run<A: Arithmetic>(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<(Vec<usize>, Vec<A::Value>)> {
    let graph = &plan.graph;
    let mut memory = Memory::<A>::new(graph, inputs);
    for (at, (operation, numerics)) in graph.operations.iter().zip(&plan.numerics).enumerate() {
        match operation {
            Operation::Nest(nest) => {
                let order = match numerics {
                    Numerics::Plain => Order::Chain { block: 1 },
                    Numerics::Direct(order) => *order,
                };
                let mut target = memory.take(nest.write.tensor);
                nest::run(graph, nest, order, |tensor| memory.buffer(tensor), &mut target);
                memory.values[nest.write.tensor.0] = target;
            }
            Operation::Routine(routine) => {
                let reads: Vec<Vec<A::Value>> = routine.reads.iter().map(|view| memory.read(view.tensor)).collect();
                for (tensor, values) in routine.writes.iter().zip(routines::run::<A>(graph, routine, &reads)) {
                    assert_eq!(values.len(), graph.tensor(*tensor).elements(), "{}", routine.name);
                    memory.values[tensor.0] = values;
                }
            }
        }
        memory.release(at);
    }
    graph.outputs.iter().map(|output| memory.output(&output.view)).collect()
}

/// The tensors' values; constants stay in the graph.
struct Memory<'a, A: Arithmetic> {
    graph: &'a Graph,
    values: Vec<Vec<A::Value>>,
    /// For each operation the tensors that nothing after it needs.
    last_uses: Vec<Vec<TensorId>>,
}

impl<'a, A: Arithmetic> Memory<'a, A> {
    fn new(graph: &'a Graph, inputs: &[Vec<u32>]) -> Self {
        assert_eq!(inputs.len(), graph.inputs.len(), "number of inputs");
        let mut values = vec![Vec::new(); graph.tensors.len()];
        for (id, words) in graph.inputs.iter().zip(inputs) {
            let tensor = graph.tensor(*id);
            assert_eq!(words.len(), tensor.elements(), "elements of input {}", tensor.name);
            values[id.0] = words.iter().map(|word| A::read(*word, tensor.element)).collect();
        }
        let mut last: Vec<Option<usize>> = vec![None; graph.tensors.len()];
        for (at, operation) in graph.operations.iter().enumerate() {
            for tensor in operation.reads().into_iter().chain(operation.writes()) {
                last[tensor.0] = Some(at);
            }
        }
        for view in graph.outputs.iter().map(|output| &output.view) {
            for tensor in [Some(view.tensor), view.extents].into_iter().flatten() {
                last[tensor.0] = None;
            }
        }
        let mut last_uses = vec![Vec::new(); graph.operations.len()];
        for (tensor, at) in last.iter().enumerate() {
            if let Some(at) = at {
                last_uses[*at].push(TensorId(tensor));
            }
        }
        Self { graph, values, last_uses }
    }

    fn buffer(&self, id: TensorId) -> Buffer<'_, A> {
        let tensor = self.graph.tensor(id);
        match &tensor.source {
            Source::Constant(words) => Buffer::Constant(words, tensor.element),
            Source::Input | Source::Computed => Buffer::Values(&self.values[id.0]),
        }
    }

    fn read(&self, id: TensorId) -> Vec<A::Value> {
        let buffer = self.buffer(id);
        (0..self.graph.tensor(id).elements()).map(|position| buffer.get(position)).collect()
    }

    /// The values of a tensor that is about to be written, perhaps not for the first time.
    fn take(&mut self, id: TensorId) -> Vec<A::Value> {
        let mut values = std::mem::take(&mut self.values[id.0]);
        values.resize(self.graph.tensor(id).elements(), A::Value::default());
        values
    }

    fn release(&mut self, operation: usize) {
        for tensor in std::mem::take(&mut self.last_uses[operation]) {
            self.values[tensor.0] = Vec::new();
        }
    }

    fn output(&self, view: &View) -> (Vec<usize>, Vec<A::Value>) {
        let mut values = self.read(view.tensor);
        let shape = match view.extents {
            None => view.shape.clone(),
            Some(extents) => self.read(extents).into_iter().map(|extent| A::integer(extent) as usize).collect(),
        };
        values.truncate(shape.iter().product());
        (shape, values)
    }
}
