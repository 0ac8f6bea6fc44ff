//! Emits the programs of `src/programs.rs` as Rust, for `tests/emitted.rs` to run.

use ncnnc_compiler::emit::rust::{Module, Weights, emit, pack};
use proc_macro2::{Ident, Span};
use quote::quote;
use std::path::Path;

#[path = "src/programs.rs"]
mod programs;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/programs.rs");
    println!("cargo::rerun-if-changed=src/doubles.rs");
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    let mut code = String::new();
    for (name, program) in programs::all() {
        let programs = [(ncnnc_targets::target("portable").expect("it is in the table"), program)];
        let file = Path::new(&folder).join(format!("{name}.constants"));
        std::fs::write(&file, pack(&programs)).expect("cargo's folder is writable");
        let file = file.to_str().expect("cargo's folder is text");
        let module = Module {
            name: Ident::new(name, Span::call_site()),
            visibility: quote!(pub),
            attributes: quote!(#[doc = "A program built by hand."]),
            facts: Vec::new(),
            constants: quote!(#file),
            weights: Weights::Included,
            functions: &[],
            threads: 1,
            programs: &programs,
        };
        code.push_str(&emit(&module).to_string());
        code.push('\n');
    }
    std::fs::write(Path::new(&folder).join("emitted.rs"), code).expect("cargo's folder is writable");
}
