//! Every target's kernels, interpreted, against the plan's interpreter: bit for bit, on every visible case.

use ncnnc_compiler::compile::Compiled;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::kernel::{Port, Program, interpret_program};
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Plan, Value, interpret};
use ncnnc_compiler::schedule::{Constants, schedule};
use ncnnc_targets::{TARGETS, Target};
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::planned::{Planned, Stored, plan_case, plan_layers, plan_layers_stored, same};
use ncnnc_tests::random::Random;
use ncnnc_tests::shared::shared;

/// The model's outputs, cut to their actual size where it depends on the data.
fn sized(program: &Program, outputs: Vec<Vec<u32>>) -> Vec<Value> {
    let actual = |(port, words): (&Port, &Vec<u32>)| match port.extents {
        None => Value { shape: port.shape.clone(), words: words.clone() },
        Some(extents) => {
            let shape: Vec<usize> = outputs[extents].iter().map(|extent| *extent as usize).collect();
            Value { words: words[..shape.iter().product()].to_vec(), shape }
        }
    };
    program.outputs.iter().zip(&outputs).map(actual).collect()
}

/// Checks every `stride`th case, stored so; in a narrow format, those that have something to store.
fn check(stored: Stored, stride: usize) {
    let Some(folder) = shared("conformance/layers") else { return };
    let only = std::env::var("NCNNC_LAYER").ok();
    let cases =
        read_cases(&folder, |layer| ops::operator(layer).is_some() && only.as_ref().is_none_or(|only| only == layer));
    let (mut checked, mut problems) = (0, Vec::new());
    for case in cases.iter().step_by(stride) {
        let planned = plan_case(case, Mode::Strict, stored, &[]);
        let Some(Planned { compiled: Compiled { plan, .. }, inputs }) = planned else { continue };
        if !stored.shows_in(&plan) {
            continue;
        }
        let wanted = interpret(&plan, &inputs);
        for target in TARGETS {
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut constants = Constants::default();
                let mut program = schedule(&plan, target, &mut constants);
                constants.finish([&mut program]);
                sized(&program, interpret_program(&program, &inputs))
            }));
            checked += 1;
            match run {
                Ok(got) if wanted.iter().zip(&got).all(|(wanted, got)| same(wanted, got)) => {}
                Ok(_) => problems.push(format!("{} on {}: other bits", case.id, target.name)),
                Err(_) => problems.push(format!("{} on {}: it panics", case.id, target.name)),
            }
        }
    }
    println!("{stored:?}: {} of {checked} runs equal the plan", checked - problems.len());
    assert!(checked > 0 || only.is_some(), "no case was checked");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn kernels_equal_the_plan() {
    check(Stored::default(), 1);
}

/// Strides that share no factor: between them they visit all kinds of contractions.
#[test]
fn kernels_with_narrow_constants_equal_the_plan() {
    check(Stored::constants(Format::F16), 5);
    check(Stored::constants(Format::Bf16), 7);
}

#[test]
fn kernels_with_narrow_activations_equal_the_plan() {
    check(Stored::activations(Format::F16), 2);
    check(Stored { constants: Format::F16, activations: Format::Bf16 }, 3);
}

/// What is rounded when it is stored is read by Winograd's algorithm, packed for a product, added, and never held in slices.
#[test]
fn kernels_between_narrow_activations_equal_the_plan() {
    let layer = |kind: &str, [from, to]: [&str; 2], [inputs, outputs, taps]: [usize; 3], rest: &str| {
        format!("{kind} {to} 1 1 {from} {to} 0={outputs} 1={taps} 6={} {rest}", inputs * outputs * taps * taps)
    };
    let convolution = |blobs, sizes, rest| layer("Convolution", blobs, sizes, rest);
    let cases = [
        (
            [20, 14, 14],
            vec![
                convolution(["in0", "a"], [20, 40, 3], "4=1 9=1"),
                convolution(["a", "b"], [40, 40, 3], "4=1 5=1"),
                "Split split 1 2 b c d".to_string(),
                convolution(["c", "e"], [40, 40, 3], "4=1"),
                "BinaryOp f 2 1 d e f 0=0".to_string(),
                "ConvolutionDepthWise g 1 1 f g 0=40 1=3 3=2 4=1 6=360 7=40".to_string(),
                convolution(["g", "out0"], [40, 7, 1], ""),
            ],
        ),
        (
            [640, 6, 6],
            vec![
                convolution(["in0", "a"], [640, 640, 1], "9=1"),
                convolution(["a", "b"], [640, 72, 1], ""),
                "Reshape rows 1 1 b rows 0=36 1=72".to_string(),
                "Split split 1 2 rows c d".to_string(),
                "MatMul e 2 1 c d e 0=1".to_string(),
                "Softmax out0 1 1 e out0 0=1 1=1".to_string(),
            ],
        ),
    ];
    for (format, (shape, layers)) in [Format::F16, Format::Bf16].into_iter().flat_map(|f| cases.clone().map(|c| (f, c)))
    {
        let stored = Stored::activations(format);
        let Planned { compiled: Compiled { plan, .. }, inputs } =
            plan_layers_stored(&layers, &shape, Mode::Fast, stored);
        let narrow = plan.formats.iter().filter(|of| **of == format).count();
        assert!(narrow >= 3, "{plan}");
        let wanted = interpret(&plan, &inputs);
        for target in TARGETS {
            let (text, got) = carried_out(&plan, target, &inputs);
            assert_eq!(got[0], wanted[0].words, "{} on {}", format.text(), target.name);
            assert!(!text.contains("slices"), "on {}: {text}", target.name);
        }
    }
}

/// The text of a target's program for a plan, and what it computes.
fn carried_out(plan: &Plan, target: &'static Target, inputs: &[Vec<u32>]) -> (String, Vec<Vec<u32>>) {
    let mut constants = Constants::default();
    let mut program = schedule(plan, target, &mut constants);
    constants.finish([&mut program]);
    (program.to_string(), interpret_program(&program, inputs))
}

/// Sums too long for the first-level cache are cut into slices: with and without a window, in planes whose tiles run from
/// row to row and in others, in groups, with something added, with channels that fill no vector.
#[test]
fn kernels_that_slice_sums_equal_the_plan() {
    let layer = |kind: &str, [from, to]: [&str; 2], [inputs, outputs, taps]: [usize; 3], rest: &str| {
        format!("{kind} layer 1 1 {from} {to} 0={outputs} 1={taps} 6={} {rest}", inputs * outputs * taps * taps)
    };
    let ends = ["in0", "out0"];
    let cases = [
        ([1088, 5, 11], vec![layer("Convolution", ends, [1088, 108, 1], "5=1 9=1")]),
        ([512, 13, 9], vec![layer("Convolution", ends, [512, 121, 3], "3=2 4=1")]),
        ([1216, 7, 7], vec![layer("ConvolutionDepthWise", ends, [608, 256, 1], "7=2")]),
        (
            [640, 6, 6],
            vec![
                "Split split 1 2 in0 a b".to_string(),
                layer("Convolution", ["a", "c"], [640, 640, 1], ""),
                "BinaryOp sum 2 1 c b out0 0=0".to_string(),
            ],
        ),
    ];
    for (shape, layers) in cases {
        let Planned { compiled: Compiled { plan, .. }, inputs } = plan_layers(&layers, &shape, Mode::Strict);
        let wanted = interpret(&plan, &inputs);
        for target in TARGETS {
            let (text, got) = carried_out(&plan, target, &inputs);
            assert_eq!(got[0], wanted[0].words, "on {}", target.name);
            assert!(target.lanes > 8 || text.contains("slices"), "on {}: {text}", target.name);
        }
    }
}

/// Weights can be given at run time: whatever they are, the interpreter finds no access that leaves its buffer.
#[test]
fn no_constants_lead_kernels_astray() {
    let Some(folder) = shared("conformance/layers") else { return };
    let mut random = Random(1);
    for case in read_cases(&folder, |layer| ops::operator(layer).is_some()).iter().step_by(3) {
        let planned = plan_case(case, Mode::Strict, Stored::default(), TARGETS);
        let Some(Planned { compiled, inputs }) = planned else { continue };
        for (_, mut program) in compiled.programs {
            program.constants = program.constants.iter().map(|_| random.word()).collect();
            interpret_program(&program, &inputs);
        }
    }
}
