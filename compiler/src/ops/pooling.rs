//! Pooling: the maximum or the mean of every window. Source: `src/layer/pooling.cpp`.
//!
//! The elements of padding count in a mean or not. Where they don't, ncnn leaves out as many of the outermost rows and
//! columns of the padded image as the padding's own parameters say, although with modes 2 and 3 it is padded by other
//! numbers. The mean of a window of which nothing counts is zero by zero, NaN.

use super::Lowering;
use super::lowering::axis;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use super::window::{self, KERNEL_HEIGHT, KERNEL_WIDTH, Padding, Shape, Window};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Access, Axis, Combine, Index, Nest, Reduction, View};
use crate::ncnn::{Layer, Parameters};

/// The loops of a nest: channel, row and column of the result, row and column of the window.
const C: usize = 0;
const Y: usize = 1;
const X: usize = 2;
const KY: usize = 3;
const KX: usize = 4;

const POOLING: u32 = 0;
const GLOBAL: u32 = 4;
const MODE: u32 = 5;
const PADDING_COUNTS: u32 = 6;
const ADAPTIVE: u32 = 7;
const OUTPUT_WIDTH: u32 = 8;
const OUTPUT_HEIGHT: u32 = 18;

pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(POOLING, "pooling", Accepts::OneOf(&[(0, "maximum"), (1, "mean")])),
        Parameter::new(KERNEL_WIDTH, "kernel width", Accepts::AtLeast(1)).required().when(has_windows),
        Parameter::new(2, "stride width", Accepts::AtLeast(1)).when(has_windows),
        Parameter::new(3, "padding left", Accepts::AtLeast(0)).when(pads_by_its_own_numbers),
        Parameter::new(GLOBAL, "flag that one window covers all", Accepts::Flag),
        Parameter::new(MODE, "padding mode", Accepts::OneOf(PADDING_MODES)).when(has_windows),
        Parameter::new(PADDING_COUNTS, "flag that padding counts in the mean", Accepts::Flag),
        Parameter::new(ADAPTIVE, "flag that windows adapt to the output", Accepts::Flag),
        Parameter::new(OUTPUT_WIDTH, "output width", Accepts::Integer),
        Parameter::new(KERNEL_HEIGHT, "kernel height", Accepts::AtLeast(1)).when(has_windows),
        Parameter::new(12, "stride height", Accepts::AtLeast(1)).when(has_windows),
        Parameter::new(13, "padding top", Accepts::AtLeast(0)).when(pads_by_its_own_numbers),
        Parameter::new(14, "padding right", Accepts::AtLeast(0)).when(pads_by_its_own_numbers),
        Parameter::new(15, "padding bottom", Accepts::AtLeast(0)).when(pads_by_its_own_numbers),
        Parameter::new(OUTPUT_HEIGHT, "output height", Accepts::Integer),
    ],
)
.rules(&[adapts_to_a_size]);

/// Full also pads behind the last element as much as the last window begun needs, same for one window at every stride.
const PADDING_MODES: &[(i32, &str)] =
    &[(0, "full"), (1, "valid"), (2, "same, the odd one after"), (3, "same, the odd one before")];

/// Stands for the size of the input where one of the output is wanted.
const KEPT: i32 = -233;

/// Whether the windows are those that the parameters describe.
fn has_windows(parameters: &Parameters) -> bool {
    parameters.int(GLOBAL, 0) == 0 && parameters.int(ADAPTIVE, 0) == 0
}

/// Whether they reach over the padding that is given side by side.
fn pads_by_its_own_numbers(parameters: &Parameters) -> bool {
    has_windows(parameters) && !matches!(parameters.int(MODE, 0), 2 | 3)
}

/// Width and height of the output that windows adapt to, each with the parameter that gives it.
fn adapted_size(parameters: &Parameters) -> [(u32, i32); 2] {
    let width = parameters.int(OUTPUT_WIDTH, 0);
    let given = if parameters.has(OUTPUT_HEIGHT) { OUTPUT_HEIGHT } else { OUTPUT_WIDTH };
    [(OUTPUT_WIDTH, width), (given, parameters.int(OUTPUT_HEIGHT, width))]
}

/// Refuses windows that adapt to an output without elements.
fn adapts_to_a_size(layer: &Layer) -> Result<(), Diagnostic> {
    let parameters = &layer.parameters;
    if parameters.int(GLOBAL, 0) != 0 || parameters.int(ADAPTIVE, 0) == 0 {
        return Ok(());
    }
    match adapted_size(parameters).into_iter().find(|(_, size)| *size < 1 && *size != KEPT) {
        None => Ok(()),
        Some((id, size)) => {
            let hint = format!("parameters 8 and 18 are the output's width and height, {KEPT} for the input's");
            Err(layer.error_in(id, format!("windows that adapt to an output of {size} elements")).hint(hint))
        }
    }
}

/// What becomes of a window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Maximum,
    Mean,
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = window::image(l, &l.fixed_input(0)?)?;
    let method = if l.layer.parameters.int(POOLING, 0) == 0 { Method::Maximum } else { Method::Mean };
    if l.layer.parameters.int(GLOBAL, 0) != 0 {
        global(l, &input, method);
        Ok(())
    } else if l.layer.parameters.int(ADAPTIVE, 0) != 0 {
        adaptive(l, &input, method)
    } else {
        windowed(l, &input, method)
    }
}

/// One number for each channel.
fn global(l: &mut Lowering, input: &View, method: Method) {
    let [channels, height, width] = input.shape[..] else { unreachable!("an image has 3 axes") };
    let output = l.output(0, &[channels]);
    let parallel = vec![axis("c", channels)];
    let window = vec![axis("y", height), axis("x", width)];
    let count = Count::Fixed(height * width);
    add_nest(l, method, parallel, window, Seen::all(input.elementwise()), count, output.elementwise());
}

fn windowed(l: &mut Lowering, input: &View, method: Method) -> Result<(), Diagnostic> {
    let sides = Side::both(l, input)?;
    let [rows, columns] = [sides[0].window, sides[1].window];
    let shape = l.shape(&[input.shape[0] as i64, rows.outputs, columns.outputs])?;
    let output = l.output(0, &shape);
    // A maximum over padding alone is -FLT_MAX in ncnn.
    let outside = if method == Method::Maximum { f32::MIN } else { 0.0 };
    let read = input.at(vec![Index::axis(C), rows.index(Y, KY), columns.index(X, KX)]);
    let read = if rows.is_padded() || columns.is_padded() { read.or(outside) } else { read };
    let (seen, count) = match method {
        Method::Maximum => (Seen::all(read), Count::Fixed(1)),
        Method::Mean => {
            l.tabulated(&shape[1..])?;
            l.tabulated(&input.shape[1..])?;
            (seen(l, &sides, read), count(l, &sides))
        }
    };
    let parallel = vec![axis("c", shape[0]), axis("y", shape[1]), axis("x", shape[2])];
    let window = vec![axis("ky", rows.kernel), axis("kx", columns.kernel)];
    add_nest(l, method, parallel, window, seen, count, output.elementwise());
    Ok(())
}

/// The windows along one axis of the input.
struct Side {
    window: Window,
    /// Elements of the input.
    extent: i64,
    /// The first element that counts in a mean, and the one behind the last. The first element of the input is 0; those
    /// of the padding lie before it and behind its last.
    counted: [i64; 2],
}

impl Side {
    /// The rows, then the columns.
    fn both(l: &Lowering, input: &View) -> Result<[Self; 2], Diagnostic> {
        let parameters = &l.layer.parameters;
        let parameter = |id: u32, default: i64| i64::from(parameters.int(id, default as i32));
        let kernel_w = parameter(KERNEL_WIDTH, 0);
        let kernel_h = parameter(KERNEL_HEIGHT, kernel_w);
        let stride_w = parameter(2, 1);
        let stride_h = parameter(12, stride_w);
        let left = parameter(3, 0);
        let right = parameter(14, left);
        let top = parameter(13, left);
        let bottom = parameter(15, top);
        let all_counts = parameters.int(PADDING_COUNTS, 0) != 0;
        let side = |axis: usize, kernel: i64, stride: i64, given: [i64; 2]| {
            let extent = input.shape[axis] as i64;
            let [before, after] = given;
            let padding = match parameters.int(MODE, 0) {
                0 => {
                    let rest = (extent + before + after - kernel) % stride;
                    Padding::Explicit(before, after + if rest > 0 { stride - rest } else { 0 })
                }
                2 => Padding::SameUpper,
                3 => Padding::SameLower,
                _ => Padding::Explicit(before, after),
            };
            let shape = Shape { kernel, dilation: 1, stride, padding };
            let window = match axis {
                1 => shape.along_height(l).on(l, "height", input.shape[axis])?,
                _ => shape.on(l, "width", input.shape[axis])?,
            };
            // By how much it was padded, and by the numbers that ncnn leaves out: they differ for a vector's height
            // too.
            let first = before - window.before;
            let end = if parameters.int(MODE, 0) == 0 { first + extent } else { extent + window.after - after };
            let counted = if all_counts { [i64::MIN, i64::MAX] } else { [first, end] };
            Ok(Self { window, extent, counted })
        };
        Ok([side(1, kernel_h, stride_h, [top, bottom])?, side(2, kernel_w, stride_w, [left, right])?])
    }

    /// For each element of the input, whether it counts.
    fn counted(&self) -> Vec<f32> {
        let counts = |at: i64| if (self.counted[0]..self.counted[1]).contains(&at) { 1.0 } else { 0.0 };
        (0..self.extent).map(counts).collect()
    }

    /// For each window, how many of its elements count.
    fn counts(&self) -> Vec<f32> {
        let kernel = self.window.kernel as i64;
        let count = |position: i64| {
            let first = position * self.window.stride as i64 - self.window.before;
            (first + kernel).min(self.counted[1]).saturating_sub(first.max(self.counted[0])).max(0) as f32
        };
        (0..self.window.outputs).map(count).collect()
    }
}

/// What a window sees of the input in a mean: all of it, unless elements of its own don't count.
fn seen(l: &mut Lowering, sides: &[Side; 2], read: Access) -> Seen {
    let [rows, columns] = [0, 1].map(|side| sides[side].counted());
    if rows.iter().chain(&columns).all(|counts| *counts == 1.0) {
        return Seen::all(read);
    }
    let row = vec![sides[0].window.index(Y, KY)];
    let column = vec![sides[1].window.index(X, KX)];
    let rows = l.constant("counted_rows", &[rows.len()], &rows).at(row).or(0.0);
    let columns = l.constant("counted_columns", &[columns.len()], &columns).at(column).or(0.0);
    let term = Expression::new(|e| {
        let [x, row, column] = [0, 1, 2].map(|operand| e.read(operand));
        let (zero, both) = (e.constant(0.0), e.mul(row, column));
        let counts = e.less(zero, both);
        // Not a product: an infinity that doesn't count is nothing.
        e.select(counts, x, zero)
    });
    Seen { reads: vec![read, rows, columns], term }
}

/// By what the sums are divided.
fn count(l: &mut Lowering, sides: &[Side; 2]) -> Count {
    let [rows, columns] = [0, 1].map(|side| sides[side].counts());
    let same = |counts: &[f32]| counts.windows(2).all(|pair| pair[0] == pair[1]);
    if same(&rows) && same(&columns) {
        return Count::Fixed((rows[0] * columns[0]) as usize);
    }
    let rows = l.constant("rows", &[rows.len()], &rows).at(vec![Index::axis(Y)]);
    let columns = l.constant("columns", &[columns.len()], &columns).at(vec![Index::axis(X)]);
    Count::Product(rows, columns)
}

/// Windows that divide the input evenly: output `i` of `n` sees the elements from `floor(i m / n)` up to
/// `ceil((i + 1) m / n)` of `m`. Windows of equal size are one nest.
fn adaptive(l: &mut Lowering, input: &View, method: Method) -> Result<(), Diagnostic> {
    let [width, height] = adapted_size(&l.layer.parameters).map(|(_, size)| size);
    let [channels, rows, columns] = input.shape[..] else { unreachable!("an image has 3 axes") };
    let height = if height == KEPT { rows as i64 } else { i64::from(height) };
    let width = if width == KEPT { columns as i64 } else { i64::from(width) };
    let shape = l.shape(&[channels as i64, height, width])?;
    if shape == input.shape {
        // In its own rank, unlike what is pooled.
        l.set_output(0, l.fixed_input(0)?);
        return Ok(());
    }
    l.tabulated(&shape[1..])?;
    let output = l.output(0, &shape);
    for rows in windows_by_size(rows, shape[1]) {
        for columns in windows_by_size(columns, shape[2]) {
            let parallel = vec![axis("c", channels), axis("y", rows.outputs.len()), axis("x", columns.outputs.len())];
            let window = vec![axis("ky", rows.size), axis("kx", columns.size)];
            let row = Index::table(Y, rows.firsts.clone()).plus(KY, 1);
            let column = Index::table(X, columns.firsts.clone()).plus(KX, 1);
            let read = input.at(vec![Index::axis(C), row, column]);
            let written = vec![Index::axis(C), Index::table(Y, rows.outputs.clone()), Index::table(X, columns.outputs)];
            let count = Count::Fixed(rows.size * columns.size);
            add_nest(l, method, parallel, window, Seen::all(read), count, output.at(written));
        }
    }
    Ok(())
}

/// Windows of equal size along an axis.
struct EqualWindows {
    size: usize,
    outputs: Vec<i64>,
    /// The first element that each output sees.
    firsts: Vec<i64>,
}

fn windows_by_size(extent: usize, outputs: usize) -> Vec<EqualWindows> {
    let mut groups: Vec<EqualWindows> = Vec::new();
    for output in 0..outputs {
        let first = extent * output / outputs;
        let size = (extent * (output + 1)).div_ceil(outputs) - first;
        let at = groups.iter().position(|group| group.size == size).unwrap_or_else(|| {
            groups.push(EqualWindows { size, outputs: Vec::new(), firsts: Vec::new() });
            groups.len() - 1
        });
        groups[at].outputs.push(output as i64);
        groups[at].firsts.push(first as i64);
    }
    groups
}

/// By what a sum is divided to be a mean.
enum Count {
    Fixed(usize),
    /// The product of two numbers of each window.
    Product(Access, Access),
}

/// What a window sees.
struct Seen {
    reads: Vec<Access>,
    /// Each of its elements by the reads.
    term: Expression,
}

impl Seen {
    /// Every element of the input under it.
    fn all(read: Access) -> Self {
        Self { reads: vec![read], term: Expression::read_of(0) }
    }
}

fn add_nest(
    l: &mut Lowering,
    method: Method,
    parallel: Vec<Axis>,
    window: Vec<Axis>,
    Seen { mut reads, term }: Seen,
    count: Count,
    write: Access,
) {
    let (combine, start) = match method {
        Method::Maximum => (Combine::Maximum, f32::NEG_INFINITY),
        Method::Mean => (Combine::Sum, 0.0),
    };
    let store = match (method, count) {
        (Method::Maximum, _) => Expression::read_of(reads.len()),
        (Method::Mean, Count::Fixed(count)) => {
            let sum = reads.len();
            Expression::new(|e| {
                let (sum, count) = (e.read(sum), e.constant(count as f32));
                e.div(sum, count)
            })
        }
        (Method::Mean, Count::Product(rows, columns)) => {
            let first = reads.len();
            reads.extend([rows, columns]);
            Expression::new(|e| {
                let [rows, columns, sum] = [0, 1, 2].map(|operand| e.read(first + operand));
                let count = e.mul(rows, columns);
                e.div(sum, count)
            })
        }
    };
    let reduction = Some(Reduction { axes: window, combine, start: Expression::constant_of(start), term });
    l.nest(Nest { name: String::new(), parallel, reduction, reads, store, write });
}
