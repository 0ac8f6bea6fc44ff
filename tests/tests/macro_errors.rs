//! What `include_model!` tells users of their mistakes, as `ui/*.stderr`.
//!
//! `TRYBUILD=overwrite cargo test -p ncnnc-tests --test macro_errors` writes these files anew.

use ncnnc_tests::shared::workspace;
use std::path::Path;

#[test]
fn mistakes_are_explained() {
    // Paths in the macro are relative to the crate, and the crate is one that trybuild makes.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder of cargo's");
    let models = target.join("tests/trybuild/ncnnc-tests/models");
    std::fs::create_dir_all(&models).expect("cargo's folder is writable");
    let ui = workspace().join("tests/ui");
    for entry in std::fs::read_dir(ui.join("models")).expect("the models are part of the tests") {
        let path = entry.expect("the folder is readable").path();
        std::fs::copy(&path, models.join(path.file_name().expect("it is a file"))).expect("it can be copied");
    }
    trybuild::TestCases::new().compile_fail(ui.join("*.rs"));
}
