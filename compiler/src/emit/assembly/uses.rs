//! Where values and variables are used: which values die where, and which may live in a variable's register.
//!
//! A *body* is a list of statements; bodies are numbered in the order in which a walk enters them. Must not know machines.

use crate::instruction::Instruction;
use crate::kernel::{Address, Kernel, Op, Statement, ValueId, VariableId};
use std::collections::{HashMap, HashSet};

/// How one value is used.
#[derive(Clone, Debug)]
pub struct Use {
    /// How often it is an operand.
    pub count: usize,
    /// The body that defines it.
    body: usize,
    /// Whether a body other than that one uses it.
    elsewhere: bool,
    /// The last statement of its body that uses it.
    last: usize,
    /// Whether every use is as the mask of a selection.
    only_selects: bool,
}

/// What is known of all values of a kernel.
pub struct Uses {
    values: Vec<Use>,
    /// Values that share a variable's register.
    homes: HashMap<ValueId, VariableId>,
    /// Indices whose number itself is needed, not only addresses made with it.
    counted: HashSet<ValueId>,
    /// The indices each sum is made of.
    sums: HashMap<ValueId, Vec<ValueId>>,
    bodies: usize,
}

impl Uses {
    /// Looks at a kernel.
    pub fn new(kernel: &Kernel) -> Self {
        let unused = Use { count: 0, body: 0, elsewhere: false, last: 0, only_selects: true };
        let values = vec![unused; kernel.values.len()];
        let mut uses = Self { values, homes: HashMap::new(), counted: HashSet::new(), sums: HashMap::new(), bodies: 0 };
        uses.count(&kernel.body);
        uses.bodies = 0;
        uses.house(&kernel.body);
        uses
    }

    /// How a value is used.
    pub fn of(&self, value: ValueId) -> &Use {
        &self.values[value.0]
    }

    /// Whether nothing reads the value after this statement of this body.
    pub fn dies(&self, value: ValueId, body: usize, statement: usize) -> bool {
        let of = self.of(value);
        !self.homes.contains_key(&value) && of.body == body && !of.elsewhere && of.last == statement
    }

    /// Whether a value is only ever a mask of selections, in the body that defines it.
    pub fn is_only_mask(&self, value: ValueId) -> bool {
        let of = self.of(value);
        of.only_selects && of.count > 0 && !of.elsewhere && !self.homes.contains_key(&value)
    }

    /// Whether every use is in the body that defines the value.
    pub fn is_local(&self, value: ValueId) -> bool {
        !self.of(value).elsewhere
    }

    /// The variable whose register the value shares.
    pub fn home(&self, value: ValueId) -> Option<VariableId> {
        self.homes.get(&value).copied()
    }

    /// Whether the number of an index is needed in a register.
    pub fn is_counted(&self, index: ValueId) -> bool {
        self.counted.contains(&index)
    }

    fn count(&mut self, body: &[Statement]) {
        let number = self.bodies;
        self.bodies += 1;
        for (at, statement) in body.iter().enumerate() {
            if let Statement::Let(value, _) = statement {
                self.values[value.0].body = number;
            }
            for value in reads(statement) {
                self.read(value, number, at);
            }
            self.mark(statement);
            match statement {
                Statement::For { body, .. } => self.count(body),
                Statement::While { test, condition, body } => {
                    let inner = self.bodies;
                    self.count(test);
                    self.read(*condition, inner, test.len());
                    self.values[condition.0].only_selects = false;
                    self.count(body);
                }
                Statement::If { then, otherwise, .. } => {
                    self.count(then);
                    self.count(otherwise);
                }
                Statement::Let(..) | Statement::Set(..) | Statement::Store(..) | Statement::Prefetch(_) => {}
            }
        }
    }

    fn read(&mut self, value: ValueId, body: usize, statement: usize) {
        let of = &mut self.values[value.0];
        of.count += 1;
        of.elsewhere |= of.body != body;
        of.last = of.last.max(statement);
    }

    /// Notes how a statement uses masks and indices.
    fn mark(&mut self, statement: &Statement) {
        for (position, value) in reads(statement).into_iter().enumerate() {
            let selects = matches!(statement, Statement::Let(_, Op::Apply(Instruction::Select, _))) && position == 0;
            self.values[value.0].only_selects &= selects;
        }
        if let Statement::Let(value, op) = statement {
            match op {
                Op::ScalarFrom(index) | Op::IndexWithin(index, _) => self.count_index(*index),
                Op::IndexSum(terms, _) => {
                    self.sums.insert(*value, terms.iter().map(|(index, _)| *index).collect());
                }
                Op::Constant(_) | Op::Load(_) | Op::Broadcast(_) | Op::Splat(_) | Op::Apply(..) | Op::Get(_) => {}
                Op::Rotate(..) | Op::First(_) | Op::IndexConstant(_) | Op::IndexFrom(_) => {}
                Op::Widen(..) | Op::MultiplyAdd(_) | Op::AddDoubles(_) | Op::Narrow(_) => {}
            }
        }
    }

    /// Notes that an index is needed as a number, and with it the indices it is a sum of.
    fn count_index(&mut self, index: ValueId) {
        if self.counted.insert(index) {
            for term in self.sums.get(&index).cloned().unwrap_or_default() {
                self.count_index(term);
            }
        }
    }

    /// Finds the values of a body that can share a variable's register: what is assigned to it, when nothing reads the
    /// old contents later, and what is read from it, when nothing writes it as long as the value is needed.
    fn house(&mut self, body: &[Statement]) {
        let number = self.bodies;
        self.bodies += 1;
        let defined: HashMap<ValueId, usize> = body
            .iter()
            .enumerate()
            .filter_map(|(at, statement)| match statement {
                Statement::Let(value, _) => Some((*value, at)),
                _other => None,
            })
            .collect();
        // The statement of the next write and the latest statement that touches each variable, walking backwards.
        let mut next_write: HashMap<VariableId, usize> = HashMap::new();
        for (at, statement) in body.iter().enumerate().rev() {
            match statement {
                Statement::Set(variable, value) => {
                    let limit = next_write.get(variable).copied().unwrap_or(usize::MAX);
                    let start = defined.get(value).copied().filter(|start| {
                        let of = self.of(*value);
                        let owned = matches!(&body[*start], Statement::Let(_, op) if makes(op));
                        let kept = of.body == number && !of.elsewhere && of.last <= limit;
                        owned
                            && kept
                            && !self.homes.contains_key(value)
                            && !body[start + 1..at].iter().any(|between| touches(between, *variable))
                    });
                    if start.is_some() {
                        self.homes.insert(*value, *variable);
                    }
                    next_write.insert(*variable, start.unwrap_or(at));
                }
                Statement::Let(value, Op::Get(variable)) => {
                    let of = self.of(*value);
                    let limit = next_write.get(variable).copied().unwrap_or(usize::MAX);
                    if of.body == number && !of.elsewhere && of.last <= limit {
                        self.homes.insert(*value, *variable);
                    }
                }
                Statement::For { .. } | Statement::While { .. } | Statement::If { .. } => {
                    for variable in writes(statement) {
                        next_write.insert(variable, at);
                    }
                }
                Statement::Let(..) | Statement::Store(..) | Statement::Prefetch(_) => {}
            }
        }
        for statement in body {
            for inner in bodies(statement) {
                self.house(inner);
            }
        }
    }
}

/// Whether an operation computes something new, which can be put in any register.
fn makes(op: &Op) -> bool {
    match op {
        Op::Load(_) | Op::Broadcast(_) | Op::Splat(_) | Op::Apply(..) | Op::Rotate(..) | Op::First(_) => true,
        Op::Widen(..) | Op::MultiplyAdd(_) | Op::AddDoubles(_) | Op::Narrow(_) => true,
        Op::ScalarFrom(_) | Op::IndexWithin(..) => true,
        // A constant is better made where it is assigned.
        Op::Constant(_) | Op::Get(_) => false,
        Op::IndexConstant(_) | Op::IndexSum(..) | Op::IndexFrom(_) => false,
    }
}

/// The bodies inside a statement, in the order in which they are entered.
pub fn bodies(statement: &Statement) -> Vec<&[Statement]> {
    match statement {
        Statement::For { body, .. } => vec![body],
        Statement::While { test, body, .. } => vec![test, body],
        Statement::If { then, otherwise, .. } => vec![then, otherwise],
        Statement::Let(..) | Statement::Set(..) | Statement::Store(..) | Statement::Prefetch(_) => vec![],
    }
}

/// The variables assigned in a statement, nested ones included.
fn writes(statement: &Statement) -> Vec<VariableId> {
    match statement {
        Statement::Set(variable, _) => vec![*variable],
        nested => bodies(nested).into_iter().flatten().flat_map(writes).collect(),
    }
}

/// Whether a statement reads or assigns a variable.
fn touches(statement: &Statement, variable: VariableId) -> bool {
    match statement {
        Statement::Set(other, _) | Statement::Let(_, Op::Get(other)) => *other == variable,
        nested => bodies(nested).into_iter().flatten().any(|inner| touches(inner, variable)),
    }
}

fn reads_address(address: &Address) -> Vec<ValueId> {
    address.terms.iter().map(|(value, _)| *value).collect()
}

/// The values a statement reads itself, in order. What the statements nested in it read is not among them.
fn reads(statement: &Statement) -> Vec<ValueId> {
    match statement {
        Statement::Let(_, op) => match op {
            Op::Constant(_) | Op::Get(_) | Op::IndexConstant(_) => vec![],
            Op::Load(address) | Op::Broadcast(address) => reads_address(address),
            Op::Splat(value) | Op::Rotate(value, _) | Op::First(value) | Op::Widen(value, _) => vec![*value],
            Op::MultiplyAdd(operands) => operands.to_vec(),
            Op::AddDoubles(operands) => operands.to_vec(),
            Op::Narrow(halves) => halves.clone(),
            Op::IndexFrom(value) | Op::ScalarFrom(value) | Op::IndexWithin(value, _) => vec![*value],
            Op::Apply(_, operands) => operands.clone(),
            Op::IndexSum(terms, _) => terms.iter().map(|(value, _)| *value).collect(),
        },
        Statement::Set(_, value) => vec![*value],
        Statement::Store(address, value) => {
            let mut values = reads_address(address);
            values.push(*value);
            values
        }
        Statement::If { condition, .. } => vec![*condition],
        Statement::Prefetch(address) => reads_address(address),
        Statement::For { .. } | Statement::While { .. } => vec![],
    }
}
