//! Whole networks with the outputs of the real ncnn: its benchmark networks with drawn weights, and pretrained ones.

use crate::compare::{Tolerance, compare};
use crate::npy::Tensor;
use crate::synth;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The share of an output's largest magnitude by which fp32 values may differ: the whole network's sums are ordered
/// differently from ncnn's.
const FLOAT_TOLERANCE: f64 = 1e-3;
/// The same where int8 layers round: a value next to a step lands on either side of it.
const INT8_TOLERANCE: f64 = 0.05;
/// What is allowed besides, in the unit of the values, for outputs that are all but 0.
const ABSOLUTE_TOLERANCE: f64 = 1e-6;

/// One network and one input.
#[derive(Clone, Debug)]
pub struct Network {
    /// The network's name; for a pretrained one with the input's: `squeezenet_v1.1/cat`.
    pub name: String,
    /// The text param file.
    pub param: PathBuf,
    /// The name of the one input blob.
    pub input: String,
    /// The input's sizes, outermost first.
    pub input_shape: Vec<usize>,
    /// The network's outputs.
    pub outputs: Vec<Expected>,
    /// Blobs inside the network, such as the logits before a softmax.
    pub extra: Vec<Expected>,
    data: Data,
}

/// An expected blob.
#[derive(Clone, Debug)]
pub struct Expected {
    /// ncnn's blob name.
    pub name: String,
    /// The `.npy` file.
    pub path: PathBuf,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Relative to the largest magnitude in the blob.
    pub tolerance: Tolerance,
}

#[derive(Clone, Debug)]
enum Data {
    Drawn { seed: u64, gain: f64 },
    Files { bin: PathBuf, input: PathBuf },
}

impl Expected {
    /// Reads the file.
    pub fn read(&self) -> Tensor {
        Tensor::read(&self.path)
    }

    /// Judges what came out.
    ///
    /// # Errors
    ///
    /// The blob and what is wrong with it.
    pub fn check(&self, got: &Tensor) -> Result<(), String> {
        let compared = compare(got, &self.read(), self.tolerance);
        compared.map(drop).map_err(|problem| format!("{}: {problem}", self.name))
    }
}

impl Network {
    /// The bytes of the `.bin` file.
    ///
    /// # Panics
    ///
    /// When a file cannot be read.
    pub fn weights(&self) -> Vec<u8> {
        match &self.data {
            Data::Drawn { seed, gain } => synth::synth(&read(&self.param), *seed, *gain),
            Data::Files { bin, .. } => std::fs::read(bin).unwrap_or_else(|error| panic!("{}: {error}", bin.display())),
        }
    }

    /// The input.
    ///
    /// # Panics
    ///
    /// When its file cannot be read or has another shape.
    pub fn input_tensor(&self) -> Tensor {
        let tensor = match &self.data {
            Data::Drawn { seed, .. } => {
                let count = self.input_shape.iter().product();
                Tensor::from_values(&self.input_shape, &synth::input_tensor(*seed, count))
            }
            Data::Files { input, .. } => Tensor::read(input),
        };
        assert_eq!(tensor.shape, self.input_shape, "{}: shape of the input", self.name);
        tensor
    }
}

/// The benchmark networks in `folder` (`models/benchmark` of the shared data), by name.
///
/// # Panics
///
/// When the manifest is absent or malformed.
pub fn benchmark(folder: &Path) -> Vec<Network> {
    let networks: BTreeMap<String, BenchmarkEntry> = manifest(folder);
    networks
        .into_iter()
        .map(|(name, entry)| Network {
            param: folder.join(&name).join("model.param"),
            input: entry.input,
            input_shape: entry.input_shape,
            outputs: expected(folder, &name, entry.outputs),
            extra: expected(folder, &name, entry.extra),
            data: Data::Drawn { seed: entry.seed, gain: entry.gain },
            name,
        })
        .collect()
}

/// The pretrained networks in `folder` (`models/pretrained` of the shared data), one entry per input, by name.
///
/// # Panics
///
/// When the manifest is absent or malformed.
pub fn pretrained(folder: &Path) -> Vec<Network> {
    let networks: BTreeMap<String, PretrainedEntry> = manifest(folder);
    let mut all = Vec::new();
    for (name, entry) in networks {
        let inside = folder.join(Path::new(&entry.files).file_name().expect("the folder of a network has a name"));
        for (run, PretrainedRun { input, input_shape, outputs }) in entry.runs {
            all.push(Network {
                param: inside.join("model.param"),
                input: entry.input.clone(),
                input_shape,
                outputs: expected(&inside, &name, outputs),
                extra: Vec::new(),
                data: Data::Files { bin: inside.join("model.bin"), input: inside.join(input) },
                name: format!("{name}/{run}"),
            });
        }
    }
    all
}

#[derive(Deserialize)]
struct BenchmarkEntry {
    input: String,
    input_shape: Vec<usize>,
    seed: u64,
    gain: f64,
    outputs: BTreeMap<String, File>,
    extra: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct PretrainedEntry {
    input: String,
    files: String,
    runs: BTreeMap<String, PretrainedRun>,
}

#[derive(Deserialize)]
struct PretrainedRun {
    input: String,
    input_shape: Vec<usize>,
    outputs: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    file: String,
    shape: Vec<usize>,
    absmax: f64,
}

fn manifest<T: serde::de::DeserializeOwned>(folder: &Path) -> T {
    let path = folder.join("manifest.json");
    serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn expected(folder: &Path, network: &str, files: BTreeMap<String, File>) -> Vec<Expected> {
    let share = if network.contains("int8") { INT8_TOLERANCE } else { FLOAT_TOLERANCE };
    files
        .into_iter()
        .map(|(name, File { file, shape, absmax })| Expected {
            name,
            path: folder.join(file),
            shape,
            tolerance: Tolerance { absolute: share * absmax + ABSOLUTE_TOLERANCE, relative: 0.0 },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::shared;

    fn check_blobs(network: &Network) {
        assert!(!network.outputs.is_empty(), "{}", network.name);
        for blob in network.outputs.iter().chain(&network.extra) {
            let (tensor, place) = (blob.read(), format!("{}: {}", network.name, blob.name));
            assert_eq!(tensor.shape, blob.shape, "{place}");
            let largest = tensor.values().iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
            // No detections: an empty blob.
            if tensor.words.is_empty() {
                continue;
            }
            let share = (blob.tolerance.absolute - ABSOLUTE_TOLERANCE) / largest;
            let want = if network.name.contains("int8") { INT8_TOLERANCE } else { FLOAT_TOLERANCE };
            assert!((share / want - 1.0).abs() < 1e-6, "{place}: tolerance of {share} of the largest magnitude");
        }
    }

    #[test]
    fn benchmark_networks_are_complete() {
        let Some(folder) = shared("models/benchmark") else { return };
        let networks = benchmark(&folder);
        assert_eq!(networks.len(), 35);
        for network in &networks {
            assert!(network.param.is_file(), "{}", network.param.display());
            check_blobs(network);
        }
        let blazeface = networks.iter().find(|network| network.name == "blazeface").expect("blazeface is among them");
        let count: usize = blazeface.input_shape.iter().product();
        assert_eq!(blazeface.input_tensor().words.len(), count);
    }

    #[test]
    fn pretrained_networks_are_complete() {
        let Some(folder) = shared("models/pretrained") else { return };
        let networks = pretrained(&folder);
        let names: Vec<&str> = networks.iter().map(|network| network.name.as_str()).collect();
        assert_eq!(names, ["mnet.25-opt/horse", "nanodet_m/horse", "squeezenet_v1.1/cat", "squeezenet_v1.1/lemon"]);
        for network in &networks {
            check_blobs(network);
            assert!(!network.weights().is_empty());
            assert!(!network.input_tensor().words.is_empty());
        }
    }
}
