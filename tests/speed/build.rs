//! Compiles every layer of the table below, and with the feature `networks` whole networks of the shared data.
//!
//! Writes `layers.rs` and `networks.rs`: the models' code, each in a module, and tables of them.

use ncnnc_compiler::build::Model;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::mode::Mode;
use ncnnc_tests::networks::{Network, benchmark};
use ncnnc_tests::shared::shared;
use ncnnc_tests::synth;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Channels of what comes before a layer. Few, so that it costs little; enough that it is a contraction, which makes its
/// output in the form that layers within networks find theirs in.
const CHANNELS_BEFORE: usize = 4;
/// Any will do: times don't depend on values.
const SEED: u64 = 1;
/// The amplitude of weights, as of synth.
const GAIN: f64 = 1.0;

/// The networks that are compared with ncnn's time for them.
const NETWORKS: &[&str] =
    &["resnet18", "squeezenet", "mobilenet_v2", "resnet50", "shufflenet_v2", "mobilenet_v3", "googlenet"];

/// What is measured, with the network it is from.
enum Layer {
    /// A square window on a square plane; sizes are those of the input, and padding keeps `input / stride` pixels.
    Convolution { size: usize, channels: usize, outputs: usize, window: usize, stride: usize },
    /// The same, each channel by itself.
    Depthwise { size: usize, channels: usize, stride: usize },
    /// A matrix times a vector.
    FullyConnected { inputs: usize, outputs: usize },
    /// Means of windows of 3x3 on a square plane.
    AveragePooling { size: usize, channels: usize },
    /// The mean of each square plane.
    GlobalPooling { size: usize, channels: usize },
    /// Of each row of a matrix.
    Softmax { rows: usize, columns: usize },
    /// Of each row of a matrix.
    Normalization { rows: usize, columns: usize },
}

use Layer::{AveragePooling, Convolution, Depthwise, FullyConnected, GlobalPooling, Normalization, Softmax};

const fn convolution(size: usize, channels: usize, outputs: usize, window: usize, stride: usize) -> Layer {
    Convolution { size, channels, outputs, window, stride }
}

const fn depthwise(size: usize, channels: usize, stride: usize) -> Layer {
    Depthwise { size, channels, stride }
}

const LAYERS: &[Layer] = &[
    // The stem of resnet18 and resnet50, which reads the network's input.
    convolution(224, 3, 64, 7, 2),
    // resnet18, and the 3x3 ones of resnet50.
    convolution(56, 64, 64, 3, 1),
    convolution(28, 128, 128, 3, 1),
    convolution(14, 256, 256, 3, 1),
    convolution(7, 512, 512, 3, 1),
    convolution(56, 64, 128, 3, 2),
    convolution(28, 128, 256, 3, 2),
    convolution(14, 256, 512, 3, 2),
    // resnet50.
    convolution(56, 64, 64, 1, 1),
    convolution(56, 64, 256, 1, 1),
    convolution(56, 256, 64, 1, 1),
    convolution(28, 128, 512, 1, 1),
    convolution(28, 512, 128, 1, 1),
    convolution(14, 256, 1024, 1, 1),
    convolution(14, 1024, 256, 1, 1),
    convolution(7, 512, 2048, 1, 1),
    convolution(7, 2048, 512, 1, 1),
    // mobilenet_v2.
    depthwise(112, 32, 1),
    depthwise(56, 144, 1),
    depthwise(56, 144, 2),
    depthwise(28, 192, 1),
    depthwise(14, 576, 1),
    depthwise(7, 960, 1),
    // The ends of resnet50 and resnet18.
    FullyConnected { inputs: 2048, outputs: 1000 },
    FullyConnected { inputs: 512, outputs: 1000 },
    // Of vgg16: more weights than any cache holds.
    FullyConnected { inputs: 4096, outputs: 4096 },
    // inception_v3, resnet50, and a vision transformer with 12 heads of attention over 197 tokens.
    AveragePooling { size: 35, channels: 192 },
    GlobalPooling { size: 7, channels: 2048 },
    Softmax { rows: 2364, columns: 197 },
    Normalization { rows: 197, columns: 768 },
];

/// Measured as direct sums as well: with `numerics = fast` they are Winograd's.
const DIRECT: &[Layer] = &[
    convolution(56, 64, 64, 3, 1),
    convolution(28, 128, 128, 3, 1),
    convolution(14, 256, 256, 3, 1),
    convolution(7, 512, 512, 3, 1),
];

/// Measured with narrow weights as well: bound by memory, between, and by arithmetic.
const NARROW: &[Layer] = &[
    FullyConnected { inputs: 4096, outputs: 4096 },
    FullyConnected { inputs: 2048, outputs: 1000 },
    FullyConnected { inputs: 512, outputs: 1000 },
    convolution(7, 512, 512, 3, 1),
    convolution(7, 512, 2048, 1, 1),
    convolution(14, 256, 256, 3, 1),
    convolution(56, 64, 64, 3, 1),
    convolution(56, 64, 256, 1, 1),
    depthwise(56, 144, 1),
];

/// Measured in compensated arithmetic as well: bound by arithmetic with and without a window, by the cache, by memory.
const COMPENSATED: &[Layer] = &[
    convolution(14, 256, 256, 3, 1),
    convolution(56, 64, 256, 1, 1),
    convolution(7, 512, 2048, 1, 1),
    depthwise(56, 144, 1),
    FullyConnected { inputs: 512, outputs: 1000 },
    FullyConnected { inputs: 4096, outputs: 4096 },
    AveragePooling { size: 35, channels: 192 },
    GlobalPooling { size: 7, channels: 2048 },
    Softmax { rows: 2364, columns: 197 },
    Normalization { rows: 197, columns: 768 },
];

/// A layer as a model.
struct Description {
    /// Of the type and, in another case, of files and of the module.
    name: String,
    /// What the table of results calls it.
    title: String,
    /// The param file's lines between those of the input and the end; the last one is called `layer`.
    lines: Vec<String>,
    /// Shape of the model's input.
    input: Vec<usize>,
    /// Multiply-adds of the layer, padding included; none where it is made of other operations.
    macs: usize,
}

impl Layer {
    fn describe(&self) -> Description {
        match *self {
            Convolution { size, channels, outputs, window, stride } => {
                let (pixels, taps) = ((size / stride).pow(2), window * window);
                let weights = taps * channels * outputs;
                let line = |input: &str| {
                    format!(
                        "Convolution layer 1 1 {input} out0 0={outputs} 1={window} 3={stride} 4={} 5=1 6={weights} 9=1",
                        window / 2
                    )
                };
                let title = format!("{window}x{window}{} {size}x{size} {channels}->{outputs}", ["", "", " s2"][stride]);
                let name = format!("Convolution{window}Stride{stride}Size{size}Channels{channels}To{outputs}");
                let macs = pixels * weights;
                // An image is read as it comes.
                if channels == 3 {
                    return Description { name, title, lines: vec![line("in0")], input: vec![3, size, size], macs };
                }
                let (lines, input) = (vec![before(channels), line("between")], vec![CHANNELS_BEFORE, size, size]);
                Description { name, title, lines, input, macs }
            }
            Depthwise { size, channels, stride } => {
                let weights = 9 * channels;
                let line = format!(
                    "ConvolutionDepthWise layer 1 1 between out0 0={channels} 1=3 3={stride} 4=1 5=1 6={weights} \
                     7={channels} 9=1"
                );
                Description {
                    name: format!("DepthwiseStride{stride}Size{size}Channels{channels}"),
                    title: format!("depthwise 3x3{} {size}x{size} {channels}", ["", "", " s2"][stride]),
                    lines: vec![before(channels), line],
                    input: vec![CHANNELS_BEFORE, size, size],
                    macs: (size / stride).pow(2) * weights,
                }
            }
            FullyConnected { inputs, outputs } => {
                let macs = inputs * outputs;
                Description {
                    name: format!("FullyConnected{inputs}To{outputs}"),
                    title: format!("fully connected {inputs}->{outputs}"),
                    lines: vec![format!("InnerProduct layer 1 1 in0 out0 0={outputs} 1=1 2={macs}")],
                    input: vec![inputs],
                    macs,
                }
            }
            AveragePooling { size, channels } => Description {
                name: format!("AveragePoolingSize{size}Channels{channels}"),
                title: format!("average pooling 3x3 {size}x{size} {channels}"),
                lines: vec![before(channels), "Pooling layer 1 1 between out0 0=1 1=3 2=1 3=1 5=1".to_string()],
                input: vec![CHANNELS_BEFORE, size, size],
                macs: 0,
            },
            GlobalPooling { size, channels } => Description {
                name: format!("GlobalPoolingSize{size}Channels{channels}"),
                title: format!("global average {size}x{size} {channels}"),
                lines: vec![before(channels), "Pooling layer 1 1 between out0 0=1 4=1".to_string()],
                input: vec![CHANNELS_BEFORE, size, size],
                macs: 0,
            },
            Softmax { rows, columns } => Description {
                name: format!("Softmax{rows}By{columns}"),
                title: format!("softmax {rows}x{columns}"),
                lines: vec!["Softmax layer 1 1 in0 out0 0=1 1=1".to_string()],
                input: vec![rows, columns],
                macs: 0,
            },
            Normalization { rows, columns } => Description {
                name: format!("LayerNorm{rows}By{columns}"),
                title: format!("layer norm {rows}x{columns}"),
                lines: vec![format!("LayerNorm layer 1 1 in0 out0 0={columns} 1=1e-5 2=1")],
                input: vec![rows, columns],
                macs: 0,
            },
        }
    }
}

/// A layer that makes the input of the one that is measured.
fn before(channels: usize) -> String {
    format!("Convolution before 1 1 in0 between 0={channels} 1=1 5=1 6={}", channels * CHANNELS_BEFORE)
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=NCNNC_SHARED");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    write(&folder.join("layers.rs"), layers(&folder).as_bytes());
    let wanted = std::env::var_os("CARGO_FEATURE_NETWORKS").is_some();
    let found =
        if wanted { shared("models/benchmark").map_or(Vec::new(), |models| benchmark(&models)) } else { Vec::new() };
    let absence = match (wanted, found.is_empty()) {
        (false, _) => "they are not compiled unless asked for: --features networks",
        (true, true) => "the shared data was absent when this was built: NCNNC_SHARED says where it is",
        (true, false) => "none of the networks has such a name",
    };
    write(&folder.join("networks.rs"), networks(&folder, &found, absence).as_bytes());
}

/// Compiles all layers; the code that includes them.
fn layers(folder: &Path) -> String {
    let (mut code, mut table) = (String::new(), String::new());
    let plain = LAYERS.iter().map(|layer| (layer, Format::Word, Mode::Fast));
    let direct = DIRECT.iter().map(|layer| (layer, Format::Word, Mode::Strict));
    let narrow = Format::ALL.iter().filter(|format| format.is_narrow());
    let narrow = narrow.flat_map(|format| NARROW.iter().map(|layer| (layer, *format, Mode::Fast)));
    let compensated = COMPENSATED.iter().map(|layer| (layer, Format::Word, Mode::Compensated));
    // An unoptimised build is only looked at by clippy, and one layer reads as another does.
    let is_measured = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let count = if is_measured { usize::MAX } else { 1 };
    for (layer, format, mode) in plain.chain(direct).chain(narrow).chain(compensated).take(count) {
        let Description { mut name, mut title, lines, input, macs } = layer.describe();
        if format.is_narrow() {
            name += &format.text().to_ascii_uppercase();
            title += &format!(" {}", format.text());
        }
        let (suffix, word) = match mode {
            Mode::Fast => ("", ""),
            Mode::Strict => ("Direct", " direct"),
            Mode::Compensated => ("Compensated", " compensated"),
        };
        name += suffix;
        title += word;
        let stem = name.to_ascii_lowercase();
        let count = lines.len() + 1;
        let param = format!("7767517\n{count} {count}\nInput in0 0 1 in0\n{}\n", lines.join("\n"));
        let (path, weights) = (folder.join(format!("{stem}.param")), folder.join(format!("{stem}.bin")));
        write(&path, param.as_bytes());
        write(&weights, &synth::synth(&param, SEED, GAIN));
        Model::new(text(&path)).name(&name).input("in0", &input).precision(format).numerics(mode).write_to_out_dir();
        let words: usize = input.iter().product();
        let entry = format!(
            "Layer {{ title: {title:?}, macs: {macs}, input: {words}, \
             new: |options| Box::new({stem}::{name}::with_options(options)) }},"
        );
        writeln!(code, "crate::network::network!({stem}, {name});").expect("strings grow");
        writeln!(table, "    {entry}").expect("strings grow");
    }
    format!("{code}pub static LAYERS: &[Layer] = &[\n{table}];\n")
}

/// Compiles those of the networks found that are wanted; the code that includes them.
fn networks(folder: &Path, found: &[Network], absence: &str) -> String {
    let (mut code, mut table) = (String::new(), String::new());
    println!("cargo::rustc-link-search=native={}", text(folder));
    for network in NETWORKS.iter().filter_map(|name| found.iter().find(|network| network.name == *name)) {
        let stem = &network.name;
        let (weights, input) = (folder.join(format!("{stem}.bin")), folder.join(format!("{stem}.input")));
        write(&weights, &network.weights());
        let values = network.input_tensor().values();
        write(&input, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        let (param, name) = (text(&network.param), format!("Network{}", stem.replace('_', "")));
        Model::new(param)
            .weights(text(&weights))
            .name(&name)
            .file(stem)
            .input(&network.input, &network.input_shape)
            .write_to_out_dir();
        let output = &network.outputs.first().expect("a network has an output").name;
        let entry = format!(
            "Whole {{ name: {stem:?}, param: {param:?}, weights: {:?}, input: ({:?}, {:?}, &{:?}), output: {output:?}, \
             new: |options| Box::new({stem}::{name}::with_options(options)), objects: &[{}] }},",
            text(&weights),
            network.input,
            text(&input),
            network.input_shape,
            objects(folder, network, &weights),
        );
        writeln!(code, "crate::network::network!({stem}, {name});").expect("strings grow");
        writeln!(table, "    {entry}").expect("strings grow");
    }
    format!("{code}pub static NETWORKS: &[Whole] = &[\n{table}];\npub static ABSENCE: &str = {absence:?};\n")
}

/// Compiles a network as static libraries to link: one as users get it, which chooses among all instruction sets of the
/// machine, and one for each narrower set of vectors alone. Expressions for what the benchmark calls.
#[cfg(feature = "objects")]
fn objects(folder: &Path, network: &Network, weights: &Path) -> String {
    use ncnnc_compiler::compile::{File, Options, compile};
    use ncnnc_compiler::emit::object::{Network as Compiled, Platform, Weights};
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (param, values) = (read(&network.param), read(weights));
    let shapes = [(network.input.clone(), network.input_shape.clone())].into();
    let options = Options { shapes, ..Options::default() };
    let platform = Platform::new(&std::env::var("TARGET").expect("cargo sets it")).expect("a machine for objects");
    let (param, values) =
        (File { path: text(&network.param), bytes: &param }, File { path: text(weights), bytes: &values });
    let narrower = platform.targets()[1..].iter().filter(|target| target.name != "portable");
    let narrower = narrower.map(|target| platform.clone().only(target.name).expect("one of its own"));
    let mut table = String::new();
    for platform in std::iter::once(platform.clone()).chain(narrower) {
        let programs = compile(param, values, &options, platform.targets()).expect("it was compiled before").programs;
        let set = platform.targets()[0].name;
        let name = format!("object_{}_{set}", network.name);
        let compiled = Compiled::new(&name, &programs, 0, Weights::Included).expect("a name in C");
        write(&folder.join(format!("lib{name}.a")), &compiled.static_library(&platform));
        println!("cargo::rustc-link-lib=static={name}");
        let (arena, output) = (compiled.arena_bytes(), compiled.outputs()[0].shape.iter().product::<usize>());
        write!(table, "({set:?}, crate::objects::object!({name}_run_parallel, {arena}, {output})), ")
            .expect("strings grow");
    }
    table
}

/// No objects are wanted.
#[cfg(not(feature = "objects"))]
fn objects(_: &Path, _: &Network, _: &Path) -> &'static str {
    ""
}

/// Writes a file dated long ago: cargo would find one that is younger than the build changed, and build again.
fn write(path: &Path, bytes: &[u8]) {
    let result = std::fs::write(path, bytes)
        .and_then(|()| std::fs::File::options().write(true).open(path)?.set_modified(SystemTime::UNIX_EPOCH));
    result.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("cargo's folders are text")
}
