//! Passes that don't change bits don't, and those that do stay within ncnn's tolerance.

mod lowered;

use lowered::{Lowered, lower, lower_case, read};
use ncnnc_compiler::graph::{Graph, Operation};
use ncnnc_compiler::mode::Mode;
use ncnnc_compiler::passes;
use ncnnc_compiler::plan::{Plan, Value, interpret};
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::compare::compare;
use ncnnc_tests::networks::{Network, benchmark, pretrained};
use ncnnc_tests::npy::{Tensor, Type};
use ncnnc_tests::shared::shared;
use std::collections::HashMap;

/// Multiply-adds of a network up to which it is interpreted three times over. `NCNNC_FULL=1` takes all.
const SMALL_NETWORK_MACS: u64 = 150_000_000;

/// The outputs' shapes and words, every NaN the same.
fn outputs(graph: &Graph, inputs: &[Vec<u32>]) -> Vec<Value> {
    let mut values = interpret(&Plan::new(graph.clone(), Mode::Strict), inputs);
    for word in values.iter_mut().flat_map(|value| &mut value.words) {
        if f32::from_bits(*word).is_nan() {
            *word = f32::NAN.to_bits();
        }
    }
    values
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

fn macs(graph: &Graph) -> u64 {
    graph.operations.iter().map(Operation::macs).sum()
}

#[test]
fn strict_passes_keep_every_bit_of_every_case() {
    let Some(folder) = shared("conformance/layers") else { return };
    let (mut checked, mut changed) = (0, 0);
    for case in read_cases(&folder, |_| true) {
        let Some(Lowered { graph, inputs }) = lower_case(&case) else { continue };
        let (after, _) = passed(&graph, Mode::Strict);
        changed += usize::from(after != graph);
        checked += 1;
        assert!(outputs(&graph, &inputs) == outputs(&after, &inputs), "{}:\n{graph}\nbecame\n{after}", case.id);
    }
    println!("{checked} cases, {changed} of them changed");
    assert!(checked > 0 && changed > 0);
}

#[test]
fn fast_passes_stay_within_the_tolerance_of_every_case() {
    let Some(folder) = shared("conformance/layers") else { return };
    let mut checked = 0;
    for case in read_cases(&folder, |_| true) {
        let Some(Lowered { graph, inputs }) = lower_case(&case) else { continue };
        let (after, _) = passed(&graph, Mode::Fast);
        let found = outputs(&after, &inputs);
        let named = |name: &String| {
            let at = after.outputs.iter().position(|output| output.name == *name).expect("asked for");
            let Value { shape, words } = found[at].clone();
            // ncnn's empty blobs have the shape `[0]`, whatever their rank.
            let shape = if words.is_empty() { vec![0] } else { shape };
            Tensor::new(&shape, Type::Float, words)
        };
        let tensors: Vec<Tensor> = case.outputs.iter().map(|output| named(&output.name)).collect();
        case.check(&tensors).expect("within the tolerance");
        checked += 1;
    }
    assert!(checked > 0);
}

/// The graph of a network; nothing where the compiler refuses it, which is for the conformance test to complain of.
fn lower_network(network: &Network) -> Option<Lowered> {
    let shapes = HashMap::from([(network.input.clone(), network.input_shape.clone())]);
    let names: Vec<String> = network.outputs.iter().map(|blob| blob.name.clone()).collect();
    let graph = lower(&network.name, &read(&network.param), &network.weights(), shapes, &names)?;
    Some(Lowered { graph, inputs: vec![network.input_tensor().words] })
}

fn check_network(network: &Network) -> bool {
    let Some(Lowered { graph, inputs }) = lower_network(network) else { return false };
    let full = std::env::var_os("NCNNC_FULL").is_some_and(|value| value == "1");
    if macs(&graph) > SMALL_NETWORK_MACS && !full {
        return false;
    }
    let (strict, what) = passed(&graph, Mode::Strict);
    let sizes = (graph.operations.len(), strict.operations.len());
    println!("{}: {} operations become {}: {what}", network.name, sizes.0, sizes.1);
    assert!(sizes.1 < sizes.0, "{}: a network always has something to fuse", network.name);
    assert!(outputs(&graph, &inputs) == outputs(&strict, &inputs), "{}: bits differ", network.name);
    let (fast, what) = passed(&graph, Mode::Fast);
    println!("{}: in fast mode {}: {what}", network.name, fast.operations.len());
    for (value, output) in outputs(&fast, &inputs).into_iter().zip(&fast.outputs) {
        let want = network.outputs.iter().find(|blob| blob.name == output.name).expect("asked for");
        let got = Tensor::new(&value.shape, Type::Float, value.words);
        compare(&got, &want.read(), want.tolerance)
            .unwrap_or_else(|problem| panic!("{}: {}: {problem}", network.name, want.name));
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
