//! Tile, Flip, Diag, CopyTo, GLU and CumulativeSum: elements put elsewhere or met with others of the same blob. Sources:
//! `src/layer/tile.cpp`, `flip.cpp`, `diag.cpp`, `copyto.cpp`, `glu.cpp` and `cumulativesum.cpp`.

use super::Lowering;
use super::shape::{Side, extent, sides, text};
use super::signature::{Accepts, MOST_AXES, ONE_TO_ONE, Parameter, Signature, TWO_TO_ONE};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Index, View};
use crate::ncnn::{Layer, Parameters};

const REPEATS: u32 = 2;

/// Repeats are along an axis, or listed for the innermost axes.
pub(super) const TILE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "axis", Accepts::Integer).when(has_no_repeats),
        Parameter::new(1, "number of repeats", Accepts::AtLeast(1)).when(has_no_repeats),
        Parameter::new(REPEATS, "numbers of repeats", Accepts::Integers),
    ],
)
.rules(&[repeats_blobs]);

pub(super) const FLIP: Signature = Signature::new(ONE_TO_ONE, &[Parameter::new(0, "axes", Accepts::Axes)]);

pub(super) const DIAGONAL: Signature =
    Signature::new(ONE_TO_ONE, &[Parameter::new(0, "distance above the main diagonal", Accepts::Integer)]);

const OFFSETS: u32 = 9;
const OFFSET_AXES: u32 = 11;

/// Offsets are given side by side, or listed for some axes.
pub(super) const COPY_TO: Signature = Signature::new(
    TWO_TO_ONE,
    &[
        Parameter::new(0, "offset along the width", Accepts::Integer).when(has_no_offsets),
        Parameter::new(1, "offset along the height", Accepts::Integer).when(has_no_offsets),
        Parameter::new(2, "offset along the channels", Accepts::Integer).when(has_no_offsets),
        Parameter::new(OFFSETS, "offsets", Accepts::Integers),
        Parameter::new(OFFSET_AXES, "axes of the offsets", Accepts::Axes),
        Parameter::new(13, "offset along the depth", Accepts::Integer).when(has_no_offsets),
    ],
)
.rules(&[offsets_have_axes]);

/// GLU and CumulativeSum; of a vector, whatever the number, the only one.
pub(super) const ALONG: Signature = Signature::new(ONE_TO_ONE, &[Parameter::new(0, "axis", Accepts::Integer)]);

fn has_no_repeats(parameters: &Parameters) -> bool {
    parameters.words(REPEATS).is_empty()
}

fn repeats_blobs(layer: &Layer) -> Result<(), Diagnostic> {
    let listed = layer.parameters.ints(REPEATS);
    if listed.len() > MOST_AXES {
        let message = format!("{} repeats are given", listed.len());
        return Err(layer.error_in(REPEATS, message).hint("a blob has at most four axes"));
    }
    match listed.iter().find(|times| **times < 1) {
        None => Ok(()),
        Some(times) => {
            let message = format!("an axis would be repeated {times} times");
            Err(layer.error_in(REPEATS, message).hint("every number of repeats must be at least 1"))
        }
    }
}

fn has_no_offsets(parameters: &Parameters) -> bool {
    parameters.words(OFFSETS).is_empty()
}

fn offsets_have_axes(layer: &Layer) -> Result<(), Diagnostic> {
    let (offsets, axes) = (layer.parameters.ints(OFFSETS).len(), layer.parameters.ints(OFFSET_AXES).len());
    if offsets > MOST_AXES || offsets > 0 && axes > 0 && offsets != axes {
        let message =
            if axes == 0 { format!("{offsets} offsets") } else { format!("{offsets} offsets for {axes} axes") };
        let hint = "give one for each axis that parameter 11 lists, or for each axis of the blob, at most four";
        return Err(layer.error_in(OFFSETS, message).hint(hint));
    }
    Ok(())
}

/// Tile: the input repeated along its axes.
pub(super) fn tile(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let repeats = repeats(l, input.shape.len())?;
    // As in ncnn, the channels of three axes stay the outermost of four.
    let shape: Vec<usize> = sides(repeats.len()).iter().map(|side| extent(&input.shape, *side)).collect();
    let seen = input.reshaped(&shape);
    let extents: Vec<i64> = seen.shape.iter().zip(&repeats).map(|(extent, times)| *extent as i64 * times).collect();
    let out_shape = l.shape(&extents)?;
    if repeats.iter().all(|times| *times == 1) {
        l.set_output(0, seen);
        return Ok(());
    }
    l.tabulated(&out_shape)?;
    let index = seen.shape.iter().zip(&repeats).enumerate().map(|(axis, (extent, times))| match (extent, times) {
        (1, _) => Index::constant(0),
        (_, 1) => Index::axis(axis),
        _ => Index::table(axis, (0..out_shape[axis]).map(|at| (at % extent) as i64).collect::<Vec<_>>()),
    });
    let read = seen.at(index.collect());
    let output = l.moved_output(0, &out_shape, &input);
    l.map(&output, vec![read], Expression::read_of(0));
    Ok(())
}

/// How often each axis of the output repeats, outermost first; at least as many as the input has axes.
fn repeats(l: &mut Lowering, rank: usize) -> Result<Vec<i64>, Diagnostic> {
    let parameters = &l.layer.parameters;
    if has_no_repeats(parameters) {
        let axis = l.axis_along(0, parameters.int(0, 0), rank)?;
        return Ok((0..rank).map(|at| if at == axis { i64::from(parameters.int(1, 1)) } else { 1 }).collect());
    }
    let listed = parameters.ints(REPEATS);
    let outer = vec![1; rank.saturating_sub(listed.len())];
    Ok(outer.into_iter().chain(listed.into_iter().map(i64::from)).collect())
}

/// Flip: the input read backwards along some axes.
pub(super) fn flip(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let rank = input.shape.len();
    let mut flipped = Vec::new();
    for number in l.layer.parameters.ints(0) {
        flipped.push(l.axis_along(0, number, rank)?);
    }
    if flipped.iter().all(|axis| input.shape[*axis] == 1) {
        l.set_output(0, input);
        return Ok(());
    }
    let index = (0..rank).map(|axis| {
        if flipped.contains(&axis) {
            Index::constant(input.shape[axis] as i64 - 1).plus(axis, -1)
        } else {
            Index::axis(axis)
        }
    });
    let read = input.at(index.collect());
    let output = l.moved_output(0, &input.shape, &input);
    l.map(&output, vec![read], Expression::read_of(0));
    Ok(())
}

/// Diag: a vector as a diagonal among zeros, or the diagonal of a matrix.
pub(super) fn diagonal(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let above = i64::from(l.layer.parameters.int(0, 0));
    let (row, column) = ((-above).max(0), above.max(0));
    match input.shape[..] {
        [length] => {
            let side = length as i64 + above.abs();
            let out_shape = l.shape(&[side, side])?;
            let output = l.moved_output(0, &out_shape, &input);
            // The second index is 0 on the diagonal and outside elsewhere.
            let index = vec![Index::axis(0).moved(-row), Index::axis(0).plus(1, -1).moved(column - row)];
            l.map(&output, vec![input.reshaped(&[length, 1]).at(index).or(0.0)], Expression::read_of(0));
        }
        [height, width] => {
            let length = (height as i64 - row).min(width as i64 - column);
            let out_shape = l.shape(&[length])?;
            let output = l.moved_output(0, &out_shape, &input);
            let index = vec![Index::axis(0).moved(row), Index::axis(0).moved(column)];
            l.map(&output, vec![input.at(index)], Expression::read_of(0));
        }
        _ => {
            let message = format!("Diag takes a vector or a matrix, not {}", text(&input.shape));
            return Err(l.error(message).hint("put a Reshape before it"));
        }
    }
    Ok(())
}

/// CopyTo: the first input with a box of it replaced by the second.
pub(super) fn copy_to(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (whole, part) = (l.fixed_input(0)?, l.fixed_input(1)?);
    if whole.shape == part.shape {
        l.set_output(0, part);
        return Ok(());
    }
    let offsets = box_offsets(l, &whole)?;
    let fits = whole.shape.iter().zip(&part.shape).zip(&offsets).all(|((whole, part), offset)| {
        *offset >= 0 && offset.checked_add(*part as i64).is_some_and(|end| end <= *whole as i64)
    });
    if part.shape.len() != whole.shape.len() || !fits {
        let message = format!("a box of {} doesn't fit into {}", text(&part.shape), text(&whole.shape));
        return Err(l.error(message).hint("at its offset it must lie within the first input"));
    }
    let ranges: Vec<_> =
        offsets.iter().zip(&part.shape).map(|(offset, extent)| *offset as usize..*offset as usize + extent).collect();
    let inside = l.inside(&whole.shape, &ranges)?;
    let index = offsets.iter().enumerate().map(|(axis, offset)| Index::axis(axis).moved(-offset)).collect();
    let output = l.moved_output(0, &whole.shape, &whole);
    let value = Expression::new(|e| {
        let (whole, part, inside, one) = (e.read(0), e.read(1), e.read(2), e.constant(1.0));
        let within = e.equal(inside, one);
        e.select(within, part, whole)
    });
    l.map(&output, vec![whole.elementwise(), part.at(index).or(0.0), inside], value);
    Ok(())
}

fn box_offsets(l: &Lowering, whole: &View) -> Result<Vec<i64>, Diagnostic> {
    let parameters = &l.layer.parameters;
    let rank = whole.shape.len();
    let (starts, numbers) = (parameters.ints(OFFSETS), parameters.ints(OFFSET_AXES));
    if has_no_offsets(parameters) {
        let id = |side: &Side| match side {
            Side::Width => 0,
            Side::Height => 1,
            Side::Depth => 13,
            Side::Channels => 2,
        };
        return Ok(sides(rank).iter().map(|side| i64::from(parameters.int(id(side), 0))).collect());
    }
    let along = if numbers.is_empty() { (0..rank).collect() } else { l.axes_in(OFFSET_AXES, &numbers, rank)? };
    if starts.len() < along.len() {
        let message = format!("{} offsets for {} axes", starts.len(), along.len());
        return Err(l.error_in(OFFSETS, message).hint("give one for each axis, or list their axes in parameter 11"));
    }
    let mut offsets = vec![0; rank];
    for (axis, start) in along.iter().zip(starts) {
        offsets[*axis] = match start {
            -233 => 0,
            start if start < 0 => whole.shape[*axis] as i64 + i64::from(start),
            start => i64::from(start),
        };
    }
    Ok(offsets)
}

/// GLU: the first half of the input along an axis times the sigmoid of the second.
pub(super) fn gated(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let rank = input.shape.len();
    let axis = l.axis_along(0, l.layer.parameters.int(0, 0), rank)?;
    let extent = input.shape[axis];
    if extent % 2 != 0 {
        let message = format!("{extent} entries along axis {axis} have no two halves");
        return Err(l.error_in(0, message).hint("the extent of that axis must be even"));
    }
    let mut out_shape = input.shape.clone();
    out_shape[axis] = extent / 2;
    let half = |offset: usize| {
        let moved = |at: usize| Index::axis(at).moved(if at == axis { offset as i64 } else { 0 });
        input.at((0..rank).map(moved).collect())
    };
    let output = l.output(0, &out_shape);
    let value = Expression::new(|e| {
        let (x, y) = (e.read(0), e.read(1));
        let gate = e.call(Function::Sigmoid, &[y]);
        e.mul(x, gate)
    });
    l.map(&output, vec![half(0), half(extent / 2)], value);
    Ok(())
}

/// CumulativeSum: each element and all before it along an axis.
///
/// In steps that double the distance: as many nests as the extent has binary digits, each of them parallel.
pub(super) fn cumulative_sum(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let rank = input.shape.len();
    let axis = l.axis_along(0, l.layer.parameters.int(0, 0), rank)?;
    let extent = input.shape[axis];
    let mut sums = input;
    let mut distance = 1;
    while distance < extent {
        let earlier = |at: usize| Index::axis(at).moved(if at == axis { -(distance as i64) } else { 0 });
        let reads = vec![sums.elementwise(), sums.at((0..rank).map(earlier).collect()).or(0.0)];
        let last = distance * 2 >= extent;
        let to = if last { l.output(0, &sums.shape) } else { l.temporary("sums", &sums.shape) };
        let value = Expression::new(|e| {
            let (late, early) = (e.read(0), e.read(1));
            e.add(early, late)
        });
        l.map(&to, reads, value);
        sums = to;
        distance *= 2;
    }
    l.set_output(0, sums);
    Ok(())
}
