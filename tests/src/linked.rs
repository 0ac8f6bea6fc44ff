//! Plans compiled as object files, linked with a C program that runs them.
//!
//! The program takes a way of running (`run` or `parallel`) and a file with all inputs; it writes every output, in the
//! order of the parameters, as it stands in memory.

mod image;
mod pc;

use crate::planned::Planned;
use crate::shared::workspace;
use ncnnc_compiler::emit::object::{Network, Platform, Weights};
use ncnnc_compiler::kernel::Port;
use ncnnc_compiler::plan::Value;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long a program may run, in the form of timeout(1).
const TIME_LIMIT: &str = "10m";
/// What every C compiler has to say nothing about.
const WARNINGS: &[&str] = &["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];

/// A command with its first arguments.
pub type CommandLine = &'static [&'static str];

/// A way to compile, link and run C programs for a machine.
#[derive(Clone, Copy, Debug)]
pub struct Toolchain {
    /// Its name in file names.
    pub name: &'static str,
    /// The target triple.
    pub triple: &'static str,
    /// The only instruction set, if only one is to be compiled.
    pub only: Option<&'static str>,
    /// Where the weights are.
    pub weights: Weights,
    /// How networks get into the program.
    pub link: Link,
    /// Whether the program has a C library.
    pub hosted: bool,
    /// The C compiler.
    pub compiler: CommandLine,
    /// What runs the machine's programs.
    pub runner: CommandLine,
}

/// How networks get into a program.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// From a static library each.
    Static,
    /// This linker makes a shared library of all objects, which the program loads.
    Shared(CommandLine),
    /// This linker makes a library of all objects for a system that can't be run here, and its image becomes part of the
    /// program.
    Image(CommandLine),
}

impl Toolchain {
    /// Programs of this machine, where it is one.
    pub const X86_64: Self = Self {
        name: "x86_64_linux_gnu",
        triple: "x86_64-unknown-linux-gnu",
        only: None,
        weights: Weights::Included,
        link: Link::Static,
        hosted: true,
        compiler: &["cc"],
        runner: &[],
    };
    /// Programs of another, emulated.
    pub const AARCH64: Self = Self {
        name: "aarch64_linux_gnu",
        triple: "aarch64-unknown-linux-gnu",
        compiler: &["aarch64-linux-gnu-gcc"],
        runner: &["qemu-aarch64"],
        ..Self::X86_64
    };

    /// The platform to compile plans for.
    pub fn platform(&self) -> Platform {
        let platform = Platform::new(self.triple).expect("a known triple");
        match self.only {
            Some(set) => platform.only(set).expect("the architecture has it"),
            None => platform,
        }
    }

    /// How objects are verified with it, as users are told.
    pub fn how(&self) -> String {
        let (linked, run) = match self.link {
            Link::Static if self.hosted => ("with a C program, which is run", ""),
            Link::Static => ("with a C program without a C library, which is run", ""),
            Link::Shared(_) => ("as a library, which is run", " on Linux"),
            Link::Image(_) => ("as a library, whose image is run", " on Linux"),
        };
        let under = match self.runner.first() {
            None => "",
            Some(runner) if runner.starts_with("qemu") => " under qemu",
            Some(_) => " under wine",
        };
        format!("linked {linked}{run}{under}")
    }

    /// What the C program is linked with, made of a group's objects; `folder` is for files.
    fn link(&self, folder: &Path, networks: &[Network]) -> Vec<PathBuf> {
        let platform = self.platform();
        let write = |network: &Network, ending: &str, bytes: &[u8]| {
            write(folder, &format!("{}.{ending}", network.name()), bytes)
        };
        let objects = || networks.iter().map(|network| write(network, "o", &network.object(&platform)));
        match self.link {
            Link::Static => {
                networks.iter().map(|network| write(network, "a", &network.static_library(&platform))).collect()
            }
            Link::Shared(linker) => vec![linked(linker, objects().collect(), folder.join("libnetworks.so"), &[])],
            Link::Image(linker) => {
                let exports: Vec<String> = match linker[0] {
                    "lld-link" => networks.iter().flat_map(exports).collect(),
                    _others_export_all => Vec::new(),
                };
                let library = linked(linker, objects().collect(), folder.join("networks.linked"), &exports);
                let library = std::fs::read(library).expect("the linker wrote it");
                let assembly = image::embed(&library, &folder.join("networks.image"));
                vec![self::write(folder, "image.s", assembly.as_bytes())]
            }
        }
    }
}

/// Writes a file; where it is.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// Runs a compiler or linker.
fn build(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{errors}");
}

/// The library that a linker makes of objects.
fn linked(linker: CommandLine, objects: Vec<PathBuf>, library: PathBuf, options: &[String]) -> PathBuf {
    let mut command = Command::new(linker[0]);
    command.args(&linker[1..]).args(options).args(objects);
    match linker[0] {
        "lld-link" => command.arg(format!("-out:{}", library.display())),
        _others => command.arg("-o").arg(&library),
    };
    build(&mut command);
    library
}

/// Options of Windows' linker that export what a network defines.
fn exports(network: &Network) -> Vec<String> {
    ["run", "run_parallel"].map(|function| format!("-export:{}_{function}", network.name())).to_vec()
}

/// Plans under a name each that begins names in C.
pub type Group<'a> = &'a [(String, &'a Planned)];

/// The C program of a group.
pub struct Linked<'a> {
    group: Group<'a>,
    runner: CommandLine,
    program: PathBuf,
    inputs: PathBuf,
    /// Locked for as long as the program may be run: tests that run at the same time and choose the same name wait.
    _folder: File,
}

impl<'a> Linked<'a> {
    /// Compiles and links a group's program.
    pub fn build(toolchain: &Toolchain, name: &str, group: Group<'a>) -> Self {
        let folder = workspace().join("target/linked").join(format!("{name}_{}", toolchain.name));
        std::fs::create_dir_all(&folder).expect("a folder under target");
        let lock = File::create(folder.join("lock")).expect("the folder is writable");
        lock.lock().expect("the file system has locks");
        let networks: Vec<Network> =
            group.iter().map(|(name, planned)| network(name, planned, toolchain.weights)).collect();
        let mut inputs = Vec::new();
        for (network, (name, planned)) in networks.iter().zip(group) {
            write(&folder, &format!("{name}.h"), network.header().as_bytes());
            if toolchain.weights == Weights::External {
                inputs.extend(network.weights());
            }
            inputs.extend(planned.inputs.iter().flatten().flat_map(|word| word.to_le_bytes()));
        }
        let inputs = write(&folder, "inputs", &inputs);
        let main = write(&folder, "main.c", main(toolchain, &networks, &inputs).as_bytes());
        let program = folder.join("main.exe");
        let mut command = Command::new(toolchain.compiler[0]);
        command.args(&toolchain.compiler[1..]).args(WARNINGS).arg("-o").arg(&program).arg(main);
        command.args(toolchain.link(&folder, &networks));
        if let Link::Shared(_) = toolchain.link {
            command.arg(format!("-Wl,-rpath,{}", folder.display()));
        }
        build(&mut command);
        Self { group, runner: toolchain.runner, program, inputs, _folder: lock }
    }

    /// Runs the program `run` or `parallel`; the outputs of every plan.
    pub fn run(&self, way: &str) -> Vec<Vec<Value>> {
        self.run_under(self.runner, way)
    }

    /// The same by another runner.
    pub fn run_under(&self, runner: CommandLine, way: &str) -> Vec<Vec<Value>> {
        let bytes = match runner {
            ["bochs", processor] => pc::run(&self.program, processor, way),
            _commands => self.output(runner, way),
        };
        let mut words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
        let values = self.group.iter().map(|(_, planned)| outputs(planned, &mut words)).collect();
        assert_eq!(words.next(), None, "every word belongs to an output");
        values
    }

    fn output(&self, runner: CommandLine, way: &str) -> Vec<u8> {
        let mut command = Command::new("timeout");
        command.arg(TIME_LIMIT).args(runner).arg(&self.program).arg(way).arg(&self.inputs);
        // Wine keeps its files here, says nothing, and offers to install nothing.
        let wine = workspace().join("target/linked/wine");
        command.env("WINEPREFIX", wine).env("WINEDEBUG", "-all").env("WINEDLLOVERRIDES", "mscoree,mshtml=");
        let output = command.output().expect("timeout(1) starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {way} failed with {}: {errors}", self.program.display(), output.status);
        output.stdout
    }
}

/// A plan's network.
pub fn network<'a>(name: &'a str, planned: &'a Planned, weights: Weights) -> Network<'a> {
    Network::new(name, &planned.compiled.programs, 0, weights).unwrap_or_else(|problems| panic!("{name}: {problems:?}"))
}

/// The outputs in the order of the parameters: extents stand behind the output they belong to.
fn in_order(ports: &[Port]) -> Vec<&Port> {
    let is_hidden = |number| ports.iter().any(|port: &Port| port.extents == Some(number));
    let visible = (0..ports.len()).filter(|number| !is_hidden(*number));
    visible.flat_map(|number| [Some(&ports[number]), ports[number].extents.map(|at| &ports[at])]).flatten().collect()
}

fn words(port: &Port) -> usize {
    port.shape.iter().product()
}

/// The values of a plan's outputs.
fn outputs(planned: &Planned, words: &mut impl Iterator<Item = u32>) -> Vec<Value> {
    let (_, program) = &planned.compiled.programs[0];
    let mut values: Vec<Value> = Vec::new();
    let mut open = false;
    for port in in_order(&program.outputs) {
        let taken: Vec<u32> = words.by_ref().take(self::words(port)).collect();
        assert_eq!(taken.len(), self::words(port), "the program writes the whole of {}", port.name);
        if open {
            let value = values.last_mut().expect("extents follow their output");
            value.shape = taken.iter().map(|extent| *extent as usize).collect();
            value.words.truncate(value.shape.iter().product());
            open = false;
        } else {
            values.push(Value { shape: port.shape.clone(), words: taken });
            open = port.extents.is_some();
        }
    }
    values
}

/// The C program of a group.
fn main(toolchain: &Toolchain, networks: &[Network], inputs: &Path) -> String {
    let arena = networks.iter().map(Network::arena_bytes).max().unwrap_or(0);
    let packed = match toolchain.weights {
        Weights::External => networks.iter().map(|network| network.weights().len()).max().unwrap_or(0),
        Weights::Included => 0,
    };
    let around = if toolchain.hosted { include_str!("linked/hosted.c") } else { include_str!("linked/freestanding.c") };
    let networks_around = include_str!("linked/networks.c");
    let inputs = inputs.display();
    let mut text = format!(
        "#define ARENA {arena}\n#define PACKED {packed}\n#define INPUTS \"{inputs}\"\n{around}\n{networks_around}"
    );
    let mut calls = String::new();
    for network in networks {
        text += &function(network, toolchain.weights);
        writeln!(calls, "    run_{}(parallel);", network.name()).expect("strings take any text");
    }
    text + &format!("static void run_all(int parallel) {{\n{calls}}}\n")
}

/// The C function that runs a network twice, in memory that holds anything.
fn function(network: &Network, weights: Weights) -> String {
    let name = network.name();
    let mut text = format!("#include \"{name}.h\"\nPARALLEL_FOR({name})\nstatic void run_{name}(int parallel) {{\n");
    let (inputs, outputs) = (network.inputs(), in_order(network.outputs()));
    let (mut take, mut give, mut list) = (String::new(), String::new(), String::from("arena"));
    let mut add = |line: String| text += &format!("    {line}\n");
    add("void *arena = aligned(memory);".to_string());
    add("size_t context = 0, round;".to_string());
    if weights == Weights::External {
        add("unsigned char *weights = (unsigned char *)aligned(packed);".to_string());
        list += ", weights";
    }
    let ports = inputs.iter().map(|port| (port, true)).chain(outputs.into_iter().map(|port| (port, false)));
    for (number, (port, is_input)) in ports.enumerate() {
        let (element, words) = (if port.integer { "int32_t" } else { "float" }, words(port));
        add(format!("static {element} p{number}[{words}];"));
        list += &format!(", p{number}");
        let (text, verb) = if is_input { (&mut take, "take") } else { (&mut give, "give") };
        text.push_str(&format!("    {verb}(p{number}, {words});\n"));
    }
    if weights == Weights::External {
        add(format!("take(weights, {name}_WEIGHTS_BYTES / 4);"));
        add(format!("if (!{name}_check_weights(weights, {name}_WEIGHTS_BYTES)) stop(6);"));
        add(format!("if ({name}_check_weights(weights, {name}_WEIGHTS_BYTES + 4)) stop(7);"));
        add(format!("weights[{name}_WEIGHTS_BYTES / 2] ^= 1u;"));
        add(format!("if ({name}_WEIGHTS_BYTES && {name}_check_weights(weights, {name}_WEIGHTS_BYTES)) stop(8);"));
        add(format!("weights[{name}_WEIGHTS_BYTES / 2] ^= 1u;"));
        add(format!("if ({name}_WEIGHTS_BYTES && {name}_check_weights(0, {name}_WEIGHTS_BYTES)) stop(10);"));
    }
    text += &take;
    text += &format!(
        "    memset(memory, 255, sizeof memory);\n    for (round = 0; round < 2; round++) {{\n        \
         if (parallel) {name}_run_parallel({list}, {name}_backwards, &context);\n        \
         else {name}_run({list});\n    }}\n    if (parallel && context == 0) stop(9);\n{give}}}\n\n"
    );
    text
}
