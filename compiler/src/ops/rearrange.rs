//! Tile, Flip, Diag, CopyTo, GLU and CumulativeSum: elements put elsewhere or met with others of the same blob.

use super::Lowering;
use super::shape::{Side, sides, text};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Index, View};

/// Tile: the input repeated along its axes; 0, 1: the axis and how often, or 2: how often along each of the innermost
/// axes.
pub(super) fn tile(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let repeats = repeats(l, input.shape.len())?;
    let rank = repeats.len();
    let seen = input.reshaped(&[vec![1; rank - input.shape.len()], input.shape.clone()].concat());
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
fn repeats(l: &Lowering, rank: usize) -> Result<Vec<i64>, Diagnostic> {
    let parameters = &l.layer.parameters;
    let listed = parameters.ints(2);
    if listed.len() > 4 {
        return Err(l.error(format!("{} repeats are given", listed.len())).hint("a blob has at most four axes"));
    }
    let repeats: Vec<i64> = if listed.is_empty() {
        let axis = l.axis_in(0, parameters.int(0, 0), rank)?;
        (0..rank).map(|at| if at == axis { i64::from(parameters.int(1, 1)) } else { 1 }).collect()
    } else {
        let outer = vec![1; rank.saturating_sub(listed.len())];
        outer.into_iter().chain(listed.into_iter().map(i64::from)).collect()
    };
    if repeats.iter().any(|times| *times < 1) {
        return Err(l.error("an axis would be repeated less than once").hint("every repeat must be at least 1"));
    }
    Ok(repeats)
}

/// Flip: the input read backwards along some axes; 0: which.
pub(super) fn flip(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let rank = input.shape.len();
    let mut flipped = Vec::new();
    for number in l.layer.parameters.ints(0) {
        flipped.push(l.axis_in(0, number, rank)?);
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

/// Diag: a vector as a diagonal among zeros, or the diagonal of a matrix; 0: how far above the main diagonal.
pub(super) fn diagonal(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
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
        _ => return Err(l.error(format!("Diag takes a vector or a matrix, not {}", text(&input.shape)))),
    }
    Ok(())
}

/// CopyTo: the first input with a box of it replaced by the second; 0, 1, 13, 2: the box's offset along w, h, d, c, or 9
/// and 11: offsets and their axes.
pub(super) fn copy_to(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(2, 2, 1)?;
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
    let (starts, numbers) = (parameters.ints(9), parameters.ints(11));
    if starts.is_empty() {
        let id = |side: &Side| match side {
            Side::Width => 0,
            Side::Height => 1,
            Side::Depth => 13,
            Side::Channels => 2,
        };
        return Ok(sides(rank).iter().map(|side| i64::from(parameters.int(id(side), 0))).collect());
    }
    let along = if numbers.is_empty() { (0..rank).collect() } else { l.axes_in(11, &numbers, rank)? };
    if starts.len() < along.len() {
        return Err(l.error(format!("{} offsets for {} axes", starts.len(), along.len())));
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

/// GLU: the first half of the input along an axis times the sigmoid of the second; 0: the axis.
pub(super) fn gated(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let rank = input.shape.len();
    let axis = if rank == 1 { 0 } else { l.axis_in(0, l.layer.parameters.int(0, 0), rank)? };
    let extent = input.shape[axis];
    if extent % 2 != 0 {
        return Err(l.error(format!("{extent} entries along axis {axis} have no two halves")));
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

/// CumulativeSum: each element and all before it along an axis; 0: the axis.
///
/// In steps that double the distance: as many nests as the extent has binary digits, each of them parallel.
pub(super) fn cumulative_sum(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let rank = input.shape.len();
    let axis = if rank == 1 { 0 } else { l.axis_in(0, l.layer.parameters.int(0, 0), rank)? };
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
