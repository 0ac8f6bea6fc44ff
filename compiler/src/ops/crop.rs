//! Crop: a box out of the input.
//!
//! 0, 1, 13, 2: offset along w, h, d, c; 3, 4, 14, 5: size, -233 for all up to the second offset; 6, 7, 15, 8: what is
//! cut off at the end. Or 9, 10, 11: starts, ends and axes as numpy has them; 19, 20, 21: the same as size expressions.
//! With none of the sizes, ends and second offsets, the second input gives the size; with -233 as the offset along w the
//! second input's values are the offsets and sizes.

use super::shape::{Side, extent, sides, text};
use super::{Lowering, crop_at};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, Source, View};

/// Stands for "all" where a size, start or end is wanted, and for "in the second input" as the offset along w.
const OPEN: i32 = -233;

/// Parameter ids of the first offset, the size and the second offset along a side.
fn ids(side: Side) -> [u32; 3] {
    match side {
        Side::Width => [0, 3, 6],
        Side::Height => [1, 4, 7],
        Side::Depth => [13, 14, 15],
        Side::Channels => [2, 5, 8],
    }
}

/// Offset and size along one axis.
type Span = (i64, i64);

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(1, usize::MAX, 1)?;
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let (starts, ends) = (parameters.ints(9), parameters.ints(10));
    let spans = if let (Some(starts), Some(ends)) = (l.sizes(19)?, l.sizes(20)?) {
        let axes = l.sizes(21)?.unwrap_or_default();
        numpy_spans(l, &input.shape, &starts, &ends, &axes)?
    } else if l.inputs.len() > 1 && parameters.int(0, 0) == OPEN {
        let Some(spans) = constant_spans(l, &input.shape)? else {
            return crop_at::lower(l);
        };
        spans
    } else if !starts.is_empty() && !ends.is_empty() {
        numpy_spans(l, &input.shape, &starts, &ends, &parameters.ints(11))?
    } else if sized_by_reference(l) {
        reference_spans(l, &input.shape)?
    } else {
        explicit_spans(l, &input.shape)
    };
    crop(l, &input, &spans)
}

/// Makes the output: the box of the input, which must lie within it.
fn crop(l: &mut Lowering, input: &View, spans: &[Span]) -> Result<(), Diagnostic> {
    for (axis, ((offset, size), extent)) in spans.iter().zip(&input.shape).enumerate() {
        let end = offset.checked_add(*size);
        if *offset < 0 || *size < 1 || end.is_none_or(|end| end > *extent as i64) {
            let shown = text(&input.shape);
            let message = format!("the box takes {size} entries from {offset} on along axis {axis} of {shown}");
            return Err(l.error(message).hint("it must lie within the input and have at least one entry"));
        }
    }
    let out_shape = l.shape(&spans.iter().map(|(_, size)| *size).collect::<Vec<_>>())?;
    if out_shape == input.shape {
        l.set_output(0, input.clone());
        return Ok(());
    }
    let output = l.moved_output(0, &out_shape, input);
    let index = spans.iter().enumerate().map(|(axis, (offset, _))| Index::axis(axis).moved(*offset));
    l.map(&output, vec![input.at(index.collect())], Expression::read_of(0));
    Ok(())
}

/// No parameter says where the box ends.
fn sized_by_reference(l: &Lowering) -> bool {
    let all = [Side::Width, Side::Height, Side::Depth, Side::Channels];
    all.into_iter().all(|side| ids(side)[1..].iter().all(|id| l.layer.parameters.int(*id, 0) == 0))
}

fn explicit_spans(l: &Lowering, shape: &[usize]) -> Vec<Span> {
    let span = |side: &Side| {
        let [offset, size, rest] = ids(*side).map(|id| i64::from(l.layer.parameters.int(id, 0)));
        let most = extent(shape, *side) as i64 - offset - rest;
        (offset, if size == i64::from(OPEN) { most } else { size.min(most) })
    };
    sides(shape.len()).iter().map(span).collect()
}

/// The second input's shape is the size; channels stay as they are if it has fewer dimensions.
fn reference_spans(l: &Lowering, shape: &[usize]) -> Result<Vec<Span>, Diagnostic> {
    let reference = l.fixed_input(1)?.shape;
    let span = |side: &Side| {
        let of = if *side == Side::Channels && reference.len() != shape.len() { shape } else { &reference };
        (i64::from(l.layer.parameters.int(ids(*side)[0], 0)), extent(of, *side) as i64)
    };
    Ok(sides(shape.len()).iter().map(span).collect())
}

/// Box given by a constant second input: offsets `w, h, c` and sizes `w, h, c`, or `w, h, d, c` twice for
/// four-dimensional blobs. `None` when it isn't constant.
fn constant_spans(l: &Lowering, shape: &[usize]) -> Result<Option<Vec<Span>>, Diagnostic> {
    let Source::Constant(words) = &l.graph.tensor(l.input(1)?.tensor).source else {
        return Ok(None);
    };
    let order = if shape.len() == 4 { &[Side::Width, Side::Height, Side::Depth, Side::Channels][..] } else { THREE };
    if words.len() < 2 * order.len() {
        return Err(l.error(format!("a box needs {} numbers, not {}", 2 * order.len(), words.len())));
    }
    let number = |at: usize| i64::from(words[at].cast_signed());
    let place = |side: &Side| order.iter().position(|other| other == side).unwrap_or(0);
    Ok(Some(sides(shape.len()).iter().map(|side| (number(place(side)), number(order.len() + place(side)))).collect()))
}

const THREE: &[Side] = &[Side::Width, Side::Height, Side::Channels];

/// Starts and ends as numpy has them: negative ones count from the end, ends beyond the input are cut back to it.
fn numpy_spans(
    l: &Lowering,
    shape: &[usize],
    starts: &[i32],
    ends: &[i32],
    axes: &[i32],
) -> Result<Vec<Span>, Diagnostic> {
    let axes = if axes.is_empty() { (0..shape.len()).collect() } else { l.axes_in(11, axes, shape.len())? };
    if starts.len() < axes.len() || ends.len() < axes.len() {
        let message = format!("{} axes, but {} starts and {} ends", axes.len(), starts.len(), ends.len());
        return Err(l.error(message).hint("give a start and an end for each axis"));
    }
    let mut spans: Vec<Span> = shape.iter().map(|extent| (0, *extent as i64)).collect();
    for (axis, (start, end)) in axes.iter().zip(starts.iter().zip(ends)) {
        let extent = shape[*axis] as i64;
        let start = match *start {
            OPEN => 0,
            start if start < 0 => extent + i64::from(start),
            start => i64::from(start),
        };
        let end = match *end {
            OPEN => extent,
            end if end <= 0 => extent + i64::from(end),
            end => extent.min(i64::from(end)),
        };
        spans[*axis] = (start, end - start);
    }
    Ok(spans)
}
