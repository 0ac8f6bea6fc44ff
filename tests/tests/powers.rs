//! Powers of bases that are negative, zero or no number, by BinaryOp with tensors and with numbers: what C's `pow` says, and
//! the real ncnn, which calls it for elements that fill no vector. (Those that do it computes as `exp(b log(a))`, which has
//! no sense for such bases.)

use ncnnc_compiler::compile::{Compiled, Options};
use ncnnc_compiler::kernel::interpret_program;
use ncnnc_compiler::plan::interpret;
use ncnnc_targets::TARGETS;
use ncnnc_tests::planned::plan_files;
use std::collections::HashMap;

/// Bases, exponents and what ncnn 1.0.20261020 makes of single elements, given as tensors; where the exponent or the base can
/// be written as a number, the same comes of that.
#[rustfmt::skip]
const POWERS: &[(f32, f32, f32)] = &[
    (-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (-2.0, -3.0, -0.125), (-2.0, 0.0, 1.0), (-2.0, 0.5, f32::NAN),
    (-0.5, -1.0, -2.0), (-8.0, 1.0 / 3.0, f32::NAN), (-1.0, 8_388_609.0, -1.0), (-1.0, 16_777_216.0, 1.0),
    (-1e30, 2.0, f32::INFINITY), (-1e30, 3.0, f32::NEG_INFINITY), (-1e-30, 3.0, -0.0),
    (-0.0, 2.0, 0.0), (-0.0, 3.0, -0.0), (-0.0, -1.0, f32::NEG_INFINITY), (-0.0, -2.0, f32::INFINITY), (-0.0, 0.5, 0.0),
    (-0.0, -0.5, f32::INFINITY), (0.0, -1.0, f32::INFINITY),
    (f32::NEG_INFINITY, 2.0, f32::INFINITY), (f32::NEG_INFINITY, 3.0, f32::NEG_INFINITY),
    (f32::NEG_INFINITY, 0.5, f32::INFINITY), (f32::NEG_INFINITY, -3.0, -0.0), (f32::NEG_INFINITY, -2.0, 0.0),
    (-1.0, f32::INFINITY, 1.0), (-2.0, f32::INFINITY, f32::INFINITY), (-0.5, f32::INFINITY, 0.0),
    (-2.0, f32::NEG_INFINITY, 0.0), (-0.5, f32::NEG_INFINITY, f32::INFINITY),
    (-2.0, f32::NAN, f32::NAN), (-1.0, f32::NAN, f32::NAN), (f32::NAN, 2.0, f32::NAN), (f32::NAN, 0.0, 1.0),
];

/// What BinaryOp with these parameters makes of inputs of one length, by the plan and by every target's kernels.
fn operate(parameters: &str, inputs: &[Vec<f32>]) -> Vec<f32> {
    let names: Vec<String> = (0..inputs.len()).map(|number| format!("in{number}")).collect();
    let count = inputs.len();
    let mut param = format!("7767517\n{} {}\n", count + 1, count + 1);
    names.iter().for_each(|name| param += &format!("Input {name} 0 1 {name} 0={}\n", inputs[0].len()));
    param += &format!("BinaryOp op {count} 1 {} out0 {parameters}\n", names.join(" "));
    let options = Options { shapes: HashMap::new(), ..Options::default() };
    let compiled = plan_files(parameters, param.as_bytes(), &[], &options, TARGETS);
    let Compiled { plan, programs, .. } = compiled.unwrap_or_else(|problems| panic!("{problems}"));
    let words: Vec<Vec<u32>> = inputs.iter().map(|input| input.iter().map(|x| x.to_bits()).collect()).collect();
    let values = floats(&interpret(&plan, &words)[0].words);
    for (target, program) in programs {
        let got = floats(&interpret_program(&program, &words)[0]);
        assert!(values.iter().zip(&got).all(|(value, got)| same(*value, *got)), "{parameters} on {}", target.name);
    }
    values
}

fn floats(words: &[u32]) -> Vec<f32> {
    words.iter().map(|word| f32::from_bits(*word)).collect()
}

/// Whether two floats are the same; a NaN is any other.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn check(base: f32, exponent: f32, power: f32, got: f32, how: &str) {
    assert!(same(got, power), "{base} to the power of {exponent} {how}: {got}, not {power}");
}

#[test]
fn tensors_are_raised_to_tensors() {
    let bases: Vec<f32> = POWERS.iter().map(|(base, ..)| *base).collect();
    let exponents: Vec<f32> = POWERS.iter().map(|(_, exponent, _)| *exponent).collect();
    let (forwards, backwards) = ([bases.clone(), exponents.clone()], [exponents, bases]);
    for (how, parameters, inputs) in [("by pow", "0=6", forwards), ("by rpow", "0=9", backwards)] {
        for ((base, exponent, power), got) in POWERS.iter().zip(operate(parameters, &inputs)) {
            check(*base, *exponent, *power, got, how);
        }
    }
}

#[test]
fn a_tensor_is_raised_to_a_number_or_a_number_to_a_tensor() {
    for (base, exponent, power) in POWERS.iter().copied() {
        if exponent.is_finite() {
            let got = operate(&format!("0=6 1=1 2={exponent:e}"), &[vec![base]])[0];
            check(base, exponent, power, got, "as a number");
        }
        if base.is_finite() {
            let got = operate(&format!("0=9 1=1 2={base:e}"), &[vec![exponent]])[0];
            check(base, exponent, power, got, "of a number");
        }
    }
}
