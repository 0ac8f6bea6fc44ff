//! What users' choices of precision do: which constants and activations are narrow, what is said of choices that make no
//! sense, and what the digits lose.

use ncnnc_compiler::compile::{Compiled, File, Options, compile};
use ncnnc_compiler::diagnostic::Diagnostic;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::plan::{Plan, interpret, interpret_real};
use ncnnc_compiler::precision::{Exception, Precision};
use ncnnc_tests::npy::Tensor;
use ncnnc_tests::shared::workspace;
use ncnnc_tests::synth::synth;
use std::collections::HashMap;

ncnnc::include_model! {
    struct Digits = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
}

ncnnc::include_model! {
    struct DigitsF16 = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
    precision = f16;
}

ncnnc::include_model! {
    struct DigitsBf16 = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
    precision = bf16;
}

ncnnc::include_model! {
    struct DigitsMixed = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
    precision = f16;
    precision("convrelu_0", "linear*") = f32;
}

ncnnc::include_model! {
    struct DigitsF16Activations = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
    activations = f16;
}

ncnnc::include_model! {
    struct DigitsBf16Activations = "../runtime/examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
    precision = f16;
    activations = bf16;
    activations("maxpool2d_14") = f32;
}

/// Two convolutions with batch norms behind, one that must not be narrow, and a product.
const PARAM: &str = "7767517
7 7
Input        in0     0 1 in0 0=6 1=6 2=4
Convolution  first   1 1 in0 a 0=8 1=3 4=1 5=1 6=288
BatchNorm    norm    1 1 a b 0=8
Convolution  masked  1 1 b c 0=8 1=1 5=1 6=64 31=2
Convolution  second  1 1 c d 0=8 1=1 5=1 6=64 31=4
InnerProduct fc      1 1 d e 0=5 1=1 2=1440
Softmax      prob    1 1 e prob 0=0 1=1
";

fn exceptions(list: &[(&str, Format)]) -> Vec<Exception> {
    list.iter().map(|(pattern, format)| Exception { pattern: pattern.to_string(), format: *format }).collect()
}

fn compiled(precision: Precision) -> Result<Compiled, String> {
    compiled_with(&Options { precision, ..Options::default() })
}

fn compiled_with(options: &Options) -> Result<Compiled, String> {
    let weights = synth(PARAM, 1, 1.0);
    let (param, weights) = (File { path: "net", bytes: PARAM.as_bytes() }, File { path: "net", bytes: &weights });
    let text = |problems: Vec<Diagnostic>| problems.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n");
    compile(param, weights, options, &[]).map_err(text)
}

/// The constants that are narrow, with their formats.
fn narrow(precision: Precision) -> Vec<String> {
    narrow_tensors(&compiled(precision).expect("it compiles").plan)
}

/// The activations that are narrow, with their formats.
fn narrow_activations(activations: Precision, outputs: &[&str]) -> Vec<String> {
    let outputs = outputs.iter().map(|blob| blob.to_string()).collect();
    let options = Options { activations, outputs, ..Options::default() };
    narrow_tensors(&compiled_with(&options).expect("it compiles").plan)
}

fn narrow_tensors(plan: &Plan) -> Vec<String> {
    let tensors = plan.graph.tensors.iter().zip(&plan.formats).filter(|(_, format)| format.is_narrow());
    tensors.map(|(tensor, format)| format!("{} {}", tensor.name, format.text())).collect()
}

#[test]
fn weights_are_narrow_and_nothing_else() {
    let f16 = narrow(Precision::of_all(Format::F16));
    assert_eq!(f16, ["second.weight f16", "fc.weight f16", "first.weight.folded f16"], "a mask forbids one");
    let bf16 = narrow(Precision::of_all(Format::Bf16));
    assert_eq!(bf16, ["masked.weight bf16", "fc.weight bf16", "first.weight.folded bf16"], "a mask forbids another");
    assert_eq!(narrow(Precision::default()), [] as [&str; 0]);
}

/// The blob `a` is never stored, as the norm is folded into the convolution; what the softmax needs stays inside it, and its
/// result is the caller's.
#[test]
fn activations_are_narrow_where_they_stay_in_the_network() {
    let all = Precision::of_all;
    assert_eq!(narrow_activations(all(Format::F16), &[]), ["b f16", "d f16", "e f16"], "a mask forbids one");
    assert_eq!(narrow_activations(all(Format::Bf16), &[]), ["b bf16", "c bf16", "e bf16"], "a mask forbids another");
    assert_eq!(narrow_activations(all(Format::F16), &["d"]), ["b f16", "e f16"], "the caller gets another");
    assert_eq!(narrow_activations(all(Format::Word), &[]), [] as [&str; 0]);
    let list = [("norm", Format::F16), ("first", Format::Bf16), ("f?", Format::Bf16)];
    let mixed = narrow_activations(Precision { all: Format::Word, exceptions: exceptions(&list) }, &[]);
    assert_eq!(mixed, ["b f16", "e bf16"], "layers name the blobs that are their own");
    let unknown = Options {
        activations: Precision { all: Format::Word, exceptions: exceptions(&[("x", Format::F16)]) },
        ..Options::default()
    };
    let refused = compiled_with(&unknown).err().expect("it is refused");
    assert!(refused.starts_with("error: no layer is called `x`\n"), "{refused}");
}

#[test]
fn a_choice_for_what_is_not_stored_is_warned_of() {
    let list = [("first", Format::F16), ("masked", Format::F16), ("second", Format::F16), ("prob", Format::Word)];
    let activations = Precision { all: Format::Word, exceptions: exceptions(&list) };
    let warnings = compiled_with(&Options { activations, ..Options::default() }).expect("it compiles").warnings;
    insta::assert_snapshot!(warnings.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n"), @r#"
    warning: `activations("first") = f16;` changes nothing
      help: a feature mask may forbid it, and what a fused layer uses up isn't stored: name the last layer that is fused; `ncnnc inspect --activations f16` lists what can be stored so
    warning: `activations("masked") = f16;` changes nothing
      help: a feature mask may forbid it, and what a fused layer uses up isn't stored: name the last layer that is fused; `ncnnc inspect --activations f16` lists what can be stored so
    "#);
}

#[test]
fn plans_say_which_activations_are_rounded() {
    let options = Options { activations: Precision::of_all(Format::F16), ..Options::default() };
    let plan = compiled_with(&options).expect("it compiles").plan.to_string();
    let stored: Vec<&str> = plan.lines().filter(|line| line.contains("stored")).collect();
    assert_eq!(stored, ["    b stored in f16", "    d stored in f16", "    e stored in f16"]);
}

/// Every conversion that the format has: to nearest even, subnormal, infinite.
#[test]
fn interpreters_round_what_is_stored() {
    let param =
        "7767517\n3 3\nInput in0 0 1 in0 0=6\nCumulativeSum sums 1 1 in0 a 0=0\nCumulativeSum more 1 1 a out0 0=0\n";
    let file = |bytes| File { path: "net", bytes };
    let options = Options { activations: Precision::of_all(Format::F16), ..Options::default() };
    let Ok(compiled) = compile(file(param.as_bytes()), file(&[]), &options, &[]) else { panic!("it compiles") };
    let given = [2.0_f32.powi(-25) * 3.0, 0.0, 1.0, 2.0_f32.powi(-11), 65_000.0, -1e9];
    let input = given.map(f32::to_bits).to_vec();
    let mut sums = 0.0;
    let stored = given.map(|value| {
        sums += value;
        f32::from_bits(Format::F16.round(f32::to_bits(sums)))
    });
    assert_eq!(
        stored,
        [2.0_f32.powi(-23), 2.0_f32.powi(-23), 1.0, 1.0 + 2.0_f32.powi(-10), 64_992.0, f32::NEG_INFINITY]
    );
    let (mut words, mut reals) = (0.0_f32, 0.0_f64);
    let wanted = stored.map(|value| {
        words += value;
        reals += f64::from(value);
        (words.to_bits(), reals)
    });
    let got = interpret(&compiled.plan, std::slice::from_ref(&input)).remove(0).words;
    assert_eq!(got, wanted.map(|(words, _)| words));
    let got = interpret_real(&compiled.plan, &[input]).remove(0).values;
    assert_eq!(got, wanted.map(|(_, reals)| reals));
}

#[test]
fn layers_can_be_excepted() {
    let list = [("f*", Format::Word), ("first", Format::Bf16)];
    let mixed = narrow(Precision { all: Format::F16, exceptions: exceptions(&list) });
    assert_eq!(mixed, ["second.weight f16", "first.weight.folded bf16"]);
}

#[test]
fn a_choice_for_layers_that_there_are_not_is_refused() {
    let list = [("frist", Format::F16), ("fc", Format::F16), ("conv*", Format::F16)];
    let refused =
        compiled(Precision { all: Format::Word, exceptions: exceptions(&list) }).err().expect("it is refused");
    insta::assert_snapshot!(refused, @r"
    error: no layer is called `frist`
      help: there is `first`
    error: no layer is called `conv*`
      help: nothing is near it; the layers are `in0`, `first`, `norm` and 4 more
    ");
}

#[test]
fn what_a_format_has_no_room_for_is_counted() {
    let param = "7767517\n2 2\nInput in0 0 1 in0 0=3\nInnerProduct fc 1 1 in0 out0 0=2 1=0 2=6\n";
    let weights = [0, 1.0_f32.to_bits(), 70_000.0_f32.to_bits(), 65_504.0_f32.to_bits(), (-1e30_f32).to_bits(), 0, 0];
    let weights: Vec<u8> = weights.iter().flat_map(|word| word.to_le_bytes()).collect();
    let (param, weights) = (File { path: "net", bytes: param.as_bytes() }, File { path: "net", bytes: &weights });
    let options = Options { precision: Precision::of_all(Format::F16), ..Options::default() };
    let Ok(compiled) = compile(param, weights, &options, &[]) else { panic!("it compiles") };
    insta::assert_snapshot!(compiled.warnings[0], @r#"
    warning: layer `fc`: 2 of 6 weights are too large for f16 and become infinite
      help: `precision("fc") = f32;` keeps them as they are; with the command, `--precision 'fc=f32'`
    "#);
    assert_eq!(compiled.warnings.len(), 1);
}

fn digits(file: &str) -> Vec<u8> {
    let path = workspace().join("runtime/examples/digits").join(file);
    std::fs::read(path).expect("the example's file")
}

fn digits_tensor(file: &str) -> Tensor {
    Tensor::read(&workspace().join("runtime/examples/digits").join(file))
}

fn digits_compiled(weights: &str, format: Format) -> Compiled {
    let (param, weights) = (digits("digits.fp32.param"), digits(weights));
    let shapes = HashMap::from([("in0".to_string(), vec![1, 8, 8])]);
    let options = Options { shapes, precision: Precision::of_all(format), ..Options::default() };
    let file = |bytes| File { path: "digits", bytes };
    compile(file(&param), file(&weights), &options, &[]).unwrap_or_else(|problems| panic!("{}", problems[0]))
}

/// Weights in half precision in the file are read exactly: storing them so once more changes nothing. Where the file's
/// writer, ncnn's converter, rounded as we do, they are the ones that storing the file of full precision gives; it cuts off
/// what we round, and makes zeros of subnormal numbers.
#[test]
fn halves_in_the_file_are_stored_as_they_are() {
    let read = digits_compiled("digits.fp16.bin", Format::Word);
    let stored = digits_compiled("digits.fp16.bin", Format::F16);
    let image = digits_tensor("digits_test_images.npy").words[..64].to_vec();
    assert_eq!(read.plan.graph, stored.plan.graph, "not a bit of a constant changes");
    assert_eq!(interpret(&read.plan, std::slice::from_ref(&image)), interpret(&stored.plan, &[image]));
    let rounded = digits_compiled("digits.fp32.bin", Format::F16);
    let (mut equal, mut flushed, mut all) = (0, 0, 0);
    for (i, format) in stored.plan.formats.iter().enumerate().filter(|(_, format)| format.is_narrow()) {
        let id = ncnnc_compiler::graph::TensorId(i);
        let constants = [&stored, &rounded].map(|compiled| compiled.plan.graph.constant(id).expect("a constant"));
        for (a, b) in constants[0].iter().zip(constants[1].iter()) {
            let [a, b] = [*a, *b].map(|word| format.narrow(word));
            let is_flushed = a & 0x7fff == 0 && (1..0x400).contains(&(b & 0x7fff));
            assert!(is_flushed || a.abs_diff(b) <= 1, "{a:04x} and {b:04x} are not the neighbours of one number");
            equal += usize::from(a == b);
            flushed += usize::from(is_flushed);
            all += 1;
        }
    }
    println!("{equal} of {all} weights are equal, {flushed} are subnormal and zero in the file");
    assert!(2 * equal > all, "about half of what is cut off is less than half of the last place");
}

/// The digits read right, and the largest difference of a probability from PyTorch's.
fn judge(mut run: impl FnMut(&[f32; 64]) -> [f32; 10]) -> (usize, f32) {
    let images = digits_tensor("digits_test_images.npy").values();
    let labels = digits_tensor("digits_test_labels.npy").words;
    let expected = digits_tensor("digits_test_pytorch_probs.npy").values();
    let (mut right, mut worst) = (0, 0.0_f32);
    for ((image, label), expected) in images.chunks_exact(64).zip(&labels).zip(expected.chunks_exact(10)) {
        let got = run(image.try_into().expect("64 pixels"));
        let best = (0..10).max_by(|a, b| got[*a].total_cmp(&got[*b])).expect("ten digits");
        right += usize::from(best == *label as usize);
        worst = got.iter().zip(expected).fold(worst, |worst, (got, expected)| worst.max((got - expected).abs()));
    }
    (right, worst)
}

#[test]
fn digits_keep_their_accuracy() {
    let (mut f32, mut f16, mut bf16, mut mixed) =
        (Digits::new(), DigitsF16::new(), DigitsBf16::new(), DigitsMixed::new());
    let (mut half_activations, mut all_narrow) = (DigitsF16Activations::new(), DigitsBf16Activations::new());
    let results = [
        ("f32", 2e-6, judge(|image| *f32.run(image))),
        ("f16", 5e-3, judge(|image| *f16.run(image))),
        ("f16 but for two layers", 5e-3, judge(|image| *mixed.run(image))),
        ("bf16", 5e-2, judge(|image| *bf16.run(image))),
        ("f32, activations f16", 5e-3, judge(|image| *half_activations.run(image))),
        ("f16, activations bf16 but for one", 5e-2, judge(|image| *all_narrow.run(image))),
    ];
    let (_, _, (plain, _)) = results[0];
    for (name, bound, (right, worst)) in results {
        println!("{name}: {right} of 360 right, probabilities within {worst:.1e} of PyTorch's");
        assert!(worst < bound, "{name}: {worst:e}");
        // A digit or two may be a near miss either way.
        assert!(right.abs_diff(plain) <= 2, "{name}: {right} of 360, {plain} in f32");
    }
}
