//! `ncnnc accept`: what was measured last becomes what is held to.

use crate::console::{Console, Done};
use crate::lock::{Lock, LockArguments};
use crate::output::{Files, cannot_write};
use ncnnc_compiler::diagnostic::Diagnostic;
use serde_json::json;
use std::path::PathBuf;

/// Takes what `ncnnc verify --locked` measured last into the lock
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc accept model.param
  ncnnc accept model.param --lock ci/model.precision.lock

When `ncnnc verify --locked` finds the precision changed, it leaves what it measured beside the lock, as
MODEL.precision.lock.new. This shows the difference, puts it in the lock's place and adds a line to the history.")]
pub struct Arguments {
    /// The network whose lock it is
    #[arg(value_name = "MODEL.param")]
    param: PathBuf,
    #[command(flatten)]
    lock: LockArguments,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let lock = arguments.lock.of(&arguments.param);
    if !lock.pending.exists() {
        let problem = Diagnostic::error(format!("there is nothing to accept: no `{}`", lock.pending.display()));
        return Err(problem.hint("`ncnnc verify --locked` leaves one when it finds a difference").into());
    }
    let record = Lock::read(&lock.pending)?;
    let differences = record.differences(&Lock::read(&lock.path)?);
    let mut files = Files::default();
    lock.accept(&record, &mut files)?;
    files.write(&[])?;
    std::fs::remove_file(&lock.pending).map_err(|error| cannot_write(&lock.pending, &error))?;
    let text = || differences.iter().map(|line| format!("{line}\n")).collect();
    console.result(text, || json!({ "accepted": differences }))
}
