//! From statements to machine instructions on virtual registers.
//!
//! Owns what every architecture does alike: loops, variables that keep their registers, loads put off to their first use,
//! pointers and constants. Must not know how an instruction is spelt.

use super::machine::{Access, Class, Instruction, Machine, Memory, Operand, Register};
use super::pointers::{Index, Pointers};
use super::pool::Pool;
use super::uses::Uses;
use crate::format::Format;
use crate::instruction::Instruction as Arithmetic;
use crate::kernel::{Address, BufferId, Kernel, Op, Statement, Type, ValueId};
use std::collections::{HashMap, HashSet};

/// Where a value is.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// In a register.
    Register(Register),
    /// Still in memory: it is read at its first use.
    Memory { memory: Memory, buffer: BufferId, format: Format, broadcast: bool },
    /// In lane 0 of a register, and meant to be in every lane.
    Element(Register),
    /// Known now.
    Constant(u32),
}

/// A kernel being lowered.
pub struct Lower<'k, M: Machine> {
    /// The kernel.
    pub kernel: &'k Kernel,
    /// The architecture.
    pub machine: M,
    /// How values are used.
    pub uses: Uses,
    /// The literal pool.
    pub pool: Pool,
    /// The instructions so far.
    pub code: Vec<Instruction<M>>,
    /// What runs once, before the first task.
    preamble: Vec<Instruction<M>>,
    /// How to make a register's contents again, instead of keeping it.
    pub recipes: HashMap<Register, Instruction<M>>,
    /// How to load a register's contents again, as long as no pointer has moved.
    pub loads: HashMap<Register, Instruction<M>>,
    /// The registers that hold the kernel's arguments: buffers, begin, end.
    pub arguments: [Register; 3],
    places: Vec<Option<Place>>,
    /// Values still in memory, in their order.
    waiting: Vec<ValueId>,
    variables: Vec<Register>,
    pub(super) pointers: Pointers,
    /// Registers of counters whose number is needed.
    pub(super) counters: HashMap<ValueId, Register>,
    constants: HashMap<u32, Register>,
    /// Registers with pool entries, by the entry's place.
    entries: HashMap<i64, Register>,
    /// Values all ones or all zeros in every lane.
    truths: HashSet<ValueId>,
    /// Offsets made of dynamic terms, valid in the bodies being open.
    pub(super) offsets: Vec<(Vec<(Register, i64)>, Register)>,
    registers: usize,
    labels: usize,
    depth: u32,
    bodies: usize,
    /// The body and statement at hand.
    here: (usize, usize),
}

impl<'k, M: Machine> Lower<'k, M> {
    /// Lowers a whole kernel.
    pub fn kernel(kernel: &'k Kernel, machine: M) -> Self {
        assert_eq!(kernel.lanes, machine.lanes(), "{}: a kernel for another vector width", kernel.name);
        let arguments = [0, 1, 2].map(|number| Register { class: Class::General, number });
        let mut lower = Self {
            kernel,
            machine,
            uses: Uses::new(kernel),
            pool: Pool::new(machine.pool_words()),
            code: Vec::new(),
            preamble: Vec::new(),
            recipes: HashMap::new(),
            loads: HashMap::new(),
            arguments,
            places: vec![None; kernel.values.len()],
            waiting: Vec::new(),
            variables: Vec::new(),
            pointers: Pointers::default(),
            counters: HashMap::new(),
            constants: HashMap::new(),
            entries: HashMap::new(),
            truths: HashSet::new(),
            offsets: Vec::new(),
            registers: 3,
            labels: 0,
            depth: 0,
            bodies: 0,
            here: (0, 0),
        };
        lower.variables = kernel.variables.iter().map(|_| lower.register(Class::Vector)).collect();
        lower.tasks();
        lower
    }

    /// How many virtual registers there are.
    pub fn register_count(&self) -> usize {
        self.registers
    }

    /// A new virtual register.
    pub fn register(&mut self, class: Class) -> Register {
        self.registers += 1;
        Register { class, number: self.registers - 1 }
    }

    /// A new label.
    pub fn label(&mut self) -> usize {
        self.labels += 1;
        self.labels - 1
    }

    /// Appends an instruction.
    pub fn emit(&mut self, opcode: M::Opcode, operands: Vec<Operand<M::View>>) {
        self.push(Instruction { opcode, operands, depth: 0 });
    }

    fn push(&mut self, mut instruction: Instruction<M>) {
        instruction.depth = self.depth;
        self.code.push(instruction);
    }

    /// Appends a copy, unless both registers are one.
    pub fn copy(&mut self, to: Register, from: Register) {
        if to != from {
            self.push(self.machine.copy(to, from));
        }
    }

    /// Lowers something that runs once, before the first task.
    pub(super) fn once<R>(&mut self, what: impl FnOnce(&mut Self) -> R) -> R {
        std::mem::swap(&mut self.code, &mut self.preamble);
        let depth = std::mem::replace(&mut self.depth, 0);
        let result = what(self);
        self.depth = depth;
        std::mem::swap(&mut self.code, &mut self.preamble);
        result
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> Type {
        self.kernel.values[value.0]
    }

    /// Where a value is.
    pub fn place(&self, value: ValueId) -> Place {
        self.places[value.0].expect("the verifier has seen a definition before every use")
    }

    /// Whether the statement at hand is the last to read the value in a register that nothing else needs.
    pub fn dies(&self, value: ValueId) -> bool {
        self.uses.dies(value, self.here.0, self.here.1)
    }

    /// A value in a register.
    pub fn value(&mut self, value: ValueId) -> Register {
        match self.place(value) {
            Place::Register(register) => register,
            Place::Constant(bits) => self.constant(bits),
            Place::Element(element) => {
                let register = self.register(Class::Vector);
                M::splat(self, register, element);
                self.places[value.0] = Some(Place::Register(register));
                register
            }
            Place::Memory { memory, buffer, format, broadcast } => {
                let register = self.register(Class::Vector);
                let start = self.code.len();
                self.read(self.ty(value), register, memory, format, broadcast);
                // Only words can be operands where they lie.
                let again = !format.is_narrow() && !self.kernel.buffers[buffer.0].writable;
                if let ([load], true) = (&self.code[start..], again) {
                    self.loads.insert(register, load.clone());
                }
                self.places[value.0] = Some(Place::Register(register));
                self.waiting.retain(|other| *other != value);
                register
            }
        }
    }

    /// A register whose lane 0 has what a value has in every lane, if the value comes from one word of memory.
    pub fn element(&mut self, value: ValueId) -> Option<Register> {
        match self.place(value) {
            Place::Element(register) => Some(register),
            Place::Memory { memory, format, broadcast: true, .. } if self.uses.is_local(value) => {
                let register = self.register(Class::Vector);
                M::load(self, Type::Scalar, register, memory, format);
                self.places[value.0] = Some(Place::Element(register));
                self.waiting.retain(|other| *other != value);
                Some(register)
            }
            Place::Memory { .. } | Place::Register(_) | Place::Constant(_) => None,
        }
    }

    /// The register a value is in already.
    pub fn held(&self, value: ValueId) -> Option<Register> {
        match self.place(value) {
            Place::Register(register) => Some(register),
            Place::Memory { .. } | Place::Element(_) | Place::Constant(_) => None,
        }
    }

    /// The word a value has in every lane, if it is known.
    pub fn known(&self, value: ValueId) -> Option<u32> {
        match self.place(value) {
            Place::Constant(bits) => Some(bits),
            Place::Memory { .. } | Place::Element(_) | Place::Register(_) => None,
        }
    }

    /// Notes that a value still in memory has been used there, for the last time.
    pub fn used_in_memory(&mut self, value: ValueId) {
        self.waiting.retain(|other| *other != value);
    }

    /// A register with this word in every lane, set before the first task.
    pub fn constant(&mut self, bits: u32) -> Register {
        if let Some(register) = self.constants.get(&bits) {
            return *register;
        }
        let register = self.register(Class::Vector);
        let place = self.literal(bits);
        let recipe = self.machine.constant(register, bits, place);
        self.once(|lower| lower.push(recipe.clone()));
        self.recipes.insert(register, recipe);
        self.constants.insert(bits, register);
        register
    }

    /// A register with words of their own, set before the first task.
    pub fn entry(&mut self, words: &[u32]) -> Register {
        let place = self.pool.entry(words);
        if let Some(register) = self.entries.get(&place.displacement) {
            return *register;
        }
        let register = self.register(Class::Vector);
        let recipe = self.machine.reload(register, place);
        self.once(|lower| lower.push(recipe.clone()));
        self.recipes.insert(register, recipe);
        self.entries.insert(place.displacement, register);
        register
    }

    /// Whether a value is all ones or all zeros in every lane.
    pub fn is_truth(&self, value: ValueId) -> bool {
        self.truths.contains(&value)
    }

    fn mark_truth(&mut self, value: ValueId, op: &Op) {
        let known = match op {
            Op::Apply(instruction, operands) => match instruction {
                Arithmetic::And | Arithmetic::Or | Arithmetic::ExclusiveOr => {
                    operands.iter().all(|operand| self.is_truth(*operand))
                }
                other => compares(*other),
            },
            Op::Splat(of) | Op::First(of) | Op::Rotate(of, _) => self.is_truth(*of),
            Op::IndexWithin(..) => true,
            Op::Constant(bits) => matches!(*bits, 0 | u32::MAX),
            Op::Load(_) | Op::Broadcast(_) | Op::Get(_) | Op::ScalarFrom(_) => false,
            Op::Widen(..) | Op::MultiplyAdd(_) | Op::AddDoubles(_) | Op::Narrow(_) => false,
            Op::IndexConstant(_) | Op::IndexSum(..) | Op::IndexFrom(_) => false,
        };
        if known {
            self.truths.insert(value);
        }
    }

    /// Where the literal pool has a word, as often as an entry has words. Zero is made without the pool.
    fn literal(&mut self, bits: u32) -> Memory {
        match bits {
            0 => self.pool.start(),
            _other => {
                let words = vec![bits; self.machine.pool_words()];
                self.pool.entry(&words)
            }
        }
    }

    fn read(&mut self, ty: Type, to: Register, memory: Memory, format: Format, broadcast: bool) {
        if broadcast {
            M::broadcast(self, to, memory, format);
        } else {
            M::load(self, ty, to, memory, format);
        }
    }

    /// Reads what is still in memory: all of it, or what is in one buffer.
    fn flush(&mut self, only: Option<BufferId>) {
        for value in self.waiting.clone() {
            if let Place::Memory { buffer, .. } = self.place(value)
                && only.is_none_or(|only| only == buffer)
            {
                self.value(value);
            }
        }
    }

    /// Elements of memory that a value of this type takes.
    fn elements(&self, ty: Type) -> usize {
        match ty {
            Type::Vector => self.kernel.lanes,
            Type::Scalar => 1,
            Type::Doubles | Type::Double | Type::Index => unreachable!("only words are in memory"),
        }
    }

    fn format(&self, address: &Address) -> Format {
        self.kernel.buffers[address.buffer.0].format
    }

    fn tasks(&mut self) {
        let [_, begin, end] = self.arguments;
        let task = self.kernel.task;
        let (start, done) = (self.label(), self.label());
        let count = self.register(Class::General);
        self.once(|lower| {
            lower.copy(count, end);
            M::subtract(lower, count, begin);
            M::jump_unless_positive(lower, count, done);
        });
        if self.uses.is_counted(task) {
            let counter = self.register(Class::General);
            self.counters.insert(task, counter);
            self.once(|lower| lower.copy(counter, begin));
        }
        self.pointers.enter(task);
        self.depth = 1;
        M::label(self, start);
        let kernel = self.kernel;
        self.body(&kernel.body);
        self.moves(&[], Some(task));
        if let Some(counter) = self.counters.get(&task) {
            M::advance(self, *counter, 1);
        }
        M::count_down(self, count, start);
        self.depth = 0;
        M::label(self, done);
        let body = std::mem::take(&mut self.code);
        self.code = std::mem::take(&mut self.preamble);
        self.code.extend(body);
    }

    fn body(&mut self, body: &[Statement]) {
        let outside = self.here;
        let offsets = self.offsets.len();
        let number = self.bodies;
        self.bodies += 1;
        for (at, statement) in body.iter().enumerate() {
            self.here = (number, at);
            self.statement(statement);
        }
        self.flush(None);
        self.offsets.truncate(offsets);
        self.here = outside;
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Let(value, op) => self.define(*value, op),
            Statement::Set(variable, value) => {
                if self.uses.home(*value) != Some(*variable) || !matches!(self.place(*value), Place::Register(_)) {
                    self.assign(self.variables[variable.0], *value);
                }
            }
            Statement::Store(address, value) => {
                let from = self.value(*value);
                self.flush(Some(address.buffer));
                let ty = self.ty(*value);
                let format = self.format(address);
                let to = self.memory(address, Access::Bytes(self.elements(ty) * format.bytes()));
                M::store(self, ty, to, from, format);
            }
            Statement::For { index, extent, body } => {
                self.flush(None);
                self.repeat(*index, *extent, body);
            }
            Statement::While { test, condition, body } => {
                self.flush(None);
                self.repeat_while(test, *condition, body);
            }
            Statement::If { condition, then, otherwise } => {
                self.flush(None);
                self.choose(*condition, then, otherwise);
            }
            Statement::Prefetch(address) => {
                let memory = self.memory(address, Access::Prefetch);
                M::prefetch(self, memory);
            }
        }
    }

    /// Puts a copy of a value in a register.
    pub fn assign(&mut self, to: Register, value: ValueId) {
        match self.place(value) {
            Place::Register(from) => self.copy(to, from),
            Place::Constant(bits) => {
                let place = self.literal(bits);
                let recipe = self.machine.constant(to, bits, place);
                self.push(recipe);
            }
            Place::Memory { .. } | Place::Element(_) => {
                let from = self.value(value);
                self.copy(to, from);
            }
        }
    }

    fn repeat(&mut self, index: ValueId, extent: usize, body: &[Statement]) {
        let last = Index::Sum(self.pointers.expand(&[], extent as i64 - 1));
        if extent == 1 {
            self.pointers.define(index, last);
            return self.body(body);
        }
        self.moves(&[], None);
        self.pointers.enter(index);
        let start = self.label();
        let counter = self.register(Class::General);
        let counted = self.uses.is_counted(index);
        M::set(self, counter, if counted { 0 } else { extent as i64 });
        if counted {
            self.counters.insert(index, counter);
        }
        self.depth += 1;
        M::label(self, start);
        self.body(body);
        self.moves(&[], Some(index));
        if counted {
            M::count_up(self, counter, extent as i64, start);
        } else {
            M::count_down(self, counter, start);
        }
        self.depth -= 1;
        self.pointers.rewind(index, extent as i64);
        self.pointers.define(index, last);
    }

    fn repeat_while(&mut self, test: &[Statement], condition: ValueId, body: &[Statement]) {
        self.moves(&[], None);
        let (start, done) = (self.label(), self.label());
        self.depth += 1;
        M::label(self, start);
        self.body(test);
        let scalar = self.value(condition);
        M::jump_if_zero(self, scalar, done);
        let tested = self.pointers.pending();
        self.body(body);
        self.moves(&[], None);
        M::jump(self, start);
        self.depth -= 1;
        M::label(self, done);
        for (pointer, pending) in self.pointers.pointers.iter_mut().zip(tested) {
            pointer.pending = pending;
        }
    }

    fn choose(&mut self, condition: ValueId, then: &[Statement], otherwise: &[Statement]) {
        let before = self.pointers.pending();
        let (other, done) = (self.label(), self.label());
        let scalar = self.value(condition);
        M::jump_if_zero(self, scalar, other);
        self.body(then);
        self.moves(&before, None);
        if !otherwise.is_empty() {
            M::jump(self, done);
        }
        M::label(self, other);
        self.body(otherwise);
        self.moves(&before, None);
        if !otherwise.is_empty() {
            M::label(self, done);
        }
    }

    /// The register a value is to be made in.
    fn target(&mut self, value: ValueId) -> Register {
        let register = match self.uses.home(value) {
            Some(variable) => self.variables[variable.0],
            None => self.register(Class::Vector),
        };
        self.places[value.0] = Some(Place::Register(register));
        register
    }

    fn define(&mut self, value: ValueId, op: &Op) {
        let ty = self.ty(value);
        self.mark_truth(value, op);
        match op {
            Op::Constant(bits) => self.places[value.0] = Some(Place::Constant(*bits)),
            Op::Load(address) => self.wait(value, address, self.elements(ty), false),
            Op::Broadcast(address) => self.wait(value, address, 1, true),
            Op::Splat(scalar) => {
                if let Place::Constant(bits) = self.place(*scalar)
                    && self.uses.home(value).is_none()
                {
                    self.places[value.0] = Some(Place::Constant(bits));
                    return;
                }
                let from = self.value(*scalar);
                let to = self.target(value);
                M::splat(self, to, from);
            }
            Op::Apply(instruction, operands) => {
                let masked = self.machine.masks() && compares(*instruction) && self.uses.is_only_mask(value);
                let to = if masked { self.register(Class::Mask) } else { self.target(value) };
                self.places[value.0] = Some(Place::Register(to));
                M::apply(self, ty, to, *instruction, operands);
            }
            Op::Get(variable) => {
                let from = self.variables[variable.0];
                let to = self.target(value);
                self.copy(to, from);
            }
            Op::Rotate(vector, distance) => {
                let from = self.value(*vector);
                let to = self.target(value);
                match distance * ty.lane_words() % self.kernel.lanes {
                    0 => self.copy(to, from),
                    distance => M::rotate(self, to, from, distance),
                }
            }
            Op::First(vector) => {
                let from = self.value(*vector);
                let to = self.target(value);
                self.copy(to, from);
            }
            Op::Widen(vector, half) => {
                let to = self.target(value);
                M::widen(self, ty, to, *vector, *half);
            }
            Op::MultiplyAdd([a, b, c]) => {
                let ([a, b], to) = ([*a, *b].map(|factor| self.value(factor)), self.target(value));
                let place = if [a, b].contains(&to) { self.register(Class::Vector) } else { to };
                self.assign(place, *c);
                M::multiply_add(self, ty, place, a, b);
                self.copy(to, place);
            }
            Op::AddDoubles(operands) => {
                let ([a, b], to) = (operands.map(|operand| self.value(operand)), self.target(value));
                M::add_doubles(self, ty, to, a, b);
            }
            Op::Narrow(halves) => {
                let halves: Vec<Register> = halves.iter().map(|half| self.value(*half)).collect();
                let to = self.target(value);
                M::narrow(self, to, &halves);
            }
            Op::IndexConstant(_) | Op::IndexSum(..) | Op::IndexFrom(_) => self.define_index(value, op),
            Op::ScalarFrom(index) => {
                let from = self.index(*index);
                let to = self.target(value);
                M::scalar_from(self, to, from);
            }
            Op::IndexWithin(index, extent) => {
                let from = self.index(*index);
                let to = self.target(value);
                M::within(self, to, from, *extent);
            }
        }
    }

    fn define_index(&mut self, value: ValueId, op: &Op) {
        let index = match op {
            Op::IndexConstant(constant) => Index::Sum(self.pointers.expand(&[], *constant)),
            Op::IndexSum(terms, constant) => Index::Sum(self.pointers.expand(terms, *constant)),
            Op::IndexFrom(scalar) => {
                let from = self.value(*scalar);
                let to = self.register(Class::General);
                M::index_from(self, to, from);
                Index::Dynamic(to)
            }
            _words => unreachable!("only operations on indices come here"),
        };
        self.pointers.define(value, index);
    }

    /// Puts a load off to the first use of its value.
    fn wait(&mut self, value: ValueId, address: &Address, elements: usize, broadcast: bool) {
        let format = self.format(address);
        let memory = self.memory(address, Access::Bytes(elements * format.bytes()));
        if self.uses.home(value).is_some() {
            let to = self.target(value);
            return self.read(self.ty(value), to, memory, format, broadcast);
        }
        if self.uses.of(value).count == 0 {
            return;
        }
        self.places[value.0] = Some(Place::Memory { memory, buffer: address.buffer, format, broadcast });
        self.waiting.push(value);
    }
}

/// Whether an instruction gives a truth value in every lane.
pub fn compares(instruction: Arithmetic) -> bool {
    instruction.is_mask() || matches!(instruction, Arithmetic::IntegerLess | Arithmetic::IntegerEqual)
}
