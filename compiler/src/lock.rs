//! The head of a precision lock: which model, options and plan its figures are about.
//!
//! It can be compared with what is being built without measuring anything: the plan decides every bit of every output. So
//! builds check it, at the price of a hash; and as what is built has the bits that were measured, it has the errors, too,
//! which stand in the head for builds to hold to a budget. So do the corrections of biases, which builds take from there.
//! Owns the head's text and its comparison. Must not know how errors are measured.

use crate::budget::{Budget, OutputError};
use crate::compile::{File, Options};
use crate::diagnostic::{Code, Diagnostic, Location, Position};
use crate::plan::{Correction, Plan};
use crate::precision::Precision;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// The version of the form.
const FORMAT: &str = "1";

/// What a record of measurements is about.
#[derive(Clone, Debug, PartialEq)]
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
    /// How far each output was from the `f64` reference; empty in locks of earlier versions.
    pub errors: Vec<OutputError>,
    /// What was added to biases, for each contraction with narrow constants; none where biases were not corrected.
    pub corrections: Vec<Correction>,
}

/// The names of a head's lines, in order.
const NAMES: [&str; 6] = ["precision_lock", "model", "options", "plan", "samples", "inputs"];

/// How a line with the error of an output begins, after those.
const ERROR: &str = "error: ";

/// How a line with the correction of a layer's biases begins, after those.
const CORRECTION: &str = "correction: ";

/// What stands for a correction of a layer that stays as it is.
const NONE: &str = "none";

/// That biases are corrected, among the options.
pub const CORRECTED: &str = "; bias_correction = lock";

impl Head {
    /// The head as a file begins, a line for each name and for each output.
    pub fn text(&self) -> String {
        let errors = self.errors.iter().map(|error| format!("{ERROR}{}", error.line()));
        let corrections = self.corrections.iter().map(|correction| format!("{CORRECTION}{}", line_of(correction)));
        self.names().into_iter().chain(errors).chain(corrections).map(|line| line + "\n").collect()
    }

    /// The lines that say what was measured.
    fn names(&self) -> Vec<String> {
        let Self { model, options, plan, samples, inputs, errors: _, corrections: _ } = self;
        let values = [FORMAT, model, options, plan, &samples.to_string(), inputs];
        NAMES.iter().zip(values).map(|(name, value)| format!("{name}: {value}")).collect()
    }

    /// Reads a file's head; gives the lines behind it as well, each with its number. `path` is only named in messages.
    ///
    /// # Errors
    /// The first line that isn't what it should be, or another version of the form.
    pub fn read<'t>(path: &str, text: &'t str) -> Result<(Self, impl Iterator<Item = (u32, &'t str)>), Diagnostic> {
        let mut lines = (1..).zip(text.lines()).peekable();
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
        let mut errors = Vec::new();
        while let Some((number, line)) = lines.next_if(|(_, line)| line.starts_with(ERROR)) {
            let error = OutputError::parse(&line[ERROR.len()..]);
            errors.push(error.ok_or_else(|| not_a_lock(path, number, "the error of an output was expected"))?);
        }
        let mut corrections = Vec::new();
        while let Some((number, line)) = lines.next_if(|(_, line)| line.starts_with(CORRECTION)) {
            let correction = correction_of(&line[CORRECTION.len()..]);
            corrections.push(correction.ok_or_else(|| not_a_lock(path, number, "a layer's correction was expected"))?);
        }
        Ok((Self { model, options, plan, samples, inputs, errors, corrections }, lines))
    }

    /// What was measured other than for an earlier head, as the lines of a diff; how large errors are is none of it.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let changed = self.names().into_iter().zip(earlier.names()).filter(|(now, before)| now != before);
        changed.flat_map(|(now, before)| [format!("- {before}"), format!("+ {now}")]).collect()
    }
}

/// A correction as a line: `3a83126fba83126f conv_1`, the words of its numbers and the layer.
fn line_of(Correction { layer, values }: &Correction) -> String {
    let words: String = values.iter().map(|value| format!("{:08x}", value.to_bits())).collect();
    format!("{} {layer}", if words.is_empty() { NONE } else { &words })
}

/// Reads such a line; nothing where it is none.
fn correction_of(line: &str) -> Option<Correction> {
    let (words, layer) = line.split_once(' ')?;
    let layer = layer.to_string();
    if words == NONE {
        return Some(Correction { layer, values: Vec::new() });
    }
    let (words, rest) = words.as_bytes().as_chunks::<8>();
    let value = |word: &[u8; 8]| {
        let is_hexadecimal = word.iter().all(u8::is_ascii_hexdigit);
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().filter(|_| is_hexadecimal)?;
        Some(f32::from_bits(word)).filter(|value| value.is_finite())
    };
    let values = words.iter().map(value).collect::<Option<Vec<f32>>>()?;
    (rest.is_empty() && !values.is_empty()).then_some(Correction { layer, values })
}

/// The corrections of biases that a lock has.
///
/// # Errors
/// The file is no lock, or has none.
pub fn corrections(lock: File) -> Result<Vec<Correction>, Diagnostic> {
    let (recorded, _) = Head::read(lock.path, &String::from_utf8_lossy(lock.bytes))?;
    if recorded.corrections.is_empty() {
        let problem = format!("`{}` has no corrections of biases", lock.path);
        let hint = "`ncnnc verify` with `--bias-correction --record` measures them and writes them there";
        return Err(Diagnostic::error(problem).code(Code::Precision).hint(hint));
    }
    Ok(recorded.corrections)
}

/// That a file is no precision lock.
pub fn not_a_lock(path: &str, line: u32, what: &str) -> Diagnostic {
    Diagnostic::error(format!("not a precision lock: {what}"))
        .code(Code::Form)
        .at(Location { path: path.to_string(), position: Position::Line(line, 1) })
        .hint("take the file away, and `ncnnc verify --record` writes it anew")
}

/// Holds what is built to a lock, and the errors that were recorded to a budget.
///
/// # Errors
/// The file is no lock, or the model, the options or the plan are others than it was recorded for, or the errors are larger
/// than the budget allows, or not in the lock.
pub fn check(
    lock: File,
    [param, weights]: [File; 2],
    options: &Options,
    plan: &Plan,
    max_error: Option<Budget>,
) -> Result<(), Diagnostic> {
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
        return max_error.map_or(Ok(()), |budget| within(budget, lock.path, &recorded));
    }
    let (lines, path) = (differences.join("\n  "), lock.path);
    Err(Diagnostic::error(format!("this is not what `{path}` was recorded for\n  {lines}")).code(Code::Precision).hint(
        "`ncnnc verify` with `--locked` measures what has become of the precision; `ncnnc accept` makes that the record",
    ))
}

/// Holds recorded errors to a budget.
fn within(budget: Budget, path: &str, recorded: &Head) -> Result<(), Diagnostic> {
    if recorded.errors.is_empty() {
        let problem = format!("`max_error` needs the errors of the outputs, which `{path}` doesn't have");
        let hint = "it is of an earlier version; take it away, and `ncnnc verify --record` writes it anew";
        return Err(Diagnostic::error(problem).code(Code::Precision).hint(hint));
    }
    budget.excess(&recorded.errors).map_or(Ok(()), |excess| {
        let problem = format!("the precision isn't what was asked for: by the record in `{path}`, {excess}");
        let hint = format!("`ncnnc verify` with `--max-error {}` says which layers it comes from", budget.argument());
        Err(Diagnostic::error(problem).code(Code::Precision).hint(hint))
    })
}

/// That there is a budget, but no record to hold to it.
pub fn unrecorded(budget: Budget, param: &str) -> Diagnostic {
    let problem = "`max_error` needs a `lock`: a build measures nothing, but holds to the budget what was recorded";
    without_lock(problem, param, &format!("--inputs DIR --max-error {}", budget.argument()))
}

/// That biases are to be corrected, but nothing says by how much.
pub fn uncalibrated(param: &str) -> Diagnostic {
    let problem =
        "`bias_correction` needs a `lock`: a build measures nothing, but takes the corrections that were recorded";
    without_lock(problem, param, "--inputs DIR --calibration DIR --bias-correction")
}

fn without_lock(problem: &str, param: &str, arguments: &str) -> Diagnostic {
    let stem = param.strip_suffix(".param.bin").or(param.strip_suffix(".param")).unwrap_or(param);
    let lock = format!("{stem}.precision.lock");
    Diagnostic::error(problem).code(Code::Precision).hint(format!(
        "`ncnnc verify {param} {arguments} --record`, with the same options, measures and writes `{lock}`; \
         `lock = \"{lock}\";` or, in a build script, `.lock(\"{lock}\")` names it"
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
    let mode = options.mode.text();
    let modes = options
        .layer_modes
        .iter()
        .map(|exception| format!("; numerics({:?}) = {}", exception.pattern, exception.mode.text()))
        .collect::<String>();
    let mut text = format!("numerics = {mode}{modes}; {}", formats_text("precision", &options.precision));
    // What earlier versions recorded has no word of it.
    if options.activations != Precision::default() {
        text += &format!("; {}", formats_text("activations", &options.activations));
    }
    if options.bias_correction.is_some() {
        text += CORRECTED;
    }
    text
}

fn formats_text(option: &str, Precision { all, exceptions }: &Precision) -> String {
    let exceptions =
        exceptions.iter().map(|exception| format!("; {option}({:?}) = {}", exception.pattern, exception.format.text()));
    format!("{option} = {}{}", all.text(), exceptions.collect::<String>())
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
        let errors = vec![OutputError::new("out0", 1.5e-3, 2.0, Some(60.5))];
        let corrections = [("conv 1", vec![1.0, -0.0]), ("fc", Vec::new())];
        let corrections = corrections.map(|(layer, values)| Correction { layer: layer.to_string(), values }).to_vec();
        Head { model, options, plan, samples: 3, inputs, errors, corrections }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let text = head().text() + "further\nlines\n";
        let (read, rest) = Head::read("a.precision.lock", &text).expect("a head");
        assert_eq!((read, rest.collect::<Vec<_>>()), (head(), vec![(10, "further"), (11, "lines")]));
        assert!(text.contains("correction: 3f80000080000000 conv 1\ncorrection: none fc\n"), "{text}");
        let earlier = Head { errors: Vec::new(), corrections: Vec::new(), ..head() };
        let (read, _) = Head::read("a.precision.lock", &earlier.text()).expect("a head");
        assert_eq!(read, earlier);
    }

    #[test]
    fn differences_read_as_a_diff() {
        assert_eq!(head().differences(&head()), [] as [&str; 0]);
        let other = Head { plan: "35".to_string(), ..head() };
        assert_eq!(other.differences(&head()), ["- plan: 34", "+ plan: 35"]);
    }

    #[test]
    fn recorded_errors_are_held_to_a_budget() {
        assert_eq!(within(Budget::Absolute(1.5e-3), "a", &head()).map_err(|problem| problem.message), Ok(()));
        let over = [(Budget::Decibels(61.0), head()), (Budget::Absolute(1.0), Head { errors: Vec::new(), ..head() })];
        let problems =
            over.map(|(budget, head)| within(budget, "a.lock", &head).expect_err("it isn't met").to_string());
        insta::assert_snapshot!(problems.join("\n"), @r"
        error: the precision isn't what was asked for: by the record in `a.lock`, `out0` has 60.5 dB of signal over noise, and 61 dB are asked for
          help: `ncnnc verify` with `--max-error 61dB` says which layers it comes from
        error: `max_error` needs the errors of the outputs, which `a.lock` doesn't have
          help: it is of an earlier version; take it away, and `ncnnc verify --record` writes it anew
        ");
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        let text = head().text();
        for (wrong, line) in [
            (String::new(), 1),
            ("{}".to_string(), 1),
            (text.replace("lock: 1", "lock: 2"), 1),
            (text.replace("samples: 3", "samples: three"), 5),
            (text.replace("60.5dB", "60.5"), 7),
            (text.replace("3f80000080000000", "3f8000008000000"), 8),
            (text.replace("3f80000080000000", "+f80000080000000"), 8),
            (text.replace("3f80000080000000", "7f80000080000000"), 8),
            (text.replace("none fc", "fc"), 9),
            (text.lines().take(4).map(|line| line.to_string() + "\n").collect(), 1),
        ] {
            let Err(problem) = Head::read("a", &wrong) else { panic!("{wrong} is read") };
            let position = problem.location.map(|location| location.position);
            assert_eq!(position, Some(Position::Line(line, 1)), "{}", problem.message);
        }
    }
}
