//! Interprets a whole plan: in words, which is the truth, and in real numbers, which is what errors are measured against.

use super::arithmetic::{Arithmetic, Reals, Words};
use super::batch::Buffer;
use super::{Numerics, Order, Plan, nest, routines, winograd};
use crate::graph::{CustomFunction, Graph, Operation, Source, TensorId};

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
/// When the inputs are not as many and as large as the graph says, or functions of the user's compute some of the layers:
/// see [`interpret_with`].
pub fn interpret(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<Value> {
    interpret_with(plan, &[], inputs)
}

/// Runs a plan to the bit with layers that `functions` compute, by the numbers under which they were declared.
///
/// # Panics
/// When the inputs are not as many and as large as the graph says, or a function is missing.
pub fn interpret_with(plan: &Plan, functions: &[CustomFunction], inputs: &[Vec<u32>]) -> Vec<Value> {
    run::<Words>(plan, functions, inputs).into_iter().map(|(shape, words)| Value { shape, words }).collect()
}

/// Runs the plan in double precision: constants read exactly, elementary functions and convolutions by their
/// definitions.
///
/// # Panics
/// As [`interpret`].
pub fn interpret_real(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<RealValue> {
    run::<Reals>(plan, &[], inputs).into_iter().map(|(shape, values)| RealValue { shape, values }).collect()
}

fn run<A: Arithmetic>(
    plan: &Plan,
    functions: &[CustomFunction],
    inputs: &[Vec<u32>],
) -> Vec<(Vec<usize>, Vec<A::Value>)> {
    let mut interpreter = Interpreter::<A> { functions, ..Interpreter::new(plan) };
    interpreter.feed(inputs);
    for (at, unneeded) in last_uses(&plan.graph).iter().enumerate() {
        interpreter.step(at);
        unneeded.iter().for_each(|tensor| interpreter.set(*tensor, Vec::new()));
    }
    (0..plan.graph.outputs.len()).map(|output| interpreter.output(output)).collect()
}

/// A plan being carried out operation by operation, by a caller who may look at every tensor, and replace it.
pub struct Interpreter<'a, A: Arithmetic> {
    plan: &'a Plan,
    /// The user's, by number.
    functions: &'a [CustomFunction<'a>],
    /// Of each tensor; empty where it has none yet, and for constants that nobody replaced, which stay in the graph.
    values: Vec<Vec<A::Value>>,
}

impl<'a, A: Arithmetic> Interpreter<'a, A> {
    /// A plan of which nothing has been carried out yet.
    pub fn new(plan: &'a Plan) -> Self {
        Self { plan, functions: &[], values: vec![Vec::new(); plan.graph.tensors.len()] }
    }

    /// Sets the inputs, words in the graph's order.
    ///
    /// # Panics
    /// When they are not as many and as large as the graph says.
    pub fn feed(&mut self, inputs: &[Vec<u32>]) {
        let graph = &self.plan.graph;
        assert_eq!(inputs.len(), graph.inputs.len(), "number of inputs");
        for (id, words) in graph.inputs.iter().zip(inputs) {
            let tensor = graph.tensor(*id);
            assert_eq!(words.len(), tensor.elements(), "elements of input {}", tensor.name);
            self.set(*id, words.iter().map(|word| A::read(*word, tensor.element)).collect());
        }
    }

    /// Replaces the values of a tensor, be it an input, a constant or computed.
    pub fn set(&mut self, tensor: TensorId, values: Vec<A::Value>) {
        self.values[tensor.0] = values;
    }

    /// The values of a tensor, row-major.
    pub fn values(&self, tensor: TensorId) -> Vec<A::Value> {
        let buffer = self.buffer(tensor);
        (0..self.plan.graph.tensor(tensor).elements()).map(|position| buffer.get(position)).collect()
    }

    /// Carries out one operation; what it reads must be there.
    pub fn step(&mut self, operation: usize) {
        let graph = &self.plan.graph;
        match &graph.operations[operation] {
            Operation::Nest(nest) => {
                // Perhaps not written for the first time.
                let mut target = std::mem::take(&mut self.values[nest.write.tensor.0]);
                target.resize(graph.tensor(nest.write.tensor).elements(), A::Value::default());
                let buffer = |tensor| self.buffer(tensor);
                match self.plan.numerics[operation] {
                    Numerics::Winograd(winograd) if A::AS_PLANNED => {
                        winograd::run(graph, nest, winograd, buffer, &mut target);
                    }
                    Numerics::Winograd(_) | Numerics::Plain => {
                        nest::run(graph, nest, Order::Chain { block: 1 }, buffer, &mut target);
                    }
                    Numerics::Direct(order) => nest::run(graph, nest, order, buffer, &mut target),
                }
                self.store(nest.write.tensor, target);
            }
            Operation::Routine(routine) => {
                let reads: Vec<Vec<A::Value>> = routine.reads.iter().map(|view| self.values(view.tensor)).collect();
                let written = routines::run::<A>(graph, routine, self.functions, &reads);
                for (tensor, values) in routine.writes.iter().zip(written) {
                    assert_eq!(values.len(), graph.tensor(*tensor).elements(), "{}", routine.name);
                    self.store(*tensor, values);
                }
            }
        }
    }

    /// Keeps what an operation has computed as the tensor's format holds it.
    fn store(&mut self, tensor: TensorId, mut values: Vec<A::Value>) {
        let format = self.plan.formats[tensor.0];
        if format.is_narrow() {
            values.iter_mut().for_each(|value| *value = A::stored(*value, format));
        }
        self.set(tensor, values);
    }

    /// An output's extents, as they turned out, and its elements.
    pub fn output(&self, output: usize) -> (Vec<usize>, Vec<A::Value>) {
        let view = &self.plan.graph.outputs[output].view;
        let mut values = self.values(view.tensor);
        let shape = match view.extents {
            None => view.shape.clone(),
            Some(extents) => self.values(extents).into_iter().map(|extent| A::integer(extent) as usize).collect(),
        };
        values.truncate(shape.iter().product());
        (shape, values)
    }

    fn buffer(&self, id: TensorId) -> Buffer<'_, A> {
        let tensor = self.plan.graph.tensor(id);
        match &tensor.source {
            Source::Constant(words) if self.values[id.0].is_empty() => Buffer::Constant(words, tensor.element),
            Source::Constant(_) | Source::Input | Source::Computed => Buffer::Values(&self.values[id.0]),
        }
    }
}

/// For each operation the tensors that nothing after it needs.
fn last_uses(graph: &Graph) -> Vec<Vec<TensorId>> {
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
    last_uses
}
