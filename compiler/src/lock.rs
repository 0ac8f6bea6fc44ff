//! The head of a precision lock: which model, options and plan its figures are about.
//!
//! It can be compared with what is being built without measuring anything: the plan decides every bit of every output. So
//! builds check it, at the price of a hash. Owns the head's text and its comparison. Must not know what was measured.

use crate::compile::{File, Options};
use crate::diagnostic::{Code, Diagnostic, Location};
use crate::mode::Mode;
use crate::plan::Plan;
use crate::precision::Precision;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// The version of the form.
const FORMAT: &str = "1";

/// What a record of measurements is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The hash of the model's files.
    pub model: String,
    /// What the user chose, in the words of `include_model!`.
    pub options: String,
    /// The hash of all that decides bits.
    pub plan: String,
    /// How many samples were fed.
    pub samples: usize,
    /// Their hash.
    pub inputs: String,
}

/// The names of a head's lines, in order.
const NAMES: [&str; 6] = ["precision_lock", "model", "options", "plan", "samples", "inputs"];

impl Head {
    /// The head as a file begins, a line for each name.
    pub fn text(&self) -> String {
        let Self { model, options, plan, samples, inputs } = self;
        let values = [FORMAT, model, options, plan, &samples.to_string(), inputs];
        NAMES.iter().zip(values).map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    /// Reads a file's head; gives the lines behind it as well, each with its number. `path` is only named in messages.
    ///
    /// # Errors
    /// The first line that isn't what it should be, or another version of the form.
    pub fn read<'t>(path: &str, text: &'t str) -> Result<(Self, impl Iterator<Item = (u32, &'t str)>), Diagnostic> {
        let mut lines = (1..).zip(text.lines());
        let mut value = |name: &str| {
            let (number, line) = lines.next().unwrap_or((1, ""));
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
            value
                .map(|value| (number, value))
                .ok_or_else(|| not_a_lock(path, number, &format!("`{name}: ` was expected")))
        };
        let (number, version) = value(NAMES[0])?;
        if version != FORMAT {
            return Err(not_a_lock(
                path,
                number,
                &format!("it has the form {version}, and this version reads {FORMAT}"),
            ));
        }
        let [(_, model), (_, options), (_, plan), (number, samples), (_, inputs)] =
            [value(NAMES[1])?, value(NAMES[2])?, value(NAMES[3])?, value(NAMES[4])?, value(NAMES[5])?];
        let samples = samples.parse().map_err(|_| not_a_lock(path, number, "a number of samples was expected"))?;
        let [model, options, plan, inputs] = [model, options, plan, inputs].map(str::to_string);
        Ok((Self { model, options, plan, samples, inputs }, lines))
    }

    /// What is other than in an earlier head, as the lines of a diff.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let (now, before) = (self.text(), earlier.text());
        let changed = now.lines().zip(before.lines()).filter(|(now, before)| now != before);
        changed.flat_map(|(now, before)| [format!("- {before}"), format!("+ {now}")]).collect()
    }
}

/// That a file is no precision lock.
pub fn not_a_lock(path: &str, line: u32, what: &str) -> Diagnostic {
    Diagnostic::error(format!("not a precision lock: {what}"))
        .code(Code::Form)
        .at(Location { path: path.to_string(), line, column: 1 })
        .hint("take the file away, and `ncnnc verify --record` writes it anew")
}

/// Holds what is built to a lock.
///
/// # Errors
/// The file is no lock, or the model, the options or the plan are others than it was recorded for.
pub fn check(lock: File, [param, weights]: [File; 2], options: &Options, plan: &Plan) -> Result<(), Diagnostic> {
    let text = String::from_utf8_lossy(lock.bytes);
    let (recorded, _) = Head::read(lock.path, &text)?;
    let now = Head {
        model: model_hash(param, weights),
        options: options_text(options),
        plan: plan_hash(plan),
        ..recorded.clone()
    };
    let differences = now.differences(&recorded);
    if differences.is_empty() {
        return Ok(());
    }
    let (lines, path) = (differences.join("\n  "), lock.path);
    Err(Diagnostic::error(format!("this is not what `{path}` was recorded for\n  {lines}")).code(Code::Precision).hint(
        "`ncnnc verify` with `--locked` measures what has become of the precision; `ncnnc accept` makes that the record",
    ))
}

/// The hash of a model's files.
pub fn model_hash(param: File, weights: File) -> String {
    hash_bytes([param.bytes, weights.bytes])
}

/// The hash of all that decides the bits of a plan's outputs.
pub fn plan_hash(plan: &Plan) -> String {
    let mut hasher = SipHasher13::new();
    plan.describe(&mut |bytes| hasher.write(bytes));
    format!("{:032x}", hasher.finish128().as_u128())
}

/// What bits depend on among the options, in the words of the macro.
pub fn options_text(options: &Options) -> String {
    let mode = match options.mode {
        Mode::Fast => "fast",
        Mode::Strict => "strict",
    };
    let Precision { all, exceptions } = &options.precision;
    let exceptions = exceptions
        .iter()
        .map(|exception| format!("; precision({:?}) = {}", exception.pattern, exception.format.text()))
        .collect::<String>();
    format!("numerics = {mode}; precision = {}{exceptions}", all.text())
}

/// A hash of bytes in pieces, as text.
pub fn hash_bytes<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> String {
    let mut hasher = SipHasher13::new();
    for bytes in pieces {
        hasher.write_u64(bytes.len() as u64);
        hasher.write(bytes);
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let [model, options, plan, inputs] = ["12", "numerics = fast", "34", "56"].map(str::to_string);
        Head { model, options, plan, samples: 3, inputs }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let text = head().text() + "further\nlines\n";
        let (read, rest) = Head::read("a.precision.lock", &text).expect("a head");
        assert_eq!((read, rest.collect::<Vec<_>>()), (head(), vec![(7, "further"), (8, "lines")]));
    }

    #[test]
    fn differences_read_as_a_diff() {
        assert_eq!(head().differences(&head()), [] as [&str; 0]);
        let other = Head { plan: "35".to_string(), ..head() };
        assert_eq!(other.differences(&head()), ["- plan: 34", "+ plan: 35"]);
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let text = head().text();
        for (wrong, line) in [
            (String::new(), 1),
            ("{}".to_string(), 1),
            (text.replace("lock: 1", "lock: 2"), 1),
            (text.replace("samples: 3", "samples: three"), 5),
            (text.lines().take(4).map(|line| line.to_string() + "\n").collect(), 1),
        ] {
            let Err(problem) = Head::read("a", &wrong) else { panic!("{wrong} is read") };
            assert_eq!(problem.location.map(|location| location.line), Some(line), "{}", problem.message);
        }
    }
}
