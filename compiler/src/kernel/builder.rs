//! Builds kernels statement by statement.

use super::{Address, Buffer, BufferId, Kernel, Op, Statement, Type, ValueId, VariableId};
use crate::expression::{Expression, Node};
use crate::format::Format;
use crate::instruction::Instruction;

/// A kernel under construction. Statements go to the innermost open body.
pub struct Builder {
    kernel: Kernel,
    open: Vec<Vec<Statement>>,
}

impl Builder {
    /// An empty kernel with so many lanes and tasks.
    pub fn new(name: impl Into<String>, lanes: usize, tasks: usize) -> Self {
        let kernel = Kernel {
            name: name.into(),
            lanes,
            buffers: Vec::new(),
            tasks,
            task: ValueId(0),
            values: vec![Type::Index],
            variables: Vec::new(),
            body: Vec::new(),
        };
        Self { kernel, open: vec![Vec::new()] }
    }

    /// The finished kernel.
    pub fn finish(mut self) -> Kernel {
        self.kernel.body = self.open.pop().expect("the body itself is open");
        assert!(self.open.is_empty(), "{}: a loop was left open", self.kernel.name);
        self.kernel.verify();
        self.kernel
    }

    /// Sets the number of tasks, where it was not known at the start.
    pub fn set_tasks(&mut self, tasks: usize) {
        self.kernel.tasks = tasks;
    }

    /// Words in a vector.
    pub fn lanes(&self) -> usize {
        self.kernel.lanes
    }

    /// The task at hand, an index.
    pub fn task(&self) -> ValueId {
        self.kernel.task
    }

    /// Adds a buffer of words that is read.
    pub fn input(&mut self, name: &str, words: usize) -> BufferId {
        self.input_in(Format::Word, name, words)
    }

    /// Adds a buffer of words that is written, and may be read.
    pub fn output(&mut self, name: &str, words: usize) -> BufferId {
        self.output_in(Format::Word, name, words)
    }

    /// Adds a buffer in this format that is read.
    pub fn input_in(&mut self, format: Format, name: &str, elements: usize) -> BufferId {
        self.buffer(Buffer { name: name.to_string(), elements, format, writable: false })
    }

    /// Adds a buffer in this format that is written, and may be read.
    pub fn output_in(&mut self, format: Format, name: &str, elements: usize) -> BufferId {
        self.buffer(Buffer { name: name.to_string(), elements, format, writable: true })
    }

    fn buffer(&mut self, buffer: Buffer) -> BufferId {
        self.kernel.buffers.push(buffer);
        BufferId(self.kernel.buffers.len() - 1)
    }

    /// How the elements of a buffer are stored.
    pub fn format(&self, buffer: BufferId) -> Format {
        self.kernel.buffers[buffer.0].format
    }

    /// Sets the length of a buffer that was not known before.
    pub fn resize(&mut self, buffer: BufferId, elements: usize) {
        self.kernel.buffers[buffer.0].elements = elements;
    }

    /// Opens a body: statements go to it until [`Self::end`].
    pub fn begin(&mut self) {
        self.open.push(Vec::new());
    }

    /// Closes the innermost open body.
    pub fn end(&mut self) -> Vec<Statement> {
        self.open.pop().expect("a body is open")
    }

    /// A new loop counter.
    pub fn counter(&mut self) -> ValueId {
        self.value(Type::Index)
    }

    /// Adds a statement.
    pub fn push(&mut self, statement: Statement) {
        self.open.last_mut().expect("the body itself is open").push(statement);
    }

    fn value(&mut self, ty: Type) -> ValueId {
        self.kernel.values.push(ty);
        ValueId(self.kernel.values.len() - 1)
    }

    /// Gives a new value of this type its meaning.
    pub fn define(&mut self, ty: Type, op: Op) -> ValueId {
        let value = self.value(ty);
        self.push(Statement::Let(value, op));
        value
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> Type {
        self.kernel.values[value.0]
    }

    /// Gives a new value of another's type its meaning.
    pub fn double(&mut self, like: ValueId, op: Op) -> ValueId {
        self.define(self.ty(like), op)
    }

    /// A constant of a type of words.
    pub fn constant(&mut self, ty: Type, bits: u32) -> ValueId {
        self.define(ty, Op::Constant(bits))
    }

    /// Elements from memory.
    pub fn load(&mut self, ty: Type, address: Address) -> ValueId {
        self.define(ty, Op::Load(address))
    }

    /// One element from memory in every lane.
    pub fn broadcast(&mut self, address: Address) -> ValueId {
        self.define(Type::Vector, Op::Broadcast(address))
    }

    /// An instruction applied to values of one type.
    pub fn apply(&mut self, instruction: Instruction, operands: &[ValueId]) -> ValueId {
        let ty = self.ty(operands[0]);
        self.define(ty, Op::Apply(instruction, operands.to_vec()))
    }

    /// A new variable.
    pub fn variable(&mut self, ty: Type) -> VariableId {
        self.kernel.variables.push(ty);
        VariableId(self.kernel.variables.len() - 1)
    }

    /// Assigns a variable.
    pub fn set(&mut self, variable: VariableId, value: ValueId) {
        self.push(Statement::Set(variable, value));
    }

    /// What a variable holds.
    pub fn get(&mut self, variable: VariableId) -> ValueId {
        let ty = self.kernel.variables[variable.0];
        self.define(ty, Op::Get(variable))
    }

    /// Stores a vector or a scalar.
    pub fn store(&mut self, address: Address, value: ValueId) {
        self.push(Statement::Store(address, value));
    }

    /// Prefetches a line.
    pub fn prefetch(&mut self, address: Address) {
        self.push(Statement::Prefetch(address));
    }

    /// A loop from 0 to `extent`.
    pub fn repeat(&mut self, extent: usize, body: impl FnOnce(&mut Self, ValueId)) {
        let index = self.value(Type::Index);
        self.open.push(Vec::new());
        body(self, index);
        let body = self.open.pop().expect("opened above");
        self.push(Statement::For { index, extent, body });
    }

    /// A loop that runs as long as the scalar that `test` gives is not zero.
    pub fn repeat_while(&mut self, test: impl FnOnce(&mut Self) -> ValueId, body: impl FnOnce(&mut Self)) {
        self.open.push(Vec::new());
        let condition = test(self);
        let test = self.open.pop().expect("opened above");
        self.open.push(Vec::new());
        body(self);
        let body = self.open.pop().expect("opened above");
        self.push(Statement::While { test, condition, body });
    }

    /// A choice by a scalar.
    pub fn choose(&mut self, condition: ValueId, then: impl FnOnce(&mut Self), otherwise: impl FnOnce(&mut Self)) {
        self.open.push(Vec::new());
        then(self);
        let then = self.open.pop().expect("opened above");
        self.open.push(Vec::new());
        otherwise(self);
        let otherwise = self.open.pop().expect("opened above");
        self.push(Statement::If { condition, then, otherwise });
    }

    /// An expanded expression over values of one type; constants become constants of that type.
    pub fn expression(&mut self, ty: Type, expression: &Expression, operands: &[ValueId]) -> Vec<ValueId> {
        let mut values: Vec<ValueId> = Vec::with_capacity(expression.nodes.len());
        for node in &expression.nodes {
            let value = match node {
                Node::Read(operand) => operands[*operand],
                Node::Constant(bits) => self.constant(ty, *bits),
                Node::Apply(instruction, ids) => {
                    let ids = ids.iter().map(|id| values[id.0 as usize]).collect();
                    self.define(ty, Op::Apply(*instruction, ids))
                }
                Node::Call(function, _) => panic!("{} has not been expanded", function.text()),
            };
            values.push(value);
        }
        expression.results.iter().map(|id| values[id.0 as usize]).collect()
    }
}

impl Address {
    /// `buffer[offset]`.
    pub fn new(buffer: BufferId, offset: i64) -> Self {
        Self { buffer, terms: Vec::new(), offset }
    }

    /// This, further by `index * stride` elements.
    pub fn plus(mut self, index: ValueId, stride: i64) -> Self {
        if stride != 0 {
            self.terms.push((index, stride));
        }
        self
    }

    /// This, further by a constant number of elements.
    pub fn moved(mut self, elements: i64) -> Self {
        self.offset += elements;
        self
    }
}
