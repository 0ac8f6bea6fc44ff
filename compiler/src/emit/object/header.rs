//! The C header of a network: a pure function of its programs.

use super::{ALIGNMENT, Interface, Network, Weights};
use crate::kernel::Port;
use std::collections::HashSet;
use std::fmt::Write;

/// A parameter of the functions users call.
struct Parameter<'a> {
    /// `input_in0`, `output_prob`, `output_prob_extents`.
    name: String,
    port: &'a Port,
    is_input: bool,
    what: String,
}

/// The header.
pub(super) fn header(network: &Network) -> String {
    let (name, parameters) = (network.name, parameters(network));
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line(&format!(
        "/* {name}: a neural network compiled by ncnnc. Generated; changes are lost.\n   \
         The object file beside it needs nothing: no C library, no allocator, no start-up code. */"
    ));
    // Names that differ in case only are two networks.
    let guard = format!("NCNNC_{name}_H");
    line(&format!("#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n#include <stdint.h>\n"));
    line("#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    line("/* The compiler's version, and the hash of the model's files and the options it was compiled with. */");
    line(&format!("#define {name}_COMPILER_VERSION \"{}\"", env!("CARGO_PKG_VERSION")));
    line(&format!("#define {name}_MODEL_HASH \"{:032x}\"\n", network.hash));
    line(
        "/* The memory a network works in. Its contents may be anything before the first run, and are nobody else's between\n   \
          runs. Threads that run the network at the same time need an arena each. */",
    );
    line(&format!("#define {name}_ARENA_BYTES {}u", network.arena_bytes()));
    line(&format!("#define {name}_ARENA_ALIGNMENT {ALIGNMENT}u\n"));
    if network.weights == Weights::External {
        line(
            "/* The packed weights: the file written beside the object, as it is, wherever it is brought into memory. */",
        );
        line(&format!("#define {name}_WEIGHTS_BYTES {}u", network.weights_bytes()));
        line(&format!("#define {name}_WEIGHTS_ALIGNMENT {ALIGNMENT}u\n"));
    }
    for parameter in &parameters {
        line(&constants(name, parameter));
    }
    if network.weights == Weights::External {
        line(&format!(
            "/* 1 when these are the network's weights, whole and aligned; otherwise 0. With others of this size and alignment the\n   \
             functions below compute something else, but stay within their buffers. */\n\
             int {name}_check_weights(const void *weights, size_t bytes);\n"
        ));
    }
    let list = list(network, &parameters);
    line(&format!(
        "/* Runs the network. Nothing can fail, nothing is allocated, and no global is written.\n   \
         Arrays are dense and row-major, aligned as their elements are; outputs overlap nothing.\n   \
         Floating-point numbers must be rounded to nearest and subnormal ones kept, which is how programs start. */\n\
         void {name}_run({list});\n"
    ));
    line(&format!(
        "/* A part of the work: the tasks from `begin` up to `end`, which is not among them. */\n\
         typedef void (*{name}_task)(void *work, size_t begin, size_t end);\n\n\
         /* A function of yours. Calls task(work, begin, end) for ranges that make up 0..tasks, each task once, in any order and\n   \
         on any threads, and returns when all are done. It is called once for every step of the network, one after the other;\n   \
         many steps have one task. Neither it nor a task may be left by longjmp or an exception. */\n\
         typedef void (*{name}_parallel_for)(void *context, {name}_task task, void *work, size_t tasks);\n\n\
         /* The same network on several threads, with the same bits. The context is handed to your function. */\n\
         void {name}_run_parallel({list}, {name}_parallel_for parallel_for, void *context);\n"
    ));
    line(&format!("#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {guard} */"));
    text
}

/// What users hand over beside the arena and the weights.
fn parameters<'a>(network: &'a Network) -> Vec<Parameter<'a>> {
    let mut taken = HashSet::new();
    let inputs = network.inputs().iter().map(|port| Parameter {
        name: unique(format!("input_{}", identifier(&port.name)), &mut taken),
        port,
        is_input: true,
        what: format!("Input `{}`", comment(&port.name)),
    });
    let mut parameters: Vec<Parameter> = inputs.collect();
    let ports = network.outputs();
    for number in Interface::new(network).outputs {
        let owner = ports.iter().find(|port| port.extents == Some(number));
        let port = &ports[number];
        let (name, what) = match owner {
            None => (format!("output_{}", identifier(&port.name)), format!("Output `{}`", comment(&port.name))),
            Some(owner) => (
                format!("output_{}_extents", identifier(&owner.name)),
                format!("The extents that output `{}` actually has", comment(&owner.name)),
            ),
        };
        parameters.push(Parameter { name: unique(name, &mut taken), port, is_input: false, what });
    }
    parameters
}

/// The letters, digits and underscores of a blob's name.
fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The name as it can stand in a comment.
fn comment(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() && !"*/\\?".contains(c) { c } else { '_' }).collect()
}

/// The name, with a number behind it if another one is the same.
fn unique(name: String, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.expect("there are more numbers than parameters");
    taken.insert(free.clone());
    free
}

fn element(port: &Port) -> &'static str {
    if port.integer { "int32_t" } else { "float" }
}

/// The constants of a parameter.
fn constants(name: &str, parameter: &Parameter) -> String {
    let Parameter { name: own, port, what, .. } = parameter;
    let extents: Vec<String> = port.shape.iter().map(usize::to_string).collect();
    let (shape, most) = (extents.join(" x "), if port.extents.is_some() { " at most" } else { "" });
    let mut text = format!("/* {what}: {shape} of {}{most}", element(port));
    if port.extents.is_some() {
        write!(text, ", packed densely by its actual extents").expect("strings take any text");
    }
    let count: usize = port.shape.iter().product();
    let rank = port.shape.len();
    write!(
        text,
        ". */\n#define {name}_{own}_COUNT {count}u\n#define {name}_{own}_RANK {rank}\n#define {name}_{own}_SHAPE {{{}}}\n",
        extents.join(", ")
    )
    .expect("strings take any text");
    text
}

/// The parameters in C.
fn list(network: &Network, parameters: &[Parameter]) -> String {
    let weights = (network.weights == Weights::External).then(|| "const void *weights".to_string());
    let ports = parameters.iter().map(|Parameter { name, port, is_input, .. }| {
        format!("{}{} *{name}", if *is_input { "const " } else { "" }, element(port))
    });
    let list: Vec<String> = ["void *arena".to_string()].into_iter().chain(weights).chain(ports).collect();
    list.join(", ")
}
