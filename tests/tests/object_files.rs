//! Object files and headers as others meet them: what is in the bytes for every verified machine, what C and C++ compilers
//! say of headers, and how a tiny network reads. Needs the feature `objects`.

use ncnnc_compiler::compile::Options;
use ncnnc_compiler::emit::object::{Network, Platform, VERIFIED, Weights};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::plan::Mode;
use ncnnc_tests::cases::read_cases;
use ncnnc_tests::linked::network;
use ncnnc_tests::planned::{Planned, Stored, plan_case, plan_digits, plan_files};
use ncnnc_tests::shared::{shared, workspace};
use object::{Architecture, BinaryFormat, Object, ObjectSection, ObjectSymbol, RelocationFlags, SectionKind};
use std::collections::BTreeSet;
use std::process::Command;

/// The relocations that give distances rather than addresses, by their numbers in the format's documents: calls, and
/// addresses of what is in the same file.
const RELATIVE: &[(BinaryFormat, Architecture, &[u32])] = &[
    // R_X86_64_PC32, R_X86_64_PLT32.
    (BinaryFormat::Elf, Architecture::X86_64, &[2, 4]),
    // R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_ADD_ABS_LO12_NC, R_AARCH64_CALL26.
    (BinaryFormat::Elf, Architecture::Aarch64, &[275, 277, 283]),
    // X86_64_RELOC_SIGNED, X86_64_RELOC_BRANCH.
    (BinaryFormat::MachO, Architecture::X86_64, &[1, 2]),
    // ARM64_RELOC_BRANCH26, ARM64_RELOC_PAGE21, ARM64_RELOC_PAGEOFF12.
    (BinaryFormat::MachO, Architecture::Aarch64, &[2, 3, 4]),
    // IMAGE_REL_AMD64_REL32.
    (BinaryFormat::Coff, Architecture::X86_64, &[4]),
    // IMAGE_REL_ARM64_BRANCH26, IMAGE_REL_ARM64_PAGEBASE_REL21, IMAGE_REL_ARM64_PAGEOFFSET_12A.
    (BinaryFormat::Coff, Architecture::Aarch64, &[3, 4, 6]),
];

/// The number of a relocation in its format.
fn number(flags: RelocationFlags) -> u32 {
    match flags {
        RelocationFlags::Elf { r_type } => r_type,
        RelocationFlags::MachO { r_type, .. } => r_type.into(),
        RelocationFlags::Coff { typ } => typ.into(),
        other => panic!("a relocation of another format: {other:?}"),
    }
}

/// Judges what is in an object file.
fn check_bytes(triple: &str, network: &Network, bytes: &[u8], weights: Weights) {
    let file = object::File::parse(bytes).expect("an object file");
    let own = |name: &str| match file.format() {
        BinaryFormat::MachO => name.strip_prefix('_').expect("C's names begin with _ there").to_string(),
        _elf_or_coff => name.to_string(),
    };
    let mut exported = BTreeSet::new();
    for symbol in file.symbols().filter(|symbol| symbol.name().is_ok_and(|name| !name.is_empty())) {
        assert!(!symbol.is_undefined(), "{triple}: {:?} is needed from elsewhere", symbol.name());
        if symbol.is_global() {
            exported.insert(own(symbol.name().expect("a name")));
        }
    }
    let functions: &[&str] = match weights {
        Weights::Included => &["run", "run_parallel"],
        Weights::External => &["check_weights", "run", "run_parallel"],
    };
    let wanted: BTreeSet<String> = functions.iter().map(|name| format!("{}_{name}", network.name())).collect();
    assert_eq!(exported, wanted, "{triple}: what others see");
    let (_, _, relative) = RELATIVE
        .iter()
        .find(|(format, architecture, _)| (*format, *architecture) == (file.format(), file.architecture()))
        .expect("a verified machine is in the table");
    let mut relocations = 0;
    for section in file.sections() {
        let name = section.name().expect("a name");
        match section.kind() {
            SectionKind::Data
            | SectionKind::UninitializedData
            | SectionKind::Common
            | SectionKind::Tls
            | SectionKind::UninitializedTls
            | SectionKind::ReadOnlyDataWithRel => {
                assert_eq!(section.size(), 0, "{triple}: {name} can be written to");
            }
            _read_only_or_not_loaded => {}
        }
        for (at, relocation) in section.relocations() {
            relocations += 1;
            assert_eq!(section.kind(), SectionKind::Text, "{triple}: {name}: only code refers to other things");
            let number = number(relocation.flags());
            assert!(relative.contains(&number), "{triple}: {name} at {at:x}: relocation {number} depends on the place");
        }
    }
    assert!(relocations > 0, "{triple}: functions call one another");
    let packed = file.symbols().find(|symbol| {
        symbol.name().is_ok_and(|name| own(name).ends_with("_weights") && !name.ends_with("check_weights"))
    });
    match (weights, packed) {
        (Weights::External, packed) => assert!(packed.is_none(), "{triple}: the weights are elsewhere"),
        (Weights::Included, None) => panic!("{triple}: the weights are missing"),
        (Weights::Included, Some(packed)) => {
            let section = file.section_by_index(packed.section_index().expect("defined")).expect("a section");
            let at = packed.address() - section.address();
            assert_eq!((section.align() % 64, at % 64), (0, 0), "{triple}: the weights are aligned");
            let (bytes, at) = (section.data().expect("bytes"), at as usize);
            assert!(bytes[at..].starts_with(&network.weights()), "{triple}: the weights are those of the network");
        }
    }
    if file.format() == BinaryFormat::Elf {
        assert!(file.section_by_name(".note.GNU-stack").is_some(), "{triple}: the stack need not be executable");
    }
}

#[test]
fn objects_need_nothing_and_have_nothing_to_write_to() {
    for machines in VERIFIED.chunk_by(|(a, _), (b, _)| a.split('-').next() == b.split('-').next()) {
        let platforms = || machines.iter().map(|(triple, _)| (*triple, Platform::new(triple).expect("a known triple")));
        let (_, first) = platforms().next().expect("a chunk has a machine");
        let planned = plan_digits((Mode::Fast, Stored::constants(Format::F16)), first.targets());
        for weights in [Weights::Included, Weights::External] {
            let network = network("digits", &planned, weights);
            for (triple, platform) in platforms() {
                check_bytes(triple, &network, &network.object(&platform), weights);
            }
        }
    }
}

/// Networks whose headers have everything that headers can have, under their names.
fn varied() -> Vec<(String, Planned, Weights)> {
    let targets = Platform::new("x86_64-unknown-linux-gnu").expect("a known triple").targets().to_vec();
    let digits =
        |name: &str, weights| (name.to_string(), plan_digits((Mode::Fast, Stored::default()), &targets), weights);
    let mut all = vec![digits("digits", Weights::Included), digits("digits_apart", Weights::External)];
    // The size of its output depends on the data.
    let Some(folder) = shared("conformance/layers") else { return all };
    let cases = read_cases(&folder, |layer| layer == "DetectionOutput");
    let mut planned = cases.iter().filter_map(|case| plan_case(case, Mode::Fast, Stored::default(), &targets));
    all.push(("detections".to_string(), planned.next().expect("a case"), Weights::Included));
    all
}

#[test]
#[ignore = "needs compilers that `.ci/run` installs"]
fn compilers_have_nothing_to_say_of_headers() {
    let folder = workspace().join("target/linked/headers");
    std::fs::create_dir_all(&folder).expect("a folder under target");
    let mut text = String::new();
    for (name, planned, weights) in &varied() {
        let header = network(name, planned, *weights).header();
        std::fs::write(folder.join(format!("{name}.h")), header).expect("a file under target");
        text += &format!("#include \"{name}.h\"\n#include \"{name}.h\"\n");
    }
    let zig = |language| vec!["python3", "-m", "ziglang", language];
    for (mut compiler, standard, file) in [
        (vec!["gcc"], "-std=c99", "all.c"),
        (vec!["g++"], "-std=c++17", "all.cpp"),
        (zig("cc"), "-std=c99", "all.c"),
        (zig("c++"), "-std=c++17", "all.cpp"),
    ] {
        std::fs::write(folder.join(file), &text).expect("a file under target");
        compiler.extend([
            standard,
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wconversion",
            "-Werror",
            "-c",
            "-o",
            "all.o",
            file,
        ]);
        let output = Command::new(compiler[0]).args(&compiler[1..]).current_dir(&folder).output();
        let output = output.unwrap_or_else(|error| panic!("{compiler:?}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{compiler:?}:\n{said}");
    }
}

/// Three sums over four numbers, with a ReLU.
const TINY: &str = "7767517
2 2
Input         in      0 1 in 0=4
InnerProduct  classes 1 1 in out 0=3 1=1 2=12 9=1
";

/// How the tiny network reads on a machine.
fn tiny(triple: &str, set: Option<&str>, read: impl Fn(&Network, &Platform) -> String) -> String {
    let all = Platform::new(triple).expect("a known triple");
    let platform = set.map_or(all.clone(), |set| all.only(set).expect("the architecture has it"));
    let weights: Vec<u8> = [0; 4].into_iter().chain((1..=15).flat_map(|i| (i as f32).to_le_bytes())).collect();
    let options = Options::default();
    let compiled = plan_files("tiny", TINY.as_bytes(), &weights, &options, platform.targets()).expect("it compiles");
    let network = Network::new("tiny", &compiled.programs, 1 << 64 | 2, Weights::Included).expect("a plain name");
    read(&network, &platform)
}

#[test]
fn a_tiny_network_reads_well() {
    const LINUX: &str = "x86_64-unknown-linux-gnu";
    const ARM: &str = "aarch64-unknown-linux-gnu";
    let header = |network: &Network, _: &Platform| network.header();
    let clif = |network: &Network, platform: &Platform| network.clif(platform);
    let assembly = |network: &Network, platform: &Platform| network.assembly(platform);
    insta::assert_snapshot!("tiny_header", tiny(LINUX, None, header));
    insta::assert_snapshot!("tiny_portable_clif", tiny(LINUX, Some("portable"), clif));
    insta::assert_snapshot!("tiny_neon_clif", tiny(ARM, None, clif));
    for set in ["avx2", "avx512", "portable"] {
        insta::assert_snapshot!(format!("tiny_{set}_assembly"), tiny(LINUX, Some(set), assembly));
    }
    insta::assert_snapshot!("tiny_neon_assembly", tiny(ARM, None, assembly));
}
