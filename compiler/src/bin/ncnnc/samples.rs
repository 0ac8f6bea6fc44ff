//! What a model is fed with and held to when it is measured, from files and folders of them.

use crate::model;
use crate::npy::{self, Tensor};
use clap::Args;
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::verify::{Samples, Subject};
use std::fs;
use std::path::{Path, PathBuf};

/// The inputs.
#[derive(Args)]
pub struct InputArguments {
    /// Values for an input: a .npy file with one sample or several, or a folder of such files; can be given several times
    #[arg(long, value_name = "[NAME=]PATH", value_parser = named)]
    inputs: Vec<Named>,
}

/// The samples.
#[derive(Args)]
pub struct SampleArguments {
    #[command(flatten)]
    given: InputArguments,
    /// What an output is elsewhere (PyTorch, ONNX), for the same samples in the same order
    #[arg(long = "reference", value_name = "[NAME=]PATH", value_parser = named, requires = "inputs")]
    references: Vec<Named>,
    /// For each sample which of the outputs is the right one, to count how often it is the largest
    #[arg(long, value_name = "FILE.npy", requires = "inputs")]
    labels: Option<PathBuf>,
    /// How many samples are measured: the first ones given, or random ones [default: all that are given, or 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// What random inputs are drawn from, where none are given
    #[arg(long, value_name = "SEED", default_value_t = 1, conflicts_with = "inputs")]
    seed: u64,
}

/// A path for what has a name.
#[derive(Clone)]
pub struct Named {
    name: Option<String>,
    path: PathBuf,
}

/// `out0=path`, or a path alone.
pub fn named(text: &str) -> Result<Named, String> {
    let (name, path) = text.split_once('=').map_or((None, text), |(name, path)| (Some(name.to_string()), path));
    if path.is_empty() { Err("a path is missing".into()) } else { Ok(Named { name, path: path.into() }) }
}

/// Random samples, where nobody says how many: a look, not a measurement.
const FEW: usize = 3;

impl InputArguments {
    /// Reads the first samples, `most` at most, or all.
    ///
    /// # Errors
    /// Every file that can't be read or doesn't fit the model.
    pub fn read(&self, subject: &Subject, most: Option<usize>) -> Result<Samples, Vec<Diagnostic>> {
        read_inputs(&self.inputs, subject, most)
    }

    /// Whether there are any.
    pub fn is_given(&self) -> bool {
        !self.inputs.is_empty()
    }

    fn columns(&self, subject: &Subject, most: Option<usize>) -> Result<Vec<(String, Vec<f32>)>, Vec<Diagnostic>> {
        columns("input", &self.inputs, &subject.inputs(), most)
    }
}

/// Reads the first samples, `most` at most, or all.
///
/// # Errors
/// Every file that can't be read or doesn't fit the model.
pub fn read_inputs(given: &[Named], subject: &Subject, most: Option<usize>) -> Result<Samples, Vec<Diagnostic>> {
    Samples::given(subject, &columns("input", given, &subject.inputs(), most)?)
}

impl SampleArguments {
    /// Reads everything.
    ///
    /// # Errors
    /// Every file that can't be read or doesn't fit the model.
    pub fn read(&self, subject: &Subject) -> Result<Samples, Vec<Diagnostic>> {
        let most = self.samples.map(|samples| samples as usize);
        if !self.given.is_given() {
            return Ok(Samples::random(subject, most.unwrap_or(FEW), self.seed));
        }
        let inputs = self.given.columns(subject, most);
        let references = columns("output", &self.references, &subject.outputs(), most);
        let labels = self.labels.as_deref().map(|path| labels(path, most)).transpose();
        let (inputs, references, labels) = match (inputs, references, labels) {
            (Ok(inputs), Ok(references), Ok(labels)) => (inputs, references, labels),
            (inputs, references, labels) => {
                let problems = [inputs.err(), references.err(), labels.err().map(|problem| vec![problem])];
                return Err(problems.into_iter().flatten().flatten().collect());
            }
        };
        let mut samples = Samples::given(subject, &inputs)?;
        for (output, values) in &references {
            samples = samples.expecting(subject, output, values).map_err(|problem| vec![problem])?;
        }
        match labels {
            Some(labels) => samples.labelled(labels).map_err(|problem| vec![problem]),
            None => Ok(samples),
        }
    }
}

/// What is given for the model's inputs or outputs (`ports`, with their shapes), all samples of each behind one another.
fn columns(
    what: &str,
    given: &[Named],
    ports: &[(&str, &[usize])],
    most: Option<usize>,
) -> Result<Vec<(String, Vec<f32>)>, Vec<Diagnostic>> {
    let (mut columns, mut problems): (Vec<(String, Vec<f32>)>, Vec<Diagnostic>) = (Vec::new(), Vec::new());
    for Named { name, path } in given {
        let port = match (name, ports) {
            (None, [port]) => Ok(port),
            (None, _) => Err(which(what, path, ports)),
            (Some(name), _) => ports.iter().find(|(port, _)| port == name).ok_or_else(|| unknown(what, name, ports)),
        };
        let read = port.map_err(|problem| vec![problem]).and_then(|(name, shape)| {
            let values = read(path, what, name, shape)?;
            Ok((*name, shape.iter().product::<usize>(), values))
        });
        match read {
            Ok((name, elements, values)) => {
                let at = columns.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
                    columns.push((name.to_string(), Vec::new()));
                    columns.len() - 1
                });
                columns[at].1.extend(values);
                columns[at].1.truncate(most.map_or(usize::MAX, |most| most.saturating_mul(elements)));
            }
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(columns) } else { Err(problems) }
}

fn which(what: &str, path: &Path, ports: &[(&str, &[usize])]) -> Diagnostic {
    let (path, name) = (path.display(), ports.first().map_or("NAME", |(name, _)| name));
    Diagnostic::error(format!("the model has {} {what}s: which one is `{path}` for?", ports.len()))
        .hint(format!("write `{name}={path}`; the {what}s are {}", names(ports)))
}

fn unknown(what: &str, name: &str, ports: &[(&str, &[usize])]) -> Diagnostic {
    Diagnostic::error(format!("the model has no {what} `{name}`")).hint(format!("its {what}s are {}", names(ports)))
}

fn names(ports: &[(&str, &[usize])]) -> String {
    ports.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The values in a file, or in all files of a folder in the order of their names.
fn read(path: &Path, what: &str, name: &str, wanted: &[usize]) -> Result<Vec<f32>, Vec<Diagnostic>> {
    let (mut values, mut problems) = (Vec::new(), Vec::new());
    for file in files(path)? {
        let tensor = model::read(&file).and_then(|bytes| npy::read(&file.to_string_lossy(), &bytes));
        match tensor.and_then(|tensor| fitting(tensor, &file, what, name, wanted)) {
            Ok(tensor) => values.extend(tensor.words.iter().map(|word| f32::from_bits(*word))),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// The path itself, or the .npy files in it.
fn files(path: &Path) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let cannot_read = |error: std::io::Error| {
        let problem = Diagnostic::error(format!("can't read `{}`: {error}", path.display()));
        vec![problem.code(Code::File).about(path.display())]
    };
    let entries = fs::read_dir(path).map_err(cannot_read)?.collect::<Result<Vec<_>, _>>().map_err(cannot_read)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "npy"));
    files.sort();
    if files.is_empty() {
        let message = format!("the folder `{}` has no .npy files", path.display());
        let hint = "`numpy.save` writes such files; pictures are to be prepared as for the network's training";
        return Err(vec![Diagnostic::error(message).code(Code::Values).hint(hint)]);
    }
    Ok(files)
}

/// The tensor, when its shape is that of a sample behind any number of extents that count samples. Extents of 1 don't count.
fn fitting(tensor: Tensor, file: &Path, what: &str, name: &str, wanted: &[usize]) -> Result<Tensor, Diagnostic> {
    let long = |extents: &[usize]| extents.iter().copied().filter(|extent| *extent != 1).collect::<Vec<usize>>();
    if !tensor.words.is_empty() && long(&tensor.shape).ends_with(&long(wanted)) {
        return Ok(tensor);
    }
    let list = |extents: &[usize]| extents.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let (got, wanted) = (list(&tensor.shape), list(wanted));
    let message = format!("`{}` has the shape [{got}], but {what} `{name}` is [{wanted}]", file.display());
    Err(Diagnostic::error(message)
        .code(Code::Values)
        .hint(format!("several samples stand behind one another, N of them as [N, {wanted}]")))
}

/// Which output is right, for each sample.
fn labels(path: &Path, most: Option<usize>) -> Result<Vec<usize>, Diagnostic> {
    let integers = npy::read_integers(&path.to_string_lossy(), &model::read(path)?)?;
    let labels = integers.into_iter().take(most.unwrap_or(usize::MAX)).map(usize::try_from).collect::<Result<_, _>>();
    labels.map_err(|_| {
        let message = format!("`{}` holds negative numbers, which are no places of outputs", path.display());
        Diagnostic::error(message).code(Code::Values).hint("a label counts the outputs from 0 on")
    })
}
