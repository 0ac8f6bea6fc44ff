//! Reading an access for many iterations of one parallel loop at a time.
//!
//! What each loop adds to a position is tabulated once per nest, so that a read costs a few sums.

use super::arithmetic::Arithmetic;
use crate::graph::{Access, Element, Nest, Outside};

/// The values of one tensor.
#[derive(Clone, Copy)]
pub(super) enum Buffer<'a, A: Arithmetic> {
    /// Words of the model.
    Constant(&'a [u32], Element),
    /// Values given or computed.
    Values(&'a [A::Value]),
}

impl<A: Arithmetic> Buffer<'_, A> {
    /// The value at a row-major position.
    pub(super) fn get(&self, position: usize) -> A::Value {
        match self {
            Self::Constant(words, element) => A::read(words[position], *element),
            Self::Values(values) => values[position],
        }
    }
}

/// What a loop contributes, for each of its iterations.
type Contribution = (usize, Vec<i64>);

/// One index of an access that may leave the tensor.
struct Check {
    loops: Vec<Contribution>,
    /// What the batch contributes; empty where it contributes nothing.
    batch: Vec<i64>,
    /// Whether that never decreases, so that the elements inside are one range of the batch.
    ascending: bool,
    low: i64,
    high: i64,
    offset: i64,
    extent: i64,
}

/// Positions of an access, tabulated loop by loop; one loop is the batch.
pub(super) struct Positions {
    loops: Vec<Contribution>,
    batch: Vec<i64>,
    /// Whether the batch's positions follow one another.
    dense: bool,
    /// Whether all elements of a batch are one element.
    uniform: bool,
    offset: i64,
    checks: Vec<Check>,
}

/// Where the elements of one batch lie.
enum Inside {
    All(i64),
    None,
    Some(i64),
}

impl Positions {
    /// Tabulates `access` of `nest`; loop `batch` will be walked in batches.
    pub(super) fn new(nest: &Nest, access: &Access, batch: usize) -> Self {
        let extents: Vec<usize> = nest.axes().map(|axis| axis.extent).collect();
        let mut linear: Vec<Vec<i64>> = extents.iter().map(|extent| vec![0; *extent]).collect();
        let (mut offset, mut stride) = (0, 1);
        let mut checks = Vec::new();
        for (index, extent) in access.index.iter().zip(&access.shape).rev() {
            offset += stride * index.offset;
            for term in &index.terms {
                for (i, entry) in linear[term.axis.0].iter_mut().enumerate() {
                    *entry += stride * term.factor.at(i);
                }
            }
            let (low, high) = index.bounds(&extents);
            if low < 0 || high >= *extent as i64 {
                checks.push(Check::new(index, *extent, &extents, batch));
            }
            stride *= *extent as i64;
        }
        let batch_positions = std::mem::take(&mut linear[batch]);
        let moves = |(_, table): &Contribution| table.iter().any(|entry| *entry != 0);
        let dense = batch_positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let loops = linear.into_iter().enumerate().filter(|(axis, _)| *axis != batch).filter(moves).collect();
        let uniform =
            batch_positions.iter().all(|entry| *entry == 0) && checks.iter().all(|check| check.batch.is_empty());
        Self { loops, batch: batch_positions, dense, uniform, offset, checks }
    }

    /// Gives a constant's values in the order in which they will be read, batches side by side, and adjusts the positions
    /// to it; nothing for what is no constant, or is read but once a batch, or may be read outside.
    pub(super) fn pack<A: Arithmetic>(&mut self, buffer: Buffer<A>) -> Option<Vec<A::Value>> {
        match buffer {
            Buffer::Constant(..) if !self.uniform && self.checks.is_empty() => {}
            Buffer::Constant(..) | Buffer::Values(_) => return None,
        }
        let mut starts = vec![self.offset];
        for (_, table) in &self.loops {
            starts = starts.iter().flat_map(|start| table.iter().map(move |entry| start + entry)).collect();
        }
        let row = |start: i64| self.batch.iter().map(move |entry| buffer.get((start + entry) as usize));
        let values = starts.iter().flat_map(|start| row(*start)).collect();
        let mut stride = self.batch.len() as i64;
        for (_, table) in self.loops.iter_mut().rev() {
            let extent = table.len() as i64;
            *table = (0..extent).map(|i| i * stride).collect();
            stride *= extent;
        }
        self.batch = (0..self.batch.len() as i64).collect();
        (self.offset, self.dense) = (0, true);
        Some(values)
    }

    /// Whether all elements of a batch are one element.
    pub(super) fn uniform(&self) -> bool {
        self.uniform
    }

    fn start(&self, iteration: &[usize]) -> i64 {
        self.offset + self.loops.iter().map(|(axis, table)| table[iteration[*axis]]).sum::<i64>()
    }

    fn inside(&self, iteration: &[usize]) -> Inside {
        let mut all = true;
        for check in &self.checks {
            let at = check.start(iteration);
            if at + check.high < 0 || at + check.low >= check.extent {
                return Inside::None;
            }
            all &= at + check.low >= 0 && at + check.high < check.extent;
        }
        let start = self.start(iteration);
        if all { Inside::All(start) } else { Inside::Some(start) }
    }

    /// The positions of `count` iterations of the batch from `first`, none of which is outside.
    pub(super) fn positions(&self, iteration: &[usize], first: usize, count: usize) -> impl Iterator<Item = usize> {
        let start = self.start(iteration);
        self.batch[first..first + count].iter().map(move |entry| (start + entry) as usize)
    }

    /// Where the elements of `count` iterations of the batch from `first` lie, if they lie side by side and nothing has to
    /// be done to them.
    pub(super) fn slice<'a, A: Arithmetic>(
        &self,
        buffer: Buffer<'a, A>,
        iteration: &[usize],
        first: usize,
        count: usize,
    ) -> Option<&'a [A::Value]> {
        match (buffer, self.dense) {
            (Buffer::Values(values), true) => match self.inside(iteration) {
                Inside::All(start) => {
                    let start = (start + self.batch[first]) as usize;
                    Some(&values[start..start + count])
                }
                Inside::None | Inside::Some(_) => None,
            },
            (Buffer::Values(_), false) | (Buffer::Constant(..), _) => None,
        }
    }

    /// Reads `row.len()` iterations of the batch from `first`.
    pub(super) fn load<A: Arithmetic>(
        &self,
        buffer: Buffer<A>,
        outside: A::Value,
        iteration: &[usize],
        first: usize,
        row: &mut [A::Value],
    ) {
        match self.inside(iteration) {
            Inside::None => row.fill(outside),
            Inside::All(start) => self.load_inside(buffer, start, first, row),
            Inside::Some(start) if self.checks.iter().all(|check| check.ascending) => {
                let (mut begin, mut end) = (0, row.len());
                for check in self.checks.iter().filter(|check| !check.batch.is_empty()) {
                    let at = check.start(iteration);
                    let lanes = &check.batch[first..first + row.len()];
                    begin = begin.max(lanes.partition_point(|entry| at + entry < 0));
                    end = end.min(lanes.partition_point(|entry| at + entry < check.extent));
                }
                let end = end.max(begin);
                row[..begin].fill(outside);
                row[end..].fill(outside);
                if begin < end {
                    self.load_inside(buffer, start, first + begin, &mut row[begin..end]);
                }
            }
            Inside::Some(start) => {
                for (i, value) in row.iter_mut().enumerate() {
                    let lane = first + i;
                    let inside = self.checks.iter().all(|check| check.inside(iteration, lane));
                    *value = if inside { buffer.get((start + self.batch[lane]) as usize) } else { outside };
                }
            }
        }
    }

    /// Reads iterations of the batch from `first`, none of which is outside.
    fn load_inside<A: Arithmetic>(&self, buffer: Buffer<A>, start: i64, first: usize, row: &mut [A::Value]) {
        let lanes = &self.batch[first..first + row.len()];
        if !self.dense {
            for (value, entry) in row.iter_mut().zip(lanes) {
                *value = buffer.get((start + entry) as usize);
            }
            return;
        }
        let start = (start + lanes[0]) as usize;
        let range = start..start + row.len();
        match buffer {
            Buffer::Values(values) => row.copy_from_slice(&values[range]),
            Buffer::Constant(words, element) => {
                for (value, word) in row.iter_mut().zip(&words[range]) {
                    *value = A::read(*word, element);
                }
            }
        }
    }
}

impl Check {
    fn new(index: &crate::graph::Index, extent: usize, extents: &[usize], batch: usize) -> Self {
        let mut loops = Vec::new();
        let mut lanes = Vec::new();
        for term in &index.terms {
            let table: Vec<i64> = (0..extents[term.axis.0]).map(|i| term.factor.at(i)).collect();
            if term.axis.0 == batch {
                lanes = table;
            } else {
                loops.push((term.axis.0, table));
            }
        }
        let low = lanes.iter().min().copied().unwrap_or(0);
        let high = lanes.iter().max().copied().unwrap_or(0);
        let ascending = lanes.is_sorted();
        Self { loops, batch: lanes, ascending, low, high, offset: index.offset, extent: extent as i64 }
    }

    fn start(&self, iteration: &[usize]) -> i64 {
        self.offset + self.loops.iter().map(|(axis, table)| table[iteration[*axis]]).sum::<i64>()
    }

    fn inside(&self, iteration: &[usize], lane: usize) -> bool {
        let at = self.start(iteration) + self.batch.get(lane).copied().unwrap_or(0);
        (0..self.extent).contains(&at)
    }
}

/// What an access reads beyond the tensor.
pub(super) fn outside_value<A: Arithmetic>(access: &Access, element: Element) -> A::Value {
    match access.outside {
        Outside::Never => A::Value::default(),
        Outside::Value(word) => A::read(word, element),
    }
}
