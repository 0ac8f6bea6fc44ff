//! How long the macro keeps users waiting: resnet18 in a crate of its own, in the dev profile, whose macros are unoptimised.
//!
//! ```sh
//! cargo test -p ncnnc-tests --test macro_speed -- --ignored --nocapture
//! ```
//!
//! It builds the dependencies first, and takes the time of what follows: the first build, one after an edit of the code
//! around the model, which asks for the expansion again, as rust-analyzer does with every edit, and one after no edit.

use ncnnc_tests::networks::benchmark;
use ncnnc_tests::shared::{shared, workspace};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The first build beyond that of the dependencies.
const FIRST: Duration = Duration::from_secs(20);
/// Another one of a model that has not changed.
const AGAIN: Duration = Duration::from_secs(3);

const MAIN: &str = "\
ncnnc::include_model!(\"resnet18.param\");

fn main() {
    let image = [0.5; 3 * 224 * 224];
    println!(\"{:?}\", &Resnet18::new().run(&image)[..4]);
}
";

/// Runs cargo in a crate and gives the time it takes.
fn cargo(folder: &Path, arguments: &[&str]) -> Duration {
    let begin = Instant::now();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(arguments).args(["--quiet", "--offline"]).current_dir(folder);
    let status = cargo.env("CARGO_TARGET_DIR", folder.join("target")).status().expect("cargo can be started");
    assert!(status.success(), "cargo {arguments:?}: {status}");
    begin.elapsed()
}

#[test]
#[ignore = "measures time, for a machine that does nothing else"]
fn resnet18_is_built_quickly() {
    let Some(networks) = shared("models/benchmark") else { return };
    let networks = benchmark(&networks);
    let resnet = networks.iter().find(|network| network.name == "resnet18").expect("it is among them");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("macro_speed");
    // Nothing is left of an earlier run: the macro would find its results.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("src")).expect("cargo's folder is writable");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("cargo's folder is writable");
    let manifest = format!(
        "[package]\nname = \"user\"\nedition = \"2024\"\n[workspace]\n[dependencies]\nncnnc.path = \"{}/runtime\"\n",
        workspace().display()
    );
    write("Cargo.toml", manifest.as_bytes());
    write("src/main.rs", MAIN.as_bytes());
    write("resnet18.bin", &resnet.weights());
    fs::copy(&resnet.param, folder.join("resnet18.param")).expect("cargo's folder is writable");
    fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).expect("the workspace has a lock");
    let dependencies = cargo(&folder, &["build", "--package", "ncnnc"]);
    let first = cargo(&folder, &["build"]);
    write("src/main.rs", format!("{MAIN}// edited\n").as_bytes());
    let edited = cargo(&folder, &["build"]);
    let unchanged = cargo(&folder, &["build"]);
    println!(
        "dependencies {dependencies:.1?}, then {first:.1?}, after an edit {edited:.1?}, unchanged {unchanged:.1?}"
    );
    cargo(&folder, &["run"]);
    assert!(first < FIRST && edited < AGAIN && unchanged < AGAIN, "{first:?}, {edited:?}, {unchanged:?}");
}
