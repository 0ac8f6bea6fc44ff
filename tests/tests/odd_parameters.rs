//! Parameters that one may take for mistakes, and what the real ncnn makes of them.

use ncnnc_compiler::compile::{Compiled, Options};
use ncnnc_compiler::plan::{Value, interpret};
use ncnnc_tests::planned::plan_files;

/// The extents of an input that counts from 1, a layer behind it, and the shape and values that ncnn 1.0.20261020 puts out.
type Case = (&'static str, &'static str, &'static [usize], &'static [f32]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("0=3", "HardSigmoid b 1 1 a b 0=0.0 1=0.25", &[3], &[0.25, 0.25, 0.25]),
    ("0=3", "HardSigmoid b 1 1 a b 0=0.0 1=2.0", &[3], &[1.0, 1.0, 1.0]),
    ("0=3", "HardSwish b 1 1 a b 0=0.0 1=0.5", &[3], &[0.5, 1.0, 1.5]),
    ("0=3 1=1 2=1", "Squeeze b 1 1 a b 3=0,-3", &[1, 3], &[1.0, 2.0, 3.0]),
    ("0=1 1=3", "Squeeze b 1 1 a b 3=1,1,3", &[3], &[1.0, 2.0, 3.0]),
    ("0=3", "ExpandDims b 1 1 a b 3=1,1", &[1, 1, 3], &[1.0, 2.0, 3.0]),
    ("0=3", "ExpandDims b 1 1 a b 3=-1,-1", &[1, 3, 1], &[1.0, 2.0, 3.0]),
    ("0=3", "ExpandDims b 1 1 a b 3=0,3", &[1, 1, 3], &[1.0, 2.0, 3.0]),
    ("0=2 1=2", "ExpandDims b 1 1 a b 3=0,1,2", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
    ("0=2 1=2 2=2", "Reshape b 1 1 a b 0=0", &[8], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
    ("0=2 1=1 11=2 2=2", "Reshape b 1 1 a b 0=0", &[8], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
    ("0=2 1=2", "Reshape b 1 1 a b 0=7", &[4], &[1.0, 2.0, 3.0, 4.0]),
    ("0=1 1=3", "Slice b 1 1 a b 0=2,", &[2, 1], &[1.0, 2.0]),
    ("0=3 1=2", "Slice b 1 1 a b 0=2, 1=1", &[2, 2], &[1.0, 2.0, 4.0, 5.0]),
    ("0=1 1=3 2=2", "Slice b 1 1 a b 0=2, 1=1", &[2, 2, 1], &[1.0, 2.0, 4.0, 5.0]),
    ("0=2 1=2", "Reduction b 1 1 a b 0=2 1=0 2=0.5", &[2, 2], &[0.5, 2.0, 4.5, 8.0]),
    ("0=2 1=2", "Reduction b 1 1 a b 0=3 1=0 4=1", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
    ("0=3 1=2", "Crop b 1 1 a b 9=0,1 10=1,3 11=1,1", &[2, 2], &[2.0, 3.0, 5.0, 6.0]),
    ("0=2 1=1 2=2", "Tile b 1 1 a b 2=1,2,1,1", &[2, 2, 1, 2], &[1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]),
    ("0=2 1=1 2=2", "Tile b 1 1 a b 2=2,1,1,1", &[4, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]),
    ("0=2 1=1 2=2", "Tile b 1 1 a b 2=1,1,1,1", &[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]),
    ("0=4 1=1", "Tile b 1 1 a b 2=2,1,1,1", &[2, 1, 1, 4], &[1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]),
    ("0=2", "Tile b 1 1 a b 0=2 1=2", &[4], &[1.0, 2.0, 1.0, 2.0]),
    ("0=3", "Flip b 1 1 a b 0=1,", &[3], &[3.0, 2.0, 1.0]),
    ("0=4", "Slice b 1 1 a b 0=4, 1=-3", &[4], &[1.0, 2.0, 3.0, 4.0]),
    ("0=2", "Softmax b 1 1 a b 0=1 1=1", &[2], &[0.268_941_43, 0.731_058_6]),
];

#[test]
fn odd_parameters_mean_what_they_mean_to_ncnn() {
    for (extents, layer, shape, values) in CASES {
        let param = format!("7767517\n2 2\nInput a 0 1 a {extents}\n{layer}\n");
        let compiled = plan_files(layer, param.as_bytes(), &[], &Options::default(), &[]);
        let Compiled { plan, .. } = compiled.unwrap_or_else(|problems| panic!("{problems}"));
        let count = plan.graph.tensor(plan.graph.inputs[0]).elements();
        let input: Vec<u32> = (1..=count).map(|number| (number as f32).to_bits()).collect();
        let Value { shape: got_shape, words } = &interpret(&plan, &[input])[0];
        let got: Vec<f32> = words.iter().map(|word| f32::from_bits(*word)).collect();
        assert_eq!(got_shape, shape, "{extents}: {layer}");
        let is_near = |(got, value): (&f32, &f32)| (got - value).abs() <= f32::EPSILON * value.abs();
        assert!(got.iter().zip(*values).all(is_near), "{extents}: {layer}: {got:?}, not {values:?}");
    }
}
