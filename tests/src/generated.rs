//! Plans compiled as users' plans are: emitted as Rust, built by cargo, run as a program of its own.
//!
//! A [`Crate`] lies under `compiled` in the target directory, with one program for each group of plans. It is built and
//! run on this machine, or for aarch64 and under qemu (see `.ci/aarch64`).

use crate::planned::Planned;
use crate::shared::workspace;
use ncnnc_compiler::emit::rust::{Module, Weights, emit, pack};
use ncnnc_compiler::graph::Output;
use ncnnc_compiler::kernel::Program;
use ncnnc_compiler::plan::{Plan, Value};
use ncnnc_targets::{Architecture, TARGETS, Target};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long a program may run, in the form of timeout(1).
const TIME_LIMIT: &str = "30m";

/// Where programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// This machine.
    Host,
    /// 64-bit ARM under qemu's user mode.
    Aarch64,
}

/// How programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As by `cargo build`.
    Dev,
    /// As by `cargo build --release`.
    Release,
}

/// How programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The instruction set's name.
    pub set: &'static str,
    /// The caller's own thread included.
    pub threads: usize,
    /// How often each network runs; the last result counts, so that what a run leaves in the memory shows.
    pub repeats: usize,
}

/// Plans under a name each, for one program.
pub type Group<'a> = &'a [(String, &'a Planned)];

/// A crate of programs that was built.
pub struct Crate {
    machine: Machine,
    profile: Profile,
    folder: PathBuf,
    name: String,
}

impl Machine {
    /// What runs on it, best first: the instruction sets the compiler knows and this processor, or qemu's, has.
    pub fn targets(self) -> Vec<&'static Target> {
        let available = |target: &&&Target| match self {
            Self::Host => ncnnc::InstructionSet::ALL.iter().any(|set| set.name() == target.name && set.is_available()),
            Self::Aarch64 => matches!(target.architecture, Architecture::Aarch64 | Architecture::Any),
        };
        TARGETS.iter().filter(available).copied().collect()
    }

    fn cargo(self, command: &str, folder: &Path, profile: Profile) -> Command {
        let mut cargo = match self {
            Self::Host => Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into())),
            Self::Aarch64 => Command::new(workspace().join(".ci/aarch64")),
        };
        cargo.env("CARGO_TARGET_DIR", compiled().join("target")).env("NCNNC_AARCH64_TIMEOUT", TIME_LIMIT);
        cargo.args([command, "--quiet", "--offline", "--manifest-path"]).arg(folder.join("Cargo.toml"));
        if profile == Profile::Release {
            cargo.arg("--release");
        }
        cargo
    }
}

/// The folder of all crates.
fn compiled() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    // target/debug/deps/test
    test.ancestors().nth(3).expect("cargo puts tests into a folder of the target directory").join("compiled")
}

impl Crate {
    /// Generates and builds a crate; a group becomes a program under its number.
    ///
    /// # Panics
    ///
    /// When cargo fails.
    pub fn build(name: &str, machine: Machine, profile: Profile, groups: &[Group]) -> Self {
        let folder = compiled().join(format!("{machine:?}_{name}").to_lowercase());
        let root = workspace().display();
        let mut manifest = format!(
            "[package]\nname = \"compiled_{name}\"\nedition = \"2024\"\nautobins = false\n[workspace]\n\
             [dependencies]\nncnnc.path = \"{root}/runtime\"\n\
             [profile.dev]\ndebug = false\nincremental = false\n"
        );
        for (number, group) in groups.iter().enumerate() {
            write!(manifest, "[[bin]]\nname = \"{name}_{number}\"\npath = \"{number}/main.rs\"\n").expect("text grows");
            write_program(&folder.join(number.to_string()), group);
        }
        write(&folder.join("Cargo.toml"), manifest.as_bytes());
        // The versions that the workspace has, which are there when there is no network.
        std::fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).expect("the workspace has a lock");
        let output = machine.cargo("build", &folder, profile).output().expect("cargo can be started");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: cargo build: {}\n{errors}", folder.display(), output.status);
        Self { machine, profile, folder, name: name.to_string() }
    }

    /// Runs one program; gives for each run the values of all outputs, network by network, for [`shaped`].
    ///
    /// # Panics
    ///
    /// When the program fails, with the run and the network that were at work.
    pub fn run(&self, number: usize, runs: &[Run]) -> Vec<Vec<Value>> {
        let folder = self.folder.join(number.to_string());
        let names: Vec<String> =
            runs.iter().map(|run| format!("{}:{}:{}", run.set, run.threads, run.repeats)).collect();
        let mut command = self.machine.cargo("run", &self.folder, self.profile);
        command.arg("--bin").arg(format!("{}_{number}", self.name)).arg("--").arg(&folder).args(&names);
        let output = command.output().expect("cargo can be started");
        let errors = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = errors.lines().rev().take(4).collect();
        assert!(output.status.success(), "{}: {}: {last:#?}", folder.display(), output.status);
        names.iter().map(|name| read_values(&folder.join(name))).collect()
    }
}

fn write_program(folder: &Path, group: Group) {
    let (mut code, mut units) = (include_str!("generated/main.rs").to_string(), String::new());
    let mut inputs = Vec::new();
    for (number, (name, planned)) in group.iter().enumerate() {
        let mut programs = planned.compiled.programs.clone();
        programs.iter_mut().for_each(|(_, program)| rename_ports(program));
        let constants = format!("{number}.constants");
        write(&folder.join(&constants), &pack(&programs));
        let module = Module {
            name: Ident::new("Network", Span::call_site()),
            visibility: quote!(pub),
            attributes: quote!(),
            facts: Vec::new(),
            constants: quote!(#constants),
            weights: Weights::Included,
            functions: &[],
            threads: 1,
            programs: &programs,
        };
        writeln!(code, "mod unit_{number} {{ {} {} }}", emit(&module), unit(&programs[0].1)).expect("text grows");
        writeln!(units, "    ({name:?}, unit_{number}::run),").expect("text grows");
        inputs.extend(planned.inputs.iter().flatten().flat_map(|word| word.to_le_bytes()));
    }
    writeln!(code, "static UNITS: &[(&str, Unit)] = &[\n{units}];").expect("text grows");
    write(&folder.join("main.rs"), code.as_bytes());
    write(&folder.join("inputs"), &inputs);
}

/// Ports get names that the code around the network can know.
fn rename_ports(program: &mut Program) {
    let ports = [(&mut program.inputs, "in"), (&mut program.outputs, "out")];
    for (ports, name) in ports {
        ports.iter_mut().enumerate().for_each(|(number, port)| port.name = format!("{name}{number}"));
    }
}

/// The function that runs a network.
fn unit(program: &Program) -> TokenStream {
    let arrays = program.inputs.iter().map(|_| quote!(super::array(inputs, &mut at)));
    let names: Vec<Ident> = (0..program.inputs.len()).map(|number| format_ident!("in{number}")).collect();
    let hidden: Vec<usize> = program.outputs.iter().filter_map(|port| port.extents).collect();
    let visible: Vec<usize> = (0..program.outputs.len()).filter(|number| !hidden.contains(number)).collect();
    let values = visible.iter().map(|number| match visible.len() {
        1 => quote!(result),
        _several => {
            let name = format_ident!("out{number}");
            quote!(result.#name)
        }
    });
    quote! {
        pub fn run(options: &::ncnnc::Options, inputs: &[u32], repeats: usize, outputs: &mut Vec<u32>) -> usize {
            let mut at = 0;
            #(let #names = #arrays;)*
            let mut network = Network::with_options(options);
            for _ in 1..repeats {
                network.run(#(#names),*);
            }
            let before = super::allocations();
            let result = network.run(#(#names),*);
            assert_eq!(super::allocations(), before, "a run allocates");
            #(super::Output::put(&#values, outputs);)*
            at
        }
    }
}

/// Writes a file, unless it is there with the same bytes: cargo goes by the time.
fn write(path: &Path, bytes: &[u8]) {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return;
    }
    let folder = path.parent().expect("a file lies in a folder");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn read_values(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    let mut values = Vec::new();
    while let Some(rank) = words.next() {
        let shape: Vec<usize> = words.by_ref().take(rank as usize).map(|extent| extent as usize).collect();
        let count = shape.iter().product();
        values.push(Value { shape, words: words.by_ref().take(count).collect() });
    }
    values
}

/// Gives the values of a network's outputs their shapes: a program knows its arrays flat.
pub fn shaped(plan: &Plan, values: &[Value]) -> Vec<Value> {
    assert_eq!(plan.graph.outputs.len(), values.len(), "the number of outputs");
    let shaped = |(output, value): (&Output, &Value)| match output.view.extents {
        Some(_) => value.clone(),
        None => Value { shape: output.view.shape.clone(), words: value.words.clone() },
    };
    plan.graph.outputs.iter().zip(values).map(shaped).collect()
}
