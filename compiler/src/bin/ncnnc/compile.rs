//! `ncnnc compile`: a model becomes files for a machine.

use crate::console::{Console, Done};
use crate::machine::MachineArguments;
use crate::model::ShapedModelArguments;
use crate::output::Files;
use crate::progress::Progress;
use clap::ValueEnum;
use ncnnc_compiler::build::type_name;
use ncnnc_compiler::compile::{Compiled, compile};
use ncnnc_compiler::diagnostic::Diagnostic;
use ncnnc_compiler::door::{content_hash, facts};
use ncnnc_compiler::emit::rust::{self, Module};
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use std::path::{Path, PathBuf};

/// Compiles a model to Rust for a machine
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc compile resnet18.param --emit rust -o src/resnet18.rs
  ncnnc compile resnet18.param --emit ir -o - --target aarch64-unknown-linux-gnu")]
pub struct Arguments {
    #[command(flatten)]
    model: ShapedModelArguments,
    #[command(flatten)]
    machine: MachineArguments,
    /// What to write
    #[arg(long, value_enum, value_delimiter = ',', default_value = "rust", value_name = "KINDS")]
    emit: Vec<Emit>,
    /// Where the packed weights are: in what is written, or in a file of their own, given at run time
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    weights: Weights,
    /// The model's name in code [default: that of the param file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The file to write, or a folder; the first kind gets this name, other kinds their own endings; `-` is the standard
    /// output
    #[arg(short = 'o', value_name = "OUT", default_value = ".")]
    out: PathBuf,
}

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Emit {
    /// A Rust type over the crate `ncnnc`, with its file of constants
    Rust,
    /// The plan and the programs of all instruction sets as text
    Ir,
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
    let machine = arguments.machine.machine()?;
    let name = arguments.name.clone().unwrap_or_else(|| arguments.model.model.stem());
    let model = arguments.model.model.read(console)?;
    let progress = Progress::start(console, format!("compiling {name}"));
    let compiled = compile(model.param(), model.weights(), &arguments.model.options(), &machine.targets)?;
    console.report(&compiled.warnings);
    let mut files = Files::default();
    let mut kinds = arguments.emit.clone();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in &kinds {
        let path = arguments.path(*kind, &kinds);
        match kind {
            Emit::Rust => {
                let constants = path.with_extension("weights");
                files.add(&constants, rust::pack(&compiled.programs));
                files.add(path, arguments.rust(&name, model.param().path, &compiled, &constants)?);
            }
            Emit::Ir => files.add(path, ir(&compiled)),
        }
    }
    drop(progress);
    files.write(&model.paths)
}

impl Arguments {
    /// Where a kind is written, among all that are.
    fn path(&self, kind: Emit, kinds: &[Emit]) -> PathBuf {
        if self.out.is_dir() {
            return self.out.join(format!("{}.{}", self.model.model.stem(), extension(kind)));
        }
        if kinds.first() == Some(&kind) { self.out.clone() } else { self.out.with_extension(extension(kind)) }
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

fn extension(kind: Emit) -> &'static str {
    match kind {
        Emit::Rust => "rs",
        Emit::Ir => "ir",
    }
}

/// The plan, then how each instruction set carries it out.
fn ir(compiled: &Compiled) -> String {
    let mut text = compiled.plan.to_string();
    for (target, program) in &compiled.programs {
        text += &format!("\ninstruction set {}\n{program}", target.name);
    }
    text
}
