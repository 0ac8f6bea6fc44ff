//! `ncnnc bench`: how long each step takes, beside what the processor could do at best.

use crate::console::{Console, Done};
use crate::loaded::{Loaded, NO_HASH};
use crate::machine;
use crate::model::ShapedModelArguments;
use crate::progress::Progress;
use crate::table::{Column, table};
use ncnnc_compiler::compile::{Compiled, Options, compile};
use ncnnc_compiler::door::MOST_THREADS;
use ncnnc_compiler::emit::object::{Network, Platform, Weights};
use ncnnc_compiler::instruction::Instruction;
use ncnnc_compiler::kernel::{self, Address, Argument, Builder, Callee, Port, Program, Type};
use ncnnc_compiler::mode::Mode;
use ncnnc_targets::Target;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Measures a model step by step on this machine
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc bench resnet18.param
  ncnnc bench resnet18.param --threads 2 --seconds 5
  ncnnc bench yolo.param --input in0=3,640,640 --instruction-set avx2
  ncnnc bench resnet18.param --numerics compensated

The model and the processor's peak (independent multiply-adds in registers) are measured by turns; the best of each is \
shown. A step is what one layer needs done, or several that are computed together. Winograd's algorithm does fewer \
multiply-adds than are counted, so that its steps can exceed the peak. Values of inputs are made up: times don't depend on \
them, unless a layer's course does. Where layers are compensated, the model is measured by turns with all of them `fast`; \
their time in it stands beside theirs.")]
pub struct Arguments {
    #[command(flatten)]
    model: ShapedModelArguments,
    /// How many threads work
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_THREADS)))]
    threads: u16,
    /// The instruction set to use [default: the best this machine has]
    #[arg(long, value_name = "NAME")]
    instruction_set: Option<String>,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
}

/// A step's best time and its work.
struct Step {
    name: String,
    seconds: f64,
    macs: u64,
}

/// What was measured of a model.
struct Times {
    steps: Vec<Step>,
    /// The best whole run, in seconds.
    whole: f64,
    /// The middle of all whole runs, in seconds.
    median: f64,
    runs: usize,
}

/// What was measured.
struct Measured {
    model: Times,
    /// The model with `fast` layers in the place of those that are compensated.
    fast: Option<Times>,
    /// Floating-point operations per second that all threads reach at best.
    peak: f64,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let platform = machine::host(arguments.instruction_set.as_deref())?;
    let options = arguments.model.options()?;
    let model = arguments.model.model.read(&options, console)?;
    let progress = Progress::start(console, "compiling and measuring".into());
    let compiled = compile(model.param(), model.weights(), &options, platform.targets())?;
    console.report(&compiled.warnings);
    let graph = &compiled.plan.graph;
    let is_compensated = graph.operations.iter().any(|of| graph.mode_of(of.name()) == Mode::Compensated);
    let fast = is_compensated.then(|| in_fast(options));
    let fast = fast.map(|options| compile(model.param(), model.weights(), &options, platform.targets())).transpose()?;
    let measured = measure(&compiled, fast.as_ref(), &platform, arguments)?;
    drop(progress);
    let set = platform.targets()[0].name;
    console.result(|| text(&measured, set, arguments.threads), || value(&measured, set, arguments.threads))
}

/// The options with `fast` in the place of `compensated`.
fn in_fast(mut options: Options) -> Options {
    let modes = options.layer_modes.iter_mut().map(|exception| &mut exception.mode).chain([&mut options.mode]);
    modes.filter(|mode| **mode == Mode::Compensated).for_each(|mode| *mode = Mode::Fast);
    options
}

fn measure(
    compiled: &Compiled,
    fast: Option<&Compiled>,
    platform: &Platform,
    arguments: &Arguments,
) -> Result<Measured, crate::console::Stop> {
    let threads = usize::from(arguments.threads);
    let mut model = Subject::new(compiled, platform, threads)?;
    let mut fast = fast.map(|compiled| Subject::new(compiled, platform, threads)).transpose()?;
    let mut peak = Peak::new(platform, threads)?;
    let (start, long) = (Instant::now(), Duration::from_secs(arguments.seconds.into()));
    while model.wholes.is_empty() || start.elapsed() < long {
        model.run();
        fast.iter_mut().for_each(Subject::run);
        peak.keep_up(start.elapsed());
    }
    let peak = peak.operations / peak.best.as_secs_f64();
    Ok(Measured { model: model.times(), fast: fast.map(Subject::times), peak })
}

/// A model being measured.
struct Subject<'c> {
    compiled: &'c Compiled,
    loaded: Loaded,
    inputs: Vec<Vec<u32>>,
    /// The best time of each step.
    best: Vec<Duration>,
    wholes: Vec<Duration>,
}

impl<'c> Subject<'c> {
    fn new(compiled: &'c Compiled, platform: &Platform, threads: usize) -> Result<Self, crate::console::Stop> {
        let network = Network::new("model", &compiled.programs, NO_HASH, Weights::External)?;
        let loaded = Loaded::new(&network, platform, threads)?;
        let inputs = network.inputs().iter().map(values).collect();
        let best = vec![Duration::MAX; compiled.programs[0].1.steps.len()];
        let mut subject = Self { compiled, loaded, inputs, best, wholes: Vec::new() };
        subject.time();
        Ok(subject)
    }

    fn time(&mut self) -> Vec<Duration> {
        let inputs: Vec<&[u32]> = self.inputs.iter().map(|words| &words[..]).collect();
        self.loaded.time(&inputs)
    }

    fn run(&mut self) {
        let before = Instant::now();
        let times = self.time();
        self.wholes.push(before.elapsed());
        self.best.iter_mut().zip(times).for_each(|(best, time)| *best = time.min(*best));
    }

    fn times(mut self) -> Times {
        self.wholes.sort_unstable();
        Times {
            steps: steps(self.compiled, &self.best),
            whole: self.wholes[0].as_secs_f64(),
            median: self.wholes[self.wholes.len() / 2].as_secs_f64(),
            runs: self.wholes.len(),
        }
    }
}

/// Steps of one name together, with the multiply-adds of the operations of that name.
fn steps(compiled: &Compiled, best: &[Duration]) -> Vec<Step> {
    let mut macs: HashMap<&str, u64> = HashMap::new();
    for operation in &compiled.plan.graph.operations {
        *macs.entry(operation.name()).or_default() += operation.macs();
    }
    let mut steps: Vec<Step> = Vec::new();
    for (step, time) in compiled.programs[0].1.steps.iter().zip(best) {
        let seconds = time.as_secs_f64();
        match steps.iter_mut().find(|other| other.name == step.name) {
            Some(same) => same.seconds += seconds,
            None => {
                let macs = macs.get(step.name.as_str()).copied().unwrap_or(0);
                steps.push(Step { name: step.name.clone(), seconds, macs });
            }
        }
    }
    steps
}

/// Numbers from -1 to 1.
pub fn values(port: &Port) -> Vec<u32> {
    (0..port.shape.iter().product()).map(|i: usize| ((i % 251) as f32 / 125.0 - 1.0).to_bits()).collect()
}

/// Independent sums: at least the latency of a multiply-add times the units, on every processor so far, and few enough for
/// the 16 registers of AVX2.
const SUMS: usize = 12;
/// Multiply-adds of each sum in a burst: some 0.2 milliseconds, short beside a time slice and long beside waking threads.
const TERMS: usize = 1 << 16;
/// Of these, so many stand one after the other in the loop.
const UNROLLED: usize = 8;
/// The part of the time that goes to bursts: where the machine has other work, it takes many before one is undisturbed.
const SHARE_OF_BURSTS: f64 = 0.2;

/// The most multiply-adds the processor can do, through the same kernels as networks.
struct Peak {
    loaded: Loaded,
    /// Floating-point operations in a burst.
    operations: f64,
    best: Duration,
    /// In all bursts so far.
    spent: Duration,
}

impl Peak {
    fn new(platform: &Platform, threads: usize) -> Result<Self, crate::console::Stop> {
        let target = platform.targets()[0];
        let programs: [(&'static Target, Program); 1] = [(target, peak(target, threads))];
        let network = Network::new("peak", &programs, NO_HASH, Weights::External)?;
        let operations = (2 * SUMS * TERMS * target.lanes * threads) as f64;
        let loaded = Loaded::new(&network, platform, threads)?;
        Ok(Self { loaded, operations, best: Duration::MAX, spent: Duration::ZERO })
    }

    /// Bursts, at least one, until they have had their share of the time that has passed.
    fn keep_up(&mut self, passed: Duration) {
        loop {
            let burst = self.loaded.time(&[&[0x3f00_0000; 16]]).iter().sum();
            self.best = self.best.min(burst);
            self.spent += burst;
            if self.spent >= passed.mul_f64(SHARE_OF_BURSTS) {
                return;
            }
        }
    }
}

/// `sum = factor * factor + sum`, many times, by one task for each thread.
fn peak(target: &Target, threads: usize) -> Program {
    let mut builder = Builder::new("multiply_add", target.lanes, threads);
    let (input, output) = (builder.input("factor", 16), builder.output("sums", threads * SUMS * 16));
    let factor = builder.broadcast(Address::new(input, 0));
    let sums: Vec<_> = (0..SUMS).map(|_| builder.variable(Type::Vector)).collect();
    for sum in &sums {
        builder.set(*sum, factor);
    }
    builder.repeat(TERMS / UNROLLED, |builder, _| {
        for sum in sums.iter().cycle().take(SUMS * UNROLLED) {
            let old = builder.get(*sum);
            let new = builder.apply(Instruction::FusedMultiplyAdd, &[factor, factor, old]);
            builder.set(*sum, new);
        }
    });
    let task = builder.task();
    for (number, sum) in sums.iter().enumerate() {
        let value = builder.get(*sum);
        builder.store(Address::new(output, 16 * number as i64).plus(task, 16 * SUMS as i64), value);
    }
    let port = |name: &str, words| Port { name: name.into(), shape: vec![words], extents: None, integer: false };
    Program {
        kernels: vec![builder.finish()],
        steps: vec![kernel::Step {
            name: "peak".into(),
            how: "in registers".into(),
            callee: Callee::Kernel(0),
            arguments: vec![Argument::Input(0), Argument::Output(0)],
        }],
        arena_words: 0,
        constants: std::sync::Arc::from([]),
        tables: std::sync::Arc::from([]),
        inputs: vec![port("factor", 16)],
        outputs: vec![port("sums", threads * SUMS * 16)],
    }
}

/// A network below this is shown in microseconds.
const MILLISECOND: f64 = 1e-3;

fn text(measured: &Measured, set: &str, threads: u16) -> String {
    let Measured { model, fast, peak } = measured;
    let (unit, in_second) = if model.whole < MILLISECOND { ("µs", 1e6) } else { ("ms", 1e3) };
    let mut columns = vec![Column::Words("step"), Column::Numbers(unit)];
    columns.extend(fast.iter().flat_map(|_| [Column::Numbers("in fast"), Column::Numbers("times")]));
    columns.extend(["share", "GFLOP/s", "of peak"].map(Column::Numbers));
    let sum = |times: &Times| times.steps.iter().map(|step| step.seconds).sum::<f64>();
    let all = sum(model);
    let row = |name: &str, seconds: f64, macs: u64, fast: Option<f64>| {
        let mut row = vec![name.to_string(), format!("{:.3}", seconds * in_second)];
        if measured.fast.is_some() {
            row.extend([
                fast.map_or(String::new(), |fast| format!("{:.3}", fast * in_second)),
                fast.map_or(String::new(), |fast| format!("{:.1}", seconds / fast)),
            ]);
        }
        row.push(format!("{:.1} %", 100.0 * seconds / all));
        let speed = 2.0 * macs as f64 / seconds;
        row.extend(match macs {
            0 => [String::new(), String::new()],
            _ => [format!("{:.1}", speed * 1e-9), format!("{:.0} %", 100.0 * speed / peak)],
        });
        row
    };
    let rows = model.steps.iter().map(|step| {
        let fast = fast.as_ref().and_then(|fast| fast.seconds(&step.name));
        row(&step.name, step.seconds, step.macs, fast)
    });
    let macs = model.steps.iter().map(|step| step.macs).sum();
    let steps = table(&columns, rows.chain([row("all steps", all, macs, fast.as_ref().map(sum))]));
    let cost = fast.as_ref().map_or(String::new(), |fast| {
        let fast = sum(fast);
        format!(
            "compensated layers cost: {:.1} times the {:.3} {unit} of all steps in fast\n",
            all / fast,
            fast * in_second
        )
    });
    format!(
        "{steps}\n{cost}whole runs: best {:.3} {unit}, median {:.3} {unit} of {}; {set}, {threads} {}, peak {:.1} GFLOP/s\n",
        model.whole * in_second,
        model.median * in_second,
        model.runs,
        if threads == 1 { "thread" } else { "threads" },
        peak * 1e-9,
    )
}

impl Times {
    /// The best time of a step, if there is one of this name.
    fn seconds(&self, name: &str) -> Option<f64> {
        self.steps.iter().find(|step| step.name == name).map(|step| step.seconds)
    }
}

fn value(measured: &Measured, set: &str, threads: u16) -> Value {
    let Measured { model, fast, peak } = measured;
    let mut value = json!({
        "instruction_set": set,
        "threads": threads,
        "runs": model.runs,
        "best_seconds": model.whole,
        "median_seconds": model.median,
        "peak_flops": peak,
        "steps": model.steps.iter().map(|step| json!({
            "name": step.name,
            "seconds": step.seconds,
            "macs": step.macs,
        })).collect::<Vec<_>>(),
    });
    if let Some(fast) = fast {
        value["best_seconds_in_fast"] = json!(fast.whole);
        for (step, of) in value["steps"].as_array_mut().into_iter().flatten().zip(&model.steps) {
            step["seconds_in_fast"] = json!(fast.seconds(&of.name));
        }
    }
    value
}
