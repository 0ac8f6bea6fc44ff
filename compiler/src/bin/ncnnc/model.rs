//! Reads the files of a model, and what the command line says about it.

use crate::console::Console;
use clap::Args;
use ncnnc_compiler::compile::{File, Options};
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::mode::{LayerMode, Mode};
use ncnnc_compiler::ops;
use ncnnc_compiler::precision::{Exception, Precision};
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The model.
#[derive(Args)]
pub struct ModelArguments {
    /// The network: ncnn's .param, as text or binary
    #[arg(value_name = "MODEL.param")]
    pub param: PathBuf,
    /// Its weights [default: the .bin beside the .param]
    #[arg(value_name = "MODEL.bin")]
    bin: Option<PathBuf>,
    /// A further blob to put out; can be given several times
    #[arg(long = "output", value_name = "BLOB")]
    outputs: Vec<String>,
    /// What may be done to the numbers: fast (the default), strict, which keeps to direct sums over the model's own
    /// constants, or compensated, which keeps every layer within 1 ulp of its definition; for all layers or for those of a
    /// name or pattern, such as `fc*=compensated`; can be given several times, and where several match a layer, the last
    /// one holds
    #[arg(long, value_name = "[LAYERS=]MODE", value_parser = numerics)]
    numerics: Vec<Numerics>,
    /// How weights are stored: f32, f16 or bf16, for all layers or for those of a name or pattern, such as `fc*=f32`; can
    /// be given several times, and where several match a layer, the last one holds. `auto` (verify and compile) searches
    /// for the smallest storage of the layers not named that keeps to --max-error
    #[arg(long, value_name = "[LAYERS=]FORMAT", value_parser = storage)]
    precision: Vec<Storage>,
    /// How the outputs of layers are stored between them: f32, f16 or bf16, for all layers or for those of a name or pattern,
    /// such as `conv*=f16`; what the network is given and gives stays f32. Can be given several times, and where several
    /// match a layer, the last one holds
    #[arg(long, value_name = "[LAYERS=]FORMAT", value_parser = activations)]
    activations: Vec<Storage>,
}

/// A format for all layers, or for those that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Storage {
    pattern: Option<String>,
    /// None to be searched for.
    format: Option<Format>,
}

/// What stands for a format that is searched for.
const AUTO: &str = "auto";

/// The model, and shapes of inputs.
#[derive(Args)]
pub struct ShapedModelArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// The shape of an input, outermost extent first; can be given several times
    #[arg(long = "input", value_name = "NAME=C,H,W", value_parser = shape)]
    shapes: Vec<(String, Vec<usize>)>,
}

/// A mode for all layers, or for those that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Numerics {
    pattern: Option<String>,
    mode: Mode,
}

/// A model's files.
pub struct Model {
    param_path: String,
    weights_path: String,
    /// What is in the param file.
    pub param: Rc<Vec<u8>>,
    /// What is in the `.bin`.
    pub weights: Vec<u8>,
    /// The files, which must not be written over.
    pub paths: Vec<PathBuf>,
}

impl Model {
    /// A model whose files are read, or about to be written.
    pub fn new(param: &Path, weights: &Path, param_bytes: Vec<u8>, weights_bytes: Vec<u8>, console: &Console) -> Self {
        let [param_path, weights_path] = [param, weights].map(|path| path.to_string_lossy().into_owned());
        let param_bytes = Rc::new(param_bytes);
        console.remember(&param_path, &param_bytes);
        let paths = vec![param.to_path_buf(), weights.to_path_buf()];
        Self { param_path, weights_path, param: param_bytes, weights: weights_bytes, paths }
    }

    /// The param file for the compiler.
    pub fn param(&self) -> File<'_> {
        File { path: &self.param_path, bytes: &self.param }
    }

    /// The weights for the compiler.
    pub fn weights(&self) -> File<'_> {
        File { path: &self.weights_path, bytes: &self.weights }
    }
}

impl ModelArguments {
    /// Reads the files, for a command that takes storage as it is said; `options` are what the compiler shall do.
    ///
    /// # Errors
    /// As [`Self::read_open`], or storage that would have to be searched for.
    pub fn read(&self, options: &Options, console: &Console) -> Result<Model, Vec<Diagnostic>> {
        if self.is_auto() {
            let problem =
                "`--precision auto` is for `ncnnc verify` and `ncnnc compile`, which search for it by measuring";
            return Err(vec![Diagnostic::error(problem).hint("what they find they print as arguments, which go here")]);
        }
        self.read_open(options, console)
    }

    /// Whether the storage of the layers not named is to be searched for.
    pub fn is_auto(&self) -> bool {
        let all = self.precision.iter().rev().find(|storage| storage.pattern.is_none());
        all.is_some_and(|storage| storage.format.is_none())
    }

    /// Reads the files, for a command that searches for storage, too.
    ///
    /// # Errors
    /// Each file that can't be read; where it is that of the weights, what is wrong with the other one as well.
    pub fn read_open(&self, options: &Options, console: &Console) -> Result<Model, Vec<Diagnostic>> {
        let weights_path = self.bin.clone().unwrap_or_else(|| beside(&self.param));
        let of_weights = |problem: Diagnostic| match self.bin {
            Some(_) => problem,
            None => problem.hint("weights are looked for beside the .param; a second path names another place"),
        };
        match (read(&self.param), read(&weights_path).map_err(of_weights)) {
            (Ok(param), Ok(weights)) => Ok(Model::new(&self.param, &weights_path, param, weights, console)),
            // Without a param file nobody has said yet where the weights are.
            (Err(problem), Err(_)) if self.bin.is_none() => Err(vec![problem]),
            (Err(problem), Err(other)) => Err(vec![problem, other]),
            (Err(problem), Ok(_)) => Err(vec![problem]),
            (Ok(param), Err(problem)) => {
                let (path, param) = (self.param.to_string_lossy(), Rc::new(param));
                console.remember(&path, &param);
                let others = ops::read_param(&path, &param, &options.shapes, &options.custom);
                Err(std::iter::once(problem).chain(others.err().unwrap_or_default()).collect())
            }
        }
    }

    /// What the compiler shall do, with inputs of these shapes; what is searched for is f32.
    pub fn options(&self, shapes: impl IntoIterator<Item = (String, Vec<usize>)>) -> Options {
        let (precision, activations) = (chosen(&self.precision), chosen(&self.activations));
        let (shapes, outputs) = (shapes.into_iter().collect(), self.outputs.clone());
        let mut options = Options { shapes, outputs, precision, activations, ..Options::default() };
        for Numerics { pattern, mode } in self.numerics.iter().cloned() {
            match pattern {
                None => options.mode = mode,
                Some(pattern) => options.layer_modes.push(LayerMode { pattern, mode }),
            }
        }
        options
    }

    /// The param file's name without its endings.
    pub fn stem(&self) -> String {
        ncnnc_compiler::build::stem(&self.param.to_string_lossy())
    }
}

impl ShapedModelArguments {
    /// What the compiler shall do.
    ///
    /// # Errors
    /// Every input whose shape is given twice.
    pub fn options(&self) -> Result<Options, Vec<Diagnostic>> {
        let again = |number: &usize| self.shapes[..*number].iter().any(|(name, _)| *name == self.shapes[*number].0);
        let repeated = (0..self.shapes.len()).filter(again).map(|number| given_twice(&self.shapes[number].0));
        let problems: Vec<Diagnostic> = repeated.collect();
        if problems.is_empty() { Ok(self.model.options(self.shapes.iter().cloned())) } else { Err(problems) }
    }
}

/// The arguments of an option as one choice; what is searched for is f32.
fn chosen(arguments: &[Storage]) -> Precision {
    let mut chosen = Precision::default();
    for Storage { pattern, format } in arguments.iter().cloned() {
        let format = format.unwrap_or_default();
        match pattern {
            None => chosen.all = format,
            Some(pattern) => chosen.exceptions.push(Exception { pattern, format }),
        }
    }
    chosen
}

/// That an input is given twice.
pub fn given_twice(input: &str) -> Diagnostic {
    Diagnostic::error(format!("input `{input}` is given twice"))
}

/// `model.bin` for `model.param` and for `model.param.bin`.
fn beside(param: &Path) -> PathBuf {
    match param.to_str().and_then(|text| text.strip_suffix(".param.bin")) {
        Some(stem) => PathBuf::from(format!("{stem}.bin")),
        None if param.extension() == Some(OsStr::new("param")) => param.with_extension("bin"),
        None => {
            let mut path = param.as_os_str().to_os_string();
            path.push(".bin");
            PathBuf::from(path)
        }
    }
}

/// Bytes up to which a file is read: weights of 2^31 floats, the most a model may have, and something over.
const LARGEST_FILE: u64 = 9 << 30;

/// Reads a file.
///
/// # Errors
/// When it can't be read, or is a device, which may never end.
pub fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let problem = |what: &str| {
        Diagnostic::error(format!("can't read `{}`: {what}", path.display())).code(Code::File).about(path.display())
    };
    let file = fs::File::open(path).map_err(|error| problem(&error.to_string()))?;
    let metadata = file.metadata().map_err(|error| problem(&error.to_string()))?;
    if metadata.is_dir() {
        return Err(problem("it is a folder"));
    }
    if !metadata.is_file() && !is_pipe(&metadata) {
        return Err(problem("it is neither a file nor a pipe"));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve(usize::try_from(metadata.len()).unwrap_or(usize::MAX)).map_err(|_| problem("it is too large"))?;
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(|error| problem(&error.to_string()))?;
    if bytes.len() as u64 == LARGEST_FILE {
        return Err(problem("it is too large"));
    }
    Ok(bytes)
}

#[cfg(unix)]
fn is_pipe(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &fs::Metadata) -> bool {
    false
}

/// `in0=3,224,224`, or `cache=0` for a cache that is empty.
fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, extents) = text.split_once('=').ok_or("an input is given as NAME=EXTENTS, such as in0=3,224,224")?;
    if extents.trim() == "0" {
        return Ok((name.into(), vec![0]));
    }
    let extent = |text: &str| match text.trim().parse::<usize>() {
        Ok(extent) if extent > 0 => Ok(extent),
        Ok(_) | Err(_) => Err(format!("`{text}` is no extent: a shape is whole numbers above 0, outermost first")),
    };
    let extents = extents.split(',').map(extent).collect::<Result<Vec<_>, _>>()?;
    if extents.len() > 4 { Err("a shape has at most 4 extents".into()) } else { Ok((name.into(), extents)) }
}

/// A value for all layers, or behind a pattern of some; names may hold `=`.
fn of_layers(text: &str) -> (Option<String>, &str) {
    match text.rsplit_once('=') {
        Some((pattern, value)) => (Some(pattern.to_string()), value),
        None => (None, text),
    }
}

/// `strict`, or `fc*=compensated`.
fn numerics(text: &str) -> Result<Numerics, String> {
    let (pattern, mode) = of_layers(text);
    let mode = Mode::named(mode).ok_or_else(|| {
        let known = Mode::ALL.map(Mode::text).join(", ");
        format!("`{mode}` is no mode: there are {known}")
    })?;
    Ok(Numerics { pattern, mode })
}

/// `f16`, or `conv_3=f32`.
fn storage(text: &str) -> Result<Storage, String> {
    let (pattern, format) = of_layers(text);
    if format == AUTO && pattern.is_some() {
        return Err("`auto` is for all layers but those that are named with a format".to_string());
    }
    let named = Format::named(format);
    if named.is_none() && format != AUTO {
        return Err(format!("{}, and {AUTO}", unknown_format(format)));
    }
    Ok(Storage { pattern, format: named })
}

/// `f16`, or `conv*=bf16`.
fn activations(text: &str) -> Result<Storage, String> {
    let (pattern, format) = of_layers(text);
    let named = Format::named(format).ok_or_else(|| unknown_format(format))?;
    Ok(Storage { pattern, format: Some(named) })
}

fn unknown_format(text: &str) -> String {
    let known = Format::ALL.iter().map(|format| format.text()).collect::<Vec<_>>().join(", ");
    format!("`{text}` is no format: there are {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_lie_beside_the_param_file() {
        for (param, weights) in
            [("a/b.param", "a/b.bin"), ("a/b.param.bin", "a/b.bin"), ("b.txt", "b.txt.bin"), ("b.v1.param", "b.v1.bin")]
        {
            assert_eq!(beside(Path::new(param)), Path::new(weights));
        }
    }

    #[test]
    fn modes_are_for_all_layers_or_for_some() {
        let some = |pattern: Option<&str>, mode| Ok(Numerics { pattern: pattern.map(str::to_string), mode });
        assert_eq!(numerics("strict"), some(None, Mode::Strict));
        assert_eq!(numerics("a=b*=compensated"), some(Some("a=b*"), Mode::Compensated));
        assert_eq!(numerics("exact"), Err("`exact` is no mode: there are fast, strict, compensated".to_string()));
    }

    #[test]
    fn shapes_are_whole_numbers() {
        assert_eq!(shape("in0=3,224,224"), Ok(("in0".into(), vec![3, 224, 224])));
        assert_eq!(shape("a/b=1"), Ok(("a/b".into(), vec![1])));
        assert_eq!(shape("cache=0"), Ok(("cache".into(), vec![0])));
        for wrong in ["in0", "in0=", "in0=3,,4", "in0=0,4", "in0=-1", "in0=1,2,3,4,5", "in0=99999999999999999999999"] {
            shape(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn formats_are_for_all_layers_or_for_some() {
        let of = |pattern: Option<&str>, format| Ok(Storage { pattern: pattern.map(String::from), format });
        assert_eq!(storage("f16"), of(None, Some(Format::F16)));
        assert_eq!(storage("auto"), of(None, None));
        assert_eq!(storage("fc*=f32"), of(Some("fc*"), Some(Format::Word)));
        assert_eq!(storage("a=b=bf16"), of(Some("a=b"), Some(Format::Bf16)));
        assert_eq!(activations("conv*=f16"), of(Some("conv*"), Some(Format::F16)));
        for wrong in ["", "f8", "fc", "fc=", "fc=F16", "f16=fc", "fc=auto"] {
            storage(wrong).expect_err(wrong);
            activations(wrong).expect_err(wrong);
        }
        assert_eq!(activations("auto"), Err("`auto` is no format: there are f32, f16, bf16".to_string()));
    }
}
