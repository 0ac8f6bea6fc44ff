//! Code linked for a system that can't be run here, as data of a program for this one.
//!
//! A library without imports that lies where it likes is the same on every system of its processor once it is in memory.
//! So the image that the linker of the other system laid out, unchanged, becomes a section of an assembly file, and its
//! exported functions become symbols.

use object::{Object, ObjectSegment};
use std::fmt::Write;
use std::path::Path;

/// What images are aligned to: the largest page of any system here (Apple's).
const PAGE: usize = 1 << 14;

/// Takes a library apart: writes its image to `bytes`, and gives the assembly of a file that holds it.
///
/// # Panics
/// When it isn't a library, or imports anything.
pub fn embed(library: &[u8], bytes: &Path) -> String {
    let file = object::File::parse(library).expect("the linker writes a library");
    let imports = file.imports().expect("imports can be read");
    assert!(imports.is_empty(), "{}: nothing is imported: {imports:?}", bytes.display());
    let base = file.segments().map(|segment| segment.address()).min().expect("a library has segments");
    let mut image = Vec::new();
    for segment in file.segments() {
        let at = usize::try_from(segment.address() - base).expect("images are small");
        image.resize(image.len().max(at + segment.size() as usize), 0);
        let data = segment.data().expect("the file holds its segments");
        image[at..at + data.len()].copy_from_slice(data);
    }
    std::fs::write(bytes, image).expect("a folder under target");
    let mut text = format!(
        ".section .image,\"ax\"\n.balign {PAGE}\nimage: .incbin \"{}\"\n.section .note.GNU-stack\n",
        bytes.display()
    );
    for export in file.exports().expect("exports can be read") {
        let name = std::str::from_utf8(export.name()).expect("names are ASCII").trim_start_matches('_');
        let at = export.address() - base;
        writeln!(text, ".globl {name}\n.set {name}, image + {at}").expect("strings take any text");
    }
    text
}
