//! The conformance cases: single layers with the outputs of the real ncnn.
//!
//! One line of `cases.jsonl` per case; a case's files lie beside it as `Layer/NNN.param`, `.bin` and `.<blob>.npy`.

use crate::compare::{Tolerance, compare};
use crate::npy::{Tensor, Type};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Layer kind and number: `AbsVal/000`.
    pub id: String,
    /// ncnn's name of the layer kind under test.
    pub layer: String,
    /// The layer's parameters in short, for messages.
    pub parameters: String,
    /// The text param file.
    pub param: PathBuf,
    /// The weights, often an empty file.
    pub bin: PathBuf,
    /// What to feed, in the file's order.
    pub inputs: Vec<Blob>,
    /// What must come out.
    pub outputs: Vec<Blob>,
    /// For every output.
    pub tolerance: Tolerance,
}

/// An input or output of a case.
#[derive(Clone, Debug)]
pub struct Blob {
    /// ncnn's blob name.
    pub name: String,
    /// The `.npy` file.
    pub path: PathBuf,
    /// Sizes, outermost first. An input of shape `[0]` is declared but never fed: an empty cache.
    pub shape: Vec<usize>,
    /// What the words are.
    pub element: Type,
}

impl Blob {
    /// Reads the file.
    ///
    /// # Panics
    ///
    /// When it is not what the index says.
    pub fn read(&self) -> Tensor {
        let tensor = Tensor::read(&self.path);
        let name = self.path.display();
        assert_eq!((&tensor.shape, tensor.element), (&self.shape, self.element), "{name}: shape and type in the index");
        tensor
    }

    /// Whether the blob is fed: not declared empty.
    pub fn is_fed(&self) -> bool {
        !self.shape.contains(&0)
    }
}

impl Case {
    /// Compares one value per output, in the order of [`Case::outputs`].
    ///
    /// # Errors
    ///
    /// The first output that is off: case, parameters, output and [`compare`]'s sentence.
    pub fn check(&self, got: &[Tensor]) -> Result<(), String> {
        assert_eq!(got.len(), self.outputs.len(), "{}: number of outputs", self.id);
        for (got, output) in got.iter().zip(&self.outputs) {
            compare(got, &output.read(), self.tolerance)
                .map_err(|message| format!("{} ({}): {}: {message}", self.id, self.parameters, output.name))?;
        }
        Ok(())
    }
}

/// All cases in `folder` whose layer kind is in scope, in the order of the index.
///
/// # Panics
///
/// When there is no index, it is malformed, or nothing is in scope.
pub fn read_cases(folder: &Path, in_scope: impl Fn(&str) -> bool) -> Vec<Case> {
    let index = folder.join("cases.jsonl");
    let text = std::fs::read_to_string(&index).unwrap_or_else(|error| panic!("{}: {error}", index.display()));
    let cases: Vec<Case> = text
        .lines()
        .map(|line| parse(folder, line).unwrap_or_else(|error| panic!("{}: {error}: {line}", index.display())))
        .filter(|case| in_scope(&case.layer))
        .collect();
    assert!(!cases.is_empty(), "{}: no case is in scope", index.display());
    cases
}

/// A line of the index, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    id: String,
    layer: String,
    params: String,
    inputs: Vec<LineBlob>,
    outputs: Vec<LineBlob>,
    tol_abs: f64,
    tol_rel: f64,
}

#[derive(Deserialize)]
struct LineBlob {
    name: String,
    shape: Vec<usize>,
    dtype: Type,
}

fn parse(folder: &Path, line: &str) -> serde_json::Result<Case> {
    // Python writes numbers JSON doesn't have; they stand only in figures that aren't read here.
    let line: Line = serde_json::from_str(&line.replace(": Infinity", ": null").replace(": NaN", ": null"))?;
    let file = |suffix: &str| folder.join(format!("{}.{suffix}", line.id));
    let blobs = |blobs: Vec<LineBlob>| {
        blobs
            .into_iter()
            .map(|LineBlob { name, shape, dtype }| Blob {
                path: file(&format!("{name}.npy")),
                name,
                shape,
                element: dtype,
            })
            .collect()
    };
    Ok(Case {
        param: file("param"),
        bin: file("bin"),
        inputs: blobs(line.inputs),
        outputs: blobs(line.outputs),
        tolerance: Tolerance { absolute: line.tol_abs, relative: line.tol_rel },
        id: line.id,
        layer: line.layer,
        parameters: line.params,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::shared;

    #[test]
    fn a_line_names_its_files() {
        let line = r#"{"id": "Crop/007", "layer": "Crop", "params": "0=1", "tol_abs": 0.5, "tol_rel": 1e-5, "ref_abs": Infinity,
            "inputs": [{"name": "in0", "shape": [2, 3], "dtype": "i4"}, {"name": "cache", "shape": [0], "dtype": "f4"}],
            "outputs": [{"name": "out0", "shape": [3], "dtype": "f4"}]}"#;
        let case = parse(Path::new("folder"), line).unwrap();
        assert_eq!(case.param, Path::new("folder/Crop/007.param"));
        assert_eq!(case.bin, Path::new("folder/Crop/007.bin"));
        assert_eq!(case.outputs[0].path, Path::new("folder/Crop/007.out0.npy"));
        assert_eq!(case.tolerance, Tolerance { absolute: 0.5, relative: 1e-5 });
        let inputs: Vec<_> = case.inputs.iter().map(|blob| (blob.element, blob.is_fed())).collect();
        assert_eq!(inputs, [(Type::Integer, true), (Type::Float, false)]);
    }

    #[test]
    fn expected_outputs_pass_and_disturbed_ones_fail() {
        let Some(folder) = shared("conformance/layers") else { return };
        let cases = read_cases(&folder, |layer| layer == "Softmax");
        for case in &cases {
            let mut outputs: Vec<Tensor> = case.outputs.iter().map(Blob::read).collect();
            assert_eq!(case.check(&outputs), Ok(()));
            outputs[0].words[0] ^= 0x8000_0000;
            assert!(case.check(&outputs).unwrap_err().starts_with(&case.id));
        }
    }

    #[test]
    fn every_file_of_every_case_exists() {
        let Some(folder) = shared("conformance/layers") else { return };
        for case in read_cases(&folder, |_| true) {
            let blobs = case.inputs.iter().filter(|blob| blob.is_fed()).chain(&case.outputs);
            for path in [&case.param, &case.bin].into_iter().chain(blobs.map(|blob| &blob.path)) {
                assert!(path.is_file(), "{}", path.display());
            }
        }
    }
}
