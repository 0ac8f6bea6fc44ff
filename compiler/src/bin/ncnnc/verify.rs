//! `ncnnc verify`: how far a model's outputs are from what they should be, why, and whether that has changed.

use crate::bias::BiasArguments;
use crate::console::{Console, Done, Stop};
use crate::lock::{Lock, LockArguments};
use crate::model::{self, Model, ShapedModelArguments};
use crate::output::Files;
use crate::progress::Progress;
use crate::samples::SampleArguments;
use crate::timing;
use ncnnc_compiler::budget::Budget;
use ncnnc_compiler::compile::{File, Network, Options};
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::precision::Precision;
use ncnnc_compiler::verify::{Chosen, Record, Report, Samples, Search, Subject, html, json, text, verify};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Measures a model's precision layer by layer, says what it comes from, and holds it to what was recorded
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc verify model.param --inputs images.npy
  ncnnc verify model.param --inputs calibration/ --reference pytorch.npy --max-error 1e-4
  ncnnc verify model.param --inputs a=a.npy --inputs b=b.npy --reference out0=out0.npy
  ncnnc verify model.param --inputs images/ --precision f16 --precision 'fc*=f32' --report report.html
  ncnnc verify model.param --inputs images/ --precision f16 --max-error 0.1%
  ncnnc verify model.param --inputs images/ --precision auto --max-error 60dB --precision 'fc*=f32'
  ncnnc verify model.param --inputs test/ --precision bf16 --bias-correction --calibration images/
  ncnnc verify model.param --inputs images/ --record
  ncnnc verify model.param --inputs images/ --locked      # in CI

Inputs are .npy files of 32-bit floats, outermost extent first; an extent before those of the model's input counts samples,
and the files of a folder are samples in the order of their names. Every layer is measured against its plain definition in
64-bit floats, alone and in the whole, and the outputs against the references. Nothing of it depends on the machine.

Exit codes: 0 the precision is as it should be; 4 an output is further from its reference than --max-error allows, or is no
number where the reference is one, or is not what the lock holds it to.")]
pub struct Arguments {
    #[command(flatten)]
    model: ShapedModelArguments,
    #[command(flatten)]
    measurement: MeasurementArguments,
    #[command(flatten)]
    bias: BiasArguments,
    /// The same network's .bin before its constants were narrowed, to say what that did
    #[arg(long, value_name = "FILE.bin")]
    original: Option<PathBuf>,
    /// Writes what was measured to the lock; refused where a lock says something else
    #[arg(long, conflicts_with = "locked")]
    record: bool,
    /// Fails when an error has grown, or bits have changed, since the lock was written
    #[arg(long)]
    locked: bool,
}

/// What is measured on, and where the result goes.
#[derive(clap::Args)]
pub struct MeasurementArguments {
    #[command(flatten)]
    samples: SampleArguments,
    /// The largest error of an output that is accepted, from its reference, or without one from the definition: a
    /// difference (1e-3), a share of the output's largest value (0.1%), or the least ratio of signal to noise (60dB)
    #[arg(long, value_name = "ERROR", value_parser = Budget::parse)]
    max_error: Option<Budget>,
    /// Writes the report to a file as well, a page for .html, data for .json, else text; can be given several times
    #[arg(long = "report", value_name = "FILE")]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    lock: LockArguments,
}

/// What becomes of a measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is shown.
    Look,
    /// It is recorded, and held to an earlier record if there is one.
    Record,
    /// It is held to a record.
    Hold,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let (options, auto) = (arguments.model.options()?, arguments.model.model.is_auto());
    let model = arguments.model.model.read_open(&options, console)?;
    let original =
        arguments.original.as_ref().map(|path| Ok::<_, Diagnostic>((path, model::read(path)?))).transpose()?;
    let path = original.as_ref().map(|(path, _)| path.to_string_lossy()).unwrap_or_default();
    let original = original.as_ref().map(|(_, bytes)| File { path: &path, bytes });
    let purpose = match (arguments.record, arguments.locked) {
        (true, _) => Purpose::Record,
        (false, true) => Purpose::Hold,
        (false, false) => Purpose::Look,
    };
    arguments.measurement.run(
        &Question { model: &model, original, options, auto, bias: Some(&arguments.bias) },
        purpose,
        console,
    )
}

/// What is to be measured.
pub struct Question<'m> {
    /// The model.
    pub model: &'m Model,
    /// The same network's `.bin` before its constants were narrowed.
    pub original: Option<File<'m>>,
    /// What the user chose.
    pub options: Options,
    /// Whether the storage of the layers that `options` doesn't name is searched for.
    pub auto: bool,
    /// How biases are corrected.
    pub bias: Option<&'m BiasArguments>,
}

impl Question<'_> {
    fn subject(&self, precision: &Precision) -> Result<Subject, Vec<Diagnostic>> {
        let options = Options { precision: precision.clone(), ..self.options.clone() };
        Subject::new(self.model.param(), self.model.weights(), self.original, &options)
    }

    /// The subject with its biases corrected, if that is wanted and, after a search, something is stored narrow.
    fn corrected(&self, subject: Subject, samples: &Samples, progress: &Progress) -> Result<Subject, Vec<Diagnostic>> {
        let nothing_found = self.auto && subject.unnarrowed.is_none();
        match self.bias.filter(|bias| bias.is_wanted() && !nothing_found) {
            Some(bias) => bias.correct(subject, Some(samples), progress),
            None => Ok(subject),
        }
    }
}

impl MeasurementArguments {
    /// Measures and says so.
    ///
    /// # Errors
    /// Something can't be read, doesn't fit or can't be written, or the precision isn't as it should be.
    pub fn run(&self, question: &Question, purpose: Purpose, console: &Console) -> Done {
        let files = &question.model.paths;
        let (param, lock) = (&files[0], self.lock.of(&files[0]));
        let held = purpose == Purpose::Hold || (purpose == Purpose::Record && lock.path.exists());
        let recorded = held.then(|| Lock::read(&lock.path)).transpose()?;
        let report = self.measure(question, console)?;
        console.result(|| text(&report), || json!(report))?;
        let record = Record::of(&report);
        let differences = recorded.as_ref().map(|recorded| record.differences(recorded)).unwrap_or_default();
        let mut written = Files::default();
        for path in &self.reports {
            written.add(path, rendered(&report, path));
        }
        if !differences.is_empty() {
            written.add(&lock.pending, record.text());
        } else if purpose == Purpose::Record && report.verdict.passed && recorded.as_ref() != Some(&record) {
            lock.accept(&record, &mut written)?;
        }
        written.write(files)?;
        let mut problems: Vec<Diagnostic> = refusal(&report).into_iter().collect();
        if !differences.is_empty() {
            problems.push(differing(&differences, &lock, param));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
    }

    fn measure(&self, question: &Question, console: &Console) -> Result<Report, Stop> {
        let progress = Progress::start(console, "reading".into());
        let subject = question.subject(&question.options.precision)?;
        let samples = self.samples.read(&subject)?;
        if !question.auto {
            let subject = question.corrected(subject, &samples, &progress)?;
            return Ok(measured(&subject, &samples, self.max_error, &progress));
        }
        let budget = self.max_error.ok_or_else(unlimited)?;
        let chosen = choose(question.model, &question.options, &subject, &samples, budget, &progress)?;
        let subject = question.corrected(question.subject(&chosen.precision)?, &samples, &progress)?;
        Ok(Report { chosen: Some(chosen), ..measured(&subject, &samples, self.max_error, &progress) })
    }
}

/// That a search was asked for, but nothing to be kept.
pub fn unlimited() -> Diagnostic {
    Diagnostic::error("`--precision auto` needs `--max-error`: the smallest storage is searched for that keeps to it")
        .hint("an error is a difference (1e-3), a share of the output's largest value (0.1%), or a ratio of signal to noise (60dB)")
}

/// Searches for the smallest storage, and says what time it saves on this machine; `subject` is the model with `options`.
///
/// # Errors
/// Everything that is wrong with the model.
pub fn choose(
    model: &Model,
    options: &Options,
    subject: &Subject,
    samples: &Samples,
    budget: Budget,
    progress: &Progress,
) -> Result<Chosen, Stop> {
    let network = &Network::new(model.param(), model.weights(), options, options.mode)?;
    let search = Search { subject, network, fixed: &options.precision, samples, budget };
    let mut chosen = search.run(&mut |share, doing| progress.at(share, doing));
    if chosen.met {
        chosen.time = timing::of_storage(model, options, &chosen.precision)?;
    }
    Ok(chosen)
}

/// Measures a model, and shows how far that is.
pub fn measured(subject: &Subject, samples: &Samples, max_error: Option<Budget>, progress: &Progress) -> Report {
    verify(subject, samples, max_error, &mut |at| {
        let whole = (at.samples * at.steps) as f64;
        let what = format!("sample {} of {}: {}", at.sample + 1, at.samples, at.doing);
        progress.at((at.sample * at.steps + at.step) as f64 / whole, what);
    })
}

/// That the precision isn't as it should be, if so.
pub fn refusal(report: &Report) -> Option<Diagnostic> {
    let problem = || format!("the precision isn't what was asked for: {}", report.verdict.text);
    let refusal = (!report.verdict.passed).then(|| Diagnostic::error(problem()).code(Code::Precision))?;
    let hint = "nothing is stored narrow that was left open: this is the least error that storage can reach";
    Some(if report.chosen.as_ref().is_some_and(|chosen| !chosen.met) { refusal.hint(hint) } else { refusal })
}

/// The report in the form that the file's ending asks for.
fn rendered(report: &Report, path: &Path) -> String {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => html(report),
        Some("json") => json(report),
        Some(_) | None => text(report),
    }
}

fn differing(differences: &[String], lock: &Lock, param: &Path) -> Diagnostic {
    let message = format!("the precision isn't what `{}` holds it to\n{}", lock.path.display(), differences.join("\n"));
    let (pending, param) = (lock.pending.display(), param.display());
    Diagnostic::error(message)
        .code(Code::Precision)
        .about(lock.path.display())
        .hint(format!("`ncnnc accept {param}` puts what was measured (`{pending}`) in its place"))
}
