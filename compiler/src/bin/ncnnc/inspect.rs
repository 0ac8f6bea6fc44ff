//! `ncnnc inspect`: what a model is made of and what it becomes.

use crate::console::{Console, Done, Stop};
use crate::instruction_set;
use crate::lives::{Life, lives};
use crate::loaded::NO_HASH;
use crate::model::{Model, ShapedModelArguments};
use crate::output::Files;
use crate::picture::{memory, network};
use crate::progress::Progress;
use crate::table::{Column, bytes, shape, table, thousands};
use ncnnc_compiler::compile::{Compiled, Options, compile};
use ncnnc_compiler::diagnostic::Harmless;
use ncnnc_compiler::emit::object::{Network, Weights};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::graph::Graph;
use ncnnc_compiler::kernel::{Port, Program};
use ncnnc_compiler::plan::Plan;
use ncnnc_compiler::{ncnn, ops};
use ncnnc_targets::Target;
use object::{Object, ObjectSection, SectionKind};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

/// Shows a model's layers, shapes, work and memory
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc inspect resnet18.param
  ncnnc inspect resnet18.param --svg memory.svg --graph network.svg
  ncnnc inspect resnet18.param --graph network.dot && dot -Tpdf network.dot > network.pdf
  ncnnc inspect resnet18.param --message-format json | jq '.layers[].macs'")]
pub struct Arguments {
    #[command(flatten)]
    model: ShapedModelArguments,
    /// The instruction set whose memory is shown [default: all of this machine's architecture]
    #[arg(long, value_name = "NAME")]
    instruction_set: Option<String>,
    /// Writes the memory plan as SVG, in place of what is printed for people
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Writes the network as SVG, or for Graphviz where the file's name ends in .dot, in place of what is printed for people
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
}

/// A layer of the file.
struct Layer {
    name: String,
    kind: String,
    line: u32,
    outputs: Vec<(String, Option<Vec<usize>>)>,
    macs: u64,
    parameters: u64,
}

/// What is known about a model.
struct Inspection {
    network: ncnn::Model,
    shapes: network::Shapes,
    layers: Vec<Layer>,
    compiled: Compiled,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let targets = match &arguments.instruction_set {
        Some(name) => vec![instruction_set::named(name)?],
        None => instruction_set::of(instruction_set::host_architecture()),
    };
    let options = arguments.model.options()?;
    let model = arguments.model.model.read(&options, console)?;
    let progress = Progress::start(console, "compiling".into());
    let inspection = Inspection::new(&model, &options, &targets)?;
    drop(progress);
    console.report(&inspection.compiled.warnings);
    let pictures = inspection.pictures(arguments);
    let are_drawn = !pictures.is_empty();
    let mut files = Files::default();
    for (path, picture) in pictures {
        files.add(path, picture);
    }
    files.write(&model.paths)?;
    if are_drawn && !console.is_json() {
        return Ok(());
    }
    console.result(|| inspection.text(console.colour), || inspection.value())
}

impl Inspection {
    fn new(model: &Model, options: &Options, targets: &[&'static Target]) -> Result<Self, Stop> {
        let compiled = compile(model.param(), model.weights(), options, targets)?;
        let mut network = ncnn::read_param(model.param().path, model.param().bytes)?;
        ops::read_weights(&mut network, model.weights().path, model.weights().bytes)?;
        // With every blob as an output, the graph tells the shape of each.
        let blobs: Vec<String> = network.blobs.iter().map(|blob| blob.name.clone()).collect();
        let graph = ops::lower(&network, &options.shapes, &blobs)?;
        let outputs = graph.outputs.iter();
        let shapes: network::Shapes = outputs.map(|output| (output.name.clone(), output.view.shape.clone())).collect();
        let layers = layers(&network, &graph, &shapes);
        Ok(Self { network, shapes, layers, compiled })
    }

    /// The program whose memory is shown.
    fn program(&self) -> &(&'static Target, Program) {
        self.compiled.programs.first().expect("there is an instruction set for every architecture")
    }

    fn lives(&self) -> (Vec<Life>, usize, usize) {
        let (_, program) = self.program();
        (lives(program), program.steps.len(), program.arena_words * 4)
    }

    /// The pictures asked for, with their paths.
    fn pictures(&self, arguments: &Arguments) -> Vec<(PathBuf, String)> {
        let mut pictures = Vec::new();
        if let Some(path) = &arguments.svg {
            let (lives, steps, arena) = self.lives();
            let title = format!("{} on {}", arguments.model.model.stem(), self.program().0.name);
            pictures.push((path.clone(), memory::svg(&lives, steps, arena, &title)));
        }
        if let Some(path) = &arguments.graph {
            let draw = if path.extension().is_some_and(|end| end == "dot") { network::dot } else { network::svg };
            pictures.push((path.clone(), draw(&self.network, &self.shapes)));
        }
        pictures
    }

    fn text(&self, colour: bool) -> String {
        let (target, first) = self.program();
        let total = |count: fn(&Layer) -> u64| self.layers.iter().map(count).sum::<u64>();
        let columns = [
            Column::Words("layer"),
            Column::Words("type"),
            Column::Words("shape"),
            Column::Numbers("multiply-adds"),
            Column::Numbers("parameters"),
        ];
        let rows = self.layers.iter().map(|layer| {
            let shapes = layer.outputs.iter().map(|(_, extents)| extents.as_ref().map_or("?".into(), |e| shape(e)));
            let number = |number: u64| if number == 0 { String::new() } else { thousands(number) };
            let shapes = shapes.collect::<Vec<String>>().join(", ");
            vec![layer.name.clone(), layer.kind.clone(), shapes, number(layer.macs), number(layer.parameters)]
        });
        let last = vec![
            "total".into(),
            String::new(),
            String::new(),
            thousands(total(|layer| layer.macs)),
            thousands(total(|layer| layer.parameters)),
        ];
        let layers = table(&columns, rows.chain([last]));
        let ports = ports_text("input", &first.inputs) + &ports_text("output", &first.outputs[..self.outputs()]);
        let (lives, steps, arena) = self.lives();
        let picture = memory::terminal(&lives, steps, arena, colour);
        let name = target.name;
        let rounded = rounded_text(&self.compiled.plan);
        format!("{layers}\n{ports}{rounded}\n{}\nMemory over time, {name}:\n\n{picture}", self.programs_text())
    }

    fn programs_text(&self) -> String {
        let columns = [
            Column::Words("instruction set"),
            Column::Numbers("steps"),
            Column::Numbers("kernels"),
            Column::Numbers("code"),
            Column::Numbers("constants"),
            Column::Numbers("activations"),
        ];
        let rows = self.compiled.programs.iter().map(|compiled| {
            let (target, program) = compiled;
            let (steps, kernels) = (program.steps.len().to_string(), program.kernels.len().to_string());
            let [code, constants, arena] = sizes(compiled).map(bytes);
            vec![target.name.into(), steps, kernels, code, constants, arena]
        });
        table(&columns, rows)
    }

    /// The number of the model's own outputs; extents that depend on data follow.
    fn outputs(&self) -> usize {
        self.compiled.plan.graph.outputs.len()
    }

    fn value(&self) -> Value {
        let (_, first) = self.program();
        let layers = self.layers.iter().map(|layer| {
            let outputs: HashMap<&String, &Option<Vec<usize>>> =
                layer.outputs.iter().map(|(name, extents)| (name, extents)).collect();
            json!({
                "name": layer.name,
                "type": layer.kind,
                "line": layer.line,
                "outputs": outputs,
                "macs": layer.macs,
                "parameters": layer.parameters,
            })
        });
        let programs = self.compiled.programs.iter().map(|compiled| {
            let (target, program) = compiled;
            let (lives, [code, constants, arena]) = (lives(program), sizes(compiled));
            let life = |life: &Life| {
                let Life { name, offset, bytes, first, last } = life;
                json!({ "made_by": name, "offset": offset, "bytes": bytes, "first_step": first, "last_step": last })
            };
            json!({
                "instruction_set": target.name,
                "steps": program.steps.len(),
                "kernels": program.kernels.len(),
                "code_bytes": code,
                "constants_bytes": constants,
                "arena_bytes": arena,
                "memory": lives.iter().map(life).collect::<Vec<_>>(),
            })
        });
        let stored = |format: &Format| {
            let name = |name: &&str| json!({ "name": name, "format": format.text() });
            self.compiled.plan.rounded_to(*format).iter().map(name).collect::<Vec<_>>()
        };
        json!({
            "layers": layers.collect::<Vec<_>>(),
            "narrow_activations": Format::ALL.iter().flat_map(stored).collect::<Vec<_>>(),
            "inputs": first.inputs.iter().map(port_value).collect::<Vec<_>>(),
            "outputs": first.outputs[..self.outputs()].iter().map(port_value).collect::<Vec<_>>(),
            "programs": programs.collect::<Vec<_>>(),
        })
    }
}

/// Bytes of machine code, of constants and of the arena.
fn sizes(compiled: &(&'static Target, Program)) -> [u64; 3] {
    let (target, program) = compiled;
    let network = Network::new("model", std::slice::from_ref(compiled), NO_HASH, Weights::External);
    let network = network.expect("a good name, and no functions of users'");
    let code = code_bytes(&network.object(&instruction_set::platform(target)));
    [code, 4 * program.constants.len() as u64, 4 * program.arena_words as u64]
}

/// Bytes of machine code in an object file.
pub fn code_bytes(object: &[u8]) -> u64 {
    let object = object::File::parse(object).expect("an object of a known format");
    object.sections().filter(|section| section.kind() == SectionKind::Text).map(|section| section.size()).sum()
}

fn layers(network: &ncnn::Model, graph: &Graph, shapes: &network::Shapes) -> Vec<Layer> {
    let mut macs: HashMap<&str, u64> = HashMap::new();
    for operation in &graph.operations {
        *macs.entry(operation.name()).or_default() += operation.macs();
    }
    let mut layer = |layer: &ncnn::Layer| {
        let name = |id: &ncnn::BlobId| network.blob(*id).name.clone();
        Layer {
            name: layer.name.clone(),
            kind: layer.kind.clone(),
            line: layer.location.line().unwrap_or(0),
            outputs: layer.outputs.iter().map(|id| (name(id), shapes.get(&name(id)).cloned())).collect(),
            // Layers of one name can't be told apart; the first of them is said to do all the work.
            macs: macs.remove(layer.name.as_str()).unwrap_or(0),
            parameters: layer.weights.iter().map(|weights| weights.len() as u64).sum(),
        }
    };
    network.layers.iter().map(&mut layer).collect()
}

/// Which activations are rounded when they are stored, a line for each format.
fn rounded_text(plan: &Plan) -> String {
    let line = |format: &Format| {
        let names = plan.rounded_to(*format);
        let names: Vec<String> = names.iter().map(|name| Harmless(name).to_string()).collect();
        (!names.is_empty()).then(|| format!("stored in {}: {}\n", format.text(), names.join(", ")))
    };
    Format::ALL.iter().filter_map(line).collect()
}

fn ports_text(what: &str, ports: &[Port]) -> String {
    let line = |port: &Port| {
        let at_most = if port.extents.is_some() { "at most " } else { "" };
        let words = if port.integer { "integers" } else { "floats" };
        format!("{what} `{}`: {at_most}{} {words}\n", Harmless(&port.name), shape(&port.shape))
    };
    ports.iter().map(line).collect()
}

fn port_value(port: &Port) -> Value {
    let element = if port.integer { "i32" } else { "f32" };
    json!({ "name": port.name, "shape": port.shape, "element": element, "depends_on_data": port.extents.is_some() })
}
