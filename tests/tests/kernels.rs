//! Every target's kernels, interpreted, against the plan's interpreter: bit for bit, on every visible case.

use ncnnc_compiler::compile::Compiled;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::kernel::{Port, Program, interpret_program};
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Value, interpret};
use ncnnc_compiler::precision::Precision;
use ncnnc_compiler::schedule::{Constants, schedule};
use ncnnc_targets::TARGETS;
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::planned::{Planned, plan_case, same};
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

/// Checks every `stride`th case in this format; in a narrow one, those that have something to store.
fn check(format: Format, stride: usize) {
    let Some(folder) = shared("conformance/layers") else { return };
    let only = std::env::var("NCNNC_LAYER").ok();
    let cases =
        read_cases(&folder, |layer| ops::operator(layer).is_some() && only.as_ref().is_none_or(|only| only == layer));
    let (mut checked, mut problems) = (0, Vec::new());
    for case in cases.iter().step_by(stride) {
        let planned = plan_case(case, Mode::Strict, &Precision::of_all(format), &[]);
        let Some(Planned { compiled: Compiled { plan, .. }, inputs }) = planned else { continue };
        if !plan.formats.contains(&format) {
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
    println!("{}: {} of {checked} runs equal the plan", format.text(), checked - problems.len());
    assert!(checked > 0 || only.is_some(), "no case was checked");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn kernels_equal_the_plan() {
    check(Format::Word, 1);
}

/// Strides that share no factor: between them they visit all kinds of contractions.
#[test]
fn kernels_with_narrow_constants_equal_the_plan() {
    check(Format::F16, 5);
    check(Format::Bf16, 7);
}

/// Weights can be given at run time: whatever they are, the interpreter finds no access that leaves its buffer.
#[test]
fn no_constants_lead_kernels_astray() {
    let Some(folder) = shared("conformance/layers") else { return };
    let mut random = Random(1);
    for case in read_cases(&folder, |layer| ops::operator(layer).is_some()).iter().step_by(3) {
        let planned = plan_case(case, Mode::Strict, &Precision::default(), TARGETS);
        let Some(Planned { compiled, inputs }) = planned else { continue };
        for (_, mut program) in compiled.programs {
            program.constants = program.constants.iter().map(|_| random.word()).collect();
            interpret_program(&program, &inputs);
        }
    }
}
