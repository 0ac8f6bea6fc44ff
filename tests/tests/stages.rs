//! Every stage of a few small networks as text: the graph, what the passes did, the plan, the program of each target, and
//! for the smallest the kernels and the code. A change anywhere shows as sentences that change.

use ncnnc_compiler::compile::{Compiled, File, Options, compile};
use ncnnc_compiler::emit::assembly::assemble;
use ncnnc_compiler::emit::rust::{Module, Weights, emit};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::kernel::Program;
use ncnnc_compiler::precision::Precision;
use ncnnc_compiler::{ncnn, ops};
use ncnnc_targets::{Architecture, TARGETS, Target};
use ncnnc_tests::shared::workspace;
use ncnnc_tests::synth::synth;
use proc_macro2::{Ident, Span};
use quote::quote;

/// A convolution and a fused activation: the smallest, whose kernels and code are shown too.
const EDGES: &str = "7767517
2 2
Input        image  0 1 image 0=2 1=2 2=1
Convolution  edges  1 1 image edges 0=2 1=3 4=1 5=1 6=18 9=1
";

/// A matrix-vector product, and reductions over all of a tensor.
const CLASSIFIER: &str = "7767517
3 3
Input        features       0 1 features 0=24
InnerProduct scores         1 1 features scores 0=10 1=1 2=240
Softmax      probabilities  1 1 scores probabilities 0=0 1=1
";

/// A matrix-vector product, whose weights are stored in half precision.
const HALVES: &str = "7767517
2 2
Input        features  0 1 features 0=48
InnerProduct scores    1 1 features scores 0=16 1=1 2=768
";

/// A depthwise and a pointwise convolution with what they were given added at the end.
const RESIDUAL: &str = "7767517
6 7
Input                 features   0 1 features 0=7 1=7 2=24
Split                 branches   1 2 features kept changed
ConvolutionDepthWise  depthwise  1 1 changed filtered 0=24 1=3 4=1 5=1 6=216 7=24 9=1
Convolution           pointwise  1 1 filtered mixed 0=24 1=1 5=1 6=576
BinaryOp              sum        2 1 kept mixed sum 0=0
ReLU                  rectified  1 1 sum rectified
";

/// Boxes of a grid of two by two, three for each cell, with two classes, and the choice among them.
const DETECTOR: &str = "7767517
2 2
Input                  cells  0 1 cells 0=2 1=2 2=21
Yolov3DetectionOutput  boxes  1 1 cells boxes 0=2 1=3 2=0.3 3=0.45 -23304=6,10.0,14.0,23.0,27.0,37.0,58.0 -23305=3,0,1,2 -23306=1,16.0
";

/// A network after every stage.
struct Stages {
    name: &'static str,
    compiled: Compiled,
}

/// Shows the stages of a network up to the program of every target.
fn show(name: &'static str, param: &[u8], weights: &[u8], format: Format) -> Stages {
    let refused = |problems: Vec<_>| -> ! {
        panic!("{name}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let mut model = ncnn::read_param(name, param).unwrap_or_else(|problems| refused(problems));
    ops::read_weights(&mut model, name, weights).unwrap_or_else(|problems| refused(problems));
    let options = Options { shapes: shapes(name), precision: Precision::of_all(format), ..Options::default() };
    let graph = ops::lower(&model, &options.shapes, &[]).unwrap_or_else(|problems| refused(problems));
    insta::assert_snapshot!(format!("{name}_graph"), graph);
    let file = |bytes| File { path: name, bytes };
    let compiled = compile(file(param), file(weights), &options, TARGETS).unwrap_or_else(|problems| refused(problems));
    let changes: Vec<String> =
        compiled.changes.iter().map(|change| format!("{}: {}", change.pass, change.what)).collect();
    let changes = if changes.is_empty() { "no pass found anything to do".to_string() } else { changes.join("\n") };
    insta::assert_snapshot!(format!("{name}_passes"), changes);
    insta::assert_snapshot!(format!("{name}_plan"), compiled.plan);
    for (target, program) in &compiled.programs {
        insta::assert_snapshot!(format!("{name}_on_{}", target.name), program);
    }
    Stages { name, compiled }
}

/// The same for a param file whose weights are drawn.
fn show_drawn(name: &'static str, param: &str) -> Stages {
    show(name, param.as_bytes(), &synth(param, 1, 1.0), Format::Word)
}

/// The network's inputs that its param file gives no shape.
fn shapes(name: &str) -> std::collections::HashMap<String, Vec<usize>> {
    let open = [("digits", "in0", vec![1, 28, 28])];
    open.into_iter().filter(|(of, ..)| *of == name).map(|(_, input, shape)| (input.to_string(), shape)).collect()
}

impl Stages {
    /// Shows the kernels of every target.
    fn show_kernels(&self) {
        for (target, program) in &self.compiled.programs {
            let kernels: Vec<String> = program.kernels.iter().map(ToString::to_string).collect();
            insta::assert_snapshot!(format!("{}_kernels_{}", self.name, target.name), kernels.join("\n"));
        }
    }

    /// Shows the code of every target: assembly where there is some, Rust where there is none.
    fn show_code(&self) {
        for (target, program) in &self.compiled.programs {
            let code = match target.architecture {
                Architecture::Any => rust(target, program),
                Architecture::X86_64 | Architecture::Aarch64 => assembly(target, program),
            };
            insta::assert_snapshot!(format!("{}_code_{}", self.name, target.name), code);
        }
    }
}

/// Every kernel's machine code under its name.
fn assembly(target: &Target, program: &Program) -> String {
    let function = |lines: Vec<String>| lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
    program.kernels.iter().map(|kernel| format!("{}:\n{}", kernel.name, function(assemble(kernel, target)))).collect()
}

/// The whole module, laid out for readers.
fn rust(target: &'static Target, program: &Program) -> String {
    let tokens = emit(&Module {
        name: Ident::new("Network", Span::call_site()),
        visibility: quote!(pub),
        attributes: quote!(),
        facts: Vec::new(),
        constants: quote!("network.constants"),
        weights: Weights::Included,
        functions: &[],
        threads: 1,
        programs: &[(target, program.clone())],
    });
    prettyplease::unparse(&syn::parse2(tokens).expect("emitted code is Rust"))
}

#[test]
fn a_convolution() {
    let stages = show_drawn("edges", EDGES);
    stages.show_kernels();
    stages.show_code();
}

#[test]
fn weights_in_half_precision() {
    let stages = show("halves", HALVES.as_bytes(), &synth(HALVES, 1, 1.0), Format::F16);
    stages.show_kernels();
}

#[test]
fn a_classifier() {
    show_drawn("classifier", CLASSIFIER);
}

#[test]
fn a_residual_block() {
    show_drawn("residual", RESIDUAL);
}

#[test]
fn a_detector() {
    show_drawn("detector", DETECTOR);
}

#[test]
fn the_digits_example() {
    let folder = workspace().join("runtime/examples/digits");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("the example's file");
    show("digits", &read("digits.fp32.param"), &read("digits.fp32.bin"), Format::Word);
}
