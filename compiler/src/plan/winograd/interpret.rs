//! Winograd's algorithm carried out naively: the transforms of all tiles of a channel at a time, the products in order.

use super::{Filtering, Window, Winograd, store};
use crate::expression::Expression;
use crate::graph::{Access, Element, Graph, Index, Nest, TensorId};
use crate::plan::arithmetic::{Arithmetic, Evaluator};
use crate::plan::batch::Buffer;
use crate::plan::vectorised::vectorised;
use crate::plan::{Order, nest};

/// One row for each value of a tile, row-major; in a row one value for each tile.
type Rows<V> = Vec<Vec<V>>;

/// Carries out `nest` and writes what it computes into `target`, its tensor's values.
pub(in crate::plan) fn run<'a, A: Arithmetic>(
    graph: &'a Graph,
    nest: &'a Nest,
    winograd: Winograd,
    buffer: impl Fn(TensorId) -> Buffer<'a, A>,
    target: &mut [A::Value],
) {
    let window = Window::of(graph, nest).expect("the plan chooses only for windows of 3x3");
    let activation = nest.reads[window.activation].tensor;
    let image = Image { values: buffer(activation), shape: &graph.tensor(activation).shape };
    let transformed: Vec<Rows<A::Value>> = (0..window.inputs)
        .map(|channel| transform::<A>(winograd, Filtering::input_transform, &image.tiles(winograd, &window, channel)))
        .collect();
    let weights = winograd.weights(graph, nest);
    let mut sums = Vec::with_capacity(window.outputs * window.height * window.width);
    for channel in 0..window.outputs {
        let products: Rows<A::Value> = (0..winograd.values())
            .map(|value| {
                let from = (value * window.outputs + channel) * window.inputs;
                product::<A>(&transformed, value, &weights[from..from + window.inputs])
            })
            .collect();
        let tiles = transform::<A>(winograd, Filtering::output_transform, &products);
        let [_, across] = winograd.tiles(&window);
        let (tall, wide) = (winograd.rows.outputs(), winograd.columns.outputs());
        sums.extend((0..window.height * window.width).map(|at| {
            let (y, x) = (at / window.width, at % window.width);
            tiles[y % tall * wide + x % wide][y / tall * across + x / wide]
        }));
    }
    // What is left is a nest without a sum, which finds the sum where its own output will be.
    let plane = [window.outputs, window.height, window.width];
    let whole = Access::new(nest.write.tensor, &plane, (0..plane.len()).map(Index::axis).collect());
    let mut reads = nest.reads.clone();
    [window.activation, window.weight].into_iter().for_each(|read| reads[read] = whole.clone());
    reads.push(whole);
    let rest = Nest { reduction: None, reads, store: store(nest), ..nest.clone() };
    let sums = |tensor| if tensor == nest.write.tensor { Buffer::Values(&sums) } else { buffer(tensor) };
    nest::run(graph, &rest, Order::Chain { block: 1 }, sums, target);
}

/// What is convolved, as `[channels, rows, columns]`.
struct Image<'a, A: Arithmetic> {
    values: Buffer<'a, A>,
    shape: &'a [usize],
}

impl<A: Arithmetic> Image<'_, A> {
    /// The overlapping tiles of a channel; zero beyond the image.
    fn tiles(&self, winograd: Winograd, window: &Window, channel: usize) -> Rows<A::Value> {
        let [down, across] = winograd.tiles(window);
        let (tall, wide) = (winograd.rows, winograd.columns);
        let value = |y: usize, x: usize| {
            let inside = |at: usize, before: usize, extent: usize| at.checked_sub(before).filter(|at| *at < extent);
            match (inside(y, window.top, self.shape[1]), inside(x, window.left, self.shape[2])) {
                (Some(y), Some(x)) => self.values.get((channel * self.shape[1] + y) * self.shape[2] + x),
                (Some(_) | None, _) => A::read(0, Element::F32),
            }
        };
        let row = |at: usize| {
            let (i, j) = (at / wide.inputs(), at % wide.inputs());
            (0..down * across)
                .map(|tile| value(tile / across * tall.outputs() + i, tile % across * wide.outputs() + j))
                .collect()
        };
        (0..winograd.values()).map(row).collect()
    }
}

/// The sum over the input channels for one transformed value of every tile, one channel after the other from zero.
fn product<A: Arithmetic>(transformed: &[Rows<A::Value>], value: usize, weights: &[f64]) -> Vec<A::Value> {
    let mut sum = vec![A::read(0, Element::F32); transformed[0][value].len()];
    vectorised(|| {
        for (rows, weight) in transformed.iter().zip(weights) {
            let weight = A::rounded(*weight);
            sum.iter_mut().zip(&rows[value]).for_each(|(sum, factor)| *sum = A::fma(*factor, weight, *sum));
        }
    });
    sum
}

/// Tiles transformed column by column, then row by row.
fn transform<A: Arithmetic>(
    winograd: Winograd,
    along: fn(Filtering) -> Expression,
    tiles: &Rows<A::Value>,
) -> Rows<A::Value> {
    let wide = winograd.columns.inputs();
    let columns: Vec<Rows<A::Value>> = (0..wide)
        .map(|j| one::<A>(&along(winograd.rows), &tiles.iter().skip(j).step_by(wide).collect::<Vec<_>>()))
        .collect();
    (0..columns[0].len())
        .flat_map(|i| one::<A>(&along(winograd.columns), &columns.iter().map(|column| &column[i]).collect::<Vec<_>>()))
        .collect()
}

/// The results of a transform for every tile.
fn one<A: Arithmetic>(along: &Expression, values: &[&Vec<A::Value>]) -> Rows<A::Value> {
    let tiles = values[0].len();
    let mut evaluator = Evaluator::<A>::new(along, tiles);
    evaluator.evaluate(tiles, |operand, row| row.copy_from_slice(values[operand]));
    (0..along.results.len()).map(|result| evaluator.result(result)[..tiles].to_vec()).collect()
}
