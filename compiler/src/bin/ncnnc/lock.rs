//! Where a model's precision lock and its history are, and what a new record does to them.

use crate::model;
use crate::output::Files;
use clap::Args;
use ncnnc_compiler::diagnostic::Diagnostic;
use ncnnc_compiler::verify::{Entry, Record};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The lock.
#[derive(Args)]
pub struct LockArguments {
    /// The lock [default: MODEL.precision.lock beside the .param]; its history is beside it
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

/// A lock and what belongs to it.
pub struct Lock {
    /// What was accepted.
    pub path: PathBuf,
    /// What was measured last and differs.
    pub pending: PathBuf,
    /// All that was ever accepted.
    pub history: PathBuf,
}

impl LockArguments {
    /// The lock of this model.
    pub fn of(&self, param: &Path) -> Lock {
        let path = self.lock.clone().unwrap_or_else(|| {
            let stem = ncnnc_compiler::build::stem(&param.to_string_lossy());
            param.with_file_name(format!("{stem}.precision.lock"))
        });
        let mut pending = path.clone().into_os_string();
        pending.push(".new");
        Lock { pending: pending.into(), history: path.with_extension("history"), path }
    }
}

impl Lock {
    /// What a file of records holds.
    ///
    /// # Errors
    /// It can't be read, or isn't one.
    pub fn read(path: &Path) -> Result<Record, Diagnostic> {
        let bytes = model::read(path).map_err(|problem| problem.hint("`ncnnc verify --record` writes it"))?;
        Record::read(&path.to_string_lossy(), &String::from_utf8_lossy(&bytes))
    }

    /// What was accepted so far, the oldest first.
    ///
    /// # Errors
    /// The file can't be read, or isn't one.
    pub fn entries(&self) -> Result<Vec<Entry>, Diagnostic> {
        let bytes = model::read(&self.history).map_err(|problem| problem.hint("`ncnnc verify --record` begins it"))?;
        Entry::read_all(&self.history.to_string_lossy(), &String::from_utf8_lossy(&bytes))
    }

    /// Adds the files by which a record becomes the accepted one.
    ///
    /// # Errors
    /// There is a history that isn't one.
    pub fn accept(&self, record: &Record, files: &mut Files) -> Result<(), Diagnostic> {
        let entries = if self.history.exists() { self.entries()? } else { Vec::new() };
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let entries = entries.into_iter().chain([Entry::of(record, seconds)]);
        files.add(&self.path, record.text());
        files.add(&self.history, entries.map(|entry| entry.line()).collect::<String>());
        Ok(())
    }
}
