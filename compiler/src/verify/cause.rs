//! Where the error of the outputs comes from: the plan is carried out again with one cause switched off at a time.

use super::figures::Errors;
use super::report::{Cause, CauseKind};
use super::samples::Random;
use super::subject::Subject;
use crate::format::Format;
use crate::graph::TensorId;
use crate::ncnn::Storage;
use crate::plan::{Interpreter, Plan, Reals, interpret, interpret_real};

/// The seed of the drawn roundings; any would do, but reports repeat.
const SEED: u64 = 1;

/// Outputs in double precision, in the model's order.
pub(super) type Outputs = Vec<Vec<f64>>;

/// A cause with what switches it off.
pub(super) struct Switch {
    kind: CauseKind,
    how: String,
    off: Off,
    moves: f64,
    left: Option<f64>,
}

enum Off {
    /// The definition over other constants, against the definition as it is.
    Original,
    /// The definition over constants that are moved within their rounding.
    Drawn(Vec<(TensorId, Vec<f64>)>),
    /// The plan in double precision.
    Real,
    /// Another plan: without passes that change bits, with direct sums, or with constants or outputs of layers stored as they
    /// are.
    Plan(Plan),
}

impl Switch {
    fn new(kind: CauseKind, how: impl Into<String>, off: Off) -> Self {
        Self { kind, how: how.into(), off, moves: 0.0, left: None }
    }

    /// Every cause that a model can have.
    pub fn all(subject: &Subject) -> Vec<Self> {
        let mut switches = vec![Self::new(CauseKind::Rounding, "the same plan in f64", Off::Real)];
        if let Some(plan) = &subject.unrewritten {
            let how = "the plan without passes that change bits";
            switches.push(Self::new(CauseKind::GraphRewriting, how, Off::Plan(plan.clone())));
        }
        if let Some(plan) = &subject.direct {
            let how = "the same plan with direct sums";
            switches.push(Self::new(CauseKind::Algorithm, how, Off::Plan(plan.clone())));
        }
        if let Some(plan) = &subject.unnarrowed {
            let how = "the plan of `precision = f32`";
            switches.push(Self::new(CauseKind::ConstantStorage, how, Off::Plan(plan.clone())));
        }
        if let Some(plan) = &subject.unrounded {
            let how = "the plan of `activations = f32`";
            switches.push(Self::new(CauseKind::ActivationStorage, how, Off::Plan(plan.clone())));
        }
        let narrow = subject.weights(|facts| matches!(facts.storage, Some(Storage::F16 | Storage::Bf16)));
        if subject.original.is_some() {
            let how = "the definition over the original constants";
            switches.push(Self::new(CauseKind::ConstantsInFile, how, Off::Original));
        } else if !narrow.is_empty() {
            let how = "estimated: the definition over constants drawn from those that round to the file's";
            switches.push(Self::new(CauseKind::ConstantsInFile, how, Off::Drawn(drawn(subject, &narrow))));
        }
        switches
    }

    /// Carries the model out with this cause off, and compares with what it gives otherwise.
    pub fn measure(&mut self, subject: &Subject, inputs: &[Vec<u32>], plan: &Outputs, definition: &Outputs) {
        let floats = |words: Vec<u32>| words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect();
        let real = |plan| interpret_real(plan, inputs).into_iter().map(|output| output.values).collect::<Outputs>();
        let (moved, left) = match &self.off {
            Off::Original => {
                let original = subject.original.as_ref().map_or_else(|| definition.clone(), real);
                (distance(&original, definition), None)
            }
            Off::Drawn(constants) => {
                let mut interpreter = Interpreter::<Reals>::new(&subject.definition);
                interpreter.feed(inputs);
                constants.iter().for_each(|(id, values)| interpreter.set(*id, values.clone()));
                let graph = &subject.definition.graph;
                (0..graph.operations.len()).for_each(|at| interpreter.step(at));
                let drawn: Outputs = (0..graph.outputs.len()).map(|output| interpreter.output(output).1).collect();
                (distance(&drawn, definition), None)
            }
            Off::Real => {
                let outputs = real(&subject.plan);
                (distance(&outputs, plan), Some(distance(&outputs, definition)))
            }
            Off::Plan(other) => {
                let outputs: Outputs =
                    interpret(other, inputs).into_iter().map(|output| floats(output.words)).collect();
                (distance(&outputs, plan), Some(distance(&outputs, definition)))
            }
        };
        self.moves = self.moves.max(moved);
        self.left = left.map(|left| self.left.unwrap_or(0.0).max(left));
    }

    /// What has been found out.
    pub fn report(self) -> Cause {
        Cause { cause: self.kind, moves: self.moves, left: self.left, how: self.how }
    }
}

/// The largest difference between outputs.
pub(super) fn distance(got: &Outputs, want: &Outputs) -> f64 {
    let mut errors = Errors::default();
    got.iter().zip(want).for_each(|(got, want)| errors.add_all(got, want));
    errors.figures().max_abs
}

/// Constants that would have been rounded to those of the file: each anywhere within half a step of what is there.
fn drawn(subject: &Subject, constants: &[TensorId]) -> Vec<(TensorId, Vec<f64>)> {
    let mut random = Random(SEED);
    let graph = &subject.definition.graph;
    let mut draw = |word: &u32| {
        let value = f64::from(f32::from_bits(*word));
        value + (random.uniform() - 0.5) * Format::F16.step(value)
    };
    let words = |id: TensorId| graph.constant(id).map_or(&[] as &[u32], |words| words);
    constants.iter().map(|id| (*id, words(*id).iter().map(&mut draw).collect())).collect()
}
