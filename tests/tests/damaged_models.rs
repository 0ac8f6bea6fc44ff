//! Whole models, damaged at random or made to be hard, through everything that is done to a model at build time: whatever the
//! files say, there are programs in the end, or errors; never a panic, never a long wait, never much memory.
//!
//! One test, so that no other runs beside it: what every thread asks for is counted. `NCNNC_FULL=1` takes ten times as many.

use ncnnc_compiler::compile::{File, Options, compile};
use ncnnc_compiler::ncnn::{Layer, MAGIC, Model, Value, read_param};
use ncnnc_targets::TARGETS;
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::planned::read;
use ncnnc_tests::random::Random;
use ncnnc_tests::shared::{is_on, shared, workspace};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Models that are damaged.
const ROUNDS: usize = 400;
/// The memory a small model may take, however it is damaged.
const MOST_BYTES: usize = 2 << 30;
/// The time of a processor it may take.
const MOST_TIME: Duration = Duration::from_secs(20);

/// Counts what is in use, and keeps the most that ever was.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST_IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST_IN_USE.fetch_max(in_use, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The files of a good model.
struct Seed {
    name: String,
    param: Vec<u8>,
    weights: Vec<u8>,
    options: Options,
}

impl Seed {
    fn new(name: &str, param: &Path, weights: &Path, shapes: HashMap<String, Vec<usize>>) -> Self {
        let options = Options { shapes, ..Options::default() };
        Self { name: name.to_string(), param: read(param), weights: read(weights), options }
    }
}

/// The numbers of layer types in binary files, as the reader knows them.
fn kinds() -> HashMap<String, i32> {
    let kind = |number: i32| {
        let words = [MAGIC, 1, 1, number, 0, 1, 0, -233];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        read_param("kind", &bytes).ok().map(|model| (model.layers[0].kind.clone(), number))
    };
    (0..256).filter_map(kind).collect()
}

/// The binary form of a model.
fn binary(model: &Model, kinds: &HashMap<String, i32>) -> Option<Vec<u8>> {
    let mut words = vec![MAGIC, model.layers.len() as i32, model.blobs.len() as i32];
    for Layer { kind, inputs, outputs, parameters, .. } in &model.layers {
        words.extend([*kinds.get(kind)?, inputs.len() as i32, outputs.len() as i32]);
        words.extend(inputs.iter().chain(outputs).map(|blob| blob.0 as i32));
        for (id, value) in parameters.iter() {
            let array = |words: &mut Vec<i32>, values: Vec<i32>| {
                words.extend([-23300 - id as i32, values.len() as i32]);
                words.extend(values);
            };
            match value {
                Value::Int(value) => words.extend([id as i32, *value]),
                Value::Float(value) => words.extend([id as i32, value.to_bits().cast_signed()]),
                Value::Word(value) => words.extend([id as i32, value.cast_signed()]),
                Value::Ints(values) => array(&mut words, values.clone()),
                Value::Floats(values) => {
                    array(&mut words, values.iter().map(|value| value.to_bits().cast_signed()).collect());
                }
                Value::Words(values) => array(&mut words, values.iter().map(|value| value.cast_signed()).collect()),
                Value::String(text) => {
                    words.extend([-23400 - id as i32, text.len() as i32]);
                    let mut bytes = text.clone().into_bytes();
                    bytes.resize(bytes.len().next_multiple_of(4), 0);
                    let word = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().expect("four bytes"));
                    words.extend(bytes.chunks_exact(4).map(word));
                }
            }
        }
        words.push(-233);
    }
    Some(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// Numbers that have broken other readers of models.
const NUMBERS: &[i32] = &[
    0,
    1,
    2,
    3,
    5,
    7,
    16,
    17,
    64,
    100,
    1000,
    65_536,
    1 << 20,
    1 << 24,
    1 << 28,
    -1,
    -2,
    -233,
    -234,
    -23_300,
    -23_330,
    i32::MAX,
    i32::MIN,
];

/// Changes a text file: a word, a number, a line, or bytes.
fn damage_text(text: &str, random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    for _ in 0..=random.below(2) {
        let at = random.below(lines.len());
        let mut words: Vec<String> = lines[at].split_whitespace().map(str::to_string).collect();
        if words.is_empty() {
            continue;
        }
        let word = random.below(words.len());
        let number = NUMBERS[random.below(NUMBERS.len())];
        match random.below(10) {
            0 => words.swap(word, 0),
            1 => drop(words.remove(word)),
            2 => words.push(format!("{}={number}", random.below(33))),
            3 => words.push(format!("-233{:02}=2,{number},{}", random.below(33), random.below(9))),
            4 => words.push(format!("{}={}.5", random.below(33), random.below(9))),
            _ => {
                // Most of what is worth changing is a parameter or a count.
                let first = words.iter().position(|word| word.contains('=')).unwrap_or(0);
                let word = first + random.below(words.len() - first);
                words[word] = match words[word].split_once('=') {
                    Some((id, _)) => format!("{id}={number}"),
                    None => number.to_string(),
                };
            }
        }
        lines[at] = words.join(" ");
    }
    let mut bytes = (lines.join("\n") + "\n").into_bytes();
    if random.below(8) == 0 {
        let at = random.below(bytes.len());
        bytes[at] = random.word() as u8;
    }
    bytes
}

/// Changes words of a binary file, or bytes of any file, or cuts it.
fn damage_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.len() < 8 {
        return;
    }
    for _ in 0..=random.below(3) {
        match random.below(8) {
            0 => bytes.truncate(bytes.len() - 1 - random.below(7)),
            1 => bytes.extend([0; 4]),
            2 | 3 => {
                let at = random.below(bytes.len());
                bytes[at] = random.word() as u8;
            }
            _ => {
                let at = random.below(bytes.len() / 4) * 4;
                let number = NUMBERS[random.below(NUMBERS.len())];
                bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
        }
        if bytes.len() < 8 {
            return;
        }
    }
}

/// How long this thread has been at work, whatever else the machine does; where Linux doesn't say, how long it has been.
fn time_at_work(since: Instant) -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|text| text.parse().ok());
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// Compiles, and says what is wrong with how that went; whether there are programs in the end.
fn survive(param: &[u8], weights: &[u8], options: &Options) -> (bool, Option<String>) {
    let before = IN_USE.load(Ordering::Relaxed);
    MOST_IN_USE.store(before, Ordering::Relaxed);
    let now = Instant::now();
    let begin = time_at_work(now);
    let file = |bytes| File { path: "damaged", bytes };
    let done = catch_unwind(AssertUnwindSafe(|| compile(file(param), file(weights), options, TARGETS).is_ok()));
    let (time, bytes) = (time_at_work(now) - begin, MOST_IN_USE.load(Ordering::Relaxed) - before);
    let problem = match &done {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Some(format!("panics: {}", text.and_then(|text| text.lines().next()).unwrap_or("?")))
        }
        Ok(_) if time > MOST_TIME => Some(format!("takes {time:.1?}")),
        Ok(_) if bytes > MOST_BYTES => Some(format!("takes {} MiB", bytes >> 20)),
        Ok(_) => None,
    };
    (done.unwrap_or(false), problem)
}

/// Models of the repository, and those of single layers where they are there.
fn seeds() -> Vec<Seed> {
    let example = workspace().join("runtime/examples/digits");
    let digits = |stem: &str| {
        let (param, weights) = (example.join(format!("{stem}.param")), example.join(format!("{stem}.bin")));
        Seed::new(stem, &param, &weights, HashMap::from([("in0".to_string(), vec![1, 8, 8])]))
    };
    let mut seeds = vec![digits("digits.fp32"), digits("digits.fp16")];
    if let Some(folder) = shared("conformance/layers") {
        let cases = read_cases(&folder, |layer| ncnnc_compiler::ops::operator(layer).is_some());
        seeds.extend(cases.iter().map(|case| {
            let shapes = case.inputs.iter().map(|input| (input.name.clone(), input.shape.clone())).collect();
            Seed::new(&case.id, &case.param, &case.bin, shapes)
        }));
    }
    seeds
}

/// Good models of a kind that takes far too long where something grows with the square of their size, or worse.
fn hard() -> Vec<(String, String)> {
    let model = |name: &str, lines: Vec<String>| {
        let blobs: usize =
            lines.iter().map(|line| line.split(' ').nth(3).expect("a count").parse::<usize>().unwrap()).sum();
        let input = "Input in 0 1 b0 0=4 1=6 2=8".to_string();
        let lines = [vec![input], lines].concat();
        (name.to_string(), format!("{MAGIC}\n{} {}\n{}\n", lines.len(), blobs + 1, lines.join("\n")))
    };
    let chain = |layer: &str, count: usize, parameters: &str| {
        (0..count).map(|i| format!("{layer} l{i} 1 1 b{i} b{} {parameters}", i + 1)).collect()
    };
    // Each layer's result is needed twice, by the next one.
    let doubled = |layer: &str, count: usize| {
        let pair = |i: usize| {
            let split = format!("Split s{i} 1 2 b{i} x{i} y{i}");
            [split, format!("{layer} l{i} 2 1 x{i} y{i} b{}", i + 1)]
        };
        (0..count).flat_map(pair).collect::<Vec<_>>()
    };
    let names = |letter: &str, count: usize| (0..count).map(|i| format!(" {letter}{i}")).collect::<String>();
    let fan = |count: usize, layer: &str| {
        let mut lines = vec![format!("Split s 1 {count} b0{}", names("x", count))];
        lines.extend((0..count).map(|i| format!("{layer} l{i} 1 1 x{i} y{i}")));
        lines.push(format!("Concat c {count} 1{} out", names("y", count)));
        lines
    };
    let one_name = (0..2000).map(|i| format!("MemoryData same 0 1 m{i} 0=1")).collect();
    vec![
        model("a chain of 3000 ReLUs", chain("ReLU", 3000, "")),
        model("a chain of 2000 GELUs", chain("GELU", 2000, "")),
        model("a chain of 2000 softmaxes", chain("Softmax", 2000, "0=0")),
        model("a chain of 2000 layer norms", chain("LayerNorm", 2000, "0=8 2=0")),
        model("a chain of 300 poolings", chain("Pooling", 300, "1=3 3=1 5=1")),
        model("a chain of 400 permutations", chain("Permute", 400, "0=3")),
        model("60 sums of equal parts", doubled("BinaryOp", 60)),
        model("60 weighted sums of equal parts", doubled("Eltwise", 60)),
        model("a fan of 1000 ReLUs", fan(1000, "ReLU")),
        model("a fan of 200 softmaxes", fan(200, "Softmax")),
        model("2000 constants of one name", one_name),
    ]
}

#[test]
fn damaged_models_are_survived() {
    let (seeds, kinds) = (seeds(), kinds());
    let rounds = if is_on("NCNNC_FULL") { 10 * ROUNDS } else { ROUNDS };
    let start = std::env::var("NCNNC_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged");
    std::fs::create_dir_all(&folder).expect("cargo's folder is writable");
    let (mut compiled, mut problems) = (0, Vec::new());
    for (name, param) in hard() {
        let now = Instant::now();
        let begin = time_at_work(now);
        let (ok, problem) = survive(param.as_bytes(), &[0; 2000 * 4], &Options::default());
        let (no_weights, nothing) = survive(param.as_bytes(), &[], &Options::default());
        println!("{name}: {:.1?}", time_at_work(now) - begin);
        assert!(ok || no_weights, "{name} is refused");
        problems.extend(problem.or(nothing).map(|problem| format!("{name}: {problem}")));
    }
    for round in start..start + rounds {
        let mut random = Random(round as u64);
        let seed = &seeds[random.below(seeds.len())];
        let mut weights = seed.weights.clone();
        let mut options = seed.options.clone();
        // The file's own shapes, where it has some, may be damaged too.
        if random.below(2) == 0 {
            options.shapes.clear();
        }
        let text = String::from_utf8(seed.param.clone()).expect("a seed is text");
        let model = read_param(&seed.name, &seed.param).expect("a seed is a good model");
        let param = match binary(&model, &kinds) {
            Some(mut bytes) if random.below(3) == 0 => {
                damage_bytes(&mut bytes, &mut random);
                options.shapes.clear();
                bytes
            }
            Some(_) | None => damage_text(&text, &mut random),
        };
        if random.below(3) == 0 {
            damage_bytes(&mut weights, &mut random);
        }
        if is_on("NCNNC_KEEP") {
            std::fs::write(folder.join("last"), format!("{round} {}", seed.name)).expect("it can be written");
            std::fs::write(folder.join("last.param"), &param).expect("it can be written");
        }
        let (ok, problem) = survive(&param, &weights, &options);
        compiled += usize::from(ok);
        if let Some(problem) = problem {
            let kept = folder.join(format!("{round}.param"));
            std::fs::write(&kept, &param).expect("cargo's folder is writable");
            std::fs::write(folder.join(format!("{round}.bin")), &weights).expect("cargo's folder is writable");
            problems.push(format!("{} ({}): {problem}", kept.display(), seed.name));
            println!("{}", problems[problems.len() - 1]);
        }
    }
    println!("{compiled} of {rounds} damaged models were compiled");
    assert!(compiled > 0 && compiled < rounds, "{compiled} of {rounds}: the damage is of the wrong kind");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
