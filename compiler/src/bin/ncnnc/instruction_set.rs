//! Instruction sets by name.

use ncnnc_compiler::diagnostic::{Code, Diagnostic};
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
