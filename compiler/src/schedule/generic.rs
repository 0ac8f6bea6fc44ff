//! The kernel for any nest: loops in the planned order, vectors along one parallel axis where every access allows it.
//!
//! This is what carries out maps, windows, movements of data and whatever no better kernel takes.

use super::frame::{Coordinate, Frame, Operand};
use super::place::{BLOCK, Guard, Position};
use super::sums::{set, values, variables};
use crate::expression::Expression;
use crate::kernel::{Type, ValueId, VariableId};
use crate::plan::Order;
use crate::recipe::Sum;
use std::ops::Range;

/// An axis cut into more segments than this is left whole: before, inside and behind the tensor are three.
const MOST_SEGMENTS: usize = 3;

/// Reductions with at most so many terms are unrolled: their positions become constants and no loop is left.
const UNROLLED_TERMS: usize = 32;

/// A nest with its accesses resolved to buffers.
#[derive(Clone)]
pub struct Loops {
    /// Extents of the parallel axes, then of the reduction's.
    pub extents: Vec<usize>,
    /// How many are parallel.
    pub parallel: usize,
    /// How terms come together, and in which order.
    pub sum: Option<(Sum, Order)>,
    /// What is read.
    pub reads: Vec<Operand>,
    /// What is stored, from the reads and the words of the sum; expanded.
    pub store: Expression,
    /// Where it is stored.
    pub write: Operand,
    /// The axis, if there is one, behind whose last iteration the lanes of its last block may be read and written.
    pub padded: Option<usize>,
}

/// The axis that vectors run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorAxis {
    /// Which.
    pub axis: usize,
    /// Words from one run of iterations to the next are free; within a run they are one. A run is a block of channels
    /// or the whole axis.
    pub run: usize,
}

impl Loops {
    /// The best parallel axis for vectors of so many lanes: the longest along which everything moves by single words.
    /// Reads that are `constant` are packed to fit.
    pub fn vector_axis(&self, lanes: usize, constant: &[bool]) -> Option<VectorAxis> {
        (0..self.parallel)
            .filter_map(|axis| {
                let extent = self.extents[axis];
                let fits = |run: usize| {
                    let vector = VectorAxis { axis, run };
                    let reads = self.reads.iter().zip(constant).filter(|(_, constant)| !**constant);
                    self.write.position.depends_on(axis)
                        && !self.stands_in_the_way(&self.write.position, vector)
                        && reads.into_iter().all(|(read, _)| !self.stands_in_the_way(&read.position, vector))
                };
                let run = if fits(extent) { extent } else { BLOCK };
                let long_enough = extent >= lanes || (self.padded == Some(axis) && run == BLOCK);
                (long_enough && fits(run)).then_some(VectorAxis { axis, run })
            })
            .max_by_key(|vector| self.extents[vector.axis])
    }

    /// Whether a position neither stays nor moves word by word along the vectors.
    pub fn stands_in_the_way(&self, position: &Position, vector: VectorAxis) -> bool {
        let axis = vector.axis;
        let guarded = position.guards.iter().any(|guard| guard.axes[axis].iter().any(|step| *step != 0));
        let runs = position.runs_along(axis, self.extents[axis], vector.run, 1);
        guarded || (position.depends_on(axis) && !runs)
    }

    /// Whether what is written lies side by side along an axis: all of it, or each block.
    pub fn writes_vectors(&self, axis: usize) -> bool {
        let extent = self.extents[axis];
        [extent, BLOCK].iter().any(|run| self.write.position.runs_along(axis, extent, *run, 1))
    }

    /// The same loops with the axes of the reduction made one.
    pub fn with_one_reduction_axis(self) -> Self {
        let parallel = self.parallel;
        let merged = |operand: &Operand| {
            let position = operand.position.merged(parallel, &self.extents);
            Operand { position, ..operand.clone() }
        };
        let reads = self.reads.iter().map(merged).collect();
        let write = merged(&self.write);
        let terms = self.extents[parallel..].iter().product();
        let extents = self.extents[..parallel].iter().copied().chain([terms]).collect();
        Self { extents, reads, write, ..self }
    }

    /// Number of tasks: iterations of the outermost loop.
    pub fn tasks(&self, vector: Option<VectorAxis>, lanes: usize) -> usize {
        match self.outermost(vector, lanes) {
            Outermost::Axis(axis) => self.extents[axis],
            Outermost::Chunks(chunks) => chunks,
            Outermost::Nothing => 1,
        }
    }

    /// Blocks of channels are tasks, since no window reaches across them; otherwise the first long axis beside the
    /// vector's; otherwise vectors, where the last one is like the others.
    fn outermost(&self, vector: Option<VectorAxis>, lanes: usize) -> Outermost {
        let other = (0..self.parallel)
            .find(|axis| self.extents[*axis] > 1 && vector.is_none_or(|vector| vector.axis != *axis))
            .map(Outermost::Axis);
        let Some(vector) = vector else { return other.unwrap_or(Outermost::Nothing) };
        let (extent, chunk) = (self.extents[vector.axis], vector.chunk(lanes));
        let even = self.padded == Some(vector.axis) || extent.is_multiple_of(chunk);
        match other {
            Some(axis) if !(even && vector.run == BLOCK) => axis,
            Some(_) | None if even => Outermost::Chunks(extent.div_ceil(chunk)),
            Some(_) | None => Outermost::Nothing,
        }
    }

    /// What is computed together and what the tasks are, in words; `names` are those of the axes.
    pub fn how(&self, vector: Option<VectorAxis>, lanes: usize, names: &[&str]) -> String {
        let together = match vector {
            None => {
                let sum = self.sum.as_ref().filter(|(sum, order)| match order {
                    Order::Chain { .. } => false,
                    Order::Lanes(_) => self.terms_run(sum),
                });
                let terms = if sum.is_some() { format!(" from vectors of {lanes} terms") } else { String::new() };
                format!("one element at a time{terms}")
            }
            Some(vector) => {
                let (extent, chunk, name) = (self.extents[vector.axis], vector.chunk(lanes), names[vector.axis]);
                let several = if chunk > lanes { format!("{} ", chunk / lanes) } else { String::new() };
                let rest = match (extent % chunk, self.padded == Some(vector.axis)) {
                    (0, _) => String::new(),
                    (_, true) => ", the last partly beyond the end".to_string(),
                    (rest, false) => format!(", the last {rest} one by one"),
                };
                format!("{several}vectors of {lanes} along {name}{rest}")
            }
        };
        let along = match self.outermost(vector, lanes) {
            Outermost::Axis(axis) => names[axis],
            Outermost::Chunks(_) => vector.map_or("", |vector| names[vector.axis]),
            Outermost::Nothing => "",
        };
        format!("{together}; {}", tasks_text(self.tasks(vector, lanes), along))
    }

    /// Adds the whole nest to a frame whose kernel has [`Self::tasks`].
    pub fn emit(&self, frame: &mut Frame, vector: Option<VectorAxis>) {
        let lanes = frame.builder.lanes();
        let task = frame.builder.task();
        let outermost = self.outermost(vector, lanes);
        let mut done = vec![false; self.parallel];
        if let Outermost::Axis(axis) = outermost {
            frame.coordinates[axis] = Coordinate::counted(task, 1, self.extents[axis]);
            done[axis] = true;
        }
        let Some(vector) = vector else { return self.emit_axes(frame, &mut done, &|frame| self.point(frame, None)) };
        let (axis, extent, chunk) = (vector.axis, self.extents[vector.axis], vector.chunk(lanes));
        done[axis] = true;
        let chunks = if self.padded == Some(axis) { extent.div_ceil(chunk) } else { extent / chunk };
        let vectors = |frame: &mut Frame, at: Coordinate| {
            for part in (0..chunk).step_by(lanes) {
                frame.coordinates[axis] = at.clone().moved(part);
                self.point(frame, Some(axis));
            }
        };
        match outermost {
            Outermost::Chunks(count) => {
                let at = Coordinate::counted(task, chunk, count);
                self.emit_axes(frame, &mut done, &|frame| vectors(frame, at.clone()));
            }
            // Runs of the whole axis are innermost, blocks of channels outermost.
            Outermost::Axis(_) | Outermost::Nothing if vector.run == BLOCK => {
                if chunks > 0 {
                    frame.repeat(chunks, |frame, counter| {
                        let at = Coordinate::counted(counter, chunk, chunks);
                        self.emit_axes(frame, &mut done.clone(), &|frame| vectors(frame, at.clone()));
                    });
                }
                self.emit_axes(frame, &mut done, &|frame| self.tail(frame, axis, chunks * chunk));
            }
            Outermost::Axis(_) | Outermost::Nothing => self.emit_axes(frame, &mut done, &|frame| {
                if chunks > 0 {
                    frame.repeat(chunks, |frame, counter| vectors(frame, Coordinate::counted(counter, chunk, chunks)));
                }
                self.tail(frame, axis, chunks * chunk);
            }),
        }
    }

    /// The last iterations of the vector axis, one by one.
    fn tail(&self, frame: &mut Frame, axis: usize, from: usize) {
        let rest = self.extents[axis].saturating_sub(from);
        if rest > 0 {
            frame.repeat(rest, |frame, counter| {
                frame.coordinates[axis] = Coordinate::counted(counter, 1, rest).moved(from);
                self.point(frame, None);
            });
        }
    }

    /// Loops over the parallel axes that are not done, outermost first, cut where an edge of a tensor begins or ends so
    /// that the interior needs no test.
    fn emit_axes(&self, frame: &mut Frame, done: &mut [bool], inner: &dyn Fn(&mut Frame)) {
        let Some(axis) = done.iter().position(|done| !done) else { return inner(frame) };
        done[axis] = true;
        for segment in self.segments(axis) {
            let (start, count) = (segment.start, segment.len());
            if count == 1 {
                frame.coordinates[axis] = Coordinate::fixed(start);
                self.emit_axes(frame, &mut done.to_vec(), inner);
            } else {
                frame.repeat(count, |frame, counter| {
                    frame.coordinates[axis] = Coordinate::counted(counter, 1, count).moved(start);
                    self.emit_axes(frame, &mut done.to_vec(), inner);
                });
            }
        }
    }

    /// Runs of iterations of an axis during which the same guards can trip.
    fn segments(&self, axis: usize) -> Vec<Range<usize>> {
        let guards = self.reads.iter().flat_map(|read| &read.position.guards);
        // The iterations in which a guard can't trip, whatever the other axes do.
        let safe = |guard: &Guard| {
            let others = || guard.axes.iter().enumerate().filter(|(other, _)| *other != axis).map(|(_, steps)| steps);
            let least: i64 = others().map(|steps| steps.iter().min().unwrap_or(&0)).sum();
            let most: i64 = others().map(|steps| steps.iter().max().unwrap_or(&0)).sum();
            -guard.offset - least..guard.extent as i64 - guard.offset - most
        };
        let guards: Vec<(&[i64], Range<i64>)> = guards
            .filter(|guard| !guard.axes[axis].is_empty())
            .map(|guard| (&guard.axes[axis][..], safe(guard)))
            .collect();
        let differs =
            |i: usize| guards.iter().any(|(steps, safe)| safe.contains(&steps[i]) != safe.contains(&steps[i - 1]));
        let extent = self.extents[axis];
        let mut cuts = vec![0];
        cuts.extend((1..extent).filter(|i| differs(*i)));
        cuts.push(extent);
        if cuts.len() > MOST_SEGMENTS + 1 {
            cuts = vec![0, extent];
        }
        cuts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// One iteration of the parallel loops, for one element or for a vector of them along `vector`.
    fn point(&self, frame: &mut Frame, vector: Option<usize>) {
        let ty = if vector.is_some() { Type::Vector } else { Type::Scalar };
        let sum = self.sum.as_ref().map_or_else(Vec::new, |(sum, order)| self.reduce(frame, ty, vector, sum, *order));
        let value = frame.expression(ty, &self.store, &self.reads, &sum, vector)[0];
        let address = frame.address(&self.write);
        frame.builder.store(address, value);
    }

    /// The words of the sum.
    fn reduce(&self, frame: &mut Frame, ty: Type, vector: Option<usize>, sum: &Sum, order: Order) -> Vec<ValueId> {
        let start = frame.expression(ty, &sum.start, &self.reads, &[], vector);
        let start = sum.begun(frame, ty, start);
        let accumulate = |frame: &mut Frame, into: &[VariableId]| self.accumulate(frame, ty, vector, sum, into);
        let held = sum.held(ty);
        let parts = match order {
            Order::Chain { block } => {
                let variables = variables(frame, held, &start);
                self.chain(frame, block, None, &|frame| accumulate(frame, &variables));
                values(frame, &variables)
            }
            Order::Lanes(lanes) if ty == Type::Scalar && self.terms_run(sum) => self.reduce_along(frame, sum, lanes),
            Order::Lanes(lanes) => {
                let sums: Vec<Vec<VariableId>> = (0..lanes).map(|_| variables(frame, held, &start)).collect();
                let [terms] = self.extents[self.parallel..] else { panic!("axes of sums in lanes are merged") };
                let axis = self.parallel;
                let rounds = terms / lanes;
                if rounds > 0 {
                    frame.repeat(rounds, |frame, round| {
                        for (lane, sum) in sums.iter().enumerate() {
                            frame.coordinates[axis] = Coordinate::counted(round, lanes, rounds).moved(lane);
                            accumulate(frame, sum);
                        }
                    });
                }
                for (term, sum) in (rounds * lanes..terms).zip(&sums) {
                    frame.coordinates[axis] = Coordinate::fixed(term);
                    accumulate(frame, sum);
                }
                let values = sums.iter().map(|sum| values(frame, sum)).collect();
                sum.fold(frame, ty, values)
            }
        };
        sum.complete(frame, ty, parts, &self.store, self.reads.len())
    }

    /// Adds the term at the present point to a sum held in variables.
    pub fn accumulate(&self, frame: &mut Frame, ty: Type, vector: Option<usize>, sum: &Sum, into: &[VariableId]) {
        let there = values(frame, into);
        let next = sum.next(frame, ty, vector, &self.reads, &there);
        set(frame, into, &next);
    }

    /// Loops over the reduction's axes: blocks of the first outermost, then the others, then within the block; all of
    /// them, or one of so many slices, each with as many blocks.
    pub fn chain(&self, frame: &mut Frame, block: usize, slice: Option<(ValueId, usize)>, inner: &dyn Fn(&mut Frame)) {
        let first = self.parallel;
        let terms: usize = self.extents[first..].iter().product();
        let alone = self.extents[first + 1..].iter().all(|extent| *extent == 1);
        // With no axis between them, blocks and what is within are one loop, where positions run evenly along it.
        let block = if alone && self.is_even(first) { 1 } else { block };
        let unrolled = terms <= UNROLLED_TERMS;
        let (blocks, rest) = (self.extents[first] / block, self.extents[first] % block);
        let slices = slice.map_or(1, |(_, slices)| slices);
        assert!(slices == 1 || (rest == 0 && blocks.is_multiple_of(slices)), "slices have as many blocks");
        let blocks = blocks / slices;
        let within = |frame: &mut Frame, at: Coordinate, count: usize| {
            self.others(frame, first + 1, unrolled, &|frame| {
                counted(frame, count, unrolled, &|frame, step| {
                    frame.coordinates[first] = match step {
                        Step::Fixed(i) => at.clone().moved(i),
                        Step::Counter(counter) => at.clone().plus(counter, 1, count),
                    };
                    inner(frame);
                });
            });
        };
        counted(frame, blocks, unrolled, &|frame, step| {
            let at = match step {
                Step::Fixed(i) => Coordinate::fixed(i * block),
                Step::Counter(counter) => Coordinate::counted(counter, block, blocks),
            };
            let at = slice.iter().fold(at, |at, (slice, slices)| at.plus(*slice, blocks * block, *slices));
            within(frame, at, block);
        });
        if rest > 0 {
            within(frame, Coordinate::fixed(blocks * block), rest);
        }
    }

    /// Whether one stride leads along an axis in whatever is read.
    fn is_even(&self, axis: usize) -> bool {
        let steps = |read: &Operand| {
            let table = &read.position.axes[axis];
            table.windows(2).all(|pair| pair[1] - pair[0] == table[1] - table[0])
        };
        self.reads.iter().all(steps)
    }

    fn others(&self, frame: &mut Frame, axis: usize, unrolled: bool, inner: &dyn Fn(&mut Frame)) {
        let Some(extent) = self.extents.get(axis).copied() else { return inner(frame) };
        counted(frame, extent, unrolled, &|frame, step| {
            frame.coordinates[axis] = match step {
                Step::Fixed(i) => Coordinate::fixed(i),
                Step::Counter(counter) => Coordinate::counted(counter, 1, extent),
            };
            self.others(frame, axis + 1, unrolled, inner);
        });
    }
}

/// `1 task`, or `28 tasks along y`.
pub fn tasks_text(tasks: usize, along: &str) -> String {
    if tasks == 1 { "1 task".to_string() } else { format!("{tasks} tasks along {along}") }
}

/// What the tasks of a kernel count.
enum Outermost {
    /// A parallel axis.
    Axis(usize),
    /// So many chunks of the vector axis, all alike.
    Chunks(usize),
    /// There is one task.
    Nothing,
}

/// One iteration of a loop that is unrolled or not.
enum Step {
    Fixed(usize),
    Counter(ValueId),
}

/// Repeats `body`, as a loop or unrolled; a single iteration is never a loop.
fn counted(frame: &mut Frame, count: usize, unrolled: bool, body: &dyn Fn(&mut Frame, Step)) {
    if unrolled || count <= 1 {
        (0..count).for_each(|i| body(frame, Step::Fixed(i)));
    } else {
        frame.repeat(count, |frame, counter| body(frame, Step::Counter(counter)));
    }
}

impl VectorAxis {
    /// Iterations taken together: a block, or a vector where the axis is one run.
    fn chunk(self, lanes: usize) -> usize {
        if self.run == BLOCK { BLOCK } else { lanes }
    }
}
