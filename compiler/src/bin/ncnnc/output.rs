//! Writes files so that each is either there whole or not at all.

use crate::console::{Done, print};
use crate::unfinished::{unfinished, watch_signals};
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

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

    /// Where the files go and how many bytes they have.
    pub fn sizes(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.files.iter().map(|(path, bytes)| (path.as_path(), bytes.len()))
    }

    /// Writes every file under another name, then renames them all. Makes their folders where there are none.
    ///
    /// # Errors
    /// When a file would replace one of the `inputs` or another output, or can't be written; if so, no file is there. When
    /// the system lets a file be written but not be renamed, those before it stay.
    pub fn write(self, inputs: &[PathBuf]) -> Done {
        self.check(inputs)?;
        watch_signals();
        let (streams, files): (Vec<_>, Vec<_>) = self.files.iter().partition(|(path, _)| is_stream(path));
        let mut complete = Vec::new();
        for (path, bytes) in files {
            let folder = folder(path);
            fs::create_dir_all(folder).map_err(|error| cannot_make(folder, &error))?;
            complete.push((path, temporary(folder, bytes).map_err(|error| cannot_write(path, &error))?));
        }
        for (path, bytes) in streams {
            if path == Path::new("-") {
                print(bytes)?;
            } else {
                fs::write(path, bytes).map_err(|error| cannot_write(path, &error))?;
            }
        }
        let mut unfinished = unfinished();
        for (path, file) in complete {
            file.persist(path).map_err(|error| cannot_write(path, &error.error))?;
        }
        unfinished.clear();
        Ok(())
    }

    fn check(&self, inputs: &[PathBuf]) -> Result<(), Vec<Diagnostic>> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|path| real(path)).collect();
        let mut problems = Vec::new();
        for (number, (path, _)) in self.files.iter().enumerate() {
            let shown = path.display();
            if inputs.contains(&real(path)) {
                let problem = Diagnostic::error(format!("`{shown}` would be written over, but it is an input"));
                problems.push(problem.code(Code::File).about(&shown).hint("give the output another name"));
            } else if self.files[..number].iter().any(|(other, _)| real(other) == real(path)) {
                let problem = Diagnostic::error(format!("two outputs would be written to `{shown}`"));
                problems.push(problem.code(Code::File).about(&shown).hint("put one of them out in a run of its own"));
            } else if path.is_dir() {
                let problem = Diagnostic::error(format!("can't write `{shown}`: it is a folder"));
                problems.push(problem.code(Code::File).about(&shown));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Whether it is the standard output, or something is there that isn't a file, such as a device or a pipe: it is written
/// to, never replaced.
pub fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Where a file lies.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The one path of all that lead to a place, which need not be there yet: what is still to be made has no links.
fn real(path: &Path) -> PathBuf {
    let real_folder = || real(folder(path));
    fs::canonicalize(path).unwrap_or_else(|_| match path.components().next_back() {
        Some(Component::Normal(name)) => real_folder().join(name),
        Some(Component::ParentDir) => folder_above(real_folder()),
        Some(Component::CurDir | Component::RootDir | Component::Prefix(_)) | None => path.to_path_buf(),
    })
}

fn folder_above(mut folder: PathBuf) -> PathBuf {
    folder.pop();
    folder
}

/// A file in this folder with these bytes, which is deleted again unless it gets its name.
fn temporary(folder: &Path, bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".ncnnc-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut unfinished = unfinished();
    let mut file = builder.tempfile_in(folder)?;
    unfinished.push(file.path().to_path_buf());
    drop(unfinished);
    file.write_all(bytes)?;
    Ok(file)
}

/// That a file can't be written.
pub fn cannot_write(path: &Path, error: &std::io::Error) -> Diagnostic {
    let problem = Diagnostic::error(format!("can't write `{}`: {}", path.display(), reason(error)));
    problem.code(Code::File).about(path.display())
}

fn cannot_make(folder: &Path, error: &std::io::Error) -> Diagnostic {
    let problem = Diagnostic::error(format!("can't make the folder `{}`: {}", folder.display(), reason(error)));
    problem.code(Code::File).about(folder.display())
}

/// The kind alone: the whole text may name the temporary file, which would only puzzle.
fn reason(error: &std::io::Error) -> String {
    let of_system = |code| std::io::Error::from_raw_os_error(code).to_string();
    error.raw_os_error().map_or_else(|| error.kind().to_string(), of_system)
}
