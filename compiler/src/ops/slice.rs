//! Slice: the parts of the input along an axis. Source: `src/layer/slice.cpp`.

use super::Lowering;
use super::signature::{AXES, Accepts, ONE_TO_SOME, Parameter, Signature, counted};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, View};
use crate::ncnn::{Layer, Parameters};

const SIZES: u32 = 0;
const AXIS: u32 = 1;
const CUTS: u32 = 2;

/// The size that asks for an equal share of what is left.
const SHARE: i32 = -233;

/// Cuts, negative ones from the end, stand for sizes.
pub(super) const SIGNATURE: Signature = Signature::new(
    ONE_TO_SOME,
    &[
        Parameter::new(SIZES, "sizes of the parts", Accepts::Integers).when(|parameters| !is_cut(parameters)),
        Parameter::new(AXIS, "axis", Accepts::Between(AXES.0, AXES.1)),
        Parameter::new(CUTS, "positions of the cuts", Accepts::Integers),
    ],
)
.rules(&[has_size_of_each_part]);

/// Whether cuts say how large the parts are.
fn is_cut(parameters: &Parameters) -> bool {
    !parameters.words(CUTS).is_empty()
}

fn has_size_of_each_part(layer: &Layer) -> Result<(), Diagnostic> {
    let Layer { parameters, outputs, .. } = layer;
    let cuts = parameters.ints(CUTS);
    let sizes = if cuts.is_empty() { parameters.ints(SIZES) } else { Vec::new() };
    let (id, known) = if cuts.is_empty() { (SIZES, sizes.len()) } else { (CUTS, cuts.len() + 1) };
    if known < outputs.len() {
        let hint = "parameter 0 lists a size for each output, or parameter 2 the cuts between them";
        return Err(layer
            .error_in(id, format!("{}, but sizes for {known}", counted(outputs.len(), "output")))
            .hint(hint));
    }
    match sizes.iter().find(|size| **size < 1 && **size != SHARE) {
        None => Ok(()),
        Some(size) => {
            let hint = "sizes are at least 1, or -233 for an equal share of what is left";
            Err(layer.error_in(id, format!("a part would have the size {size}")).hint(hint))
        }
    }
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let axis = l.axis_along(AXIS, l.layer.parameters.int(AXIS, 0), input.shape.len())?;
    let sizes = part_sizes(l, input.shape[axis] as i64)?;
    covers(l, &input, axis, sizes.iter().sum())?;
    let mut offset = 0;
    for (i, size) in sizes.into_iter().enumerate() {
        cut(l, i, &input, axis, offset, size)?;
        offset += size;
    }
    Ok(())
}

/// Tells of parts that aren't the whole of the input, and refuses them where ncnn goes on with what they leave.
fn covers(l: &mut Lowering, input: &View, axis: usize, parts: i64) -> Result<(), Diagnostic> {
    let extent = input.shape[axis];
    if parts == extent as i64 {
        return Ok(());
    }
    let message = format!("the parts are only {parts} of {extent} entries along axis {axis}");
    let hint = "a size of -233 takes what is left; Crop takes a single part out";
    // Through a channel ncnn walks without passing over what no part takes.
    let is_one_walk = axis > 0 && input.shape.len() > 2 && input.shape[1..axis].iter().product::<usize>() > 1;
    if is_one_walk {
        let message = format!("{message}, and ncnn would go on with the others where the next row is due");
        return Err(l.error_in(SIZES, message).hint(hint));
    }
    l.warn_in(SIZES, format!("{message}; as in ncnn, the others are left out"), hint);
    Ok(())
}

/// Makes output `i` the `size` entries of the input from `offset` on.
fn cut(l: &mut Lowering, i: usize, input: &View, axis: usize, offset: i64, size: i64) -> Result<(), Diagnostic> {
    let mut extents: Vec<i64> = input.shape.iter().map(|extent| *extent as i64).collect();
    if size == extents[axis] {
        l.set_output(i, input.clone());
        return Ok(());
    }
    extents[axis] = size;
    let out_shape = l.shape(&extents)?;
    let output = l.moved_output(i, &out_shape, input);
    let index = (0..out_shape.len()).map(|i| Index::axis(i).moved(if i == axis { offset } else { 0 }));
    l.map(&output, vec![input.at(index.collect())], Expression::read_of(0));
    Ok(())
}

/// The size of every output along the axis, which has `extent` entries; they fit into it.
fn part_sizes(l: &Lowering, extent: i64) -> Result<Vec<i64>, Diagnostic> {
    let (given, cuts) = (l.layer.parameters.ints(SIZES), l.layer.parameters.ints(CUTS));
    let count = l.output_names.len();
    let mut used = 0;
    let mut sizes = Vec::with_capacity(count);
    for i in 0..count {
        let left = extent - used;
        let size = if cuts.is_empty() {
            match given[i] {
                SHARE => left / (count - i) as i64,
                size => i64::from(size),
            }
        } else if i + 1 == count {
            left
        } else {
            let cut = i64::from(cuts[i]);
            cut + if cut < 0 { extent } else { 0 } - used
        };
        if size < 1 || size > left {
            let hint = "the parts must be at least 1 each and fit together";
            let id = if cuts.is_empty() { SIZES } else { CUTS };
            return Err(l.error_in(id, format!("part {i} would take {size} of the {left} entries left")).hint(hint));
        }
        used += size;
        sizes.push(size);
    }
    Ok(sizes)
}
