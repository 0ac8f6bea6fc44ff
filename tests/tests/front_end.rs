//! The front end on files: what hostile ones are answered, and that every real one is read and printed back.

use ncnnc_compiler::diagnostic::{Diagnostic, Severity};
use ncnnc_compiler::ncnn::{Layer, Model, Storage, WeightReader, Weights, read_param, read_weights};
use ncnnc_tests::shared::{shared, workspace};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The files below a folder whose names end so, in order.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {end} in {}", folder.display());
    found
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

fn hostile() -> PathBuf {
    workspace().join("tests/hostile")
}

/// What a user reads, file by file, in the order of their names.
fn answers(files: &[PathBuf], answer: impl Fn(&str, &[u8]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>>) -> String {
    let mut text = String::new();
    for path in files {
        let name = name(path);
        let (verdict, problems) = match answer(&name, &read(path)) {
            Ok(warnings) => ("accepted", warnings),
            Err(problems) => {
                assert!(
                    problems.iter().any(|problem| problem.severity == Severity::Error),
                    "{name}: refused for nothing"
                );
                ("refused", problems)
            }
        };
        writeln!(text, "── {name}: {verdict}").expect("writing to a string");
        for problem in problems {
            writeln!(text, "{problem}").expect("writing to a string");
        }
    }
    text
}

fn of_param(name: &str, bytes: &[u8]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    read_param(name, bytes).map(|model| model.warnings)
}

#[test]
fn hostile_text_is_answered() {
    insta::assert_snapshot!(answers(&files(&hostile(), ".param"), of_param));
}

#[test]
fn hostile_binary_is_answered() {
    insta::assert_snapshot!(answers(&files(&hostile(), ".param.bin"), of_param));
}

#[test]
fn hostile_weights_are_answered() {
    const MODEL: &str = "7767517\n3 3\nInput in 0 1 in\nScale first 1 1 in mid 0=6\nScale second 1 1 mid out 0=0\n";
    let files: Vec<PathBuf> =
        files(&hostile(), ".bin").into_iter().filter(|path| !name(path).contains(".param")).collect();
    let arrays = |layer: &Layer, reader: &mut WeightReader| {
        let mut all = Vec::new();
        if layer.name == "first" || (layer.name == "second" && reader.remaining() >= 28) {
            all.push(reader.tagged(6).map_err(|problem| vec![problem])?);
            all.push(reader.raw(2).map_err(|problem| vec![problem])?);
        }
        Ok(all)
    };
    insta::assert_snapshot!(answers(&files, |name, bytes| {
        let mut model = read_param("model.param", MODEL.as_bytes())?;
        read_weights(&mut model, name, bytes, &arrays).map(|()| Vec::new())
    }));
}

#[test]
fn impossible_sizes_of_weights_are_answered() {
    let model = read_param("m.param", b"7767517\n1 1\nInput in 0 1 in\n").expect("a model");
    for extents in [&[65536, 65536, 2][..], &[-1, 4], &[i32::MAX, i32::MAX, i32::MAX, i32::MAX, i32::MAX]] {
        let read = |_: &Layer, reader: &mut WeightReader| match reader.count(extents) {
            Ok(count) => panic!("{extents:?} is no {count}"),
            Err(problem) => Err(vec![problem]),
        };
        read_weights(&mut model.clone(), "m.bin", &[0; 64], &read).expect_err("impossible");
    }
    for count in [17, 1 << 40, usize::MAX / 4, usize::MAX - 2, usize::MAX] {
        let read = |_: &Layer, reader: &mut WeightReader| {
            let problems = [reader.raw(count), reader.tagged(count), reader.bytes(count)].map(|read| match count {
                17 => read.err(),
                _ => Some(read.expect_err("more than there is")),
            });
            Err(problems.into_iter().flatten().collect())
        };
        read_weights(&mut model.clone(), "m.bin", &[0; 64], &read).expect_err("too many");
    }
}

proptest! {
    /// Bytes of hostile files, which sit on the edges of the grammar, changed and cut.
    #[test]
    fn damaged_files_are_survived(
        file in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let files = files(&hostile(), "");
        let mut bytes = read(&files[file.index(files.len())]);
        bytes.push(b' ');
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read_param("damaged", &bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = read_param("damaged", &bytes);
    }
}

/// Reads a file that must be fine, and its own text form, which must be the same model.
fn read_back(path: &Path) -> Model {
    let shown = path.display().to_string();
    let refused = |problems: Vec<Diagnostic>| -> Model {
        let problems: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
        panic!("{shown} is refused:\n{problems}")
    };
    let model = read_param(&shown, &read(path)).unwrap_or_else(refused);
    let again = read_param(&shown, model.to_string().as_bytes()).unwrap_or_else(refused);
    assert_eq!(again.blobs, model.blobs, "{shown}");
    assert_eq!(again.layers.len(), model.layers.len(), "{shown}");
    for (one, other) in again.layers.iter().zip(&model.layers) {
        assert_eq!((&one.kind, &one.name, &one.parameters), (&other.kind, &other.name, &other.parameters), "{shown}");
        assert_eq!((&one.inputs, &one.outputs), (&other.inputs, &other.outputs), "{shown}");
    }
    model
}

/// The messages of the warnings with digits left out, and how often they come.
fn kinds_of_warnings<'a>(models: impl IntoIterator<Item = &'a Model>) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for warning in models.into_iter().flat_map(|model| &model.warnings) {
        let without_digits: String = warning.message.chars().filter(|c| !c.is_ascii_digit()).collect();
        *kinds.entry(without_digits).or_default() += 1;
    }
    kinds
}

#[test]
fn every_conformance_case_is_read() {
    let Some(folder) = shared("conformance/layers") else { return };
    let models: Vec<Model> = files(&folder, ".param").iter().map(|path| read_back(path)).collect();
    assert_eq!(kinds_of_warnings(&models), BTreeMap::new());
}

#[test]
fn every_network_is_read() {
    let Some(folder) = shared("models") else { return };
    let paths = files(&folder, ".param").into_iter().filter(|path| name(path) != "digits.pnnx.param");
    let models: Vec<Model> = paths.map(|path| read_back(&path)).collect();
    // benchmark/nanodet_m has a line more than it counts.
    let ignored = "this and what follows is ignored, as ncnn does: the file promises  layers";
    assert_eq!(kinds_of_warnings(&models), BTreeMap::from([(ignored.into(), 1)]));
}

#[test]
fn a_graph_of_pnnx_is_told_apart() {
    let Some(path) = shared("models/digits/digits.pnnx.param") else { return };
    let problems = read_param("digits.pnnx.param", &read(&path)).expect_err("not ncnn's language");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("PNNX"), "{}", problems[0]);
}

/// The arrays of the layers that the pretrained networks have.
fn convolutions(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Vec<Diagnostic>> {
    let parameters = &layer.parameters;
    let (size, bias) = match layer.kind.as_str() {
        "Convolution" | "ConvolutionDepthWise" => (parameters.int(6, 0), parameters.int(5, 0)),
        "InnerProduct" => (parameters.int(2, 0), parameters.int(1, 0)),
        _ => return Ok(Vec::new()),
    };
    let read = |reader: &mut WeightReader| {
        let mut all = vec![reader.tagged(reader.count(&[size])?)?];
        if bias != 0 {
            all.push(reader.raw(reader.count(&[parameters.int(0, 0)])?)?);
        }
        Ok(all)
    };
    read(reader).map_err(|problem| vec![problem])
}

fn weighted(param: &Path, bin: &Path) -> Model {
    let mut model = read_back(param);
    let shown = bin.display().to_string();
    if let Err(problems) = read_weights(&mut model, &shown, &read(bin), &convolutions) {
        panic!("{}", problems[0]);
    }
    model
}

#[test]
fn weights_of_real_networks_are_read_to_the_last_byte() {
    let Some(folder) = shared("models") else { return };
    for network in ["mnet.25-opt", "nanodet_m", "squeezenet_v1.1"] {
        let folder = folder.join("pretrained").join(network);
        let model = weighted(&folder.join("model.param"), &folder.join("model.bin"));
        let arrays = model.layers.iter().flat_map(|layer| &layer.weights);
        assert!(arrays.clone().count() > 50, "{network}");
        assert!(arrays.flat_map(Weights::to_f32).all(f32::is_finite), "{network}");
    }
}

#[test]
fn halves_are_the_rounded_floats() {
    let Some(folder) = shared("models/digits") else { return };
    let model = |stem: &str| weighted(&folder.join(format!("{stem}.param")), &folder.join(format!("{stem}.bin")));
    let (single, half) = (model("digits.fp32"), model("digits.fp16"));
    let mut halves = 0;
    for (single, half) in single.layers.iter().zip(&half.layers) {
        for (single, half) in single.weights.iter().zip(&half.weights) {
            halves += usize::from(half.storage == Storage::F16);
            for (single, half) in single.values().iter().zip(half.values().iter()) {
                // Half of the spacing of halves: 2^-11 relative, 2^-14 the smallest normal one, below which pnnx
                // writes zero.
                assert!((single - half).abs() <= single.abs() / 2048.0 || single.abs() < 6.2e-5, "{single} {half}");
            }
        }
    }
    assert!(halves > 5, "{halves} arrays of halves");
}
