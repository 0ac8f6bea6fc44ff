//! Single layers, as parts of the peak of the core they run on.

use crate::network::Network;
use crate::peak::Peak;
use ncnnc::generated::Call;
use ncnnc::{InstructionSet, Options};
use std::time::{Duration, Instant};

/// How long a layer and the peak are measured in turn.
const LONG_ENOUGH: Duration = Duration::from_millis(250);
/// At the least, so many times each.
const FEWEST_WINDOWS: usize = 20;
/// A window of a layer that is faster holds several calls.
const SHORTEST_WINDOW: Duration = Duration::from_micros(40);

/// A network of one layer, named `layer`, and what its input takes.
pub struct Layer {
    title: &'static str,
    /// Multiply-adds; none where it is made of other operations.
    macs: usize,
    /// Values of the input.
    input: usize,
    new: fn(&Options) -> Box<dyn Network>,
}

include!(concat!(env!("OUT_DIR"), "/layers.rs"));

/// Prints a table of the layers whose title contains `part`.
pub fn measure(part: &str) {
    println!("{:<40} {:<9} {:>9} {:>9} {:>9} {:>7}", "layer", "target", "ms", "GFLOP/s", "peak", "share");
    for layer in LAYERS.iter().filter(|layer| layer.title.contains(part)) {
        for set in InstructionSet::ALL.iter().copied().filter(|set| set.is_available()) {
            let Some(peak) = Peak::of(set) else { continue };
            let (seconds, peak) = layer.measure(set, &peak);
            let (title, set, milliseconds, peak_speed) = (layer.title, set.name(), seconds * 1e3, peak * 1e-9);
            let (speed, share) = match 2.0 * layer.macs as f64 / seconds {
                0.0 => (String::new(), String::new()),
                speed => (format!("{:.1}", speed * 1e-9), format!("{:.1} %", 100.0 * speed / peak)),
            };
            println!("{title:<40} {set:<9} {milliseconds:>9.4} {speed:>9} {peak_speed:>9.1} {share:>7}");
        }
    }
}

impl Layer {
    /// The best time of the layer in seconds, and the best speed of the peak beside it in operations per second.
    fn measure(&self, set: InstructionSet, peak: &Peak) -> (f64, f64) {
        let input: Vec<f32> = (0..self.input).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect();
        let mut network = (self.new)(&Options::new().instruction_set(set));
        // A layer can take several kernels, for its channels don't always fill the widest tile.
        let (mut seconds, mut fastest_peak) = (0.0, 0.0_f64);
        network.visit(&input, &mut |step, call| {
            call.run(0, call.tasks);
            if step.name == "layer" {
                let (step, speed) = in_turn(call, peak);
                seconds += step;
                fastest_peak = fastest_peak.max(speed);
            }
        });
        assert!(seconds > 0.0, "{}: there is a step of the layer's name", self.title);
        (seconds, fastest_peak)
    }
}

/// The call and the peak by turns, so that both see the same clock and the same neighbours: the best of each.
fn in_turn(call: &Call<'_>, peak: &Peak) -> (f64, f64) {
    let run = || call.run(0, call.tasks);
    let once = time(run);
    let calls = (SHORTEST_WINDOW.as_secs_f64() / once).ceil().max(1.0) as u32;
    let (mut best, mut best_peak) = (f64::MAX, f64::MAX);
    let start = Instant::now();
    let mut windows = 0;
    while windows < FEWEST_WINDOWS || start.elapsed() < LONG_ENOUGH {
        best_peak = best_peak.min(time(|| peak.burst()));
        best = best.min(time(|| (0..calls).for_each(|_| run())) / f64::from(calls));
        windows += 1;
    }
    (best, peak.operations / best_peak)
}

fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
