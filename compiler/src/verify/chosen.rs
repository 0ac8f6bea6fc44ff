//! What a search for the smallest storage has chosen, and what there is to say about it.

use crate::format::Format;
use crate::precision::Precision;
use serde::Serialize;
use std::fmt::Write;

/// Columns of layers' names.
const NAMES: usize = 32;

/// The storage that was found. Field names are those of the JSON form.
#[derive(Clone, Debug, Serialize)]
pub struct Chosen {
    /// The budget.
    pub max_error: String,
    /// Whether it is kept; otherwise no storage does, and this is the widest.
    pub met: bool,
    /// The error on all samples, in the budget's unit.
    pub error: String,
    /// The layers whose storage was open, in the order of the network; those that share constants together.
    pub layers: Vec<ChosenLayers>,
    /// Bytes of all constants of the network, stored in `f32`.
    pub bytes_in_f32: u64,
    /// As chosen.
    pub bytes: u64,
    /// Of how many choices the whole network was measured.
    pub trials: usize,
    /// What time it saves, where that was measured.
    pub time: Option<Time>,
    /// What to write into `include_model!`.
    pub macro_lines: Vec<String>,
    /// What to write on a command line.
    pub command: String,
    /// The same for the compiler.
    #[serde(skip)]
    pub precision: Precision,
}

/// The storage of some layers.
#[derive(Clone, Debug, Serialize)]
pub struct ChosenLayers {
    /// Their names.
    pub layers: Vec<String>,
    /// How their constants are stored.
    pub format: String,
    /// Bytes of their constants, stored in `f32`.
    pub bytes_in_f32: u64,
    /// As chosen.
    pub bytes: u64,
    /// The error of the outputs when these alone are narrow, in the budget's unit, on the samples with the largest errors;
    /// none where nobody needed to know.
    pub error_alone: Option<String>,
}

/// Times of whole runs on one thread of the machine that measured them, the best of many: all else in a choice is the same
/// on every machine.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// Whose code it was.
    pub instruction_set: String,
    /// With all constants in `f32`.
    pub microseconds_in_f32: f64,
    /// As chosen.
    pub microseconds: f64,
}

impl Chosen {
    /// The trade-off, for terminals.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("strings grow");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { max_error, error, bytes_in_f32, bytes, trials, .. } = self;
        let share = 100.0 * (bytes_in_f32 - bytes) as f64 / (*bytes_in_f32).max(1) as f64;
        writeln!(out, "precision = auto within {max_error}: the error is {error}; choices measured: {trials}")?;
        if !self.met {
            return writeln!(out, "no storage keeps to that: with everything in f32 it is the least there is");
        }
        let [wide, narrow] = [*bytes_in_f32, *bytes].map(kibibytes);
        writeln!(out, "constants: {wide} KiB in f32, {narrow} KiB as chosen, {share:.0} % saved")?;
        if let Some(Time { instruction_set, microseconds_in_f32: wide, microseconds: narrow }) = &self.time {
            let saved = 100.0 * (wide - narrow) / wide;
            writeln!(
                out,
                "a run, here, {instruction_set}, one thread: {wide:.1} us in f32, {narrow:.1} us as chosen, {saved:.0} % saved"
            )?;
        }
        writeln!(out, "\n{:NAMES$}  stored  {:>10}  {:>10}  alone", "layer", "KiB in f32", "as chosen")?;
        for layers in &self.layers {
            let alone = layers.error_alone.as_deref().unwrap_or("-");
            let [wide, narrow] = [layers.bytes_in_f32, layers.bytes].map(kibibytes);
            let name = layers.layers.join(" + ");
            writeln!(out, "{name:NAMES$}  {:6}  {wide:>10}  {narrow:>10}  {alone}", layers.format)?;
        }
        writeln!(out, "\nto have the same in `include_model!`:")?;
        self.macro_lines.iter().try_for_each(|line| writeln!(out, "    {line}"))?;
        writeln!(out, "and on the command line:\n    {}", self.command)
    }
}

fn kibibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1024.0)
}

/// A choice as lines for `include_model!`, and as arguments.
pub(super) fn lines(precision: &Precision) -> (Vec<String>, String) {
    let Precision { all, exceptions } = precision;
    let mut lines = Vec::new();
    let mut arguments = Vec::new();
    if all.is_narrow() || exceptions.is_empty() {
        lines.push(format!("precision = {};", all.text()));
        arguments.push(format!("--precision {}", all.text()));
    }
    for same in exceptions.chunk_by(|a, b| a.format == b.format) {
        let patterns: Vec<String> = same.iter().map(|exception| format!("{:?}", exception.pattern)).collect();
        lines.push(format!("precision({}) = {};", patterns.join(", "), same[0].format.text()));
        arguments.extend(same.iter().map(|exception| argument(&exception.pattern, exception.format)));
    }
    (lines, arguments.join(" "))
}

/// `--precision 'fc*=f32'`, quoted where a shell would read it otherwise.
fn argument(pattern: &str, format: Format) -> String {
    let text = format!("{pattern}={}", format.text());
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c));
    if is_plain { format!("--precision {text}") } else { format!("--precision '{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::Exception;

    #[test]
    fn choices_are_lines_to_paste() {
        let exceptions = [("conv_1", Format::Word), ("head/fc", Format::Word), ("it's a[[]0]", Format::Bf16)]
            .map(|(pattern, format)| Exception { pattern: pattern.to_string(), format });
        let (macro_lines, command) = lines(&Precision { all: Format::F16, exceptions: exceptions.to_vec() });
        assert_eq!(
            macro_lines,
            ["precision = f16;", r#"precision("conv_1", "head/fc") = f32;"#, r#"precision("it's a[[]0]") = bf16;"#]
        );
        assert_eq!(
            command,
            "--precision f16 --precision conv_1=f32 --precision head/fc=f32 --precision 'it'\\''s a[[]0]=bf16'"
        );
        let wide = (vec!["precision = f32;".to_string()], "--precision f32".to_string());
        assert_eq!(lines(&Precision::default()), wide);
    }
}
