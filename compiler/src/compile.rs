//! The whole driver on one screen: a model's files in, programs out, one named line per stage.
//!
//! Must not know where files come from nor where programs go.

use crate::diagnostic::{Code, Diagnostic};
use crate::format::Format;
use crate::graph::Graph;
use crate::kernel::Program;
use crate::mode::{self, LayerMode, Mode};
use crate::ncnn::{self, Model};
use crate::ops::{self, CustomLayer};
use crate::passes::{self, Change, Refused};
use crate::pattern;
use crate::plan::{Correction, Formats, Overflow, Plan};
use crate::precision::{Exception, Precision};
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
    /// What may be done to those of some layers. Where several match a layer, the last one holds.
    pub layer_modes: Vec<LayerMode>,
    /// In which format the constants of each layer are stored.
    pub precision: Precision,
    /// In which format its outputs are stored, where they stay in the network.
    pub activations: Precision,
    /// What the sums of each contraction with narrow constants start with beside their biases, if that was calibrated.
    pub bias_correction: Option<Vec<Correction>>,
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
    let (plan, changes, warnings) = plan(param, weights, options, options.mode)?;
    let programs = schedule_all(&plan, targets);
    Ok(Compiled { plan, changes, programs, warnings })
}

/// What is computed, what was done to the model on the way there, and what the user should know; `rewriting` is what passes
/// may do.
///
/// # Errors
/// As [`compile`].
pub fn plan(
    param: File,
    weights: File,
    options: &Options,
    rewriting: Mode,
) -> Result<(Plan, Vec<Change>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let network = Network::new(param, weights, options, rewriting)?;
    let mut plan = network.plan(&options.precision);
    if let Some(corrections) = &options.bias_correction {
        plan = plan.corrected(corrections).ok_or_else(|| vec![misfit()])?;
    }
    let Network { changes, mut warnings, .. } = network;
    warnings.extend(plan.overflows.iter().map(|overflow| too_large(&plan, overflow).about(param.path)));
    warnings.extend(without_effect(&plan, &options.activations).into_iter().map(|warning| warning.about(param.path)));
    Ok((plan, changes, warnings))
}

/// Says in the graph what may be done in each layer; gives the loosest mode.
///
/// # Errors
/// Every layer that is to be compensated and can't be.
fn set_modes(model: &Model, options: &Options, graph: &mut Graph) -> Result<Mode, Vec<Diagnostic>> {
    let mut loosest = Mode::Compensated;
    for layer in &model.layers {
        let mode = mode::of_layer(options.mode, &options.layer_modes, &layer.name);
        loosest = loosest.min(mode);
        graph.modes.insert(layer.name.clone(), mode);
    }
    passes::compensate(graph).map_err(|refused| {
        let place = |name: &str| model.layers.iter().find(|layer| layer.name == name);
        let problem = |Refused { layer, reason }| {
            let kind = place(&layer).map_or("", |layer| &layer.kind);
            let problem = Diagnostic::error(format!("{kind} can't be compensated: {reason}"))
                .code(Code::Precision)
                .layer(&layer)
                .hint(format!(
                    "`numerics({layer:?}) = strict;` computes it as it is; with the command, `--numerics '{layer}=strict'`"
                ));
            place(&layer).map_or(problem.clone(), |layer| problem.at(layer.location.clone()))
        };
        refused.into_iter().map(problem).collect::<Vec<_>>()
    })?;
    Ok(loosest)
}

/// A model of which everything is decided but how its constants are stored.
pub struct Network {
    /// What is computed, over constants as they are.
    pub graph: Graph,
    mode: Mode,
    /// The feature masks of all layers, by name.
    masks: Vec<(String, u32)>,
    /// The formats of their outputs.
    activations: HashMap<String, Format>,
    changes: Vec<Change>,
    warnings: Vec<Diagnostic>,
}

impl Network {
    /// Reads and rewrites a model; `rewriting` is what passes may do.
    ///
    /// # Errors
    /// As [`compile`].
    pub fn new(param: File, weights: File, options: &Options, rewriting: Mode) -> Result<Self, Vec<Diagnostic>> {
        let mut model = ops::read_param(param.path, param.bytes, &options.shapes, &options.custom)?;
        let about_param = |problems: Vec<Diagnostic>| -> Vec<Diagnostic> {
            problems.into_iter().map(|problem| problem.about(param.path)).collect()
        };
        let mut problems = check_options(&model, options).err().unwrap_or_default();
        problems.extend(ops::custom::check(&model, &options.custom).err().unwrap_or_default());
        problems.extend(ops::check_outputs(&model, &options.outputs));
        if !problems.is_empty() {
            return Err(about_param(problems));
        }
        ops::read_weights_with(&mut model, weights.path, weights.bytes, &options.shapes, &options.custom)?;
        let lowered =
            ops::lower_with(&model, &options.shapes, &options.outputs, &options.custom).map_err(about_param)?;
        let (mut graph, mut warnings) = (lowered.graph, model.warnings.clone());
        warnings.extend(lowered.warnings);
        if graph.outputs.is_empty() {
            let problem = Diagnostic::error(format!("{} computes nothing: it has no outputs", param.path));
            return Err(vec![problem.about(param.path)]);
        }
        let masks: Vec<(String, u32)> =
            model.layers.iter().map(|layer| (layer.name.clone(), layer.parameters.feature_mask())).collect();
        let activations = allowed(&masks, &options.activations);
        let mode = set_modes(&model, options, &mut graph)?;
        let (graph, changes) = passes::run(graph, rewriting.max(mode));
        Ok(Self { graph, mode, masks, activations, changes, warnings })
    }

    /// The plan with constants stored so.
    pub fn plan(&self, precision: &Precision) -> Plan {
        let formats = Formats { constants: self.formats(precision), activations: self.activations.clone() };
        Plan::with_storage(self.graph.clone(), self.mode, &formats)
    }

    /// The format for the constants of each layer, by name, as far as its feature mask allows it.
    pub fn formats(&self, precision: &Precision) -> HashMap<String, Format> {
        allowed(&self.masks, precision)
    }
}

/// The chosen format for each layer, by name. A layer whose feature mask forbids it stays as it is; of layers with the same
/// name, all do.
fn allowed(masks: &[(String, u32)], precision: &Precision) -> HashMap<String, Format> {
    let mut formats = HashMap::new();
    for (layer, mask) in masks {
        let forbidden = match precision.of(layer) {
            Format::Word => 0,
            Format::F16 => ncnn::FORBIDS_F16_STORAGE,
            Format::Bf16 => ncnn::FORBIDS_BF16_STORAGE,
        };
        let is_forbidden = mask & forbidden != 0;
        let format = if is_forbidden { Format::Word } else { precision.of(layer) };
        let chosen = formats.entry(layer.clone()).or_insert(format);
        if is_forbidden {
            *chosen = Format::Word;
        }
    }
    formats
}

fn misfit() -> Diagnostic {
    let problem = "the biases were corrected for other layers than those whose constants are stored in f16 or bf16";
    Diagnostic::error(problem).code(Code::Precision).hint(
        "corrections are for one precision of one model: `ncnnc verify --bias-correction --record` with the same options \
         takes them anew",
    )
}

fn too_large(plan: &Plan, overflow: &Overflow) -> Diagnostic {
    let Overflow { layer, tensor, numbers } = overflow;
    let (all, format) = (plan.graph.tensor(*tensor).elements(), plan.formats[tensor.0].text());
    let message = format!("{numbers} of {all} weights are too large for {format} and become infinite");
    Diagnostic::warning(message).layer(layer).hint(format!(
        "`precision({layer:?}) = f32;` keeps them as they are; with the command, `--precision '{layer}=f32'`"
    ))
}

/// Formats that were chosen for what some layers put out, where none of them stores anything so.
fn without_effect(plan: &Plan, activations: &Precision) -> Vec<Diagnostic> {
    let has_effect = |exception: &Exception| {
        let mut tensors = plan.graph.tensors.iter().zip(&plan.formats).filter(|(_, of)| **of == exception.format);
        tensors.any(|(tensor, _)| tensor.layer.as_ref().is_some_and(|layer| exception.matches(layer)))
    };
    let idle = activations.exceptions.iter().filter(|exception| exception.format.is_narrow() && !has_effect(exception));
    let warning = |Exception { pattern, format }: &Exception| {
        let format = format.text();
        Diagnostic::warning(format!("`activations({pattern:?}) = {format};` changes nothing")).hint(format!(
            "a feature mask may forbid it, and what a fused layer uses up isn't stored: name the last layer that is fused; \
             `ncnnc inspect --activations {format}` lists what can be stored so"
        ))
    };
    idle.map(warning).collect()
}

/// The model's hash: of its files and the options, of everything that decides what is computed.
pub fn hash(param: File, weights: File, options: &Options) -> u128 {
    let mut shapes: Vec<_> = options.shapes.iter().collect();
    shapes.sort();
    let Options { shapes: _, outputs, mode, layer_modes, precision, activations, bias_correction, custom } = options;
    let text = format!(
        "{shapes:?}\n{outputs:?}\n{mode:?}\n{layer_modes:?}\n{precision:?}\n{activations:?}\n{bias_correction:?}\n{custom:?}"
    );
    let mut hasher = SipHasher13::new();
    for bytes in [text.as_bytes(), param.bytes, weights.bytes] {
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    }
    hasher.finish128().as_u128()
}

/// One program for each target, with one set of constants and tables.
fn schedule_all(plan: &Plan, targets: &[&'static Target]) -> Vec<(&'static Target, Program)> {
    let mut constants = Constants::default();
    let mut programs: Vec<_> = targets.iter().map(|target| (*target, schedule(plan, target, &mut constants))).collect();
    constants.finish(programs.iter_mut().map(|(_, program)| program));
    programs
}

/// Shapes are given for inputs only, precisions for layers that there are.
fn check_options(model: &Model, options: &Options) -> Result<(), Vec<Diagnostic>> {
    let inputs: Vec<&str> = (model.layers.iter().filter(|layer| layer.kind == "Input"))
        .flat_map(|layer| &layer.outputs)
        .map(|blob| model.blob(*blob).name.as_str())
        .collect();
    let mut strangers: Vec<&String> = options.shapes.keys().filter(|name| !inputs.contains(&name.as_str())).collect();
    strangers.sort();
    let list = inputs.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut problems: Vec<Diagnostic> = (strangers.into_iter())
        .map(|name| {
            Diagnostic::error(format!("the model has no input `{name}`")).hint(format!("its inputs are {list}"))
        })
        .collect();
    let layers: Vec<&str> = model.layers.iter().map(|layer| layer.name.as_str()).collect();
    problems.extend(options.precision.problems(&layers));
    problems.extend(options.activations.problems(&layers));
    problems.extend(pattern::problems(options.layer_modes.iter().map(|mode| mode.pattern.as_str()), &layers));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
