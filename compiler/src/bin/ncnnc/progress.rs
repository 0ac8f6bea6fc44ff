//! Says that work goes on, where somebody watches and it takes long.

use crate::console::Console;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long work takes before anything is said about it.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the sign of life changes.
const TICK: Duration = Duration::from_millis(100);
/// Parts of the work that a bar can show.
const PARTS: u64 = 1000;
/// For work whose share isn't known.
const SPINNER: &str = "{spinner} {wide_msg}";
/// A bar for work whose share is known.
const BAR: &str = "{spinner} {wide_bar} {percent:>3} %  {msg}";

/// How far the work is, from 0 to 1, and what is being done.
type Stage = (f64, String);

/// A sign of life on the terminal until it is dropped.
pub struct Progress {
    thread: Option<(Sender<Stage>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows `what` once it has taken long.
    pub fn start(console: &Console, what: String) -> Self {
        let thread = console.is_watched().then(|| {
            let (sender, receiver) = channel();
            (sender, std::thread::spawn(move || show(&receiver, what)))
        });
        Self { thread }
    }

    /// Shows how much of the work is done, from 0 to 1, and what is being done now.
    pub fn at(&self, share: f64, what: String) {
        if let Some((sender, _)) = &self.thread {
            // It only draws: if it has failed, nothing is lost.
            let _ = sender.send((share, what));
        }
    }
}

fn show(stages: &Receiver<Stage>, what: String) {
    let start = Instant::now();
    let style = |template| ProgressStyle::with_template(template).expect("a template of known parts");
    let bar = ProgressBar::hidden().with_style(style(SPINNER)).with_message(what);
    loop {
        match stages.recv_timeout(TICK) {
            Ok((share, what)) => {
                if bar.length().is_none() {
                    bar.set_length(PARTS);
                    bar.set_style(style(BAR));
                }
                bar.set_message(what);
                bar.set_position((share * PARTS as f64) as u64);
            }
            Err(RecvTimeoutError::Timeout) => bar.tick(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if bar.is_hidden() && start.elapsed() >= PATIENCE {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
    bar.finish_and_clear();
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            // It only draws: if it failed, nothing is lost.
            let _ = thread.join();
        }
    }
}
