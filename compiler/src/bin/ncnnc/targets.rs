//! `ncnnc targets`: the machines, instruction sets and layers there are.

use crate::console::{Console, Done};
use crate::machine::PROCESSORS;
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
    PROCESSORS.iter().filter(|(_, set)| *set == target.name).map(|(name, _)| *name).collect()
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
    for target in TARGETS.iter().filter(|target| !processors(target).is_empty()) {
        text += &format!("--target-cpu for {}: {}\n", target.name, processors(target).join(" "));
    }
    text + "\n" + &table(&[Column::Words("verified triple"), Column::Words("how")], verified())
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
