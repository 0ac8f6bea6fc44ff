//! `ncnnc compile`: a model becomes files for a machine.

use crate::bias::BiasArguments;
use crate::console::{Console, Done, Stop};
use crate::inspect::code_bytes;
use crate::machine::MachineArguments;
use crate::model::{Model, ShapedModelArguments};
use crate::output::{Files, is_stream};
use crate::progress::Progress;
use crate::samples::InputArguments;
use crate::verify::{choose, measured, refusal, unlimited};
use clap::ValueEnum;
use ncnnc_compiler::budget::Budget;
use ncnnc_compiler::build::type_name;
use ncnnc_compiler::compile::{Compiled, Options, compile, hash};
use ncnnc_compiler::diagnostic::{Diagnostic, Harmless};
use ncnnc_compiler::door::{content_hash, facts};
use ncnnc_compiler::emit::object::{self, Network, Platform, Triple};
use ncnnc_compiler::emit::rust::{self, Module};
use ncnnc_compiler::verify::{Chosen, Report, Subject};
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use serde_json::json;
use std::path::{Path, PathBuf};
use target_lexicon::Environment;

/// Compiles a model for a machine
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc compile resnet18.param --target aarch64-linux-android -o build/resnet18.o --verbose
  ncnnc compile digits.fp32.param --input in0=1,8,8 --name digits -o digits.o
  ncnnc compile resnet18.param --emit staticlib,header --target x86_64-pc-windows-msvc -o resnet18.lib
  ncnnc compile resnet18.param --target-cpu x86-64-v3 --weights extern
  ncnnc compile resnet18.param --precision f16 --max-error 0.1% --inputs images/
  ncnnc compile resnet18.param --precision auto --max-error 60dB --inputs images/
  ncnnc compile resnet18.param --precision bf16 --bias-correction --calibration images/
  ncnnc compile resnet18.param --emit rust -o src/resnet18.rs
  ncnnc compile resnet18.param --emit asm -o - | less

On x86-64 an object has code for AVX-512, for AVX2 and for any processor, and chooses when it runs, unless --target-cpu or \
--target-feature says what there is.")]
pub struct Arguments {
    #[command(flatten)]
    model: ShapedModelArguments,
    #[command(flatten)]
    machine: MachineArguments,
    /// What to write
    #[arg(long, value_enum, value_delimiter = ',', default_value = "obj,header", value_name = "KINDS")]
    emit: Vec<Emit>,
    /// Where the packed weights are: in what is written, or in a file of their own, given at run time
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    weights: Weights,
    /// The model's name in code, with which every symbol begins, whatever the files are called [default: that of the param
    /// file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Writes nothing unless every output is this near to its definition in 64-bit floats, measured on --inputs: a
    /// difference (1e-3), a share of the output's largest value (0.1%), or the least ratio of signal to noise (60dB)
    #[arg(long, value_name = "ERROR", value_parser = Budget::parse, requires = "inputs")]
    max_error: Option<Budget>,
    #[command(flatten)]
    inputs: InputArguments,
    #[command(flatten)]
    bias: BiasArguments,
    /// Measures the first N samples only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "inputs")]
    samples: Option<u32>,
    /// The file to write, or a folder; the first kind gets this name, other kinds their own endings; folders are made where
    /// there are none; `-` is the standard output. Names in code don't come from it, but from --name
    #[arg(short = 'o', value_name = "OUT", default_value = ".")]
    out: PathBuf,
    /// Says how large everything is: machine code, packed weights, the arena, and each file
    #[arg(short, long)]
    verbose: bool,
}

/// What can be written; the first that is asked for gets the name after `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Emit {
    /// An object file
    Obj,
    /// A static library with that object
    Staticlib,
    /// The header for C and C++
    Header,
    /// A Rust type over the crate `ncnnc`, with its file of constants
    Rust,
    /// The object's code as assembly, to be read: not in the syntax of an assembler
    Asm,
    /// The plan and the programs of all instruction sets as text
    Ir,
    /// What Cranelift is given
    Clif,
}

/// Where packed weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Weights {
    /// In what is written
    #[default]
    Embed,
    /// In a file of their own
    Extern,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let platform = arguments.machine.platform(console)?;
    let name = arguments.name.clone().unwrap_or_else(|| c_name(&arguments.model.model.stem()));
    let kinds = arguments.kinds()?;
    let options = arguments.model.options()?;
    let model = arguments.model.model.read_open(&options, console)?;
    let progress = Progress::start(console, format!("compiling {name}"));
    let (options, chosen) = arguments.settle(&model, options, &progress)?;
    let compiled = compile(model.param(), model.weights(), &options, platform.targets())?;
    console.report(&compiled.warnings);
    let hash = hash(model.param(), model.weights(), &options);
    let network = Network::new(&name, &compiled.programs, hash, arguments.weights.of_object())?;
    // An object has the weights in it: none is made beside the files that are in memory already.
    let mut code = (arguments.verbose && !kinds.contains(&Emit::Obj)).then(|| code_bytes(&network.object(&platform)));
    let mut files = Files::default();
    for kind in &kinds {
        let path = arguments.path(*kind, &kinds, &platform);
        match kind {
            Emit::Obj => {
                let object = network.object(&platform);
                code = arguments.verbose.then(|| code_bytes(&object));
                files.add(path, object);
            }
            Emit::Staticlib => files.add(path, network.static_library(&platform)),
            Emit::Header => files.add(path, network.header()),
            Emit::Rust => {
                let code = arguments.rust(&name, model.param().path, &compiled, &path.with_extension("weights"))?;
                files.add(path, code);
            }
            Emit::Asm => files.add(path, network.assembly(&platform)),
            Emit::Ir => files.add(path, ir(&compiled)),
            Emit::Clif => files.add(path, network.clif(&platform)),
        }
    }
    if arguments.has_weights_file(&kinds) {
        let first = arguments.path(kinds[0], &kinds, &platform);
        files.add(first.with_extension("weights"), network.weights());
    }
    let sizes = code.map(|code_bytes| Sizes::new(code_bytes, &network, &files));
    drop(progress);
    files.write(&model.paths)?;
    if arguments.out == Path::new("-") {
        return Ok(());
    }
    if let Some(chosen) = chosen {
        console.result(|| chosen.text(), || json!(chosen))?;
    }
    sizes.map_or(Ok(()), |sizes| console.result(|| sizes.text(), || json!(sizes)))
}

/// How large everything is, in bytes.
#[derive(serde::Serialize)]
struct Sizes {
    code_bytes: u64,
    weights_bytes: usize,
    arena_bytes: usize,
    files: Vec<FileSize>,
}

#[derive(serde::Serialize)]
struct FileSize {
    path: String,
    bytes: usize,
}

impl Sizes {
    fn new(code_bytes: u64, network: &Network, files: &Files) -> Self {
        let file = |(path, bytes): (&Path, usize)| FileSize { path: path.display().to_string(), bytes };
        Self {
            code_bytes,
            weights_bytes: network.weights_bytes(),
            arena_bytes: network.arena_bytes(),
            files: files.sizes().map(file).collect(),
        }
    }

    fn text(&self) -> String {
        let Self { code_bytes, weights_bytes, arena_bytes, files } = self;
        let mut text =
            format!("{code_bytes} bytes of code, {weights_bytes} of weights; the arena takes {arena_bytes}\n");
        for FileSize { path, bytes } in files {
            text += &format!("{}: {bytes} bytes\n", Harmless(path));
        }
        text
    }
}

impl Weights {
    fn of_object(self) -> object::Weights {
        match self {
            Self::Embed => object::Weights::Included,
            Self::Extern => object::Weights::External,
        }
    }
}

impl Arguments {
    /// What the compiler shall do, with what takes measuring to find out; holds the model to the budget, if there is one.
    /// Gives the storage that was searched for as well.
    fn settle(
        &self,
        model: &Model,
        mut options: Options,
        progress: &Progress,
    ) -> Result<(Options, Option<Chosen>), Stop> {
        let auto = self.model.model.is_auto();
        if auto && self.max_error.is_none() {
            return Err(unlimited().into());
        }
        if self.max_error.is_none() && !self.bias.is_wanted() {
            return Ok((options, None));
        }
        let subject = |options: &Options| Subject::new(model.param(), model.weights(), None, options);
        let mut measured_on = subject(&options)?;
        let most = self.samples.map(|samples| samples as usize);
        let samples = self.inputs.is_given().then(|| self.inputs.read(&measured_on, most)).transpose()?;
        let mut chosen = None;
        if let (true, Some(budget), Some(samples)) = (auto, self.max_error, &samples) {
            let found = choose(model, &options, &measured_on, samples, budget, progress)?;
            options.precision = found.precision.clone();
            measured_on = subject(&options)?;
            chosen = Some(found);
        }
        let nothing_found = auto && measured_on.unnarrowed.is_none();
        if self.bias.is_wanted() && !nothing_found {
            measured_on = self.bias.correct(measured_on, samples.as_ref(), progress)?;
        }
        let corrections = measured_on.uncorrected.as_ref().map(|(_, calibration)| calibration.corrections.clone());
        // What the search has measured is what is compiled, unless it was corrected since.
        let is_measured = corrections.is_none() && chosen.as_ref().is_some_and(|chosen| chosen.met);
        options.bias_correction = corrections;
        let (Some(budget), Some(samples), false) = (self.max_error, samples, is_measured) else {
            return Ok((options, chosen));
        };
        let report = Report { chosen, ..measured(&measured_on, &samples, Some(budget), progress) };
        match refusal(&report) {
            None => Ok((options, report.chosen)),
            Some(refusal) if refusal.hint.is_some() => Err(refusal.into()),
            Some(refusal) => {
                Err(refusal.hint("`ncnnc verify` with the same options shows each layer, and what to do").into())
            }
        }
    }

    /// What is written, each kind once.
    ///
    /// # Errors
    /// It would be several files, but what they should go to isn't one.
    fn kinds(&self) -> Result<Vec<Emit>, Diagnostic> {
        let mut kinds = self.emit.clone();
        kinds.sort_unstable();
        kinds.dedup();
        if is_stream(&self.out) && (kinds.len() > 1 || self.has_weights_file(&kinds)) {
            let out = self.out.display();
            let out = if self.out == Path::new("-") { "the standard output".into() } else { format!("`{out}`") };
            let problem = Diagnostic::error(format!("several files can't all go to {out}"));
            return Err(problem.hint("`--emit` chooses one, and weights in a file of their own are a second one"));
        }
        Ok(kinds)
    }

    /// Where a kind is written, among all that are.
    fn path(&self, kind: Emit, kinds: &[Emit], platform: &Platform) -> PathBuf {
        let extension = extension(kind, platform.triple());
        let ends_as_folder = self.out.to_string_lossy().ends_with(std::path::is_separator);
        if ends_as_folder || self.out.is_dir() {
            return self.out.join(format!("{}.{extension}", self.model.model.stem()));
        }
        if kinds.first() == Some(&kind) { self.out.clone() } else { self.out.with_extension(extension) }
    }

    /// Whether packed weights go into a file of their own: code that is read by people needs none.
    fn has_weights_file(&self, kinds: &[Emit]) -> bool {
        kinds.iter().any(|kind| match kind {
            Emit::Rust => true,
            Emit::Obj | Emit::Staticlib | Emit::Header => self.weights == Weights::Extern,
            Emit::Asm | Emit::Ir | Emit::Clif => false,
        })
    }

    fn rust(&self, name: &str, param: &str, compiled: &Compiled, constants: &Path) -> Result<String, Diagnostic> {
        // The code names the file of constants, which lies beside it.
        let constants = constants
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| Diagnostic::error(format!("`{}` is no file that Rust can name", constants.display())))?;
        let packed = rust::pack(&compiled.programs);
        let code = rust::emit(&Module {
            name: Ident::new(&type_name(name), Span::call_site()),
            visibility: quote!(pub),
            attributes: TokenStream::new(),
            facts: facts(param, compiled),
            constants: quote!(#constants),
            weights: match self.weights {
                Weights::Embed => rust::Weights::Included,
                Weights::Extern => rust::Weights::RunTime { hash: content_hash(&packed) },
            },
            functions: &[],
            threads: 1,
            programs: &compiled.programs,
        });
        Ok(prettyplease::unparse(&syn::parse2(code).expect("what is emitted is Rust")))
    }
}

/// The ending of a kind's files on a machine.
fn extension(kind: Emit, triple: &Triple) -> &'static str {
    let is_msvc = triple.environment == Environment::Msvc;
    match kind {
        Emit::Obj if is_msvc => "obj",
        Emit::Obj => "o",
        Emit::Staticlib if is_msvc => "lib",
        Emit::Staticlib => "a",
        Emit::Header => "h",
        Emit::Rust => "rs",
        Emit::Asm => "s",
        Emit::Ir => "ir",
        Emit::Clif => "clif",
    }
}

/// A name in C after that of a file: `mobilenet_v2.fp32` gives `mobilenet_v2_fp32`.
fn c_name(stem: &str) -> String {
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("model_{name}") }
}

/// The plan, then how each instruction set carries it out.
fn ir(compiled: &Compiled) -> String {
    let mut text = compiled.plan.to_string();
    for (target, program) in &compiled.programs {
        text += &format!("\ninstruction set {}\n{program}", target.name);
    }
    text
}
