//! The kernels of every visible case, with what their buffers hold when they are called.

use super::machine::Case;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::kernel::{Argument, Callee, Kernel, Program, interpret_kernel};
use ncnnc_compiler::mode::Mode;
use ncnnc_compiler::ops;
use ncnnc_targets::Target;
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::planned::{Planned, Stored, plan_case};
use ncnnc_tests::shared::shared;
use std::collections::HashSet;

/// Runs a program, and keeps every kernel not seen before with the words it is called on.
fn record(program: &Program, inputs: &[Vec<u32>], seen: &mut HashSet<Kernel>, kept: &mut Vec<Case>) {
    let mut arena = vec![0; program.arena_words];
    let mut outputs: Vec<Vec<u32>> = program.outputs.iter().map(|port| vec![0; port.shape.iter().product()]).collect();
    for step in &program.steps {
        let Callee::Kernel(kernel) = step.callee else { panic!("no case has a layer of its own") };
        let kernel = &program.kernels[kernel];
        let arguments = || step.arguments.iter().zip(&kernel.buffers);
        let mut buffers: Vec<Vec<u32>> = arguments()
            .map(|(argument, buffer)| match argument {
                Argument::Arena(offset) => arena[*offset..offset + buffer.words()].to_vec(),
                Argument::Constants(offset) => program.constants[*offset..offset + buffer.words()].to_vec(),
                Argument::Tables(offset) => program.tables[*offset..offset + buffer.words()].to_vec(),
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
                    arena[*offset..offset + buffer.words()].copy_from_slice(&words);
                }
                Argument::Output(i) if buffer.writable => outputs[*i] = words,
                Argument::Arena(_)
                | Argument::Output(_)
                | Argument::Constants(_)
                | Argument::Tables(_)
                | Argument::Input(_) => {}
            }
        }
    }
}

/// Modes and how cases are stored, with the stride over those that are compiled so.
fn choices() -> [(Mode, Stored, usize); 7] {
    let (f16, bf16) = (Format::F16, Format::Bf16);
    [
        (Mode::Strict, Stored::default(), 1),
        (Mode::Strict, Stored::constants(f16), 5),
        (Mode::Strict, Stored::constants(bf16), 7),
        (Mode::Strict, Stored::activations(f16), 5),
        (Mode::Strict, Stored { constants: f16, activations: bf16 }, 7),
        (Mode::Compensated, Stored::default(), 5),
        (Mode::Compensated, Stored { constants: f16, activations: f16 }, 23),
    ]
}

/// The kernels of all cases on a target; none where the cases are absent.
pub fn all(target: &'static Target) -> Vec<Case> {
    let Some(folder) = shared("conformance/layers") else { return Vec::new() };
    let (mut seen, mut kept) = (HashSet::new(), Vec::new());
    let cases = read_cases(&folder, |layer| ops::operator(layer).is_some());
    for (mode, stored, stride) in choices() {
        for case in cases.iter().step_by(stride) {
            let planned = plan_case(case, mode, stored, &[target]);
            let Some(Planned { compiled, inputs }) = planned else { continue };
            for (_, program) in &compiled.programs {
                record(program, &inputs, &mut seen, &mut kept);
            }
        }
    }
    assert!(!kept.is_empty(), "no case has a kernel");
    kept
}
