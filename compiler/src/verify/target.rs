//! What the outputs of a model are held to on a set of samples, and how much of a budget a plan takes.

use super::samples::Samples;
use super::subject::Subject;
use crate::budget::{Budget, OutputError};
use crate::plan::{Plan, interpret, interpret_real};

/// What every output should be, and how far it may be from that.
pub(super) struct Target<'s> {
    inputs: &'s [Vec<Vec<u32>>],
    budget: Budget,
    outputs: Vec<Output>,
    /// The samples in the order in which they are tried: those with the largest errors first.
    order: Vec<usize>,
}

/// An output.
struct Output {
    name: String,
    /// Of each sample.
    wanted: Vec<Vec<f64>>,
    /// Of all samples: the largest magnitude, and the sum of the squares.
    largest: f64,
    signal: f64,
}

/// The differences of an output from what it should be.
#[derive(Clone, Copy, Default)]
struct Differences {
    largest: f64,
    energy: f64,
    mismatched: bool,
}

impl<'s> Target<'s> {
    /// Outputs as the user has them from elsewhere, or else as the definition has them; `tell` gets the sample at hand.
    pub fn new(subject: &Subject, samples: &'s Samples, budget: Budget, tell: &mut dyn FnMut(usize)) -> Self {
        let names = subject.outputs().into_iter().map(|(name, _)| name.to_string());
        let mut outputs: Vec<Output> =
            names.map(|name| Output { name, wanted: Vec::new(), largest: 0.0, signal: 0.0 }).collect();
        for (sample, inputs) in samples.inputs.iter().enumerate() {
            tell(sample);
            for (output, defined) in outputs.iter_mut().zip(interpret_real(&subject.definition, inputs)) {
                let reference = samples.references.iter().find(|reference| reference.output == output.name);
                output.add(reference.map_or(defined.values, |reference| {
                    reference.values[sample].iter().map(|value| f64::from(*value)).collect()
                }));
            }
        }
        Self { inputs: &samples.inputs, budget, outputs, order: (0..samples.inputs.len()).collect() }
    }

    /// The errors of a plan on all samples; tries the samples on which they are largest first from now on.
    pub fn errors(&mut self, plan: &Plan) -> Vec<OutputError> {
        let mut all = vec![Differences::default(); self.outputs.len()];
        let mut shares = vec![0.0; self.inputs.len()];
        for (sample, share) in shares.iter_mut().enumerate() {
            let mut alone = vec![Differences::default(); self.outputs.len()];
            self.add(&mut alone, sample, &run(plan, &self.inputs[sample]));
            *share = self.used(&alone);
            all.iter_mut().zip(&alone).for_each(|(all, alone)| all.join(alone));
        }
        self.order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b)));
        self.reported(&all)
    }

    /// The errors of a plan if it keeps to the budget; stops at the first sample with which it doesn't.
    pub fn met(&self, plan: &Plan) -> Option<Vec<OutputError>> {
        let mut all = vec![Differences::default(); self.outputs.len()];
        for sample in &self.order {
            self.add(&mut all, *sample, &run(plan, &self.inputs[*sample]));
            if self.used(&all) > 1.0 {
                return None;
            }
        }
        Some(self.reported(&all))
    }

    /// The samples on which errors are the largest, as far as that is known.
    pub fn hardest(&self, count: usize) -> &[usize] {
        &self.order[..count.min(self.order.len())]
    }

    /// How far outputs on one sample are from others, as errors of that sample.
    pub fn between(&self, sample: usize, got: &[Vec<f64>], wanted: &[Vec<f64>]) -> Vec<OutputError> {
        let mut differences = vec![Differences::default(); self.outputs.len()];
        for ((differences, got), wanted) in differences.iter_mut().zip(got).zip(wanted) {
            differences.add(got, wanted);
        }
        let share = |output: &Output| output.wanted[sample].iter().map(|value| value * value).sum();
        let errors = differences.iter().zip(&self.outputs);
        errors.map(|(differences, output)| differences.error(output, share(output))).collect()
    }

    fn add(&self, all: &mut [Differences], sample: usize, got: &[Vec<f64>]) {
        let wanted = self.outputs.iter().map(|output| &output.wanted[sample]);
        all.iter_mut().zip(got).zip(wanted).for_each(|((all, got), wanted)| all.add(got, wanted));
    }

    fn used(&self, all: &[Differences]) -> f64 {
        self.reported(all).iter().map(|error| self.budget.used(error)).fold(0.0, f64::max)
    }

    fn reported(&self, all: &[Differences]) -> Vec<OutputError> {
        all.iter().zip(&self.outputs).map(|(all, output)| all.error(output, output.signal)).collect()
    }
}

/// What a plan puts out.
fn run(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<Vec<f64>> {
    let floats = |words: Vec<u32>| words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect();
    interpret(plan, inputs).into_iter().map(|output| floats(output.words)).collect()
}

impl Output {
    fn add(&mut self, values: Vec<f64>) {
        for value in values.iter().filter(|value| value.is_finite()) {
            self.largest = self.largest.max(value.abs());
            self.signal += value * value;
        }
        self.wanted.push(values);
    }
}

impl Differences {
    fn add(&mut self, got: &[f64], wanted: &[f64]) {
        self.mismatched |= got.len() != wanted.len();
        for (got, wanted) in got.iter().zip(wanted) {
            let difference = (got - wanted).abs();
            if difference.is_finite() {
                self.largest = self.largest.max(difference);
                self.energy += difference * difference;
            } else {
                self.mismatched |= got != wanted && !(got.is_nan() && wanted.is_nan());
            }
        }
    }

    fn join(&mut self, other: &Self) {
        self.largest = self.largest.max(other.largest);
        self.energy += other.energy;
        self.mismatched |= other.mismatched;
    }

    fn error(&self, output: &Output, signal: f64) -> OutputError {
        if self.mismatched {
            return OutputError::no_number(&output.name);
        }
        let decibels = || 10.0 * (signal / self.energy).max(f64::MIN_POSITIVE).log10();
        OutputError::new(&output.name, self.largest, output.largest, (self.energy > 0.0).then(decibels))
    }
}
