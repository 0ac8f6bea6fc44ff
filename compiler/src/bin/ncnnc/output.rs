//! Writes files so that each is either there whole or not at all.

use crate::console::{Done, print};
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Files to be written together.
#[derive(Default)]
pub struct Files {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Files {
    /// Adds a file; `-` is the standard output.
    pub fn add(&mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        self.files.push((path.into(), bytes.into()));
    }

    /// Writes every file under another name, then renames them all.
    ///
    /// # Errors
    /// When a file would replace one of the `inputs` or another output, or can't be written. If so nothing is written.
    pub fn write(self, inputs: &[PathBuf]) -> Done {
        self.check(inputs)?;
        let mut complete = Vec::new();
        for (path, bytes) in &self.files {
            if path == Path::new("-") {
                print(bytes)?;
            } else if is_special(path) {
                fs::write(path, bytes).map_err(|error| cannot_write(path, &error))?;
            } else {
                complete.push((path, temporary(path, bytes).map_err(|error| cannot_write(path, &error))?));
            }
        }
        for (path, file) in complete {
            file.persist(path).map_err(|error| cannot_write(path, &error.error))?;
        }
        Ok(())
    }

    fn check(&self, inputs: &[PathBuf]) -> Result<(), Vec<Diagnostic>> {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let inputs: Vec<PathBuf> = inputs.iter().map(|path| real(path)).collect();
        let mut problems = Vec::new();
        for (number, (path, _)) in self.files.iter().enumerate() {
            let shown = path.display();
            if inputs.contains(&real(path)) {
                let problem = Diagnostic::error(format!("`{shown}` would be written over, but it is an input"));
                problems.push(problem.code(Code::File).hint("give the output another name"));
            } else if self.files[..number].iter().any(|(other, _)| real(other) == real(path)) {
                let problem = Diagnostic::error(format!("two outputs would be written to `{shown}`"));
                problems.push(problem.code(Code::File).hint("put one of them out in a run of its own"));
            } else if path.is_dir() {
                problems.push(Diagnostic::error(format!("can't write `{shown}`: it is a folder")).code(Code::File));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Whether something is there that isn't a file, such as a device or a pipe: it is written to, never replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// A file in the same folder with these bytes, which is deleted again unless it gets its name.
fn temporary(path: &Path, bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ncnnc-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// That a file can't be written.
pub fn cannot_write(path: &Path, error: &std::io::Error) -> Diagnostic {
    // The kind alone: the whole text may name the temporary file, which would only puzzle.
    let error = error
        .raw_os_error()
        .map_or_else(|| error.kind().to_string(), |code| std::io::Error::from_raw_os_error(code).to_string());
    Diagnostic::error(format!("can't write `{}`: {error}", path.display())).code(Code::File)
}
