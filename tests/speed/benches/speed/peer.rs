//! The real ncnn, in a process of its own that waits while others are measured.

use crate::networks::Whole;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that has loaded a network.
pub struct Peer {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// ncnn's version.
    pub version: String,
}

impl Peer {
    /// Starts this Python, which has the package `ncnn`, and loads a network.
    ///
    /// # Panics
    /// When that fails: it was asked for.
    pub fn start(python: &OsStr, network: &Whole, threads: usize) -> Self {
        let (blob, input, shape) = network.input;
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let mut process = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peer.py"))
            .args([network.param, network.weights, blob, input, &shape, network.output, &threads.to_string()])
            .env("OMP_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let orders = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut peer = Self { process, orders, answers, version: String::new() };
        peer.version = peer.answer();
        peer
    }

    /// Runs the network: seconds.
    pub fn run(&mut self) -> f64 {
        self.order("run");
        self.answer().parse().expect("seconds")
    }

    /// What the network puts out.
    pub fn output(&mut self) -> Vec<f32> {
        self.order("output");
        self.answer().split(' ').map(|value| value.parse().expect("a value")).collect()
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the peer listens");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the peer answers in text");
        assert!(!line.is_empty(), "the peer has ended; what it says is above");
        line.trim().to_string()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
