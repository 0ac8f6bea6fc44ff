//! A whole PC, emulated by Bochs: runs a program that has no C library on a processor that this machine need not have.
//!
//! The PC has no system. What it starts from, `pc.S`, loads the program from the disk and serves its calls; so the same
//! program runs here and there.

use super::{build, write};
use object::{Object, ObjectSection, ObjectSegment};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Disks come in cylinders of so many sectors.
const CYLINDER: usize = 16 * 63;

/// Runs a program on a processor that Bochs knows by this name; what it wrote.
///
/// # Panics
/// When the program ends in another way than it should.
pub fn run(program: &Path, processor: &str, way: &str) -> Vec<u8> {
    let folder = program.with_extension(processor);
    fs::create_dir_all(&folder).expect("a folder under target");
    let bytes = fs::read(program).expect("the linker wrote it");
    let file = object::File::parse(&bytes[..]).expect("the linker writes programs");
    let start = file.segments().map(|segment| segment.address()).min().expect("a program has segments");
    let mut memory = memory(&file, start);
    let sectors = memory.len().div_ceil(SECTOR);
    memory.resize(sectors.next_multiple_of(CYLINDER) * SECTOR, 0);
    write(&folder, "disk", &memory);
    let first_letter = way.bytes().next().expect("a way has a name");
    firmware(
        &folder,
        &[("START", start), ("SECTORS", sectors as u64), ("ENTRY", file.entry()), ("WAY", first_letter.into())],
    );
    write(&folder, "settings", settings(processor).as_bytes());
    // Debian's Bochs waits for a debugger's command: to go on.
    write(&folder, "commands", b"c\n");
    let serial = folder.join("serial");
    let _ = fs::remove_file(&serial);
    let Output { stdout, .. } = Command::new("timeout")
        .args([super::TIME_LIMIT, "bochs", "-q", "-f", "settings", "-rc", "commands"])
        .current_dir(&folder)
        .output()
        .expect("timeout(1) starts");
    let mut written = fs::read(&serial).unwrap_or_default();
    let code = written.pop();
    assert_eq!(code, Some(0), "{} {way} on {processor}: {}", program.display(), String::from_utf8_lossy(&stdout));
    written
}

/// The program as it lies in memory from `start` on.
fn memory(file: &object::File, start: u64) -> Vec<u8> {
    let mut memory = Vec::new();
    for segment in file.segments() {
        let at = usize::try_from(segment.address() - start).expect("programs are small");
        let end = at + usize::try_from(segment.size()).expect("programs are small");
        memory.resize(memory.len().max(end), 0);
        let data = segment.data().expect("the file holds its segments");
        memory[at..at + data.len()].copy_from_slice(data);
    }
    memory
}

/// Writes what the PC starts from.
fn firmware(folder: &Path, symbols: &[(&str, u64)]) {
    let source = write(folder, "pc.S", include_bytes!("pc.S"));
    let object = folder.join("pc.o");
    let symbols = symbols.iter().map(|(name, value)| format!("-Wa,--defsym,{name}={value}"));
    build(Command::new("cc").arg("-c").args(symbols).arg("-o").arg(&object).arg(source));
    let bytes = fs::read(object).expect("the assembler wrote it");
    let file = object::File::parse(&bytes[..]).expect("the assembler writes objects");
    let text = file.section_by_name(".text").expect("there is code");
    write(folder, "firmware", text.data().expect("the file holds its sections"));
}

/// Bochs's settings. A screen that nobody looks at is one for a viewer that doesn't come.
fn settings(processor: &str) -> String {
    format!(
        "display_library: rfb, options=\"timeout=0\"\n\
         cpu: model={processor}, reset_on_triple_fault=0\n\
         memory: guest=512, host=512\n\
         romimage: file=firmware, address=0xffff0000\n\
         ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n\
         ata0-master: type=disk, mode=flat, path=disk\n\
         com1: enabled=1, mode=file, dev=serial\n\
         log: log\n\
         panic: action=fatal\n"
    )
}
