//! Results that are kept: expanding the same model again, as every edit of the crate around it asks for, costs reading it.
//!
//! One folder under cargo's target directory, with two files for each content: `HASH.constants`, which the code includes,
//! and `HASH.rs`. A file is written under another name first and then renamed, so that it is whole if it is there, also
//! when several compilers run at once. `cargo clean` empties the folder.

use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::door::{Files, Request};
use proc_macro2::TokenStream;
use quote::quote;
use std::path::{Path, PathBuf};

/// Cargo made this folder for the macro when it was built.
const FOLDER: &str = concat!(env!("OUT_DIR"), "/models");

/// The code for a request, compiled or found.
///
/// # Errors
/// Everything that is wrong with the model, or that the folder can't be written.
pub fn code(request: &Request, files: &Files) -> Result<TokenStream, Vec<Diagnostic>> {
    let hash = request.hash(files, env!("NCNNC_COMPILER"));
    let folder = Path::new(FOLDER);
    let (code_file, constants_file) =
        (folder.join(format!("{hash:032x}.rs")), folder.join(format!("{hash:032x}.constants")));
    if constants_file.exists()
        && let Ok(text) = std::fs::read_to_string(&code_file)
        && let Ok(code) = text.parse()
    {
        return Ok(code);
    }
    let path = constants_file.to_str().ok_or_else(|| vec![Diagnostic::error(format!("{FOLDER} is not Unicode"))])?;
    let generated = request.generate(files, quote!(#path))?;
    std::fs::create_dir_all(folder).map_err(|error| vec![cannot_write(folder, &error)])?;
    write(&constants_file, &generated.constants)?;
    let warnings = generated.warnings.iter().map(warning);
    let code = generated.code;
    let text = quote!(#(#warnings)* #code).to_string();
    write(&code_file, text.as_bytes())?;
    // Not the code itself: errors in it must show the same places whether it was kept or not.
    Ok(text.parse().expect("tokens are printed as tokens"))
}

/// Code that the Rust compiler warns of in these words: a macro has no other way, and what is out of date has a text of
/// its own.
fn warning(warning: &Diagnostic) -> TokenStream {
    let text = warning.to_string();
    quote! {
        const _: () = {
            #[deprecated(note = #text)]
            const fn model() {}
            model()
        };
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Vec<Diagnostic>> {
    let temporary: PathBuf = path.with_extension(format!("{}.temporary", std::process::id()));
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| vec![cannot_write(path, &error)])
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(format!("can't write {}: {error}", path.display()))
        .code(Code::File)
        .about(path.display())
        .hint("packed constants are kept under cargo's target directory; a build script can be used instead")
}
