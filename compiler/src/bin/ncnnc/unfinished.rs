//! Files that are being written, which don't stay when the system ends the command.

use std::fs;
use std::path::PathBuf;
#[cfg(unix)]
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The files being written. Whoever holds the list isn't ended by a signal meanwhile.
pub fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, a signal to end removes the files that are being written, and then ends the command as ever.
pub fn watch_signals() {
    static WATCHING: Once = Once::new();
    // Where signals can't be watched, files are written all the same.
    WATCHING.call_once(|| drop(watch()));
}

/// Removes the files; those that have got their names by now aren't found any more.
fn remove(files: &[PathBuf]) {
    for file in files {
        let _ = fs::remove_file(file);
    }
}

#[cfg(unix)]
fn watch() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXCPU, SIGXFSZ};
    // A file beyond the limit the user has set is then an error of the one who writes it, like a full disk.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM, SIGXCPU])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // Held to the end, so that no further file is begun.
            let files = unfinished();
            remove(&files);
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    Ok(())
}

#[cfg(windows)]
fn watch() -> Result<(), ctrlc::Error> {
    /// How Windows ends programs at Ctrl-C (ntstatus.h, STATUS_CONTROL_C_EXIT).
    const CONTROL_C_EXIT: i32 = 0xC000_013A_u32.cast_signed();
    ctrlc::set_handler(|| {
        let files = unfinished();
        remove(&files);
        std::process::exit(CONTROL_C_EXIT);
    })
}

#[cfg(not(any(unix, windows)))]
fn watch() {}
