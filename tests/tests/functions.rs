//! Measures the elementary functions against double precision: a sample of all 2^32 arguments, or every one of them with
//! `NCNNC_FULL=1` (one function alone with `NCNNC_FUNCTION=name`), which takes a few minutes for each function when fused
//! multiply-adds are instructions:
//!
//! ```sh
//! RUSTFLAGS=-Ctarget-cpu=native NCNNC_FULL=1 NCNNC_UPDATE=1 cargo test -p ncnnc-tests --test functions -- --nocapture
//! ```
//!
//! `NCNNC_UPDATE=1` records what was found in `worst_errors.txt`. A record holds as long as the function's instructions are
//! the same: then no sample may be worse.

use ncnnc_compiler::expression::{Expression, Node};
use ncnnc_compiler::function::Function;
use ncnnc_tests::hash::hash_bytes;
use ncnnc_tests::shared::{is_on, workspace};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments evaluated at once.
const LANES: usize = 512;
/// Distance of sampled arguments: a prime, so that every exponent and all low bits occur.
const STRIDE: u64 = 1021;

/// Values that formulas like to get wrong.
const SPECIAL: [f32; 18] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    2.0,
    -2.0,
    3.0,
    0.5,
    1e-45,
    -1e-40,
    f32::MAX,
    1e30,
    0.999_999_94,
    7.0,
    -5.0,
];

/// The distance of `got` from the true value, in units of the last place of the true value's binade.
///
/// A result must be NaN where the true value is, and a true zero must keep its sign. Infinity counts as 2^128, the next
/// number after the greatest.
fn error_ulp(got: f32, real: f64) -> f64 {
    if real.is_nan() || got.is_nan() {
        return if real.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if real == 0.0 {
        return if got == 0.0 && got.is_sign_negative() == real.is_sign_negative() { 0.0 } else { f64::INFINITY };
    }
    let beyond = 2f64.powi(128);
    let [got, real] = [f64::from(got), real].map(|v| v.clamp(-beyond, beyond));
    (got - real).abs() / unit(real)
}

/// The unit in the last place of `f32` in the binade of `value`.
fn unit(value: f64) -> f64 {
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    2f64.powi(exponent.clamp(-126, 127) - 23)
}

/// The function alone, in instructions.
fn expansion(function: Function) -> Expression {
    Expression::new(|e| {
        let operands: Vec<_> = (0..function.arity()).map(|i| e.read(i)).collect();
        e.call(function, &operands)
    })
    .expanded()
}

/// The worst error over the arguments `from`, `from + stride`, ... below 2^32, and where it is.
fn worst(function: Function, from: u64, stride: u64) -> (f64, u32) {
    let expression = expansion(function);
    let result = expression.result().0 as usize * LANES;
    let mut scratch = Vec::new();
    let mut worst = (-1.0, 0);
    let mut next = from;
    // Values that a sample would miss come first.
    let mut arguments: [u32; LANES] = std::array::from_fn(|i| SPECIAL[i % SPECIAL.len()].to_bits());
    loop {
        expression.evaluate_batch(&[&arguments], LANES, &mut scratch);
        for (argument, got) in arguments.iter().zip(&scratch[result..][..LANES]) {
            let real = function.real(&[f64::from(f32::from_bits(*argument))]);
            let error = error_ulp(f32::from_bits(*got), real);
            if error > worst.0 {
                worst = (error, *argument);
            }
        }
        if next >= 1 << 32 {
            return worst;
        }
        for argument in &mut arguments {
            *argument = next.min(u64::from(u32::MAX)) as u32;
            next += stride;
        }
    }
}

/// [`worst`] over the whole range, on every processor.
fn measure(function: Function, stride: u64) -> (f64, u32) {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|i| scope.spawn(move || worst(function, i * stride, threads * stride))).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("a worker ends"));
        results.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there is a processor")
    })
}

/// What was measured over all arguments: the worst error in ulp and where it is.
#[derive(Clone, Copy)]
struct Record {
    error: f64,
    at: u32,
    /// Of the function's instructions: others would have another error.
    hash: u64,
}

impl Record {
    /// What was measured of the function as it is now.
    fn of(function: Function) -> Option<Self> {
        records().get(function.text()).copied().filter(|record| record.hash == hash(function))
    }
}

fn hash(function: Function) -> u64 {
    hash_bytes(format!("{:?}", expansion(function).nodes).as_bytes())
}

fn records_path() -> PathBuf {
    workspace().join("tests/worst_errors.txt")
}

/// One line for each function that was measured: name, worst error, argument, hash.
fn records() -> BTreeMap<String, Record> {
    let text = std::fs::read_to_string(records_path()).expect("the records are in the repository");
    let record = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, error, at, hash] = words[..] else { panic!("a record is four words: {line}") };
        let at = u32::from_str_radix(at, 16).expect("an argument's bits");
        let hash = u64::from_str_radix(hash, 16).expect("a hash");
        (name.to_string(), Record { error: error.parse().expect("an error in ulp"), at, hash })
    };
    text.lines().map(record).collect()
}

fn record(function: Function, error: f64, at: u32) {
    let mut records = records();
    // To four places and no better than it is, so that the same measurement again is not beyond it.
    let error = (error * 1e4).ceil() / 1e4;
    records.insert(function.text().to_string(), Record { error, at, hash: hash(function) });
    let line =
        |(name, Record { error, at, hash }): (&String, &Record)| format!("{name} {error} {at:08x} {hash:016x}\n");
    std::fs::write(records_path(), records.iter().map(line).collect::<String>()).expect("the records can be written");
}

#[test]
fn every_function_of_one_argument_keeps_its_bound() {
    let only = std::env::var("NCNNC_FUNCTION").ok();
    let full = is_on("NCNNC_FULL");
    let mut failures = Vec::new();
    for function in Function::ALL.iter().filter(|f| f.arity() == 1) {
        if only.as_ref().is_some_and(|only| only != function.text()) {
            continue;
        }
        let begin = Instant::now();
        let (error, at) = measure(*function, if full { 1 } else { STRIDE });
        let place = format!("{:e} ({at:#010x})", f32::from_bits(at));
        let line = format!("{}: {error:.4} ulp at {place}", function.text());
        println!("{line}, {:.1?}", begin.elapsed());
        if full && is_on("NCNNC_UPDATE") {
            record(*function, error, at);
        }
        let measured = Record::of(*function).map_or(f64::INFINITY, |record| record.error);
        if error > function.worst_error_ulp().min(measured) {
            failures.push(line);
        }
    }
    assert!(failures.is_empty(), "beyond the bound, or beyond what was measured of all arguments: {failures:?}");
}

/// An endless sequence of arguments: any bits, ordinary numbers, small integers, neighbours of 1, special values.
struct Arguments(u64);

impl Arguments {
    fn next(&mut self, round: usize) -> f32 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let word = (self.0 >> 16) as u32;
        match (round % 3, self.0 % 16) {
            (_, 0) => SPECIAL[word as usize % SPECIAL.len()],
            (0, _) => f32::from_bits(word),
            (1, _) => (word as f32 / 4_294_967_296.0 - 0.3) * 20.0,
            (_, 1..8) => (word % 40) as f32 - 20.0,
            (_, 8..12) => f32::from_bits(1f32.to_bits() - 32_768 + word % 65_536),
            (_, _) => f32::from_bits(word),
        }
    }
}

/// The error the bound is about: for a sum that cancels, in units of its greater part.
fn error_of_two(function: Function, arguments: [f32; 2], got: f32, real: f64) -> f64 {
    let greater = f64::from(arguments[0].max(arguments[1]));
    if function == Function::LogarithmOfSum && real.is_finite() && got.is_finite() && greater.abs() > real.abs() {
        return (f64::from(got) - real).abs() / unit(greater);
    }
    error_ulp(got, real)
}

#[test]
fn every_function_of_two_arguments_keeps_its_bound() {
    let mut failures = Vec::new();
    for function in Function::ALL.iter().filter(|f| f.arity() == 2) {
        let expression = expansion(*function);
        let result = expression.result().0 as usize * LANES;
        let mut scratch = Vec::new();
        let mut source = Arguments(88_172_645_463_325_252);
        let mut worst = (-1.0, [0.0; 2]);
        for round in 0..3000 {
            let pairs: Vec<[f32; 2]> = (0..LANES).map(|_| [source.next(round), source.next(round)]).collect();
            let columns: [Vec<u32>; 2] = [0, 1].map(|i| pairs.iter().map(|pair| pair[i].to_bits()).collect());
            expression.evaluate_batch(&[&columns[0], &columns[1]], LANES, &mut scratch);
            for (pair, got) in pairs.iter().zip(&scratch[result..][..LANES]) {
                let real = function.real(&pair.map(f64::from));
                let error = error_of_two(*function, *pair, f32::from_bits(*got), real);
                if error > worst.0 {
                    worst = (error, *pair);
                }
            }
        }
        let line = format!("{}: {:.4} ulp at {:?}", function.text(), worst.0, worst.1);
        println!("{line}");
        if worst.0 > function.worst_error_ulp() {
            failures.push(line);
        }
    }
    assert!(failures.is_empty(), "beyond the bound: {failures:?}");
}

/// The page that lists the functions, from the table itself.
fn page() -> String {
    let mut page = String::from(
        "# Elementary functions\n\n\
         Every function is built from the instructions of `compiler/src/instruction.rs`, so its bits are the same on every\n\
         target; no mathematical library is called. No result is further from the true value than the bound, in units in\n\
         the last place; NaN gives NaN, infinities, zeros' signs and denormals are kept. The last column is filled where\n\
         all 2^32 arguments were measured (`tests/worst_errors.txt` keeps it); every run of `tests/tests/functions.rs` measures a\n\
         sample again, `NCNNC_FULL=1` all of them. The same test holds this page to the table in\n\
         `compiler/src/function/mod.rs`; `NCNNC_UPDATE=1` writes it anew. Coefficients come from `compiler/docs/minimax.py`.\n\n\
         | function | meaning | instructions | bound, ulp | worst of all arguments, ulp |\n|---|---|---|---|---|\n",
    );
    for function in Function::ALL {
        let instructions = expansion(*function).nodes.iter().filter(|node| matches!(node, Node::Apply(..))).count();
        let bound = function.worst_error_ulp();
        let bound = if bound == 0.0 { "exact".to_string() } else { format!("{bound:.2}") };
        let measured = Record::of(*function).map_or(String::new(), |record| match record.error {
            0.0 => "exact".to_string(),
            error => format!("{error:.4} at {:e}", f32::from_bits(record.at)),
        });
        let (name, meaning) = (function.text(), function.meaning());
        page.push_str(&format!("| `{name}` | {meaning} | {instructions} | {bound} | {measured} |\n"));
    }
    page
}

#[test]
fn the_page_of_functions_is_fresh() {
    let path = workspace().join("docs/functions.md");
    if is_on("NCNNC_UPDATE") {
        std::fs::write(&path, page()).expect("docs/functions.md is written");
    }
    let kept = std::fs::read_to_string(&path).expect("docs/functions.md is there");
    assert!(kept == page(), "docs/functions.md is stale: run this test with NCNNC_UPDATE=1");
}
