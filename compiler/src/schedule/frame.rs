//! A kernel being built for a nest: loops stand for the nest's axes, and accesses become addresses.
//!
//! Owns the translation of positions into the kernel language, including tables and what lies outside. Must not know
//! which loops are good ones.

use super::place::{BLOCK, Guard, Position};
use crate::expression::{Expression, Node};
use crate::instruction::Instruction;
use crate::kernel::{Address, BufferId, Builder, Kernel, Op, Statement, Type, ValueId};

/// What stands for an axis at the present point: `constant + sum of loop counter * multiplier`.
#[derive(Clone, Debug, Default)]
pub struct Coordinate {
    /// Loop counters, what one step of each means, and how often it runs.
    pub loops: Vec<(ValueId, usize, usize)>,
    /// The constant part.
    pub constant: usize,
}

impl Coordinate {
    /// A fixed iteration.
    pub fn fixed(constant: usize) -> Self {
        Self { loops: Vec::new(), constant }
    }

    /// `counter * step`, for `count` values of the counter.
    pub fn counted(counter: ValueId, step: usize, count: usize) -> Self {
        Self { loops: vec![(counter, step, count)], constant: 0 }
    }

    /// This, further by a constant.
    pub fn moved(mut self, by: usize) -> Self {
        self.constant += by;
        self
    }

    /// This, further by `counter * step`.
    pub fn plus(mut self, counter: ValueId, step: usize, count: usize) -> Self {
        self.loops.push((counter, step, count));
        self
    }

    /// The last iteration the axis takes here.
    fn furthest(&self) -> usize {
        self.constant + self.loops.iter().map(|(_, step, count)| step * (count - 1)).sum::<usize>()
    }

    /// Every iteration the axis takes here.
    fn iterations(&self) -> Vec<usize> {
        let mut all = vec![self.constant];
        for (_, step, count) in &self.loops {
            all = all.iter().flat_map(|base| (0..*count).map(move |i| base + i * step)).collect();
        }
        all
    }
}

/// An operand of a nest: a buffer and a position in it.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The buffer.
    pub buffer: BufferId,
    /// Where in it.
    pub position: Position,
    /// What is found outside.
    pub outside: u32,
}

/// Where an index falls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// In the tensor, always.
    Inside,
    /// Beyond it, always.
    Outside,
    /// Now here, now there.
    Both,
}

/// A kernel being built, with the present meaning of the nest's axes.
pub struct Frame {
    /// The kernel.
    pub builder: Builder,
    /// What stands for each axis of the nest.
    pub coordinates: Vec<Coordinate>,
    /// Positions of iterations along an axis that no stride describes.
    tables: Option<(BufferId, Vec<u32>)>,
}

impl Frame {
    /// A frame around an empty kernel.
    pub fn new(builder: Builder, axes: usize) -> Self {
        Self { builder, coordinates: vec![Coordinate::default(); axes], tables: None }
    }

    /// The finished kernel, and the buffer of tables it reads, if any, with their words.
    pub fn finish(mut self) -> (Kernel, Option<(BufferId, Vec<u32>)>) {
        if let Some((buffer, words)) = &self.tables {
            self.builder.resize(*buffer, words.len());
        }
        (self.builder.finish(), self.tables)
    }

    /// Runs `body` in a loop over `count` values of a counter.
    pub fn repeat(&mut self, count: usize, body: impl FnOnce(&mut Self, ValueId)) {
        let index = self.builder.counter();
        self.builder.begin();
        body(self, index);
        let body = self.builder.end();
        self.builder.push(Statement::For { index, extent: count, body });
    }

    /// The address of an operand at the present point.
    pub fn address(&mut self, operand: &Operand) -> Address {
        let (terms, offset) = self.sum(operand.position.offset, &operand.position.axes);
        Address { buffer: operand.buffer, terms, offset }
    }

    /// An offset and contributions of axes as indices with strides.
    fn sum(&mut self, offset: i64, axes: &[Vec<i64>]) -> (Vec<(ValueId, i64)>, i64) {
        let mut terms: Vec<(ValueId, i64)> = Vec::new();
        let mut offset = offset;
        for (axis, table) in axes.iter().enumerate() {
            if table.is_empty() {
                continue;
            }
            let coordinate = self.coordinates[axis].clone();
            match strides(&coordinate, table) {
                Some(strides) => {
                    offset += entry(table, coordinate.constant);
                    terms.extend(coordinate.loops.iter().zip(strides).map(|((value, ..), stride)| (*value, stride)));
                }
                None => terms.push((self.looked_up(&coordinate, table), 1)),
            }
        }
        terms.retain(|(_, stride)| *stride != 0);
        (terms, offset)
    }

    fn looked_up(&mut self, coordinate: &Coordinate, table: &[i64]) -> ValueId {
        let (buffer, words) = self.tables.get_or_insert_with(|| (self.builder.input("tables", 0), Vec::new()));
        // Lanes behind the last iteration are looked up as well.
        let position = |i| i32::try_from(entry(table, i)).expect("positions fit 31 bits").cast_unsigned();
        let entries: Vec<u32> = (0..table.len().max(coordinate.furthest() + 1)).map(position).collect();
        let at = words.windows(entries.len()).position(|window| window == entries).unwrap_or_else(|| {
            words.extend(&entries);
            words.len() - entries.len()
        });
        let buffer = *buffer;
        let terms = coordinate.loops.iter().map(|(value, step, _)| (*value, *step as i64)).collect();
        let address = Address { buffer, terms, offset: (at + coordinate.constant) as i64 };
        let word = self.builder.load(Type::Scalar, address);
        self.builder.define(Type::Index, Op::IndexFrom(word))
    }

    /// The operand's value: a vector along `vector`, or in every lane where it doesn't move; or a scalar.
    pub fn read(&mut self, ty: Type, operand: &Operand, vector: Option<usize>) -> ValueId {
        let guards: Vec<Guard> =
            operand.position.guards.iter().filter(|guard| self.reach(guard) != Reach::Inside).cloned().collect();
        if guards.is_empty() {
            let address = self.address(operand);
            return self.read_at(ty, operand, vector, address);
        }
        let outside = self.builder.constant(ty, operand.outside);
        if guards.iter().any(|guard| self.reach(guard) == Reach::Outside) {
            return outside;
        }
        let variable = self.builder.variable(ty);
        self.builder.set(variable, outside);
        // The address is made of the tested indices, so that the test bounds it.
        let mut rest = operand.position.clone();
        let (mut tested, mut within) = (Vec::new(), None);
        for guard in &guards {
            rest = rest.without(guard);
            let (terms, offset) = self.sum(guard.offset, &guard.axes);
            let index = self.builder.define(Type::Index, Op::IndexSum(terms, offset));
            let test = self.builder.define(Type::Scalar, Op::IndexWithin(index, guard.extent as i64));
            tested.push((index, guard.stride));
            within = Some(match within {
                None => test,
                Some(before) => self.builder.apply(Instruction::And, &[before, test]),
            });
        }
        let condition = within.expect("there is a guard");
        self.builder.begin();
        let mut address = self.address(&Operand { position: rest, ..operand.clone() });
        address.terms.extend(tested);
        let value = self.read_at(ty, operand, vector, address);
        self.builder.set(variable, value);
        let then = self.builder.end();
        self.builder.push(Statement::If { condition, then, otherwise: Vec::new() });
        self.builder.get(variable)
    }

    fn read_at(&mut self, ty: Type, operand: &Operand, vector: Option<usize>, address: Address) -> ValueId {
        match (ty, vector) {
            (Type::Vector, Some(axis)) if operand.position.depends_on(axis) => self.builder.load(Type::Vector, address),
            (Type::Vector, _) => self.builder.broadcast(address),
            (Type::Scalar, _) => self.builder.load(Type::Scalar, address),
            (Type::Doubles | Type::Double | Type::Index, _) => unreachable!("operands are words"),
        }
    }

    /// Lane `lane` of a vector as a scalar, or of doubles as a double.
    pub fn first_of(&mut self, vector: ValueId, lane: usize) -> ValueId {
        let ty = self.builder.ty(vector);
        let turned = if lane == 0 { vector } else { self.builder.define(ty, Op::Rotate(vector, lane)) };
        let first = if ty == Type::Doubles { Type::Double } else { Type::Scalar };
        self.builder.define(first, Op::First(turned))
    }

    /// Where an index falls in the iterations at the present point.
    fn reach(&self, guard: &Guard) -> Reach {
        let (mut low, mut high) = (guard.offset, guard.offset);
        for (steps, coordinate) in guard.axes.iter().zip(&self.coordinates).filter(|(steps, _)| !steps.is_empty()) {
            let (least, most) = if even_stride(steps, coordinate).is_some() {
                let ends = [entry(steps, coordinate.constant), entry(steps, coordinate.furthest())];
                (ends[0].min(ends[1]), ends[0].max(ends[1]))
            } else {
                let values = coordinate.iterations().into_iter().map(|i| entry(steps, i));
                (values.clone().min().unwrap_or(0), values.max().unwrap_or(0))
            };
            low += least;
            high += most;
        }
        let extent = guard.extent as i64;
        match (low, high) {
            (low, high) if low >= 0 && high < extent => Reach::Inside,
            (low, high) if high < 0 || low >= extent => Reach::Outside,
            _ => Reach::Both,
        }
    }

    /// The values of an expression's results; its operands are read as they are needed, `last` being those after them.
    pub fn expression(
        &mut self,
        ty: Type,
        expression: &Expression,
        operands: &[Operand],
        last: &[ValueId],
        vector: Option<usize>,
    ) -> Vec<ValueId> {
        let mut values: Vec<ValueId> = Vec::with_capacity(operands.len() + last.len());
        let unread = self.builder.task();
        for (number, operand) in operands.iter().enumerate() {
            let wanted = expression.nodes.contains(&Node::Read(number));
            values.push(if wanted { self.read(ty, operand, vector) } else { unread });
        }
        values.extend(last);
        self.builder.expression(ty, expression, &values)
    }
}

/// The distance between all neighbours in a table, if there is one and the coordinate stays within the table. Nearly all
/// tables are like that, however long; nothing has to be tried out on them.
fn even_stride(table: &[i64], coordinate: &Coordinate) -> Option<i64> {
    let stride = table.get(1)? - table[0];
    (coordinate.furthest() < table.len() && table.windows(2).all(|pair| pair[1] - pair[0] == stride)).then_some(stride)
}

/// The stride of each loop of the coordinate, if the table is a sum of strides over them.
fn strides(coordinate: &Coordinate, table: &[i64]) -> Option<Vec<i64>> {
    if let Some(stride) = even_stride(table, coordinate) {
        let strides =
            coordinate.loops.iter().map(|(_, step, count)| if *count > 1 { stride * *step as i64 } else { 0 });
        return Some(strides.collect());
    }
    let start = entry(table, coordinate.constant);
    let strides: Vec<i64> = coordinate
        .loops
        .iter()
        .map(|(_, step, count)| if *count > 1 { entry(table, coordinate.constant + step) - start } else { 0 })
        .collect();
    let mut points = vec![(coordinate.constant, start)];
    for ((_, step, count), stride) in coordinate.loops.iter().zip(&strides) {
        points = points
            .iter()
            .flat_map(|(at, words)| (0..*count).map(move |i| (at + i * step, words + i as i64 * stride)))
            .collect();
    }
    points.iter().all(|(at, words)| entry(table, *at) == *words).then_some(strides)
}

/// A table's entry. Behind the last iteration lie the unused lanes of the last block, side by side like the others.
fn entry(table: &[i64], i: usize) -> i64 {
    let last_block = (table.len() - 1) / BLOCK * BLOCK;
    table.get(i).copied().unwrap_or_else(|| table[last_block] + (i - last_block) as i64)
}
