//! Layers that a function of the user's computes.
//!
//! The function sees values only: parameters in the param file are for the user to know, and arrays in the `.bin` can't
//! be read, since nobody says how many there are.

use super::{Lowering, operator};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Operation, Routine, RoutineKind};
use crate::ncnn::{Layer, Model};

/// A layer, or all layers of a type, computed by a function of the user's: the one with this declaration's position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomLayer {
    /// The name of a layer, or else a layer type.
    pub layer: String,
    /// The shapes of the outputs, outermost extent first.
    pub shapes: Vec<Vec<usize>>,
}

/// The declaration for a layer, with its position: one of its name, or else one of its type.
pub(super) fn find<'c>(custom: &'c [CustomLayer], layer: &Layer) -> Option<(usize, &'c CustomLayer)> {
    let named = |name: &str| custom.iter().enumerate().find(|(_, declared)| declared.layer == name);
    named(&layer.name).or_else(|| named(&layer.kind))
}

/// Refuses declarations that fit no layer, are made twice, or are of layers that the compiler knows.
///
/// # Errors
/// All of them.
pub fn check(model: &Model, custom: &[CustomLayer]) -> Result<(), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    for (at, CustomLayer { layer: name, .. }) in custom.iter().enumerate() {
        if custom[..at].iter().any(|other| other.layer == *name) {
            problems.push(Diagnostic::error(format!("layer `{name}` is declared twice")));
        }
        let mut layers = model.layers.iter().filter(|layer| layer.name == *name || layer.kind == *name).peekable();
        if layers.peek().is_none() {
            let hint = "the name is that of a layer in the param file, or of a layer type";
            problems.push(Diagnostic::error(format!("the model has no layer or layer type `{name}`")).hint(hint));
        }
        problems.extend(layers.filter(|layer| operator(&layer.kind).is_some()).map(|layer| {
            let message = format!("{} is a layer type the compiler knows; a function can't replace it", layer.kind);
            Diagnostic::error(message).code(Code::Layer).at(layer.location.clone()).layer(&layer.name)
        }));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Adds the call of the function with this number, which fills the layer's outputs.
pub(super) fn lower(l: &mut Lowering, function: usize, declared: &CustomLayer) -> Result<(), Diagnostic> {
    let (given, wanted) = (declared.shapes.len(), l.output_names.len());
    if given != wanted {
        return Err(l.error(format!("the layer has {wanted} outputs, but {given} shapes are declared")));
    }
    let reads = (0..l.inputs.len()).map(|i| l.fixed_input(i)).collect::<Result<_, _>>()?;
    let mut writes = Vec::new();
    for (i, shape) in declared.shapes.iter().enumerate() {
        let extents: Vec<i64> = shape.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect();
        let shape = l.checked_shape(&format!("output {i}"), &extents)?;
        writes.push(l.output(i, &shape).tensor);
    }
    let (name, kind) = (l.layer.name.clone(), RoutineKind::Custom(function));
    l.graph.operations.push(Operation::Routine(Routine { name, kind, reads, writes }));
    Ok(())
}
