//! Layers that the test computes itself, among layers of the compiler's; some have the names of words that plain kernels
//! are made of.

use ncnnc::{InstructionSet, Options};
use ncnnc_compiler::compile::{self, compile};
use ncnnc_compiler::kernel::{CustomFunction, interpret_program_with};
use ncnnc_compiler::ops::CustomLayer;
use ncnnc_compiler::plan::interpret_with;
use ncnnc_targets::TARGETS;
use ncnnc_tests::shared::workspace;

ncnnc::include_model! {
    struct Custom = "models/custom.param";
    layer Swirl = layers::swirl: [2, 3, 4];
    layer "mixed" = self::layers::mix: [2, 3, 4], [1];
}

mod layers {
    /// Everything from the last to the first, plus one.
    pub fn swirl(inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        assert_eq!((inputs.len(), outputs.len()), (1, 1));
        for (to, from) in outputs[0].iter_mut().zip(inputs[0].iter().rev()) {
            *to = from + 1.0;
        }
    }

    /// Ten times the first minus the second, and the sum of the first.
    pub fn mix(inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        let [first, second] = inputs else { panic!("two inputs") };
        let [mixed, sum] = outputs else { panic!("two outputs") };
        for ((to, a), b) in mixed.iter_mut().zip(*first).zip(*second) {
            *to = 10.0 * a - b;
        }
        sum[0] = first.iter().sum();
    }
}

/// What the network computes; all numbers are small integers, so that nothing is rounded.
fn expected(input: &[f32; 24]) -> (Vec<f32>, f32) {
    // The weight is the matrix [1 0; 0 2].
    let a: Vec<f32> = input.iter().enumerate().map(|(i, x)| if i < 12 { *x } else { 2.0 * x }).collect();
    let b: Vec<f32> = a.iter().rev().map(|x| x + 1.0).collect();
    let e: Vec<f32> = b.iter().rev().map(|x| x + 1.0).collect();
    (b.iter().zip(&e).map(|(b, e)| (10.0 * b - e) * e).collect(), b.iter().sum())
}

#[test]
fn functions_of_the_users_compute_layers() {
    let input = std::array::from_fn(|i| (i * i % 17) as f32 - 5.0);
    for instruction_set in InstructionSet::ALL.iter().copied().filter(|set| set.is_available()) {
        for threads in [1, 3] {
            let mut model = Custom::with_options(&Options::new().threads(threads).instruction_set(instruction_set));
            // Twice, since the second run finds what the first has left in memory.
            for _ in 0..2 {
                let outputs = model.run(&input);
                let (out0, out1) = expected(&input);
                assert_eq!(outputs.out0[..], out0, "{}", instruction_set.name());
                assert_eq!(outputs.out1, &[out1]);
            }
        }
    }
}

#[test]
fn interpreters_call_functions_as_compiled_code_does() {
    let read =
        |name: &str| std::fs::read(workspace().join("tests/models").join(name)).expect("it is in the repository");
    let (param, weights) = (read("custom.param"), read("custom.bin"));
    let file = |bytes| compile::File { path: "custom", bytes };
    let declared = |layer: &str, shapes: &[&[usize]]| CustomLayer {
        layer: layer.to_string(),
        shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
    };
    let custom = vec![declared("Swirl", &[&[2, 3, 4]]), declared("mixed", &[&[2, 3, 4], &[1]])];
    let options = compile::Options { custom, ..compile::Options::default() };
    let compiled = compile(file(&param), file(&weights), &options, TARGETS).expect("the model is a good one");
    let functions: [CustomFunction; 2] = [&layers::swirl, &layers::mix];
    let input = std::array::from_fn(|i| (i * i % 17) as f32 - 5.0);
    let inputs = [input.iter().map(|value| value.to_bits()).collect()];
    let (out0, out1) = expected(&input);
    // The functions' layers come before the last one.
    let wanted = [vec![out1], out0].map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>());
    let values = interpret_with(&compiled.plan, &functions, &inputs);
    assert_eq!(values.into_iter().map(|value| value.words).collect::<Vec<_>>(), wanted);
    for (target, program) in &compiled.programs {
        assert_eq!(interpret_program_with(program, &functions, &inputs), wanted, "{}", target.name);
    }
}
