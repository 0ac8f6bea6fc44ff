//! Forms of layers that few models have and no stored case has, with what the real ncnn (1.0.20261020) makes of them.

use ncnnc_compiler::compile::{Compiled, Options};
use ncnnc_compiler::kernel::{Port, interpret_program};
use ncnnc_compiler::plan::{Value, interpret};
use ncnnc_targets::TARGETS;
use ncnnc_tests::planned::{plan_files, same};

/// A blob by its name, its shape and its elements.
type Blob<'a> = (&'a str, &'a [usize], Vec<f32>);

/// The blobs `outputs` of layers that read `inputs`, by the plan and by every target's kernels. An input of shape `[0]`
/// is never fed.
fn run(layers: &[&str], inputs: &[Blob], weights: &[u8], outputs: &[&str]) -> Vec<(Vec<usize>, Vec<f32>)> {
    let lines: Vec<String> = inputs.iter().map(|(name, ..)| format!("Input {name} 0 1 {name}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain(layers.iter().copied()).collect();
    let made = |line: &&str| line.split_whitespace().nth(3).and_then(|count| count.parse::<usize>().ok());
    let blobs: usize = lines.iter().filter_map(made).sum();
    let param = format!("7767517\n{} {blobs}\n{}\n", lines.len(), lines.join("\n"));
    let options = Options {
        shapes: inputs.iter().map(|(name, shape, _)| (name.to_string(), shape.to_vec())).collect(),
        outputs: outputs.iter().map(ToString::to_string).collect(),
        ..Options::default()
    };
    let compiled = plan_files(layers[0], param.as_bytes(), weights, &options, TARGETS);
    let Compiled { plan, programs, .. } = compiled.unwrap_or_else(|problems| panic!("{problems}"));
    let fed =
        |name: &str| inputs.iter().find(|(input, ..)| *input == name).expect("an input of the graph is one of these");
    let words = |elements: &[f32]| elements.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    let words: Vec<Vec<u32>> = plan.graph.inputs.iter().map(|id| words(&fed(&plan.graph.tensor(*id).name).2)).collect();
    let values = interpret(&plan, &words);
    for (target, program) in programs {
        let got = interpret_program(&program, &words);
        let sized = |(port, words): (&Port, &Vec<u32>)| {
            let extents = port.extents.map(|extents| got[extents].iter().map(|extent| *extent as usize).collect());
            let shape: Vec<usize> = extents.unwrap_or_else(|| port.shape.clone());
            Value { words: words[..shape.iter().product()].to_vec(), shape }
        };
        let got: Vec<Value> = program.outputs.iter().zip(&got).map(sized).collect();
        let equal = values.iter().zip(&got).all(|(value, got)| same(value, got));
        assert!(equal, "{layers:?} on {}: other bits than the plan's", target.name);
    }
    let output = |name: &&str| {
        let at = plan.graph.outputs.iter().position(|output| output.name == *name).expect("it was asked for");
        let Value { shape, words } = &values[at];
        (shape.clone(), words.iter().map(|word| f32::from_bits(*word)).collect())
    };
    outputs.iter().map(output).collect()
}

/// Checks a layer from `a` to `b`.
#[track_caller]
fn check(layer: &str, (shape, elements): (&[usize], &[f32]), wanted: (&[usize], &[f32])) {
    let got = run(&[layer], &[("a", shape, elements.to_vec())], &[], &["b"]).remove(0);
    close(layer, &got, wanted);
}

#[track_caller]
fn close(what: &str, got: &(Vec<usize>, Vec<f32>), (shape, elements): (&[usize], &[f32])) {
    let near = |(got, wanted): (&f32, &f32)| {
        (got - wanted).abs() <= 2e-6 * wanted.abs().max(0.5) || got.is_nan() && wanted.is_nan()
    };
    assert_eq!((got.0.as_slice(), got.1.len()), (shape, elements.len()), "{what}");
    assert!(got.1.iter().zip(elements).all(near), "{what}: {:?}, not {elements:?}", got.1);
}

/// 1, 2, 3, ...
fn counted(count: usize) -> Vec<f32> {
    (1..=count).map(|number| number as f32).collect()
}

const NAN: f32 = f32::NAN;

/// With the padding modes 2 and 3, the padding's own numbers don't pad: as many of the outermost rows and columns of
/// the padded image don't count. Where nothing counts, ncnn divides zero by zero.
#[test]
fn a_mean_leaves_out_what_the_paddings_own_numbers_say() {
    let image = counted(30);
    let check = |layer: &str, shape: &[usize], wanted: &[f32]| check(layer, (&[1, 5, 6], &image), (shape, wanted));
    check("Pooling p 1 1 a b 0=1 1=3 2=2 5=2 3=1", &[1, 3, 3], &[5.5, 7.0, 8.5, 14.5, 16.0, 17.5, 23.5, 25.0, 26.5]);
    check(
        "Pooling p 1 1 a b 0=1 1=2 2=2 5=3 3=1 14=2 13=0 15=0",
        &[1, 3, 3],
        &[1.0, 1.75, NAN, 11.0, 12.5, NAN, 23.0, 24.5, NAN],
    );
    check(
        "Pooling p 1 1 a b 0=1 1=3 11=2 2=3 12=1 5=2 3=2 14=0 13=1 15=0",
        &[1, 5, 2],
        &[9.0, 11.0, 12.0, 14.0, 18.0, 20.0, 24.0, 26.0, 13.5, 14.5],
    );
    check(
        "Pooling p 1 1 a b 0=1 1=2 2=2 5=2 3=2 14=0 13=0 15=0",
        &[1, 3, 3],
        &[NAN, 6.5, 8.5, NAN, 18.5, 20.5, NAN, 13.75, 14.75],
    );
    check("Pooling p 1 1 a b 0=1 1=1 2=3 5=2 3=1 14=0", &[1, 2, 2], &[NAN, NAN, NAN, 22.0]);
    check("Pooling p 1 1 a b 0=1 1=2 2=1 5=2 3=9", &[1, 5, 6], &[NAN; 30]);
    // Numbers below zero leave nothing out, nor do any where the padding counts.
    check(
        "Pooling p 1 1 a b 0=1 1=3 2=2 5=3 3=-4 14=1",
        &[1, 3, 3],
        &[2.0, 4.0, 5.0, 9.0, 15.0, 16.5, 10.0, 16.0, 17.0],
    );
    check(
        "Pooling p 1 1 a b 0=1 1=3 2=2 5=2 3=1 6=1",
        &[1, 3, 3],
        &[3.333_333_3, 4.666_666_5, 3.777_778, 14.0, 16.0, 11.666_667, 15.333_333, 16.666_666, 11.777_778],
    );
}

/// What doesn't count may be anything.
#[test]
fn what_does_not_count_in_a_mean_is_not_even_seen() {
    let mut image = counted(30);
    (0..5).for_each(|row| image[6 * row] = f32::INFINITY);
    check(
        "Pooling p 1 1 a b 0=1 1=2 2=2 5=2 3=1 14=0 13=0 15=0",
        (&[1, 5, 6], &image),
        (&[1, 3, 3], &[5.0, 6.5, 8.5, 17.0, 18.5, 20.5, 13.0, 13.75, 14.75]),
    );
}

/// A vector is padded along its width alone, but its height's padding is left out all the same.
#[test]
fn the_mean_of_a_vector_leaves_out_padding_it_has_not() {
    let check = |layer: &str, shape: &[usize], wanted: &[f32]| check(layer, (&[8], &counted(8)), (shape, wanted));
    check("Pooling p 1 1 a b 0=1 1=2 11=1 2=2 3=1 13=0 5=1", &[1, 1, 5], &[1.0, 2.5, 4.5, 6.5, 8.0]);
    check("Pooling p 1 1 a b 0=1 1=2 11=1 2=2 3=1 13=0 15=1 5=1", &[1, 1, 5], &[NAN; 5]);
    check("Pooling p 1 1 a b 0=1 1=2 11=1 2=3 3=1 13=0 15=1 5=0", &[1, 1, 4], &[1.0, 3.5, 6.5, NAN]);
    check("Pooling p 1 1 a b 0=1 1=2 11=1 2=3 3=1 13=1 15=0 5=0", &[1, 1, 4], &[NAN; 4]);
}

#[test]
fn a_vector_is_multiplied_by_the_weights_of_an_input() {
    let weights = [1.0, 2.0, 3.0, -1.0, 0.5, 0.25];
    let run = |layer: &str, shape: &[usize], weights: &[f32], outputs: usize| {
        let kernel = [outputs, shape[0], 1, 1];
        let vector = [2.0, -4.0, 8.0][..shape[0]].to_vec();
        run(&[layer], &[("a", shape, vector), ("w", &kernel, weights.to_vec())], &[], &["b"]).remove(0)
    };
    // 2 - 8 + 24 and -2 - 2 + 2; as a vector, whatever the strides and the padding are.
    let got = run("Convolution l 2 1 a w b 0=2 1=1 3=2 4=1 19=1", &[3], &weights, 2);
    assert_eq!(got, (vec![2], vec![18.0, -2.0]));
    let got = run("Convolution l 2 1 a w b 0=3 1=1 19=1 9=1", &[1], &[1.0, -1.0, 3.0], 3);
    assert_eq!(got, (vec![3], vec![2.0, 0.0, 6.0]));
}

#[test]
fn a_vector_is_a_row_to_gemm() {
    let (vector, matrix) = (vec![1.0, 2.0, 3.0], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let product = |layer: &str, a: (&[usize], &[f32]), b: (&[usize], &[f32]), wanted: (&[usize], &[f32])| {
        let got = run(&[layer], &[("a", a.0, a.1.to_vec()), ("b", b.0, b.1.to_vec())], &[], &["out0"]).remove(0);
        close(layer, &got, wanted);
    };
    let row: (&[usize], &[f32]) = (&[3], &vector);
    product("Gemm g 2 1 a b out0", row, (&[3, 2], &matrix), (&[1, 2], &[16.0, 22.0]));
    product("Gemm g 2 1 a b out0 2=1", row, (&[1, 2], &[10.0, 20.0]), (&[3, 2], &[10.0, 20.0, 20.0, 40.0, 30.0, 60.0]));
    product("Gemm g 2 1 a b out0", (&[2, 1], &[1.0, 2.0]), row, (&[2, 3], &[1.0, 2.0, 3.0, 2.0, 4.0, 6.0]));
    product("Gemm g 2 1 a b out0 3=1", (&[2, 3], &[0.0, 2.0, 4.0, 1.0, 3.0, 5.0]), row, (&[2, 1], &[16.0, 22.0]));
    product("Gemm g 2 1 a b out0 3=1", row, row, (&[1, 1], &[14.0]));
    let constant: Vec<u8> =
        [0u32].into_iter().chain(matrix.iter().map(|x| x.to_bits())).flat_map(u32::to_le_bytes).collect();
    let layer = "Gemm g 1 1 a out0 5=1 6=1 8=2 9=3 10=-1 11=1 14=1";
    let got = run(&[layer], &[("a", &[3], vector)], &constant, &["out0"]).remove(0);
    close(layer, &got, (&[2, 1, 1], &[16.0, 22.0]));
}

/// Of a blob of four dimensions, what isn't in the first plane of a channel is dropped, or kept with the size.
#[test]
fn the_first_planes_of_four_dimensions_are_resized() {
    let blob = counted(24);
    let check = |layer: &str, shape: &[usize], wanted: &[f32]| check(layer, (&[2, 2, 2, 3], &blob), (shape, wanted));
    let doubled: Vec<f32> = (1..=6).chain(13..=18).flat_map(|number| [number as f32; 2]).collect();
    check("Interp i 1 1 a b 0=1 1=1.0 2=2.0", &[2, 2, 6], &doubled);
    check("Interp i 1 1 a b 0=2 3=1 4=2", &[2, 1, 2], &[2.75, 4.25, 14.75, 16.25]);
    check(
        "Interp i 1 1 a b 0=3 3=2 4=2",
        &[2, 2, 2],
        &[1.191_406_2, 2.808_593_8, 4.191_406_2, 5.808_593_8, 13.191_406, 14.808_594, 16.191_406, 17.808_594],
    );
    check("Interp i 1 1 a b 0=0 3=2 4=3", &[2, 2, 2, 3], &blob);
}

#[test]
fn the_first_planes_of_four_dimensions_are_normalised() {
    let blob = counted(24);
    let check = |layer: &str, first: [f32; 6], second: [f32; 6]| {
        let wanted = [&first, &blob[6..12], &second, &blob[18..]].concat();
        check(layer, (&[2, 2, 2, 3], &blob), (&[2, 2, 2, 3], &wanted));
    };
    check(
        "LRN n 1 1 a b 0=0 1=3 2=1.0 3=0.5",
        [0.131_685_38, 0.243_132_26, 0.337_526_38, 0.417_786_36, 0.486_408_32, 0.545_454_56],
        [1.711_909_9, 1.701_925_9, 1.687_631_8, 1.671_145_4, 1.653_788_3, 1.636_363_7],
    );
    check(
        "LRN n 1 1 a b 0=1 1=3 2=1.0 3=0.5",
        [0.404_519_92, 0.599_999_96, 0.987_878_3, 1.618_079_7, 1.499_999_9, 1.975_756_6],
        [1.286_491_3, 1.096_191, 1.393_382_5, 1.583_373_9, 1.331_089_1, 1.672_059],
    );
}

/// Small weights of a MultiHeadAttention with an embedding of 4.
fn attention_weights() -> Vec<u8> {
    let eighths = |number: usize| (number % 11) as f32 / 8.0 - 0.625;
    let quarters = |number: usize| (number % 7) as f32 / 4.0 - 0.75;
    let array = |i: usize| (0..16).map(move |k| eighths(7 * k + 3 * i)).chain((0..4).map(move |k| quarters(5 * k + i)));
    let tagged = |i: usize| [0u32].into_iter().chain(array(i).map(f32::to_bits));
    (0..4).flat_map(tagged).flat_map(u32::to_le_bytes).collect()
}

const QUERIES: [f32; 8] = [1.0, 0.0, -1.0, 0.5, 0.25, 2.0, 0.0, -0.5];
const NEXT_QUERY: [f32; 4] = [0.5, -1.0, 1.0, 0.0];
const KEYS: [f32; 12] = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.5, 0.0, 0.0, 1.0];

const CACHED_KEYS: [f32; 8] = [-1.0625, 1.9375, 0.875, 0.6875, -0.25, 1.0, -0.90625, -0.09375];
const CACHED_VALUES: [f32; 8] = [-0.625, -1.4375, -0.96875, 0.1875, 0.1875, -0.625, 0.0, 1.15625];
const LONGER_KEYS: [f32; 12] =
    [-1.0625, 1.9375, 0.875, 0.6875, -1.125, 0.5, -0.25, 1.0, -0.90625, -0.09375, 1.0625, -0.4375];
const LONGER_VALUES: [f32; 12] =
    [-0.625, -1.4375, -0.96875, 0.1875, 0.6875, -1.5, 0.1875, -0.625, 0.0, 1.15625, 1.5, -0.6875];
const ATTENDED: [f32; 4] = [-0.283_915_52, 0.466_636_1, 0.293_461, 1.044_012_7];

/// Of itself a layer sees what it has seen before, whether its caches come from a layer or from the caller.
#[test]
fn caches_of_keys_and_values_grow() {
    let parameters = "0=4 1=2 2=16 7=1";
    let steps = [
        format!("MultiHeadAttention m 3 3 q pk pv o0 k0 v0 {parameters}"),
        format!("MultiHeadAttention n 3 3 r k0 v0 o1 k1 v1 {parameters}"),
    ];
    let empty = |name| (name, &[0][..], Vec::new());
    let next = ("r", &[1, 4][..], NEXT_QUERY.to_vec());
    let inputs = [empty("pk"), empty("pv"), ("q", &[2, 4][..], QUERIES.to_vec()), next.clone()];
    let names = ["o0", "k0", "v0", "o1", "k1", "v1"];
    let got = run(&[&steps[0], &steps[1]], &inputs, &attention_weights().repeat(2), &names);
    let first = [
        -0.130_801_65,
        0.103_936_12,
        0.486_657_68,
        0.721_395_43,
        -0.249_543_41,
        0.089_001_596,
        0.354_208_3,
        0.692_753_26,
    ];
    close("o0", &got[0], (&[2, 4], &first));
    close("k0", &got[1], (&[2, 2, 2], &CACHED_KEYS));
    close("v0", &got[2], (&[2, 2, 2], &CACHED_VALUES));
    let check_second = |got: &[(Vec<usize>, Vec<f32>)]| {
        close("o1", &got[0], (&[1, 4], &ATTENDED));
        close("k1", &got[1], (&[2, 3, 2], &LONGER_KEYS));
        close("v1", &got[2], (&[2, 3, 2], &LONGER_VALUES));
    };
    check_second(&got[3..]);
    let caches = [("k0", &[2, 2, 2][..], CACHED_KEYS.to_vec()), ("v0", &[2, 2, 2][..], CACHED_VALUES.to_vec())];
    let inputs = [next, caches[0].clone(), caches[1].clone()];
    check_second(&run(&[&steps[1]], &inputs, &attention_weights(), &names[3..]));
}

/// Of another sequence it sees only what is cached, once anything is.
#[test]
fn caches_of_another_sequence_stay() {
    let parameters = "0=4 1=2 2=16 7=1";
    let steps = [
        format!("MultiHeadAttention m 4 3 q k pk pv o0 k0 v0 {parameters}"),
        format!("MultiHeadAttention n 4 3 r other k0 v0 o1 k1 v1 {parameters}"),
    ];
    let empty = |name| (name, &[0][..], Vec::new());
    let inputs = [
        empty("pk"),
        empty("pv"),
        ("q", &[2, 4][..], QUERIES.to_vec()),
        ("k", &[3, 4][..], KEYS.to_vec()),
        ("r", &[1, 4][..], NEXT_QUERY.to_vec()),
        ("other", &[5, 4][..], vec![1e9; 20]),
    ];
    let got =
        run(&[&steps[0], &steps[1]], &inputs, &attention_weights().repeat(2), &["o0", "k0", "v0", "o1", "k1", "v1"]);
    let keys = [-0.125, 1.25, 0.0, 1.25, -1.0, 1.375, -0.5, 0.5, -0.625, 0.25, -0.0625, 0.5625];
    let values = [-0.5, -0.875, -1.125, -0.25, -0.1875, -1.625, 0.5, 0.125, -0.375, 0.5, 0.75, -0.6875];
    let first =
        [-0.336_929_02, 0.263_167_47, 0.250_204_83, 0.850_301_4, -0.443_393_05, 0.307_059, 0.141_780_57, 0.892_232_66];
    close("o0", &got[0], (&[2, 4], &first));
    close("o1", &got[3], (&[1, 4], &[-0.335_244_36, 0.378_836_3, 0.245_026_59, 0.959_107_3]));
    for (name, at, wanted) in [("k0", 1, &keys), ("k1", 4, &keys), ("v0", 2, &values), ("v1", 5, &values)] {
        close(name, &got[at], (&[2, 3, 2], wanted));
    }
}

#[test]
fn attention_takes_one_mask_for_all_heads_and_a_vector_for_a_sequence() {
    let layer = "MultiHeadAttention m 3 1 q k mask out0 0=4 1=2 2=16 5=1";
    let query = || NEXT_QUERY.to_vec();
    let inputs =
        [("q", &[1, 4][..], query()), ("k", &[3, 4], KEYS.to_vec()), ("mask", &[1, 1, 3], vec![0.5, -1.0, 0.25])];
    let got = run(&[layer], &inputs, &attention_weights(), &["out0"]).remove(0);
    close(layer, &got, (&[1, 4], &[-0.445_602_83, 0.523_535_5, 0.143_142_31, 1.112_280_7]));
    let layer = "MultiHeadAttention m 1 1 q out0 0=4 1=2 2=16";
    let got = run(&[layer], &[("q", &[4], query())], &attention_weights(), &["out0"]).remove(0);
    close(layer, &got, (&[1, 4], &[-0.664_062_5, 0.898_437_5, 0.085_937_5, 1.648_437_5]));
}

/// ncnn's quicksort leaves equal scores in an order of its own, within a class and among all; both limits cut through
/// them.
#[test]
fn equal_scores_are_in_the_order_of_ncnns_quicksort() {
    const PRIORS: usize = 9;
    let scores = [0.75, 0.5, 0.75, 0.75, 0.5, 0.75, 1.0, 0.75, 0.75]
        .into_iter()
        .zip([0.5, 0.75, 0.75, 0.25, 0.75, 0.75, 0.75, 0.5, 1.0]);
    let scores = scores.flat_map(|(first, second)| [0.0, first, second]).collect();
    // Boxes apart from one another, at 0, 1, 2, ...
    let boxes = (0..PRIORS).flat_map(|prior| [prior as f32, 0.0, prior as f32 + 0.5, 1.0]);
    let priors = boxes.chain([0.1; 4 * PRIORS]).collect();
    let layer = "DetectionOutput d 3 1 offsets scores priors out0 0=3 1=0.5 2=7 3=11 4=0.5";
    let inputs = [
        ("offsets", &[4 * PRIORS][..], vec![0.0; 4 * PRIORS]),
        ("scores", &[3 * PRIORS], scores),
        ("priors", &[2, 4 * PRIORS], priors),
    ];
    let (shape, rows) = run(&[layer], &inputs, &[], &["out0"]).remove(0);
    assert_eq!(shape, [11, 6]);
    let got: Vec<[f32; 3]> = rows.chunks(6).map(|row| [row[0], row[1], row[2].round()]).collect();
    let wanted = [
        [2.0, 1.0, 8.0],
        [1.0, 1.0, 6.0],
        [2.0, 0.75, 6.0],
        [2.0, 0.75, 5.0],
        [2.0, 0.75, 4.0],
        [2.0, 0.75, 2.0],
        [2.0, 0.75, 1.0],
        [1.0, 0.75, 5.0],
        [1.0, 0.75, 8.0],
        [1.0, 0.75, 7.0],
        [1.0, 0.75, 3.0],
    ];
    assert_eq!(got, wanted);
}

#[test]
fn norms_use_as_many_learned_values_as_a_row_has() {
    // As ncnn does with a matrix, whatever the layer says; 5 and 6 are never read.
    let learned: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let rows = [("a", &[3, 2][..], vec![1.0, 1.0, 2.0, 2.0, -3.0, 3.0])];
    let got = run(&["RMSNorm x 1 1 a b 0=6 1=0.0 2=1"], &rows, &learned, &["b"]).remove(0);
    close("more gammas than columns", &got, (&[3, 2], &[1.0, 2.0, 1.0, 2.0, -1.0, 2.0]));
    let images = [("a", &[1, 2, 2][..], vec![1.0, 1.0, -1.0, 1.0])];
    let got = run(&["RMSNorm x 1 1 a b 0=6 1=0.0 2=1"], &images, &learned, &["b"]).remove(0);
    close("more gammas than a channel has elements", &got, (&[1, 2, 2], &[1.0, 2.0, -3.0, 4.0]));
}
