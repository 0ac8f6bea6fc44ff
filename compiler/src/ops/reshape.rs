//! Layers that only see the same elements in another shape; they cost nothing.

use super::Lowering;
use super::shape::{Side, extent, sides, text};
use crate::diagnostic::Diagnostic;

/// Stands for an extent that isn't there.
const ABSENT: i32 = -233;

/// Stands for a batch axis that isn't there.
const NO_BATCH: i32 = 233;

/// Flatten: all elements in a row.
pub(super) fn flatten(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    l.set_output(0, input.reshaped(&[input.elements()]));
    Ok(())
}

/// Reshape; 0, 1, 11, 2: w, h, d, c, or 6: all of them as a size expression. 0 stands for the input's extent of that
/// name, -1 for what is left over.
pub(super) fn reshape(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(1, usize::MAX, 1)?;
    let input = l.fixed_input(0)?;
    let parameters = &l.layer.parameters;
    if parameters.int(12, NO_BATCH) != NO_BATCH || parameters.int(13, NO_BATCH) != NO_BATCH {
        return Err(l.error("batches aren't supported").hint("remove parameters 12 and 13"));
    }
    let innermost_first = match l.sizes(6)? {
        Some(sizes) => sizes,
        None => {
            let given = [0, 1, 11, 2].map(|id| parameters.int(id, ABSENT));
            match given {
                [ABSENT, ..] => return Err(l.error("no shape is given").hint("parameter 0 is the width, -1 for all")),
                [w, ABSENT, ..] => vec![w],
                [w, h, _, ABSENT] => vec![w, h],
                [w, h, ABSENT, c] => vec![w, h, c],
                [w, h, d, c] => vec![w, h, d, c],
            }
        }
    };
    let wanted: Vec<i32> = innermost_first.into_iter().rev().collect();
    let shape = resolve(l, &input.shape, &wanted)?;
    l.set_output(0, input.reshaped(&shape));
    Ok(())
}

/// The shape that `wanted` means for an input of shape `from`.
fn resolve(l: &Lowering, from: &[usize], wanted: &[i32]) -> Result<Vec<usize>, Diagnostic> {
    let elements: usize = from.iter().product();
    let shown = wanted.iter().map(i32::to_string).collect::<Vec<_>>().join("x");
    let mismatch = || {
        let message = format!("{} with {elements} elements can't be seen as {shown}", text(from));
        l.error(message).hint("0 copies an extent, one extent can be -1 for what is left over")
    };
    let copied = |(side, size): (&Side, &i32)| if *size == 0 { extent(from, *side) as i64 } else { i64::from(*size) };
    let mut extents: Vec<i64> = sides(wanted.len()).iter().zip(wanted).map(copied).collect();
    let open: Vec<usize> = (0..extents.len()).filter(|axis| extents[*axis] == -1).collect();
    if let [axis] = open[..] {
        let known = extents.iter().filter(|extent| **extent != -1).try_fold(1_i64, |all, one| all.checked_mul(*one));
        let known = known.filter(|known| *known > 0 && elements as i64 % *known == 0).ok_or_else(mismatch)?;
        extents[axis] = elements as i64 / known;
    }
    let product = extents.iter().try_fold(1_i64, |all, one| all.checked_mul(*one).filter(|_| *one > 0));
    if product != Some(elements as i64) {
        return Err(mismatch());
    }
    l.shape(&extents)
}

/// Squeeze: without axes of extent 1; 3: which axes, or 0, 1, 11, 2: 1 for w, h, d, c. Others stay.
pub(super) fn squeeze(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let parameters = &l.layer.parameters;
    let rank = input.shape.len();
    let axes = parameters.ints(3);
    let chosen: Vec<usize> = if axes.is_empty() {
        let flag = |side: Side| match side {
            Side::Width => 0,
            Side::Height => 1,
            Side::Depth => 11,
            Side::Channels => 2,
        };
        (0..rank).filter(|axis| parameters.int(flag(sides(rank)[*axis]), 0) != 0).collect()
    } else {
        l.axes_in(3, &axes, rank)?
    };
    let stays = |axis: &usize| input.shape[*axis] != 1 || !chosen.contains(axis);
    let mut shape: Vec<usize> = (0..rank).filter(stays).map(|axis| input.shape[axis]).collect();
    if shape.is_empty() {
        shape.push(1);
    }
    l.set_output(0, input.reshaped(&shape));
    Ok(())
}

/// ExpandDims: with axes of extent 1; 3: where they are in the output.
pub(super) fn expand(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let numbers = l.layer.parameters.ints(3);
    let rank = input.shape.len() + numbers.len();
    if rank > 4 {
        let message = format!("{} with {} more axes would have {rank}", text(&input.shape), numbers.len());
        return Err(l.error(message).hint("a blob has at most four"));
    }
    let added = l.axes_in(3, &numbers, rank)?;
    let mut kept = input.shape.iter();
    let extent = |axis: usize| if added.contains(&axis) { Some(1) } else { kept.next().copied() };
    let shape: Vec<usize> = (0..rank).filter_map(extent).collect();
    l.set_output(0, input.reshaped(&shape));
    Ok(())
}
