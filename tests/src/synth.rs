//! Seeded weights for a param file, in the bytes of the `.bin` ncnn expects, and the input that goes with them.
//!
//! The networks of the benchmark come without weights: ncnn's outputs for them were made with the weights drawn here.
//! Draw number n over the whole file is splitmix64 (Steele, Lea, Flood 2014) started at the seed; its upper 24 bits are
//! u in [0, 1), and s = 2u - 1. A weight is s times an amplitude, computed in f64 and rounded to f32 once, with one
//! rounding of the product. Reads param files with a reader of its own, which trusts them.

use crate::random::Random;
use std::collections::BTreeMap;

/// What the input's seed differs from the weights' by.
const INPUT_SEED: u64 = 0xa5a5_a5a5;
/// ncnn's storage tag of int8 weights.
const INT8_TAG: u32 = 0x000d_4b38;
/// The distance of neighbouring draws: 2^-24.
const UNIT_STEP: f32 = 1.0 / (1 << 24) as f32;
/// Bytes of the `.bin` are padded to words.
const WORD_BYTES: usize = 4;
/// The amplitude of biases and of all else that shifts.
const SHIFT: f64 = 0.1;
/// The scale of int8 activations: 127 quantisation steps for a magnitude of 4.
const INT8_ACTIVATION_SCALE: f32 = 31.75;
/// Times the root of the fan-in, the scale of int8 weights: drawn steps have a standard deviation near 73.
const INT8_WEIGHT_SCALE: f64 = 73.0;

/// One layer of a text param file.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// ncnn's layer kind.
    pub kind: String,
    /// The layer's name.
    pub name: String,
    /// Names of the blobs it reads.
    pub inputs: Vec<String>,
    /// Names of the blobs it writes.
    pub outputs: Vec<String>,
    /// Parameters that are one integer, by id. Arrays, floats and strings never say how many weights there are.
    pub integers: BTreeMap<i64, i64>,
}

impl Layer {
    fn get(&self, id: i64, default: i64) -> i64 {
        self.integers.get(&id).copied().unwrap_or(default)
    }

    fn count(&self, id: i64, default: i64) -> usize {
        let value = self.get(id, default);
        usize::try_from(value).unwrap_or_else(|_| panic!("layer {}: {id}={value} is no count", self.name))
    }

    fn is(&self, id: i64, default: i64) -> bool {
        self.get(id, default) != 0
    }
}

/// Reads a text param file. Lines beyond the announced number of layers are left out, as ncnn does.
///
/// # Panics
///
/// When the text is malformed: only files known to be good are read with this.
pub fn parse(text: &str) -> Vec<Layer> {
    let mut lines = text.lines();
    assert_eq!(lines.next().map(str::trim), Some("7767517"), "the magic number of a param file");
    let counts = lines.next().expect("a line of counts");
    let layers: usize = counts.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a layer count");
    lines.filter(|line| !line.trim().is_empty()).take(layers).map(parse_layer).collect()
}

fn parse_layer(line: &str) -> Layer {
    let words: Vec<&str> = line.split_whitespace().collect();
    let count = |index: usize| -> usize { words[index].parse().unwrap_or_else(|_| panic!("blob counts in: {line}")) };
    let (inputs, outputs) = (4 + count(2), 4 + count(2) + count(3));
    let names = |range: &[&str]| range.iter().map(|name| (*name).to_owned()).collect();
    let integers = words[outputs..].iter().filter_map(|word| {
        let (id, value) = word.split_once('=').unwrap_or_else(|| panic!("`{word}` in: {line}"));
        Some((id.parse().unwrap_or_else(|_| panic!("`{word}` in: {line}")), value.parse().ok()?))
    });
    Layer {
        kind: words[0].to_owned(),
        name: words[1].to_owned(),
        inputs: names(&words[4..inputs]),
        outputs: names(&words[inputs..outputs]),
        integers: integers.collect(),
    }
}

/// The bytes of the `.bin` file for a text param file. `gain` scales the amplitude of weights that contract.
///
/// # Panics
///
/// When the text is malformed or has a layer whose weights are not defined here.
pub fn synth(param_text: &str, seed: u64, gain: f64) -> Vec<u8> {
    synth_layers(&parse(param_text), seed, gain)
}

/// The same for layers already read.
///
/// # Panics
///
/// When a layer's weights are not defined here.
pub fn synth_layers(layers: &[Layer], seed: u64, gain: f64) -> Vec<u8> {
    let mut writer = Writer { stream: Stream(Random(seed)), bytes: Vec::new(), gain };
    for layer in layers {
        writer.layer(layer);
    }
    writer.bytes
}

/// `count` values in [-1, 1) to feed a network whose weights were drawn with `seed`.
pub fn input_tensor(seed: u64, count: usize) -> Vec<f32> {
    let mut stream = Stream(Random(seed ^ INPUT_SEED));
    (0..count).map(|_| stream.signed()).collect()
}

/// The generator.
struct Stream(Random);

impl Stream {
    /// The next u: a multiple of 2^-24 in [0, 1).
    fn unit(&mut self) -> f32 {
        // 24 bits: exact in f32, and so is the product.
        (self.0.bits() >> 40) as f32 * UNIT_STEP
    }

    /// The next s = 2u - 1, exact.
    fn signed(&mut self) -> f32 {
        self.unit() * 2.0 - 1.0
    }
}

/// Appends the weights of one layer after the other.
struct Writer {
    stream: Stream,
    bytes: Vec<u8>,
    gain: f64,
}

impl Writer {
    fn layer(&mut self, layer: &Layer) {
        let kind = layer.kind.as_str();
        match kind {
            _ if kind.starts_with("Convolution") || kind.starts_with("Deconvolution") => self.convolution(layer),
            "InnerProduct" | "DeformableConv2D" => self.convolution(layer),
            "BatchNorm" => {
                let channels = layer.count(0, 0);
                self.factors(channels);
                self.values(channels, SHIFT);
                self.factors(channels);
                self.values(channels, SHIFT);
            }
            // -233: the scales are another input.
            "Scale" if layer.get(0, 0) != -233 => {
                self.factors(layer.count(0, 0));
                self.values_if(layer.is(1, 0), layer.count(0, 0), SHIFT);
            }
            "Bias" => self.values(layer.count(0, 0), SHIFT),
            "PReLU" => self.draw(layer.count(0, 0), |stream| stream.unit() * 0.5),
            "LayerNorm" | "InstanceNorm" if layer.is(2, 1) => {
                self.factors(layer.count(0, 0));
                self.values(layer.count(0, 0), SHIFT);
            }
            "GroupNorm" if layer.is(3, 1) => {
                self.factors(layer.count(1, 0));
                self.values(layer.count(1, 0), SHIFT);
            }
            "RMSNorm" if layer.is(2, 1) => self.factors(layer.count(0, 0)),
            "Normalize" => self.factors(layer.count(3, 0)),
            "Gemm" => self.gemm(layer),
            "MultiHeadAttention" => self.attention(layer),
            "Embed" => {
                self.tagged(layer.count(3, 0), 1.0);
                self.values_if(layer.is(2, 0), layer.count(0, 0), SHIFT);
            }
            "MemoryData" => self.values([0, 1, 11, 2].map(|id| layer.count(id, 0).max(1)).iter().product(), 0.5),
            "LSTM" => self.recurrent(layer, 4, 4, layer.count(3, layer.get(0, 0))),
            "GRU" => self.recurrent(layer, 3, 4, layer.count(0, 0)),
            "RNN" => self.recurrent(layer, 1, 1, layer.count(0, 0)),
            "Padding" => self.values(layer.count(6, 0), SHIFT),
            // All other kinds have no weights.
            _ => {}
        }
    }

    /// Convolutions of every sort and inner products: weights, bias and, for int8, scales.
    fn convolution(&mut self, layer: &Layer) {
        let kind = layer.kind.as_str();
        let inner = kind == "InnerProduct";
        let dynamic = if kind.starts_with("Conv") { 19 } else { 28 };
        if !inner && kind != "DeformableConv2D" && !kind.ends_with("3D") && layer.is(dynamic, 0) {
            return;
        }
        let outputs = layer.count(0, 0);
        let weights = layer.count(if inner { 2 } else { 6 }, 0);
        let bias = layer.is(if inner { 1 } else { 5 }, 0);
        let quantised = matches!(kind, "Convolution" | "ConvolutionDepthWise" | "InnerProduct");
        let term = if quantised { layer.get(8, 0) } else { 0 };
        let fan_in = weights as f64 / outputs as f64;
        if term == 0 {
            self.tagged(weights, self.gain * (3.0 / fan_in).sqrt());
        } else {
            self.quantised(weights);
        }
        self.values_if(bias, outputs, SHIFT);
        if term != 0 {
            let scales = match (kind, term) {
                ("ConvolutionDepthWise", 1 | 101) => layer.count(7, 1),
                ("ConvolutionDepthWise", _) => 1,
                _ => outputs,
            };
            let scale = (INT8_WEIGHT_SCALE * fan_in.sqrt() / self.gain) as f32;
            self.constants(scales, scale);
            self.constants(if term > 100 { 2 } else { 1 }, INT8_ACTIVATION_SCALE);
        }
    }

    fn gemm(&mut self, layer: &Layer) {
        assert!(!layer.is(18, 0), "layer {}: weights of a quantised Gemm are not defined", layer.name);
        let [rows, columns, depth] = [7, 8, 9];
        let size = |ids: [i64; 2]| ids.map(|id| layer.count(id, 0)).iter().product();
        let amplitude = self.gain * (3.0 / layer.get(depth, 0) as f64).sqrt();
        if layer.is(4, 0) {
            self.tagged(size([rows, depth]), amplitude);
        }
        if layer.is(5, 0) {
            self.tagged(size([columns, depth]), amplitude);
        }
        if layer.is(6, 0) && layer.get(10, 0) != -1 {
            let count = match layer.get(10, 0) {
                0 => 1,
                1 | 2 => layer.count(rows, 0),
                3 => size([rows, columns]),
                4 => layer.count(columns, 0),
                other => panic!("layer {}: no broadcast is numbered {other}", layer.name),
            };
            self.tagged(count, SHIFT);
        }
    }

    fn attention(&mut self, layer: &Layer) {
        assert!(!layer.is(18, 0), "layer {}: weights of a quantised attention are not defined", layer.name);
        let embedding = layer.count(0, 0);
        let query = layer.count(2, 0) / embedding;
        let [key, value] = [3, 4].map(|id| layer.count(id, layer.get(0, 0)));
        for (inner, outer) in [(query, embedding), (key, embedding), (value, embedding), (embedding, query)] {
            self.tagged(inner * outer, (3.0 / inner as f64).sqrt());
            self.values(outer, SHIFT);
        }
    }

    /// RNN, GRU and LSTM: `gates` and `bias_gates` rows per cell of `hidden` values.
    fn recurrent(&mut self, layer: &Layer, gates: usize, bias_gates: usize, hidden: usize) {
        let directions = if layer.get(2, 0) == 2 { 2 } else { 1 };
        let outputs = layer.count(0, 0);
        let weights = layer.count(1, 0);
        let inputs = weights / directions / hidden / gates;
        self.tagged(weights, (3.0 / inputs as f64).sqrt());
        self.tagged(directions * bias_gates * hidden, SHIFT);
        self.tagged(directions * hidden * gates * outputs, (3.0 / outputs as f64).sqrt() * 0.5);
        if hidden != outputs {
            self.tagged(directions * hidden * outputs, (3.0 / hidden as f64).sqrt());
        }
    }

    /// f32 values after the tag that announces them.
    fn tagged(&mut self, count: usize, amplitude: f64) {
        self.constants(1, 0.0);
        self.values(count, amplitude);
    }

    /// f32 values in `[-amplitude, amplitude)`.
    fn values(&mut self, count: usize, amplitude: f64) {
        let amplitude = amplitude as f32;
        self.draw(count, |stream| stream.signed() * amplitude);
    }

    fn values_if(&mut self, present: bool, count: usize, amplitude: f64) {
        if present {
            self.values(count, amplitude);
        }
    }

    /// f32 values in [0.5, 1.5).
    fn factors(&mut self, count: usize) {
        self.draw(count, |stream| stream.unit() + 0.5);
    }

    /// int8 weights in [-127, 127] after their tag, padded.
    fn quantised(&mut self, count: usize) {
        self.bytes.extend(INT8_TAG.to_le_bytes());
        let stream = &mut self.stream;
        self.bytes.extend((0..count).map(|_| ((f64::from(stream.unit()) * 255.0).floor() - 127.0) as i8 as u8));
        self.bytes.resize(self.bytes.len().next_multiple_of(WORD_BYTES), 0);
    }

    fn constants(&mut self, count: usize, value: f32) {
        self.bytes.extend(value.to_le_bytes().repeat(count));
    }

    fn draw(&mut self, count: usize, value: impl Fn(&mut Stream) -> f32) {
        let start = self.bytes.len();
        self.bytes.resize(start + count * WORD_BYTES, 0);
        for word in self.bytes[start..].chunks_exact_mut(WORD_BYTES) {
            word.copy_from_slice(&value(&mut self.stream).to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{hash_bytes, hash_values};
    use crate::networks::benchmark;
    use crate::shared::{shared, workspace};

    /// A line for nearly every kind of layer with weights, fp32 and int8, and one beyond the announced count.
    const KINDS: &str = "\
7767517
16 16
Input            in0   0 1 a
Convolution      conv  1 1 a b 0=6 1=3 5=1 6=162 -23310=2,0.0,6.0 9=3
ConvolutionDepthWise dw 1 1 b c 0=6 1=3 5=1 6=54 7=6 8=101
InnerProduct     fc    1 1 c d 0=5 1=1 2=35 8=2
BatchNorm        bn    1 1 d e 0=5
Scale            scale 1 1 e f 0=5 1=1
PReLU            prelu 1 1 f g 0=5
LayerNorm        ln    1 1 g h 0=5 1=1e-5
GroupNorm        gn    1 1 h i 0=1 1=5
Gemm             gemm  1 1 i j 4=0 5=1 6=1 7=4 8=3 9=5 10=4
MultiHeadAttention mha 1 1 j k 0=4 1=2 2=16
Embed            embed 1 1 k l 0=4 1=3 2=1 3=12
MemoryData       data  0 1 m 0=3 1=2
LSTM             lstm  1 1 l n 0=3 1=160 2=2 3=4
GRU              gru   1 1 n o 0=3 1=54
DeformableConv2D deform 2 1 o m p 0=2 1=3 5=0 6=36
ReLU             beyond_the_count 1 1 p q
";

    // The hashes in these tests are those of the files the definition's own program (`conformance/synth.py` of the
    // shared data) wrote.

    #[test]
    fn draws_follow_the_published_vector() {
        let mut stream = Stream(Random(1));
        let bits = [0; 4].map(|_: u32| stream.unit().to_bits());
        assert_eq!(bits, [0x3f11_0a2d, 0x3f3e_eb8d, 0x3f78_93a2, 0x3ee3_830c]);
    }

    #[test]
    fn every_kind_of_weights() {
        let bytes = synth(KINDS, 7, 1.25);
        assert_eq!((bytes.len(), hash_bytes(&bytes)), (3400, 0xa4a2_c92a_d627_e45b));
    }

    #[test]
    fn weights_and_input_of_the_digits() {
        let text = std::fs::read_to_string(workspace().join("runtime/examples/digits/digits.fp32.param")).unwrap();
        let bytes = synth(&text, 42, std::f64::consts::SQRT_2);
        assert_eq!((bytes.len(), hash_bytes(&bytes)), (108_368, 0x4c08_40fc_5731_5a58));
        assert_eq!(hash_values(&input_tensor(42, 64)), 0x8a26_5028_78ab_15ee);
    }

    #[test]
    fn weights_of_blazeface() {
        let Some(folder) = shared("models/benchmark") else { return };
        let network = benchmark(&folder).into_iter().find(|network| network.name == "blazeface").expect("blazeface");
        assert_eq!(hash_bytes(&network.weights()), 0xb788_c59f_bb0b_1318);
    }

    #[test]
    fn a_line_is_taken_apart() {
        let layers = parse("7767517\n1 3\nCrop  crop  2 1 a b c 0=-233 1=1.5 -23309=2,4,5 3=7,8 6=\"x\"\n\nignored\n");
        let [layer] = &layers[..] else { panic!("{layers:?}") };
        assert_eq!((layer.kind.as_str(), layer.name.as_str()), ("Crop", "crop"));
        assert_eq!((layer.inputs.join(" "), layer.outputs.join(" ")), ("a b".to_owned(), "c".to_owned()));
        assert_eq!(layer.integers, BTreeMap::from([(0, -233)]));
    }

    #[test]
    #[should_panic(expected = "layer fc: 0=-1 is no count")]
    fn a_count_is_not_negative() {
        synth("7767517\n1 2\nInnerProduct fc 1 1 a b 0=-1 2=4\n", 1, 1.0);
    }
}
