//! Input, MemoryData and Split: where values come from, and where they go.
//!
//! Input and MemoryData: 0/1/11/2 width, height, depth and channels; those beyond the rank are absent or 0. MemoryData:
//! 21 whether its values are raw (1) or tagged (0).

use super::Lowering;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Element, Source};
use crate::ncnn::{Layer, WeightReader, Weights};
use std::sync::Arc;

/// Extents by the layer's parameters, outermost first; empty when the file leaves them open.
fn extents(layer: &Layer) -> Vec<i32> {
    let [width, height, depth, channels] = [0, 1, 11, 2].map(|id| layer.parameters.int(id, 0));
    match (width, height, depth, channels) {
        (0, 0, 0, 0) => Vec::new(),
        (_, 0, 0, 0) => vec![width],
        (_, _, 0, 0) => vec![height, width],
        (_, _, 0, _) => vec![channels, height, width],
        (_, _, _, _) => vec![channels, depth, height, width],
    }
}

/// What to do about an input whose shape isn't known.
pub const SHAPE_HINT: &str =
    "give it as `[channels, height, width]`, to the command as `--input NAME=C,H,W`, or write it into the .param";

pub(super) fn input(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(0, 0, 1)?;
    let name = l.output_names[0].clone();
    let written: Vec<i64> = extents(l.layer).into_iter().map(i64::from).collect();
    let extents = match &l.given_shape {
        Some(given) => given.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect(),
        None => written,
    };
    if extents.len() > 4 {
        let message = format!("input `{name}` would have {} axes", extents.len());
        return Err(l.error(message).code(Code::Shape).hint("a blob has at most four"));
    }
    if extents.is_empty() {
        let message = format!("the shape of input `{name}` is not known");
        return Err(l.error(message).code(Code::Shape).hint(SHAPE_HINT));
    }
    if l.given_shape.as_ref().is_some_and(|shape| *shape == [0]) {
        // Never fed, as a cache at the first step; nobody is asked for it.
        let view = l.add(&name, &[0], Element::F32, Source::Constant(Arc::default()));
        l.set_output(0, view);
        return Ok(());
    }
    let shape = l.checked_shape(&format!("input `{name}`"), &extents)?;
    let view = l.add(&name, &shape, Element::F32, Source::Input);
    l.graph.inputs.push(view.tensor);
    l.set_output(0, view);
    Ok(())
}

pub(super) fn memory_data_weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    let count = reader.count(&extents(layer))?;
    let raw = layer.parameters.int(21, 1) == 1;
    Ok(vec![if raw { reader.raw(count)? } else { reader.tagged(count)? }])
}

pub(super) fn memory_data(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(0, 0, 1)?;
    let extents: Vec<i64> = extents(l.layer).into_iter().map(i64::from).collect();
    if extents.is_empty() {
        return Err(l.error("data without a shape"));
    }
    let view = l.weight(0, "data", &extents)?;
    // What the values are can be all that matters of them: those of a box to crop, say. Without them nothing can be said of
    // the layers behind.
    if l.layer.weights.iter().all(Weights::are_read) {
        l.set_output(0, view);
    }
    Ok(())
}

pub(super) fn split(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(1, 1, l.output_names.len())?;
    let view = l.input(0)?;
    for i in 0..l.output_names.len() {
        l.set_output(i, view.clone());
    }
    Ok(())
}
