//! How long compiling takes over networks of 10 to 1,000 layers: a layer must cost the same in all of them.
//!
//! `cargo bench -p ncnnc-compiler --features object --bench compile_time`

use ncnnc_compiler::compile::{Compiled, File, Options, compile};
use ncnnc_compiler::emit::object::{Network, Platform, Weights};
use std::time::{Duration, Instant};

/// Layers of the networks, about.
const LAYERS: &[usize] = &[10, 30, 100, 300, 1000];
/// What the objects are for: three instruction sets, and one.
const TRIPLES: &[&str] = &["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
/// Rows and columns of every blob.
const SIZE: usize = 16;
/// A network is compiled again until this has passed, and the best time counts.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// Networks.
const KINDS: &[Kind] = &[
    Kind { title: "layers that share their kernels", channels: |_| 16 },
    // 17 goes round 89 in as many steps: few blocks have their neighbours' channels in common with others.
    Kind { title: "layers with kernels of their own", channels: |block| 8 + 17 * block % 89 },
];

struct Kind {
    title: &'static str,
    /// What a block makes.
    channels: fn(block: usize) -> usize,
}

fn main() {
    for Kind { title, channels } in KINDS {
        for triple in TRIPLES {
            println!("{title}, {triple}");
            println!(
                "{:>7} {:>12} {:>12} {:>12} {:>10}",
                "layers", "programs ms", "object ms", "ms a layer", "object MB"
            );
            let platform = Platform::new(triple).expect("a known triple");
            for layers in LAYERS {
                measure(&model(*layers, *channels), &platform);
            }
            println!();
        }
    }
}

/// A model's files.
struct Model {
    layers: usize,
    param: String,
    weights: Vec<u8>,
}

/// Blocks of a convolution, another one of what it makes, and the sum of both.
fn model(layers: usize, channels: fn(usize) -> usize) -> Model {
    let (mut lines, mut weights) = (format!("Input in 0 1 sum0 0={SIZE} 1={SIZE} 2=3\n"), Vec::new());
    let (mut before, blocks) = (3, layers / 4);
    for block in 1..=blocks {
        let (to, from) = (channels(block), block - 1);
        let sizes = [9 * before * to, to * to];
        let text = format!(
            "Convolution wide{block} 1 1 sum{from} wide{block} 0={to} 1=3 4=1 5=1 6={} 9=1\n\
             Split split{block} 1 2 wide{block} a{block} b{block}\n\
             Convolution narrow{block} 1 1 a{block} narrow{block} 0={to} 1=1 5=1 6={}\n\
             BinaryOp sum{block} 2 1 narrow{block} b{block} sum{block} 0=0\n",
            sizes[0], sizes[1]
        );
        lines.push_str(&text);
        for size in sizes {
            // A tag, the weights, a bias for every channel.
            let values = (0..size + to).map(|i| (i % 97) as f32 / 97.0 - 0.5);
            weights.extend([0; 4].into_iter().chain(values.flat_map(f32::to_le_bytes)));
        }
        before = to;
    }
    let (layers, blobs) = (1 + 4 * blocks, 1 + 5 * blocks);
    Model { layers, param: format!("7767517\n{layers} {blobs}\n{lines}"), weights }
}

/// Prints the best times of a model.
fn measure(model: &Model, platform: &Platform) {
    let (mut best, mut bytes) = ([Duration::MAX; 2], 0);
    let start = Instant::now();
    while bytes == 0 || start.elapsed() < LONG_ENOUGH {
        let (programs, compiled) = timed(|| programs(model, platform));
        let (object, length) = timed(|| object(&compiled, platform));
        best = [best[0].min(programs), best[1].min(object)];
        bytes = length;
    }
    let [programs, object] = best.map(|time| time.as_secs_f64() * 1e3);
    println!(
        "{:>7} {programs:>12.1} {object:>12.1} {:>12.3} {:>10.2}",
        model.layers,
        (programs + object) / model.layers as f64,
        bytes as f64 * 1e-6
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn programs(model: &Model, platform: &Platform) -> Compiled {
    let param = File { path: "model.param", bytes: model.param.as_bytes() };
    let weights = File { path: "model.bin", bytes: &model.weights };
    compile(param, weights, &Options::default(), platform.targets())
        .unwrap_or_else(|problems| panic!("{}", problems[0]))
}

/// The length of the object.
fn object(compiled: &Compiled, platform: &Platform) -> usize {
    let network = Network::new("model", &compiled.programs, 0, Weights::Included);
    network.unwrap_or_else(|problems| panic!("{}", problems[0])).object(platform).len()
}
