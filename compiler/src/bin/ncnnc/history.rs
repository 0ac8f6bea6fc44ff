//! `ncnnc history`: how a model's precision changed from one accepted record to the next.

use crate::console::{Console, Done};
use crate::lock::LockArguments;
use crate::output::Files;
use ncnnc_compiler::verify::{history_html, history_text};
use serde_json::json;
use std::path::PathBuf;

/// Lists and plots the precision of a model over its conversions
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc history model.param
  ncnnc history model.param --html history.html

`ncnnc verify --record` and `ncnnc accept` add a line each to MODEL.precision.history.")]
pub struct Arguments {
    /// The network whose history it is
    #[arg(value_name = "MODEL.param")]
    param: PathBuf,
    #[command(flatten)]
    lock: LockArguments,
    /// Writes a page with a plot
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let lock = arguments.lock.of(&arguments.param);
    let entries = lock.entries()?;
    if let Some(path) = &arguments.html {
        let mut files = Files::default();
        files.add(path, history_html(&arguments.param.to_string_lossy(), &entries));
        return files.write(&[lock.history]);
    }
    console.result(|| history_text(&entries), || json!(entries))
}
