//! The command `ncnnc` as users meet it: what it prints, what it writes, how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A small network: a convolution with a ReLU behind it, pooled and classified.
const MODEL: &str = "7767517
5 5
Input            image 0 1 image 0=8 1=8 2=3
Convolution      conv 1 1 image features 0=4 1=3 4=1 5=1 6=108
ReLU             relu 1 1 features positive
Pooling          pool 1 1 positive pooled 0=1 4=1
Softmax          softmax 1 1 pooled probabilities 0=0
";

/// Much is wrong with it.
const WRONG: &str = "7767517
8 8
Input            image 0 1 image 0=8 1=8 2=3
Convolution      conv 1 1 image features 0=4 1=3 8=2 6=108
FancyThing       first 1 1 features fancy 0=1
Pooling          pool 1 1 fancy pooled
FancyThing       second 1 1 pooled fancier
InnerProduct     classes 1 1 fancier scores 0=3 1=1 2=12 8=2
Softmax          softmax 1 1 image normal 0=9 1=1
BinaryOp         sum 2 1 image normal both 0=99
";

/// Weights of [`MODEL`]: a tag, 4 x 3 x 3 x 3 values and 4 biases.
fn weights() -> Vec<u8> {
    let value = |i: usize| ((i * 7 % 11) as f32 / 11.0 - 0.5).to_le_bytes();
    [0; 4].into_iter().chain((0..108 + 4).flat_map(value)).collect()
}

/// A folder with the models.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a temporary file");
    write("small.param", MODEL.as_bytes());
    write("small.bin", &weights());
    write("wrong.param", WRONG.as_bytes());
    write("wrong.bin", &[0; 1000]);
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ncnnc"));
    command.args(arguments).current_dir(folder).env("COLUMNS", "100").env_remove("NO_COLOR");
    command
}

fn ncnnc(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("the command starts")
}

/// What a command line prints and how it ends.
fn answer(folder: &Path, line: &str) -> String {
    let output = ncnnc(folder, &line.split_whitespace().collect::<Vec<_>>());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let part = |name: &str, text: String| if text.is_empty() { text } else { format!("── {name}\n{text}") };
    let code = output.status.code().expect("an exit code");
    format!(
        "$ ncnnc {line}\n{}{}── exit {code}\n",
        part("out", text(&output.stdout)),
        part("err", text(&output.stderr))
    )
}

/// The answers to several command lines.
fn answers(folder: &Path, lines: &[&str]) -> String {
    lines.iter().map(|line| answer(folder, line)).collect::<Vec<_>>().join("\n")
}

/// The names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_subcommand_helps() {
    let folder = folder();
    let lines = [
        "--help",
        "compile --help",
        "inspect --help",
        "check --help",
        "verify --help",
        "accept --help",
        "history --help",
        "import --help",
        "explain --help",
        "targets --help",
    ];
    insta::assert_snapshot!(answers(folder.path(), &lines));
    insta::assert_snapshot!(answer(folder.path(), "completions --help"));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let folder = folder();
    insta::assert_snapshot!(answers(folder.path(), &["check wrong.param", "check wrong.param --message-format json"]));
    fs::remove_file(folder.path().join("wrong.bin")).expect("it was there");
    insta::assert_snapshot!(answer(folder.path(), "check wrong.param"));
}

#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_written_is_an_error() {
    let folder = folder();
    for arguments in [&["--help"][..], &["--version"], &["compile", "--help"], &["explain"]] {
        let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut command = command(folder.path(), arguments);
        let output = command.stdout(full).output().expect("the command starts");
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("can't write to the standard output"));
    }
}

#[test]
fn colours_are_used_when_they_are_asked_for() {
    let folder = folder();
    let escapes = |color: &str| {
        let output = ncnnc(folder.path(), &["check", "wrong.param", "--color", color]);
        output.stderr.contains(&0x1b)
    };
    assert_eq!([escapes("auto"), escapes("never"), escapes("always")], [false, false, true]);
}

#[test]
fn nothing_is_said_of_a_good_model() {
    let folder = folder();
    assert_eq!(answer(folder.path(), "check small.param"), "$ ncnnc check small.param\n── exit 0\n");
}

#[test]
fn a_model_is_shown() {
    let folder = folder();
    insta::assert_snapshot!(answer(folder.path(), "inspect small.param --instruction-set avx2 --output features"));
    let json = ncnnc(folder.path(), &["inspect", "small.param", "--message-format", "json"]).stdout;
    let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(value["layers"][1]["macs"], 4 * 3 * 3 * 3 * 64);
    assert_eq!(value["outputs"][0]["shape"], serde_json::json!([4]));
    let bytes = |options: &[&str]| {
        let line = [&["inspect", "small.param", "--message-format", "json"], options].concat();
        let value: serde_json::Value = serde_json::from_slice(&ncnnc(folder.path(), &line).stdout).expect("JSON");
        let of = |key| value["programs"][0][key].as_u64().expect("a number of bytes");
        (of("code_bytes"), of("constants_bytes"), of("arena_bytes"))
    };
    let (whole, narrow) = (bytes(&[]), bytes(&["--precision", "co*=f16"]));
    assert!(whole.0 > 0 && narrow.1 < whole.1, "{whole:?} {narrow:?}");
    assert_eq!(bytes(&["--precision", "conv=f32", "--precision", "f16"]), whole, "a layer's own format goes first");
    let rounded = bytes(&["--activations", "re*=f16"]);
    assert!(rounded.1 == whole.1 && rounded.2 < whole.2, "{whole:?} {rounded:?}");
    let text = answer(folder.path(), "inspect small.param --activations bf16 --activations relu=f16");
    let stored: Vec<&str> = text.lines().filter(|line| line.starts_with("stored in")).collect();
    assert_eq!(stored, ["stored in f16: positive", "stored in bf16: pooled"]);
    let json = "inspect small.param --activations bf16 --activations relu=f16 --message-format json";
    let json = ncnnc(folder.path(), &json.split(' ').collect::<Vec<_>>()).stdout;
    let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let narrow = |name: &str, format: &str| serde_json::json!({ "name": name, "format": format });
    assert_eq!(value["narrow_activations"], serde_json::json!([narrow("positive", "f16"), narrow("pooled", "bf16")]));
}

#[test]
fn pictures_are_drawn() {
    let folder = folder();
    let line = "inspect small.param --instruction-set avx2 --svg memory.svg --graph network.dot";
    assert_eq!(answer(folder.path(), line), format!("$ ncnnc {line}\n── exit 0\n"));
    let line = "inspect small.param --graph network.svg";
    assert_eq!(answer(folder.path(), line), format!("$ ncnnc {line}\n── exit 0\n"));
    for picture in ["memory.svg", "network.dot", "network.svg"] {
        insta::assert_snapshot!(picture, fs::read_to_string(folder.path().join(picture)).expect("a picture"));
    }
}

#[test]
fn codes_are_explained() {
    let folder = folder();
    insta::assert_snapshot!(answers(folder.path(), &["explain", "explain n201", "explain N999"]));
}

#[test]
fn layer_types_are_explained() {
    let folder = folder();
    let lines = [
        "explain Pooling",
        "explain BINARYOP",
        "explain crop",
        "explain sigmoid",
        "explain scale --message-format json",
        "explain Poling",
        "explain Frobnicate",
    ];
    insta::assert_snapshot!(answers(folder.path(), &lines));
}

#[test]
fn targets_are_listed() {
    insta::assert_snapshot!(answer(folder().path(), "targets"));
}

#[test]
fn shells_are_served() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = ncnnc(folder.path(), &["completions", shell]);
        assert!(output.status.success(), "{shell}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("inspect"), "{shell}");
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let folder = folder();
    fs::create_dir(folder.path().join("folder.param")).expect("a folder");
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "inspect absent.param",
            "inspect folder.param small.bin",
            "inspect small.param wrong.bin",
            "inspect small.param --input other=1,2,3",
            "inspect small.param --input image=3,0,8",
            "inspect small.param --output absent",
            "inspect small.param --output image --output image",
            "inspect small.param --instruction-set mmx",
            "inspect small.param --precision f8",
            "inspect small.param --precision cnov=f16",
            "inspect small.param --activations auto",
            "inspect small.param --activations cnov=f16",
            "inspect small.param --svg small.bin",
            "inspect small.param --svg ./same.svg --graph same.svg",
            "inspect small.param --svg same.svg --graph absent/../same.svg",
            "inspect small.param --input image=3,8,8 --input image=3,9,9",
            "compile small.param --target sparkly-unknown-unicorn",
            "compile small.param --target x86_64-unknown-linux-gnu --target-cpu 8086",
            "compile small.param --target x86_64-unknown-linux-gnu --target-cpu znver6",
            "compile small.param --target x86_64-unknown-linux-gnu --target-feature +sse9",
            "compile small.param --target x86_64-unknown-linux-gnu --target-feature +avx512bv",
            "compile small.param --target x86_64-unknown-linux-gnu --target-feature avx2",
            "compile small.param --target x86_64-unknown-linux-gnu --target-feature core-avx2",
            "compile small.param --emit rust -o small.bin/small.rs",
            "compile small.param --emit rust -o small.bin",
            "compile small.param -o -",
            "compile small.param -o /dev/null",
            "compile small.param --emit rust -o folder.param/../small.param",
        ],
    ));
    let left = ["folder.param", "small.bin", "small.param", "wrong.bin", "wrong.param"];
    assert_eq!(names(folder.path()), left, "nothing is left behind");
    assert_eq!(fs::read(folder.path().join("small.bin")).expect("a file"), weights(), "inputs stay as they are");
}

#[test]
fn programs_are_told_which_file_a_message_is_about() {
    let folder = folder();
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "check absent.param --message-format json",
            "check small.param absent.bin --message-format json",
            "check small.param --input other=3,4,4 --message-format json",
            "run small.param --input image=small.param --message-format json",
            "compile small.param --emit rust -o small.bin --message-format json",
            "check absent.param absent.bin --message-format json",
        ],
    ));
}

#[test]
fn programs_are_told_why_a_command_line_cannot_be_understood() {
    let folder = folder();
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "check --message-format json",
            "check small.param --message-format=json --nothing",
            "nothing --message-format json",
            "check small.param --message-format json --numerics loose",
        ],
    ));
    let help = ncnnc(folder.path(), &["check", "--help", "--message-format", "json"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Usage:"), "help stays help");
}

#[test]
fn machines_without_a_code_generator_are_refused() {
    let folder = folder();
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "compile small.param --target x86_64-linux-gnv",
            "compile small.param --target s390x-unknown-linux-gnu",
            "compile small.param --target i686-unknown-linux-gnu",
            "compile small.param --target wasm64-unknown-unknown",
            "compile small.param --target loongarch64-unknown-linux-gnu",
            "compile small.param --target x86_64-unknown-uefi",
            "compile small.param --target aarch64-unknown-linux-gnu --target-feature +avx2",
            "compile small.param --target aarch64-unknown-linux-gnu --target-feature -neon",
            "compile small.param --target aarch64-unknown-linux-gnu --target-cpu haswell",
            "compile small.param --name 3d",
        ],
    ));
    let left = ["small.bin", "small.param", "wrong.bin", "wrong.param"];
    assert_eq!(names(folder.path()), left, "nothing is left behind");
}

#[test]
fn nothing_is_written_for_a_model_that_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("net.o"), "from before").expect("a temporary file");
    for out in ["net.o", "."] {
        let output =
            ncnnc(folder.path(), &["compile", "wrong.param", "--emit", "obj,staticlib,header,rust", "-o", out]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let left = ["net.o", "small.bin", "small.param", "wrong.bin", "wrong.param"];
    assert_eq!(names(folder.path()), left, "nothing is left behind");
    assert_eq!(fs::read(folder.path().join("net.o")).expect("a file"), b"from before");
    // Every kind of output is held back where one can't be written.
    fs::create_dir(folder.path().join("net.h")).expect("a folder");
    let output = ncnnc(folder.path(), &["compile", "small.param", "-o", "net.o"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(folder.path().join("net.o")).expect("a file"), b"from before");
}

#[test]
fn rust_is_written() {
    let folder = folder();
    let line = "compile small.param --emit rust,ir -o net.rs --target aarch64-unknown-linux-gnu --name tiny_net";
    assert_eq!(answer(folder.path(), line), format!("$ ncnnc {line}\n── exit 0\n"));
    let code = fs::read_to_string(folder.path().join("net.rs")).expect("code");
    assert!(code.contains("pub struct TinyNet") && code.contains("include_bytes!(\"net.weights\")"), "{code}");
    let words = fs::metadata(folder.path().join("net.weights")).expect("weights").len();
    assert!(words >= 4 * 112, "{words} bytes of weights");
    let ir = fs::read_to_string(folder.path().join("net.ir")).expect("text");
    assert!(ir.contains("instruction set neon"), "{ir}");
}

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let folder = folder();
    for line in [&["targets"][..], &["inspect", "small.param"], &["completions", "bash"]] {
        let mut child = command(folder.path(), line)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the command ends");
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{line:?}");
    }
}

#[test]
#[cfg(unix)]
fn paths_need_not_be_unicode() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let name = |end: &str| OsStr::from_bytes(&[b"gr\xf6\xdfe", end.as_bytes()].concat()).to_os_string();
    for end in [".param", ".bin"] {
        let small = folder.path().join(format!("small{end}"));
        fs::copy(small, folder.path().join(name(end))).expect("a copy");
    }
    let run = |arguments: &[&OsStr]| {
        let mut command = command(folder.path(), &[]);
        command.args(arguments).output().expect("the command starts")
    };
    let inspected = run(&[OsStr::new("inspect"), &name(".param")]);
    assert!(inspected.status.success() && inspected.stderr.is_empty(), "{inspected:?}");
    let compiled = run(&[OsStr::new("compile"), &name(".param"), OsStr::new("-o"), &name(".o")]);
    assert!(compiled.status.code().is_some_and(|code| code < 4), "{compiled:?}");
}

/// A `.npy` file of floats.
fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
    npy_of("<f4", shape, values)
}

/// A `.npy` file that says its values are of this type.
fn npy_of(descr: &str, shape: &str, values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let length = u16::try_from(header.len()).expect("a short header").to_le_bytes();
    let values = values.iter().flat_map(|value| value.to_le_bytes());
    [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes()].concat().into_iter().chain(values).collect()
}

/// The values that end a `.npy` file.
fn last_values(bytes: &[u8], count: usize) -> Vec<f32> {
    let words = bytes[bytes.len() - 4 * count..].chunks_exact(4);
    words.map(|word| f32::from_le_bytes(word.try_into().expect("four bytes"))).collect()
}

#[test]
fn a_model_runs_with_any_threads_and_instruction_set() {
    let folder = folder();
    let model = "7767517\n2 2\nInput in 0 1 in\nReLU relu 1 1 in out\n";
    fs::write(folder.path().join("relu.param"), model).expect("a temporary file");
    fs::write(folder.path().join("relu.bin"), []).expect("a temporary file");
    let values: Vec<f32> = (0..40).map(|i| i as f32 - 19.5).collect();
    fs::write(folder.path().join("in.npy"), npy("(2, 4, 5)", &values)).expect("a temporary file");
    let expected: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
    for options in [&["--threads", "1"][..], &["--threads", "3"], &["--instruction-set", "portable"]] {
        let run = ["run", "relu.param", "--input", "in=in.npy", "--output-dir", "results"];
        let output = ncnnc(folder.path(), &[&run[..], options].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let written = folder.path().join("results/out.npy");
        assert_eq!(last_values(&fs::read(&written).expect("an output"), 40), expected, "{options:?}");
        fs::remove_file(written).expect("an output");
    }
}

#[test]
fn caches_that_are_not_given_are_empty() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a temporary file");
    write(
        "attention.param",
        b"7767517\n4 6\nInput keys 0 1 keys\nInput values 0 1 values\nInput query 0 1 query 0=2 1=1\n\
          MultiHeadAttention attention 3 3 query keys values attended seen_keys seen_values 0=2 1=1 2=4 7=1\n",
    );
    // Four matrices with a tag each, and biases; of no value but that of the last bias.
    let mut weights = vec![0; 4 * 4 * (1 + 4 + 2)];
    weights.splice(4 * 4 * (1 + 4 + 2) - 4.., 1.5f32.to_le_bytes());
    write("attention.bin", &weights);
    write("query.npy", &npy("(1, 2)", &[1.0, 2.0]));
    write("empty.npy", &npy("(1, 0, 2)", &[]));
    write("cache.npy", &npy("(1, 3, 2)", &[0.5; 6]));
    let run = |inputs: &str| answer(folder.path(), &format!("run attention.param --input query=query.npy {inputs}"));
    let values = |name: &str| last_values(&fs::read(folder.path().join(name)).expect("an output"), 2);
    for inputs in ["", "--input keys=empty.npy", "--input keys=cache.npy --input values=cache.npy"] {
        assert!(run(inputs).ends_with("\n── exit 0\n"), "{}", run(inputs));
        assert_eq!(values("attended.npy"), [0.0, 1.5]);
    }
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "run attention.param",
            "run attention.param --input query=empty.npy",
            "run attention.param --input query=query.npy --input keys=cache.npy",
            "compile attention.param",
        ]
    ));
}

#[test]
fn what_is_written_is_measured() {
    let folder = folder();
    let line = ["compile", "small.param", "--verbose", "--message-format", "json", "--weights", "extern"];
    let value: serde_json::Value = serde_json::from_slice(&ncnnc(folder.path(), &line).stdout).expect("JSON");
    assert!(value["code_bytes"].as_u64().expect("bytes") > 1000);
    for file in value["files"].as_array().expect("files") {
        let path = folder.path().join(file["path"].as_str().expect("a path"));
        assert_eq!(fs::metadata(path).expect("a file").len(), file["bytes"]);
    }
    assert_eq!(value["files"][2]["bytes"], value["weights_bytes"]);
    let text = answer(folder.path(), "compile small.param -v");
    assert!(text.contains(" bytes of code, ") && text.contains("small.h: "), "{text}");
}

#[test]
fn compensated_layers_are_measured_beside_fast_ones() {
    let folder = folder();
    let model = "7767517\n2 2\nInput in 0 1 in\nReLU relu 1 1 in out\n";
    fs::write(folder.path().join("relu.param"), model).expect("a temporary file");
    fs::write(folder.path().join("relu.bin"), []).expect("a temporary file");
    let bench = ["bench", "relu.param", "--input", "in=2,4,5", "--seconds", "1"];
    for (options, costs) in [(&[][..], false), (&["--numerics", "compensated"], true)] {
        let output = ncnnc(folder.path(), &[&bench[..], options].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("whole runs: best"), "{text}");
        assert_eq!(text.contains("in fast") && text.contains("compensated layers cost"), costs, "{text}");
    }
}

#[test]
fn running_without_the_right_values_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("open.param"), "7767517\n2 2\nInput in0 0 1 in0\nReLU relu 1 1 in0 out0\n")
        .expect("a temporary file");
    fs::write(folder.path().join("open.bin"), []).expect("a temporary file");
    fs::write(folder.path().join("flat.npy"), npy("(4,)", &[0.0; 4])).expect("a temporary file");
    fs::write(folder.path().join("short.npy"), npy("(3, 8, 8)", &[0.0; 4])).expect("a temporary file");
    fs::write(folder.path().join("channels_last.npy"), npy("(8, 8, 3)", &[0.0; 192])).expect("a temporary file");
    fs::write(folder.path().join("axes.npy"), npy("(1, 1, 1, 1, 4)", &[0.0; 4])).expect("a temporary file");
    fs::write(folder.path().join("integers.npy"), npy_of("<i4", "(3, 8, 8)", &[0.0; 192])).expect("a temporary file");
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "run small.param",
            "run open.param",
            "run small.param --input image=absent.npy",
            "run small.param --input image=small.bin",
            "run small.param --input image=short.npy",
            "run small.param --input image=channels_last.npy",
            "run small.param --input image=axes.npy",
            "run small.param --input image=integers.npy",
            "run small.param --input other=flat.npy",
        ],
    ));
}

#[test]
fn objects_are_written_for_every_format() {
    let folder = folder();
    let magic: [(&str, &[u8]); 4] = [
        ("aarch64-unknown-linux-gnu", b"\x7fELF"),
        // Bare metal as rustc names it.
        ("x86_64-unknown-none", b"\x7fELF"),
        ("aarch64-apple-ios", &[0xcf, 0xfa, 0xed, 0xfe]),
        ("x86_64-pc-windows-msvc", &[0x64, 0x86]),
    ];
    for (triple, magic) in magic {
        let output = ncnnc(folder.path(), &["compile", "small.param", "--target", triple, "-o", "out/small.o"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(folder.path().join("out/small.o")).expect("an object").starts_with(magic), "{triple}");
        let header = fs::read_to_string(folder.path().join("out/small.h")).expect("a header");
        assert!(header.contains("small_run(") && header.contains("#ifndef NCNNC_small_H"), "{header}");
        fs::remove_dir_all(folder.path().join("out")).expect("a folder");
    }
}

#[test]
fn folders_are_made_for_outputs() {
    let folder = folder();
    for (out, written) in [("a/b/net.o", "a/b"), ("c/", "c"), ("d/../net.o", ".")] {
        let output = ncnnc(folder.path(), &["compile", "small.param", "-o", out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let name = if out.ends_with('/') { "small" } else { "net" };
        for ending in ["o", "h"] {
            assert!(folder.path().join(written).join(format!("{name}.{ending}")).is_file(), "{out}: {ending}");
        }
    }
    assert!(answer(folder.path(), "inspect small.param --svg e/memory.svg").ends_with("── exit 0\n"));
    assert!(folder.path().join("e/memory.svg").is_file());
}

#[test]
fn features_without_use_are_warned_of() {
    let folder = folder();
    let compile = |features: &str| {
        let line = ["compile", "small.param", "--target", "x86_64-unknown-linux-gnu", "--emit", "ir", "-o", "net.ir"];
        let output = ncnnc(folder.path(), &[&line[..], &["--target-feature", features]].concat());
        assert!(output.status.success(), "{output:?}");
        let ir = fs::read_to_string(folder.path().join("net.ir")).expect("text");
        let set = ir.lines().find_map(|line| line.strip_prefix("instruction set ")).expect("an instruction set");
        (set.to_string(), String::from_utf8(output.stderr).expect("text"))
    };
    for (features, set) in [
        ("+avx2,+fma,+f16c", "avx2"),
        ("+avx2,-avx2", "portable"),
        ("+sse4.2,+aes,-xop,+bmi2", "portable"),
        ("+avx512bw,+avx512cd,+avx512dq,+avx512vl", "avx512"),
        ("+avx10.1", "avx512"),
    ] {
        assert_eq!(compile(features), (set.to_string(), String::new()), "{features}");
    }
    let (set, warning) = compile("+avx2");
    assert_eq!(set, "portable");
    insta::assert_snapshot!(warning + &compile("+avx2,+fma,+f16c,+avx512f").1);
}

/// A command that is ended while it writes: the second of its outputs is a pipe that nobody reads, so that the first one waits
/// to get its name.
#[test]
#[cfg(unix)]
fn a_signal_leaves_no_file_behind() {
    use std::os::unix::process::ExitStatusExt;
    use std::thread::sleep;
    use std::time::{Duration, Instant};
    let folder = folder();
    let system = |name: &str, argument: &[&str]| {
        let status = Command::new(name).args(argument).current_dir(folder.path()).status();
        assert!(status.expect("a command of every Unix").success(), "{name} {argument:?}");
    };
    system("mkfifo", &["net.h"]);
    let before = names(folder.path());
    for (name, number) in [("-TERM", 15), ("-INT", 2), ("-HUP", 1)] {
        let mut child = command(folder.path(), &["compile", "small.param", "-o", "net.o"]).spawn().expect("it starts");
        let start = Instant::now();
        while names(folder.path()) == before {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is written");
            sleep(Duration::from_millis(5));
        }
        // It may be seen a moment before it is known to be unfinished: the signal waits for that.
        system("kill", &[name, &child.id().to_string()]);
        assert_eq!(child.wait().expect("it ends").signal(), Some(number));
        assert_eq!(names(folder.path()), before, "{name}");
    }
}

#[test]
#[cfg(unix)]
fn a_limit_on_files_is_an_error_like_a_full_disk() {
    let folder = folder();
    let before = names(folder.path());
    let mut shell = Command::new("sh");
    // In blocks of 512 bytes.
    shell.args(["-c", "ulimit -f 2; exec \"$0\" compile small.param -o net.o", env!("CARGO_BIN_EXE_ncnnc")]);
    let output = shell.current_dir(&folder).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && text.contains("can't write `net.o`: file too large"), "{text}");
    assert_eq!(names(folder.path()), before, "nothing is left behind");
}

/// A folder with a model whose precision is measured: `sum = x + y` in two samples, the first of which is rounded.
fn measured_folder() -> TempDir {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a temporary file");
    write("sum.param", b"7767517\n2 2\nInput terms 0 1 terms 0=2\nInnerProduct sum 1 1 terms sum 0=1 1=0 2=2\n");
    write("sum.bin", &[0_u32, 0x3f80_0000, 0x3f80_0000].map(u32::to_le_bytes).concat());
    let term = 2.0_f32.powi(-24) + 2.0_f32.powi(-30);
    write("terms.npy", &npy("(2, 2)", &[1.0, term, 4.0, 4.0]));
    write("sums.npy", &npy("(2, 1)", &[1.0, 8.0]));
    fs::create_dir(folder.path().join("samples")).expect("a folder");
    write("samples/1.npy", &npy("(2,)", &[1.0, term]));
    write("samples/2.npy", &npy("(1, 2)", &[4.0, 4.0]));
    write("samples/notes.txt", b"not a sample");
    folder
}

#[test]
fn precision_is_measured() {
    let folder = measured_folder();
    let line = "verify sum.param --inputs terms.npy --reference sums.npy --max-error 1e-6";
    insta::assert_snapshot!(answer(folder.path(), line));
    let json = |inputs: &str| {
        let line = ["verify", "sum.param", "--inputs", inputs, "--message-format", "json"];
        let output = ncnnc(folder.path(), &line);
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let report = json("terms=terms.npy");
    assert_eq!(report["inputs"]["samples"], 2);
    assert_eq!(json("samples"), report, "a folder of samples is as good as a file of them");
    let line =
        "verify sum.param --reference sums.npy --inputs terms.npy --report page.html --report data.json --report t.txt";
    assert!(answer(folder.path(), line).ends_with("── exit 0\n"));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a report");
    assert!(read("page.html").starts_with("<!DOCTYPE html>"));
    assert!(read("data.json").starts_with('{') && read("t.txt").starts_with("sum.param: ok"));
}

#[test]
fn precision_that_is_not_as_it_should_be_is_an_error_of_its_own() {
    let folder = measured_folder();
    let refused = |line: &str| {
        let output = ncnnc(folder.path(), &line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(4), "{line}");
        String::from_utf8(output.stderr).expect("text")
    };
    let lines = [
        "verify sum.param --inputs terms.npy --reference sums.npy --max-error 1e-9",
        "verify sum.param --inputs terms.npy --max-error 1e-7%",
        "verify sum.param --inputs terms.npy --max-error 170dB",
    ];
    insta::assert_snapshot!(lines.map(refused).join(""));
    for met in ["5.9e-8", "1e-6 %", "162dB"] {
        let line = ["verify", "sum.param", "--inputs", "terms.npy", "--max-error", met];
        assert_eq!(ncnnc(folder.path(), &line).status.code(), Some(0), "{met}");
    }
}

#[test]
fn builds_can_be_held_to_a_budget() {
    let folder = measured_folder();
    let before = names(folder.path());
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "compile sum.param --emit ir -o sum.ir --inputs terms.npy --max-error 170dB",
            "compile sum.param --emit ir -o sum.ir --max-error 1e-6",
            "compile sum.param --emit ir -o sum.ir --max-error 1e-6 --inputs empty",
        ],
    ));
    assert_eq!(names(folder.path()), before, "nothing is written");
    let met = "compile sum.param --emit ir -o sum.ir --inputs samples --samples 1 --max-error 140dB";
    assert!(answer(folder.path(), met).ends_with("── exit 0\n"));
    assert!(names(folder.path()).contains(&"sum.ir".to_string()));
}

#[test]
fn storage_is_searched_for() {
    let folder = measured_folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a temporary file");
    let param = "7767517\n3 3\nInput terms 0 1 terms 0=2\nInnerProduct thirds 1 1 terms b 0=4 2=8\n\
                 InnerProduct halves 1 1 b out 0=2 2=8\n";
    write("two.param", param.as_bytes());
    // Thirds are in no format, halves in all.
    let weights = [&[0.0][..], &[1.0 / 3.0; 8], &[0.0], &[0.5; 8]].concat();
    write("two.bin", &weights.iter().flat_map(|value: &f32| value.to_le_bytes()).collect::<Vec<u8>>());
    let lines = [
        "verify two.param --inputs terms.npy --precision auto --max-error 1e-5",
        "verify two.param --inputs terms.npy --precision auto --max-error 400dB",
        "verify two.param --inputs terms.npy --precision auto",
        "verify two.param --inputs terms.npy --precision thirds=auto --max-error 1e-5",
        "compile two.param --emit ir -o two.ir --precision auto --inputs terms.npy --max-error 1 --precision halves=bf16",
        "compile two.param --emit ir -o two.ir --precision auto --inputs terms.npy --max-error 400dB",
        "compile two.param --emit ir -o two.ir --precision auto",
        "inspect two.param --precision auto",
    ];
    // Times are the machine's own.
    let is_time = |line: &str| line.starts_with("a run, here, ") && line.ends_with(" % saved");
    let answers = answers(folder.path(), &lines);
    let measured: Vec<&str> = answers.lines().filter(|line| is_time(line)).collect();
    assert_eq!(measured.len(), 2, "each storage that was found is timed: {measured:?}");
    let unchanging: Vec<&str> = answers.lines().filter(|line| !is_time(line)).collect();
    insta::assert_snapshot!(unchanging.join("\n"));
    let found = "verify two.param --inputs terms.npy --max-error 1e-5 --precision halves=f16";
    assert!(answer(folder.path(), found).ends_with("── exit 0\n"));
}

#[test]
fn biases_are_corrected() {
    let folder = measured_folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a temporary file");
    write("thirds.param", b"7767517\n2 2\nInput terms 0 1 terms 0=2\nInnerProduct thirds 1 1 terms out 0=2 1=0 2=4\n");
    let weights = [0.0, 1.0 / 3.0, 1.0 / 3.0, 0.5, 0.25];
    write("thirds.bin", &weights.iter().flat_map(|value: &f32| value.to_le_bytes()).collect::<Vec<u8>>());
    write("others.npy", &npy("(3, 2)", &[1.0, 1.0, 3.0, 2.0, 2.0, 3.0]));
    write("wide.npy", &npy("(2, 3)", &[1.0; 6]));
    let lines = [
        "verify thirds.param --inputs terms.npy --precision bf16 --bias-correction --calibration others.npy",
        "verify thirds.param --inputs terms.npy --bias-correction --calibration others.npy",
        "verify thirds.param --inputs terms.npy --precision bf16 --bias-correction --calibration wide.npy",
        "verify thirds.param --inputs terms.npy --precision bf16 --calibration others.npy",
        "verify thirds.param --precision bf16 --bias-correction",
        "compile thirds.param --emit ir -o out.ir --precision bf16 --bias-correction --inputs terms.npy --max-error 1e-9",
        "compile thirds.param --emit ir -o out.ir --precision bf16 --bias-correction",
    ];
    insta::assert_snapshot!(answers(folder.path(), &lines));
    let same = answer(folder.path(), "verify thirds.param --inputs terms.npy --precision bf16 --bias-correction");
    assert!(same.contains("means measured on 2 inputs, those that errors are measured on"), "{same}");
    // A search first, then the correction of what it has found.
    let searched = "--precision auto --max-error 1e-2 --bias-correction --calibration others.npy --inputs terms.npy";
    let found = answer(folder.path(), &format!("verify thirds.param {searched}"));
    assert!(found.contains("1 of 1 sums corrected") && found.ends_with("── exit 0\n"), "{found}");
    let compiled = answer(folder.path(), &format!("compile thirds.param --emit ir -o out.ir {searched}"));
    assert!(compiled.ends_with("── exit 0\n"), "{compiled}");
    let ir = fs::read_to_string(folder.path().join("out.ir")).expect("it is written");
    assert!(ir.contains("from thirds.bias.corrected["), "{ir}");
    let nothing = searched.replace("1e-2", "400dB");
    assert!(
        !answer(folder.path(), &format!("verify thirds.param {nothing}")).contains("bias correction"),
        "none is narrow"
    );
}

/// The lock that the tests of the macro build with, taken anew: its corrections, and the hash of what is computed with them.
#[test]
fn a_lock_has_the_corrections_that_builds_take() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let lock = folder.path().join("lock");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments = "verify digits.fp32.param --input in0=1,8,8 --inputs digits_test_images.npy --precision bf16 \
                     --bias-correction --calibration digits_calibration_images.npy --record --lock";
    let arguments: Vec<&str> = arguments.split_whitespace().chain([lock.to_str().expect("text")]).collect();
    assert!(ncnnc(&root.join("runtime/examples/digits"), &arguments).status.success());
    let recorded = fs::read_to_string(root.join("tests/models/digits.bf16.precision.lock")).expect("the lock");
    assert_eq!(fs::read_to_string(lock).expect("it is written"), recorded);
}

#[test]
fn random_inputs_are_warned_of() {
    let folder = measured_folder();
    let text = answer(folder.path(), "verify sum.param --samples 2 --seed 7");
    assert!(
        text.contains("2 samples, random inputs of seed 7") && text.contains("warning: the inputs were random"),
        "{text}"
    );
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let folder = measured_folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a temporary file");
    write("nan.npy", &npy("(2, 1)", &[1.0, f32::NAN]));
    write("three.npy", &npy("(3, 1)", &[1.0; 3]));
    write("wide.npy", &npy("(2, 3)", &[1.0; 6]));
    write("half.npy", &npy("(2,)", &[0.5, 0.0]));
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    write("two.param", b"7767517\n3 3\nInput a 0 1 a 0=2\nInput b 0 1 b 0=2\nBinaryOp sum 2 1 a b sum 0=0\n");
    write("two.bin", &[]);
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "verify sum.param --inputs empty",
            "verify sum.param --inputs absent",
            "verify sum.param --inputs wide.npy",
            "verify sum.param --inputs terms.npy --reference nan.npy",
            "verify sum.param --inputs terms.npy --reference three.npy",
            "verify sum.param --inputs terms.npy --reference total=sums.npy",
            "verify sum.param --inputs terms.npy --labels half.npy",
            "verify two.param --inputs terms.npy",
            "verify two.param --inputs a=terms.npy",
            "verify sum.param --inputs terms.npy --precision f8",
            "verify sum.param --inputs terms.npy --precision mus=f16",
            "verify sum.param --inputs terms.npy --max-error none",
            "verify sum.param --reference sums.npy",
            "verify sum.param --inputs terms.npy --locked",
            "accept sum.param",
            "history sum.param",
        ],
    ));
}

#[test]
fn a_lock_holds_until_the_change_is_accepted() {
    let folder = measured_folder();
    let verify = "verify sum.param --inputs terms.npy";
    let code = |line: &str| ncnnc(folder.path(), &line.split(' ').collect::<Vec<_>>()).status.code();
    assert_eq!(code(&format!("{verify} --record")), Some(0));
    assert_eq!(code(&format!("{verify} --locked")), Some(0));
    assert_eq!(code(&format!("{verify} --record")), Some(0), "the same again");
    fs::write(folder.path().join("sum.bin"), [0_u32, 0x3f80_0000, 0x3f00_0001].map(u32::to_le_bytes).concat())
        .expect("other weights");
    let differing = ncnnc(folder.path(), &format!("{verify} --locked").split(' ').collect::<Vec<_>>());
    assert_eq!(differing.status.code(), Some(4));
    assert_eq!(code(&format!("{verify} --record")), Some(4), "what is recorded isn't written over");
    let accepted = answer(folder.path(), "accept sum.param");
    insta::assert_snapshot!(String::from_utf8(differing.stderr).expect("text") + &accepted);
    assert_eq!(code(&format!("{verify} --locked")), Some(0));
    assert_eq!(code("accept sum.param"), Some(2), "there is nothing more to accept");
    let history = ncnnc(folder.path(), &["history", "sum.param", "--message-format", "json"]).stdout;
    let history: serde_json::Value = serde_json::from_slice(&history).expect("JSON");
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    assert_eq!(code("history sum.param --html history.html"), Some(0));
    assert!(fs::read_to_string(folder.path().join("history.html")).expect("a page").contains("<svg"));
}

/// The network this project was founded on, from its two files: what the command says of them, and how many of 360 pictures
/// are read right.
#[test]
fn the_founding_case_is_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/examples/digits");
    let verify = |model: &str, more: &[&str]| {
        let common = ["--input", "in0=1,8,8", "--inputs", "digits_test_images.npy", "--message-format", "json"];
        let answers = ["--reference", "digits_test_pytorch_probs.npy", "--labels", "digits_test_labels.npy"];
        let output =
            ncnnc(&folder, &[&["verify", model], &common[..], &answers, &["--max-error", "1e-5"], more].concat());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        println!("{model} {}: {}", more.join(" "), report["verdict"]["text"]);
        (output.status.code(), report)
    };
    let right = |report: &serde_json::Value| report["outputs"][0]["contenders"][0]["right"].as_u64();
    let (code, wide) = verify("digits.fp32.param", &[]);
    assert_eq!((code, right(&wide)), (Some(0), Some(358)));
    let (code, narrow) = verify("digits.fp16.param", &["--original", "digits.fp32.bin"]);
    assert_eq!((code, right(&narrow)), (Some(4), Some(358)));
    let [wide, narrow] = [wide, narrow].map(|report| report["causes"][0].clone());
    assert_eq!((&wide["cause"], &narrow["cause"]), (&"rounding".into(), &"constants_in_file".into()));
    let moves = |cause: &serde_json::Value| cause["moves"].as_f64().expect("a number");
    assert!(moves(&wide) < 2e-6 && moves(&narrow) > 5e-4, "{wide} {narrow}");
}

/// A stand-in for pnnx: it writes what it is told to be asked for, or refuses.
#[cfg(unix)]
fn fake_pnnx(folder: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("fake-pnnx");
    fs::write(&path, format!("#!/bin/sh\n{script}")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script that runs");
}

#[test]
#[cfg(unix)]
fn models_of_other_frameworks_are_imported() {
    let folder = measured_folder();
    fs::write(folder.path().join("net.onnx"), b"a network").expect("a temporary file");
    let model = "7767517\\n2 2\\nInput in0 0 1 in0\\nReLU relu 1 1 in0 out0\\n";
    let pnnx = "pnnx.Input pnnx_input_0 0 1 0 #0=(1,2,2)f32\\n";
    fake_pnnx(
        folder.path(),
        &format!(
            "[ \"$*\" = 'model.onnx fp16=0 ncnnparam=ncnn.param ncnnbin=ncnn.bin pnnxparam=pnnx.param inputshape=[1,2,2]f32' ] || exit 9
             printf '{model}' >ncnn.param; printf '{pnnx}' >pnnx.param; : >ncnn.bin; : >litter"
        ),
    );
    let import = "import net.onnx --shape 1,2,2 --pnnx ./fake-pnnx --inputs terms.npy -o relu.param";
    let text = answer(folder.path(), import);
    assert!(text.contains("relu.param: ok: equal to the f64 reference") && text.ends_with("── exit 0\n"), "{text}");
    let param = fs::read_to_string(folder.path().join("relu.param")).expect("a param file");
    assert!(param.contains("Input in0 0 1 in0 1=2 0=2\n"), "{param}");
    let written = names(folder.path());
    for name in ["relu.bin", "relu.precision.lock", "relu.precision.history"] {
        assert!(written.contains(&name.to_string()), "{name} in {written:?}");
    }
    assert!(!written.contains(&"litter".to_string()), "what else it writes goes away");
    assert!(answer(folder.path(), "verify relu.param --inputs terms.npy --locked").ends_with("── exit 0\n"));
    fake_pnnx(folder.path(), "echo converting; echo 'no such operator' >&2; exit 1");
    insta::assert_snapshot!(answers(
        folder.path(),
        &[
            "import net.onnx --pnnx ./fake-pnnx",
            "import net.onnx --pnnx ./no-pnnx",
            "import absent.onnx --pnnx ./fake-pnnx",
            "import net.onnx --shape 1,x",
        ],
    ));
}
