//! Measures generated code: layers against the peak of the core, networks against the real ncnn. `README.md` says how.
//!
//! The usual libraries for benchmarks time one thing after another. On a machine with neighbours and a changing clock that
//! compares nothing: here what is compared takes turns, and the best of many short windows counts.

mod layers;
mod network;
mod networks;
#[cfg_attr(not(feature = "objects"), allow(dead_code, unused_macros, reason = "nothing is linked"))]
mod objects;
mod peak;
mod peer;

use std::num::NonZero;

/// The variable that names a Python with the package `ncnn`.
const PEERS: &str = "NCNNC_PEERS";

fn main() {
    // `cargo bench` adds a flag of its own.
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let (what, part) = (words.next(), words.next().unwrap_or_default());
    match what.as_deref() {
        None => {
            on_one_core(move || layers::measure(""));
            compare("");
        }
        Some("layers") => on_one_core(move || layers::measure(&part)),
        Some("networks") => compare(&part),
        Some("objects") => compare_objects(&part),
        Some("steps") => {
            if networks_are_there() {
                on_one_core(move || networks::steps(&part));
            }
        }
        Some(other) => {
            eprintln!("`{other}` is not one of: layers, networks, objects, steps");
            std::process::exit(2);
        }
    }
}

fn compare(part: &str) {
    if !networks_are_there() {
        return;
    }
    let python = std::env::var_os(PEERS);
    if python.is_none() {
        println!("networks: without ncnn's times; {PEERS} names a Python that has it");
    }
    let (alone, with) = (part.to_string(), python.clone());
    // The peer, started from this thread, keeps to the same core.
    on_one_core(move || networks::compare(&alone, 1, with.as_deref()));
    if std::thread::available_parallelism().map_or(1, NonZero::get) > 1 {
        networks::compare(part, 2, python.as_deref());
    }
}

fn compare_objects(part: &str) {
    if !networks_are_there() {
        return;
    }
    let alone = part.to_string();
    on_one_core(move || networks::compare_objects(&alone, 1));
    if std::thread::available_parallelism().map_or(1, NonZero::get) > 1 {
        networks::compare_objects(part, 2);
    }
}

fn networks_are_there() -> bool {
    if networks::NETWORKS.is_empty() {
        println!("networks: {}", networks::ABSENCE);
    }
    !networks::NETWORKS.is_empty()
}

/// Does it in a thread that keeps to the last core: the first one serves most interrupts.
fn on_one_core(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        let core = core_affinity::get_core_ids().and_then(|cores| cores.last().copied());
        if !core.is_some_and(core_affinity::set_for_current) {
            eprintln!("this system keeps no thread on one core: times may vary more");
        }
        work();
    });
    if thread.join().is_err() {
        std::process::exit(1);
    }
}
