//! Crop: a box out of the input. Source: `src/layer/crop.cpp`.
//!
//! The box is given by offsets and sizes, by starts and ends as numpy has them, by these as size expressions, or by a second
//! input: its shape is the size, or its values are offsets and sizes.

use super::shape::{Side, extent, sides, text};
use super::signature::{Accepts, Blobs, MOST_AXES, Parameter, Signature};
use super::{Lowering, crop_at, size_expression};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, Source, View};
use crate::ncnn::{Layer, Parameters};

/// Stands for "all" where a size, start or end is wanted, and for "in the second input" as the offset along w.
const OPEN: i32 = -233;

const STARTS: u32 = 9;
const ENDS: u32 = 10;
const AXES: u32 = 11;
const STARTS_TEXT: u32 = 19;
const ENDS_TEXT: u32 = 20;
const AXES_TEXT: u32 = 21;

pub(super) const SIGNATURE: Signature = Signature::new(
    blobs,
    &[
        Parameter::new(0, "offset along the width", Accepts::Integer).when(has_offsets),
        Parameter::new(1, "offset along the height", Accepts::Integer).when(has_offsets),
        Parameter::new(2, "offset along the channels", Accepts::Integer).when(has_offsets),
        Parameter::new(3, "size along the width", Accepts::Integer).when(has_offsets),
        Parameter::new(4, "size along the height", Accepts::Integer).when(has_offsets),
        Parameter::new(5, "size along the channels", Accepts::Integer).when(has_offsets),
        Parameter::new(6, "offset from the end of the width", Accepts::Integer).when(has_offsets),
        Parameter::new(7, "offset from the end of the height", Accepts::Integer).when(has_offsets),
        Parameter::new(8, "offset from the end of the channels", Accepts::Integer).when(has_offsets),
        Parameter::new(STARTS, "starts", Accepts::Integers).when(has_numbers),
        Parameter::new(ENDS, "ends", Accepts::Integers).when(has_numbers),
        Parameter::new(AXES, "axes of starts and ends", Accepts::Axes).when(has_numbers),
        Parameter::new(13, "offset along the depth", Accepts::Integer).when(has_offsets),
        Parameter::new(14, "size along the depth", Accepts::Integer).when(has_offsets),
        Parameter::new(15, "offset from the end of the depth", Accepts::Integer).when(has_offsets),
        Parameter::new(STARTS_TEXT, "expression of the starts", Accepts::Text),
        Parameter::new(ENDS_TEXT, "expression of the ends", Accepts::Text),
        Parameter::new(AXES_TEXT, "expression of the axes", Accepts::Text),
    ],
)
.rules(&[lists_agree, expressions_are_well_formed]);

/// The parameters that say how large the box is or where it ends.
const SIZES: [u32; 8] = [3, 4, 5, 6, 7, 8, 14, 15];

/// Parameter ids of the first offset, the size and the second offset along a side.
fn ids(side: Side) -> [u32; 3] {
    match side {
        Side::Width => [0, 3, 6],
        Side::Height => [1, 4, 7],
        Side::Depth => [13, 14, 15],
        Side::Channels => [2, 5, 8],
    }
}

fn has_expressions(parameters: &Parameters) -> bool {
    [STARTS_TEXT, ENDS_TEXT].into_iter().all(|id| size_expression::is_given(parameters, id))
}

fn has_numbers(parameters: &Parameters) -> bool {
    !has_expressions(parameters)
}

fn has_lists(parameters: &Parameters) -> bool {
    has_numbers(parameters) && [STARTS, ENDS].into_iter().any(|id| !parameters.words(id).is_empty())
}

fn has_offsets(parameters: &Parameters) -> bool {
    has_numbers(parameters) && !has_lists(parameters)
}

/// Whether a second input says how large the box is.
fn has_reference(parameters: &Parameters) -> bool {
    has_offsets(parameters) && SIZES.into_iter().all(|id| parameters.int(id, 0) == 0)
}

fn blobs(parameters: &Parameters) -> Blobs {
    let names_further = |id| size_expression::names_further_inputs(parameters, id);
    if has_reference(parameters) {
        Blobs::new(2, 1)
    } else if has_expressions(parameters) && [STARTS_TEXT, ENDS_TEXT, AXES_TEXT].into_iter().any(names_further) {
        Blobs::at_least(1, 1)
    } else {
        Blobs::new(1, 1)
    }
}

fn lists_agree(layer: &Layer) -> Result<(), Diagnostic> {
    if !has_lists(&layer.parameters) {
        return Ok(());
    }
    let [starts, ends, axes] = [STARTS, ENDS, AXES].map(|id| layer.parameters.ints(id).len());
    if starts != ends || starts > MOST_AXES || axes > 0 && axes != starts {
        return Err(disagree(layer, [starts, ends, axes]));
    }
    Ok(())
}

/// The error that so many starts, ends and axes don't fit together.
fn disagree(layer: &Layer, [starts, ends, axes]: [usize; 3]) -> Diagnostic {
    let axes = if axes > 0 { format!("{axes} axes, but ") } else { String::new() };
    let id = if starts > 0 { STARTS } else { ENDS };
    let hint = "give a start and an end for each axis, of which a blob has at most four";
    layer.error_in(id, format!("{axes}{starts} starts and {ends} ends")).hint(hint)
}

fn expressions_are_well_formed(layer: &Layer) -> Result<(), Diagnostic> {
    if !has_expressions(&layer.parameters) {
        return Ok(());
    }
    [STARTS_TEXT, ENDS_TEXT, AXES_TEXT].into_iter().try_for_each(|id| size_expression::check(layer, id))
}

/// Offset and size along one axis.
type Span = (i64, i64);

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let spans = if has_expressions(parameters) {
        let sizes = [l.sizes(STARTS_TEXT)?, l.sizes(ENDS_TEXT)?, l.sizes(AXES_TEXT)?];
        let [starts, ends, axes] = sizes.map(Option::unwrap_or_default);
        numpy_spans(l, &input.shape, &starts, &ends, &axes)?
    } else if has_lists(parameters) {
        let [starts, ends, axes] = [STARTS, ENDS, AXES].map(|id| parameters.ints(id));
        numpy_spans(l, &input.shape, &starts, &ends, &axes)?
    } else if !has_reference(parameters) {
        explicit_spans(l, &input.shape)
    } else if parameters.int(0, 0) == OPEN {
        let Some(spans) = constant_spans(l, &input.shape)? else {
            return crop_at::lower(l);
        };
        spans
    } else {
        reference_spans(l, &input.shape)?
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
        let message = format!("a box needs {} numbers, not {}", 2 * order.len(), words.len());
        return Err(l.error(message).hint("offsets and sizes along w, h and c, or w, h, d and c, are due"));
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
    let axes = if axes.is_empty() { (0..shape.len()).collect() } else { l.axes_in(AXES, axes, shape.len())? };
    if starts.len() < axes.len() || ends.len() < axes.len() {
        return Err(disagree(l.layer, [starts.len(), ends.len(), axes.len()]));
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
