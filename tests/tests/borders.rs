//! Padding by borders of negative width, which take elements away: what the real ncnn makes of them, where it stays within
//! its memory, and that the others are refused.

use ncnnc_compiler::compile::{Compiled, Options};
use ncnnc_compiler::kernel::interpret_program;
use ncnnc_compiler::plan::interpret;
use ncnnc_targets::TARGETS;
use ncnnc_tests::planned::plan_files;

/// An input of this shape, outermost extent first, which counts from 1 on; parameters; the shape and the elements that ncnn
/// 1.0.20261020 makes of it.
type Case = (&'static [usize], &'static str, &'static [usize], &'static [f32]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // To the left, the first elements go.
    (&[6], "2=-2", &[4], &[3.0, 4.0, 5.0, 6.0]),
    (&[6], "2=-2 3=1 5=9.0", &[5], &[3.0, 4.0, 5.0, 6.0, 9.0]),
    (&[3, 4], "2=-1 3=2 4=1", &[3, 5],
        &[2.0, 3.0, 4.0, 4.0, 4.0, 6.0, 7.0, 8.0, 8.0, 8.0, 10.0, 11.0, 12.0, 12.0, 12.0]),
    (&[3, 4], "2=-1 3=2 4=2", &[3, 5],
        &[2.0, 3.0, 4.0, 3.0, 2.0, 6.0, 7.0, 8.0, 7.0, 6.0, 10.0, 11.0, 12.0, 11.0, 10.0]),
    // At the top, the last rows go; those below repeat the last one that stays.
    (&[3, 4], "0=-1", &[2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
    (&[3, 4], "0=-1 1=1 5=9.0", &[3, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0, 9.0]),
    (&[3, 4], "0=-1 1=1 4=1", &[3, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 5.0, 6.0, 7.0, 8.0]),
    (&[3, 3], "0=-5 1=4 5=9.0", &[2, 3], &[9.0, 9.0, 9.0, 9.0, 9.0, 9.0]),
    // To the right, the last elements go where a constant border lies below.
    (&[3, 4], "1=1 3=-1 5=9.0", &[4, 3], &[1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 9.0, 10.0, 11.0, 9.0, 9.0, 9.0]),
    (&[3, 4], "0=1 1=1 2=-1 3=-1 5=9.0", &[5, 2], &[9.0, 9.0, 2.0, 3.0, 6.0, 7.0, 10.0, 11.0, 9.0, 9.0]),
    // In front and behind, along channels and along the depth.
    (&[4, 2, 2], "7=-1 8=-1", &[2, 2, 2], &[5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]),
    (&[4, 1, 2], "7=-1 8=2 5=9.0", &[5, 1, 2], &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0, 9.0]),
    (&[4, 1, 2], "7=-1 8=2 4=1", &[5, 1, 2], &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 7.0, 8.0, 7.0, 8.0]),
    (&[4, 1, 2], "7=-1 8=2 4=2", &[5, 1, 2], &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 5.0, 6.0, 3.0, 4.0]),
    (&[2, 3, 1, 2], "7=-1 8=1 4=2", &[2, 3, 1, 2],
        &[3.0, 4.0, 5.0, 6.0, 3.0, 4.0, 9.0, 10.0, 11.0, 12.0, 9.0, 10.0]),
    // Values of channels (7 and 8) beside all of it.
    (&[2, 3, 3], "0=-1 1=1 2=-1 3=1 7=-1 8=1 6=2", &[2, 3, 3],
        &[11.0, 12.0, 7.0, 14.0, 15.0, 7.0, 7.0, 7.0, 7.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]),
];

/// Borders with which ncnn reads or writes beyond its blobs, or nothing is left.
const REFUSED: &[(&[usize], &str, &str)] = &[
    (&[12], "2=-1", "-1 elements along w"),
    (&[6], "3=-1", "-1 elements along w"),
    (&[3, 4], "3=-2 1=1 4=1", "-2 elements along w"),
    (&[3, 4], "3=-3 1=2", "-3 elements along w"),
    (&[3, 4], "1=-1", "-1 elements along h"),
    (&[3, 4], "0=-1 1=-1", "-1 elements along h"),
    (&[3, 4], "0=-1 4=2", "-1 elements along h"),
    (&[3, 4], "0=-4 1=2 4=1", "-4 elements along h"),
    (&[4, 1, 2], "7=-2 8=-2", "would be empty"),
    (&[4, 1, 2], "7=-2 8=4 4=2", "can't be reflected by 4"),
];

/// The network of a case.
fn param(shape: &[usize], parameters: &str) -> String {
    let ids: &[u32] = [&[0][..], &[1, 0], &[2, 1, 0], &[2, 11, 1, 0]][shape.len() - 1];
    let extents: Vec<String> = ids.iter().zip(shape).map(|(id, extent)| format!("{id}={extent}")).collect();
    format!("7767517\n2 2\nInput in0 0 1 in0 {}\nPadding p 1 1 in0 out0 {parameters}\n", extents.join(" "))
}

#[test]
fn negative_borders_take_away_what_ncnn_takes_away() {
    for (shape, parameters, out_shape, expected) in CASES {
        let values: Vec<f32> = if parameters.contains("6=2") { vec![7.0, 8.0] } else { Vec::new() };
        let bin: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let compiled = plan_files(parameters, param(shape, parameters).as_bytes(), &bin, &Options::default(), TARGETS);
        let Compiled { plan, programs, .. } = compiled.unwrap_or_else(|problems| panic!("{parameters}: {problems}"));
        let elements = shape.iter().product::<usize>();
        let input: Vec<u32> = (0..elements).map(|at| (at as f32 + 1.0).to_bits()).collect();
        let expected: Vec<u32> = expected.iter().map(|value| value.to_bits()).collect();
        let got = interpret(&plan, std::slice::from_ref(&input)).remove(0);
        assert_eq!((got.shape.as_slice(), &got.words), (*out_shape, &expected), "{shape:?} with {parameters}");
        for (target, program) in programs {
            let words = interpret_program(&program, std::slice::from_ref(&input)).remove(0);
            assert_eq!(words, expected, "{shape:?} with {parameters} on {}", target.name);
        }
    }
}

#[test]
fn borders_that_ncnn_cannot_make_are_refused() {
    for (shape, parameters, reason) in REFUSED {
        let compiled = plan_files(parameters, param(shape, parameters).as_bytes(), &[], &Options::default(), &[]);
        let problems = compiled.err().unwrap_or_else(|| panic!("{shape:?} with {parameters} was compiled"));
        assert!(problems.contains(reason), "{shape:?} with {parameters}: {problems}");
    }
}
