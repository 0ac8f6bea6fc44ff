//! Names the compiler's version, so that results kept from another version are not used.
//!
//! A released compiler is named by its version number; one that is being worked on, by the content of its sources.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut hasher = DefaultHasher::new();
    for folder in ["src", "../compiler/src", "../targets/src"] {
        println!("cargo::rerun-if-changed={folder}");
        add(Path::new(folder), &mut hasher);
    }
    println!("cargo::rustc-env=NCNNC_COMPILER={}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish());
}

/// Adds the files of a folder, if there is one: beside a released macro there is none.
fn add(path: &Path, hasher: &mut DefaultHasher) {
    if let Ok(entries) = std::fs::read_dir(path) {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().for_each(|path| add(path, hasher));
    } else if let Ok(bytes) = std::fs::read(path) {
        path.hash(hasher);
        bytes.hash(hasher);
    }
}
