//! Interp: an image resized by the nearest element, by linear or by cubic interpolation.
//!
//! Positions and coefficients are computed as in ncnn (`src/layer/interp.cpp`), in its precisions. Of a blob of four
//! dimensions ncnn takes the first plane of each channel for the whole of it, unless it keeps its size.

use super::Lowering;
use super::shape::{MOST_TABULATED, Side, extent};
use super::signature::{Accepts, Blobs, Parameter, Signature};
use super::size_expression::{self, inputs_read};
use crate::diagnostic::{Code, Diagnostic};
use crate::expression::{Expression, NodeId};
use crate::graph::{Access, Index, Source, View, axes};
use crate::ncnn::{Layer, Parameters};
use std::sync::Arc;

const METHOD: u32 = 0;
const HEIGHT_FACTOR: u32 = 1;
const WIDTH_FACTOR: u32 = 2;
const HEIGHT: u32 = 3;
const WIDTH: u32 = 4;
const AS_REFERENCE: u32 = 5;
const CORNERS: u32 = 6;
const SIZES: u32 = 9;

pub(super) const SIGNATURE: Signature = Signature::new(
    blobs,
    &[
        Parameter::new(METHOD, "method", Accepts::OneOf(METHODS)),
        Parameter::new(HEIGHT_FACTOR, "factor of the height", Accepts::Float),
        Parameter::new(WIDTH_FACTOR, "factor of the width", Accepts::Float),
        Parameter::new(HEIGHT, "output height", Accepts::AtLeast(0)).when(has_given_size),
        Parameter::new(WIDTH, "output width", Accepts::AtLeast(0)).when(has_given_size),
        // Only 1 says so.
        Parameter::new(AS_REFERENCE, "flag that the second input has the output's size", Accepts::Integer),
        Parameter::new(CORNERS, "flag that the corners of both images are the same points", Accepts::Flag),
        Parameter::new(SIZES, "width and height", Accepts::Text),
    ],
)
.rules(&[|layer| size_expression::check(layer, SIZES), widens]);

/// Refuses a width that leaves no column, or too many of any input, where it is one that counts; of a blob without rows, the
/// height doesn't.
fn widens(layer: &Layer) -> Result<(), Diagnostic> {
    let parameters = &layer.parameters;
    let is_sized = is_as_reference(parameters) || !expressions(parameters).is_empty();
    let factor = parameters.float(WIDTH_FACTOR, 1.0);
    let is_given = has_given_size(parameters);
    let (id, columns) = if is_given { (WIDTH, parameters.int(WIDTH, 0) as f32) } else { (WIDTH_FACTOR, factor) };
    if is_sized {
        Ok(())
    } else if columns > MOST_TABULATED as f32 {
        let message = format!("the output would have more than {MOST_TABULATED} columns");
        Err(layer.error_in(id, message).code(Code::Size).hint("look for a width or a factor that is far too large"))
    } else if !is_given && factor <= 0.0 {
        let message = format!("the factor of the width is {factor}, which leaves nothing");
        Err(layer.error_in(id, message).hint("it must be above 0"))
    } else {
        Ok(())
    }
}

const METHODS: &[(i32, &str)] =
    &[(0, "none, where the size stays as it is"), (1, "nearest"), (2, "linear"), (3, "cubic")];

/// The width and height as size expressions.
fn expressions(parameters: &Parameters) -> &str {
    parameters.string(SIZES).unwrap_or_default()
}

fn is_as_reference(parameters: &Parameters) -> bool {
    parameters.int(AS_REFERENCE, 0) == 1
}

/// Whether the size of the output is neither a factor, nor another input's, nor an expression.
fn has_given_size(parameters: &Parameters) -> bool {
    let given = [HEIGHT, WIDTH].iter().all(|id| parameters.int(*id, 0) != 0);
    given && !is_as_reference(parameters) && expressions(parameters).is_empty()
}

/// As in ncnn, there may be further inputs as soon as there is a second one to be read.
fn blobs(parameters: &Parameters) -> Blobs {
    let read = inputs_read(expressions(parameters)).max(if is_as_reference(parameters) { 2 } else { 1 });
    if read > 1 { Blobs::at_least(read, 1) } else { Blobs::new(1, 1) }
}

/// How values between elements come about.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Nearest,
    Linear,
    Cubic,
}

/// How one axis is resized.
#[derive(Clone, Copy)]
struct Resize {
    from: usize,
    to: usize,
    /// The factor, where that and not the size of the output was given.
    factor: Option<f32>,
    corners: bool,
}

impl Resize {
    /// Whether the axis stays as it is. Cubic interpolation moves points when a factor keeps the size by rounding only.
    fn keeps(&self, method: Option<Method>) -> bool {
        let moves = method == Some(Method::Cubic) && self.factor.is_some_and(|factor| factor != 1.0);
        self.from == self.to && !moves
    }
}

/// What each element of an output axis is made of: for each tap, where it reads and with which weight.
struct Taps {
    places: Vec<Arc<[i64]>>,
    weights: Vec<Vec<f32>>,
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let corners = l.layer.parameters.int(CORNERS, 0) != 0;
    let (height, width) = target(l, &input.shape)?;
    let factor = |id| l.layer.parameters.float(id, 1.0);
    let vertical =
        |from| Resize { from, to: height.size, factor: (!height.given).then(|| factor(HEIGHT_FACTOR)), corners };
    let horizontal =
        |from| Resize { from, to: width.size, factor: (!width.given).then(|| factor(WIDTH_FACTOR)), corners };
    match input.shape[..] {
        [channels] => {
            let out_shape = [channels, height.size, width.size];
            let output = l.moved_output(0, &out_shape, &input);
            l.map(&output, vec![input.at(vec![Index::axis(0)])], Expression::read_of(0));
            Ok(())
        }
        [_, w] => resize(l, &input, None, horizontal(w)),
        [_, h, w] => resize(l, &input, Some(vertical(h)), horizontal(w)),
        [_, _, h, w] if vertical(h).keeps(method(l)) && horizontal(w).keeps(method(l)) => {
            l.set_output(0, input);
            Ok(())
        }
        _ => {
            let planes = first_planes(l, &input);
            let (h, w) = (planes.shape[1], planes.shape[2]);
            resize(l, &planes, Some(vertical(h)), horizontal(w))
        }
    }
}

/// The first plane of each channel of a blob of four dimensions.
fn first_planes(l: &mut Lowering, input: &View) -> View {
    let shape = [input.shape[0], input.shape[2], input.shape[3]];
    let name = format!("{}.planes", l.layer.name);
    let element = l.graph.tensor(input.tensor).element;
    let planes = l.add(&name, &shape, element, Source::Computed);
    let index = vec![Index::axis(0), Index::constant(0), Index::axis(1), Index::axis(2)];
    l.copy(axes(&shape), input.at(index), &planes, (0..3).map(Index::axis).collect());
    planes
}

/// The size of an output axis, and whether it was given as such and not as a factor.
#[derive(Clone, Copy)]
struct Target {
    size: usize,
    given: bool,
}

/// Height and width of the output.
fn target(l: &Lowering, shape: &[usize]) -> Result<(Target, Target), Diagnostic> {
    let parameters = &l.layer.parameters;
    let (given_height, given_width) = (parameters.int(HEIGHT, 0), parameters.int(WIDTH, 0));
    // A vector is a column of images of one pixel.
    let size = |side| if shape.len() == 1 { 1 } else { extent(shape, side) };
    let scaled = |size: usize, id| (size as f32 * parameters.float(id, 1.0)) as i64;
    let (height, width, given) = match l.sizes(SIZES)?.as_deref() {
        Some([width]) => (extent(shape, Side::Height) as i64, i64::from(*width), true),
        Some([width, height]) => (i64::from(*height), i64::from(*width), true),
        Some(sizes) => {
            let hint = "parameter 9 is the width and the height";
            return Err(l.error_in(SIZES, format!("{} sizes for an image", sizes.len())).hint(hint));
        }
        None if is_as_reference(parameters) => {
            let reference = l.fixed_input(1)?.shape;
            (extent(&reference, Side::Height) as i64, extent(&reference, Side::Width) as i64, true)
        }
        None if given_height == 0 || given_width == 0 => {
            (scaled(size(Side::Height), HEIGHT_FACTOR), scaled(size(Side::Width), WIDTH_FACTOR), false)
        }
        None => (i64::from(given_height), i64::from(given_width), true),
    };
    // Only the rows of a two-dimensional blob are resized.
    let height = if shape.len() == 2 { shape[0] as i64 } else { height };
    let channels = if shape.len() == 2 { 1 } else { shape[0] as i64 };
    let shape = l.shape(&[channels, height, width])?;
    l.tabulated(&shape[1..])?;
    let target = |size: i64, id| Target { size: size as usize, given: given || parameters.int(id, 0) != 0 };
    Ok((target(height, HEIGHT), target(width, WIDTH)))
}

/// How the layer interpolates, if it does.
fn method(l: &Lowering) -> Option<Method> {
    match l.layer.parameters.int(METHOD, 0) {
        1 => Some(Method::Nearest),
        2 => Some(Method::Linear),
        3 => Some(Method::Cubic),
        _ => None,
    }
}

/// Resizes the last axis and, where wanted, the one before.
fn resize(l: &mut Lowering, input: &View, rows: Option<Resize>, columns: Resize) -> Result<(), Diagnostic> {
    let method = method(l);
    let axes: Vec<Resize> = rows.into_iter().chain([columns]).collect();
    if axes.iter().all(|axis| axis.keeps(method)) {
        l.set_output(0, input.clone());
        return Ok(());
    }
    let Some(method) = method else {
        let hint = "parameter 0 is 1 for the nearest element, 2 for linear and 3 for cubic interpolation";
        return Err(l.error_in(METHOD, "the size changes, but no method is given").hint(hint));
    };
    let x_axis = input.shape.len() - 1;
    let mut extents: Vec<i64> = input.shape.iter().map(|extent| *extent as i64).collect();
    extents[x_axis] = columns.to as i64;
    if let Some(rows) = rows {
        extents[x_axis - 1] = rows.to as i64;
    }
    let out_shape = l.shape(&extents)?;
    match (method, rows) {
        (Method::Nearest, _) => {
            let output = l.moved_output(0, &out_shape, input);
            let mut index: Vec<Index> = (0..=x_axis).map(Index::axis).collect();
            for (resize, axis) in axes.iter().rev().zip([x_axis, x_axis.saturating_sub(1)]) {
                index[axis] = Index::table(axis, nearest(resize));
            }
            l.map(&output, vec![input.at(index)], Expression::read_of(0));
        }
        (Method::Linear, Some(rows)) => {
            let output = l.output(0, &out_shape);
            four_taps(l, input, &output, &linear(&rows), &linear(&columns));
        }
        (Method::Linear, None) => {
            let output = l.output(0, &out_shape);
            along(l, input, &output, x_axis, &linear(&columns), "x");
        }
        (Method::Cubic, Some(rows)) => {
            // Two passes: eight taps for each element instead of sixteen.
            let mut between = input.shape.clone();
            between[x_axis] = columns.to;
            let between = l.temporary("rows", &between);
            along(l, input, &between, x_axis, &cubic(&columns), "x");
            let output = l.output(0, &out_shape);
            along(l, &between, &output, x_axis - 1, &cubic(&rows), "y");
        }
        (Method::Cubic, None) => {
            let output = l.output(0, &out_shape);
            along(l, input, &output, x_axis, &cubic(&columns), "x");
        }
    }
    Ok(())
}

/// The weights of the taps as constants, read along `axis`.
fn weight_reads(l: &mut Lowering, taps: &Taps, axis: usize, name: &str) -> Vec<Access> {
    let mut reads = Vec::new();
    for (tap, weights) in taps.weights.iter().enumerate() {
        let constant = l.constant(&format!("{name}{tap}"), &[weights.len()], weights);
        reads.push(constant.at(vec![Index::axis(axis)]));
    }
    reads
}

/// The first product, and each next one added to it.
fn sum_of_products(e: &mut Expression, values: &[NodeId], weights: &[NodeId]) -> NodeId {
    let mut sum = None;
    for (value, weight) in values.iter().zip(weights) {
        sum = Some(match sum {
            None => e.mul(*value, *weight),
            Some(sum) => e.fma(*value, *weight, sum),
        });
    }
    sum.expect("an interpolation has taps")
}

/// Adds the nest that interpolates along one axis.
fn along(l: &mut Lowering, input: &View, output: &View, axis: usize, taps: &Taps, name: &str) {
    let count = taps.places.len();
    let mut reads: Vec<Access> = Vec::new();
    for places in &taps.places {
        let mut index: Vec<Index> = (0..input.shape.len()).map(Index::axis).collect();
        index[axis] = Index::table(axis, places.clone());
        reads.push(input.at(index));
    }
    reads.extend(weight_reads(l, taps, axis, name));
    let value = Expression::new(|e| {
        let nodes: Vec<NodeId> = (0..2 * count).map(|operand| e.read(operand)).collect();
        sum_of_products(e, &nodes[..count], &nodes[count..])
    });
    l.map(output, reads, value);
}

/// Adds the nest that interpolates linearly in an image: along both rows, then between them.
fn four_taps(l: &mut Lowering, input: &View, output: &View, rows: &Taps, columns: &Taps) {
    let (y, x) = (input.shape.len() - 2, input.shape.len() - 1);
    let mut reads: Vec<Access> = Vec::new();
    for row in &rows.places {
        for column in &columns.places {
            let mut index: Vec<Index> = (0..input.shape.len()).map(Index::axis).collect();
            index[y] = Index::table(y, row.clone());
            index[x] = Index::table(x, column.clone());
            reads.push(input.at(index));
        }
    }
    reads.extend(weight_reads(l, columns, x, "x"));
    reads.extend(weight_reads(l, rows, y, "y"));
    let value = Expression::new(|e| {
        let nodes: Vec<NodeId> = (0..8).map(|operand| e.read(operand)).collect();
        let (upper, lower, across, down) = (&nodes[0..2], &nodes[2..4], &nodes[4..6], &nodes[6..8]);
        let between = [sum_of_products(e, upper, across), sum_of_products(e, lower, across)];
        sum_of_products(e, &between, down)
    });
    l.map(output, reads, value);
}

fn nearest(axis: &Resize) -> Arc<[i64]> {
    let step = axis.factor.map_or(axis.from as f32 / axis.to as f32, |factor| 1.0 / factor);
    (0..axis.to).map(|at| ((at as f32 * step) as i64).min(axis.from as i64 - 1)).collect()
}

/// The whole and the fractional position in the input of an element of the output.
fn position(axis: &Resize, at: usize) -> (i64, f32) {
    let position = if axis.corners {
        // An output of one element lies on the first.
        let step = if axis.to > 1 { (axis.from as f64 - 1.0) / (axis.to as f64 - 1.0) } else { 0.0 };
        (at as f64 * step) as f32
    } else {
        let step = axis.factor.map_or(axis.from as f64 / axis.to as f64, |factor| f64::from(1.0 / factor));
        ((at as f64 + 0.5) * step - 0.5) as f32
    };
    (position.floor() as i64, position - position.floor())
}

/// Taps whose places count from the whole position and stay within the input.
fn taps(axis: &Resize, first: i64, weights_at: impl Fn(i64, f32) -> Vec<f32>) -> Taps {
    let positions: Vec<(i64, f32)> = (0..axis.to).map(|at| position(axis, at)).collect();
    let weights: Vec<Vec<f32>> = positions.iter().map(|(whole, part)| weights_at(*whole, *part)).collect();
    let count = weights.first().map_or(0, Vec::len);
    let last = axis.from as i64 - 1;
    let places = |tap: usize| positions.iter().map(|(whole, _)| (whole + first + tap as i64).clamp(0, last)).collect();
    Taps {
        places: (0..count).map(places).collect(),
        weights: (0..count).map(|tap| weights.iter().map(|at| at[tap]).collect()).collect(),
    }
}

fn linear(axis: &Resize) -> Taps {
    let last = axis.from as i64 - 1;
    taps(axis, 0, |whole, part| {
        // Beyond the outermost elements the image goes on as they are.
        let part = if whole < 0 || whole >= last { 0.0 } else { part };
        vec![1.0 - part, part]
    })
}

/// Keys' cubic convolution with A = -0.75.
fn cubic(axis: &Resize) -> Taps {
    taps(axis, -1, |_, part| {
        const A: f32 = -0.75;
        let outer = part + 1.0;
        let inner = |x: f32| (A + 2.0) * x * x * x - (A + 3.0) * x * x + 1.0;
        let first = A * outer * outer * outer - 5.0 * A * outer * outer + 8.0 * A * outer - 4.0 * A;
        let (second, third) = (inner(part), inner(1.0 - part));
        vec![first, second, third, 1.0 - first - second - third]
    })
}
