//! The kernels of every visible case, with what their buffers hold when they are called.

use super::machine::Case;
use ncnnc_compiler::kernel::{Argument, Kernel, Program, interpret_kernel};
use ncnnc_compiler::ncnn;
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Plan};
use ncnnc_compiler::schedule::{Constants, schedule};
use ncnnc_targets::Target;
use ncnnc_tests::cases::{self, read_cases};
use ncnnc_tests::shared::shared;
use std::collections::{HashMap, HashSet};

/// The plan of a case and its inputs; nothing where the compiler refuses it, which other tests judge.
fn plan(case: &cases::Case) -> Option<(Plan, Vec<Vec<u32>>)> {
    let read = |path: &std::path::Path| std::fs::read(path).expect("the case's file");
    let mut model = ncnn::read_param(&case.id, &read(&case.param)).ok()?;
    if case.inputs.iter().any(|input| !input.is_fed()) {
        return None;
    }
    let shapes: HashMap<_, _> = case.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect();
    ops::read_weights(&mut model, &case.id, &read(&case.bin)).ok()?;
    let plan = Plan::new(ops::lower(&model, &shapes, &[]).ok()?, Mode::Strict);
    let inputs = plan.graph.inputs.iter().map(|id| {
        let name = &plan.graph.tensor(*id).name;
        case.inputs.iter().find(|input| input.name == *name).expect("every input is fed").read().words
    });
    let inputs = inputs.collect();
    Some((plan, inputs))
}

/// Runs a program, and keeps every kernel not seen before with the words it is called on.
fn record(program: &Program, inputs: &[Vec<u32>], seen: &mut HashSet<Kernel>, kept: &mut Vec<Case>) {
    let mut arena = vec![0; program.arena_words];
    let mut outputs: Vec<Vec<u32>> = program.outputs.iter().map(|port| vec![0; port.shape.iter().product()]).collect();
    for step in &program.steps {
        let kernel = &program.kernels[step.kernel];
        let arguments = || step.arguments.iter().zip(&kernel.buffers);
        let mut buffers: Vec<Vec<u32>> = arguments()
            .map(|(argument, buffer)| match argument {
                Argument::Arena(offset) => arena[*offset..offset + buffer.words].to_vec(),
                Argument::Constants(offset) => program.constants[*offset..offset + buffer.words].to_vec(),
                Argument::Input(i) => inputs[*i].clone(),
                Argument::Output(i) => outputs[*i].clone(),
            })
            .collect();
        let anonymous = Kernel { name: String::new(), ..kernel.clone() };
        if seen.insert(anonymous) {
            kept.push(Case { kernel: kernel.clone(), buffers: buffers.clone() });
        }
        interpret_kernel(kernel, &mut buffers);
        for ((argument, buffer), words) in arguments().zip(buffers) {
            match argument {
                Argument::Arena(offset) if buffer.writable => {
                    arena[*offset..offset + buffer.words].copy_from_slice(&words);
                }
                Argument::Output(i) if buffer.writable => outputs[*i] = words,
                Argument::Arena(_) | Argument::Output(_) | Argument::Constants(_) | Argument::Input(_) => {}
            }
        }
    }
}

/// The kernels of all cases on a target; none where the cases are absent.
pub fn all(target: &'static Target) -> Vec<Case> {
    let Some(folder) = shared("conformance/layers") else { return Vec::new() };
    let (mut seen, mut kept) = (HashSet::new(), Vec::new());
    for case in &read_cases(&folder, |layer| ops::operator(layer).is_some()) {
        let Some((plan, inputs)) = plan(case) else { continue };
        let mut constants = Constants::default();
        let mut program = schedule(&plan, target, &mut constants);
        program.constants = constants.finish();
        record(&program, &inputs, &mut seen, &mut kept);
    }
    assert!(!kept.is_empty(), "no case has a kernel");
    kept
}
