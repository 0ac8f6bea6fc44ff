//! Integers and positions in the kernel language.

use crate::instruction::Instruction;
use crate::kernel::{Address, BufferId, Builder, Op, Type, ValueId, VariableId};

/// A run of equally long records in a buffer.
#[derive(Clone, Copy)]
pub(super) struct Array {
    pub buffer: BufferId,
    /// Words before the first record.
    pub first: usize,
    /// Number of records.
    pub records: usize,
    /// Words in a record.
    pub words: usize,
}

impl Array {
    /// A buffer that holds nothing else, a word in each record.
    pub(super) fn of(buffer: BufferId, records: usize) -> Self {
        Self { buffer, first: 0, records, words: 1 }
    }
}

pub(super) fn integer(b: &mut Builder, value: usize) -> ValueId {
    b.constant(Type::Scalar, value as u32)
}

pub(super) fn add(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    b.apply(Instruction::IntegerAdd, &[x, y])
}

pub(super) fn less(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    b.apply(Instruction::IntegerLess, &[x, y])
}

/// Both of two masks.
pub(super) fn both(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    b.apply(Instruction::And, &[x, y])
}

/// The mask flipped.
pub(super) fn not(b: &mut Builder, mask: ValueId) -> ValueId {
    let zero = integer(b, 0);
    b.apply(Instruction::IntegerEqual, &[mask, zero])
}

/// The smaller integer.
pub(super) fn smaller(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    let mask = less(b, x, y);
    b.apply(Instruction::Select, &[mask, x, y])
}

/// The integer, or the nearest one from 0 to `most`.
pub(super) fn confined(b: &mut Builder, value: ValueId, most: ValueId) -> ValueId {
    let zero = integer(b, 0);
    let negative = less(b, value, zero);
    let positive = b.apply(Instruction::Select, &[negative, zero, value]);
    smaller(b, positive, most)
}

/// A word of a record; the record's number is confined to the array.
pub(super) fn address(b: &mut Builder, array: Array, record: ValueId, word: usize) -> Address {
    let last = integer(b, array.records - 1);
    let record = confined(b, record, last);
    let index = b.define(Type::Index, Op::IndexFrom(record));
    Address::new(array.buffer, (array.first + word) as i64).plus(index, array.words as i64)
}

pub(super) fn load(b: &mut Builder, array: Array, record: ValueId, word: usize) -> ValueId {
    let address = address(b, array, record, word);
    b.load(Type::Scalar, address)
}

pub(super) fn store(b: &mut Builder, array: Array, record: ValueId, word: usize, value: ValueId) {
    let address = address(b, array, record, word);
    b.store(address, value);
}

/// A new variable with a value.
pub(super) fn variable(b: &mut Builder, value: ValueId) -> VariableId {
    let variable = b.variable(Type::Scalar);
    b.set(variable, value);
    variable
}

/// Adds one to a variable.
pub(super) fn count_up(b: &mut Builder, variable: VariableId) {
    let (value, one) = (b.get(variable), integer(b, 1));
    let next = add(b, value, one);
    b.set(variable, next);
}

/// Runs the body for each integer from `from` up to `end`.
pub(super) fn for_each(b: &mut Builder, from: ValueId, end: ValueId, body: impl FnOnce(&mut Builder, ValueId)) {
    let counter = variable(b, from);
    while_less(b, counter, end, |b, value| {
        body(b, value);
        count_up(b, counter);
    });
}

/// Runs the body, which is given the variable's value, as long as that is less than `end`.
pub(super) fn while_less(
    b: &mut Builder,
    variable: VariableId,
    end: ValueId,
    body: impl FnOnce(&mut Builder, ValueId),
) {
    b.repeat_while(
        |b| {
            let value = b.get(variable);
            less(b, value, end)
        },
        |b| {
            let value = b.get(variable);
            body(b, value);
        },
    );
}
