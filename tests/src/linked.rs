//! Plans compiled as object files, linked with a C program that runs them.
//!
//! The program takes a way of running (`run` or `parallel`) and a file with all inputs; it writes every output, in the
//! order of the parameters, as it stands in memory.

use crate::planned::Planned;
use crate::shared::workspace;
use ncnnc_compiler::emit::object::{Network, Platform, Weights};
use ncnnc_compiler::kernel::Port;
use ncnnc_compiler::plan::Value;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

/// How long a program may run, in the form of timeout(1).
const TIME_LIMIT: &str = "10m";
/// What every C compiler has to say nothing about.
const WARNINGS: &[&str] = &["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];

/// A way to compile, link and run C programs for a machine.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Its name in file names.
    pub name: &'static str,
    /// The target triple.
    pub triple: &'static str,
    /// The only instruction set, if only one is to be compiled.
    pub only: Option<&'static str>,
    /// Where the weights are.
    pub weights: Weights,
    /// The C compiler with its first arguments.
    pub compiler: &'static [&'static str],
    /// What runs the machine's programs.
    pub runner: &'static [&'static str],
}

impl Toolchain {
    /// The platform to compile plans for.
    pub fn platform(&self) -> Platform {
        let platform = Platform::new(self.triple).expect("a known triple");
        match self.only {
            Some(set) => platform.only(set).expect("the architecture has it"),
            None => platform,
        }
    }
}

/// Plans under a name each that begins names in C.
pub type Group<'a> = &'a [(String, &'a Planned)];

/// The C program of a group.
pub struct Linked<'a> {
    group: Group<'a>,
    runner: &'static [&'static str],
    program: PathBuf,
    inputs: PathBuf,
}

impl<'a> Linked<'a> {
    /// Compiles and links a group's program.
    pub fn build(toolchain: &Toolchain, name: &str, group: Group<'a>) -> Self {
        let folder = workspace().join("target/linked").join(format!("{name}_{}", toolchain.name));
        std::fs::create_dir_all(&folder).expect("a folder under target");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            path
        };
        let platform = toolchain.platform();
        let (mut main, mut calls, mut objects, mut inputs) = (String::new(), String::new(), Vec::new(), Vec::new());
        let (mut arena, mut packed) = (0, 0);
        for (name, planned) in group {
            let network = network(name, planned, toolchain.weights);
            write(&format!("{name}.h"), network.header().as_bytes());
            objects.push(write(&format!("{name}.a"), &network.static_library(&platform)));
            arena = arena.max(network.arena_bytes());
            if toolchain.weights == Weights::External {
                packed = packed.max(network.weights().len());
                inputs.extend(network.weights());
            }
            inputs.extend(planned.inputs.iter().flatten().flat_map(|word| word.to_le_bytes()));
            main += &function(name, &network, toolchain.weights);
            writeln!(calls, "    run_{name}(ways);").expect("strings take any text");
        }
        main.insert_str(0, &format!("#define ARENA {arena}\n#define PACKED {packed}\n{PRELUDE}"));
        main += &format!("{MAIN}{calls}    return 0;\n}}\n");
        let main = write("main.c", main.as_bytes());
        let program = folder.join("main.exe");
        let mut command = Command::new(toolchain.compiler[0]);
        command.args(&toolchain.compiler[1..]).args(WARNINGS).arg("-o").arg(&program).arg(main).args(objects);
        let output = command.output().unwrap_or_else(|error| panic!("{:?}: {error}", toolchain.compiler));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?} failed:\n{errors}", toolchain.compiler);
        Self { group, runner: toolchain.runner, program, inputs: write("inputs", &inputs) }
    }

    /// Runs the program `run` or `parallel`; the outputs of every plan.
    pub fn run(&self, way: &str) -> Vec<Vec<Value>> {
        let mut command = Command::new("timeout");
        command.arg(TIME_LIMIT).args(self.runner).arg(&self.program).arg(way).arg(&self.inputs);
        let output = command.output().expect("timeout(1) starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {way} failed with {}: {errors}", self.program.display(), output.status);
        let mut words =
            output.stdout.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
        let values = self.group.iter().map(|(_, planned)| outputs(planned, &mut words)).collect();
        assert_eq!(words.next(), None, "every word belongs to an output");
        values
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

const PRELUDE: &str = r#"#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

static FILE *inputs;
static unsigned char memory[ARENA + 64];
#if PACKED
static unsigned char packed[PACKED + 64];
#endif

static void *aligned(unsigned char *bytes) {
    return bytes + (64u - (unsigned)((uintptr_t)bytes % 64u)) % 64u;
}

static void take(void *words, size_t count) {
    if (fread(words, 4, count, inputs) != count) exit(2);
}

static void give(const void *words, size_t count) {
    if (fwrite(words, 4, count, stdout) != count) exit(3);
}

/* Backwards, in pieces of three. */
#define PARALLEL_FOR(NAME) \
    static void NAME##_backwards(void *context, NAME##_task task, void *work, size_t tasks) { \
        size_t end = tasks; \
        *(size_t *)context += tasks; \
        while (end > 0) { \
            size_t begin = end < 3 ? 0 : end - 3; \
            task(work, begin, end); \
            end = begin; \
        } \
    }

"#;

const MAIN: &str = r#"int main(int count, char **arguments) {
    int ways;
    if (count != 3) return 4;
#ifdef _WIN32
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    ways = strcmp(arguments[1], "parallel") == 0;
    inputs = fopen(arguments[2], "rb");
    if (!inputs) return 5;
"#;

/// The C function that runs a network twice, in memory that holds anything.
fn function(name: &str, network: &Network, weights: Weights) -> String {
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
        add(format!("if (!{name}_check_weights(weights, {name}_WEIGHTS_BYTES)) exit(6);"));
        add(format!("if ({name}_check_weights(weights, {name}_WEIGHTS_BYTES + 4)) exit(7);"));
        add(format!("weights[{name}_WEIGHTS_BYTES / 2] ^= 1u;"));
        add(format!("if ({name}_WEIGHTS_BYTES && {name}_check_weights(weights, {name}_WEIGHTS_BYTES)) exit(8);"));
        add(format!("weights[{name}_WEIGHTS_BYTES / 2] ^= 1u;"));
    }
    text += &take;
    text += &format!(
        "    memset(memory, 255, sizeof memory);\n    for (round = 0; round < 2; round++) {{\n        \
         if (parallel) {name}_run_parallel({list}, {name}_backwards, &context);\n        \
         else {name}_run({list});\n    }}\n    if (parallel && context == 0) exit(9);\n{give}}}\n\n"
    );
    text
}
