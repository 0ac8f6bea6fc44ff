//! Keeps the README's table of layers and targets what the tables in the code say.

use ncnnc_compiler::ops::OPERATORS;
use ncnnc_targets::TARGETS;
use ncnnc_tests::shared::workspace;

const BEGIN: &str = "<!-- layers: written by `NCNNC_BLESS=1 cargo test -p ncnnc-tests --test readme` -->\n";
const END: &str = "<!-- /layers -->";

fn table() -> String {
    let mut text = String::from("| target | vectors | needs |\n|---|---|---|\n");
    for target in TARGETS {
        let needs = if target.features.is_empty() { "nothing".to_string() } else { target.features.join(", ") };
        text += &format!("| `{}` | {} x {} lanes | {needs} |\n", target.name, target.vector_registers, target.lanes);
    }
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    text += &format!("\n| layer | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for operator in OPERATORS {
        text += &format!("| {} |{}\n", operator.kind, " yes |".repeat(names.len()));
    }
    text
}

#[test]
fn the_table_of_layers_and_targets_is_fresh() {
    let path = workspace().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("the README");
    let begin = readme.find(BEGIN).expect("the table's beginning") + BEGIN.len();
    let end = readme.find(END).expect("the table's end");
    if std::env::var_os("NCNNC_BLESS").is_some() {
        let fresh = format!("{}{}{}", &readme[..begin], table(), &readme[end..]);
        std::fs::write(&path, fresh).expect("writing the README");
        return;
    }
    assert_eq!(&readme[begin..end], table(), "write it anew with NCNNC_BLESS=1");
}
