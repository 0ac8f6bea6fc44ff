//! Finds the folder of shared data: ncnn's outputs, networks and seeds, which are too large for the repository.
//!
//! The environment variable `NCNNC_SHARED` names it; otherwise it is `../shared` beside the workspace. Without it the
//! tests that need it say so and pass, unless `NCNNC_REQUIRE_SHARED=1`, as in continuous integration, makes them fail.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of `relative` inside the shared data, or `None` where there is none and the test should return.
///
/// Prints one line when it is absent.
///
/// # Panics
///
/// When it is absent and `NCNNC_REQUIRE_SHARED=1`.
pub fn shared(relative: &str) -> Option<PathBuf> {
    let required = std::env::var_os("NCNNC_REQUIRE_SHARED").is_some_and(|value| value == "1");
    match find(std::env::var_os("NCNNC_SHARED"), relative) {
        Ok(path) => Some(path),
        Err(path) if required => {
            panic!("shared data is absent ({}) and NCNNC_REQUIRE_SHARED=1 requires it", path.display())
        }
        Err(path) => {
            // Not eprintln!, which the test runner hides when the test passes. A closed stderr is no reason to fail.
            let _ = writeln!(std::io::stderr(), "skipped: shared data is absent ({})", path.display());
            None
        }
    }
}

/// Whether an environment variable is 1.
pub fn is_on(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// The root of this workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace")
}

/// `Ok` when the path exists, `Err` with the path looked for when it doesn't.
fn find(root: Option<OsString>, relative: &str) -> Result<PathBuf, PathBuf> {
    let root = match root {
        Some(root) => PathBuf::from(root),
        None => workspace().parent().unwrap_or(workspace()).join("shared"),
    };
    let path = root.join(relative);
    if path.exists() { Ok(path) } else { Err(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_the_folder() {
        let found = find(Some(env!("CARGO_MANIFEST_DIR").into()), "src/shared.rs");
        assert_eq!(found, Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shared.rs")));
    }

    #[test]
    fn what_is_absent_is_named() {
        let absent = find(Some(env!("CARGO_MANIFEST_DIR").into()), "no/such");
        assert_eq!(absent, Err(Path::new(env!("CARGO_MANIFEST_DIR")).join("no/such")));
    }

    #[test]
    fn the_folder_lies_beside_the_workspace() {
        let expected = workspace().parent().unwrap().join("shared/no/such");
        assert_eq!(find(None, "no/such"), Err(expected));
    }
}
