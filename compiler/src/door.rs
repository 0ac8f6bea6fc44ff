//! What the macro and the build script share: a request for a type, turned into code and a file of constants.
//!
//! Owns paths, documentation of the generated type, and the hash under which a result may be kept. Must not know how a
//! request was written down.

use crate::budget::Budget;
use crate::compile::{Compiled, File, Options, compile};
use crate::diagnostic::{Code, Diagnostic};
use crate::emit::rust::{Module, Weights, emit, pack};
use crate::format::Format;
use crate::graph::{Combine, Nest, Operation, Source};
use crate::lock;
use crate::mode::Mode;
use crate::ops;
use crate::plan::Plan;
use ncnnc_targets::Target;
use proc_macro2::{Ident, TokenStream};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::path::{Path, PathBuf};

/// Threads that a model can be told to take, at most: more than machines have, and few enough to be started.
pub const MOST_THREADS: u16 = 1024;

/// Whether a model can be told to take so many threads.
///
/// # Errors
/// When it is none, or above [`MOST_THREADS`].
pub fn threads(number: usize) -> Result<(), String> {
    match number {
        0 => Err("`threads` must not be 0: the caller's own is one of them".to_string()),
        _ if number > MOST_THREADS.into() => Err(format!("`threads` must not be above {MOST_THREADS}")),
        _ => Ok(()),
    }
}

/// A type that runs a model.
pub struct Request {
    /// What the type is called.
    pub name: Ident,
    /// Who can see it.
    pub visibility: TokenStream,
    /// Its attributes.
    pub attributes: TokenStream,
    /// The param file, as the user named it.
    pub param: String,
    /// The weights; beside the param file if not given.
    pub weights: Option<String>,
    /// The precision lock that the build is held to, if there is one.
    pub lock: Option<String>,
    /// The largest error that the lock may have recorded.
    pub max_error: Option<Budget>,
    /// Whether biases are corrected as the lock has recorded.
    pub bias_correction: bool,
    /// Whether the packed weights are given at run time, rather than being part of the program.
    pub weights_at_run_time: bool,
    /// Paths of the functions that compute the layers in `options.custom`, one for each.
    pub functions: Vec<TokenStream>,
    /// What the user chose.
    pub options: Options,
    /// How many threads `new` takes.
    pub threads: usize,
    /// For what it is compiled, best first.
    pub targets: Vec<&'static Target>,
}

/// The files of a request.
pub struct Files {
    /// Where the param file is, absolute.
    pub param: PathBuf,
    /// Where the weights are, absolute.
    pub weights: PathBuf,
    /// Where the lock is, absolute.
    pub lock: Option<PathBuf>,
    param_bytes: Vec<u8>,
    weights_bytes: Vec<u8>,
    lock_bytes: Vec<u8>,
}

impl Files {
    /// Every file, for who has to know when one changes.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.param, &self.weights].into_iter().chain(&self.lock).map(PathBuf::as_path)
    }
}

/// What a request becomes.
pub struct Generated {
    /// The code.
    pub code: TokenStream,
    /// The file of constants it includes.
    pub constants: Vec<u8>,
    /// What the user should know.
    pub warnings: Vec<Diagnostic>,
}

impl Request {
    /// The weights as the user named them, or `model.bin` beside `model.param`.
    fn weights(&self) -> String {
        let stem = self.param.strip_suffix(".param.bin").or(self.param.strip_suffix(".param")).unwrap_or(&self.param);
        self.weights.clone().unwrap_or_else(|| format!("{stem}.bin"))
    }

    /// Reads the files; paths are relative to `root`.
    ///
    /// # Errors
    /// Every file that can't be read.
    pub fn read(&self, root: &Path) -> Result<Files, Vec<Diagnostic>> {
        let weights = self.weights();
        let (param_path, weights_path) = (root.join(&self.param), root.join(&weights));
        let hint = match self.weights {
            Some(_) => "the path is relative to the folder of the crate's Cargo.toml",
            None => "weights are looked for beside the param file; `weights = \"...\"` names another place",
        };
        let param_bytes =
            read(&self.param, &param_path, "the path is relative to the folder of the crate's Cargo.toml");
        // Where there is no param file, what is missing beside it is no news.
        let param_bytes = param_bytes.map_err(|problem| vec![problem])?;
        let weights_bytes = read(&weights, &weights_path, hint);
        let lock = self.lock.as_ref().map(|lock| root.join(lock));
        let lock_bytes = match (&self.lock, &lock, self.max_error) {
            (Some(name), Some(path), _) => read(name, path, "`ncnnc verify --record` writes the lock"),
            (None, _, Some(budget)) => Err(lock::unrecorded(budget, &self.param)),
            (None, _, None) if self.bias_correction => Err(lock::uncalibrated(&self.param)),
            (None, _, None) | (_, None, _) => Ok(Vec::new()),
        };
        match (weights_bytes, lock_bytes) {
            (Ok(weights_bytes), Ok(lock_bytes)) => {
                Ok(Files { param: param_path, weights: weights_path, lock, param_bytes, weights_bytes, lock_bytes })
            }
            (weights, lock) => {
                let mut problems: Vec<Diagnostic> = [weights.err(), lock.err()].into_iter().flatten().collect();
                let Options { shapes, custom, .. } = &self.options;
                let param = ops::read_param(&self.param, &param_bytes, shapes, custom);
                problems.extend(param.err().unwrap_or_default());
                Err(problems)
            }
        }
    }

    /// The number under which the result may be kept: of everything it depends on, the compiler named by `version`
    /// included.
    pub fn hash(&self, files: &Files, version: &str) -> u128 {
        let mut hasher = SipHasher13::new();
        let mut shapes: Vec<_> = self.options.shapes.iter().collect();
        shapes.sort();
        let targets: Vec<&str> = self.targets.iter().map(|target| target.name).collect();
        let functions: Vec<String> = self.functions.iter().map(TokenStream::to_string).collect();
        let text = format!(
            "{version}\n{}\n{}\n{}\n{}\n{shapes:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{functions:?}\n{}\n{}\n{targets:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{}",
            self.name,
            self.visibility,
            self.attributes,
            self.param,
            self.options.outputs,
            self.options.mode,
            self.options.layer_modes,
            self.options.precision,
            self.options.custom,
            self.weights_at_run_time,
            self.threads,
            files.param,
            files.weights,
            files.lock,
            self.max_error,
            self.bias_correction,
        );
        for bytes in [text.as_bytes(), &files.param_bytes, &files.weights_bytes, &files.lock_bytes] {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        }
        hasher.finish128().as_u128()
    }

    /// Compiles the model, and holds it to the lock; `constants` is an expression for the path of the file with the constants.
    ///
    /// # Errors
    /// Everything that is wrong with the model.
    pub fn generate(&self, files: &Files, constants: TokenStream) -> Result<Generated, Vec<Diagnostic>> {
        let param = File { path: &self.param, bytes: &files.param_bytes };
        let weights = File { path: &self.weights(), bytes: &files.weights_bytes };
        let lock = self.lock.as_ref().map(|path| File { path, bytes: &files.lock_bytes });
        let corrections = lock.filter(|_| self.bias_correction).map(lock::corrections).transpose();
        let bias_correction = corrections.map_err(|problem| vec![problem])?;
        let options = Options { bias_correction, ..self.options.clone() };
        let compiled = compile(param, weights, &options, &self.targets)?;
        if let Some(lock) = lock {
            lock::check(lock, [param, weights], &options, &compiled.plan, self.max_error)
                .map_err(|problem| vec![problem.about(lock.path)])?;
        }
        let packed = pack(&compiled.programs);
        let code = emit(&Module {
            name: self.name.clone(),
            visibility: self.visibility.clone(),
            attributes: self.attributes.clone(),
            facts: facts(&self.param, &compiled),
            weights: match self.weights_at_run_time {
                true => Weights::RunTime { hash: content_hash(&packed) },
                false => Weights::Included,
            },
            constants,
            functions: &self.functions,
            threads: self.threads,
            programs: &compiled.programs,
        });
        Ok(Generated { code, constants: packed, warnings: compiled.warnings })
    }
}

/// The hash by which the runtime knows packed weights again.
pub fn content_hash(packed: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(packed);
    hasher.finish128().as_u128()
}

fn read(name: &str, path: &Path, hint: &str) -> Result<Vec<u8>, Diagnostic> {
    std::fs::read(path).map_err(|error| {
        Diagnostic::error(format!("can't read `{name}`: {error}"))
            .code(Code::File)
            .about(name)
            .hint(format!("looked for {}; {hint}", path.display()))
    })
}

/// What the documentation of the type says about the model.
pub fn facts(param: &str, compiled: &Compiled) -> Vec<String> {
    let operations = &compiled.plan.graph.operations;
    let macs: usize = operations.iter().map(multiply_adds).sum();
    let kibibytes = |words: usize| (words * 4).div_ceil(1024);
    let program = compiled.programs.first().map(|(_, program)| program);
    let constants = program.map_or(0, |program| program.constants.len());
    let arena = compiled.programs.iter().map(|(_, program)| program.arena_words).max().unwrap_or(0);
    let size = format!(
        "Compiled from `{param}`: {} operations, {macs} multiply-adds, {} KiB of constants, {} KiB of activations.",
        operations.len(),
        kibibytes(constants),
        kibibytes(arena),
    );
    let compensated = compensated(&compiled.plan);
    [Some(size), Some(stored(&compiled.plan)), rounded(&compiled.plan), compensated].into_iter().flatten().collect()
}

/// How many layers keep what rounding takes, for documentation; nothing where none does.
fn compensated(plan: &Plan) -> Option<String> {
    let modes = &plan.graph.modes;
    let count = modes.values().filter(|mode| **mode == Mode::Compensated).count();
    let layers = if count == modes.len() {
        "All layers are".to_string()
    } else {
        format!("{count} of {} layers are", modes.len())
    };
    (count > 0).then(|| format!("{layers} compensated: within 1 ulp of their definition."))
}

/// How the model's numbers are stored, for documentation.
fn stored(plan: &Plan) -> String {
    let in_format = |format: &Format| {
        let tensors = plan.graph.tensors.iter().zip(&plan.formats);
        let constants = tensors.filter(|(tensor, of)| matches!(tensor.source, Source::Constant(_)) && *of == format);
        let numbers: usize = constants.map(|(tensor, _)| tensor.elements()).sum();
        (numbers > 0).then(|| format!("{numbers} in {}", format.text()))
    };
    let parts: Vec<String> = Format::ALL.iter().filter_map(in_format).collect();
    // Where activations are rounded, f32 has ends within the network.
    let computed = if plan.stores_narrow(false) { "Computed in f32" } else { "Computed in f32 from end to end" };
    match &parts[..] {
        [] => format!("{computed}."),
        parts => format!("{computed}; of its constants are stored {}.", parts.join(", ")),
    }
}

/// Which activations are rounded when they are stored, for documentation; nothing where none is.
fn rounded(plan: &Plan) -> Option<String> {
    let in_format = |format: &Format| {
        let names: Vec<String> = plan.rounded_to(*format).iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| format!("{} in {}", names.join(", "), format.text()))
    };
    let parts: Vec<String> = Format::ALL.iter().filter_map(in_format).collect();
    (!parts.is_empty()).then(|| format!("Between layers are stored {}.", parts.join("; ")))
}

fn multiply_adds(operation: &Operation) -> usize {
    match operation {
        Operation::Nest(Nest { parallel, reduction: Some(reduction), .. })
            if reduction.combine == Combine::FusedSum =>
        {
            parallel.iter().chain(&reduction.axes).map(|axis| axis.extent).product()
        }
        Operation::Nest(_) | Operation::Routine(_) => 0,
    }
}
