//! Cases and networks through the compiler's driver, with what to feed them.

use crate::cases::{Blob, Case};
use crate::lowered::known_case;
use crate::networks::Network;
use crate::npy::{Tensor, Type};
use crate::scope;
use crate::shared::workspace;
use crate::synth::{input_tensor, parse, synth};
use ncnnc_compiler::compile::{Compiled, File, Options, compile};
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::graph::Graph;
use ncnnc_compiler::mode::Mode;
use ncnnc_compiler::plan::{Plan, Value};
use ncnnc_compiler::precision::Precision;
use ncnnc_targets::Target;
use std::collections::HashMap;
use std::path::Path;

/// A compiled model and what to feed it, in the order of the graph's inputs.
pub struct Planned {
    /// The plan, and programs for the targets that were asked for.
    pub compiled: Compiled,
    /// The words of each input.
    pub inputs: Vec<Vec<u32>>,
}

/// In which formats layers store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// What they multiply by.
    pub constants: Format,
    /// What they put out.
    pub activations: Format,
}

impl Stored {
    /// Constants in a format, and all else in words.
    pub fn constants(constants: Format) -> Self {
        Self { constants, ..Self::default() }
    }

    /// What layers put out in a format, and all else in words.
    pub fn activations(activations: Format) -> Self {
        Self { activations, ..Self::default() }
    }

    /// Whether anything is narrow.
    pub fn is_narrow(self) -> bool {
        self != Self::default()
    }

    /// Whether something is narrow that is to be, or nothing is.
    pub fn shows_in(self, plan: &Plan) -> bool {
        [self.constants, self.activations].iter().any(|format| format.is_narrow() && plan.formats.contains(format))
            || !self.is_narrow()
    }

    /// What a network that is stored so has behind its name: `/f16`, `/f16-activations`, or nothing.
    pub fn suffix(self) -> String {
        let name = |format: Format, what: &str| match format.is_narrow() {
            true => format!("/{}{what}", format.text()),
            false => String::new(),
        };
        name(self.constants, "") + &name(self.activations, "-activations")
    }

    fn options(self) -> Options {
        let [precision, activations] = [self.constants, self.activations].map(Precision::of_all);
        Options { precision, activations, ..Options::default() }
    }
}

/// A mode, and formats.
pub type Choice = (Mode, Stored);

/// The ways in which the digits have a hash.
pub const DIGITS: [Choice; 6] = {
    const fn stored(constants: Format, activations: Format) -> Stored {
        Stored { constants, activations }
    }
    [
        (Mode::Fast, stored(Format::Word, Format::Word)),
        (Mode::Compensated, stored(Format::Word, Format::Word)),
        (Mode::Fast, stored(Format::F16, Format::Word)),
        (Mode::Fast, stored(Format::Bf16, Format::Word)),
        (Mode::Fast, stored(Format::Word, Format::F16)),
        (Mode::Fast, stored(Format::Word, Format::Bf16)),
    ]
};

/// The name under which the hash of the digits in one of these ways is recorded: `digits`, `digits/compensated`, `digits/f16`.
pub fn digits_name((mode, stored): Choice) -> String {
    let mode = if mode == Mode::Fast { String::new() } else { format!("/{}", mode.text()) };
    format!("digits{mode}{}", stored.suffix())
}

/// A case, compiled; nothing where it is out of scope or, in compensated arithmetic, where that can't be had. Where what
/// layers put out is narrow, the case stands in the middle of a network, and there is nothing for cases that can't.
///
/// # Panics
///
/// When the compiler refuses it otherwise.
pub fn plan_case(case: &Case, mode: Mode, stored: Stored, targets: &[&'static Target]) -> Option<Planned> {
    let refused = |problem: String| -> ! { panic!("{} ({}): {problem}", case.id, case.parameters) };
    if !scope::has_case(case).unwrap_or_else(|problem| refused(problem)) {
        return None;
    }
    let (mut param, mut outputs) = (read(&case.param), case_outputs(case));
    if stored.activations.is_narrow() {
        // Nothing can follow an output whose size depends on the data, nor come between an empty input and its layer.
        let of_case = known_case(case)?.graph.outputs;
        if of_case.iter().any(|output| output.view.extents.is_some()) || !case.inputs.iter().all(Blob::is_fed) {
            return None;
        }
        let text = String::from_utf8(param).expect("the cases are text");
        (param, outputs) = (inside(&text).into_bytes(), Vec::new());
    }
    let options = Options { shapes: case_shapes(case), outputs, mode, ..stored.options() };
    let file = |bytes| File { path: &case.id, bytes };
    let compiled = match compile(file(&param), file(&read(&case.bin)), &options, targets) {
        Ok(compiled) => compiled,
        Err(problems) if problems.iter().all(|problem| problem.code == Code::Precision) => return None,
        Err(problems) => refused(one_text(problems)),
    };
    let inputs = case_inputs(case, &compiled.plan.graph);
    Some(Planned { compiled, inputs })
}

/// A param file with a running sum behind every input and every output, so that what was read from the caller and given to
/// it stays in the network.
fn inside(param: &str) -> String {
    let layers = parse(param);
    let lines: Vec<&str> = param.lines().skip(2).filter(|line| !line.trim().is_empty()).collect();
    let is_read = |blob: &String| layers.iter().any(|layer| layer.inputs.contains(blob));
    let sum = |blob: &str, to: &str| format!("CumulativeSum sum_of_{blob} 1 1 {blob} {to} 0=-1");
    let (mut inside, mut blobs) = (Vec::new(), 0);
    for (layer, line) in layers.iter().zip(lines) {
        // The blobs that the layer reads are fields of its line: after its type, its name and two counts.
        let first_blob = 4;
        let field = |(at, field): (usize, &str)| {
            let is_input = (first_blob..first_blob + layer.inputs.len()).contains(&at);
            let of_input = is_input && layers.iter().any(|from| from.kind == "Input" && from.outputs[0] == field);
            if of_input { format!("{field}.sums") } else { field.to_string() }
        };
        inside.push(line.split_whitespace().enumerate().map(field).collect::<Vec<_>>().join(" "));
        let ends = layer.outputs.iter().filter(|blob| layer.kind == "Input" || !is_read(blob));
        inside.extend(ends.map(|blob| sum(blob, &format!("{blob}.sums"))));
        blobs += layer.outputs.len();
    }
    let added = inside.len() - layers.len();
    format!("7767517\n{} {}\n{}\n", inside.len(), blobs + added, inside.join("\n"))
}

/// The shapes of a case's inputs, by name.
pub(crate) fn case_shapes(case: &Case) -> HashMap<String, Vec<usize>> {
    case.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect()
}

/// The names of a case's outputs.
pub(crate) fn case_outputs(case: &Case) -> Vec<String> {
    case.outputs.iter().map(|output| output.name.clone()).collect()
}

/// What to feed the graph of a case, in the graph's order; inputs that are never fed are none of its.
pub(crate) fn case_inputs(case: &Case, graph: &Graph) -> Vec<Vec<u32>> {
    let input = |name: &String| case.inputs.iter().find(|input| input.name == *name).expect("every input is fed");
    graph.inputs.iter().map(|id| input(&graph.tensor(*id).name).read().words).collect()
}

/// The shape of a network's input, by name.
pub(crate) fn network_shapes(network: &Network) -> HashMap<String, Vec<usize>> {
    HashMap::from([(network.input.clone(), network.input_shape.clone())])
}

/// A network, compiled, with its outputs and the blobs inside it that are known.
///
/// # Errors
///
/// What the compiler says where it refuses the model.
pub fn plan_network(network: &Network, mode: Mode, targets: &[&'static Target]) -> Result<Planned, String> {
    let expected = network.outputs.iter().chain(&network.extra);
    let options = Options {
        shapes: network_shapes(network),
        outputs: expected.map(|blob| blob.name.clone()).collect(),
        mode,
        ..Options::default()
    };
    let compiled = plan_files(&network.name, &read(&network.param), &network.weights(), &options, targets)?;
    Ok(Planned { compiled, inputs: vec![network.input_tensor().words] })
}

/// Layers between the blobs `in0` and `out0`, with drawn weights, on a drawn input of this shape.
///
/// # Panics
///
/// When the compiler refuses them.
pub fn plan_layers(layers: &[String], shape: &[usize], mode: Mode) -> Planned {
    plan_layers_stored(layers, shape, mode, Stored::default())
}

/// The same, stored so.
///
/// # Panics
///
/// When the compiler refuses them.
pub fn plan_layers_stored(layers: &[String], shape: &[usize], mode: Mode, stored: Stored) -> Planned {
    let blobs = layers.len() + 2;
    let param = format!("7767517\n{} {blobs}\nInput in0 0 1 in0\n{}\n", layers.len() + 1, layers.join("\n"));
    let shapes = HashMap::from([("in0".to_string(), shape.to_vec())]);
    let options = Options { shapes, mode, ..stored.options() };
    let compiled = plan_files("drawn", param.as_bytes(), &synth(&param, 7, 1.0), &options, &[]);
    let compiled = compiled.unwrap_or_else(|problems| panic!("{problems}"));
    let input = input_tensor(3, shape.iter().product());
    Planned { compiled, inputs: vec![input.iter().map(|value| value.to_bits()).collect()] }
}

/// The digits of the example in one way, and the first of the test's images.
///
/// # Panics
///
/// When the example doesn't compile.
pub fn plan_digits((mode, stored): Choice, targets: &[&'static Target]) -> Planned {
    let file = |name: &str| workspace().join("runtime/examples/digits").join(name);
    let shapes = HashMap::from([("in0".to_string(), vec![1, 8, 8])]);
    let options = Options { shapes, mode, ..stored.options() };
    let (param, weights) = (read(&file("digits.fp32.param")), read(&file("digits.fp32.bin")));
    let compiled = plan_files("digits", &param, &weights, &options, targets).expect("the example compiles");
    let image = Tensor::read(&file("digits_test_images.npy")).words[..64].to_vec();
    Planned { compiled, inputs: vec![image] }
}

/// A model's files, compiled; `name` stands for their paths.
///
/// # Errors
///
/// What the compiler says where it refuses the model.
pub fn plan_files(
    name: &str,
    param: &[u8],
    weights: &[u8],
    options: &Options,
    targets: &[&'static Target],
) -> Result<Compiled, String> {
    let file = |bytes| File { path: name, bytes };
    compile(file(param), file(weights), options, targets).map_err(one_text)
}

/// All that is wrong with a model.
pub(crate) fn one_text(problems: Vec<Diagnostic>) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The outputs of these names among the values of all outputs. ncnn's empty blobs have the shape `[0]`, whatever their
/// rank.
pub fn named_outputs<'a>(plan: &Plan, values: &[Value], names: impl Iterator<Item = &'a str>) -> Vec<Tensor> {
    let tensor = |name: &str| {
        let at = plan.graph.outputs.iter().position(|output| output.name == *name).expect("it has been asked for");
        let Value { shape, words } = &values[at];
        let shape: &[usize] = if words.is_empty() { &[0] } else { shape };
        Tensor::new(shape, Type::Float, words.clone())
    };
    names.map(tensor).collect()
}

/// Whether values have the same shape and words; a NaN equals any other.
pub fn same(a: &Value, b: &Value) -> bool {
    let equal = |(a, b): (&u32, &u32)| a == b || (f32::from_bits(*a).is_nan() && f32::from_bits(*b).is_nan());
    a.shape == b.shape && a.words.iter().zip(&b.words).all(equal)
}

/// The bytes of a file.
///
/// # Panics
///
/// When it cannot be read.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
