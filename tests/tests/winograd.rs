//! Convolutions by Winograd's algorithm: the kernels of every target against the plan on whatever sizes there are, the
//! plan against the definition, and which layers are chosen.

use ncnnc_compiler::compile::Compiled;
use ncnnc_compiler::graph::Operation;
use ncnnc_compiler::kernel::interpret_program;
use ncnnc_compiler::mode::Mode;
use ncnnc_compiler::plan::winograd::{Filtering, Window, Winograd};
use ncnnc_compiler::plan::{Numerics, Plan, interpret, interpret_real};
use ncnnc_compiler::schedule::{Constants, schedule};
use ncnnc_targets::TARGETS;
use ncnnc_tests::planned::{Planned, plan_layers};

const SIZES: [Filtering; 2] = [Filtering::Two, Filtering::Four];

/// A convolution of 3x3.
fn convolution(name: &str, [from, to]: [&str; 2], [inputs, outputs]: [usize; 2], rest: &str) -> String {
    format!("Convolution {name} 1 1 {from} {to} 0={outputs} 1=3 6={} {rest}", 9 * inputs * outputs)
}

/// The plan with this algorithm wherever it can be; how often that is.
fn with_algorithm(plan: &Plan, algorithm: Winograd) -> (Plan, usize) {
    let mut changed = Plan { mode: Mode::Fast, ..plan.clone() };
    changed.graph.modes.values_mut().for_each(|mode| *mode = Mode::Fast);
    let mut places = 0;
    for (operation, numerics) in changed.graph.operations.iter().zip(&mut changed.numerics) {
        if let Operation::Nest(nest) = operation
            && Window::of(&changed.graph, nest).is_some()
        {
            *numerics = Numerics::Winograd(algorithm);
            places += 1;
        }
    }
    changed.verify();
    (changed, places)
}

/// Holds every target's kernels to the plan, with every size of tile wherever the algorithm can be; `places` says where.
fn kernels_equal(layers: &[String], shape: &[usize], places: usize) {
    let Planned { compiled: Compiled { plan: direct, .. }, inputs } = plan_layers(layers, shape, Mode::Strict);
    for (rows, columns) in SIZES.iter().flat_map(|rows| SIZES.iter().map(move |columns| (*rows, *columns))) {
        let (plan, found) = with_algorithm(&direct, Winograd { rows, columns });
        assert_eq!(found, places, "{plan}");
        let wanted = interpret(&plan, &inputs);
        for target in TARGETS {
            let mut constants = Constants::default();
            let mut program = schedule(&plan, target, &mut constants);
            constants.finish([&mut program]);
            let got = interpret_program(&program, &inputs);
            for (wanted, got) in wanted.iter().zip(&got) {
                assert_eq!(wanted.words.len(), got.len());
                let equal = wanted.words.iter().zip(got).filter(|(a, b)| a == b).count();
                assert_eq!(equal, got.len(), "equal words on {} of\n{plan}\n{program}", target.name);
            }
        }
    }
}

#[test]
fn kernels_equal_the_plan_whatever_the_sizes() {
    // Planes smaller than a tile, tiles that reach far beyond, one channel, channels that fill no block or vector, and
    // enough rows of tiles for blocks of them.
    let sizes: [([usize; 3], usize, &str); 12] = [
        ([1, 3, 3], 1, ""),
        ([1, 1, 1], 2, "4=1"),
        ([3, 5, 4], 7, "4=1 5=1"),
        ([5, 2, 9], 17, "4=1 9=1"),
        ([16, 7, 7], 16, "4=1"),
        ([17, 6, 11], 36, "4=1 5=1"),
        ([20, 13, 8], 24, ""),
        ([8, 16, 16], 9, "4=1 5=1 9=2 -23310=1,0.1"),
        ([4, 17, 5], 40, "4=2"),
        ([2, 32, 8], 3, "4=1"),
        ([18, 16, 20], 5, "14=1 16=0 4=0 15=2"),
        ([33, 4, 4], 70, "4=1 5=1 9=1"),
    ];
    for (shape, outputs, rest) in sizes {
        let layer = convolution("layer", ["in0", "out0"], [shape[0], outputs], rest);
        kernels_equal(&[layer], &shape, 1);
    }
}

#[test]
fn kernels_equal_the_plan_between_other_layers() {
    // What is added comes from a blob that others read too; the next layer needs another halo.
    let layers = [
        "Convolution before 1 1 in0 a 0=20 1=1 6=60".to_string(),
        "Split split 1 2 a b c".to_string(),
        convolution("first", ["b", "d"], [20, 20], "4=1 5=1"),
        "BinaryOp sum 2 1 d c e 0=0".to_string(),
        "ReLU relu 1 1 e f".to_string(),
        "Convolution last 1 1 f out0 0=4 1=5 4=2 6=2000".to_string(),
    ];
    kernels_equal(&layers, &[3, 9, 10], 1);
    // Halves of a blob, one of which begins within a block of channels.
    for outputs in [16, 12] {
        let layers = [
            "Split split 1 2 in0 a b".to_string(),
            convolution("left", ["a", "c"], [3, outputs], "4=1"),
            convolution("right", ["b", "d"], [3, 20], "4=1"),
            "Concat whole 2 1 c d out0 0=0".to_string(),
        ];
        kernels_equal(&layers, &[3, 6, 10], if outputs == 16 { 2 } else { 1 });
    }
}

/// The largest error, as a share of the largest magnitude.
fn error(plan: &Plan, inputs: &[Vec<u32>]) -> f64 {
    let exact = &interpret_real(plan, inputs)[0].values;
    let largest = exact.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let got = &interpret(plan, inputs)[0].words;
    let off = |(word, exact): (&u32, &f64)| (f64::from(f32::from_bits(*word)) - exact).abs();
    got.iter().zip(exact).map(off).fold(0.0, f64::max) / largest
}

#[test]
fn the_error_is_that_of_the_direct_sum() {
    let layer = convolution("layer", ["in0", "out0"], [64, 16], "4=1 5=1");
    let Planned { compiled: Compiled { plan: direct, .. }, inputs } =
        plan_layers(&[layer], &[64, 16, 16], Mode::Strict);
    let by_definition = error(&direct, &inputs);
    for (rows, columns, times) in [
        (Filtering::Two, Filtering::Two, 1.0),
        (Filtering::Four, Filtering::Two, 2.0),
        (Filtering::Four, Filtering::Four, 3.0),
    ] {
        let (plan, _) = with_algorithm(&direct, Winograd { rows, columns });
        let error = error(&plan, &inputs);
        println!("{}: {error:.1e}, direct {by_definition:.1e}", Winograd { rows, columns });
        assert!(error > 0.0 && error < times * by_definition, "{error:e} against {by_definition:e}");
    }
}

#[test]
fn only_what_is_cheaper_by_tiles_is_computed_by_tiles() {
    let masked = |inputs: usize, outputs: usize, size: usize, mode: Mode, mask: &str| {
        let layer = convolution("layer", ["in0", "out0"], [inputs, outputs], &format!("4=1 {mask}"));
        match plan_layers(&[layer], &[inputs, size, size], mode).compiled.plan.numerics[0] {
            Numerics::Winograd(winograd) => winograd.to_string(),
            Numerics::Direct(_) => "direct".to_string(),
            Numerics::Plain => panic!("a convolution has a sum"),
        }
    };
    let chosen = |inputs, outputs, size, mode| masked(inputs, outputs, size, mode, "");
    assert_eq!(masked(64, 64, 56, Mode::Fast, "31=1"), "F(4x4, 3x3)");
    assert_eq!(masked(64, 64, 56, Mode::Fast, "31=65"), "direct", "the feature mask forbids it");
    assert_eq!(chosen(64, 64, 56, Mode::Fast), "F(4x4, 3x3)");
    assert_eq!(chosen(64, 64, 56, Mode::Strict), "direct");
    assert_eq!(chosen(128, 128, 28, Mode::Fast), "F(4x4, 3x3)");
    assert_eq!(chosen(3, 64, 56, Mode::Fast), "direct", "an image has few channels");
    assert_eq!(chosen(512, 512, 2, Mode::Fast), "direct", "a small plane reads each weight for little");
}
