//! Checks that a kernel keeps the language's rules and that no access leaves its buffer.
//!
//! An index is bounded by the loops it comes from, by the tests around it, and, where it is looked up in a table that is
//! known, by the entries. A position that comes from data is bounded only by a test, and kernels that use one without clamp
//! it themselves: only accesses without such a position are checked.

use super::{Address, BufferId, Kernel, Op, Statement, Type, ValueId};
use crate::instruction::Instruction;
use std::collections::{BTreeSet, HashMap, HashSet};

impl Kernel {
    /// Panics with a description when a rule is broken.
    pub fn verify(&self) {
        self.verify_with(&[]);
    }

    /// The same where it is known what some buffers hold: tables of positions.
    pub fn verify_with(&self, tables: &[(BufferId, &[u32])]) {
        let known = vec![None; self.values.len()];
        let (facts, entries, widened) = (HashMap::new(), HashMap::new(), HashSet::new());
        let mut checker = Checker { kernel: self, tables, known, facts, entries, widened };
        checker.known[self.task.0] = Some(Known::Range(0, self.tasks as i64 - 1));
        checker.body(&self.body);
    }
}

/// What is known of a value that has been defined.
#[derive(Clone, Copy)]
enum Known {
    /// An index within these bounds.
    Range(i64, i64),
    /// An index that depends on the data.
    Data,
    /// A vector or scalar.
    Words,
}

impl Known {
    /// What is known of an index that is also within `0..extent`.
    fn within(self, extent: i64) -> Self {
        match self {
            Self::Range(low, high) => Self::Range(low.max(0), high.min(extent - 1)),
            Self::Data => Self::Range(0, extent - 1),
            Self::Words => Self::Words,
        }
    }
}

struct Checker<'k> {
    kernel: &'k Kernel,
    tables: &'k [(BufferId, &'k [u32])],
    known: Vec<Option<Known>>,
    /// For scalars that say so: the indices that are within `0..extent` when they are true.
    facts: HashMap<ValueId, Vec<(ValueId, i64)>>,
    /// For scalars from tables: the least and the greatest that they can be.
    entries: HashMap<ValueId, (i64, i64)>,
    /// Doubles that are floats.
    widened: HashSet<ValueId>,
}

impl Checker<'_> {
    fn fail(&self, what: &str) -> ! {
        panic!("{what} in\n{}", self.kernel)
    }

    fn known(&self, value: ValueId) -> Known {
        self.known[value.0].unwrap_or_else(|| self.fail(&format!("value {} is used before it is defined", value.0)))
    }

    fn expect(&self, value: ValueId, ty: Type) {
        self.known(value);
        if self.kernel.values[value.0] != ty {
            self.fail(&format!("value {} is not a {ty:?}", value.0));
        }
    }

    fn range(&self, terms: &[(ValueId, i64)], offset: i64) -> Option<(i64, i64)> {
        let (mut low, mut high, mut bounded) = (offset, offset, true);
        for (value, stride) in terms {
            match self.known(*value) {
                Known::Range(from, to) => {
                    low += (from * stride).min(to * stride);
                    high += (from * stride).max(to * stride);
                }
                Known::Data => bounded = false,
                Known::Words => self.fail("a position made of words"),
            }
        }
        bounded.then_some((low, high))
    }

    fn access(&self, address: &Address, elements: usize) {
        let buffer = &self.kernel.buffers[address.buffer.0];
        if let Some((low, high)) = self.range(&address.terms, address.offset)
            && (low < 0 || high + elements as i64 > buffer.elements as i64)
        {
            let (name, all) = (&buffer.name, buffer.elements);
            self.fail(&format!("an access to {low}..={high} + {elements} of {name} ({all} elements)"));
        }
    }

    /// The least and the greatest entry that a load from a table can give; its accesses have been checked.
    fn entries(&self, address: &Address) -> Option<(i64, i64)> {
        let (_, words) = self.tables.iter().find(|(buffer, _)| *buffer == address.buffer)?;
        let mut places = BTreeSet::from([address.offset]);
        for (value, stride) in &address.terms {
            let Known::Range(from, to) = self.known(*value) else { return None };
            places = places.iter().flat_map(|at| (from..=to).map(move |i| at + i * stride)).collect();
        }
        let entry = |at: &i64| i64::from(words[*at as usize].cast_signed());
        places
            .iter()
            .map(|at| (entry(at), entry(at)))
            .reduce(|(low, high), (other, _)| (low.min(other), high.max(other)))
    }

    fn body(&mut self, body: &[Statement]) {
        for statement in body {
            match statement {
                Statement::Let(value, op) => {
                    let known = self.op(*value, op);
                    self.known[value.0] = Some(known);
                    self.learn(*value, op);
                }
                Statement::Set(variable, value) => self.expect(*value, self.kernel.variables[variable.0]),
                Statement::Store(address, value) => {
                    self.known(*value);
                    self.access(address, self.words(*value));
                    if !self.kernel.buffers[address.buffer.0].writable {
                        self.fail("a store to a buffer that is only read");
                    }
                }
                Statement::For { index, extent, body } => {
                    self.known[index.0] = Some(Known::Range(0, *extent as i64 - 1));
                    self.body(body);
                }
                Statement::While { test, condition, body } => {
                    self.body(test);
                    self.expect(*condition, Type::Scalar);
                    self.body(body);
                }
                Statement::If { condition, then, otherwise } => {
                    self.expect(*condition, Type::Scalar);
                    let before = self.known.clone();
                    for (index, extent) in self.facts.get(condition).cloned().unwrap_or_default() {
                        self.known[index.0] = Some(self.known(index).within(extent));
                    }
                    self.body(then);
                    self.known = before;
                    self.body(otherwise);
                }
                Statement::Prefetch(address) => {
                    self.range(&address.terms, address.offset);
                }
            }
        }
    }

    /// Remembers what follows for indices when a scalar is true.
    fn learn(&mut self, value: ValueId, op: &Op) {
        match op {
            Op::IndexWithin(index, extent) => {
                self.facts.insert(value, vec![(*index, *extent)]);
            }
            Op::Apply(Instruction::And, operands) => {
                let facts = operands.iter().filter_map(|operand| self.facts.get(operand)).flatten().copied().collect();
                self.facts.insert(value, facts);
            }
            _ => {}
        }
    }

    fn is_one_of(&self, ty: Type, types: &[Type]) {
        if !types.contains(&ty) {
            self.fail(&format!("an operation that doesn't give a {ty:?}"));
        }
    }

    fn words(&self, value: ValueId) -> usize {
        match self.kernel.values[value.0] {
            Type::Vector => self.kernel.lanes,
            Type::Scalar => 1,
            Type::Doubles | Type::Double | Type::Index => self.fail("no words where words belong"),
        }
    }

    fn op(&mut self, value: ValueId, op: &Op) -> Known {
        let ty = self.kernel.values[value.0];
        match op {
            Op::Constant(_) => self.is_one_of(ty, &[Type::Vector, Type::Scalar]),
            Op::Load(address) => {
                self.access(address, self.words(value));
                if let (Type::Scalar, Some(entries)) = (ty, self.entries(address)) {
                    self.entries.insert(value, entries);
                }
            }
            Op::Broadcast(address) => self.access(address, 1),
            Op::Splat(scalar) => self.expect(*scalar, Type::Scalar),
            Op::Apply(instruction, operands) => {
                self.is_one_of(ty, &[Type::Vector, Type::Scalar]);
                if operands.len() != instruction.arity() {
                    self.fail(&format!("{} of {} operands", instruction.text(), operands.len()));
                }
                operands.iter().for_each(|operand| self.expect(*operand, ty));
            }
            Op::Get(variable) => {
                if self.kernel.variables[variable.0] != ty {
                    self.fail("a variable of another type");
                }
            }
            Op::Rotate(vector, _) => {
                self.expect(*vector, ty);
                self.is_one_of(ty, &[Type::Vector, Type::Doubles]);
            }
            Op::First(vector) => {
                self.is_one_of(ty, &[Type::Scalar, Type::Double]);
                self.expect(*vector, if ty == Type::Scalar { Type::Vector } else { Type::Doubles });
            }
            Op::Widen(words, half) => {
                self.is_one_of(ty, &[Type::Doubles, Type::Double]);
                let from = if ty == Type::Doubles { Type::Vector } else { Type::Scalar };
                self.expect(*words, from);
                if *half >= from.sums().1 {
                    self.fail("a half that isn't there");
                }
                self.widened.insert(value);
            }
            Op::MultiplyAdd(operands) => {
                self.is_one_of(ty, &[Type::Doubles, Type::Double]);
                operands.iter().for_each(|operand| self.expect(*operand, ty));
                if operands[..2].iter().any(|factor| !self.widened.contains(factor)) {
                    self.fail("a product that may not be exact");
                }
            }
            Op::AddDoubles(operands) => {
                self.is_one_of(ty, &[Type::Doubles, Type::Double]);
                operands.iter().for_each(|operand| self.expect(*operand, ty));
            }
            Op::Narrow(halves) => {
                self.is_one_of(ty, &[Type::Vector, Type::Scalar]);
                let (of, count) = ty.sums();
                halves.iter().for_each(|half| self.expect(*half, of));
                if halves.len() != count {
                    self.fail("halves that don't make a whole");
                }
            }
            Op::ScalarFrom(index) | Op::IndexWithin(index, _) => self.expect(*index, Type::Index),
            Op::IndexConstant(constant) => return Known::Range(*constant, *constant),
            Op::IndexSum(terms, offset) => {
                return self.range(terms, *offset).map_or(Known::Data, |(low, high)| Known::Range(low, high));
            }
            Op::IndexFrom(scalar) => {
                self.expect(*scalar, Type::Scalar);
                return self.entries.get(scalar).map_or(Known::Data, |(low, high)| Known::Range(*low, *high));
            }
        }
        Known::Words
    }
}
