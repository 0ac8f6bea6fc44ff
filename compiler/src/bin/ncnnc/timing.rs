//! How long a model takes on this machine as it is, and how long with another storage of its constants.

use crate::bench::values;
use crate::console::Stop;
use crate::loaded::{Loaded, NO_HASH};
use crate::machine;
use crate::model::Model;
use ncnnc_compiler::compile::{Options, compile};
use ncnnc_compiler::emit::object::{Network, Platform, Weights};
use ncnnc_compiler::precision::Precision;
use ncnnc_compiler::verify::Time;
use std::time::{Duration, Instant};

/// How long both are run, by turns.
const LONG: Duration = Duration::from_secs(1);

/// The best whole runs on one thread with constants in f32 and in `precision`; nothing on machines that objects don't run on.
///
/// # Errors
/// Everything that is wrong with the model.
pub fn of_storage(model: &Model, options: &Options, precision: &Precision) -> Result<Option<Time>, Stop> {
    let Ok(platform) = machine::host(None) else { return Ok(None) };
    let mut wide = Timed::new(model, options, &Precision::default(), &platform)?;
    let mut narrow = Timed::new(model, options, precision, &platform)?;
    let start = Instant::now();
    while start.elapsed() < LONG {
        wide.run();
        narrow.run();
    }
    let microseconds = |timed: &Timed| timed.best.as_secs_f64() * 1e6;
    Ok(Some(Time {
        instruction_set: platform.targets()[0].name.to_string(),
        microseconds_in_f32: microseconds(&wide),
        microseconds: microseconds(&narrow),
    }))
}

/// A model in memory, and the time of its best run.
struct Timed {
    loaded: Loaded,
    inputs: Vec<Vec<u32>>,
    best: Duration,
}

impl Timed {
    fn new(model: &Model, options: &Options, precision: &Precision, platform: &Platform) -> Result<Self, Stop> {
        let options = Options { precision: precision.clone(), ..options.clone() };
        let compiled = compile(model.param(), model.weights(), &options, platform.targets())?;
        let network = Network::new("model", &compiled.programs, NO_HASH, Weights::External)?;
        let mut timed = Self {
            loaded: Loaded::new(&network, platform, 1)?,
            inputs: network.inputs().iter().map(values).collect(),
            best: Duration::MAX,
        };
        timed.run();
        timed.best = Duration::MAX;
        timed.run();
        Ok(timed)
    }

    fn run(&mut self) {
        let inputs: Vec<&[u32]> = self.inputs.iter().map(|words| &words[..]).collect();
        let start = Instant::now();
        self.loaded.run(&inputs);
        self.best = self.best.min(start.elapsed());
    }
}
