//! Layers that exchange channels with each other or with space: each is a permutation of the axes of a finer view.
//! Sources: `src/layer/shufflechannel.cpp`, `pixelshuffle.cpp` and `reorg.cpp`.

use super::Lowering;
use super::shape::text;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::graph::{Axis, Index, View};

pub(super) const CHANNELS: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "number of groups", Accepts::AtLeast(1)),
        Parameter::new(1, "word to do the inverse", Accepts::Flag),
    ],
);

/// PixelShuffle and Reorg.
pub(super) const SQUARES: Signature = Signature::new(
    ONE_TO_ONE,
    &[
        Parameter::new(0, "factor", Accepts::AtLeast(1)),
        Parameter::new(
            1,
            "place of a pixel's channels",
            Accepts::OneOf(&[(0, "side by side"), (1, "a whole image apart")]),
        ),
    ],
);

/// An axis of the finer view of the output, by name, extent and its place in the finer view of the input.
type Fine = (&'static str, usize, usize);

/// Makes the output, of shape `out_shape`: loops over the axes of its finer view, reading the finer view of the input.
fn permute_finely(l: &mut Lowering, input: &View, out_shape: &[usize], fine: &[Fine]) {
    if fine.iter().filter(|(_, extent, _)| *extent > 1).is_sorted_by_key(|(_, _, place)| *place) {
        l.set_output(0, input.reshaped(out_shape));
        return;
    }
    let parallel: Vec<Axis> = fine.iter().map(|(name, extent, _)| Axis { name, extent: *extent }).collect();
    let mut in_shape = vec![1; fine.len()];
    let mut read = vec![Index::default(); fine.len()];
    for (axis, (_, extent, place)) in fine.iter().enumerate() {
        in_shape[*place] = *extent;
        read[*place] = Index::axis(axis);
    }
    let output = l.moved_output(0, out_shape, input);
    let fine_shape: Vec<usize> = fine.iter().map(|(_, extent, _)| *extent).collect();
    let write = (0..fine.len()).map(Index::axis).collect();
    l.copy(parallel, input.reshaped(&in_shape).at(read), &output.reshaped(&fine_shape), write);
}

/// Parameter 0, which is at least 1.
fn count(l: &Lowering) -> usize {
    l.layer.parameters.int(0, 1).unsigned_abs() as usize
}

/// ShuffleChannel: channel `j` of group `i` goes to place `i` of group `j`.
pub(super) fn channels(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let groups = count(l);
    // Channels are the outermost axis of three and four-dimensional blobs; others have a single one.
    let (channels, rest) = if input.shape.len() >= 3 { input.shape.split_at(1) } else { (&[1][..], &input.shape[..]) };
    let channels = channels[0];
    if channels % groups != 0 {
        let message = format!("{channels} channels can't be divided into {groups} groups");
        return Err(l.error_in(0, message).hint("the number of groups must divide that of channels"));
    }
    let outer = if l.layer.parameters.int(1, 0) != 0 { channels / groups } else { groups };
    let mut fine: Vec<Fine> = vec![("k", channels / outer, 1), ("g", outer, 0)];
    let names = ["z", "y", "x"];
    let names = &names[names.len() - rest.len()..];
    fine.extend(rest.iter().zip(names).enumerate().map(|(i, (extent, name))| (*name, *extent, 2 + i)));
    permute_finely(l, &input, &input.shape, &fine);
    Ok(())
}

/// The input of a layer that exchanges channels with space, its channels, height and width, its factor, and whether the
/// offset within a square block varies slower than the channel (mode 1).
fn blocks(l: &Lowering) -> Result<(View, [usize; 3], usize, bool), Diagnostic> {
    let input = l.fixed_input(0)?;
    let [channels, height, width] = input.shape[..] else {
        let message = format!("{} takes a three-dimensional blob, not {}", l.layer.kind, text(&input.shape));
        return Err(l.error(message).hint("put a Reshape before it"));
    };
    Ok((input, [channels, height, width], count(l), l.layer.parameters.int(1, 0) != 0))
}

/// PixelShuffle: each `factor * factor` channels become a square of that many pixels.
pub(super) fn to_space(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (input, [channels, height, width], factor, apart) = blocks(l)?;
    let Some(square) = factor.checked_mul(factor).filter(|square| channels % square == 0) else {
        let message = format!("{channels} channels can't be divided into squares of {factor}x{factor}");
        return Err(l.error_in(0, message).hint("the square of the factor must divide the number of channels"));
    };
    let out_channels = channels / square;
    let extents = [out_channels, height * factor, width * factor].map(|extent| extent as i64);
    let out_shape = l.shape(&extents)?;
    let (c, fy, fx) = if apart { (2, 0, 1) } else { (0, 1, 2) };
    let fine = [("c", out_channels, c), ("y", height, 3), ("fy", factor, fy), ("x", width, 4), ("fx", factor, fx)];
    permute_finely(l, &input, &out_shape, &fine);
    Ok(())
}

/// Reorg, the inverse of PixelShuffle: squares of pixels become channels.
pub(super) fn to_channels(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (input, [channels, height, width], factor, apart) = blocks(l)?;
    if height % factor != 0 || width % factor != 0 {
        let message = format!("{height}x{width} pixels can't be divided into squares of {factor}x{factor}");
        return Err(l.error_in(0, message).hint("the factor must divide height and width"));
    }
    let extents = [(channels * factor * factor), height / factor, width / factor].map(|extent| extent as i64);
    let out_shape = l.shape(&extents)?;
    let (c, fy, fx) = (("c", channels, 0), ("fy", factor, 2), ("fx", factor, 4));
    let (first, second, third) = if apart { (fy, fx, c) } else { (c, fy, fx) };
    let fine = [first, second, third, ("y", height / factor, 1), ("x", width / factor, 3)];
    permute_finely(l, &input, &out_shape, &fine);
    Ok(())
}
