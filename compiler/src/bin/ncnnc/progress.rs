//! Says that work goes on, where somebody watches and it takes long.

use crate::console::Console;
use indicatif::ProgressBar;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long work takes before anything is said about it.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the sign of life changes.
const TICK: Duration = Duration::from_millis(100);

/// A sign of life on the terminal until it is dropped.
pub struct Progress {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
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
}

fn show(end: &Receiver<()>, what: String) {
    if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
        let bar = ProgressBar::new_spinner().with_message(what);
        while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            bar.tick();
        }
        bar.finish_and_clear();
    }
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
