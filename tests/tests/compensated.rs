//! Compensated arithmetic: every layer within a unit in the last place of its definition in double precision, on the visible
//! cases and on sums made to be hard, and kernels of every target with the bits of the plan.
//!
//! `NCNNC_LAYER` chooses a kind of layer.

use ncnnc_compiler::compile::Options;
use ncnnc_compiler::kernel::interpret_program;
use ncnnc_compiler::mode::{LayerMode, Mode};
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Plan, interpret, interpret_real};
use ncnnc_compiler::schedule::{Constants, schedule};
use ncnnc_targets::TARGETS;
use ncnnc_tests::cases::{Case, read_cases};
use ncnnc_tests::lowered::read_model;
use ncnnc_tests::planned::{Stored, plan_case, plan_files};
use ncnnc_tests::random::Random;
use ncnnc_tests::shared::{is_on, shared};
use ncnnc_tests::synth::{input_tensor, synth};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The kinds of layers that are refused: what they choose depends on comparisons, which no bound of an error decides.
const REFUSED: [&str; 3] = ["DetectionOutput", "YoloDetectionOutput", "Yolov3DetectionOutput"];

/// Where a float stands among all of them, so that neighbours differ by one; zeros are one.
fn place(x: f32) -> i64 {
    let magnitude = i64::from(x.to_bits() & 0x7fff_ffff);
    if x.is_sign_negative() { -magnitude } else { magnitude }
}

/// Units in the last place between a word and the nearest float to a real number.
fn distance(got: u32, want: f64) -> i64 {
    let (got, want) = (f32::from_bits(got), want as f32);
    match (got.is_nan(), want.is_nan()) {
        (true, true) => 0,
        (true, false) | (false, true) => i64::MAX,
        (false, false) => (place(got) - place(want)).abs(),
    }
}

/// The greatest distance of a plan's outputs from those in double precision.
fn worst(plan: &Plan, inputs: &[Vec<u32>]) -> i64 {
    let (got, want) = (interpret(plan, inputs), interpret_real(plan, inputs));
    let distances = got.iter().zip(&want).flat_map(|(got, want)| {
        assert_eq!(got.shape, want.shape, "extents are whole numbers");
        got.words.iter().zip(&want.values).map(|(got, want)| distance(*got, *want))
    });
    distances.max().unwrap_or(0)
}

/// Whether the kernels of every target have the plan's bits.
fn kernels_equal(plan: &Plan, inputs: &[Vec<u32>]) -> Result<(), String> {
    let wanted = interpret(plan, inputs);
    for target in TARGETS {
        let mut constants = Constants::default();
        let mut program = schedule(plan, target, &mut constants);
        constants.finish([&mut program]);
        let got = interpret_program(&program, inputs);
        let same = |(a, b): (&u32, &u32)| a == b || (f32::from_bits(*a).is_nan() && f32::from_bits(*b).is_nan());
        if !wanted.iter().zip(&got).all(|(wanted, got)| wanted.words.iter().zip(got).all(same)) {
            return Err(format!("other bits on {}", target.name));
        }
    }
    Ok(())
}

fn cases() -> Option<Vec<Case>> {
    let only = std::env::var("NCNNC_LAYER").ok();
    let wanted = |layer: &str| ops::operator(layer).is_some() && only.as_deref().is_none_or(|only| only == layer);
    Some(read_cases(&shared("conformance/layers")?, wanted))
}

fn layers_of_its_kind(case: &Case) -> usize {
    let model = read_model(&case.id, &case.param).expect("a case");
    model.layers.iter().filter(|layer| layer.kind == case.layer).count()
}

#[test]
fn every_layer_is_within_a_unit_or_refused() {
    let Some(cases) = cases() else { return };
    let (mut problems, mut refused) = (Vec::new(), BTreeSet::new());
    let mut worsts: BTreeMap<&str, i64> = BTreeMap::new();
    for case in &cases {
        let plan = |mode| plan_case(case, mode, Stored::default(), &[]);
        match plan(Mode::Compensated) {
            // Of several steps, the later ones read what the earlier ones have rounded: no layer by itself is judged.
            Some(_) if layers_of_its_kind(case) > 1 => {}
            Some(planned) => {
                let worst = worst(&planned.compiled.plan, &planned.inputs);
                if worst > 1 {
                    problems.push(format!("{} ({}): {worst} ulp", case.id, case.parameters));
                }
                let of_kind = worsts.entry(&case.layer).or_default();
                *of_kind = worst.max(*of_kind);
            }
            None if plan(Mode::Strict).is_some() => {
                refused.insert(case.layer.as_str());
            }
            None => {}
        }
    }
    println!("{worsts:?}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    if std::env::var_os("NCNNC_LAYER").is_none() {
        assert_eq!(refused, REFUSED.into(), "the kinds of layers that are refused");
    }
    assert!(refused.iter().all(|kind| !worsts.contains_key(kind)), "of a kind all cases are refused or none");
}

#[test]
fn kernels_equal_the_plan() {
    let Some(cases) = cases() else { return };
    let stride = if is_on("NCNNC_FULL") { 1 } else { 3 };
    let mut problems = Vec::new();
    for case in cases.iter().step_by(stride) {
        let Some(planned) = plan_case(case, Mode::Compensated, Stored::default(), &[]) else { continue };
        if planned.compiled.plan.graph.outputs.iter().any(|output| output.view.extents.is_some()) {
            continue;
        }
        if let Err(problem) = kernels_equal(&planned.compiled.plan, &planned.inputs) {
            problems.push(format!("{}: {problem}", case.id));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A plan of layers between `in0` and what the last one makes.
fn plan(layers: &str, shape: &[usize], weights: &[u8], options: Options) -> Result<Plan, String> {
    let count = layers.lines().count() + 1;
    let param = format!("7767517\n{count} {}\nInput in0 0 1 in0\n{layers}\n", count + 1);
    let shapes = HashMap::from([("in0".to_string(), shape.to_vec())]);
    let options = Options { shapes, ..options };
    plan_files("drawn", param.as_bytes(), weights, &options, &[]).map(|compiled| compiled.plan)
}

#[test]
fn what_a_layer_puts_out_and_goes_on_with_is_rounded_only_outside() {
    let param = "7767517\n4 6\nInput in0 0 1 in0 0=8 1=3\nInput keys 0 1 keys 0=4 1=2 2=2\n\
                 Input values 0 1 values 0=4 1=2 2=2\n\
                 MultiHeadAttention layer 3 3 in0 keys values out0 out_keys out_values 0=8 1=2 2=64 7=1\n";
    let options = Options { mode: Mode::Compensated, ..Options::default() };
    let plan = plan_files("drawn", param.as_bytes(), &synth(param, 3, 1.0), &options, &[]).expect("it compiles").plan;
    for seed in 0..20 {
        let words = |count: usize| input_tensor(seed, count).iter().map(|value| value.to_bits()).collect();
        let inputs = [words(24), words(16), words(16)];
        let worst = worst(&plan, &inputs);
        assert!(worst <= 1, "{worst} ulp with seed {seed}: the attention must not see its keys rounded");
        kernels_equal(&plan, &inputs).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

/// A float between -1 and 1.
fn drawn(random: &mut Random) -> f32 {
    (f64::from(random.word() as i32) / f64::from(i32::MAX)) as f32
}

/// Factors of terms that are large beside their sum: each is met by one that takes back all but a thousandth of it, far
/// away.
fn hard_products(random: &mut Random, terms: usize) -> (Vec<f32>, Vec<f32>) {
    let a: Vec<f32> = (0..terms / 2).map(|_| 100.0 * drawn(random)).collect();
    let b: Vec<f32> = (0..terms / 2).map(|_| drawn(random)).collect();
    let nearly: Vec<f32> = a.iter().map(|x| -x * 0.001_f32.mul_add(drawn(random), 1.0)).collect();
    ([a, nearly].concat(), b.repeat(2))
}

#[test]
fn ill_conditioned_sums_are_within_a_unit() {
    const TERMS: usize = 600;
    let mut random = Random(11);
    let mut plain_worst = 0;
    for _ in 0..20 {
        let (a, b) = hard_products(&mut random, TERMS);
        let weights: Vec<u8> = std::iter::once(0.0).chain(b.iter().copied()).flat_map(f32::to_le_bytes).collect();
        let input: Vec<u32> = a.iter().map(|x| x.to_bits()).collect();
        let products = format!("InnerProduct fc 1 1 in0 out 0=1 1=0 2={TERMS}");
        let differences: Vec<u32> = a.iter().zip(&b).map(|(a, b)| (a * b).to_bits()).collect();
        for (layers, weights, input) in [
            (products.as_str(), &weights[..], &input),
            ("Reduction sum 1 1 in0 out 0=0 1=1", &[], &differences),
            ("Reduction mean 1 1 in0 out 0=3 1=1", &[], &differences),
        ] {
            let plan = |mode| {
                plan(layers, &[TERMS], weights, Options { mode, ..Options::default() })
                    .expect("a model that is understood")
            };
            let inputs = [input.clone()];
            assert!(worst(&plan(Mode::Compensated), &inputs) <= 1, "{layers}");
            plain_worst = plain_worst.max(worst(&plan(Mode::Strict), &inputs));
        }
    }
    assert!(plain_worst > 100, "the sums are not hard: {plain_worst} ulp in single words");
}

/// Factors of terms far apart, nearly all of which are taken back exactly by others far away; many are beyond all floats.
fn cancelling_products(random: &mut Random, terms: usize) -> (Vec<f32>, Vec<f32>) {
    let mut far = |count: usize| -> Vec<f32> {
        (0..count).map(|_| drawn(random) * 2.0_f32.powi((random.word() % 160) as i32 - 80)).collect()
    };
    let (a, b) = (far(terms / 2), far(terms / 2));
    let (mut back, last) = (a.iter().map(|x| -x).collect::<Vec<f32>>(), terms / 2 - 1);
    back[last] = 1.0;
    ([a, back].concat(), b.repeat(2))
}

#[test]
fn sums_of_floats_are_the_references_own() {
    const TERMS: usize = 600;
    let mut random = Random(17);
    let mut plain_worst = 0;
    for _ in 0..20 {
        let (a, b) = cancelling_products(&mut random, TERMS);
        let weights: Vec<u8> = std::iter::once(0.0).chain(b.iter().copied()).flat_map(f32::to_le_bytes).collect();
        let inputs = [a.iter().map(|x| x.to_bits()).collect()];
        let products = format!("InnerProduct fc 1 1 in0 out 0=1 1=0 2={TERMS}");
        for (layers, weights) in [(products.as_str(), &weights[..]), ("Reduction sum 1 1 in0 out 0=0 1=1", &[])] {
            let plan = |mode| {
                plan(layers, &[TERMS], weights, Options { mode, ..Options::default() })
                    .expect("a model that is understood")
            };
            let compensated = plan(Mode::Compensated);
            assert_eq!(worst(&compensated, &inputs), 0, "{layers}");
            kernels_equal(&compensated, &inputs).expect("the plan's bits");
            plain_worst = plain_worst.max(worst(&plan(Mode::Strict), &inputs));
        }
    }
    assert!(plain_worst > 1 << 24, "the sums are not hard: {plain_worst} ulp in single words");
}

/// Layers that are fused with one another, and with more inside than words hold.
const CHAIN: &str = "Convolution conv 1 1 in0 a 0=20 1=3 4=1 5=1 6=900 9=1
BatchNorm norm 1 1 a b 0=20
Swish swish 1 1 b c
LayerNorm layer 1 1 c d 0=6 1=0.001 2=0
Softmax softmax 1 1 d e 0=0 1=1
Pooling pool 1 1 e f 0=1 1=2 2=2
InnerProduct fc 1 1 f out 0=7 1=1 2=1260 9=4";

fn chain(options: Options) -> (Plan, Vec<Vec<u32>>) {
    let param = format!("7767517\n8 9\nInput in0 0 1 in0\n{CHAIN}\n");
    let plan = plan(CHAIN, &[5, 6, 6], &synth(&param, 5, 1.0), options).expect("a model that is understood");
    let input = input_tensor(9, 180).iter().map(|value| value.to_bits()).collect();
    (plan, vec![input])
}

#[test]
fn fusing_changes_no_bit() {
    let options = || Options { mode: Mode::Compensated, ..Options::default() };
    let (fused, inputs) = chain(options());
    let outputs = ["a", "b", "c", "d", "e", "f"].map(str::to_string).to_vec();
    let (whole, _) = chain(Options { outputs, ..options() });
    assert!(fused.graph.operations.len() < whole.graph.operations.len(), "something is fused");
    let last = |plan: &Plan| {
        let at = plan.graph.outputs.iter().position(|output| output.name == "out").expect("the model's own output");
        interpret(plan, &inputs).swap_remove(at)
    };
    assert_eq!(last(&fused), last(&whole));
    kernels_equal(&fused, &inputs).expect("the plan's bits");
    kernels_equal(&whole, &inputs).expect("the plan's bits");
}

#[test]
fn single_layers_are_compensated() {
    let layer_modes = ["softmax", "l*"].map(|name| LayerMode { pattern: name.to_string(), mode: Mode::Compensated });
    let (mixed, inputs) = chain(Options { layer_modes: layer_modes.to_vec(), ..Options::default() });
    kernels_equal(&mixed, &inputs).expect("the plan's bits");
    let text = mixed.to_string();
    let compensated: Vec<&str> = (text.lines().zip(text.lines().skip(1)))
        .filter(|(_, next)| next.contains("compensated: "))
        .map(|(line, _)| line.trim())
        .collect();
    assert!(compensated.iter().all(|line| line.contains("d") || line.contains("e")), "{compensated:?}");
    let fast = chain(Options::default()).0;
    let of =
        |plan: &Plan, name: &str| plan.graph.operations.iter().filter(|operation| operation.name() == name).count();
    assert_eq!(of(&mixed, "conv"), of(&fast, "conv"), "other layers are as they were");
    assert!(of(&mixed, "layer") > of(&fast, "layer"), "rests are kept");
}

#[test]
fn what_cannot_be_compensated_is_refused_by_name() {
    let yolo = "Convolution conv 1 1 in0 a 0=12 1=1 6=36
YoloDetectionOutput yolo 1 1 a out 0=1 1=2 2=0.5 3=0.45 4=10,14,23,27";
    let plan = |layer_modes| {
        let options = Options { mode: Mode::Compensated, layer_modes, ..Options::default() };
        plan(yolo, &[3, 4, 4], &[0; 148], options)
    };
    let but = |pattern: &str| vec![LayerMode { pattern: pattern.to_string(), mode: Mode::Strict }];
    let refusals = [plan(Vec::new()), plan(but("yelo"))].map(|plan| plan.expect_err("it is refused"));
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    drawn:5:1: error: layer `yolo`: YoloDetectionOutput can't be compensated: what it chooses depends on comparisons, which no bound of an error decides
      help: `numerics("yolo") = strict;` computes it as it is; with the command, `--numerics 'yolo=strict'`
    error: no layer is called `yelo`
      help: there is `yolo`
    "#);
    assert_eq!(plan(but("yolo")).map(|plan| plan.mode), Ok(Mode::Strict));
}
