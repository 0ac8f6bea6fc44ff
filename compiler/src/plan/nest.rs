//! Interprets one nest: naively as to what it computes, in batches as to how.

use super::Order;
use super::arithmetic::{Arithmetic, Evaluator};
use super::batch::{Buffer, Positions, outside_value};
use super::partial::Partial;
use crate::graph::{Access, Combine, Graph, Nest, Reduction};
use crate::recipe::{Recipe, Sum};
use std::ops::Range;

/// Elements evaluated at a time: their expressions' intermediate values stay in the first-level cache.
const BATCH: usize = 256;

/// A loop this long is worth being the batch where it is, innermost, because its reads lie side by side.
const LONG_ENOUGH: usize = 16;

/// Iterations below which a second thread costs more than it saves.
const THREAD_ITERATIONS: usize = 1 << 18;

/// A nest made ready: positions tabulated, loops divided into the batch and the others.
struct Prepared<'a, A: Arithmetic> {
    nest: &'a Nest,
    recipe: Recipe,
    order: Order,
    reads: Vec<Read<'a, A>>,
    /// The loop walked in batches; the nest's number of parallel loops when it has none.
    batch: usize,
    batch_extent: usize,
    /// Extents of the parallel loops, the batch's replaced by its number of batches.
    outer: Vec<usize>,
}

struct Read<'a, A: Arithmetic> {
    positions: Positions,
    buffer: Buffer<'a, A>,
    outside: A::Value,
}

impl<A: Arithmetic> Read<'_, A> {
    fn load(&self, iteration: &[usize], first: usize, row: &mut [A::Value]) {
        self.positions.load(self.buffer, self.outside, iteration, first, row);
    }

    /// The elements of one batch, where they lie if they lie side by side; a single one where all are the same.
    fn row<'r>(
        &'r self,
        iteration: &[usize],
        first: usize,
        count: usize,
        scratch: &'r mut [A::Value],
    ) -> &'r [A::Value] {
        if let Some(row) = self.positions.slice(self.buffer, iteration, first, count) {
            return row;
        }
        let row = if self.positions.uniform() { &mut scratch[..1] } else { &mut scratch[..count] };
        self.load(iteration, first, row);
        row
    }
}

/// Carries out `nest` and writes what it computes into `target`, its tensor's values.
pub(super) fn run<'a, A: Arithmetic>(
    graph: &'a Graph,
    nest: &'a Nest,
    order: Order,
    buffer: impl Fn(crate::graph::TensorId) -> Buffer<'a, A>,
    target: &mut [A::Value],
) {
    let batch = batch_axis(graph, nest);
    let mut positions: Vec<Positions> = nest.reads.iter().map(|access| Positions::new(nest, access, batch)).collect();
    let buffers: Vec<Buffer<A>> = nest.reads.iter().map(|access| buffer(access.tensor)).collect();
    let packed: Vec<Option<Vec<A::Value>>> =
        positions.iter_mut().zip(&buffers).map(|(positions, buffer)| positions.pack(*buffer)).collect();
    let reads = (nest.reads.iter().zip(positions).zip(buffers).zip(&packed))
        .map(|(((access, positions), buffer), packed)| Read {
            positions,
            buffer: packed.as_ref().map_or(buffer, |values| Buffer::Values(values)),
            outside: outside_value::<A>(access, graph.tensor(access.tensor).element),
        })
        .collect();
    let batch_extent = nest.parallel[batch].extent;
    let mut outer: Vec<usize> = nest.parallel.iter().map(|axis| axis.extent).collect();
    outer[batch] = batch_extent.div_ceil(BATCH);
    let recipe = A::recipe(nest, graph.is_compensated(nest));
    let prepared = Prepared { nest, recipe, order, reads, batch, batch_extent, outer };
    let units: usize = prepared.outer.iter().product();
    let write = Positions::new(nest, &nest.write, batch);
    let mut values = prepared.compute(units).into_iter().flatten();
    prepared.each_unit(0..units, |iteration, first, count| {
        for (position, value) in write.positions(iteration, first, count).zip(&mut values) {
            target[position] = value;
        }
    });
}

/// The loop to walk in batches: the longest parallel one where it costs nothing that it isn't the innermost, because
/// every read stays where it is along it, or is a constant that can be packed; otherwise the innermost, unless that is
/// short.
fn batch_axis(graph: &Graph, nest: &Nest) -> usize {
    let innermost = nest.parallel.len() - 1;
    let longest = (0..nest.parallel.len()).max_by_key(|axis| nest.parallel[*axis].extent).unwrap_or(innermost);
    let free = |access: &Access| {
        let varies = access.index.iter().flat_map(|index| &index.terms).any(|term| term.axis.0 == longest);
        !varies || graph.constant(access.tensor).is_some()
    };
    let reduced = nest.reduction.is_some();
    if nest.parallel[innermost].extent < LONG_ENOUGH || (reduced && nest.reads.iter().all(free)) {
        longest
    } else {
        innermost
    }
}

impl<A: Arithmetic> Prepared<'_, A> {
    /// The values of every unit in order, in one part for each thread.
    fn compute(&self, units: usize) -> Vec<Vec<A::Value>> {
        let iterations: usize = self.nest.axes().map(|axis| axis.extent).product();
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = available.min(iterations / THREAD_ITERATIONS + 1).min(units);
        let share = |thread: usize| units * thread / threads..units * (thread + 1) / threads;
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (1..threads).map(|thread| scope.spawn(move || Worker::new(self).values(share(thread)))).collect();
            let mut parts = vec![Worker::new(self).values(share(0))];
            parts.extend(workers.into_iter().map(|worker| worker.join().expect("interpreting doesn't panic")));
            parts
        })
    }

    /// Calls `body` for each batch of a range of them with the iteration of the other loops, the first iteration of the
    /// batch loop and the number of its iterations.
    fn each_unit(&self, units: Range<usize>, mut body: impl FnMut(&[usize], usize, usize)) {
        let mut iteration = vec![0; self.nest.axes().count()];
        for unit in units {
            let mut rest = unit;
            for (axis, extent) in self.outer.iter().enumerate().rev() {
                iteration[axis] = rest % extent;
                rest /= extent;
            }
            let first = std::mem::take(&mut iteration[self.batch]) * BATCH;
            body(&iteration, first, BATCH.min(self.batch_extent - first));
        }
    }
}

/// One thread's state.
struct Worker<'a, A: Arithmetic> {
    prepared: &'a Prepared<'a, A>,
    store: Evaluator<A>,
    reduction: Option<Accumulation<'a, A>>,
}

/// A reduction in progress for one batch.
struct Accumulation<'a, A: Arithmetic> {
    prepared: &'a Prepared<'a, A>,
    reduction: &'a Reduction,
    start: Evaluator<A>,
    partial: Partial<A>,
    /// The two operands of a contraction whose factors are plain reads.
    factors: Option<(usize, usize)>,
    rows: (Vec<A::Value>, Vec<A::Value>),
}

impl<'a, A: Arithmetic> Worker<'a, A> {
    fn new(prepared: &'a Prepared<'a, A>) -> Self {
        let width = BATCH.min(prepared.batch_extent);
        let reduction = (prepared.nest.reduction.as_ref().zip(prepared.recipe.sum.as_ref()))
            .map(|(reduction, sum)| Accumulation::new(prepared, reduction, sum, width));
        Self { prepared, store: Evaluator::new(&prepared.recipe.store, width), reduction }
    }

    fn values(&mut self, units: Range<usize>) -> Vec<A::Value> {
        let mut values = Vec::new();
        let prepared = self.prepared;
        let reads = &prepared.reads;
        prepared.each_unit(units, |iteration, first, count| {
            let sum = self.reduction.as_mut().map(|reduction| reduction.run(iteration, first, count));
            self.store.evaluate(count, |operand, row| match (reads.get(operand), sum) {
                (Some(read), _) => read.load(iteration, first, row),
                (None, Some(sum)) => sum.word(operand - reads.len(), row),
                (None, None) => unreachable!("the verifier has checked the operands"),
            });
            values.extend_from_slice(&self.store.result(0)[..count]);
        });
        values
    }
}

impl<'a, A: Arithmetic> Accumulation<'a, A> {
    fn new(prepared: &'a Prepared<'a, A>, reduction: &'a Reduction, sum: &Sum, width: usize) -> Self {
        let row = vec![A::Value::default(); width];
        let lanes = match prepared.order {
            Order::Chain { .. } => 1,
            Order::Lanes(lanes) => lanes,
        };
        let partial = Partial::new(sum, width, lanes);
        let factors = match (reduction.combine, Evaluator::<A>::new(&reduction.term, 0).plain_reads().as_deref()) {
            (Combine::FusedSum, Some(&[first, second])) if partial.takes_products() => Some((first, second)),
            _ => None,
        };
        Self {
            prepared,
            reduction,
            start: Evaluator::new(&sum.start, width),
            partial,
            factors,
            rows: (row.clone(), row),
        }
    }

    /// The sums for one batch.
    fn run(&mut self, outer: &[usize], first: usize, count: usize) -> &Partial<A> {
        let reads = &self.prepared.reads;
        self.start.evaluate(count, |operand, row| reads[operand].load(outer, first, row));
        self.partial.begin(&self.start, count);
        let mut iteration = outer.to_vec();
        match self.prepared.order {
            Order::Chain { block } => self.chain(block, &mut iteration, first, count),
            Order::Lanes(lanes) => self.strided_lanes(lanes, &mut iteration, first, count),
        }
        &self.partial
    }

    fn chain(&mut self, block: usize, iteration: &mut [usize], first: usize, count: usize) {
        let outermost = self.prepared.nest.parallel.len();
        let extent = self.reduction.axes[0].extent;
        for begin in (0..extent).step_by(block) {
            let end = extent.min(begin + block);
            loop {
                for i in begin..end {
                    iteration[outermost] = i;
                    self.accumulate(0, iteration, first, count);
                }
                if !self.advance(iteration, 1) {
                    break;
                }
            }
        }
    }

    fn strided_lanes(&mut self, lanes: usize, iteration: &mut [usize], first: usize, count: usize) {
        for lane in (0..lanes).cycle() {
            self.accumulate(lane, iteration, first, count);
            if !self.advance(iteration, 0) {
                break;
            }
        }
        let mut half = lanes / 2;
        while half > 0 {
            self.partial.fold(half, count);
            half /= 2;
        }
    }

    /// Steps the reduction's loops from loop `from` on, row-major; false when they start over.
    fn advance(&self, iteration: &mut [usize], from: usize) -> bool {
        let outermost = self.prepared.nest.parallel.len();
        for (at, axis) in self.reduction.axes.iter().enumerate().skip(from).rev() {
            let i = &mut iteration[outermost + at];
            *i += 1;
            if *i < axis.extent {
                return true;
            }
            *i = 0;
        }
        false
    }

    /// Adds the term of one iteration to a lane.
    fn accumulate(&mut self, lane: usize, iteration: &[usize], first: usize, count: usize) {
        let reads = &self.prepared.reads;
        if let Some((a, b)) = self.factors {
            let a = reads[a].row(iteration, first, count, &mut self.rows.0);
            let b = reads[b].row(iteration, first, count, &mut self.rows.1);
            return self.partial.take_product(lane, count, a, b);
        }
        self.partial.take(lane, count, reads.len(), |operand, row| reads[operand].load(iteration, first, row));
    }
}
