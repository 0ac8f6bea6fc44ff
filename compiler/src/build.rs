//! The door for build scripts: code and constants are written to `OUT_DIR`.
//!
//! ```no_run
//! // in the `main` of build.rs, with ncnnc-compiler among the build-dependencies
//! ncnnc_compiler::build::Model::new("models/resnet18.param").input("in0", &[3, 224, 224]).write_to_out_dir();
//! ```
//!
//! The crate then includes the code, which needs `ncnnc` among its dependencies:
//!
//! ```ignore
//! include!(concat!(env!("OUT_DIR"), "/resnet18.rs"));
//! ```
//!
//! Only the instruction sets of the architecture the crate is built for are compiled, so this is the faster door, and the
//! one for large models. The options are those of `include_model!`.

use crate::budget::Budget;
use crate::compile::Options;
use crate::diagnostic::{Code, Diagnostic};
use crate::door::{self, Request};
use crate::format::Format;
use crate::mode::{LayerMode, Mode};
use crate::ops::CustomLayer;
use crate::precision::Exception;
use ncnnc_targets::{Architecture, TARGETS};
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use std::path::{Path, PathBuf};
use std::process::exit;

/// A model to write code for.
pub struct Model {
    param: String,
    weights: Option<String>,
    lock: Option<String>,
    max_error: Option<Budget>,
    bias_correction: bool,
    name: Option<String>,
    file: Option<String>,
    options: Options,
    threads: usize,
    weights_at_run_time: bool,
    functions: Vec<String>,
}

impl Model {
    /// The model in this param file, with its weights beside it; the path is relative to the crate's folder.
    #[must_use]
    pub fn new(param: impl Into<String>) -> Self {
        Self {
            param: param.into(),
            weights: None,
            lock: None,
            max_error: None,
            bias_correction: false,
            name: None,
            file: None,
            options: Options::default(),
            threads: 1,
            weights_at_run_time: false,
            functions: Vec::new(),
        }
    }

    /// The weights are in this file.
    #[must_use]
    pub fn weights(mut self, path: impl Into<String>) -> Self {
        self.weights = Some(path.into());
        self
    }

    /// The build fails unless the model, the options and what is computed are those that this precision lock, which
    /// `ncnnc verify --record` writes, was recorded for. Nothing is measured.
    #[must_use]
    pub fn lock(mut self, path: impl Into<String>) -> Self {
        self.lock = Some(path.into());
        self
    }

    /// The build fails unless every output was within this error of its reference in double precision when the lock was
    /// recorded. Nothing is measured: it needs [`Self::lock`], and holds because what is built is what the lock is about.
    #[must_use]
    pub fn max_error(mut self, budget: Budget) -> Self {
        self.max_error = Some(budget);
        self
    }

    /// The biases of layers with narrow constants are corrected as `ncnnc verify --bias-correction --record` has recorded in
    /// the lock: it needs [`Self::lock`]. Nothing is measured.
    #[must_use]
    pub fn bias_correction(mut self) -> Self {
        self.bias_correction = true;
        self
    }

    /// The type is called so; otherwise it has the name of the file, `resnet18.param` giving `Resnet18`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The files written are called so, with other endings; otherwise they are called like the param file.
    #[must_use]
    pub fn file(mut self, stem: impl Into<String>) -> Self {
        self.file = Some(stem.into());
        self
    }

    /// An input has this shape, outermost extent first.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>, shape: &[usize]) -> Self {
        self.options.shapes.insert(name.into(), shape.to_vec());
        self
    }

    /// A further blob is put out.
    #[must_use]
    pub fn output(mut self, name: impl Into<String>) -> Self {
        self.options.outputs.push(name.into());
        self
    }

    /// The packed weights are given to the type at run time, rather than being part of the program; the path of their
    /// file is what [`Self::write_to_out_dir`] returns.
    #[must_use]
    pub fn weights_at_run_time(mut self) -> Self {
        self.weights_at_run_time = true;
        self
    }

    /// A layer of this name, or all layers of this type, are computed by a function of yours with outputs of these
    /// shapes; its path is seen from where the code is included. See `include_model!`.
    #[must_use]
    pub fn layer(mut self, layer: impl Into<String>, function: impl Into<String>, shapes: &[&[usize]]) -> Self {
        let shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
        self.options.custom.push(CustomLayer { layer: layer.into(), shapes });
        self.functions.push(function.into());
        self
    }

    /// What may be done to the numbers, but for those of the layers that [`Self::layer_numerics`] names.
    #[must_use]
    pub fn numerics(mut self, mode: Mode) -> Self {
        self.options.mode = mode;
        self
    }

    /// What may be done to the numbers in the layers of this name, or pattern as for [`Self::layer_precision`]. Where
    /// several match a layer, the last one holds.
    #[must_use]
    pub fn layer_numerics(mut self, layer: impl Into<String>, mode: Mode) -> Self {
        self.options.layer_modes.push(LayerMode { pattern: layer.into(), mode });
        self
    }

    /// The outputs of all layers are stored so between them, but for those that [`Self::layer_activations`] names; what the
    /// model is given and gives stays `f32`.
    #[must_use]
    pub fn activations(mut self, format: Format) -> Self {
        self.options.activations.all = format;
        self
    }

    /// The outputs of the layers of this name, or pattern as for [`Self::layer_precision`], are stored so. Where several
    /// match a layer, the last one holds.
    #[must_use]
    pub fn layer_activations(mut self, layer: impl Into<String>, format: Format) -> Self {
        self.options.activations.exceptions.push(Exception { pattern: layer.into(), format });
        self
    }

    /// The weights of all layers are stored so, but for those that [`Self::layer_precision`] names.
    #[must_use]
    pub fn precision(mut self, format: Format) -> Self {
        self.options.precision.all = format;
        self
    }

    /// The weights of the layers of this name are stored so; it may be a pattern: `*` stands for any text, `?` for one
    /// character, `[a-c]` for one of several. Where several match a layer, the last one holds.
    #[must_use]
    pub fn layer_precision(mut self, layer: impl Into<String>, format: Format) -> Self {
        self.options.precision.exceptions.push(Exception { pattern: layer.into(), format });
        self
    }

    /// How many threads `new` takes, the caller's own included, from 1 to [`MOST_THREADS`](crate::door::MOST_THREADS).
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Writes `resnet18.rs` and `resnet18.constants` for `resnet18.param` to `OUT_DIR`, and tells cargo when to do it
    /// again. Returns the path of the constants. When something is wrong with the model, prints what and ends the build
    /// script.
    pub fn write_to_out_dir(self) -> PathBuf {
        match self.write() {
            Ok((constants, warnings)) => {
                for warning in warnings {
                    println!("cargo::warning={}", warning.to_string().replace('\n', " "));
                }
                constants
            }
            Err(problems) => {
                for problem in problems {
                    // Further lines need the prefix as well.
                    problem.to_string().lines().for_each(|line| println!("cargo::error={line}"));
                }
                exit(1);
            }
        }
    }

    fn write(self) -> Result<(PathBuf, Vec<Diagnostic>), Vec<Diagnostic>> {
        let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
        let folder = PathBuf::from(variable("OUT_DIR")?);
        let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
        let stem = self.stem();
        let request = self.request(&architecture)?;
        let file = format!("{stem}.constants");
        let from_code = format!("/{file}");
        println!("cargo::rerun-if-changed={}", root.join(&request.param).display());
        let files = request.read(&root)?;
        files.paths().for_each(|path| println!("cargo::rerun-if-changed={}", path.display()));
        let generated = request.generate(&files, quote!(concat!(env!("OUT_DIR"), #from_code)))?;
        let constants = folder.join(file);
        write(&constants, &generated.constants)?;
        write(&folder.join(format!("{stem}.rs")), generated.code.to_string().as_bytes())?;
        Ok((constants, generated.warnings))
    }

    /// What the files written are called, without their endings.
    fn stem(&self) -> String {
        self.file.clone().unwrap_or_else(|| stem(&self.param))
    }

    /// What is asked for, on an architecture as cargo names it.
    fn request(self, architecture: &str) -> Result<Request, Vec<Diagnostic>> {
        let name = self.name.clone().unwrap_or_else(|| type_name(&self.stem()));
        let mut problems = Vec::new();
        if !is_identifier(&name) {
            problems.push(Diagnostic::error(format!("`{name}` can't be the name of a type")));
        }
        let mut functions = Vec::new();
        for function in &self.functions {
            path(function).map_or_else(|problem| problems.push(problem), |function| functions.push(function));
        }
        if let Err(problem) = door::threads(self.threads) {
            problems.push(Diagnostic::error(problem));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let targets = TARGETS.iter().copied().filter(|target| match target.architecture {
            Architecture::Any => true,
            Architecture::X86_64 => architecture == "x86_64",
            Architecture::Aarch64 => architecture == "aarch64",
        });
        Ok(Request {
            name: Ident::new(&name, Span::call_site()),
            visibility: quote!(pub),
            attributes: quote!(),
            param: self.param,
            weights: self.weights,
            lock: self.lock,
            max_error: self.max_error,
            bias_correction: self.bias_correction,
            weights_at_run_time: self.weights_at_run_time,
            functions,
            options: self.options,
            threads: self.threads,
            targets: targets.collect(),
        })
    }
}

/// The name of a param file without its endings.
pub fn stem(param: &str) -> String {
    let file = Path::new(param).file_name().and_then(|name| name.to_str()).unwrap_or(param);
    file.strip_suffix(".param.bin").or(file.strip_suffix(".param")).unwrap_or(file).to_string()
}

/// The name of a type after that of a file: `mobilenet_v2.fp32` gives `MobilenetV2Fp32`.
pub fn type_name(stem: &str) -> String {
    let words = stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
    // `Self` is the only word of this form that Rust keeps for itself.
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != "Self" { name } else { format!("Model{name}") }
}

/// Whether Rust takes it for a name, without being asked about keywords.
fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The path of a function.
fn path(text: &str) -> Result<TokenStream, Diagnostic> {
    let path = text.strip_prefix("::").unwrap_or(text).split("::").all(is_identifier).then(|| text.parse().ok());
    path.flatten().ok_or_else(|| Diagnostic::error(format!("`{text}` is not the path of a function")))
}

fn variable(name: &str) -> Result<String, Vec<Diagnostic>> {
    std::env::var(name).map_err(|_| {
        let message = format!("the variable {name} is not set");
        vec![Diagnostic::error(message).hint("call this from a build script, which cargo runs")]
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Vec<Diagnostic>> {
    std::fs::write(path, bytes).map_err(|error| {
        let problem = Diagnostic::error(format!("can't write {}: {error}", path.display()));
        vec![problem.code(Code::File).about(path.display())]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_for_is_refused_at_once() {
        let model =
            Model::new("tiny.param").name("tiny model").layer("Swirl", "a swirl", &[&[4]]).threads(3_000_000_000);
        let problems = model.request("x86_64").err().unwrap_or_default();
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let expected = [
            "error: `tiny model` can't be the name of a type",
            "error: `a swirl` is not the path of a function",
            "error: `threads` must not be above 1024",
        ];
        assert_eq!(problems, expected);
        assert!(Model::new("tiny.param").threads(0).request("x86_64").is_err());
        assert!(Model::new("tiny.param").threads(1024).request("x86_64").is_ok());
    }

    /// What is wrong with a model of the tests' when it is built.
    fn problems(model: Model) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/ui/models");
        let generated = model.request("x86_64").and_then(|request| {
            let files = request.read(&root)?;
            request.generate(&files, quote!("constants"))
        });
        generated.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn builds_are_held_to_their_locks() {
        let model = || Model::new("rounded.param").lock("rounded.precision.lock");
        assert_eq!(problems(model().max_error(Budget::Percent(0.001))), [""; 0], "it has recorded 7.3e-7 %");
        let larger = problems(model().max_error(Budget::Percent(1e-7)));
        assert!(larger.len() == 1 && larger[0].contains("1e-7"), "{larger:?}");
        let other = problems(model().precision(Format::Bf16));
        assert!(other.len() == 1 && other[0].contains("precision = bf16"), "{other:?}");
        let uncorrected = problems(model().bias_correction());
        assert!(!uncorrected.is_empty(), "it has no corrections");
        let absent = problems(Model::new("tiny.param").lock("absent.precision.lock"));
        assert!(absent.len() == 1 && absent[0].contains("absent.precision.lock"), "{absent:?}");
    }

    #[test]
    fn types_are_named_after_files() {
        for (param, name) in [
            ("models/resnet18.param", "Resnet18"),
            ("mobilenet_v2.fp32.param", "MobilenetV2Fp32"),
            ("squeezenet_v1.1.param.bin", "SqueezenetV11"),
            ("7.param", "Model7"),
            ("self.param", "ModelSelf"),
            ("größe.param", "GrE"),
        ] {
            assert_eq!(type_name(&stem(param)), name);
        }
    }
}
