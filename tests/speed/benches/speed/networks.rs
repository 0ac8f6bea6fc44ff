//! Whole networks, in turn with the real ncnn.

use crate::network::Network;
use crate::objects::{Object, Running};
use crate::peer::Peer;
use ncnnc::{InstructionSet, Options};
use std::ffi::OsStr;
use std::time::{Duration, Instant};

/// Runs of one program before the other has its turn, after one that brings its data back into the caches.
const RUNS: usize = 3;
/// Turns of each.
const TURNS: usize = 12;
/// Between turns, so that the threads of the one before have stopped looking for work.
const PAUSE: Duration = Duration::from_millis(30);
/// Steps that are listed.
const SLOWEST: usize = 12;
/// Runs of which the best time of each step is taken.
const RUNS_OF_STEPS: usize = 15;

/// A network, and where the peer finds it.
pub struct Whole {
    /// As its file is called.
    pub name: &'static str,
    /// The param file.
    pub param: &'static str,
    /// The file of weights.
    pub weights: &'static str,
    /// The input: its blob, a file of its values, its shape.
    pub input: (&'static str, &'static str, &'static [usize]),
    /// The output's blob.
    pub output: &'static str,
    new: fn(&Options) -> Box<dyn Network>,
    /// The same as objects, where those were asked for: each with the best instruction set it has.
    objects: &'static [(&'static str, Object)],
}

include!(concat!(env!("OUT_DIR"), "/networks.rs"));

/// Prints a table of the networks whose name contains `part`; `python`, if there is one, runs the peer.
pub fn compare(part: &str, threads: usize, python: Option<&OsStr>) {
    let head = ["min ms", "median", "ncnn min", "median", "ratio min", "median", "difference"];
    let [a, b, c, d, e, f, g] = head;
    println!("{:<16} {a:>9} {b:>9} {c:>9} {d:>9} {e:>9} {f:>9} {g:>11}", format!("{threads} thread(s)"));
    for network in NETWORKS.iter().filter(|network| network.name.contains(part)) {
        network.compare(threads, python);
    }
}

/// Prints a table of generated Rust and objects of the networks whose name contains `part`.
pub fn compare_objects(part: &str, threads: usize) {
    let head = ["Rust", "median", "steps", "object", "median", "steps", "ratio", "median", "steps"];
    let [a, b, c, d, e, f, g, h, i] = head;
    let threads_text = format!("{threads} thread(s)");
    println!("{threads_text:<14} {:<7} {a:>8} {b:>8} {c:>8} {d:>9} {e:>8} {f:>8} {g:>9} {h:>8} {i:>8}", "target");
    for network in NETWORKS.iter().filter(|network| network.name.contains(part)) {
        network.compare_objects(threads);
    }
}

/// Prints the slowest steps of the networks whose name contains `part`.
pub fn steps(part: &str) {
    for network in NETWORKS.iter().filter(|network| network.name.contains(part)) {
        network.steps();
    }
}

/// Times in the order they were measured.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    /// One turn of a program.
    fn turn(&mut self, mut run: impl FnMut() -> f64) {
        std::thread::sleep(PAUSE);
        run();
        self.0.extend((0..RUNS).map(|_| run()));
    }

    /// The least and the median, in milliseconds.
    fn summary(mut self) -> (f64, f64) {
        self.0.sort_by(f64::total_cmp);
        (self.0[0] * 1e3, self.0[self.0.len() / 2] * 1e3)
    }
}

impl Whole {
    fn input(&self) -> Vec<f32> {
        let (_, path, _) = self.input;
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
    }

    fn compare(&self, threads: usize, python: Option<&OsStr>) {
        let input = self.input();
        let mut network = (self.new)(&Options::new().threads(threads));
        let mut peer = python.map(|python| Peer::start(python, self, threads));
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        for _ in 0..TURNS {
            ours.turn(|| seconds(|| network.run(&input)));
            if let Some(peer) = &mut peer {
                theirs.turn(|| peer.run());
            }
        }
        let (least, median) = ours.summary();
        let Some(mut peer) = peer else {
            println!("{:<16} {least:>9.2} {median:>9.2}", self.name);
            return;
        };
        let (their_least, their_median) = theirs.summary();
        println!(
            "{:<16} {least:>9.2} {median:>9.2} {their_least:>9.2} {their_median:>9.2} {:>9.3} {:>9.3} {:>11.1e}",
            self.name,
            least / their_least,
            median / their_median,
            difference(network.run(&input), &peer.output()),
        );
    }

    fn compare_objects(&self, threads: usize) {
        if self.objects.is_empty() {
            println!("{:<16} without an object: --features objects compiles it", self.name);
        }
        for set in InstructionSet::ALL.iter().filter(|set| set.is_available()) {
            for (_, object) in self.objects.iter().filter(|(name, _)| *name == set.name()) {
                self.compare_object(object, *set, threads);
            }
        }
    }

    fn compare_object(&self, object: &Object, set: InstructionSet, threads: usize) {
        let input = self.input();
        let mut network = (self.new)(&Options::new().instruction_set(set).threads(threads));
        let mut object = Running::new(object, threads);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(network.run(&input)), bits(object.run(&input)), "{}: the same bits", self.name);
        let (mut rust, mut linked) = (Times::default(), Times::default());
        let (mut rust_steps, mut linked_steps) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            rust.turn(|| seconds(|| network.run(&input)));
            linked.turn(|| seconds(|| object.run(&input)));
            keep_least(&mut rust_steps, step_times(&mut *network, &input));
            keep_least(&mut linked_steps, object.time(&input).into_iter().map(|seconds| (seconds, "")));
        }
        let ((least, median), (other_least, other_median)) = (rust.summary(), linked.summary());
        let [steps, other_steps] =
            [rust_steps, linked_steps].map(|steps| steps.iter().map(|(s, _)| s * 1e3).sum::<f64>());
        println!(
            "{:<14} {:<7} {least:>8.3} {median:>8.3} {steps:>8.3} {other_least:>9.3} {other_median:>8.3} {other_steps:>8.3} \
             {:>9.3} {:>8.3} {:>8.3}",
            self.name,
            set.name(),
            other_least / least,
            other_median / median,
            other_steps / steps,
        );
    }

    fn steps(&self) {
        let input = self.input();
        let mut network = (self.new)(&Options::new());
        let mut best: Vec<(f64, &str)> = Vec::new();
        for _ in 0..RUNS_OF_STEPS {
            keep_least(&mut best, step_times(&mut *network, &input));
        }
        let total: f64 = best.iter().map(|(seconds, _)| seconds).sum();
        println!("{}: {:.2} ms in {} steps, each at its best", self.name, total * 1e3, best.len());
        best.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (seconds, name) in best.iter().take(SLOWEST) {
            println!("  {:>8.3} ms {:>5.1} %  {name}", seconds * 1e3, 100.0 * seconds / total);
        }
    }
}

/// The seconds that each step of one run takes, with its name.
fn step_times(network: &mut dyn Network, input: &[f32]) -> Vec<(f64, &'static str)> {
    let mut times = Vec::new();
    network.visit(input, &mut |step, call| times.push((seconds(|| call.run(0, call.tasks)), step.name)));
    times
}

/// Keeps the least of each step's times.
fn keep_least<'n>(best: &mut Vec<(f64, &'n str)>, times: impl IntoIterator<Item = (f64, &'n str)>) {
    for (number, (seconds, name)) in times.into_iter().enumerate() {
        match best.get_mut(number) {
            Some((least, _)) => *least = least.min(seconds),
            None => best.push((seconds, name)),
        }
    }
}

fn seconds<T>(run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(run());
    start.elapsed().as_secs_f64()
}

/// The largest difference of two outputs, as a share of the largest magnitude.
fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len(), "outputs have one length");
    let largest = theirs.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    ours.iter().zip(theirs).fold(0.0, |most: f32, (a, b)| most.max((a - b).abs())) / largest
}
