//! `ncnnc run`: a model compiled in memory and run once.

use crate::console::{Console, Done};
use crate::loaded::{Loaded, NO_HASH};
use crate::machine;
use crate::model::{self, Model, ModelArguments, given_twice};
use crate::npy::{self, Tensor};
use crate::output::Files;
use crate::progress::Progress;
use crate::table;
use ncnnc_compiler::compile::{Compiled, compile};
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::door::MOST_THREADS;
use ncnnc_compiler::emit::object::{Network, Weights};
use ncnnc_compiler::kernel::Port;
use ncnnc_compiler::ops::{self, SHAPE_HINT};
use std::path::PathBuf;

/// Runs a model on this machine, on inputs from .npy files, and writes its outputs as .npy files
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc run model.param --input in0=image.npy --output-dir results
  ncnnc run model.param model.bin --input a=a.npy --input b=b.npy --output conv_3 --threads 4

Inputs are 32-bit floats or integers in C order, outermost extent first; the model is compiled for the shapes of the files. \
Caches of keys and values that aren't given are empty, as before the first step. \
Each output is written to DIR/BLOB.npy, with `_` for characters of the blob's name that can't stand in a file's.")]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The values of an input; given once for each
    #[arg(long = "input", value_name = "NAME=FILE.npy", value_parser = input)]
    inputs: Vec<(String, PathBuf)>,
    /// The folder for the outputs; made if it isn't there
    #[arg(long, value_name = "DIR", default_value = ".")]
    output_dir: PathBuf,
    /// How many threads work; results don't depend on it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_THREADS)))]
    threads: u16,
    /// The instruction set to use [default: the best this machine has]
    #[arg(long, value_name = "NAME")]
    instruction_set: Option<String>,
}

fn input(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("an input is given as NAME=FILE.npy")?;
    Ok((name.into(), path.into()))
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let platform = machine::host(arguments.instruction_set.as_deref())?;
    let inputs = arguments.read_inputs()?;
    let shapes = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone()));
    let mut options = arguments.model.options(shapes);
    let model = arguments.model.read(&options, console)?;
    // What is wrong with the file is said when it is compiled.
    if let Ok(read) = ops::read_param(model.param().path, &model.param, &options.shapes, &[]) {
        for cache in ops::open_caches(&read) {
            options.shapes.entry(cache.into()).or_insert_with(|| EMPTY.to_vec());
        }
    }
    let progress = Progress::start(console, "compiling".into());
    let compiled = compile(model.param(), model.weights(), &options, platform.targets()).map_err(|problems| {
        let mut problems: Vec<Diagnostic> = problems.into_iter().map(with_own_hint).collect();
        problems.extend(arguments.other_shapes(&model, &inputs));
        problems
    })?;
    console.report(&compiled.warnings);
    let network = Network::new("model", &compiled.programs, NO_HASH, Weights::External)?;
    let given = network.inputs().iter().map(|port| words(port, &inputs));
    let given = given.collect::<Result<Vec<&[u32]>, Diagnostic>>()?;
    let outputs = Loaded::new(&network, &platform, arguments.threads.into())?.run(&given);
    drop(progress);
    let mut files = Files::default();
    for (number, output) in compiled.plan.graph.outputs.iter().enumerate() {
        let tensor = tensor(&network.outputs()[number], &outputs, number);
        files.add(arguments.output_dir.join(file_name(&output.name)), npy::write(&tensor));
    }
    let read = model.paths.into_iter().chain(arguments.inputs.iter().map(|(_, path)| path.clone()));
    files.write(&read.collect::<Vec<_>>())
}

impl Arguments {
    fn read_inputs(&self) -> Result<Vec<(String, Tensor)>, Vec<Diagnostic>> {
        let (mut inputs, mut problems) = (Vec::new(), Vec::new());
        for (number, (name, path)) in self.inputs.iter().enumerate() {
            if self.inputs[..number].iter().any(|(other, _)| other == name) {
                problems.push(given_twice(name));
            }
            match model::read(path).and_then(|bytes| npy::read(&path.to_string_lossy(), &bytes)) {
                Ok(tensor) if tensor.words.is_empty() => {
                    inputs.push((name.clone(), Tensor { shape: EMPTY.to_vec(), ..tensor }))
                }
                Ok(tensor) => match unusual(&tensor.shape) {
                    Some(what) => {
                        let message = format!("input `{name}` {what}, so no model can be compiled for its shape");
                        problems.push(Diagnostic::error(message).code(Code::Values));
                    }
                    None => inputs.push((name.clone(), tensor)),
                },
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(inputs) } else { Err(problems) }
    }

    /// Warnings of inputs with other shapes than the model has by itself: what is wrong may come from there.
    fn other_shapes(&self, model: &Model, inputs: &[(String, Tensor)]) -> Vec<Diagnostic> {
        let by_itself = compile(model.param(), model.weights(), &self.model.options([]), &[]);
        let Ok(Compiled { plan, .. }) = by_itself else { return Vec::new() };
        let tensors = plan.graph.inputs.iter().map(|input| plan.graph.tensor(*input));
        let declared = tensors.map(|tensor| (&tensor.name, &tensor.shape));
        let given = |name: &String| inputs.iter().find(|(other, _)| other == name).map(|(_, tensor)| &tensor.shape);
        let warning = |(name, shape): (&String, &Vec<usize>)| {
            let other = given(name).filter(|given| *given != shape)?;
            let [given, declared] = [other, shape].map(|extents| table::shape(extents));
            let message = format!("input `{name}` is given as {given}, but is {declared} in the param file");
            Some(Diagnostic::warning(message).code(Code::Values))
        };
        declared.filter_map(warning).collect()
    }
}

/// Shapes aren't given to this subcommand; they come with the values.
fn with_own_hint(problem: Diagnostic) -> Diagnostic {
    if problem.hint.as_deref() == Some(SHAPE_HINT) {
        return problem.hint("give its values, which have a shape: `--input NAME=FILE.npy`");
    }
    problem
}

/// Axes of a blob, at most.
const MOST_AXES: usize = 4;

/// The shape of what has no elements, as in ncnn.
const EMPTY: &[usize] = &[0];

/// What no input can be.
fn unusual(shape: &[usize]) -> Option<String> {
    match shape.len() {
        0 => Some("has no axes".into()),
        axes if axes > MOST_AXES => Some(format!("has {axes} axes, more than {MOST_AXES}")),
        _usual => None,
    }
}

/// The values for an input.
fn words<'i>(port: &Port, inputs: &'i [(String, Tensor)]) -> Result<&'i [u32], Diagnostic> {
    let name = &port.name;
    let Some((_, tensor)) = inputs.iter().find(|(other, _)| other == name) else {
        let hint = format!("give a file of shape {}: `--input {name}=FILE.npy`", table::shape(&port.shape));
        return Err(Diagnostic::error(format!("no values are given for input `{name}`")).hint(hint));
    };
    if tensor.integer != port.integer {
        let [given, wanted] = [tensor.integer, port.integer].map(|integer| if integer { "integers" } else { "floats" });
        let hint = format!("with NumPy, `values.astype(numpy.{})`", if port.integer { "int32" } else { "float32" });
        let problem = Diagnostic::error(format!("input `{name}` takes {wanted}, but is given {given}"));
        return Err(problem.code(Code::Values).hint(hint));
    }
    Ok(&tensor.words)
}

/// An output in its actual shape.
fn tensor(port: &Port, outputs: &[Vec<u32>], number: usize) -> Tensor {
    let shape: Vec<usize> = match port.extents {
        Some(extents) => outputs[extents].iter().map(|extent| *extent as usize).collect(),
        None => port.shape.clone(),
    };
    let words: usize = shape.iter().product();
    let shape = if words == 0 { EMPTY.to_vec() } else { shape };
    Tensor { shape, integer: port.integer, words: outputs[number][..words].to_vec() }
}

/// A name for a file that stays in its folder and that the system takes.
fn file_name(blob: &str) -> String {
    let apart = if cfg!(windows) { r#"/\:*?"<>|"# } else { "/" };
    let harmless = |c: char| if c.is_control() || apart.contains(c) { '_' } else { c };
    let name: String = blob.chars().map(harmless).collect();
    if name.starts_with('.') { format!("_{name}.npy") } else { format!("{name}.npy") }
}
