//! `ncnnc import` with the real pnnx, on a network whose output onnxruntime gave.

use std::path::Path;
use std::process::Command;

/// The network in `import/small.onnx`: a strided convolution with padding, a mean over all pixels, a fully connected layer
/// and softmax, with drawn weights; `import/image.npy` is a drawn image, and `import/probabilities.npy` what onnxruntime
/// 1.32 made of it.
#[test]
#[ignore = "needs pnnx, which `.ci/run` installs and names in NCNNC_PNNX"]
fn a_network_of_another_framework_gives_what_it_gave_there() {
    let pnnx = std::env::var_os("NCNNC_PNNX").expect("NCNNC_PNNX is the path of pnnx");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let mut import = Command::new(env!("CARGO_BIN_EXE_ncnnc"));
    import.current_dir(&folder).arg("import").arg(data.join("small.onnx")).args(["-o", "small.param", "--pnnx"]);
    import.arg(pnnx).arg("--inputs").arg(data.join("image.npy"));
    import.arg("--reference").arg(data.join("probabilities.npy")).args(["--max-error", "1e-6"]);
    let output = import.output().expect("the command can be started");
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{}\n{text}", output.status);
    let param = std::fs::read_to_string(folder.path().join("small.param")).expect("a param file");
    for layer in ["Input", "Convolution", "Pooling", "InnerProduct", "Softmax"] {
        assert!(param.lines().any(|line| line.starts_with(layer)), "no {layer} in\n{param}");
    }
    let lock = std::fs::read_to_string(folder.path().join("small.precision.lock")).expect("a lock");
    assert!(lock.contains("reference"), "the distance to the source is on record:\n{lock}");
    // The shape of the input stands in the file now, and the model is what the lock says.
    let mut verify = Command::new(env!("CARGO_BIN_EXE_ncnnc"));
    verify.current_dir(&folder).args(["verify", "small.param", "--locked", "--inputs"]).arg(data.join("image.npy"));
    let output = verify.output().expect("the command can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
