//! Pooling: the maximum or the mean of every window. Source: `src/layer/pooling.cpp`.

use super::Lowering;
use super::lowering::axis;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use super::window::{self, Padding, Shape, Window};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Access, Axis, Combine, Index, Nest, Reduction, View};
use crate::ncnn::Parameters;

/// The loops of a nest: channel, row and column of the result, row and column of the window.
const C: usize = 0;
const Y: usize = 1;
const X: usize = 2;
const KY: usize = 3;
const KX: usize = 4;

pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "pooling", Accepts::OneOf(&[(0, "maximum"), (1, "mean")])),
        Parameter::new(1, "kernel width", Accepts::AtLeast(1)).required().when(has_windows),
        Parameter::new(2, "stride width", Accepts::AtLeast(1)).when(has_windows),
        Parameter::new(3, "padding left", Accepts::AtLeast(0)).when(has_windows),
        Parameter::new(4, "word that one window covers all", Accepts::Flag),
        // Beyond the padding the last window may reach or not; the others pad for one window for each stride begun.
        Parameter::new(5, "padding mode", Accepts::OneOf(PADDING_MODES)).when(has_windows),
        Parameter::new(6, "word that padding counts in the mean", Accepts::Flag),
        Parameter::new(7, "word that windows adapt to the output", Accepts::Flag),
        Parameter::new(8, "output width", Accepts::Integer),
        Parameter::new(11, "kernel height", Accepts::AtLeast(1)).when(has_windows),
        Parameter::new(12, "stride height", Accepts::AtLeast(1)).when(has_windows),
        Parameter::new(13, "padding top", Accepts::AtLeast(0)).when(has_windows),
        Parameter::new(14, "padding right", Accepts::AtLeast(0)).when(has_windows),
        Parameter::new(15, "padding bottom", Accepts::AtLeast(0)).when(has_windows),
        Parameter::new(18, "output height", Accepts::Integer),
    ],
);

const PADDING_MODES: &[(i32, &str)] = &[(0, "full"), (1, "valid"), (2, "same, the odd one after"), (3, "before")];

/// Whether the windows are those that the parameters describe.
fn has_windows(parameters: &Parameters) -> bool {
    parameters.int(4, 0) == 0 && parameters.int(7, 0) == 0
}

/// What becomes of a window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Maximum,
    Mean,
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = window::image(l, &l.fixed_input(0)?)?;
    let method = if l.layer.parameters.int(0, 0) == 0 { Method::Maximum } else { Method::Mean };
    if l.layer.parameters.int(4, 0) != 0 {
        global(l, &input, method);
        Ok(())
    } else if l.layer.parameters.int(7, 0) != 0 {
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
    add_nest(l, method, parallel, window, input.elementwise(), Count::Fixed(height * width), output.elementwise());
}

fn windowed(l: &mut Lowering, input: &View, method: Method) -> Result<(), Diagnostic> {
    let shapes = shapes(l, input)?;
    let rows = shapes[0].along_height(l).on(l, "height", input.shape[1])?;
    let columns = shapes[1].on(l, "width", input.shape[2])?;
    let shape = l.shape(&[input.shape[0] as i64, rows.outputs, columns.outputs])?;
    let output = l.output(0, &shape);
    // A maximum over padding alone is -FLT_MAX in ncnn.
    let outside = if method == Method::Maximum { f32::MIN } else { 0.0 };
    let read = input.at(vec![Index::axis(C), rows.index(Y, KY), columns.index(X, KX)]);
    let read = if rows.is_padded() || columns.is_padded() { read.or(outside) } else { read };
    let counts = [counted(l, &rows, "height", input.shape[1]), counted(l, &columns, "width", input.shape[2])];
    let same = |counts: &[f32]| counts.windows(2).all(|pair| pair[0] == pair[1]);
    let count = if method == Method::Maximum || counts.iter().all(|counts| same(counts)) {
        Count::Fixed((counts[0][0] * counts[1][0]) as usize)
    } else {
        let [rows, columns] = counts;
        let rows = l.constant("rows", &[rows.len()], &rows).at(vec![Index::axis(Y)]);
        let columns = l.constant("columns", &[columns.len()], &columns).at(vec![Index::axis(X)]);
        Count::Product(rows, columns)
    };
    let parallel = vec![axis("c", shape[0]), axis("y", shape[1]), axis("x", shape[2])];
    let window = vec![axis("ky", rows.kernel), axis("kx", columns.kernel)];
    add_nest(l, method, parallel, window, read, count, output.elementwise());
    Ok(())
}

/// The windows' shapes, height first, with the padding that the mode asks for.
fn shapes(l: &Lowering, input: &View) -> Result<[Shape; 2], Diagnostic> {
    let parameter = |id: u32, default: i64| i64::from(l.layer.parameters.int(id, default as i32));
    let kernel_w = parameter(1, 0);
    let kernel_h = parameter(11, kernel_w);
    let stride_w = parameter(2, 1);
    let stride_h = parameter(12, stride_w);
    let left = parameter(3, 0);
    let right = parameter(14, left);
    let top = parameter(13, left);
    let bottom = parameter(15, top);
    let mode = parameter(5, 0);
    if let (1, 0, 2 | 3) = (parameter(0, 0), parameter(6, 0), mode)
        && [left, right, top, bottom] != [0; 4]
    {
        // ncnn doesn't pad by these numbers, but leaves out of the mean as many of the outermost elements.
        let message = format!("a mean with padding mode {mode}, and padding of its own besides");
        return Err(l.error(message).hint("remove parameters 3, 13, 14 and 15, which this mode has no use for"));
    }
    let shape = |side: usize, kernel: i64, stride: i64, before: i64, after: i64| {
        let shape = Shape { kernel, dilation: 1, stride, padding: Padding::Explicit(before, after) };
        shape.extent(l, if side == 1 { "height" } else { "width" })?;
        let padding = match mode {
            0 => {
                let rest = (input.shape[side] as i64 + before + after - kernel) % stride;
                Padding::Explicit(before, after + if rest > 0 { stride - rest } else { 0 })
            }
            1 => Padding::Explicit(before, after),
            2 => Padding::SameUpper,
            _ => Padding::SameLower,
        };
        Ok(Shape { padding, ..shape })
    };
    Ok([shape(1, kernel_h, stride_h, top, bottom)?, shape(2, kernel_w, stride_w, left, right)?])
}

/// For each window along an axis of `extent` elements, how many of its elements count in a mean.
fn counted(l: &Lowering, window: &Window, side: &str, extent: usize) -> Vec<f32> {
    let kernel = window.kernel as i64;
    let all = l.layer.parameters.int(6, 0) != 0 || matches!(l.layer.parameters.int(5, 0), 2 | 3);
    let count = |position: i64| {
        if all {
            return kernel as f32;
        }
        let first = position * window.stride as i64 - window.before;
        (first + kernel).min(extent as i64).saturating_sub(first.max(0)).max(0) as f32
    };
    debug_assert!(window.outputs > 0, "{side}");
    (0..window.outputs).map(count).collect()
}

/// Windows that divide the input evenly: output `i` of `n` sees the elements from `floor(i m / n)` up to
/// `ceil((i + 1) m / n)` of `m`. Windows of equal size are one nest.
fn adaptive(l: &mut Lowering, input: &View, method: Method) -> Result<(), Diagnostic> {
    let width = i64::from(l.layer.parameters.int(8, 0));
    let height = i64::from(l.layer.parameters.int(18, width as i32));
    let [channels, rows, columns] = input.shape[..] else { unreachable!("an image has 3 axes") };
    let height = if height == -233 { rows as i64 } else { height };
    let width = if width == -233 { columns as i64 } else { width };
    let shape = l.shape(&[channels as i64, height, width])?;
    if shape == input.shape {
        // In its own rank, unlike what is pooled.
        l.set_output(0, l.fixed_input(0)?);
        return Ok(());
    }
    let output = l.output(0, &shape);
    for rows in windows_by_size(rows, shape[1]) {
        for columns in windows_by_size(columns, shape[2]) {
            let parallel = vec![axis("c", channels), axis("y", rows.outputs.len()), axis("x", columns.outputs.len())];
            let window = vec![axis("ky", rows.size), axis("kx", columns.size)];
            let row = Index::table(Y, rows.firsts.clone()).plus(KY, 1);
            let column = Index::table(X, columns.firsts.clone()).plus(KX, 1);
            let read = input.at(vec![Index::axis(C), row, column]);
            let written = vec![Index::axis(C), Index::table(Y, rows.outputs.clone()), Index::table(X, columns.outputs)];
            add_nest(l, method, parallel, window, read, Count::Fixed(rows.size * columns.size), output.at(written));
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

fn add_nest(
    l: &mut Lowering,
    method: Method,
    parallel: Vec<Axis>,
    window: Vec<Axis>,
    read: Access,
    count: Count,
    write: Access,
) {
    let mut reads = vec![read];
    let (combine, start) = match method {
        Method::Maximum => (Combine::Maximum, f32::NEG_INFINITY),
        Method::Mean => (Combine::Sum, 0.0),
    };
    let store = match (method, count) {
        (Method::Maximum, _) => Expression::read_of(1),
        (Method::Mean, Count::Fixed(count)) => Expression::new(|e| {
            let (sum, count) = (e.read(1), e.constant(count as f32));
            e.div(sum, count)
        }),
        (Method::Mean, Count::Product(rows, columns)) => {
            reads.extend([rows, columns]);
            Expression::new(|e| {
                let (rows, columns, sum) = (e.read(1), e.read(2), e.read(3));
                let count = e.mul(rows, columns);
                e.div(sum, count)
            })
        }
    };
    let (start, term) = (Expression::constant_of(start), Expression::read_of(0));
    let reduction = Some(Reduction { axes: window, combine, start, term });
    l.nest(Nest { name: String::new(), parallel, reduction, reads, store, write });
}
