//! Layers that only see the same elements in another shape; they cost nothing. Sources: `src/layer/flatten.cpp`,
//! `reshape.cpp`, `squeeze.cpp` and `expanddims.cpp`.

use super::shape::{Side, extent, sides, text};
use super::signature::{Accepts, Blobs, MOST_AXES, ONE_TO_ONE, Parameter, Signature};
use super::{Lowering, size_expression};
use crate::diagnostic::Diagnostic;
use crate::ncnn::{Layer, Parameters};

/// Stands for an extent that isn't there.
const ABSENT: i32 = -233;

/// Stands for the extent that is left over.
const REST: i32 = -1;

/// Stands for a batch axis that isn't there.
const NO_BATCH: i32 = 233;

const WIDTH: u32 = 0;
const HEIGHT: u32 = 1;
const CHANNELS: u32 = 2;
const EXPRESSION: u32 = 6;
const DEPTH: u32 = 11;
const BATCH_AXES: [u32; 2] = [12, 13];

pub(super) const FLATTEN: Signature = Signature::new(ONE_TO_ONE, &[]);

/// An extent of 0 is the input's of that name, -1 what is left over, -233 none. Only expressions know further inputs. Where
/// a single extent is given, ncnn takes all elements, whatever it says.
pub(super) const RESHAPE: Signature = Signature::new(
    |parameters| {
        let further = size_expression::names_further_inputs(parameters, EXPRESSION);
        if further { Blobs::at_least(1, 1) } else { Blobs::new(1, 1) }
    },
    &[
        Parameter::new(WIDTH, "width", Accepts::Integer).required().when(has_numbers),
        Parameter::new(HEIGHT, "height", Accepts::Integer).when(has_numbers),
        Parameter::new(CHANNELS, "number of channels", Accepts::Integer).when(has_numbers),
        Parameter::new(EXPRESSION, "size expression", Accepts::Text),
        Parameter::new(DEPTH, "depth", Accepts::Integer).when(has_numbers),
        Parameter::new(BATCH_AXES[0], "batch axis of the input, 233 for none", Accepts::Integer),
        Parameter::new(BATCH_AXES[1], "batch axis of the output, 233 for none", Accepts::Integer),
    ],
)
.rules(&[has_no_batch, has_extents, |layer| size_expression::check(layer, EXPRESSION)]);

const SQUEEZED: u32 = 3;

pub(super) const SQUEEZE: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(WIDTH, "word to squeeze the width", Accepts::Flag).when(has_no_axes),
        Parameter::new(HEIGHT, "word to squeeze the height", Accepts::Flag).when(has_no_axes),
        Parameter::new(CHANNELS, "word to squeeze the channels", Accepts::Flag).when(has_no_axes),
        Parameter::new(SQUEEZED, "axes", Accepts::Axes),
        Parameter::new(DEPTH, "word to squeeze the depth", Accepts::Flag).when(has_no_axes),
    ],
);

const ADDED: u32 = 3;

pub(super) const EXPAND: Signature = Signature::new(ONE_TO_ONE, &[Parameter::new(ADDED, "axes", Accepts::Axes)]);

/// Whether the extents of a Reshape are numbers.
fn has_numbers(parameters: &Parameters) -> bool {
    !size_expression::is_given(parameters, EXPRESSION)
}

/// Whether the axes of a Squeeze are marked one by one.
fn has_no_axes(parameters: &Parameters) -> bool {
    parameters.words(SQUEEZED).is_empty()
}

/// The extents of a Reshape, by their parameters and outermost first.
fn numbers(parameters: &Parameters) -> Vec<(u32, i32)> {
    let all = [WIDTH, HEIGHT, DEPTH, CHANNELS].map(|id| (id, parameters.int(id, ABSENT)));
    let [w, h, d, c] = all;
    match all.map(|(_, extent)| extent) {
        [ABSENT, ..] => Vec::new(),
        [_, ABSENT, ..] => vec![w],
        [_, _, _, ABSENT] => vec![h, w],
        [_, _, ABSENT, _] => vec![c, h, w],
        [_, _, _, _] => vec![c, d, h, w],
    }
}

fn has_no_batch(layer: &Layer) -> Result<(), Diagnostic> {
    match BATCH_AXES.into_iter().find(|id| layer.parameters.int(*id, NO_BATCH) != NO_BATCH) {
        None => Ok(()),
        Some(id) => Err(layer.error_in(id, "batches aren't supported").hint("remove parameters 12 and 13")),
    }
}

/// Refuses a Reshape to no shape, or to one that nothing has.
fn has_extents(layer: &Layer) -> Result<(), Diagnostic> {
    if !has_numbers(&layer.parameters) {
        return Ok(());
    }
    let hint = "an extent is a number of elements, 0 to keep the input's, or -1, once, for what is left over";
    let numbers = numbers(&layer.parameters);
    if numbers.is_empty() {
        return Err(layer.error_in(WIDTH, "no shape is given").hint("parameter 0 is the width, -1 for all"));
    }
    if numbers.len() == 1 {
        return Ok(());
    }
    if let Some((id, extent)) = numbers.iter().find(|(_, extent)| *extent < REST) {
        return Err(layer.error_in(*id, format!("an extent of {extent}")).hint(hint));
    }
    match numbers.iter().filter(|(_, extent)| *extent == REST).nth(1) {
        None => Ok(()),
        Some((id, _)) => Err(layer.error_in(*id, "two extents are -1, what is left over").hint(hint)),
    }
}

/// Flatten: all elements in a row.
pub(super) fn flatten(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    l.set_output(0, input.reshaped(&[input.elements()]));
    Ok(())
}

/// Reshape.
pub(super) fn reshape(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let wanted: Vec<i32> = match l.sizes(EXPRESSION)? {
        Some(innermost_first) => innermost_first.into_iter().rev().collect(),
        None => numbers(&l.layer.parameters).into_iter().map(|(_, extent)| extent).collect(),
    };
    let shape = resolve(l, &input.shape, &wanted)?;
    l.set_output(0, input.reshaped(&shape));
    Ok(())
}

/// The shape that `wanted` means for an input of shape `from`.
fn resolve(l: &mut Lowering, from: &[usize], wanted: &[i32]) -> Result<Vec<usize>, Diagnostic> {
    let elements: usize = from.iter().product();
    let id = if has_numbers(&l.layer.parameters) { WIDTH } else { EXPRESSION };
    let copied = |(side, size): (&Side, &i32)| if *size == 0 { extent(from, *side) as i64 } else { i64::from(*size) };
    let mut extents: Vec<i64> = sides(wanted.len()).iter().zip(wanted).map(copied).collect();
    if let [length] = extents[..] {
        if length != i64::from(REST) && length != elements as i64 {
            let message = format!(
                "a vector of {length} elements is asked for; as in ncnn, it has all {elements} of {}",
                text(from)
            );
            l.warn_in(id, message, "write -1, which stands for all of them");
        }
        return Ok(vec![elements]);
    }
    let shown = wanted.iter().map(i32::to_string).collect::<Vec<_>>().join("x");
    let mismatch = || {
        let message = format!("{} with {elements} elements can't be seen as {shown}", text(from));
        l.error_in(id, message).hint("0 copies an extent, one extent can be -1 for what is left over")
    };
    let rest = i64::from(REST);
    let open: Vec<usize> = (0..extents.len()).filter(|axis| extents[*axis] == rest).collect();
    if let [axis] = open[..] {
        let known = extents.iter().filter(|extent| **extent != rest).try_fold(1_i64, |all, one| all.checked_mul(*one));
        let known = known.filter(|known| *known > 0 && elements as i64 % *known == 0).ok_or_else(mismatch)?;
        extents[axis] = elements as i64 / known;
    }
    let product = extents.iter().try_fold(1_i64, |all, one| all.checked_mul(*one).filter(|_| *one > 0));
    if product != Some(elements as i64) {
        return Err(mismatch());
    }
    l.shape(&extents)
}

/// Squeeze: without axes of extent 1. Others stay; as in ncnn, an axis may be named twice, or be none of the input's.
pub(super) fn squeeze(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    let rank = input.shape.len();
    let chosen: Vec<usize> = if has_no_axes(parameters) {
        let flag = |side: Side| match side {
            Side::Width => WIDTH,
            Side::Height => HEIGHT,
            Side::Depth => DEPTH,
            Side::Channels => CHANNELS,
        };
        (0..rank).filter(|axis| parameters.int(flag(sides(rank)[*axis]), 0) != 0).collect()
    } else {
        let axes = parameters.ints(SQUEEZED).into_iter().map(|number| l.axis_in(SQUEEZED, number, rank));
        let (there, absent): (Vec<_>, Vec<_>) = axes.partition(Result::is_ok);
        for Diagnostic { message, hint, .. } in absent.into_iter().filter_map(Result::err) {
            let message = format!("{message}; as in ncnn, it is passed over");
            l.warn_in(SQUEEZED, message, hint.unwrap_or_default());
        }
        there.into_iter().flatten().collect()
    };
    let stays = |axis: &usize| input.shape[*axis] != 1 || !chosen.contains(axis);
    let mut shape: Vec<usize> = (0..rank).filter(stays).map(|axis| input.shape[axis]).collect();
    if shape.is_empty() {
        shape.push(1);
    }
    l.set_output(0, input.reshaped(&shape));
    Ok(())
}

/// ExpandDims: with axes of extent 1, whose places are those in the output. As in ncnn, there are as many in front as are
/// named twice or where there is no place, unless all are, and none where a blob hasn't so many.
pub(super) fn expand(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let numbers = l.layer.parameters.ints(ADDED);
    let rank = input.shape.len() + numbers.len();
    let mut added: Vec<usize> = numbers.iter().flat_map(|number| l.axis_in(ADDED, *number, rank)).collect();
    added.sort_unstable();
    added.dedup();
    if rank > MOST_AXES {
        added.clear();
    }
    let in_front = if added.is_empty() { 0 } else { numbers.len() - added.len() };
    let mut kept = std::iter::repeat_n(1, in_front).chain(input.shape.iter().copied());
    let extent = |axis: usize| if added.contains(&axis) { Some(1) } else { kept.next() };
    let shape: Vec<usize> = (0..rank).filter_map(extent).collect();
    if added.len() < numbers.len() {
        let (from, to) = (text(&input.shape), text(&shape));
        let message = format!("{from} can't get all these new axes where they should be; as in ncnn, it becomes {to}");
        l.warn_in(ADDED, message, format!("a blob has at most {MOST_AXES} axes, and each new one is to be named once"));
    }
    l.set_output(0, input.reshaped(&shape));
    Ok(())
}
