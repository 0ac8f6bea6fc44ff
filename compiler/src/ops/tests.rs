//! What users are told about layers that make no sense, and what small models become.

use super::{OPERATORS, lower};
use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::ncnn::{self, Storage, WeightValues, Weights};
use std::collections::HashMap;

/// Lowers `layers`, lines of a text param whose blobs are `a`, `b`, ... in order of appearance; the last layer gets
/// arrays of zeros of these lengths.
fn lowered(layers: &[&str], arrays: &[usize]) -> Result<Graph, Vec<Diagnostic>> {
    let text = format!("7767517\n{} {}\n{}\n", layers.len(), layers.len(), layers.join("\n"));
    let mut model = ncnn::read_param("model.param", text.as_bytes())?;
    let zeros = |count: &usize| {
        let values = WeightValues::F32(vec![0.0; *count].into());
        Weights { storage: Storage::F32, values, offset: 0 }
    };
    if let Some(layer) = model.layers.last_mut() {
        layer.weights = arrays.iter().map(zeros).collect();
    }
    lower(&model, &HashMap::new(), &[])
}

#[test]
fn the_table_is_sorted_and_names_nothing_twice() {
    for pair in OPERATORS.windows(2) {
        assert!(pair[0].kind < pair[1].kind, "{} and {}", pair[0].kind, pair[1].kind);
    }
}

const IMAGE: &str = "Input a 0 1 a 0=8 1=6 2=4";

/// A layer behind an input, and the lengths of its arrays.
const WRONG: &[(&str, &str, &[usize])] = &[
    ("Input a 0 1 a", "ReLU b 1 1 a b", &[]),
    ("Input a 0 1 a 0=-8 1=6 2=4", "ReLU b 1 1 a b", &[]),
    ("Input a 0 1 a 0=2147483647 1=2147483647 2=2147483647", "ReLU b 1 1 a b", &[]),
    (IMAGE, "Nonsense b 1 1 a b", &[]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=0 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 2=0 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 3=-1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 4=1 15=-7 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=7 6=392", &[392]),
    (IMAGE, "Convolution b 1 1 a b 0=0 1=1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=-2 1=1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=3 1=1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 6=10", &[10]),
    (IMAGE, "Convolution b 1 1 a b 0=2.0 1=1,1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 2=0 3=0 13=-1 9=7", &[]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 5=1 6=8", &[8, 3]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 6=8 8=1", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 6=8 9=77", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 6=8 9=3 10=1,", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2147483647 1=2147483647 2=2147483647 4=2147483647 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 4=2147483647 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=1 1=2 2=100000 4=-233 6=16", &[16]),
    (IMAGE, "Convolution b 1 1 a b 0=1 1=1 3=1000000 4=1000000 6=4", &[4]),
    (IMAGE, "Deconvolution b 1 1 a b 0=1 1=2 2=200000 4=100000 6=16", &[16]),
    (IMAGE, "Pooling b 1 1 a b 0=1 1=2 2=1000000000 3=1000000000 5=1", &[]),
    (IMAGE, "Convolution b 1 1 a b 0=2 19=1", &[]),
    (IMAGE, "ConvolutionDepthWise b 1 1 a b 0=4 1=1 6=4 7=0", &[4]),
    (IMAGE, "ConvolutionDepthWise b 1 1 a b 0=4 1=1 6=4 7=3", &[4]),
    (IMAGE, "ConvolutionDepthWise b 1 1 a b 0=6 1=1 6=4 7=4", &[4]),
    (IMAGE, "Deconvolution b 1 1 a b 0=2 1=2147483647 6=8", &[8]),
    (IMAGE, "Deconvolution b 1 1 a b 0=2 1=1 3=1000 6=8", &[8]),
    (IMAGE, "Deconvolution b 1 1 a b 0=2 1=1 3=2147483647 6=8", &[8]),
    (IMAGE, "Deconvolution b 1 1 a b 0=2 1=1 4=4 6=8", &[8]),
    (IMAGE, "Deconvolution b 1 1 a b 0=2 1=1 6=8 18=-1", &[8]),
    (IMAGE, "Deconvolution b 1 1 a b 0=2 1=1 4=-233 6=8 20=100", &[8]),
    (IMAGE, "Deconvolution b 1 1 a b 0=2 1=1 6=8 20=5", &[8]),
    (IMAGE, "DeconvolutionDepthWise b 1 1 a b 0=4 1=1 6=4 7=3", &[4]),
    (IMAGE, "InnerProduct b 1 1 a b 0=2 2=384", &[385]),
    (IMAGE, "InnerProduct b 1 1 a b 0=2 2=380", &[380]),
    (IMAGE, "InnerProduct b 1 1 a b 0=0 2=384", &[384]),
    (IMAGE, "Pooling b 1 1 a b 1=0", &[]),
    (IMAGE, "Pooling b 1 1 a b 0=2 1=2", &[]),
    (IMAGE, "Pooling b 1 1 a b 1=2 2=0", &[]),
    (IMAGE, "Pooling b 1 1 a b 1=2 5=9", &[]),
    (IMAGE, "Pooling b 1 1 a b 1=2147483647 3=2147483647", &[]),
    (IMAGE, "Pooling b 1 1 a b 7=1 8=0", &[]),
    (IMAGE, "Pooling b 1 1 a b 1=9", &[]),
    (IMAGE, "Gemm b 1 1 a b", &[]),
    (IMAGE, "Gemm b 2 1 a a b", &[]),
    ("Input a 0 1 a 0=8 1=6", "Gemm b 2 1 a a b", &[]),
    ("Input a 0 1 a 0=8 1=6", "Gemm b 3 1 a a a b 3=1", &[]),
    (IMAGE, "Gemm b 1 1 a b 4=2 5=1", &[]),
    (IMAGE, "Gemm b 1 1 a b 5=1 6=1 8=4 9=8 10=9", &[32]),
    (IMAGE, "Gemm b 2 1 a a b 18=2", &[]),
    (IMAGE, "Gemm b 2 1 a a b 18=400", &[]),
    (IMAGE, "MatMul b 1 1 a b", &[]),
    (IMAGE, "MatMul b 2 1 a a b", &[]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=3 2=64", &[]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=2 2=64", &[64, 8, 64, 8, 64, 8, 64, 8]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=2 2=60 3=0", &[]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=2 2=60", &[]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=2 2=64 7=1", &[]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=2 2=64 18=400", &[]),
    (IMAGE, "Interp b 2 1 a a b 0=1 1=2.0 2=2.0", &[]),
    (IMAGE, "Interp b 1 1 a b 0=1 5=1", &[]),
    (IMAGE, "Interp b 1 1 a b 0=1 9=\"1w,1h\"", &[]),
    (IMAGE, "Interp b 1 1 a b 0=4 3=-1 4=9", &[]),
    (IMAGE, "Interp b 1 1 a b 3=9 4=9", &[]),
    (IMAGE, "LRN b 1 1 a b 0=2 1=0", &[]),
    (IMAGE, "PriorBox b 1 1 a b", &[]),
    (IMAGE, "PriorBox b 1 1 a b 0=1.0, 1=2.0,3.0", &[]),
    (IMAGE, "PriorBox b 1 1 a b 0=1.0, 1=2.0, 9=-233", &[]),
    (IMAGE, "PriorBox b 1 1 a b 0=1.0, 9=-233 10=-233", &[]),
    (IMAGE, "DetectionOutput b 1 1 a b 0=1 2=-1", &[]),
    (IMAGE, "DetectionOutput b 3 1 a a a b 0=1", &[]),
    (IMAGE, "DetectionOutput b 3 1 a a a b 0=2", &[]),
    (IMAGE, "YoloDetectionOutput b 1 1 a b 0=0 1=0", &[]),
    (IMAGE, "YoloDetectionOutput b 1 1 a b 1=2 4=1.0,1.0,1.0", &[]),
    (IMAGE, "YoloDetectionOutput b 1 1 a b 1=1 4=1.0,1.0", &[]),
    (IMAGE, "Yolov3DetectionOutput b 2 1 a a b 1=1 4=1.0,1.0 5=0.0, 6=8.0,", &[]),
    (IMAGE, "Yolov3DetectionOutput b 1 1 a b 1=2 4=1.0,1.0 5=0.0, 6=8.0,", &[]),
    (IMAGE, "Yolov3DetectionOutput b 1 1 a b 1=1 4=1.0,1.0 5=1.0, 6=8.0,", &[]),
    (IMAGE, "Softmax b 1 1 a b 0=1", &[]),
    (IMAGE, "Softmax b 1 1 a b 0=3 1=1", &[]),
    (IMAGE, "Softmax b 1 1 a b 0=-4 1=1", &[]),
    (IMAGE, "BatchNorm b 1 1 a b 0=3", &[3, 3, 3, 3]),
    (IMAGE, "Scale b 1 1 a b 0=3", &[3]),
    (IMAGE, "Bias b 1 1 a b 0=3", &[3]),
    (IMAGE, "PReLU b 1 1 a b 0=3", &[3]),
    (IMAGE, "Eltwise b 1 1 a b", &[]),
    (IMAGE, "MemoryData b 0 1 b", &[]),
    (IMAGE, "MemoryData b 0 1 b 0=3", &[4]),
    (IMAGE, "MemoryData b 0 1 b 0=0", &[]),
    (IMAGE, "Padding b 1 1 a b 2=-9", &[]),
    (IMAGE, "Padding b 1 1 a b 1=-1", &[]),
    (IMAGE, "Padding b 1 1 a b 3=-1", &[]),
    (IMAGE, "Padding b 1 1 a b 3=8 4=2", &[]),
    (IMAGE, "GroupNorm b 1 1 a b 0=1 1=3 3=0", &[]),
    (IMAGE, "LayerNorm b 1 1 a b 0=5", &[5, 5]),
    (IMAGE, "PixelShuffle b 1 1 a b 0=3", &[]),
    (IMAGE, "Reorg b 1 1 a b 0=4", &[]),
    (IMAGE, "Reshape b 1 1 a b 0=-1 1=7", &[]),
    (IMAGE, "Reshape b 1 1 a b 6=\"//(0w,-(0h,6))\"", &[]),
    (IMAGE, "Slice b 1 1 a b 0=5,", &[]),
    (IMAGE, "Slice b 1 1 a b 0=5, 1=2", &[]),
    (IMAGE, "Slice b 1 1 a b", &[]),
    (IMAGE, "Crop b 1 1 a b 9=1,2", &[]),
    (IMAGE, "Crop b 1 1 a b 0=7 3=2", &[]),
    (IMAGE, "Diag b 1 1 a b", &[]),
    (IMAGE, "GLU b 1 1 a b 0=3", &[]),
];

#[test]
fn what_makes_no_sense_is_refused_with_its_reason() {
    let report = |(input, layer, arrays): &(&str, &str, &[usize])| {
        let problems = lowered(&[input, layer], arrays).expect_err(layer);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("{input}\n{layer}\n{}\n\n", texts.join("\n"))
    };
    insta::assert_snapshot!(WRONG.iter().map(report).collect::<String>());
}

#[test]
fn blobs_are_put_out_once() {
    let text = "7767517\n3 3\nInput a 0 1 a 0=8\nReLU b 1 1 a b\nReLU c 1 1 b c\n";
    let model = ncnn::read_param("model.param", text.as_bytes()).expect("a param file");
    let put_out = |extra: &[&str]| {
        let extra: Vec<String> = extra.iter().map(ToString::to_string).collect();
        let graph = lower(&model, &HashMap::new(), &extra).map_err(|problems| messages(&problems).join("; "))?;
        Ok(graph.outputs.into_iter().map(|output| output.name).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(put_out(&["a", "c"]), Ok("c a".to_string()));
    assert_eq!(put_out(&["b", "a", "b"]), Err("output `b` is given twice".to_string()));
    assert_eq!(
        put_out(&["z", "z"]),
        Err("the model has no blob `z` to put out; output `z` is given twice".to_string())
    );
}

#[test]
fn layers_become_nests() {
    let layers: &[(&str, &[usize])] = &[
        ("Convolution b 1 1 a b 0=2 1=3 3=2 4=1 5=1 6=72 9=2 10=0.1,", &[72, 2]),
        ("ConvolutionDepthWise b 1 1 a b 0=8 1=3 6=72 7=4", &[72]),
        ("Deconvolution b 1 1 a b 0=2 1=3 3=2 4=1 5=1 6=72", &[72, 2]),
        ("InnerProduct b 1 1 a b 0=2 1=1 2=384", &[384, 2]),
        ("Pooling b 1 1 a b 0=1 1=3 2=2 3=1", &[]),
        ("Pooling b 1 1 a b 0=1 4=1", &[]),
        ("Softmax b 1 1 a b 0=0", &[]),
    ];
    let text = |(layer, arrays): &(&str, &[usize])| format!("{}\n", lowered(&[IMAGE, layer], arrays).expect(layer));
    insta::assert_snapshot!(layers.iter().map(text).collect::<String>());
}

#[test]
fn vectors_and_matrices_are_pooled_as_images_but_keep_their_rank_where_nothing_changes() {
    let shape = |input: &str, layer: &str| {
        let graph = lowered(&[input, layer], &[]).expect(layer);
        graph.outputs[0].view.shape.clone()
    };
    let (vector, matrix) = ("Input a 0 1 a 0=12", "Input a 0 1 a 0=9 1=33");
    // As ncnn pads a vector, along its width alone.
    assert_eq!(shape(vector, "Pooling b 1 1 a b 1=1 2=4 3=2 5=1 12=2 14=0 15=1"), [1, 1, 4]);
    assert_eq!(shape(matrix, "Pooling b 1 1 a b 1=1 2=4 3=2 5=1"), [1, 10, 4]);
    assert_eq!(shape(matrix, "Pooling b 1 1 a b 7=1 8=-233"), [33, 9]);
    assert_eq!(shape(matrix, "Pooling b 1 1 a b 7=1 8=3"), [1, 3, 3]);
}

#[test]
fn unknown_types_are_reported_with_what_else_is_wrong_with_the_file() {
    let text = "7767517\n3 3\nFoo in 0 1 a\nReLU r 1 1 zz b 0=x\nBar s 1 1 b c\n";
    let problems =
        super::read_param("model.param", text.as_bytes(), &HashMap::new(), &[]).expect_err("nothing is right with it");
    let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let of_value =
        "parameter 0, the slope below zero, is a word where a number is due; as in ncnn, it is as if it were left out";
    assert_eq!(messages, ["unknown layer type `Foo`", "no layer makes `zz`", of_value, "unknown layer type `Bar`"]);
}

/// Layers with wrong parameters, among others with which nothing is wrong or that can't be judged without the values that
/// others hold.
const PARAMETERS: &str = "Input a 0 1 a 0=8 1=6 2=4
Convolution c 1 1 a c 0=2 1=1 6=10
MemoryData m 0 1 m 0=6
Crop d 2 1 a m d
Pooling p 1 1 a p 1=7 5=1
BatchNorm n 1 1 a n 0=4
Permute q 1 1 n q 0=23
Convolution i 1 1 a i 0=2 1=9 6=648
";

/// What is wrong with them.
const WRONG_PARAMETERS: [&str; 4] = [
    "the weight has 10 elements, but 8 (2x4x1x1) are needed",
    "a kernel that reaches over 7 elements doesn't fit a padded height of 6",
    "there is no order 23 of 3 dimensions",
    "a kernel that reaches over 9 elements doesn't fit a padded height of 6",
];

fn messages(problems: &[Diagnostic]) -> Vec<&str> {
    problems.iter().map(|problem| problem.message.as_str()).collect()
}

#[test]
fn wrong_parameters_are_reported_with_what_is_wrong_with_the_form_of_the_file() {
    let text = format!("7767517\n10 10\n{PARAMETERS}ReLU r 1 1 a r 32=1\nPermute s 1 1 r s 0=23\n");
    let problems =
        super::read_param("model.param", text.as_bytes(), &HashMap::new(), &[]).expect_err("no parameter 32");
    let expected = [&WRONG_PARAMETERS[..], &["parameter 32 doesn't exist; ncnn has 0 to 31"]].concat();
    assert_eq!(messages(&problems), expected);
}

/// Layers of which each could be, but which don't fit what they read.
const UNFIT: &str = "Input a 0 1 a 0=8 1=6 2=4
Convolution c 1 1 a c 0=2 1=1 6=10
Pooling p 1 1 a p 1=9
Softmax s 1 1 c s 0=3 1=1
Softmax t 1 1 a t 0=3 1=1
";

#[test]
fn layers_that_do_not_fit_are_reported_with_arrays_that_cannot_be_read() {
    let text = format!("7767517\n5 5\n{UNFIT}");
    let mut model =
        super::read_param("model.param", text.as_bytes(), &HashMap::new(), &[]).expect("each layer by itself is right");
    let problems = super::read_weights(&mut model, "model.bin", &[0; 20]).expect_err("there are too few bytes");
    let expected = [
        "the weight has 10 elements, but 8 (2x4x1x1) are needed",
        "a kernel that reaches over 9 elements doesn't fit a padded height of 6",
        "axis 3 doesn't exist in a blob of 3 dimensions",
        "the file ends within an array of 10 stored as F32: 40 bytes are due, 16 left",
    ];
    assert_eq!(messages(&problems), expected);
}

#[test]
fn padding_that_pads_nothing_is_warned_of() {
    let text = "7767517\n2 2\nInput a 0 1 a 0=8 1=6 2=4\nConvolution c 1 1 a c 0=2 1=1 4=-7 6=8\n";
    let model = super::read_param("model.param", text.as_bytes(), &HashMap::new(), &[]).expect("as ncnn takes it");
    let warnings: Vec<String> = model.warnings.iter().map(ToString::to_string).collect();
    let help = "write 0; or -233 or -234 on all four sides for one window at every stride";
    let warning = "model.param:4:31: warning: layer `c`: as in ncnn, a padding of -7 pads nothing";
    assert_eq!(warnings, [format!("{warning}\n  help: {help}")]);
    let graph = lowered(&[IMAGE, "Convolution c 1 1 a c 0=2 1=1 4=-7 6=8"], &[8]).expect("as ncnn takes it");
    assert_eq!(graph.outputs[0].view.shape, [2, 6, 8]);
}

#[test]
fn only_caches_may_be_empty() {
    let text = "7767517\n2 2\nInput a 0 1 a\nReLU b 1 1 a b\n";
    let model = ncnn::read_param("model.param", text.as_bytes()).expect("well written");
    for (shape, message) in [(vec![0], "input `a` is empty"), (vec![0, 3], "input `a` would be empty: 0x3")] {
        let problems = lower(&model, &HashMap::from([("a".to_string(), shape)]), &[]).expect_err(message);
        assert_eq!(messages(&problems), [message]);
    }
    let model = ncnn::read_param("model.param", b"7767517\n1 1\nInput a 0 1 a\n").expect("well written");
    let problems = lower(&model, &HashMap::from([("a".to_string(), vec![0])]), &[]).expect_err("nothing is put out");
    assert_eq!(messages(&problems), ["the output `a` is an input that is empty"]);
}

/// Layers behind an input that ncnn computes, though not as one may think.
const DOUBTFUL: &[(&str, &str)] = &[
    (IMAGE, "Squeeze b 1 1 a b 3=0,-3,3"),
    ("Input a 0 1 a 0=8 1=1 2=1", "Squeeze b 1 1 a b 3=0,-3"),
    (IMAGE, "ExpandDims b 1 1 a b 3=0,1"),
    ("Input a 0 1 a 0=8", "ExpandDims b 1 1 a b 3=1,1"),
    ("Input a 0 1 a 0=8", "ExpandDims b 1 1 a b 3=-4,"),
    (IMAGE, "Crop b 1 1 a b 9=0,1 10=2,4 11=0,0"),
    (IMAGE, "Tile b 1 1 a b 2=1,2,1,2"),
    ("Input a 0 1 a 0=8", "Softmax b 1 1 a b 0=1 1=1"),
    ("Input a 0 1 a 0=8", "Tile b 1 1 a b 0=2 1=3"),
    (IMAGE, "Reshape b 1 1 a b 0=0"),
    (IMAGE, "Reshape b 1 1 a b 0=7"),
    ("Input a 0 1 a 0=4 1=3 11=2 2=2", "Reshape b 1 1 a b 0=0"),
    ("Input a 0 1 a 0=8", "Reshape b 1 1 a b 0=0"),
    (IMAGE, "Slice b 1 1 a b 0=3,"),
    (IMAGE, "Slice b 1 1 a b 0=5, 1=1"),
    ("Input a 0 1 a 0=8 1=6", "Slice b 1 1 a b 0=5, 1=1"),
    (IMAGE, "Reduction b 1 1 a b 0=3 1=0 2=2.0"),
    (IMAGE, "ReLU b 1 1 a b -23330=4,3,8,6,5"),
    ("Input a 0 1 a 0=8 1=6 2=4 -23330=4,3,9,6,4", "Slice b 1 1 a b 0=4, -23330=4,3,8,6,4"),
];

#[test]
fn what_is_computed_though_it_is_doubtful_is_warned_of() {
    let report = |(input, layer): &(&str, &str)| {
        let text = format!("7767517\n2 2\n{input}\n{layer}\n");
        let model = super::read_param("model.param", text.as_bytes(), &HashMap::new(), &[]).expect(layer);
        let lowered = super::lower_with(&model, &HashMap::new(), &[], &[]).unwrap_or_else(|_| panic!("{layer}"));
        let warnings: String =
            model.warnings.iter().chain(&lowered.warnings).map(|warning| format!("{warning}\n")).collect();
        format!("{input}\n{layer}\n{:?}\n{warnings}\n", lowered.graph.outputs[0].view.shape)
    };
    insta::assert_snapshot!(DOUBTFUL.iter().map(report).collect::<String>());
}

#[test]
fn a_claimed_shape_that_is_wrong_is_reported_where_it_first_is() {
    let text = "7767517\n3 3\nInput a 0 1 a 0=8 1=6 2=4\nReLU b 1 1 a b 30=3,9,6,1,4\nReLU c 1 1 b c 30=3,9,6,1,4\n";
    let warned = |shape: Option<&[usize]>| {
        let model = ncnn::read_param("model.param", text.as_bytes()).expect("well written");
        let shapes = shape.map(|shape| ("a".to_string(), shape.to_vec())).into_iter().collect();
        let lowered = super::lower_with(&model, &shapes, &[], &[]).unwrap_or_else(|_| panic!("{shape:?}"));
        lowered.warnings.iter().filter_map(|warning| warning.location.as_ref()?.line()).collect::<Vec<_>>()
    };
    assert_eq!(warned(None), [4]);
    assert_eq!(warned(Some(&[4, 6, 8])), [4]);
    assert_eq!(warned(Some(&[4, 6, 10])), Vec::<u32>::new(), "the claims are about another input");
}
