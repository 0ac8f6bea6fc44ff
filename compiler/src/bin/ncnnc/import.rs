//! `ncnnc import`: another framework's model converted by an installed `pnnx`, and what came of it measured.

use crate::console::{Console, Done};
use crate::model::{self, Model};
use crate::output::{Files, cannot_write};
use crate::progress::Progress;
use crate::verify::{MeasurementArguments, Purpose, Question};
use ncnnc_compiler::compile::Options;
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Converts a TorchScript or ONNX model with pnnx, in full precision, and measures and records what came of it
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc import resnet18.pt --shape 1,3,224,224
  ncnnc import resnet18.onnx --inputs in.npy --reference out.npy --max-error 1e-4
  ncnnc import model.pt --shape 1,3,32,32 --shape 1,128i64 -o models/model.param

pnnx (`pip install pnnx`) converts; constants are stored in f32. The shapes are written into the .param, so that nothing
else needs to say them. Then the model is verified as by `ncnnc verify --record`: against its definition, and against what
the source framework gave for the same inputs, as far as that is given; the result becomes the precision lock beside the
model. Where there is a lock already, the new conversion is held to it.

A model of PyTorch's must be traced: torch.jit.trace(model.eval(), example).save(\"model.pt\").")]
pub struct Arguments {
    /// What to convert: TorchScript (.pt) or ONNX
    #[arg(value_name = "MODEL")]
    source: PathBuf,
    /// The shape of an input, the batch of 1 included, with its type unless that is f32; for each input in order
    #[arg(long = "shape", value_name = "1,C,H,W", value_parser = shape)]
    shapes: Vec<String>,
    /// The .param to write; the .bin, the lock and its history are beside it [default: MODEL.param beside the source]
    #[arg(short, value_name = "OUT.param")]
    output: Option<PathBuf>,
    /// The pnnx to run
    #[arg(long, value_name = "PATH", default_value = "pnnx")]
    pnnx: PathBuf,
    #[command(flatten)]
    measurement: MeasurementArguments,
}

/// `1,3,224,224` or `1,128i64` as pnnx wants it: `[1,3,224,224]f32`.
fn shape(text: &str) -> Result<String, String> {
    let (extents, element) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let is_extent = |extent: &str| extent.parse::<u32>().is_ok_and(|extent| extent > 0);
    if !extents.split(',').all(is_extent) || !element.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err("a shape is whole numbers, such as 1,3,224,224, and perhaps a type, as in 1,128i64".to_string());
    }
    Ok(format!("[{extents}]{}", if element.is_empty() { "f32" } else { element }))
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let progress = Progress::start(console, "converting".into());
    let converted = arguments.convert()?;
    drop(progress);
    let param = arguments.output.clone().unwrap_or_else(|| arguments.source.with_extension("param"));
    let mut files = Files::default();
    files.add(&param, converted.param.clone());
    files.add(param.with_extension("bin"), converted.weights.clone());
    files.write(std::slice::from_ref(&arguments.source))?;
    let model = Model::new(&param, &param.with_extension("bin"), converted.param, converted.weights, console);
    let question = Question { model: &model, original: None, options: Options::default(), auto: false, bias: None };
    arguments.measurement.run(&question, Purpose::Record, console)
}

/// What pnnx made of a model.
struct Converted {
    param: Vec<u8>,
    weights: Vec<u8>,
}

impl Arguments {
    /// Runs pnnx in a folder of its own, where it can leave what else it writes.
    fn convert(&self) -> Result<Converted, Diagnostic> {
        let source = model::read(&self.source)?;
        let folder = tempfile::tempdir().map_err(|error| cannot_write(&std::env::temp_dir(), &error))?;
        let ending = self.source.extension().unwrap_or_default();
        let copy = Path::new("model").with_extension(ending);
        let path = |name: &str| folder.path().join(name);
        std::fs::write(folder.path().join(&copy), source).map_err(|error| cannot_write(folder.path(), &error))?;
        let mut command = Command::new(self.program());
        command.current_dir(&folder).arg(&copy).args(["fp16=0", "ncnnparam=ncnn.param", "ncnnbin=ncnn.bin"]);
        command.arg("pnnxparam=pnnx.param");
        if !self.shapes.is_empty() {
            command.arg(OsString::from(format!("inputshape={}", self.shapes.join(","))));
        }
        let output = command.output().map_err(|error| self.cannot_run(&error))?;
        let read = |name: &str| std::fs::read(path(name)).ok().filter(|_| output.status.success());
        let (Some(param), Some(weights)) = (read("ncnn.param"), read("ncnn.bin")) else {
            return Err(self.refused(&[&output.stdout[..], &output.stderr[..]].concat()));
        };
        let shapes = shapes(&String::from_utf8_lossy(&read("pnnx.param").unwrap_or_default()));
        Ok(Converted { param: with_shapes(&String::from_utf8_lossy(&param), &shapes).into_bytes(), weights })
    }

    /// pnnx by a path that doesn't depend on where it runs, unless it is looked for on the PATH.
    fn program(&self) -> PathBuf {
        match self.pnnx.components().count() {
            0 | 1 => self.pnnx.clone(),
            _ => std::path::absolute(&self.pnnx).unwrap_or_else(|_| self.pnnx.clone()),
        }
    }

    fn cannot_run(&self, error: &std::io::Error) -> Diagnostic {
        let pnnx = self.pnnx.display();
        match error.kind() {
            ErrorKind::NotFound => Diagnostic::error(format!("`{pnnx}`, which converts models, isn't installed"))
                .hint("`pip install pnnx` installs it; `--pnnx PATH` names one that is not on the PATH"),
            _ => Diagnostic::error(format!("can't run `{pnnx}`: {error}")).code(Code::File),
        }
    }

    /// That pnnx wouldn't, in the last of its words.
    fn refused(&self, words: &[u8]) -> Diagnostic {
        const LINES: usize = 8;
        let words = String::from_utf8_lossy(words);
        let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
        Diagnostic::error(format!("pnnx can't convert `{}`:\n{last}", self.source.display()))
            .code(Code::Unsupported)
            .hint("pnnx takes ONNX and TorchScript; `torch.jit.trace(model.eval(), example).save(\"model.pt\")` writes that")
    }
}

/// The shapes of the inputs without their batch, in order, from pnnx's own param file:
/// `pnnx.Input name 0 1 0 #0=(1,3,224,224)f32`. Nothing for an input whose shape isn't known.
fn shapes(pnnx: &str) -> Vec<Option<Vec<usize>>> {
    let shape = |line: &str| {
        let (_, rest) = line.split_once("=(")?;
        let (extents, _) = rest.split_once(')')?;
        let extents = extents.split(',').map(|extent| extent.trim().parse().ok()).collect::<Option<Vec<usize>>>()?;
        match &extents[..] {
            [1, sample @ ..] if !sample.is_empty() => Some(sample.to_vec()),
            _ => None,
        }
    };
    pnnx.lines().filter(|line| line.starts_with("pnnx.Input ")).map(shape).collect()
}

/// The param file with the shapes in its inputs, which pnnx names `in0`, `in1` and so on.
fn with_shapes(param: &str, shapes: &[Option<Vec<usize>>]) -> String {
    let shape = |blob: &str| shapes.get(blob.strip_prefix("in")?.parse::<usize>().ok()?)?.as_deref();
    let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["Input", _, "0", "1", blob] => format!("{line}{}\n", extents(shape(blob).unwrap_or_default())),
        _ => format!("{line}\n"),
    };
    param.lines().map(line).collect()
}

/// Extents as parameters of an input: 0 is the width, 1 the height, 11 the depth, 2 the channels.
fn extents(shape: &[usize]) -> String {
    let ids: &[u32] = match shape.len() {
        1 => &[0],
        2 => &[1, 0],
        3 => &[2, 1, 0],
        4 => &[2, 11, 1, 0],
        _ => &[],
    };
    ids.iter().zip(shape).map(|(id, extent)| format!(" {id}={extent}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_come_from_what_pnnx_found() {
        let pnnx = "7767517\n3 2\npnnx.Input a 0 1 0 #0=(1,3,8,9)f32\npnnx.Input b 0 1 1 #1=(1,?)f32\nrelu x 1 1 0 2\n";
        assert_eq!(shapes(pnnx), [Some(vec![3, 8, 9]), None]);
        let param = "7767517\n3 3\nInput in0 0 1 in0\nInput in1 0 1 in1\nReLU x 1 1 in0 out0\n";
        let complete = "7767517\n3 3\nInput in0 0 1 in0 2=3 1=8 0=9\nInput in1 0 1 in1\nReLU x 1 1 in0 out0\n";
        assert_eq!(with_shapes(param, &shapes(pnnx)), complete);
    }

    #[test]
    fn shapes_may_have_types() {
        assert_eq!(shape("1,3,224,224"), Ok("[1,3,224,224]f32".to_string()));
        assert_eq!(shape("1,128i64"), Ok("[1,128]i64".to_string()));
        for wrong in ["", "1,,3", "f32", "1,0", "[1,3]", "1,3f32]"] {
            shape(wrong).expect_err(wrong);
        }
    }
}
