//! The plan's interpreters against the outputs of the real ncnn, on single layers and on whole networks.
//!
//! Left out, and counted in what is printed: layers that are quantised (parameter 8 of the convolutions and inner
//! products, parameter 18 of Gemm, MultiHeadAttention and SDPA) and cases with an input that is never fed (the empty
//! cache of keys and values).

use ncnnc_compiler::graph::Graph;
use ncnnc_compiler::ncnn::{self, Layer, Model};
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Plan, interpret, interpret_real};
use ncnnc_tests::cases::{Case, read_cases};
use ncnnc_tests::networks::{Network, benchmark, pretrained};
use ncnnc_tests::npy::{Tensor, Type};
use ncnnc_tests::shared::shared;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::Instant;

/// Multiply-adds of a network up to which it is always interpreted: a second or two. `NCNNC_FULL=1` takes all.
const SMALL_NETWORK_MACS: u64 = 150_000_000;

fn is_quantised(layer: &Layer) -> bool {
    let parameter = match layer.kind.as_str() {
        "Gemm" | "MultiHeadAttention" | "SDPA" => 18,
        kind if kind.contains("onvolution") || kind == "InnerProduct" => 8,
        _ => return false,
    };
    layer.parameters.int(parameter, 0) != 0
}

fn is_known(model: &Model) -> bool {
    model.layers.iter().all(|layer| ops::operator(&layer.kind).is_some())
}

fn lower(
    model: &mut Model,
    bin: &[u8],
    shapes: HashMap<String, Vec<usize>>,
    outputs: &[String],
) -> Result<Graph, String> {
    let text = |problems: Vec<_>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    ops::read_weights(model, "weights.bin", bin).map_err(text)?;
    ops::lower(model, &shapes, outputs).map_err(text)
}

/// A way of carrying out a plan; gives shapes and values as floats' or integers' words.
type Interpreter = fn(&Plan, &[Vec<u32>]) -> Vec<(Vec<usize>, Vec<u32>)>;

fn in_words(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<(Vec<usize>, Vec<u32>)> {
    interpret(plan, inputs).into_iter().map(|value| (value.shape, value.words)).collect()
}

fn in_reals(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<(Vec<usize>, Vec<u32>)> {
    let word = |value: f64| (value as f32).to_bits();
    let values = interpret_real(plan, inputs).into_iter();
    values.map(|value| (value.shape, value.values.into_iter().map(word).collect())).collect()
}

/// The outputs of these names. ncnn's empty blobs have the shape `[0]`, whatever their rank.
fn tensors(plan: &Plan, values: Vec<(Vec<usize>, Vec<u32>)>, names: &[String]) -> Vec<Tensor> {
    let tensor = |name: &String| {
        let at = plan.graph.outputs.iter().position(|output| output.name == *name).expect("it has been asked for");
        let (shape, words) = values[at].clone();
        let shape = if words.is_empty() { vec![0] } else { shape };
        Tensor::new(&shape, Type::Float, words)
    };
    names.iter().map(tensor).collect()
}

/// What became of a case: nothing where it is left out.
fn run_case(case: &Case, interpreter: Interpreter) -> Option<Result<(), String>> {
    let read =
        |path: &std::path::Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let problem = |problem: String| Some(Err(format!("{} ({}): {problem}", case.id, case.parameters)));
    let mut model = match ncnn::read_param(&case.id, &read(&case.param)) {
        Ok(model) => model,
        Err(problems) => return problem(problems[0].to_string()),
    };
    if case.inputs.iter().any(|input| !input.is_fed()) || model.layers.iter().any(is_quantised) || !is_known(&model) {
        return None;
    }
    let shapes = case.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect();
    let names: Vec<String> = case.outputs.iter().map(|output| output.name.clone()).collect();
    let graph = match lower(&mut model, &read(&case.bin), shapes, &names) {
        Ok(graph) => graph,
        Err(message) => return problem(message),
    };
    let plan = Plan::new(graph, Mode::Strict);
    let input = |id: &ncnnc_compiler::graph::TensorId| {
        let name = &plan.graph.tensor(*id).name;
        case.inputs.iter().find(|input| input.name == *name).expect("every input is fed").read().words
    };
    let inputs: Vec<Vec<u32>> = plan.graph.inputs.iter().map(input).collect();
    let values = tensors(&plan, interpreter(&plan, &inputs), &names);
    Some(case.check(&values))
}

#[derive(Default)]
struct Tally {
    passed: usize,
    total: usize,
    left_out: usize,
}

fn check_layers(interpreter: Interpreter) {
    let Some(folder) = shared("conformance/layers") else { return };
    let cases = read_cases(&folder, |layer| ops::operator(layer).is_some());
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut problems = String::new();
    for case in &cases {
        let tally = tallies.entry(&case.layer).or_default();
        match run_case(case, interpreter) {
            None => tally.left_out += 1,
            Some(result) => {
                tally.total += 1;
                tally.passed += usize::from(result.is_ok());
                if let Err(problem) = result {
                    writeln!(problems, "{problem}").expect("writing to a string");
                }
            }
        }
    }
    let mut sum = Tally::default();
    for (layer, tally) in &tallies {
        println!("{layer}: {} of {}, {} left out", tally.passed, tally.total, tally.left_out);
        sum.passed += tally.passed;
        sum.total += tally.total;
        sum.left_out += tally.left_out;
    }
    println!("all: {} of {}, {} left out", sum.passed, sum.total, sum.left_out);
    assert!(sum.total > 0, "every case has been left out");
    assert!(problems.is_empty(), "{problems}");
}

#[test]
fn layers_equal_ncnn_in_words() {
    check_layers(in_words);
}

#[test]
fn layers_equal_ncnn_in_double_precision() {
    check_layers(in_reals);
}

/// Runs a network when its layers are known and it is small enough; says what became of it.
fn run_network(network: &Network, full: bool) -> Option<Result<(), String>> {
    let param = std::fs::read(&network.param).unwrap_or_else(|error| panic!("{}: {error}", network.param.display()));
    let mut model = match ncnn::read_param(&network.name, &param) {
        Ok(model) => model,
        Err(problems) => return Some(Err(problems[0].to_string())),
    };
    if model.layers.iter().any(is_quantised) {
        return None;
    }
    if let Some(layer) = model.layers.iter().find(|layer| ops::operator(&layer.kind).is_none()) {
        println!("{}: left out, {} is not known", network.name, layer.kind);
        return None;
    }
    let shapes = HashMap::from([(network.input.clone(), network.input_shape.clone())]);
    let expected: Vec<_> = network.outputs.iter().chain(&network.extra).collect();
    let names: Vec<String> = expected.iter().map(|blob| blob.name.clone()).collect();
    let graph = match lower(&mut model, &network.weights(), shapes, &names) {
        Ok(graph) => graph,
        Err(message) => return Some(Err(message)),
    };
    let plan = Plan::new(graph, Mode::Strict);
    let macs: u64 = plan.graph.operations.iter().map(|operation| operation.macs()).sum();
    if macs > SMALL_NETWORK_MACS && !full {
        return None;
    }
    let begin = Instant::now();
    let values = tensors(&plan, in_words(&plan, &[network.input_tensor().words]), &names);
    println!("{}: {:.2} s for {} million multiply-adds", network.name, begin.elapsed().as_secs_f64(), macs / 1_000_000);
    let compare = |(got, want): (&Tensor, &&ncnnc_tests::networks::Expected)| {
        ncnnc_tests::compare::compare(got, &want.read(), want.tolerance)
            .map(drop)
            .map_err(|problem| format!("{}: {}: {problem}", network.name, want.name))
    };
    Some(values.iter().zip(&expected).try_for_each(compare))
}

fn check_networks(networks: &[Network], full: bool) {
    let results: Vec<_> = networks.iter().filter_map(|network| run_network(network, full)).collect();
    println!("{} of {} networks interpreted", results.len(), networks.len());
    let problems: Vec<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    assert!(!results.is_empty(), "no network has been interpreted");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn benchmark_networks_equal_ncnn() {
    let Some(folder) = shared("models/benchmark") else { return };
    let full = std::env::var_os("NCNNC_FULL").is_some_and(|value| value == "1");
    check_networks(&benchmark(&folder), full);
}

#[test]
fn pretrained_networks_equal_ncnn() {
    let Some(folder) = shared("models/pretrained") else { return };
    check_networks(&pretrained(&folder), true);
}
