//! Every target's kernels, interpreted, against the plan's interpreter: bit for bit, on every visible case.

use ncnnc_compiler::kernel::{Port, Program, interpret_program};
use ncnnc_compiler::ncnn;
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Plan, Value, interpret};
use ncnnc_compiler::schedule::{Constants, schedule};
use ncnnc_targets::TARGETS;
use ncnnc_tests::cases::{Case, read_cases};
use ncnnc_tests::shared::shared;
use std::collections::HashMap;

/// The plan of a case and its inputs; nothing where the compiler refuses it, which other tests judge.
fn plan(case: &Case) -> Option<(Plan, Vec<Vec<u32>>)> {
    let read = |path: &std::path::Path| std::fs::read(path).expect("the case's file");
    let mut model = ncnn::read_param(&case.id, &read(&case.param)).ok()?;
    if case.inputs.iter().any(|input| !input.is_fed()) {
        return None;
    }
    let shapes: HashMap<_, _> = case.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect();
    ops::read_weights(&mut model, &case.id, &read(&case.bin)).ok()?;
    let graph = ops::lower(&model, &shapes, &[]).ok()?;
    let plan = Plan::new(graph, Mode::Strict);
    let inputs = plan.graph.inputs.iter().map(|id| {
        let name = &plan.graph.tensor(*id).name;
        case.inputs.iter().find(|input| input.name == *name).expect("every input is fed").read().words
    });
    let inputs = inputs.collect();
    Some((plan, inputs))
}

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

fn same(a: &Value, b: &Value) -> bool {
    let equal = |(a, b): (&u32, &u32)| a == b || (f32::from_bits(*a).is_nan() && f32::from_bits(*b).is_nan());
    a.shape == b.shape && a.words.iter().zip(&b.words).all(equal)
}

#[test]
fn kernels_equal_the_plan() {
    let Some(folder) = shared("conformance/layers") else { return };
    let only = std::env::var("NCNNC_LAYER").ok();
    let cases =
        read_cases(&folder, |layer| ops::operator(layer).is_some() && only.as_ref().is_none_or(|only| only == layer));
    let (mut checked, mut problems) = (0, Vec::new());
    for case in &cases {
        let Some((plan, inputs)) = plan(case) else { continue };
        let wanted = interpret(&plan, &inputs);
        for target in TARGETS {
            let mut constants = Constants::default();
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut program = schedule(&plan, target, &mut constants);
                program.constants = constants.finish();
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
    println!("{} of {checked} runs equal the plan", checked - problems.len());
    assert!(checked > 0 || only.is_some(), "no case was checked");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
