//! The plan's interpreters against the outputs of the real ncnn, on single layers and on whole networks.
//!
//! Left out, and counted in what is printed, is what `ncnnc_tests::scope` leaves out. Of the networks with drawn weights only the small ones, unless `NCNNC_FULL=1`.
//!
//! `tests/random_cases.py` draws further cases, networks of a few layers each, and says how to run them.

use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Plan, Value, interpret, interpret_real};
use ncnnc_tests::cases::{Case, read_cases};
use ncnnc_tests::lowered::{Lowered, SMALL_NETWORK_MACS, lower_case, lower_network, read_model};
use ncnnc_tests::networks::{Expected, Network, benchmark, pretrained};
use ncnnc_tests::npy::Tensor;
use ncnnc_tests::planned::named_outputs;
use ncnnc_tests::scope;
use ncnnc_tests::shared::{is_on, shared};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Instant;

/// A way of carrying out a plan.
type Interpreter = fn(&Plan, &[Vec<u32>]) -> Vec<Value>;

fn in_reals(plan: &Plan, inputs: &[Vec<u32>]) -> Vec<Value> {
    let word = |value: f64| (value as f32).to_bits();
    let values = interpret_real(plan, inputs).into_iter();
    values.map(|value| Value { shape: value.shape, words: value.values.into_iter().map(word).collect() }).collect()
}

/// The outputs of these names.
fn carry_out(lowered: Lowered, interpreter: Interpreter, names: &[String]) -> Vec<Tensor> {
    let plan = Plan::new(lowered.graph, Mode::Strict);
    named_outputs(&plan, &interpreter(&plan, &lowered.inputs), names.iter().map(String::as_str))
}

/// What became of a case: nothing where it is left out.
fn run_case(case: &Case, interpreter: Interpreter) -> Option<Result<(), String>> {
    let problem = |problem: String| Err(format!("{} ({}): {problem}", case.id, case.parameters));
    let model = match read_model(&case.id, &case.param) {
        Ok(model) => model,
        Err(message) => return Some(problem(message)),
    };
    if !scope::has_model(&model) {
        return None;
    }
    let names: Vec<String> = case.outputs.iter().map(|output| output.name.clone()).collect();
    Some(match lower_case(case, model) {
        Ok(lowered) => case.check(&carry_out(lowered, interpreter, &names)),
        Err(message) => problem(message),
    })
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
    check_layers(interpret);
}

#[test]
fn layers_equal_ncnn_in_double_precision() {
    check_layers(in_reals);
}

/// Runs a network when its layers are known and it is small enough; says what became of it.
fn run_network(network: &Network, full: bool) -> Option<Result<(), String>> {
    let model = match read_model(&network.name, &network.param) {
        Ok(model) => model,
        Err(message) => return Some(Err(message)),
    };
    if !scope::has_model(&model) {
        println!("{}: left out, it is quantised or has layers that aren't known", network.name);
        return None;
    }
    let expected: Vec<_> = network.outputs.iter().chain(&network.extra).collect();
    let names: Vec<String> = expected.iter().map(|blob| blob.name.clone()).collect();
    let lowered = match lower_network(network, model, &names) {
        Ok(lowered) => lowered,
        Err(message) => return Some(Err(message)),
    };
    let macs = lowered.macs();
    if macs > SMALL_NETWORK_MACS && !full {
        return None;
    }
    let begin = Instant::now();
    let values = carry_out(lowered, interpret, &names);
    println!("{}: {:.2} s for {} million multiply-adds", network.name, begin.elapsed().as_secs_f64(), macs / 1_000_000);
    let check =
        |(got, want): (&Tensor, &&Expected)| want.check(got).map_err(|problem| format!("{}: {problem}", network.name));
    Some(values.iter().zip(&expected).try_for_each(check))
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
    check_networks(&benchmark(&folder), is_on("NCNNC_FULL"));
}

#[test]
fn pretrained_networks_equal_ncnn() {
    let Some(folder) = shared("models/pretrained") else { return };
    check_networks(&pretrained(&folder), true);
}
