//! Dependencies point one way: among the crates, and among the compiler's modules.

use ncnnc_tests::shared::workspace;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Who may use whom, lowest first: the names, and what they may use besides each other. Each row uses only rows above it.
type Layers = [(&'static [&'static str], &'static [&'static str])];

/// The crates. What stands below `ncnnc` is for those who build or test with it.
const CRATES: &Layers = &[
    (&["ncnnc-targets"], &[]),
    (&["ncnnc-compiler"], &["ncnnc-targets"]),
    (&["ncnnc-macros"], &["ncnnc-targets", "ncnnc-compiler"]),
    (&["ncnnc"], &["ncnnc-macros"]),
    (&["classify"], &["ncnnc-compiler", "ncnnc"]),
    (&["ncnnc-tests"], &["ncnnc-targets", "ncnnc-compiler", "ncnnc"]),
    (&["ncnnc-speed"], &["ncnnc-compiler", "ncnnc", "ncnnc-tests"]),
];

/// The compiler's modules. First the words everything is said in, then the stages in the order data takes; the language
/// of kernels knows none of the stages that write it. A function is defined by expressions, and expressions call
/// functions: the two are one layer.
const MODULES: &Layers = &[
    (&["ncnnc_targets"], &[]),
    (&["bytes"], &[]),
    (&["diagnostic"], &[]),
    (&["pattern"], &["diagnostic"]),
    (&["mode"], &["pattern"]),
    (&["budget"], &[]),
    (&["format"], &[]),
    (&["precision"], &["diagnostic", "format", "pattern"]),
    (&["instruction"], &[]),
    (&["expression", "function"], &["instruction"]),
    (&["kernel"], &["instruction", "format", "expression"]),
    (&["ncnn"], &["bytes", "diagnostic"]),
    (&["graph"], &["mode", "format", "expression"]),
    (&["recipe"], &["instruction", "expression", "function", "graph"]),
    (&["ops"], &["diagnostic", "expression", "function", "ncnn", "graph"]),
    (&["passes"], &["mode", "instruction", "expression", "function", "graph", "recipe"]),
    (&["plan"], &["bytes", "mode", "format", "instruction", "expression", "function", "graph", "recipe"]),
    (&["schedule"], &["ncnnc_targets", "instruction", "format", "expression", "kernel", "graph", "recipe", "plan"]),
    (&["emit"], &["ncnnc_targets", "bytes", "diagnostic", "instruction", "format", "kernel"]),
    (
        &["compile"],
        &[
            "ncnnc_targets",
            "diagnostic",
            "pattern",
            "mode",
            "format",
            "precision",
            "kernel",
            "ncnn",
            "graph",
            "ops",
            "passes",
            "plan",
            "schedule",
        ],
    ),
    (&["lock"], &["diagnostic", "budget", "precision", "plan", "compile"]),
    (
        &["verify"],
        &[
            "diagnostic",
            "mode",
            "budget",
            "format",
            "precision",
            "ncnn",
            "graph",
            "ops",
            "passes",
            "plan",
            "compile",
            "lock",
        ],
    ),
    (
        &["door"],
        &["ncnnc_targets", "diagnostic", "mode", "budget", "format", "graph", "plan", "ops", "emit", "compile", "lock"],
    ),
    (&["build"], &["ncnnc_targets", "diagnostic", "mode", "budget", "format", "precision", "ops", "compile", "door"]),
];

/// What a table lets a name use; nothing when the name isn't there.
fn allowed(layers: &Layers, name: &str) -> Option<BTreeSet<&'static str>> {
    let (names, uses) = layers.iter().find(|(names, _)| names.contains(&name))?;
    Some(names.iter().chain(uses.iter()).copied().collect())
}

/// What is wrong with a table or with what is used, a line each.
fn problems(layers: &Layers, used: &[(String, BTreeSet<String>)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (row, (names, uses)) in layers.iter().enumerate() {
        let above: Vec<&str> = layers[..row].iter().flat_map(|(names, _)| names.iter().copied()).collect();
        let upwards = uses.iter().filter(|name| !above.contains(name));
        problems
            .extend(upwards.map(|name| format!("the table lets {} use {name}, which is not above", names.join(", "))));
    }
    for (name, uses) in used {
        let Some(allowed) = allowed(layers, name) else {
            problems.push(format!("{name} is not in the table"));
            continue;
        };
        let strangers = uses.iter().filter(|other| !allowed.contains(other.as_str()));
        problems.extend(strangers.map(|other| format!("{name} uses {other}")));
    }
    problems
}

/// Every Rust file in a folder and below.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry of the folder").path()) {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The name at the beginning of a text.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The top-level modules a file uses, by paths from the crate's root or by going up to it; `depth` is how many modules
/// the file's own one is below the root.
fn modules_used(text: &str, depth: usize, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    for (at, root) in code.match_indices("crate::") {
        let rest = &code[at + root.len()..];
        // `use crate::{a::B, c::D}` names its modules at the beginning and after every comma of the outermost braces.
        match rest.strip_prefix('{') {
            None => used.extend([name(rest).to_string()]),
            Some(list) => {
                let mut level = 0;
                let whole = list.split_inclusive(|c| "{},".contains(c)).take_while(|part| {
                    let open = level >= 0;
                    level += part.matches('{').count() as i64 - part.matches('}').count() as i64;
                    open
                });
                used.extend(whole.map(|part| name(part.trim()).to_string()).filter(|name| modules.contains(name)));
            }
        }
    }
    let upwards = "super::".repeat(depth);
    used.extend(
        code.match_indices(&upwards)
            .map(|(at, _)| name(&code[at + upwards.len()..]).to_string())
            .filter(|name| modules.contains(name)),
    );
    if code.contains("ncnnc_targets") {
        used.insert("ncnnc_targets".to_string());
    }
    used
}

#[test]
fn modules_use_only_what_is_below_them() {
    let folder = workspace().join("compiler/src");
    let root = read(&folder.join("lib.rs"));
    let modules: BTreeSet<String> = root
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_string)
        .collect();
    assert!(modules.contains("plan"), "the root names its modules: {modules:?}");
    let mut used: Vec<(String, BTreeSet<String>)> =
        modules.iter().map(|module| (module.clone(), BTreeSet::new())).collect();
    let files = sources(&folder);
    for file in &files {
        let inside = file.strip_prefix(&folder).expect("the file is in the folder").with_extension("");
        let path: Vec<&str> =
            inside.iter().map(|part| part.to_str().expect("plain names")).filter(|part| *part != "mod").collect();
        // Programs use the crate as any other does.
        if path == ["lib"] || path[0] == "bin" {
            continue;
        }
        let (_, uses) = used.iter_mut().find(|(module, _)| module == path[0]).expect("a module of the root");
        uses.extend(modules_used(&read(file), path.len(), &modules));
    }
    println!("{} files in {} modules", files.len(), modules.len());
    let problems = problems(MODULES, &used);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What the manifest in a folder calls its crate, and those of the workspace's crates that it depends on in any way.
fn manifest(folder: &Path) -> (String, BTreeSet<String>) {
    let text = read(&folder.join("Cargo.toml"));
    let mut section = "";
    let (mut package, mut uses) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        }
        let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if section == "package" && key == "name" {
            package = line.split('"').nth(1).expect("a name in quotes").to_string();
        }
        if section.ends_with("dependencies") && (key == "ncnnc" || key.starts_with("ncnnc-")) {
            uses.insert(key.to_string());
        }
    }
    (package, uses)
}

#[test]
fn crates_use_only_what_is_below_them() {
    let text = read(&workspace().join("Cargo.toml"));
    let line = text.lines().find(|line| line.starts_with("members")).expect("a list of members on one line");
    let used: Vec<_> = line.split('"').skip(1).step_by(2).map(|member| manifest(&workspace().join(member))).collect();
    println!("{} crates", used.len());
    let (_, uses) = used.iter().find(|(name, _)| name == "ncnnc-macros").expect("the macro's crate is a member");
    assert!(uses.contains("ncnnc-compiler"), "the macro calls the compiler: {uses:?}");
    let problems = problems(CRATES, &used);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn what_points_the_wrong_way_is_found() {
    let modules: BTreeSet<String> = ["kernel", "graph", "plan"].map(str::to_string).into();
    let found = |text: &str, depth| modules_used(text, depth, &modules).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(found("use crate::plan::Plan;\n// use crate::graph::Graph;", 1), "plan");
    assert_eq!(found("use crate::{graph::{Nest, Axis}, plan::Plan};\nuse kernel::x;", 1), "graph plan");
    assert_eq!(found("fn f() -> crate::graph::Nest {}", 2), "graph");
    assert_eq!(found("use super::plan::Plan;", 1), "plan");
    assert_eq!(found("use super::plan::Plan;", 2), "", "a module of its own");
    assert_eq!(found("fn f(target: &ncnnc_targets::Target) {}", 2), "ncnnc_targets");
    let used = [("kernel".to_string(), ["plan".to_string()].into()), ("other".to_string(), BTreeSet::new())];
    assert_eq!(problems(MODULES, &used), ["kernel uses plan", "other is not in the table"]);
    let upside_down: &Layers = &[(&["kernel"], &["plan"]), (&["plan"], &[])];
    assert_eq!(problems(upside_down, &[]), ["the table lets kernel use plan, which is not above"]);
}
