//! Input, MemoryData and Split: where values come from, and where they go. Sources: `src/layer/input.cpp`,
//! `memorydata.cpp` and `split.cpp`.

use super::Lowering;
use super::shape::text;
use super::signature::{Accepts, NONE_TO_ONE, ONE_TO_SOME, Parameter, Signature, warning};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Element, Source};
use crate::ncnn::{self, Layer, SHAPE_HINTS, WeightReader, Weights};
use std::sync::Arc;

const WIDTH: u32 = 0;
const HEIGHT: u32 = 1;
const CHANNELS: u32 = 2;
const DEPTH: u32 = 11;
const STORAGE: u32 = 21;

/// What the file says of an input is only a claim: any extents will do where the caller gives others.
pub(super) const INPUT: Signature = Signature::new(
    NONE_TO_ONE,
    &[
        Parameter::new(WIDTH, "width", Accepts::Integer),
        Parameter::new(HEIGHT, "height", Accepts::Integer),
        Parameter::new(CHANNELS, "number of channels", Accepts::Integer),
        Parameter::new(DEPTH, "depth", Accepts::Integer),
    ],
)
.rules(&[has_one_shape]);

/// Extents beyond the rank of the data are absent or 0. Without any, ncnn makes up one number that nothing writes.
pub(super) const MEMORY_DATA: Signature = Signature::new(
    NONE_TO_ONE,
    &[
        Parameter::new(WIDTH, "width", Accepts::AtLeast(1)).required(),
        Parameter::new(HEIGHT, "height", Accepts::AtLeast(0)),
        Parameter::new(CHANNELS, "number of channels", Accepts::AtLeast(0)),
        Parameter::new(DEPTH, "depth", Accepts::AtLeast(0)),
        Parameter::new(STORAGE, "storage", Accepts::OneOf(&[(0, "with a tag"), (1, "raw")])),
    ],
)
.rules(&[has_elements]);

pub(super) const SPLIT: Signature = Signature::new(ONE_TO_SOME, &[]);

/// An extent by the number of its parameter.
type Extent = (u32, i32);

/// Extents by the layer's parameters, outermost first; empty when the file leaves them open.
fn extents(layer: &Layer) -> Vec<Extent> {
    let all = [WIDTH, HEIGHT, DEPTH, CHANNELS].map(|id| (id, layer.parameters.int(id, 0)));
    let [width, height, depth, channels] = all;
    match all.map(|(_, extent)| extent) {
        [0, 0, 0, 0] => Vec::new(),
        [_, 0, 0, 0] => vec![width],
        [_, _, 0, 0] => vec![height, width],
        [_, _, 0, _] => vec![channels, height, width],
        [_, _, _, _] => vec![channels, depth, height, width],
    }
}

/// An extent that no blob can have, described.
fn impossible(extents: &[Extent]) -> Option<(u32, String)> {
    let (id, extent) = extents.iter().find(|(_, extent)| *extent < 1)?;
    let name = INPUT.parameters.iter().find(|parameter| parameter.id == *id)?.name;
    Some((*id, format!("the {name} is {extent}")))
}

/// Whether it is an input whose shape the file leaves open.
pub(super) fn is_open_input(layer: &Layer) -> bool {
    layer.kind == "Input" && extents(layer).is_empty()
}

/// Refuses data of no size.
fn has_elements(layer: &Layer) -> Result<(), Diagnostic> {
    let extents = extents(layer);
    match impossible(&extents) {
        None => Ok(()),
        Some((id, message)) => {
            let message = format!("{message} in data of {} dimensions", extents.len());
            Err(layer.error_in(id, message).hint("every extent up to the outermost one must be at least 1"))
        }
    }
}

/// The shape that an Input's extents give it, if it can have it.
pub(super) fn written_shape(layer: &Layer) -> Option<Vec<usize>> {
    let extents = extents(layer);
    let shape = extents.iter().map(|(_, extent)| usize::try_from(*extent).ok().filter(|extent| *extent > 0));
    if layer.kind == "Input" && !extents.is_empty() { shape.collect() } else { None }
}

/// Warns of an input for which the file claims another shape than its extents give it.
fn has_one_shape(layer: &Layer) -> Result<(), Diagnostic> {
    let claims = ncnn::shape_hints(&layer.parameters, layer.outputs.len()).unwrap_or_default();
    match (written_shape(layer), claims.into_iter().flatten().next()) {
        (Some(written), Some(claimed)) if written != claimed => {
            let (written, claimed) = (text(&written), text(&claimed));
            let message =
                format!("parameter 30 claims the shape {claimed} for an input of {written}; the claim counts");
            Err(warning(layer, SHAPE_HINTS, message).hint("correct it or leave it out"))
        }
        _ => Ok(()),
    }
}

/// What to do about an input whose shape isn't known.
pub const SHAPE_HINT: &str =
    "give it as `[channels, height, width]`, to the command as `--input NAME=C,H,W`, or write it into the .param";

pub(super) fn input(l: &mut Lowering) -> Result<(), Diagnostic> {
    let name = l.output_names[0].clone();
    let extents: Vec<i64> = match &l.given_shape {
        Some(given) => given.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect(),
        None => {
            let written = extents(l.layer);
            if let Some((id, message)) = impossible(&written) {
                let message = format!("{message} in the shape of input `{name}`");
                return Err(l.error_in(id, message).code(Code::Shape).hint(SHAPE_HINT));
            }
            written.into_iter().map(|(_, extent)| i64::from(extent)).collect()
        }
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
    let extents: Vec<i32> = extents(layer).into_iter().map(|(_, extent)| extent).collect();
    let count = reader.count(&extents)?;
    let raw = layer.parameters.int(STORAGE, 1) == 1;
    Ok(vec![if raw { reader.raw(count)? } else { reader.tagged(count)? }])
}

pub(super) fn memory_data(l: &mut Lowering) -> Result<(), Diagnostic> {
    let extents: Vec<i64> = extents(l.layer).into_iter().map(|(_, extent)| i64::from(extent)).collect();
    let view = l.weight(0, "data", &extents)?;
    // What the values are can be all that matters of them: those of a box to crop, say. Without them nothing can be said of
    // the layers behind.
    if l.layer.weights.iter().all(Weights::are_read) {
        l.set_output(0, view);
    }
    Ok(())
}

pub(super) fn split(l: &mut Lowering) -> Result<(), Diagnostic> {
    let view = l.input(0)?;
    for i in 0..l.output_names.len() {
        l.set_output(i, view.clone());
    }
    Ok(())
}
