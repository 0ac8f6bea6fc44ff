//! Winograd's minimal filtering for windows of 3x3: fewer multiplications, for a few more additions.
//!
//! The outputs are computed in tiles. A tile of the input is transformed, multiplied element by element with the
//! transformed weights, summed over the input channels, and transformed back (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2016). Owns the transforms, to the bit, and the choice of layers; the choice is part of
//! the plan, so that every target computes the same.

mod interpret;

pub(super) use interpret::run;

use super::CHANNEL_BLOCK;
use crate::expression::{Expression, Node, NodeId};
use crate::graph::{Access, Combine, Element, Factor, Graph, Index, Nest, Outside, Source};
use std::fmt::{self, Display};

/// Taps of the window along a row or a column.
const TAPS: usize = 3;

/// How many outputs are computed together along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filtering {
    /// F(2, 3): the points 0, 1, -1 and infinity.
    Two,
    /// F(4, 3): the points 0, 3/4, -3/4, 3/2, -3/2 and infinity. The usual ±1 and ±2 are further apart and lose more
    /// digits; these have exact constants too.
    Four,
}

/// The two points of F(4, 3) that are neither zero nor infinite, but for their signs.
const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;

impl Filtering {
    /// Outputs of a tile.
    pub const fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs of a tile, and transformed values of it.
    pub const fn inputs(self) -> usize {
        self.outputs() + TAPS - 1
    }

    /// What becomes of [`Self::inputs`] values side by side: as many results.
    pub fn input_transform(self) -> Expression {
        let mut e = Expression::default();
        let d: Vec<NodeId> = (0..self.inputs()).map(|i| e.read(i)).collect();
        e.results = match self {
            Self::Two => vec![e.sub(d[0], d[2]), e.add(d[1], d[2]), e.sub(d[2], d[1]), e.sub(d[1], d[3])],
            Self::Four => {
                let (near, far) = (NEAR * NEAR, FAR * FAR);
                let ends = |e: &mut Expression, [a, b, c]: [NodeId; 3]| {
                    let (first, second) = (e.constant(near * far), e.constant(-near - far));
                    let sum = e.fma(second, b, c);
                    e.fma(first, a, sum)
                };
                let pair = |e: &mut Expression, point: f32, other: f32| {
                    let other = e.constant(-other);
                    let (even, odd) = (e.fma(other, d[2], d[4]), e.fma(other, d[1], d[3]));
                    let (plus, minus) = (e.constant(point), e.constant(-point));
                    [e.fma(plus, odd, even), e.fma(minus, odd, even)]
                };
                let first = ends(&mut e, [d[0], d[2], d[4]]);
                let [a, b] = pair(&mut e, NEAR, far);
                let [x, y] = pair(&mut e, FAR, near);
                vec![first, a, b, x, y, ends(&mut e, [d[1], d[3], d[5]])]
            }
        };
        e
    }

    /// What becomes of [`Self::inputs`] sums of products: the outputs.
    pub fn output_transform(self) -> Expression {
        let mut e = Expression::default();
        let m: Vec<NodeId> = (0..self.inputs()).map(|i| e.read(i)).collect();
        let (near_sum, near_difference) = (e.add(m[1], m[2]), e.sub(m[1], m[2]));
        e.results = match self {
            Self::Two => vec![e.add(m[0], near_sum), e.sub(near_difference, m[3])],
            Self::Four => {
                let (far_sum, far_difference) = (e.add(m[3], m[4]), e.sub(m[3], m[4]));
                let both = |e: &mut Expression, power: i32, near: NodeId, far: NodeId| {
                    let (a, b) = (e.constant(NEAR.powi(power)), e.constant(FAR.powi(power)));
                    let first = e.mul(a, near);
                    e.fma(b, far, first)
                };
                let whole = e.add(m[0], near_sum);
                let [a, b] = [NEAR, FAR].map(|point| e.constant(point * point * point));
                let last = e.fma(a, near_difference, m[5]);
                vec![
                    e.add(whole, far_sum),
                    both(&mut e, 1, near_difference, far_difference),
                    both(&mut e, 2, near_sum, far_sum),
                    e.fma(b, far_difference, last),
                ]
            }
        };
        e
    }

    /// What the taps of a window weigh in each transformed weight.
    fn weight_transform(self) -> Vec<[f64; TAPS]> {
        match self {
            Self::Two => vec![[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
            Self::Four => {
                let (a, b) = (f64::from(NEAR), f64::from(FAR));
                let point = |at: f64, other: f64| {
                    let scale = 2.0 * at * at * (at * at - other * other);
                    [1.0 / scale, at / scale, at * at / scale]
                };
                let zero = 1.0 / (a * a * b * b);
                vec![[zero, 0.0, 0.0], point(a, b), point(-a, b), point(b, a), point(-b, a), [0.0, 0.0, 1.0]]
            }
        }
    }
}

/// The algorithm of one convolution: F(m x n, 3x3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Winograd {
    /// Along columns, whose elements are in different rows.
    pub rows: Filtering,
    /// Along rows.
    pub columns: Filtering,
}

impl Display for Winograd {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "F({}x{}, {TAPS}x{TAPS})", self.rows.outputs(), self.columns.outputs())
    }
}

/// What is chosen from: larger tiles save more multiplications and have more transformed weights.
const ALGORITHMS: [Winograd; 3] = [
    Winograd { rows: Filtering::Four, columns: Filtering::Four },
    Winograd { rows: Filtering::Four, columns: Filtering::Two },
    Winograd { rows: Filtering::Two, columns: Filtering::Two },
];

/// Multiply-adds in the time it takes to fetch a weight from beyond the second-level cache. In a whole network weights
/// come from there every time: at 15 to 30 GB/s against 40 to 180 GFLOP/s.
const COST_OF_WEIGHT: f64 = 16.0;

/// Multiply-adds in the time it takes to make or use up a transformed value, measured with 64 channels on AVX-512: the two
/// transforms of a layer took 0.4 of the time of its products.
const COST_OF_TRANSFORM: f64 = 13.0;

impl Winograd {
    /// The algorithm that a nest is cheapest with; nothing where that is the direct sum, or where the model wants it.
    pub fn choose(graph: &Graph, nest: &Nest) -> Option<Self> {
        let window = Window::of(graph, nest).filter(|_| !graph.by_definition.contains(&nest.name))?;
        let cost = |algorithm: &Self| algorithm.cost(&window);
        let best = ALGORITHMS.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
        let weights = (TAPS * TAPS * window.inputs * window.outputs) as f64;
        let direct = weights * ((window.height * window.width) as f64 + COST_OF_WEIGHT);
        (cost(&best) < direct).then_some(best)
    }

    /// Its transforms, all that decides bits, as text.
    pub(super) fn definition(&self) -> String {
        let one = |filtering: Filtering| {
            let (input, output) = (filtering.input_transform(), filtering.output_transform());
            format!("{input:?} {:?} {output:?}", filtering.weight_transform())
        };
        format!("{} {}", one(self.rows), one(self.columns))
    }

    fn cost(&self, window: &Window) -> f64 {
        let tiles = self.tiles(window).iter().product::<usize>() as f64;
        let (inputs, outputs) = (window.inputs as f64, window.outputs as f64);
        let each = inputs * outputs * (tiles + COST_OF_WEIGHT) + COST_OF_TRANSFORM * tiles * (inputs + outputs);
        each * self.values() as f64
    }

    /// Tiles in a column and in a row.
    pub fn tiles(&self, window: &Window) -> [usize; 2] {
        [window.height.div_ceil(self.rows.outputs()), window.width.div_ceil(self.columns.outputs())]
    }

    /// Rows and columns beyond the input's end that the last tiles reach into.
    pub fn overhang(&self, window: &Window, shape: &[usize]) -> [usize; 2] {
        let [down, across] = self.tiles(window);
        let end = |tiles: usize, filtering: Filtering| (tiles - 1) * filtering.outputs() + filtering.inputs();
        [
            end(down, self.rows).saturating_sub(window.top + shape[1]),
            end(across, self.columns).saturating_sub(window.left + shape[2]),
        ]
    }

    /// Transformed values of a tile of one channel.
    pub const fn values(&self) -> usize {
        self.rows.inputs() * self.columns.inputs()
    }

    /// The transformed weights in double precision, `[value][output channel][input channel]`. They are rounded once, to
    /// `f32`.
    ///
    /// # Panics
    /// When [`Window::of`] doesn't know the nest.
    pub fn weights(&self, graph: &Graph, nest: &Nest) -> Vec<f64> {
        let window = Window::of(graph, nest).expect("a window of 3x3");
        let access = &nest.reads[window.weight];
        let words = graph.constant(access.tensor).expect("weights are constant");
        let (rows, columns) = (self.rows.weight_transform(), self.columns.weight_transform());
        let plane = window.outputs * window.inputs;
        let mut transformed = vec![0.0; self.values() * plane];
        let place = |iteration: [usize; 6]| access.position(&iteration).expect("weights are never outside") as i64;
        // Each loop adds to the place what it would add alone; working that out for every weight would take an unoptimised
        // macro seconds.
        let first = place([0; 6]);
        let inputs: Vec<i64> = (0..window.inputs).map(|input| place([0, 0, 0, input, 0, 0]) - first).collect();
        let taps: [i64; TAPS * TAPS] = std::array::from_fn(|tap| place([0, 0, 0, 0, tap / TAPS, tap % TAPS]) - first);
        let mut at = 0;
        for output in 0..window.outputs {
            let start = place([output, 0, 0, 0, 0, 0]);
            for input in &inputs {
                let tap = |tap: usize| f64::from(f32::from_bits(words[(start + input + taps[tap]) as usize]));
                let (a, b, c) = ([tap(0), tap(1), tap(2)], [tap(3), tap(4), tap(5)], [tap(6), tap(7), tap(8)]);
                let mut target = at;
                for [x, y, z] in &rows {
                    let first = x * a[0] + y * b[0] + z * c[0];
                    let second = x * a[1] + y * b[1] + z * c[1];
                    let third = x * a[2] + y * b[2] + z * c[2];
                    for [x, y, z] in &columns {
                        transformed[target] = x * first + y * second + z * third;
                        target += plane;
                    }
                }
                at += 1;
            }
        }
        transformed
    }
}

/// A convolution with a window of 3x3 and a stride of one, as Winograd's algorithm takes it. Its loops are output
/// channel, row, column, input channel, row and column of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The read of activations.
    pub activation: usize,
    /// The read of weights.
    pub weight: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Rows of the output.
    pub height: usize,
    /// Columns of the output.
    pub width: usize,
    /// Rows of zeros above the input.
    pub top: usize,
    /// Columns of zeros before it.
    pub left: usize,
}

impl Window {
    /// The loop over output channels.
    pub const CHANNEL: usize = 0;
    /// The loop over rows.
    pub const ROW: usize = 1;
    /// The loop over columns.
    pub const COLUMN: usize = 2;

    /// Recognises a nest that Winograd's algorithm can carry out: activations, output and what is added to it are whole
    /// tensors of channels, rows and columns, or whole blocks of their channels.
    pub fn of(graph: &Graph, nest: &Nest) -> Option<Self> {
        let reduction = nest.reduction.as_ref().filter(|reduction| reduction.combine == Combine::FusedSum)?;
        let ([oc, y, x], [ic, ky, kx]) = (&nest.parallel[..], &reduction.axes[..]) else { return None };
        (ky.extent == TAPS && kx.extent == TAPS).then_some(())?;
        let factor = |i: usize| match reduction.term.nodes[reduction.term.results[i].0 as usize] {
            Node::Read(operand) => Some(operand),
            Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
        };
        let (a, b) = (factor(0)?, factor(1)?);
        let constant = |read: usize| graph.constant(nest.reads[read].tensor).is_some();
        let (activation, weight) = if constant(b) { (a, b) } else { (b, a) };
        let [top, left] = padding(graph, &nest.reads[activation])?;
        (constant(weight) && !constant(activation) && is_weight(&nest.reads[weight])).then_some(())?;
        let beside = |read: &usize| ![activation, weight].contains(read);
        let added = (0..nest.reads.len()).filter(beside).map(|read| &nest.reads[read]);
        (is_image(graph, &nest.write) && added.into_iter().all(|read| is_added(graph, read))).then_some(())?;
        Some(Self {
            activation,
            weight,
            inputs: ic.extent,
            outputs: oc.extent,
            height: y.extent,
            width: x.extent,
            top,
            left,
        })
    }
}

/// Rows and columns of zeros before an input that a window of 3x3 slides over.
fn padding(graph: &Graph, access: &Access) -> Option<[usize; 2]> {
    let tensor = graph.tensor(access.tensor);
    let zeros = matches!(access.outside, Outside::Never | Outside::Value(0));
    let fits = zeros && tensor.element == Element::F32 && access.shape == tensor.shape;
    let [channel, row, column] = &access.index[..] else { return None };
    (fits && *channel == Index::axis(3)).then_some(())?;
    let before = |index: &Index, axis: usize, tap: usize| {
        let mut axes: Vec<usize> = index.terms.iter().map(|term| term.axis.0).collect();
        axes.sort_unstable();
        let by_one = index.terms.iter().all(|term| term.factor == Factor::Stride(1));
        let padding = usize::try_from(-index.offset).ok()?;
        (axes == [axis, tap] && by_one && padding < TAPS).then_some(padding)
    };
    Some([before(row, 1, 4)?, before(column, 2, 5)?])
}

fn is_weight(access: &Access) -> bool {
    let moves = |axis: usize| access.index.iter().flat_map(|index| &index.terms).any(|term| term.axis.0 == axis);
    access.outside == Outside::Never && !moves(1) && !moves(2)
}

/// Whether an access is to an image, or whole blocks of its channels, as the nest's parallel loops walk it.
fn is_image(graph: &Graph, access: &Access) -> bool {
    let tensor = graph.tensor(access.tensor);
    let [channel, row, column] = &access.index[..] else { return false };
    let by_blocks = *channel == Index::axis(0).moved(channel.offset) && channel.offset % CHANNEL_BLOCK as i64 == 0;
    access.shape == tensor.shape && by_blocks && *row == Index::axis(1) && *column == Index::axis(2)
}

/// Whether what is read can be added to what an image holds: another image, or something that is constant or the same for
/// all channels.
fn is_added(graph: &Graph, access: &Access) -> bool {
    let moves = access.index.iter().flat_map(|index| &index.terms).any(|term| term.axis.0 == 0);
    let constant = matches!(graph.tensor(access.tensor).source, Source::Constant(_));
    access.outside == Outside::Never && (constant || !moves || is_image(graph, access))
}

/// What a nest stores once the products are transformed back: operand `reads.len()` is their sum, to which the start of
/// the nest's own sum is added.
pub fn store(nest: &Nest) -> Expression {
    let reduction = nest.reduction.as_ref().expect("a convolution sums");
    Expression::new(|e| {
        let start = e.inline_with(&reduction.start, Expression::read)[0];
        let sum = e.read(nest.reduced());
        let whole = e.add(sum, start);
        e.inline_with(&nest.store, |e, read| if read == nest.reduced() { whole } else { e.read(read) })[0]
    })
}
