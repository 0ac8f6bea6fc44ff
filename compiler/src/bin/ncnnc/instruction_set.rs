//! Instruction sets by name.

use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::emit::object::{Platform, Triple};
use ncnnc_targets::{Architecture, TARGETS, Target};

/// The architecture this program runs on.
pub fn host_architecture() -> Architecture {
    match std::env::consts::ARCH {
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        _ => Architecture::Any,
    }
}

/// The instruction sets of an architecture, best first.
pub fn of(architecture: Architecture) -> Vec<&'static Target> {
    let fits = |target: &&&Target| target.architecture == architecture || target.architecture == Architecture::Any;
    TARGETS.iter().filter(fits).copied().collect()
}

/// A machine with only this instruction set: this one, if it is of that architecture.
pub fn platform(set: &Target) -> Platform {
    let triples = [Triple::host().to_string(), "x86_64-unknown-linux-gnu".into(), "aarch64-unknown-linux-gnu".into()];
    let has = |triple: &String| Platform::new(triple).and_then(|platform| platform.only(set.name)).ok();
    triples.iter().find_map(has).expect("every instruction set belongs to one of these")
}

/// The instruction set of this name.
///
/// # Errors
/// There is none.
pub fn named(name: &str) -> Result<&'static Target, Diagnostic> {
    ncnnc_targets::target(name).ok_or_else(|| {
        let names = TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        Diagnostic::error(format!("there is no instruction set `{name}`"))
            .code(Code::Machine)
            .hint(format!("there are {names}"))
    })
}
