//! What users are told of a layer by itself.

use super::super::{OPERATORS, operator, read_param};
use super::*;
use std::collections::HashMap;

/// What a param file of these lines gives rise to, behind two inputs `a` and `b`.
fn told(lines: &[&str]) -> String {
    let inputs = "Input a 0 1 a 0=8 1=6 2=4\nInput b 0 1 b 0=8 1=6 2=4\n";
    let outputs = lines.iter().filter_map(|line| line.split(' ').nth(3)?.parse::<usize>().ok()).sum::<usize>();
    let counts = format!("{} {}", lines.len() + 2, outputs + 2);
    let text = format!("7767517\n{counts}\n{inputs}{}\n", lines.join("\n"));
    let problems = match read_param("model.param", text.as_bytes(), &HashMap::new(), &[]) {
        Ok(model) => model.warnings,
        Err(problems) => problems,
    };
    let texts = problems.iter().map(|problem| format!("{problem}\n"));
    format!("{}\n{}\n", lines.join("\n"), texts.collect::<String>())
}

#[test]
fn a_layer_is_judged_by_itself() {
    let layers = [
        // What is missing, too small, too large, no choice, or no row of a table.
        "Pooling p 1 1 a p",
        "Pooling p 1 1 a p 1=2.5",
        "BatchNorm p 1 1 a p 0=0",
        "Permute p 1 1 a p 0=24",
        "Padding p 1 1 a p 4=3",
        "UnaryOp p 1 1 a p 0=99",
        // Lists.
        "Squeeze p 1 1 a p 3=0,4",
        "ExpandDims p 1 1 a p 3=0,1,2,3,0",
        "Slice p 1 2 a p q 0=1.0,2.0",
        // Values that are passed over, and parameters that mean nothing.
        "Reduction p 1 1 a p 3=1 5=1",
        "Reduction p 1 1 a p 4=1.0",
        "Clip p 1 1 a p 0=\"zero\" 1=1,2",
        "Crop p 1 1 a p 3=2 19=5",
        "ReLU p 1 1 a p 1=3",
        "Split p 1 2 a p q 0=1",
        // Blobs.
        "Dropout p 2 1 a b p",
        "Dropout p 1 2 a p q",
        "BinaryOp p 1 1 a p",
        "BinaryOp p 2 1 a b p 1=1",
        "Concat p 0 1 p",
        "Crop p 1 1 a p",
        "Noop p 1 2 a p q",
        // What binds several of them.
        "Softmax p 1 1 a p 0=1",
        "Eltwise p 2 1 a b p 0=1 1=0.5,",
        "Cast p 1 1 a p 0=2 1=4",
        "Crop p 1 1 a p 9=1,2 10=3,",
        "CopyTo p 2 1 a b p 9=1,2 11=0,",
        "Reduction p 1 1 a p 1=0 3=1,2",
        "Tile p 1 1 a p 2=2,0",
        "Slice p 1 3 a p q r 0=1,1",
        "Slice p 1 2 a p q 0=0,4",
        "Scale p 2 1 a b p 0=-233 1=1",
        "GroupNorm p 1 1 a p 0=3 1=4",
        "HardSigmoid p 1 1 a p 0=-0.2",
        "Convolution p 1 1 a p 0=2 1=1 6=8 9=6 10=-0.2,0.5",
        "Reduction p 1 1 a p 1=0",
        "Padding p 1 1 a p 3=-1",
        "Interp p 1 1 a p 0=1 2=0.0",
        "Interp p 1 1 a p 0=1 2=1e30",
        "Interp p 1 1 a p 0=1 3=9 4=99999999",
        "Deconvolution p 1 1 a p 0=1 1=2 2=99999 6=4",
        "PriorBox p 1 1 a p 0=2.0, 9=100",
        "PriorBox p 2 1 a b p 0=2.0, 9=-233",
        "CELU p 1 1 a p 0=0.0",
        "Log p 1 1 a p 0=1.0",
        "Reshape p 1 1 a p",
        "Reshape p 1 1 a p 0=-1 1=-1",
        "Reshape p 1 1 a p 0=-5 1=2",
        "Reshape p 1 1 a p 6=\"0w,*(0h\"",
        "Reshape p 1 1 a p 6=\"1w\"",
        "Reshape p 1 1 a p 0=-1 12=0",
        "MemoryData p 0 1 p 1=3",
        "MemoryData p 0 1 p 0=3 21=2",
    ];
    insta::assert_snapshot!(layers.map(|layer| told(&[layer])).concat());
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let several = ["BinaryOp p 1 1 a p 0=99 1=x 7=1"];
    let behind_others = ["Nonsense p 1 1 a p", "Concat q 2 1 p zz q 0=9", "Permute r 1 1 q r 0=-1", "ReLU s 2 1 r a s"];
    let malformed = ["Pooling p 1 1 a p 1=1.2.3 5=7", "Padding q 1 1 p q 4=7 99=1"];
    insta::assert_snapshot!([told(&several), told(&behind_others), told(&malformed)].concat());
}

#[test]
fn nothing_is_said_of_layers_that_ncnn_computes() {
    for layer in [
        "Cast p 1 1 a p 0=7 1=7",
        "Eltwise p 2 1 a b p 0=1 1=0.5,0.5,0.5",
        "Eltwise p 2 1 a b p 0=0 1=0.5,",
        "Eltwise p 2 1 a b p +0=+1 1=+0.5,+1",
        "HardSwish p 1 1 a p 0=0.0",
        "Squeeze p 1 1 a p 3=0,-3,0",
        "Padding p 1 1 a p 0=-5 1=-1",
        "Padding p 1 1 a p 1=1 3=-1",
        "Interp p 1 1 a p 0=1 1=-1.0",
        "Deconvolution p 1 1 a p 0=1 1=1 3=99999 6=1",
        "PriorBox p 2 1 a b p 0=2.0, 9=-233 10=-233",
        "BinaryOp p 2 1 a b p 2=1,2",
        "LayerNorm p 1 1 a p 0=0 2=0",
        "Tile p 1 1 a p 0=2 1=0 2=2,2",
        "Pooling p 1 1 a p 4=1 5=9 1=-1",
        "Reshape p 1 1 a p 6=\"-1\" 0=-7",
        "Reshape p 2 1 a b p 6=\"1w,1h,-1\"",
        "Crop p 1 1 a p 19=\"0\" 20=\"//(0c,2)\" 21=\"0\" 9=1,2,3,4,5",
        "Crop p 2 1 a b p 0=-233",
        "Scale p 2 1 a b p 0=-233",
        "Slice p 1 2 a p q 2=1, 0=0,0",
        "ReLU p 1 1 a p 30=3,8,6,1,4 31=64",
        "Noop p 2 1 a b p",
    ] {
        let told = told(&[layer]);
        assert_eq!(told, format!("{layer}\n\n"));
    }
}

#[test]
fn signatures_are_sorted_and_speak_in_one_way() {
    for operator in OPERATORS {
        let parameters = operator.signature.parameters;
        assert!(parameters.windows(2).all(|pair| pair[0].id < pair[1].id), "{}", operator.kind);
        for Parameter { id, name, accepts, .. } in parameters {
            assert!(*id < 30 && !name.is_empty() && !name.ends_with('.'), "{} {id}", operator.kind);
            assert!(!matches!(accepts, Accepts::OneOf([])), "{} {id} accepts nothing", operator.kind);
        }
    }
}

#[test]
fn the_number_of_blobs_follows_from_parameters() {
    let forms = |kind: &str| {
        let forms = operator(kind).expect("a type").signature.forms();
        let texts = forms.into_iter().map(|(blobs, settings)| format!("{} {}", settings.join(" "), blobs.text()));
        texts.collect::<Vec<_>>().join("; ")
    };
    assert_eq!(forms("ReLU"), " 1 input and gives 1 output");
    assert_eq!(forms("BinaryOp"), " 2 inputs and gives 1 output; 1=1 1 input and gives 1 output");
    assert_eq!(forms("Scale"), " 1 input and gives 1 output; 0=-233 2 inputs and gives 1 output");
    assert_eq!(forms("Split"), " 1 input and gives any number of outputs");
    assert_eq!(forms("Reshape"), " 1 input and gives 1 output; 6=\"1w\" 1 or more inputs and gives 1 output");
}
