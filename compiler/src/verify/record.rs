//! The record of a verification: what later runs are held to, kept beside the model as `MODEL.precision.lock`.
//!
//! What was measured ([`Head`]), then a JSON object on a line for each layer and each output, so that a difference between
//! two records reads line by line. Figures have three digits; bits are held by hashes. Nothing in it depends on a target or
//! a machine.

use super::advice::{distance, own_errors};
use super::figures::Figures;
use super::report::{Contender, Report};
use crate::budget::OutputError;
use crate::diagnostic::Diagnostic;
use crate::lock::{Head, not_a_lock};
use serde::{Deserialize, Serialize};

/// By how much an error may differ before it counts as another one: figures have three digits, of which machines whose
/// mathematical libraries differ share the first two at least.
const SLACK: f64 = 1.02;

/// A verification, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was measured.
    pub head: Head,
    /// Steps of the plan and outputs, in order.
    pub lines: Vec<Line>,
}

/// A step of the plan or an output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// `layer` or `output`.
    pub of: Kind,
    /// Its name.
    pub name: String,
    /// The largest error of the step alone; none for outputs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub local_max_abs: Option<f64>,
    /// The largest error in the whole.
    pub max_abs: f64,
    /// The signal-to-noise ratio in the whole, in dB; none where nothing differs.
    pub snr_db: Option<f64>,
    /// The distance from the user's reference; none for layers, and without one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_reference: Option<f64>,
    /// The hash of all values.
    pub bits: String,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A step of the plan.
    Layer,
    /// An output of the model.
    Output,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Output => "output",
        }
    }
}

impl Record {
    /// What is kept of a report.
    pub fn of(report: &Report) -> Self {
        let head = Head {
            model: report.model_hash.clone(),
            options: report.options.clone(),
            plan: report.plan_hash.clone(),
            samples: report.inputs.samples,
            inputs: report.inputs.hash.clone(),
            errors: own_errors(report).iter().map(OutputError::promised).collect(),
            corrections: report.bias_correction.as_ref().map_or(Vec::new(), |bias| bias.corrections.clone()),
        };
        let line = |of, name: String, whole: &Figures, bits: &String| Line {
            of,
            name,
            local_max_abs: None,
            max_abs: three_digits(whole.max_abs),
            snr_db: whole.snr_db.map(|snr| (snr * 10.0).round() / 10.0),
            from_reference: None,
            bits: bits.clone(),
        };
        let layers = report.layers.iter().map(|layer| Line {
            local_max_abs: Some(three_digits(layer.local.max_abs)),
            ..line(Kind::Layer, layer.layers.join(" + "), &layer.cumulative, &layer.hash)
        });
        let outputs = report.outputs.iter().filter_map(|output| {
            let whole = &distance(output, Contender::Plan, false)?.figures;
            let reference = distance(output, Contender::Plan, true);
            let from_reference = reference.map(|reference| three_digits(reference.figures.max_abs));
            Some(Line { from_reference, ..line(Kind::Output, output.name.clone(), whole, &output.hash) })
        });
        Self { head, lines: layers.chain(outputs).collect() }
    }

    /// The record as a file has it.
    pub fn text(&self) -> String {
        let line = |line: &Line| serde_json::to_string(line).expect("names and finite numbers are JSON") + "\n";
        self.lines.iter().fold(self.head.text(), |text, entry| text + &line(entry))
    }

    /// Reads a file; `path` is only named in messages.
    ///
    /// # Errors
    /// The first line that isn't what it should be.
    pub fn read(path: &str, text: &str) -> Result<Self, Diagnostic> {
        let (head, lines) = Head::read(path, text)?;
        let line = |(number, line)| {
            serde_json::from_str(line).map_err(|error: serde_json::Error| not_a_lock(path, number, &error.to_string()))
        };
        Ok(Self { head, lines: lines.map(line).collect::<Result<_, _>>()? })
    }

    /// What is worse or other than in an earlier record, as lines to read; what is better in figures alone is none of it.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let mut differences = self.head.differences(&earlier.head);
        for line in &earlier.lines {
            let same = |other: &&Line| other.of == line.of && other.name == line.name;
            match self.lines.iter().find(same) {
                None => differences.push(format!("{} {} is gone", line.of.text(), line.name)),
                Some(now) => differences.extend(now.worse_than(line)),
            }
        }
        for line in &self.lines {
            if !earlier.lines.iter().any(|other| other.of == line.of && other.name == line.name) {
                differences.push(format!("{} {} is new", line.of.text(), line.name));
            }
        }
        differences
    }
}

impl Line {
    fn worse_than(&self, earlier: &Self) -> Vec<String> {
        let subject = format!("{} {}", self.of.text(), self.name);
        let figures = [
            ("its error alone", self.local_max_abs, earlier.local_max_abs),
            ("its error in the whole", Some(self.max_abs), Some(earlier.max_abs)),
            ("its distance from the reference", self.from_reference, earlier.from_reference),
        ];
        let mut worse: Vec<String> = figures
            .into_iter()
            .filter_map(|(what, now, before)| Some((what, now?, before?)))
            .filter(|(_, now, before)| *now > before * SLACK)
            .map(|(what, now, before)| {
                let times = if before > 0.0 { format!(", {:.1} times as much", now / before) } else { String::new() };
                format!("{subject}: {what} was {before:.2e}, is {now:.2e}{times}")
            })
            .collect();
        if self.bits != earlier.bits {
            worse.push(format!("{subject}: its bits changed"));
        }
        worse
    }
}

fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
