//! `ncnnc targets`: the machines, instruction sets and layers there are.

use crate::console::{Console, Done};
use crate::processors::PROCESSORS;
use crate::table::{Column, table};
use ncnnc_compiler::emit::object::VERIFIED;
use ncnnc_compiler::ops::OPERATORS;
use ncnnc_targets::{Architecture, TARGETS, Target};
use serde_json::{Value, json};

/// Lists the instruction sets, processors and verified triples that models can be compiled for
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ncnnc targets\n  ncnnc targets --layers")]
pub struct Arguments {
    /// List the layer types instead
    #[arg(long)]
    layers: bool,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    if arguments.layers {
        let kinds = || OPERATORS.iter().map(|operator| operator.kind);
        return console.result(|| kinds().map(|kind| format!("{kind}\n")).collect(), || kinds().collect());
    }
    console.result(sets_text, || TARGETS.iter().map(value).chain(triples()).collect())
}

fn processors(target: &Target) -> Vec<&'static str> {
    PROCESSORS.iter().filter(|row| row.set == target.name).flat_map(|row| row.names).copied().collect()
}

fn architecture(target: &Target) -> &'static str {
    match target.architecture {
        Architecture::Any => "any",
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "aarch64",
    }
}

fn sets_text() -> String {
    let columns = [
        Column::Words("instruction set"),
        Column::Words("architecture"),
        Column::Words("vectors"),
        Column::Words("features"),
    ];
    let rows = TARGETS.iter().map(|target| {
        let vectors = format!("{} x {} lanes", target.vector_registers, target.lanes);
        vec![target.name.into(), architecture(target).into(), vectors, target.features.join(" ")]
    });
    let mut text = table(&columns, rows) + "\n";
    text += "--target-cpu takes `native`, which is this machine's processor, or one of rustc's names:\n";
    for target in TARGETS {
        text += &wrapped(&format!("{}: {}", target.name, processors(target).join(" ")));
    }
    text += "--target-feature takes rustc's names as +NAME or -NAME; those above make a difference, by whether a set has all \
             it needs\n\n";
    text + &table(&[Column::Words("verified triple"), Column::Words("how")], verified())
}

/// Words in indented lines, the first one further out.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    let (mut lines, mut line) = (String::new(), " ".to_string());
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            lines += &format!("{line}\n");
            line = "   ".to_string();
        }
        line += &format!(" {word}");
    }
    format!("{lines}{line}\n")
}

fn verified() -> impl Iterator<Item = Vec<String>> {
    VERIFIED.iter().map(|(triple, how)| vec![(*triple).into(), (*how).into()])
}

fn triples() -> impl Iterator<Item = Value> {
    VERIFIED.iter().map(|(triple, how)| json!({ "triple": triple, "verified": how }))
}

fn value(target: &&'static Target) -> Value {
    json!({
        "instruction_set": target.name,
        "architecture": architecture(target),
        "lanes": target.lanes,
        "vector_registers": target.vector_registers,
        "features": target.features,
        "processors": processors(target),
    })
}
