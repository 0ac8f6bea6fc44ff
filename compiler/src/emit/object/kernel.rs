//! Kernels in Cranelift's language: every kernel where there are no vectors of our own encoding.
//!
//! A vector is one machine vector of four lanes, or four single words where the machine has none. Prefetches are left
//! out: Cranelift has no instruction for them.

use super::formats;
use super::pointers::{Loop, Walk, wanted};
use super::words::{self, Arithmetic, apply, cast};
use crate::format::Format;
use crate::kernel::{Address, Kernel, Op, Statement, Type, ValueId};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I32, I64};
use cranelift_codegen::ir::{self, InstBuilder, MemFlagsData, Value};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, Variable};
use std::collections::HashMap;

/// What a kernel is written for.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// What the machine can compute.
    pub arithmetic: Arithmetic,
    /// Whether it has vectors.
    pub vectors: bool,
    /// How many elements from a pointer an access reaches.
    pub reach: i64,
}

/// The number of lanes of a vector that Cranelift knows.
const LANES: usize = 4;

/// Writes the body of a kernel: a function of the array of its buffers, the first task, and the one behind the last.
pub(super) fn write(builder: FunctionBuilder, kernel: &Kernel, style: Style, config: TargetFrontendConfig) {
    assert_eq!(kernel.lanes, LANES, "{}: a kernel for another vector width", kernel.name);
    let mut writer = Writer {
        b: builder,
        kernel,
        style,
        buffers: Vec::new(),
        values: vec![Vec::new(); kernel.values.len()],
        known: HashMap::new(),
        hoisted: HashMap::new(),
        variables: Vec::new(),
        loops: Vec::new(),
    };
    writer.function();
    writer.b.finalize(config);
}

struct Writer<'a, 'k> {
    b: FunctionBuilder<'a>,
    kernel: &'k Kernel,
    style: Style,
    /// Pointers to the buffers.
    buffers: Vec<Value>,
    /// Each value's words: machine vectors or single ones.
    values: Vec<Vec<Value>>,
    /// Values with a known word in every lane.
    known: HashMap<ValueId, u32>,
    /// Constants made before the innermost loop being written.
    hoisted: HashMap<(u32, ir::Type), Value>,
    /// Each variable's words.
    variables: Vec<Vec<Variable>>,
    /// The loops being written, outermost first.
    loops: Vec<Loop>,
}

impl Writer<'_, '_> {
    /// The type of a machine word of a value, and how many it has.
    fn layout(&self, ty: Type) -> (ir::Type, usize) {
        match (ty, self.style.vectors) {
            (Type::Vector, true) => (F32X4, 1),
            (Type::Vector, false) => (F32, LANES),
            (Type::Scalar, _) => (F32, 1),
            (Type::Doubles, true) => (F64X2, 1),
            (Type::Doubles, false) => (F64, LANES / 2),
            (Type::Double, _) => (F64, 1),
            (Type::Index, _) => (I64, 1),
        }
    }

    fn function(&mut self) {
        let entry = self.b.create_block();
        self.b.append_block_params_for_function_params(entry);
        self.b.switch_to_block(entry);
        self.b.seal_block(entry);
        let [buffers, begin, end] = self.b.block_params(entry).try_into().expect("kernels have three parameters");
        self.buffers = (0..self.kernel.buffers.len())
            .map(|number| self.b.ins().load(I64, MemFlagsData::trusted(), buffers, 8 * number as i32))
            .collect();
        for ty in &self.kernel.variables {
            let (word, count) = self.layout(*ty);
            self.variables.push((0..count).map(|_| self.b.declare_var(word)).collect());
        }
        let (work, done) = (self.b.create_block(), self.b.create_block());
        let is_some = self.b.ins().icmp(IntCC::UnsignedLessThan, begin, end);
        self.b.ins().brif(is_some, work, &[], done, &[]);
        self.b.switch_to_block(work);
        self.b.seal_block(work);
        let kernel = self.kernel;
        self.repeat(kernel.task, begin, |_| end, &kernel.body, true);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
        self.b.ins().return_(&[]);
    }

    /// `for index in first..end { body }` with at least one iteration.
    fn repeat(
        &mut self,
        index: ValueId,
        first: Value,
        end: impl FnOnce(&mut Self) -> Value,
        body: &[Statement],
        tasks: bool,
    ) {
        let counters: Vec<ValueId> = self.loops.iter().map(|open| open.index).collect();
        let mut pointers = Vec::new();
        for walk in wanted(body, index, &counters, self.style.reach) {
            let (start, stride) = walk.without(index).expect("it was wanted for its dependence on the index");
            let mut pointer = self.pointer(&start);
            let stride = stride * self.element_bytes(walk.buffer);
            if tasks {
                let distance = self.b.ins().imul_imm_s(first, stride);
                pointer = self.b.ins().iadd(pointer, distance);
            }
            let variable = self.b.declare_var(I64);
            self.b.def_var(variable, pointer);
            pointers.push((walk, variable, stride));
        }
        let is_innermost = !body.iter().any(has_loop);
        if is_innermost {
            self.hoist(body);
        }
        let counter = self.b.declare_var(I64);
        self.b.def_var(counter, first);
        let (again, after) = (self.b.create_block(), self.b.create_block());
        self.b.ins().jump(again, &[]);
        self.b.switch_to_block(again);
        self.values[index.0] = vec![self.b.use_var(counter)];
        self.loops.push(Loop { index, pointers });
        if tasks {
            self.clear_variables();
        }
        self.body(body);
        let open = self.loops.pop().expect("it was pushed above");
        for (_, variable, stride) in open.pointers {
            let pointer = self.b.use_var(variable);
            let pointer = self.b.ins().iadd_imm_s(pointer, stride);
            self.b.def_var(variable, pointer);
        }
        let next = self.b.ins().iadd_imm_s(self.values[index.0][0], 1);
        self.b.def_var(counter, next);
        let end = end(self);
        let is_more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, end);
        self.b.ins().brif(is_more, again, &[], after, &[]);
        self.b.seal_block(again);
        self.b.switch_to_block(after);
        self.b.seal_block(after);
        if is_innermost {
            self.hoisted.clear();
        }
    }

    /// Variables hold zeros before a task assigns them.
    fn clear_variables(&mut self) {
        for (words, ty) in self.variables.clone().iter().zip(&self.kernel.variables) {
            let (word, _) = self.layout(*ty);
            let zero = words::constant(&mut self.b, 0, word);
            words.iter().for_each(|variable| self.b.def_var(*variable, zero));
        }
    }

    /// Makes the constants of an innermost loop once.
    fn hoist(&mut self, body: &[Statement]) {
        for statement in body {
            match statement {
                Statement::Let(value, Op::Constant(bits)) => {
                    let (word, _) = self.layout(self.kernel.values[value.0]);
                    let constant = words::constant(&mut self.b, *bits, word);
                    self.hoisted.insert((*bits, word), constant);
                }
                Statement::If { then, otherwise, .. } => {
                    self.hoist(then);
                    self.hoist(otherwise);
                }
                Statement::Let(..) | Statement::Set(..) | Statement::Store(..) | Statement::Prefetch(_) => {}
                Statement::For { .. } | Statement::While { .. } => unreachable!("an innermost loop has no loops"),
            }
        }
    }

    fn body(&mut self, body: &[Statement]) {
        body.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Let(value, op) => {
                let words = self.op(*value, op);
                self.values[value.0] = words;
            }
            Statement::Set(variable, value) => {
                let (word, _) = self.layout(self.kernel.variables[variable.0]);
                for (at, value) in self.values[value.0].clone().into_iter().enumerate() {
                    let value = cast(&mut self.b, value, word);
                    self.b.def_var(self.variables[variable.0][at], value);
                }
            }
            Statement::Store(address, value) => {
                let ((pointer, offset), format) = (self.address(address), self.format(address));
                let (word, _) = self.layout(self.kernel.values[value.0]);
                for (at, value) in self.values[value.0].clone().into_iter().enumerate() {
                    let offset = offset + (format.bytes() * at) as i32;
                    formats::store(&mut self.b, format, word, value, pointer, offset);
                }
            }
            Statement::For { index, extent, body } => {
                let (first, extent) = (self.b.ins().iconst(I64, 0), *extent as i64);
                self.repeat(*index, first, |writer| writer.b.ins().iconst(I64, extent), body, false);
            }
            Statement::While { test, condition, body } => self.repeat_while(test, *condition, body),
            Statement::If { condition, then, otherwise } => {
                let truth = self.scalar(*condition);
                let (yes, no, after) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
                self.b.ins().brif(truth, yes, &[], no, &[]);
                for (block, body) in [(yes, then), (no, otherwise)] {
                    self.b.switch_to_block(block);
                    self.b.seal_block(block);
                    self.body(body);
                    self.b.ins().jump(after, &[]);
                }
                self.b.switch_to_block(after);
                self.b.seal_block(after);
            }
            Statement::Prefetch(_) => {}
        }
    }

    fn repeat_while(&mut self, test: &[Statement], condition: ValueId, body: &[Statement]) {
        let (again, work, after) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.ins().jump(again, &[]);
        self.b.switch_to_block(again);
        self.body(test);
        let truth = self.scalar(condition);
        self.b.ins().brif(truth, work, &[], after, &[]);
        self.b.switch_to_block(work);
        self.b.seal_block(work);
        self.body(body);
        self.b.ins().jump(again, &[]);
        self.b.seal_block(again);
        self.b.switch_to_block(after);
        self.b.seal_block(after);
    }

    fn format(&self, address: &Address) -> Format {
        self.kernel.buffers[address.buffer.0].format
    }

    fn element_bytes(&self, buffer: usize) -> i64 {
        self.kernel.buffers[buffer].format.bytes() as i64
    }

    /// A scalar as an integer.
    fn scalar(&mut self, value: ValueId) -> Value {
        let word = self.values[value.0][0];
        cast(&mut self.b, word, I32)
    }

    fn index(&self, value: ValueId) -> Value {
        self.values[value.0][0]
    }

    /// The pointer and the offset in bytes of an address.
    fn address(&mut self, address: &Address) -> (Value, i32) {
        let (walk, near) = Walk::new(address, self.style.reach);
        let counters: Vec<ValueId> = self.loops.iter().map(|open| open.index).collect();
        let (known, rest) = walk.split(|index| counters.contains(&index));
        let mut pointer = self.pointer(&known);
        let bytes = self.element_bytes(walk.buffer);
        for (index, stride) in rest {
            let distance = self.b.ins().imul_imm_s(self.values[index.0][0], bytes * stride);
            pointer = self.b.ins().iadd(pointer, distance);
        }
        (pointer, i32::try_from(bytes * near).expect("within reach"))
    }

    /// A pointer that some open loop advances, or the buffer's own.
    fn pointer(&mut self, walk: &Walk) -> Value {
        let pointers = self.loops.iter().rev().flat_map(|open| &open.pointers);
        let found = pointers.into_iter().find(|(other, ..)| other == walk).map(|(_, variable, _)| *variable);
        if let Some(variable) = found {
            return self.b.use_var(variable);
        }
        assert!(walk.terms.is_empty(), "every loop has the pointers that depend on it");
        let (buffer, bytes) = (self.buffers[walk.buffer], self.element_bytes(walk.buffer));
        if walk.offset == 0 { buffer } else { self.b.ins().iadd_imm_s(buffer, bytes * walk.offset) }
    }

    fn constant(&mut self, bits: u32, word: ir::Type) -> Value {
        match self.hoisted.get(&(bits, word)) {
            Some(value) => *value,
            None => words::constant(&mut self.b, bits, word),
        }
    }

    /// The words of a value.
    fn op(&mut self, value: ValueId, op: &Op) -> Vec<Value> {
        let (word, count) = self.layout(self.kernel.values[value.0]);
        match op {
            Op::Constant(bits) => {
                self.known.insert(value, *bits);
                vec![self.constant(*bits, word); count]
            }
            Op::Load(from) => {
                let ((pointer, offset), format) = (self.address(from), self.format(from));
                let offset = |at| offset + (format.bytes() * at) as i32;
                (0..count).map(|at| formats::load(&mut self.b, format, word, pointer, offset(at))).collect()
            }
            Op::Broadcast(from) => {
                let ((pointer, offset), format) = (self.address(from), self.format(from));
                let scalar = formats::load(&mut self.b, format, F32, pointer, offset);
                let scalar = cast(&mut self.b, scalar, F32);
                self.splat(scalar, word, count)
            }
            Op::Splat(scalar) => {
                let scalar = cast(&mut self.b, self.values[scalar.0][0], F32);
                self.splat(scalar, word, count)
            }
            Op::Apply(instruction, operands) => {
                let amount = operands.last().and_then(|last| self.known.get(last)).copied();
                let of = |at: usize| operands.iter().map(|id| self.values[id.0][at]).collect();
                let columns: Vec<Vec<Value>> = (0..count).map(of).collect();
                let arithmetic = self.style.arithmetic;
                let mut one =
                    |operands: Vec<Value>| apply(&mut self.b, arithmetic, *instruction, &operands, amount, word);
                columns.into_iter().map(&mut one).collect()
            }
            Op::Get(variable) => self.variables[variable.0].iter().map(|variable| self.b.use_var(*variable)).collect(),
            Op::Rotate(vector, distance) if self.style.vectors => {
                let distance = distance * self.kernel.values[value.0].lane_words();
                vec![words::rotate(&mut self.b, self.values[vector.0][0], distance, word)]
            }
            Op::Rotate(vector, distance) => {
                let mut words = self.values[vector.0].clone();
                words.rotate_left(*distance);
                words
            }
            Op::First(vector) if self.style.vectors => {
                let whole = if word == F32 { F32X4 } else { F64X2 };
                let vector = cast(&mut self.b, self.values[vector.0][0], whole);
                vec![self.b.ins().extractlane(vector, 0)]
            }
            Op::First(vector) => vec![self.values[vector.0][0]],
            Op::Widen(vector, half) if word == F64X2 => {
                vec![words::widen(&mut self.b, self.values[vector.0][0], *half)]
            }
            Op::Widen(vector, half) => {
                let words = self.values[vector.0][half * count..][..count].to_vec();
                let floats = words.into_iter().map(|word| cast(&mut self.b, word, F32)).collect::<Vec<_>>();
                floats.into_iter().map(|float| self.b.ins().fpromote(F64, float)).collect()
            }
            Op::MultiplyAdd(operands) => (0..count)
                .map(|at| {
                    let operands = operands.map(|operand| self.values[operand.0][at]);
                    words::multiply_add(&mut self.b, self.style.arithmetic, operands)
                })
                .collect(),
            Op::AddDoubles(operands) => {
                let [a, b] = operands.map(|operand| self.values[operand.0].clone());
                a.into_iter().zip(b).map(|(a, b)| self.b.ins().fadd(a, b)).collect()
            }
            Op::Narrow(halves) => {
                let halves: Vec<Value> = halves.iter().flat_map(|half| self.values[half.0].clone()).collect();
                match (word == F32X4, &halves[..]) {
                    (true, [low, high]) => vec![words::narrow(&mut self.b, *low, *high)],
                    (_, doubles) => doubles.iter().map(|double| self.b.ins().fdemote(F32, *double)).collect(),
                }
            }
            Op::IndexConstant(number) => vec![self.b.ins().iconst(I64, *number)],
            Op::IndexSum(terms, offset) => vec![self.sum(terms, *offset)],
            Op::IndexFrom(scalar) => {
                let scalar = self.scalar(*scalar);
                vec![self.b.ins().sextend(I64, scalar)]
            }
            Op::ScalarFrom(index) => {
                let index = self.index(*index);
                vec![self.b.ins().ireduce(I32, index)]
            }
            Op::IndexWithin(index, extent) => {
                let (index, extent) = (self.index(*index), self.b.ins().iconst(I64, (*extent).max(0)));
                let truth = self.b.ins().icmp(IntCC::UnsignedLessThan, index, extent);
                vec![words::spread(&mut self.b, truth, I32)]
            }
        }
    }

    fn splat(&mut self, scalar: Value, word: ir::Type, count: usize) -> Vec<Value> {
        match word == F32X4 {
            true => vec![self.b.ins().splat(F32X4, scalar)],
            false => vec![scalar; count],
        }
    }

    fn sum(&mut self, terms: &[(ValueId, i64)], offset: i64) -> Value {
        let mut sum = None;
        for (index, factor) in terms {
            let index = self.index(*index);
            let term = if *factor == 1 { index } else { self.b.ins().imul_imm_s(index, *factor) };
            sum = Some(match sum {
                None => term,
                Some(sum) => self.b.ins().iadd(sum, term),
            });
        }
        match sum {
            None => self.b.ins().iconst(I64, offset),
            Some(sum) if offset == 0 => sum,
            Some(sum) => self.b.ins().iadd_imm_s(sum, offset),
        }
    }
}

fn has_loop(statement: &Statement) -> bool {
    match statement {
        Statement::For { .. } | Statement::While { .. } => true,
        Statement::If { then, otherwise, .. } => then.iter().chain(otherwise).any(has_loop),
        Statement::Let(..) | Statement::Set(..) | Statement::Store(..) | Statement::Prefetch(_) => false,
    }
}
