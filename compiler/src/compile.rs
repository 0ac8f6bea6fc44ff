//! The whole driver on one screen: a model's files in, programs out, one named line per stage.
//!
//! Must not know where files come from nor where programs go.

use crate::diagnostic::Diagnostic;
use crate::kernel::Program;
use crate::mode::Mode;
use crate::ncnn::{self, Model};
use crate::ops::{self, CustomLayer};
use crate::passes::{self, Change};
use crate::plan::Plan;
use crate::schedule::{Constants, schedule};
use ncnnc_targets::Target;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;
use std::hash::Hasher;

/// A file the user gave.
#[derive(Clone, Copy)]
pub struct File<'a> {
    /// The path as the user named it, for messages.
    pub path: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// What the user chose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes of inputs by blob name, outermost extent first, where the file leaves them open.
    pub shapes: HashMap<String, Vec<usize>>,
    /// Blobs to put out beside the model's own outputs.
    pub outputs: Vec<String>,
    /// What may be done to the numbers.
    pub mode: Mode,
    /// Layers that functions of the user's compute.
    pub custom: Vec<CustomLayer>,
}

/// A model compiled for some targets.
pub struct Compiled {
    /// What is computed.
    pub plan: Plan,
    /// What was done to the model on the way there.
    pub changes: Vec<Change>,
    /// How, on each target; the constants are the same for all.
    pub programs: Vec<(&'static Target, Program)>,
    /// What the user should know.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles a model.
///
/// # Errors
/// Everything that is wrong with the model, as far as one fault doesn't hide another.
pub fn compile(
    param: File,
    weights: File,
    options: &Options,
    targets: &[&'static Target],
) -> Result<Compiled, Vec<Diagnostic>> {
    let mut model = ncnn::read_param(param.path, param.bytes)?;
    check_inputs(&model, options)?;
    ops::custom::check(&model, &options.custom)?;
    ops::read_weights_with(&mut model, &options.custom, weights.path, weights.bytes)?;
    let graph = ops::lower_with(&model, &options.shapes, &options.outputs, &options.custom)?;
    if graph.outputs.is_empty() {
        return Err(vec![Diagnostic::error(format!("{} computes nothing: it has no outputs", param.path))]);
    }
    let (graph, changes) = passes::run(graph, options.mode);
    let plan = Plan::new(graph, options.mode);
    let programs = schedule_all(&plan, targets);
    Ok(Compiled { plan, changes, programs, warnings: model.warnings })
}

/// The model's hash: of its files and the options, of everything that decides what is computed.
pub fn hash(param: File, weights: File, options: &Options) -> u128 {
    let mut shapes: Vec<_> = options.shapes.iter().collect();
    shapes.sort();
    let text = format!("{shapes:?}\n{:?}\n{:?}\n{:?}", options.outputs, options.mode, options.custom);
    let mut hasher = SipHasher13::new();
    for bytes in [text.as_bytes(), param.bytes, weights.bytes] {
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    }
    hasher.finish128().as_u128()
}

/// One program for each target, with one set of constants.
fn schedule_all(plan: &Plan, targets: &[&'static Target]) -> Vec<(&'static Target, Program)> {
    let mut constants = Constants::default();
    let programs: Vec<_> = targets.iter().map(|target| (*target, schedule(plan, target, &mut constants))).collect();
    let constants = constants.finish();
    let complete = |(target, program)| (target, Program { constants: constants.clone(), ..program });
    programs.into_iter().map(complete).collect()
}

/// Shapes are given for inputs only.
fn check_inputs(model: &Model, options: &Options) -> Result<(), Vec<Diagnostic>> {
    let inputs: Vec<&str> = (model.layers.iter().filter(|layer| layer.kind == "Input"))
        .flat_map(|layer| &layer.outputs)
        .map(|blob| model.blob(*blob).name.as_str())
        .collect();
    let mut strangers: Vec<&String> = options.shapes.keys().filter(|name| !inputs.contains(&name.as_str())).collect();
    strangers.sort();
    let list = inputs.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let problems: Vec<Diagnostic> = (strangers.into_iter())
        .map(|name| {
            Diagnostic::error(format!("the model has no input `{name}`")).hint(format!("its inputs are {list}"))
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
