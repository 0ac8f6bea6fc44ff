//! The model under test: its plan, the plain definition it is measured against, and the plans that switch one cause of
//! error off at a time.

use super::calibration::Calibration;
use crate::compile::{File, Options, plan};
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, Operation, RoutineKind, TensorId};
use crate::lock::{CORRECTED, model_hash, options_text};
use crate::mode::Mode;
use crate::ncnn::{self, Storage};
use crate::ops;
use crate::passes::PASSES;
use crate::plan::Plan;
use crate::precision::Precision;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;
use std::hash::Hasher;

/// A model, ready to be measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The param file, as the user named it.
    pub name: String,
    /// What would be compiled.
    pub plan: Plan,
    /// Every layer by its plain definition, over the constants of the file.
    pub definition: Plan,
    /// The same definition over the constants before the file narrowed them, if the user has them.
    pub original: Option<Plan>,
    /// The plan without the passes that change bits; nothing where none of them found anything to do.
    pub unrewritten: Option<Plan>,
    /// The plan with every convolution by its direct sum; nothing where all are.
    pub direct: Option<Plan>,
    /// The plan that stores every constant as it is; nothing where the plan under test does.
    pub unnarrowed: Option<Plan>,
    /// The plan that stores the output of every layer as it is; nothing where the plan under test does.
    pub unrounded: Option<Plan>,
    /// The plan without corrections of biases, and these; nothing where the plan under test has none.
    pub uncorrected: Option<(Plan, Calibration)>,
    /// What the files say of each layer, by its name.
    pub layers: HashMap<String, LayerFacts>,
    /// What the user chose, as text.
    pub options: String,
    /// The hash of both files.
    pub hash: String,
    /// What the user should know.
    pub warnings: Vec<Diagnostic>,
}

/// What the files say of a layer.
#[derive(Clone, Debug)]
pub struct LayerFacts {
    /// ncnn's name of its type.
    pub kind: String,
    /// How the file stores its first array.
    pub storage: Option<Storage>,
    /// ncnn's feature mask: what it is not to do in this layer.
    pub mask: i32,
    /// The mean and the deviation that each channel of its results had in training, if it says so.
    pub statistics: Option<Vec<[f32; 2]>>,
}

/// The id of the feature mask among a layer's parameters.
const FEATURE_MASK: u32 = 31;

impl Subject {
    /// Reads and plans a model. `original` is a `.bin` of the same network with wider constants. What corrects biases comes
    /// with [`Self::corrected`].
    ///
    /// # Errors
    /// Everything that is wrong with the model, and layers of the user's own, which nothing here can compute.
    pub fn new(param: File, weights: File, original: Option<File>, options: &Options) -> Result<Self, Vec<Diagnostic>> {
        let options = &Options { bias_correction: None, ..options.clone() };
        let (planned, changes, warnings) = plan(param, weights, options, options.mode)?;
        let (definition, layers) = define(param, weights, options)?;
        if let Some(name) = custom_layer(&definition.graph) {
            let hint = "give the model without them, or compare the compiled program's outputs instead";
            let message =
                "layers of your own can't be verified: their functions are only known to the compiled program";
            return Err(vec![Diagnostic::error(message).layer(name).hint(hint)]);
        }
        let original = original.map(|file| define(param, file, options)).transpose()?.map(|(plan, _)| plan);
        let changes_bits = |name: &str| PASSES.iter().any(|pass| pass.name == name && pass.changes_bits);
        let rewritten = changes.iter().any(|change| changes_bits(change.pass));
        let unrewritten = rewritten.then(|| plan(param, weights, options, Mode::Strict)).transpose()?;
        let unless = |there: bool, wide: Options| {
            let planned = there.then(|| plan(param, weights, &wide, wide.mode)).transpose()?;
            Ok::<_, Vec<Diagnostic>>(planned.map(|(plan, ..)| plan))
        };
        let [constants, activations] = [true, false].map(|constant| planned.stores_narrow(constant));
        let unnarrowed = unless(constants, Options { precision: Precision::default(), ..options.clone() })?;
        let unrounded = unless(activations, Options { activations: Precision::default(), ..options.clone() })?;
        Ok(Self {
            name: param.path.to_string(),
            direct: planned.without_algorithms(),
            plan: planned,
            definition,
            original,
            unrewritten: unrewritten.map(|(plan, ..)| plan),
            unnarrowed,
            unrounded,
            uncorrected: None,
            layers,
            options: options_text(options),
            hash: model_hash(param, weights),
            warnings,
        })
    }

    /// The model with its biases corrected.
    ///
    /// # Panics
    /// When it is corrected already, or the corrections are those of another model.
    #[must_use]
    pub fn corrected(self, calibration: Calibration) -> Self {
        assert!(self.uncorrected.is_none(), "a correction of what has been corrected");
        let corrected =
            |plan: &Plan| plan.corrected(&calibration.corrections).expect("a correction for each contraction");
        let plan = corrected(&self.plan);
        Self {
            direct: plan.without_algorithms(),
            // Constants that have been folded are rounded otherwise than those they are made of: corrections of the ones
            // are none of the others.
            unrewritten: None,
            unrounded: self.unrounded.map(|plan| corrected(&plan)),
            uncorrected: Some((self.plan, calibration)),
            options: self.options + CORRECTED,
            plan,
            ..self
        }
    }

    /// The name and the shape of every input.
    pub fn inputs(&self) -> Vec<(&str, &[usize])> {
        let graph = &self.plan.graph;
        graph.inputs.iter().map(|id| (graph.tensor(*id).name.as_str(), graph.tensor(*id).shape.as_slice())).collect()
    }

    /// The name and the shape of every output.
    pub fn outputs(&self) -> Vec<(&str, &[usize])> {
        self.plan.graph.outputs.iter().map(|output| (output.name.as_str(), output.view.shape.as_slice())).collect()
    }

    /// The constants of the definition that belong to layers of which `wanted` holds: the weights of their products.
    pub(super) fn weights(&self, wanted: impl Fn(&LayerFacts) -> bool) -> Vec<TensorId> {
        let graph = &self.definition.graph;
        let mut found = Vec::new();
        for operation in &graph.operations {
            let of_wanted = self.layers.get(operation.name()).is_some_and(&wanted);
            if of_wanted && operation.macs() > 0 {
                // A bias is a constant too, but it is stored as f32 by ncnn, in the file and in memory.
                found.extend(operation.reads().into_iter().take(2).filter(|id| graph.constant(*id).is_some()));
            }
        }
        found.dedup();
        found
    }
}

/// The graph that no pass has touched as a plan, and what the files say of the layers.
fn define(
    param: File,
    weights: File,
    options: &Options,
) -> Result<(Plan, HashMap<String, LayerFacts>), Vec<Diagnostic>> {
    let mut model = ops::read_param(param.path, param.bytes, &options.shapes, &options.custom)?;
    ops::read_weights_with(&mut model, weights.path, weights.bytes, &options.shapes, &options.custom)?;
    let graph = ops::lower_with(&model, &options.shapes, &options.outputs, &options.custom)?.graph;
    let facts = |layer: &ncnn::Layer| LayerFacts {
        kind: layer.kind.clone(),
        storage: layer.weights.first().map(|weights| weights.storage),
        mask: layer.parameters.int(FEATURE_MASK, 0),
        statistics: ops::statistics(layer),
    };
    let layers = model.layers.iter().map(|layer| (layer.name.clone(), facts(layer))).collect();
    Ok((Plan::new(graph, Mode::Strict), layers))
}

/// The first layer that a function of the user's computes.
fn custom_layer(graph: &Graph) -> Option<&str> {
    graph.operations.iter().find_map(|operation| match operation {
        Operation::Routine(routine) => match routine.kind {
            RoutineKind::Custom(_) => Some(routine.name.as_str()),
            RoutineKind::Detections(_) | RoutineKind::Crop(_) => None,
        },
        Operation::Nest(_) => None,
    })
}

/// A hash of words in which any NaN is any other.
pub fn hash_words<'a>(words: impl Iterator<Item = &'a u32>) -> String {
    let mut hasher = SipHasher13::new();
    for word in words {
        let canonical = if f32::from_bits(*word).is_nan() { f32::NAN.to_bits() } else { *word };
        hasher.write(&canonical.to_le_bytes());
    }
    format!("{:032x}", hasher.finish128().as_u128())
}
