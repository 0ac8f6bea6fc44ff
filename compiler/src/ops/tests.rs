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
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 4=-7 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=7 6=392", &[392]),
    (IMAGE, "Convolution b 1 1 a b 0=0 1=1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=-2 1=1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=3 1=1 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 5=1 6=8", &[8, 3]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 6=8 8=1", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 6=8 9=77", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 6=8 9=3 10=1,", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2147483647 1=2147483647 2=2147483647 4=2147483647 6=8", &[8]),
    (IMAGE, "Convolution b 1 1 a b 0=2 1=1 4=2147483647 6=8", &[8]),
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
    (IMAGE, "InnerProduct b 1 1 a b 0=2 2=384", &[385]),
    (IMAGE, "InnerProduct b 1 1 a b 0=2 2=380", &[380]),
    (IMAGE, "InnerProduct b 1 1 a b 0=0 2=384", &[384]),
    (IMAGE, "Pooling b 1 1 a b 1=0", &[]),
    (IMAGE, "Pooling b 1 1 a b 0=2 1=2", &[]),
    (IMAGE, "Pooling b 1 1 a b 1=2 2=0", &[]),
    (IMAGE, "Pooling b 1 1 a b 1=2 5=9", &[]),
    (IMAGE, "Pooling b 1 1 a b 1=2147483647 3=2147483647", &[]),
    (IMAGE, "Pooling b 1 1 a b 7=1 8=0", &[]),
    (IMAGE, "Pooling b 1 1 a b 0=1 1=2 3=1 5=2", &[]),
    (IMAGE, "Gemm b 1 1 a b", &[]),
    (IMAGE, "Gemm b 1 1 a b 5=1 6=1 8=4 9=8 10=9", &[32]),
    (IMAGE, "Gemm b 1 1 a b 18=2", &[]),
    (IMAGE, "Gemm b 1 1 a b 18=400", &[]),
    (IMAGE, "MatMul b 1 1 a b", &[]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=3 2=64", &[]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=2 2=64", &[64, 8, 64, 8, 64, 8, 64, 8]),
    (IMAGE, "MultiHeadAttention b 1 1 a b 0=8 1=2 2=64 7=1", &[]),
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
    (IMAGE, "Padding b 1 1 a b 3=8 4=2", &[]),
    (IMAGE, "GroupNorm b 1 1 a b 0=1 1=3 3=0", &[]),
    (IMAGE, "LayerNorm b 1 1 a b 0=5", &[5, 5]),
    (IMAGE, "Reduction b 1 1 a b 1=0", &[]),
    (IMAGE, "PixelShuffle b 1 1 a b 0=3", &[]),
    (IMAGE, "Reorg b 1 1 a b 0=4", &[]),
    (IMAGE, "Reshape b 1 1 a b 0=-1 1=7", &[]),
    (IMAGE, "Reshape b 1 1 a b 6=\"//(0w,-(0h,6))\"", &[]),
    (IMAGE, "Slice b 1 1 a b 0=5,", &[]),
    (IMAGE, "Slice b 1 1 a b", &[]),
    (IMAGE, "Crop b 1 1 a b 9=1,2", &[]),
    (IMAGE, "Crop b 1 1 a b 0=7 3=2", &[]),
    (IMAGE, "Squeeze b 1 1 a b 3=0,-3", &[]),
    (IMAGE, "ExpandDims b 1 1 a b 3=0,1", &[]),
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
Convolution c 1 1 a c 0=2 1=1 6=9
MemoryData m 0 1 m 0=6
Crop d 2 1 a m d
Pooling p 1 1 a p 1=7 5=1
BatchNorm n 1 1 a n 0=4
Permute q 1 1 n q 0=23
Convolution i 1 1 a i 0=2 1=9 6=648
";

/// What is wrong with them.
const WRONG_PARAMETERS: [&str; 4] = [
    "the weight has 9 elements, but 8 (2x4x1x1) are needed",
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

#[test]
fn wrong_parameters_are_reported_with_arrays_that_cannot_be_read() {
    let text = format!("7767517\n8 8\n{PARAMETERS}");
    let mut model = super::read_param("model.param", text.as_bytes(), &HashMap::new(), &[]).expect("well written");
    let problems = super::read_weights(&mut model, "model.bin", &[0; 20]).expect_err("there are too few bytes");
    let of_file = "the file ends within an array of 9 stored as F32: 36 bytes are due, 16 left";
    let expected = [&WRONG_PARAMETERS[..], &[of_file]].concat();
    assert_eq!(messages(&problems), expected);
}
