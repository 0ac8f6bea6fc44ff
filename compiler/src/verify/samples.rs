//! What a model is fed while it is measured, and what the user expects of it.
//!
//! Owns the checks of what users give. Must not know files.

use super::subject::{Subject, hash_words};
use crate::diagnostic::{Code, Diagnostic};

/// Where inputs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user.
    Given,
    /// A generator with this seed.
    Random(u64),
}

/// Inputs, references and labels for a number of samples.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Where the inputs come from.
    pub origin: Origin,
    /// For each sample the words of each input, in the model's order.
    pub inputs: Vec<Vec<Vec<u32>>>,
    /// Outputs as the user has them from elsewhere.
    pub references: Vec<Reference>,
    /// For each sample the place of the largest output that is right, if the user knows.
    pub labels: Option<Vec<usize>>,
}

/// One output as the user has it from elsewhere.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The output's name.
    pub output: String,
    /// For each sample the values, row-major.
    pub values: Vec<Vec<f32>>,
}

impl Samples {
    /// Normally distributed inputs from a seed: the same on every machine.
    pub fn random(subject: &Subject, count: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let shapes: Vec<usize> = subject.inputs().iter().map(|(_, shape)| shape.iter().product()).collect();
        let mut sample =
            || shapes.iter().map(|elements| (0..*elements).map(|_| random.normal().to_bits()).collect()).collect();
        let inputs = (0..count).map(|_| sample()).collect();
        Self { origin: Origin::Random(seed), inputs, references: Vec::new(), labels: None }
    }

    /// Inputs of the user's: for each input of the model by name the values of all samples, one after the other.
    ///
    /// # Errors
    /// Every input that is missing, unknown, of the wrong size, or not a number somewhere.
    pub fn given(subject: &Subject, inputs: &[(String, Vec<f32>)]) -> Result<Self, Vec<Diagnostic>> {
        let mut problems: Vec<Diagnostic> = Vec::new();
        let known: Vec<&str> = subject.inputs().iter().map(|(name, _)| *name).collect();
        for (name, _) in inputs.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            problems.push(
                Diagnostic::error(format!("the model has no input `{name}`"))
                    .hint(format!("its inputs are {}", listed(&known))),
            );
        }
        let mut columns = Vec::new();
        for (name, shape) in subject.inputs() {
            match inputs.iter().find(|(given, _)| given == name) {
                None => problems.push(Diagnostic::error(format!("no values are given for input `{name}`"))),
                Some((_, values)) => match samples_of(&format!("input `{name}`"), values, shape) {
                    Ok(samples) => columns.push((name, samples)),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        let count = columns.first().map_or(0, |(_, samples)| samples.len());
        for (name, samples) in columns.iter().filter(|(_, samples)| samples.len() != count) {
            let message = format!("input `{name}` has {} samples, but `{}` has {count}", samples.len(), columns[0].0);
            problems.push(Diagnostic::error(message).code(Code::Values));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let words = |values: &Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
        let inputs = (0..count).map(|at| columns.iter().map(|(_, samples)| words(&samples[at])).collect()).collect();
        Ok(Self { origin: Origin::Given, inputs, references: Vec::new(), labels: None })
    }

    /// The same with what an output should be, the values of all samples one after the other.
    ///
    /// # Errors
    /// An output that the model doesn't have, or values that are not as many as they should be, or not numbers.
    pub fn expecting(mut self, subject: &Subject, output: &str, values: &[f32]) -> Result<Self, Diagnostic> {
        let outputs = subject.outputs();
        let Some((_, shape)) = outputs.iter().find(|(name, _)| *name == output) else {
            let names: Vec<&str> = outputs.iter().map(|(name, _)| *name).collect();
            return Err(Diagnostic::error(format!("the model has no output `{output}`"))
                .hint(format!("its outputs are {}", listed(&names))));
        };
        let values = samples_of(&format!("the reference for `{output}`"), values, shape)?;
        if values.len() != self.inputs.len() {
            let message = format!(
                "the reference for `{output}` has {} samples, but there are {} inputs",
                values.len(),
                self.inputs.len()
            );
            return Err(Diagnostic::error(message)
                .code(Code::Values)
                .hint("give as many outputs as inputs, in the same order"));
        }
        self.references.push(Reference { output: output.to_string(), values });
        Ok(self)
    }

    /// The same with the right answer for each sample.
    ///
    /// # Errors
    /// When there are not as many as samples.
    pub fn labelled(self, labels: Vec<usize>) -> Result<Self, Diagnostic> {
        if labels.len() == self.inputs.len() {
            return Ok(Self { labels: Some(labels), ..self });
        }
        let message = format!("there are {} labels, but {} inputs", labels.len(), self.inputs.len());
        Err(Diagnostic::error(message).code(Code::Values).hint("give one label for each input, in the same order"))
    }

    /// The hash of all inputs.
    pub fn hash(&self) -> String {
        hash_words(self.inputs.iter().flatten().flatten())
    }
}

/// Values of several samples, cut apart.
fn samples_of(what: &str, values: &[f32], shape: &[usize]) -> Result<Vec<Vec<f32>>, Diagnostic> {
    let elements: usize = shape.iter().product();
    if values.is_empty() || !values.len().is_multiple_of(elements) {
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("{what} has {} values, which are no whole number of samples", values.len());
        return Err(Diagnostic::error(message)
            .code(Code::Values)
            .hint(format!("a sample has the shape [{shape}], {elements} values; samples follow one another")));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let message = format!("{what} is {} at value {} of sample {}", values[at], at % elements, at / elements);
        let hint = "distances from what is no number say nothing; leave the sample out";
        return Err(Diagnostic::error(message).code(Code::Values).hint(hint));
    }
    Ok(values.chunks_exact(elements).map(<[f32]>::to_vec).collect())
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Steele, Lea and Flood's SplitMix64.
pub(super) struct Random(pub u64);

impl Random {
    /// Evenly distributed bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly distributed from 0 to 1, 1 excluded.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed to within what the sum of twelve uniform numbers is: no function whose bits differ between
    /// machines is needed for it.
    fn normal(&mut self) -> f32 {
        ((0..12).map(|_| self.uniform()).sum::<f64>() - 6.0) as f32
    }
}
