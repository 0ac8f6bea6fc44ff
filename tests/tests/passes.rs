//! Passes that don't change bits don't, and those that do stay within ncnn's tolerance.
//!
//! Small networks always; `NCNNC_FULL=1` takes all.

use ncnnc_compiler::graph::Graph;
use ncnnc_compiler::mode::Mode;
use ncnnc_compiler::passes;
use ncnnc_compiler::plan::{Plan, interpret};
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::lowered::{Lowered, SMALL_NETWORK_MACS, known_case, lower_network, read_model};
use ncnnc_tests::networks::{Network, benchmark, pretrained};
use ncnnc_tests::planned::{named_outputs, same};
use ncnnc_tests::shared::{is_on, shared};

/// The plan of a graph as it is.
fn plan(graph: &Graph) -> Plan {
    Plan::new(graph.clone(), Mode::Strict)
}

/// Whether two graphs put out the same bits.
fn agree(a: &Graph, b: &Graph, inputs: &[Vec<u32>]) -> bool {
    let (a, b) = (interpret(&plan(a), inputs), interpret(&plan(b), inputs));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b))
}

/// The graph after the passes of a mode, and how often each of them did something.
fn passed(graph: &Graph, mode: Mode) -> (Graph, String) {
    let (graph, changes) = passes::run(graph.clone(), mode);
    let count = |name: &str| changes.iter().filter(|change| change.pass == name).count();
    let mut names: Vec<&str> = passes::PASSES.iter().map(|pass| pass.name).collect();
    names.sort_unstable();
    names.dedup();
    let text = names.iter().map(|name| format!("{name} {}", count(name))).collect::<Vec<_>>().join(", ");
    (graph, text)
}

#[test]
fn strict_passes_keep_every_bit_of_every_case() {
    let Some(folder) = shared("conformance/layers") else { return };
    let (mut checked, mut changed) = (0, 0);
    for case in read_cases(&folder, |_| true) {
        let Some(Lowered { graph, inputs }) = known_case(&case) else { continue };
        let (after, _) = passed(&graph, Mode::Strict);
        changed += usize::from(after != graph);
        checked += 1;
        assert!(agree(&graph, &after, &inputs), "{}:\n{graph}\nbecame\n{after}", case.id);
    }
    println!("{checked} cases, {changed} of them changed");
    assert!(checked > 0 && changed > 0);
}

#[test]
fn fast_passes_stay_within_the_tolerance_of_every_case() {
    let Some(folder) = shared("conformance/layers") else { return };
    let mut checked = 0;
    for case in read_cases(&folder, |_| true) {
        let Some(Lowered { graph, inputs }) = known_case(&case) else { continue };
        let (after, _) = passed(&graph, Mode::Fast);
        let plan = plan(&after);
        let found = interpret(&plan, &inputs);
        let tensors = named_outputs(&plan, &found, case.outputs.iter().map(|output| output.name.as_str()));
        case.check(&tensors).expect("within the tolerance");
        checked += 1;
    }
    assert!(checked > 0);
}

/// Whether the network was checked: the compiler knows its layers, and it is small enough.
fn check_network(network: &Network) -> bool {
    let names: Vec<String> = network.outputs.iter().map(|blob| blob.name.clone()).collect();
    let lowered = read_model(&network.name, &network.param).and_then(|model| lower_network(network, model, &names));
    // What the compiler refuses is for the conformance test to complain of.
    let Ok(lowered) = lowered else { return false };
    if lowered.macs() > SMALL_NETWORK_MACS && !is_on("NCNNC_FULL") {
        return false;
    }
    let Lowered { graph, inputs } = lowered;
    let (strict, what) = passed(&graph, Mode::Strict);
    let sizes = (graph.operations.len(), strict.operations.len());
    println!("{}: {} operations become {}: {what}", network.name, sizes.0, sizes.1);
    assert!(sizes.1 < sizes.0, "{}: a network always has something to fuse", network.name);
    assert!(agree(&graph, &strict, &inputs), "{}: bits differ", network.name);
    let (fast, what) = passed(&graph, Mode::Fast);
    println!("{}: in fast mode {}: {what}", network.name, fast.operations.len());
    let plan = plan(&fast);
    let tensors = named_outputs(&plan, &interpret(&plan, &inputs), names.iter().map(String::as_str));
    for (got, want) in tensors.iter().zip(&network.outputs) {
        want.check(got).unwrap_or_else(|problem| panic!("{}: {problem}", network.name));
    }
    true
}

#[test]
fn passes_keep_the_outputs_of_whole_networks() {
    let (Some(drawn), Some(trained)) = (shared("models/benchmark"), shared("models/pretrained")) else { return };
    let networks = benchmark(&drawn).into_iter().chain(pretrained(&trained));
    let checked = networks.filter(check_network).count();
    println!("{checked} networks");
    assert!(checked > 0);
}
