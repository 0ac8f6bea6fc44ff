//! Slice: the parts of the input along an axis.
//!
//! 0: the size of each part, -233 for an equal share of what is left, 1: the axis, 2: instead of sizes the positions of
//! the cuts, negative ones from the end.

use super::Lowering;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, View};

/// The size that asks for an equal share.
const SHARE: i32 = -233;

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(1, 1, l.output_names.len())?;
    let input = l.fixed_input(0)?;
    let axis = l.axis_in(1, l.layer.parameters.int(1, 0), input.shape.len())?;
    let sizes = part_sizes(l, input.shape[axis] as i64)?;
    let mut offset = 0;
    for (i, size) in sizes.into_iter().enumerate() {
        cut(l, i, &input, axis, offset, size)?;
        offset += size;
    }
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
    let (given, cuts) = (l.layer.parameters.ints(0), l.layer.parameters.ints(2));
    let count = l.output_names.len();
    let known = if cuts.is_empty() { given.len() } else { cuts.len() + 1 };
    if known < count {
        let hint = "parameter 0 lists a size for each output, or parameter 2 the cuts between them";
        return Err(l.error(format!("{count} outputs, but sizes for {known}")).hint(hint));
    }
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
            return Err(l.error(format!("part {i} would take {size} of the {left} entries left")).hint(hint));
        }
        used += size;
        sizes.push(size);
    }
    Ok(sizes)
}
