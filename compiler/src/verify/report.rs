//! What a verification says, as a value: every rendering shows this and nothing else.
//!
//! Field names are those of the JSON form and stay as they are.

use super::bias::BiasCorrection;
use super::chosen::Chosen;
use super::figures::{Agreement, Binade, Figures, HalfRange};
use serde::Serialize;

/// The version of the JSON form.
pub const FORMAT: u32 = 1;

/// The result of a verification.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this form.
    pub format: u32,
    /// The param file.
    pub model: String,
    /// The hash of the model's files.
    pub model_hash: String,
    /// What the user chose, in the macro's words.
    pub options: String,
    /// The hash of all that decides bits.
    pub plan_hash: String,
    /// What was fed.
    pub inputs: InputsReport,
    /// The sentence to read when only one is read, and whether everything was as it should be.
    pub verdict: Verdict,
    /// Steps of the plan, in order.
    pub layers: Vec<LayerReport>,
    /// The model's outputs.
    pub outputs: Vec<OutputReport>,
    /// Where the error of the outputs comes from, the largest part first.
    pub causes: Vec<Cause>,
    /// What the search for the smallest storage has chosen, where there was one: this is what the rest is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// How the biases were corrected, and what that does, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias_correction: Option<BiasCorrection>,
    /// What to do about it.
    pub advice: Vec<Advice>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What was fed.
#[derive(Clone, Debug, Serialize)]
pub struct InputsReport {
    /// How many samples.
    pub samples: usize,
    /// The seed, where they were random.
    pub random_seed: Option<u64>,
    /// The hash of all of them.
    pub hash: String,
}

/// The judgement.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Whether everything was as it should be.
    pub passed: bool,
    /// One line.
    pub text: String,
    /// The least absolute tolerance with which the outputs compare equal to the user's reference, or to the `f64`
    /// reference where there is none.
    pub tolerance: f64,
    /// The same, relative to the largest magnitude of each output.
    pub relative_tolerance: f64,
}

/// A step of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// The layers it carries out, in order.
    pub layers: Vec<String>,
    /// ncnn's names of their types.
    pub kinds: Vec<String>,
    /// The tensors it makes.
    pub outputs: Vec<String>,
    /// What the step itself adds: fed with the reference's inputs, rounded to `f32`, against the plain definition of its
    /// layers in `f64` on the same inputs.
    pub local: Figures,
    /// What rounding alone adds: against the same step of the plan in `f64`, over the constants as the plan stores them;
    /// none for steps whose course depends on the data.
    pub rounding: Option<Rounding>,
    /// The largest bound of what rounding can add, by running error analysis of the planned arithmetic; none for steps
    /// whose course depends on the data.
    pub bound: Option<f64>,
    /// The largest share of its bound that rounding an element takes; none without a bound.
    pub bound_used: Option<f64>,
    /// In the run of the whole plan, against the run of the whole definition in `f64`.
    pub cumulative: Figures,
    /// The same as choices: for each sample, and each of its outputs.
    pub agreement: Agreement,
    /// How its values would fit into half precision.
    pub activations_in_f16: HalfRange,
    /// How its constants would fit into half precision; none without constants.
    pub constants_in_f16: Option<HalfRange>,
    /// How the file stores its weights.
    pub stored_in_file: Option<String>,
    /// In which format the plan stores the constants it multiplies by; none where it stores all as they are.
    pub stored_in_plan: Option<String>,
    /// The tensors it makes that the plan stores narrow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub narrow_outputs: Vec<NarrowOutput>,
    /// How many values are exact, off by up to half a unit in the last place, up to one, two, four...
    pub local_ulps: Vec<UlpClass>,
    /// The local error by the magnitude of the value.
    pub local_by_magnitude: Vec<MagnitudeClass>,
    /// How far the outputs move, at most, when this step alone is computed as planned and everything else by its definition,
    /// in the sample with the largest error; only known of the least exact steps, and where the error is too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moves: Option<f64>,
    /// The hash of what it computes for all samples in the run of the whole plan.
    pub hash: String,
}

/// Errors of rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rounding {
    /// The largest.
    pub max_abs: f64,
    /// The largest in units in the last place of what is meant.
    pub max_ulp: f64,
}

/// A tensor that the plan rounds when it stores it.
#[derive(Clone, Debug, Serialize)]
pub struct NarrowOutput {
    /// Its name.
    pub name: String,
    /// The layer that it is an output of.
    pub layer: String,
    /// Its format.
    pub format: String,
}

/// Values whose error is of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct UlpClass {
    /// Units in the last place up to which this class goes; 0 for exact values.
    pub up_to: f64,
    /// Values in it.
    pub elements: u64,
}

/// Values of one size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MagnitudeClass {
    /// Magnitudes from two to the power of this on.
    pub exponent: i32,
    /// What is known of them.
    #[serde(flatten)]
    pub errors: Binade,
}

/// An output of the model.
#[derive(Clone, Debug, Serialize)]
pub struct OutputReport {
    /// Its name.
    pub name: String,
    /// Its extents, outermost first.
    pub shape: Vec<usize>,
    /// The hash of this output for all samples.
    pub hash: String,
    /// What computes it, how, and how far each is from the references.
    pub contenders: Vec<ContenderReport>,
    /// The error against the `f64` reference by the magnitude of the value.
    pub by_magnitude: Vec<MagnitudeClass>,
}

/// A way to compute the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Contender {
    /// The plan under test.
    Plan,
    /// The same plan without corrections of biases.
    Uncorrected,
    /// The plain definition in `f64`, over the file's constants.
    Definition,
    /// ncnn with its defaults on x86: weights of inner products rounded to f16, everything else f32.
    NcnnX86,
    /// ncnn with its defaults on ARM with f16 arithmetic: weights and activations rounded to f16.
    NcnnArm,
    /// What the user gave.
    Reference,
}

impl Contender {
    /// Every contender, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Plan, Self::Uncorrected, Self::Definition, Self::NcnnX86, Self::NcnnArm, Self::Reference];

    /// What reports call it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Plan => "this plan",
            Self::Uncorrected => "without bias correction",
            Self::Definition => "definition in f64",
            Self::NcnnX86 => "ncnn, x86 (emulated)",
            Self::NcnnArm => "ncnn, ARM f16 (emulated)",
            Self::Reference => "your reference",
        }
    }
}

/// How far a contender is from the references.
#[derive(Clone, Debug, Serialize)]
pub struct ContenderReport {
    /// Which.
    pub contender: Contender,
    /// From the definition in `f64`; none for itself.
    pub from_definition: Option<Distance>,
    /// From what the user gave; none without it, and for itself.
    pub from_reference: Option<Distance>,
    /// Samples whose largest value stands where the label says; none without labels.
    pub right: Option<u64>,
}

/// How far.
#[derive(Clone, Debug, Serialize)]
pub struct Distance {
    /// The values.
    pub figures: Figures,
    /// The choices.
    pub agreement: Agreement,
}

/// Something that makes outputs differ from the definition.
#[derive(Clone, Debug, Serialize)]
pub struct Cause {
    /// Which.
    pub cause: CauseKind,
    /// How far the outputs move, at most, when this cause alone is switched off.
    pub moves: f64,
    /// The largest error of the outputs against the definition that is left then.
    pub left: Option<f64>,
    /// How that was found out.
    pub how: String,
}

/// The causes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The file stores constants narrower than they were.
    ConstantsInFile,
    /// The plan stores constants narrower than the file.
    ConstantStorage,
    /// The plan stores outputs of layers narrower than they are computed.
    ActivationStorage,
    /// Rounding in `f32`: the order of sums, and every other operation.
    Rounding,
    /// Algorithms other than the direct sum.
    Algorithm,
    /// Passes that change bits.
    GraphRewriting,
}

impl CauseKind {
    /// What reports call it.
    pub fn text(self) -> &'static str {
        match self {
            Self::ConstantsInFile => "constants stored in the file",
            Self::ConstantStorage => "constants stored in the plan",
            Self::ActivationStorage => "activations stored in the plan",
            Self::Rounding => "order and rounding of f32 sums",
            Self::Algorithm => "Winograd's algorithm",
            Self::GraphRewriting => "graph rewriting",
        }
    }
}

/// Something to do.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// Why.
    pub reason: String,
    /// What to write into `include_model!`, if that helps.
    pub macro_line: Option<String>,
    /// What to write on a command line.
    pub command: Option<String>,
}
