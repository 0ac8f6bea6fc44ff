//! Padding: the input with a border.
//!
//! 0 top, 1 bottom, 2 left, 3 right: the width of the border; 7 front, 8 behind: along the channels of
//! three-dimensional and the depth of four-dimensional blobs. 4: 0 for a constant, 1 for the nearest element, 2 for a
//! reflection at the outermost one. 5: the constant, or 6: how many there are, one for each channel.

use super::Lowering;
use super::shape::{Side, sides};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Index, View};
use crate::ncnn::{Layer, WeightReader, Weights};
use std::sync::Arc;

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    match layer.parameters.int(6, 0) {
        0 => Ok(Vec::new()),
        count => {
            let count = reader.count(&[count])?;
            Ok(vec![reader.raw(count)?])
        }
    }
}

/// What the border holds.
#[derive(Clone, Copy, PartialEq)]
enum Border {
    Constant,
    Nearest,
    Reflection,
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.only_input()?;
    let parameters = &l.layer.parameters;
    let border = match parameters.int(4, 0) {
        0 => Border::Constant,
        1 => Border::Nearest,
        2 => Border::Reflection,
        other => {
            return Err(l.error(format!("there is no border {other}")).hint("0 constant, 1 nearest, 2 reflection"));
        }
    };
    let value = parameters.float(5, 0.0);
    let margins = margins(l, &input, border)?;
    let extents: Vec<i64> =
        input.shape.iter().zip(&margins).map(|(extent, (before, after))| *extent as i64 + before + after).collect();
    let out_shape = l.shape(&extents)?;
    if out_shape == input.shape {
        l.set_output(0, input);
        return Ok(());
    }
    if border != Border::Constant {
        l.tabulated(&out_shape)?;
    }
    let index: Vec<Index> = margins
        .iter()
        .enumerate()
        .map(|(axis, margin)| border_index(border, axis, input.shape[axis], *margin, out_shape[axis]))
        .collect();
    if border == Border::Constant && parameters.int(6, 0) != 0 && out_shape.len() >= 3 {
        return by_channel(l, &input, index, &margins, &out_shape);
    }
    let output = l.moved_output(0, &out_shape, &input);
    let read = input.at(index);
    let read = if border == Border::Constant { read.or(value) } else { read };
    l.map(&output, vec![read], Expression::read_of(0));
    Ok(())
}

/// The width of the border before and after each axis.
fn margins(l: &Lowering, input: &View, border: Border) -> Result<Vec<(i64, i64)>, Diagnostic> {
    let parameters = &l.layer.parameters;
    let rank = input.shape.len();
    let mut margins = Vec::with_capacity(rank);
    for (side, extent) in sides(rank).iter().zip(&input.shape) {
        let ids = match (side, rank) {
            (Side::Width, _) => Some((2, 3)),
            (Side::Height, _) => Some((0, 1)),
            (Side::Depth, _) | (Side::Channels, 3) => Some((7, 8)),
            (Side::Channels, _) => None,
        };
        let (before, after) =
            ids.map_or((0, 0), |(a, b)| (i64::from(parameters.int(a, 0)), i64::from(parameters.int(b, 0))));
        if before < 0 || after < 0 {
            let message = format!("a border of {before} and {after} elements along {}", side.letter());
            return Err(l.error(message).hint("to make a blob smaller use Crop"));
        }
        if border == Border::Reflection && before.max(after) >= *extent as i64 {
            let message = format!("{} elements can't be reflected by {}", extent, before.max(after));
            return Err(l.error(message).hint("a reflected border must be narrower than the input"));
        }
        margins.push((before, after));
    }
    Ok(margins)
}

/// Where an axis of the output reads in the input; outside it for a constant border.
fn border_index(border: Border, axis: usize, extent: usize, (before, after): (i64, i64), out_extent: usize) -> Index {
    if (before, after) == (0, 0) {
        return Index::axis(axis);
    }
    let last = extent as i64 - 1;
    let table =
        |place: &dyn Fn(i64) -> i64| -> Arc<[i64]> { (0..out_extent as i64).map(|at| place(at - before)).collect() };
    match border {
        Border::Constant => Index::axis(axis).moved(-before),
        Border::Nearest => Index::table(axis, table(&|at| at.clamp(0, last))),
        Border::Reflection => Index::table(axis, table(&|at| last - (at.abs() - last).abs())),
    }
}

/// A constant border whose value depends on the channel of the output.
fn by_channel(
    l: &mut Lowering,
    input: &View,
    index: Vec<Index>,
    margins: &[(i64, i64)],
    out_shape: &[usize],
) -> Result<(), Diagnostic> {
    let values = l.weight(0, "border", &[out_shape[0] as i64])?;
    let ranges: Vec<_> = input
        .shape
        .iter()
        .zip(margins)
        .map(|(extent, (before, _))| *before as usize..*before as usize + extent)
        .collect();
    let inside = l.inside(out_shape, &ranges)?;
    let output = l.output(0, out_shape);
    let reads = vec![input.at(index).or(0.0), values.at(vec![Index::axis(0)]), inside];
    let value = Expression::new(|e| {
        let (x, border, inside, one) = (e.read(0), e.read(1), e.read(2), e.constant(1.0));
        let within = e.equal(inside, one);
        e.select(within, x, border)
    });
    l.map(&output, reads, value);
    Ok(())
}
