//! Whole networks through compiled code: outputs and blobs inside against the real ncnn's, and one hash per network,
//! equal for every instruction set, number of threads and profile, and recorded in `hashes.txt`.
//!
//! Small networks, and those of [`QUICK`], always; `NCNNC_FULL=1` takes all networks, in both profiles, which is an hour's
//! work. As objects, which are built in seconds, `machines.rs` runs all of them always. `NCNNC_NETWORK` chooses one.
//! `NCNNC_UPDATE_HASHES=1` writes what was found into the table: for new networks, and for when the bits are meant to
//! change.

use ncnnc_compiler::plan::{Mode, Value, interpret};
use ncnnc_targets::{Architecture, Target};
use ncnnc_tests::compare::{Tolerance, compare};
use ncnnc_tests::generated::{Crate, Machine, Profile, Run, shaped};
use ncnnc_tests::hash::{TABLE, hash_outputs, recorded};
use ncnnc_tests::networks::{Network, benchmark, pretrained};
use ncnnc_tests::npy::Tensor;
use ncnnc_tests::planned::{Choice, DIGITS, Planned, digits_name, named_outputs, plan_digits, plan_network};
use ncnnc_tests::shared::{shared, workspace};
use std::sync::Mutex;
use std::time::Instant;

/// Multiply-adds up to which a network is always compiled, and interpreted as well: a second.
const SMALL: u64 = 60_000_000;
/// Multiply-adds up to which portable code runs in the dev profile, where one takes about 100 ns.
const PORTABLE_IN_DEV: u64 = 150_000_000;
/// Multiply-adds up to which it runs with every number of threads.
const PORTABLE_IN_EVERY_WAY: u64 = 10_000_000;
/// Multiply-adds up to which a network runs under qemu.
const EMULATED: u64 = 60_000_000;
/// Networks that are always compiled, in both profiles.
const BOTH_PROFILES: &[&str] = &["digits", "squeezenet"];
/// Larger networks that are always compiled, in the dev profile: some whose code is built in some ten seconds. Those
/// with many kinds of depthwise layers take minutes, most of them for portable code.
const QUICK: &[&str] = &["mobilenet_ssd", "resnet18", "squeezenet_v1.1/cat"];
/// By how much probabilities may differ from PyTorch's, stored in each way: both are computed in f32, in different orders;
/// what is stored in half precision is off by up to 2^-12 of itself, in bfloat16 by up to 2^-9.
const TOLERANCES: [f64; DIGITS.len()] = [2e-6, 2e-6, 1e-3, 1e-2, 1e-3, 1e-2];

/// PyTorch's probabilities for the test's images.
const PROBABILITIES: &str = "runtime/examples/digits/digits_test_pytorch_probs.npy";

/// A network with what must come out.
struct Model {
    name: String,
    planned: Planned,
    expected: Vec<(String, Tensor, Tolerance)>,
}

impl Model {
    fn new(network: &Network, targets: &[&'static Target]) -> Result<Self, String> {
        let planned = plan_network(network, Mode::Fast, targets)?;
        let expected = network.outputs.iter().chain(&network.extra);
        let expected = expected.map(|blob| (blob.name.clone(), blob.read(), blob.tolerance)).collect();
        Ok(Self { name: network.name.clone(), planned, expected })
    }

    /// The digits of the example in one way, and the first of the test's images.
    fn digits(choice: Choice, absolute: f64, targets: &[&'static Target]) -> Self {
        let planned = plan_digits(choice, targets);
        let probabilities = &Tensor::read(&workspace().join(PROBABILITIES)).values()[..10];
        let output = &planned.compiled.plan.graph.outputs[0];
        let expected = Tensor::from_values(&output.view.shape, probabilities);
        let expected = vec![(output.name.clone(), expected, Tolerance { absolute, relative: 0.0 })];
        Self { name: digits_name(choice), planned, expected }
    }

    fn macs(&self) -> u64 {
        self.planned.compiled.plan.graph.operations.iter().map(|operation| operation.macs()).sum()
    }

    /// A name that cargo takes.
    fn crate_name(&self) -> String {
        self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
    }

    /// The hash of the outputs, and what is wrong with them.
    fn judge(&self, values: &[Value]) -> (u64, Vec<String>) {
        let values = shaped(&self.planned.compiled.plan, values);
        let words = values.iter().map(|value| &value.words[..]);
        let names = self.expected.iter().map(|(name, ..)| name.as_str());
        let tensors = named_outputs(&self.planned.compiled.plan, &values, names);
        let problem = |(got, (name, want, tolerance)): (&Tensor, &(String, Tensor, Tolerance))| {
            compare(got, want, *tolerance).err().map(|problem| format!("{}: {name}: {problem}", self.name))
        };
        (hash_outputs(words), tensors.iter().zip(&self.expected).filter_map(problem).collect())
    }
}

/// How a network runs in a profile.
fn runs(model: &Model, machine: Machine, profile: Profile) -> Vec<Run> {
    let run = |target: &'static Target, threads| Run { set: target.name, threads, repeats: 1 };
    let runs = |target: &'static Target| match (target.architecture, profile, machine) {
        (Architecture::Any, Profile::Dev, _) if model.macs() > PORTABLE_IN_DEV => Vec::new(),
        (Architecture::Any, _, _) if model.macs() > PORTABLE_IN_EVERY_WAY => vec![run(target, 2)],
        (Architecture::Any, _, _) => (1..=4).map(|threads| run(target, threads)).collect(),
        (_, Profile::Release, _) | (_, _, Machine::Aarch64) => vec![run(target, 1), run(target, 3)],
        (_, Profile::Dev, Machine::Host) => (1..=4).map(|threads| run(target, threads)).collect(),
    };
    machine.targets().into_iter().flat_map(runs).collect()
}

/// Runs a network every way; all hashes with the ways they came from, and what is wrong.
fn run(model: &Model, machine: Machine) -> (Vec<(String, u64)>, Vec<String>) {
    let mut hashes = Vec::new();
    let mut problems = Vec::new();
    if model.macs() <= SMALL && machine == Machine::Host {
        let begin = Instant::now();
        let (hash, wrong) = model.judge(&interpret(&model.planned.compiled.plan, &model.planned.inputs));
        println!("{}: interpreted in {:.1?}", model.name, begin.elapsed());
        hashes.push(("interpreter".to_string(), hash));
        problems.extend(wrong);
    }
    let group = [(model.name.clone(), &model.planned)];
    let both = machine == Machine::Host && (is_on("NCNNC_FULL") || BOTH_PROFILES.contains(&model.name.as_str()));
    let profiles: &[Profile] = if both { &[Profile::Dev, Profile::Release] } else { &[Profile::Dev] };
    for profile in profiles {
        let begin = Instant::now();
        let program = Crate::build(&model.crate_name(), machine, *profile, &[&group]);
        let built = begin.elapsed();
        let begin = Instant::now();
        let runs = runs(model, machine, *profile);
        for (run, values) in runs.iter().zip(program.run(0, &runs)) {
            let (hash, wrong) = model.judge(&values);
            hashes.push((format!("{profile:?} {} {}", run.set, run.threads), hash));
            problems.extend(wrong);
        }
        let macs = model.macs() / 1_000_000;
        println!("{} ({macs} million): {profile:?} built in {built:.1?}, ran in {:.1?}", model.name, begin.elapsed());
    }
    (hashes, problems)
}

/// Held while the table is rewritten.
static WRITING: Mutex<()> = Mutex::new(());

fn record(name: &str, hash: u64) {
    let _guard = WRITING.lock().expect("nobody panics with it");
    let mut table = recorded();
    table.insert(name.to_string(), hash);
    let text: String = table.iter().map(|(name, hash)| format!("{name} {hash:016x}\n")).collect();
    std::fs::write(workspace().join(TABLE), text).expect("the table can be written");
}

/// Runs a network and holds its hashes to each other and to the table.
fn check(model: &Model, machine: Machine) -> Vec<String> {
    let (hashes, mut problems) = run(model, machine);
    let (_, first) = hashes[0];
    if hashes.iter().any(|(_, hash)| *hash != first) {
        problems.push(format!("{}: bits differ: {hashes:x?}", model.name));
    } else if is_on("NCNNC_UPDATE_HASHES") {
        record(&model.name, first);
    } else if recorded().get(&model.name) != Some(&first) {
        problems.push(format!("{}: {first:016x} is not the hash in {TABLE}", model.name));
    }
    problems.sort();
    problems.dedup();
    problems
}

fn is_on(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// Compiles and runs the networks that are small enough. One that the compiler refuses must not be in the table.
fn check_all(networks: &[Network], machine: Machine) {
    let only = std::env::var("NCNNC_NETWORK").ok();
    let targets = machine.targets();
    let (mut count, mut problems, table) = (0, Vec::new(), recorded());
    for network in networks.iter().filter(|network| only.as_ref().is_none_or(|only| *only == network.name)) {
        let model = match Model::new(network, &targets) {
            Ok(model) => model,
            Err(problem) => {
                println!("{}: refused: {}", network.name, problem.lines().next().unwrap_or_default());
                problems.extend(table.get(&network.name).map(|_| format!("{}: {problem}", network.name)));
                continue;
            }
        };
        let limit = if machine == Machine::Aarch64 { EMULATED } else { SMALL };
        let always = machine == Machine::Host && [BOTH_PROFILES, QUICK].concat().contains(&network.name.as_str());
        if !table.contains_key(&network.name) && !is_on("NCNNC_UPDATE_HASHES") {
            problems.push(format!("{}: {TABLE} has no hash of it; NCNNC_UPDATE_HASHES=1 records one", network.name));
        }
        if model.macs() <= limit || always || is_on("NCNNC_FULL") || only.is_some() {
            count += 1;
            problems.extend(check(&model, machine));
        }
    }
    println!("{count} of {} networks compiled and run", networks.len());
    assert!(count > 0 || only.is_some(), "no network has been compiled");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn check_digits(machine: Machine) {
    let model = |(choice, tolerance)| Model::digits(choice, tolerance, &machine.targets());
    let problems: Vec<String> =
        DIGITS.into_iter().zip(TOLERANCES).flat_map(|digits| check(&model(digits), machine)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn digits_have_one_hash_in_each_mode_and_precision() {
    check_digits(Machine::Host);
}

#[test]
fn networks_equal_ncnn_and_have_one_hash() {
    let (Some(first), Some(second)) = (shared("models/benchmark"), shared("models/pretrained")) else { return };
    check_all(&[benchmark(&first), pretrained(&second)].concat(), Machine::Host);
}

#[test]
#[ignore = "needs qemu and what else `.ci/aarch64` uses"]
fn networks_have_the_same_hash_on_aarch64() {
    check_digits(Machine::Aarch64);
    let Some(folder) = shared("models/benchmark") else { return };
    check_all(&benchmark(&folder), Machine::Aarch64);
}
