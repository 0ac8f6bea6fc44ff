//! The example in `docs/c`, built with `make` and with CMake by this command, reads as many digits as the Rust example.

use std::path::{Path, PathBuf};
use std::process::Command;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/c")
}

/// Runs a command that must succeed; what it prints.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

const ANSWER: &str = "358 of 360 pictures are read right";

#[test]
#[ignore = "needs make and CMake, which `.ci/run` installs"]
fn make_builds_it() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    for file in ["Makefile", "digits.c"] {
        std::fs::copy(docs().join(file), folder.path().join(file)).expect("a copy");
    }
    let data = docs().join("../../runtime/examples/digits");
    let mut make = Command::new("make");
    make.arg("check").arg(format!("NCNNC={}", env!("CARGO_BIN_EXE_ncnnc"))).arg(format!("DATA={}", data.display()));
    let printed =
        output(make.arg("CFLAGS=-std=c99 -O2 -Wall -Wextra -Wpedantic -Wconversion -Werror").current_dir(&folder));
    assert!(printed.contains(ANSWER), "{printed}");
}

#[test]
#[ignore = "needs make and CMake, which `.ci/run` installs"]
fn cmake_builds_it() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(docs()).arg("-B").arg(folder.path());
    output(configure.arg(format!("-DNCNNC={}", env!("CARGO_BIN_EXE_ncnnc"))));
    output(Command::new("cmake").arg("--build").arg(folder.path()));
    let printed = output(Command::new("ctest").arg("--verbose").current_dir(folder.path()));
    assert!(printed.contains(ANSWER), "{printed}");
}
