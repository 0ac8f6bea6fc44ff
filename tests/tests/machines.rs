//! Objects for every machine that users are told is verified: linked by a linker of that machine, run, and held to the
//! recorded hashes, which are those of the generated Rust. Needs the feature `objects`.

use ncnnc_compiler::emit::object::VERIFIED;
use ncnnc_compiler::graph::Operation;
use ncnnc_compiler::plan::{Mode, Value};
use ncnnc_targets::Target;
use ncnnc_tests::generated::{Machine, shaped};
use ncnnc_tests::hash::{hash_outputs, recorded};
use ncnnc_tests::linked::{CommandLine, Link, Linked, Toolchain};
use ncnnc_tests::networks::{Network, benchmark, pretrained};
use ncnnc_tests::planned::{DIGITS, Planned, digits_name, plan_digits, plan_network};
use ncnnc_tests::shared::{is_on, shared};
use std::time::Instant;

const X86_64: Toolchain = Toolchain::X86_64;
const AARCH64: Toolchain = Toolchain::AARCH64;

/// What Android's loader wants: no relocations in code, and pages of 16 KiB.
const ANDROID: Link = Link::Shared(&["ld.lld", "-shared", "-ztext", "-zmax-page-size=16384", "--no-undefined"]);
const WINDOWS_ON_ARM: Link = Link::Image(&["lld-link", "-dll", "-noentry", "-machine:arm64"]);
/// A program for Windows without a C library, which Zig would build first, for minutes.
const WINDOWS: Toolchain = Toolchain {
    hosted: false,
    #[rustfmt::skip]
    compiler: &[
        "python3", "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", "-ffreestanding", "-fno-sanitize=undefined",
        "-nostdlib", "-lkernel32", "-Wl,-e,start", "-Wno-unused-command-line-argument",
    ],
    runner: &["wine"],
    ..X86_64
};

/// One way for every triple of [`VERIFIED`], in its order.
const MACHINES: &[Toolchain] = &[
    X86_64,
    Toolchain {
        name: "x86_64_linux_musl",
        triple: "x86_64-unknown-linux-musl",
        compiler: &["musl-gcc", "-static"],
        ..X86_64
    },
    Toolchain { name: "x86_64_android", triple: "x86_64-linux-android", link: ANDROID, ..X86_64 },
    Toolchain {
        name: "x86_64_darwin",
        triple: "x86_64-apple-darwin",
        link: Link::Image(&["ld64.lld-14", "-dylib", "-arch", "x86_64", "-platform_version", "macos", "11.0", "14.0"]),
        ..X86_64
    },
    Toolchain {
        name: "x86_64_ios",
        triple: "x86_64-apple-ios",
        link: Link::Image(&[
            "ld64.lld-14",
            "-dylib",
            "-arch",
            "x86_64",
            "-platform_version",
            "ios-simulator",
            "14.0",
            "17.0",
        ]),
        ..X86_64
    },
    Toolchain { name: "windows_msvc", triple: "x86_64-pc-windows-msvc", ..WINDOWS },
    Toolchain { name: "windows_gnu", triple: "x86_64-pc-windows-gnu", ..WINDOWS },
    Toolchain {
        name: "x86_64_none",
        triple: "x86_64-unknown-none-elf",
        hosted: false,
        compiler: &["cc", "-ffreestanding", "-nostdlib", "-static", "-Wl,-e,start"],
        ..X86_64
    },
    AARCH64,
    Toolchain {
        name: "aarch64_linux_musl",
        triple: "aarch64-unknown-linux-musl",
        compiler: &["aarch64-linux-gnu-gcc", "-specs=/usr/lib/aarch64-linux-musl/musl-gcc.specs", "-static"],
        ..AARCH64
    },
    Toolchain { name: "aarch64_android", triple: "aarch64-linux-android", link: ANDROID, ..AARCH64 },
    Toolchain {
        name: "aarch64_darwin",
        triple: "aarch64-apple-darwin",
        link: Link::Image(&["ld64.lld-14", "-dylib", "-arch", "arm64", "-platform_version", "macos", "11.0", "14.0"]),
        ..AARCH64
    },
    Toolchain {
        name: "aarch64_ios",
        triple: "aarch64-apple-ios",
        link: Link::Image(&["ld64.lld-14", "-dylib", "-arch", "arm64", "-platform_version", "ios", "14.0", "17.0"]),
        ..AARCH64
    },
    Toolchain { name: "aarch64_msvc", triple: "aarch64-pc-windows-msvc", link: WINDOWS_ON_ARM, ..AARCH64 },
    Toolchain { name: "aarch64_windows_gnu", triple: "aarch64-pc-windows-gnu", link: WINDOWS_ON_ARM, ..AARCH64 },
    Toolchain {
        name: "aarch64_none",
        triple: "aarch64-unknown-none-elf",
        hosted: false,
        compiler: &["aarch64-linux-gnu-gcc", "-ffreestanding", "-nostdlib", "-static", "-Wl,-e,start"],
        ..AARCH64
    },
];

/// Networks of the benchmark beside the digits: one that is quick by vectors, and one that is quick without.
const QUICK: &str = "squeezenet";
const TINY: &str = "blazeface";
/// Multiply-adds up to which a network always runs under qemu, a few seconds, and those with `NCNNC_FULL=1`, a quarter of a
/// minute.
const EMULATED: [u64; 2] = [160_000_000, 1_000_000_000];

/// Networks by the names they have in the table of hashes.
type Networks = Vec<(String, Planned)>;

/// The digits stored in every way, and networks of the benchmark where the shared data is there.
fn networks(larger: &[&str], targets: &[&'static Target]) -> Networks {
    let digits = DIGITS.map(|choice| (digits_name(choice), plan_digits(choice, targets)));
    let benchmark = shared("models/benchmark").map(|folder| benchmark(&folder)).unwrap_or_default();
    let chosen = benchmark.into_iter().filter(|network| larger.contains(&network.name.as_str()));
    let plan = |network| plan_network(&network, Mode::Fast, targets).expect("it is supported");
    digits.into_iter().chain(chosen.map(|network| (network.name.clone(), plan(network)))).collect()
}

/// What is wrong with the outputs of networks.
fn problems(networks: &Networks, way: &str, outputs: &[Vec<Value>]) -> Vec<String> {
    let recorded = recorded();
    let problem = |((name, planned), values): (&(String, Planned), &Vec<Value>)| {
        let values = shaped(&planned.compiled.plan, values);
        let hash = hash_outputs(values.iter().map(|value| &value.words[..]));
        (recorded[name] != hash).then(|| format!("{way}: {name}: {hash:016x} is not the recorded hash"))
    };
    networks.iter().zip(outputs).filter_map(problem).collect()
}

/// Runs networks with a toolchain, by one thread and in parallel; what is wrong.
fn check(toolchain: &Toolchain, networks: &Networks, runners: &[CommandLine]) -> Vec<String> {
    let begin = Instant::now();
    let named: Vec<(String, &Planned)> =
        networks.iter().map(|(name, planned)| (name.replace(['/', '.', '-'], "_"), planned)).collect();
    let program = Linked::build(toolchain, "networks", &named);
    let built = begin.elapsed();
    let mut wrong = Vec::new();
    for runner in runners {
        for way in ["run", "parallel"] {
            let place = format!("{} {runner:?} {way}", toolchain.name);
            wrong.extend(problems(networks, &place, &program.run_under(runner, way)));
        }
    }
    let names: Vec<&str> = networks.iter().map(|(name, _)| name.as_str()).collect();
    let all = begin.elapsed();
    println!("{}: {} {}; built in {built:.1?}, all in {all:.1?}", toolchain.triple, toolchain.how(), names.join(" "));
    wrong
}

/// The same for every network whose hash is recorded and that has at most so many multiply-adds. Each is run by itself: some
/// have weights of half a gigabyte.
fn check_every_network(toolchain: &Toolchain, most_macs: u64) -> Vec<String> {
    let (Some(first), Some(second)) = (shared("models/benchmark"), shared("models/pretrained")) else {
        return Vec::new();
    };
    let (platform, recorded) = (toolchain.platform(), recorded());
    let known = |network: &Network| recorded.contains_key(&network.name);
    let mut wrong = Vec::new();
    for network in [benchmark(&first), pretrained(&second)].concat().into_iter().filter(known) {
        let planned = plan_network(&network, Mode::Fast, platform.targets()).expect("a network with a recorded hash");
        let operations = &planned.compiled.plan.graph.operations;
        if operations.iter().map(Operation::macs).sum::<u64>() <= most_macs {
            wrong.extend(check(toolchain, &vec![(network.name, planned)], &[toolchain.runner]));
        }
    }
    wrong
}

#[test]
fn what_is_said_to_be_verified_is() {
    let done: Vec<(&str, String)> = MACHINES.iter().map(|toolchain| (toolchain.triple, toolchain.how())).collect();
    let said: Vec<(&str, String)> = VERIFIED.iter().map(|(triple, how)| (*triple, how.to_string())).collect();
    assert_eq!(done, said);
}

#[test]
fn every_instruction_set_gives_the_recorded_hashes() {
    let x86_64 = |only, name| Toolchain { only: Some(only), name, ..X86_64 };
    let machine = Machine::Host.targets();
    let mut wrong = Vec::new();
    for (toolchain, larger) in [
        (x86_64("portable", "x86_64_portable"), &[TINY][..]),
        (x86_64("avx2", "x86_64_avx2"), &[]),
        (x86_64("avx512", "x86_64_avx512"), &[]),
    ] {
        let targets = toolchain.platform().targets().to_vec();
        if !machine.contains(&targets[0]) {
            println!("{}: NOT RUN, for this processor lacks it", targets[0].name);
            continue;
        }
        wrong.extend(check(&toolchain, &networks(larger, &targets), &[&[]]));
        if toolchain.only != Some("portable") {
            wrong.extend(check_every_network(&toolchain, u64::MAX));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs compilers, linkers and emulators that `.ci/run` installs"]
fn every_machine_gives_the_recorded_hashes() {
    let only = std::env::var("NCNNC_MACHINE").ok();
    let mut wrong = Vec::new();
    for machines in MACHINES.chunk_by(|a, b| a.platform().targets() == b.platform().targets()) {
        let larger = if machines[0].runner.is_empty() { QUICK } else { TINY };
        let networks = networks(&[larger], machines[0].platform().targets());
        for toolchain in machines.iter().filter(|machine| only.as_ref().is_none_or(|only| *only == machine.name)) {
            wrong.extend(check(toolchain, &networks, &[toolchain.runner]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs a compiler and an emulator that `.ci/run` installs"]
fn networks_give_the_recorded_hashes_on_aarch64() {
    let wrong = check_every_network(&AARCH64, EMULATED[usize::from(is_on("NCNNC_FULL"))]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs an emulator that `.ci/run` installs"]
fn the_instruction_set_is_chosen_at_run_time() {
    // By the names of Bochs: processors without AVX, where code for AVX2 would stop, with AVX2, and with AVX-512.
    let none = MACHINES.iter().find(|machine| machine.name == "x86_64_none").expect("it is verified");
    let toolchain = Toolchain { name: "x86_64_pc", ..*none };
    let platform = toolchain.platform();
    let targets = platform.targets();
    const WITHOUT_AVX: &[CommandLine] = &[&["bochs", "core2_penryn_t9600"]];
    const WITH_AVX2: &[CommandLine] = &[&["bochs", "corei7_haswell_4770"]];
    const WITH_AVX512: &[CommandLine] = &[&["bochs", "corei7_skylake_x"]];
    // Up to version 2.7 Bochs rounds ties upwards where it converts to f16 (mended in its commit e14b126, of January 2024).
    let exact = |larger: &[&str]| {
        networks(larger, targets).into_iter().filter(|(name, _)| name != "digits/f16-activations").collect::<Networks>()
    };
    let mut wrong = check(&toolchain, &networks(&[], targets), WITHOUT_AVX);
    wrong.extend(check(&toolchain, &exact(&[]), WITH_AVX2));
    wrong.extend(check(&toolchain, &exact(&[TINY]), WITH_AVX512));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs a compiler and an emulator that `.ci/run` installs"]
fn static_programs_give_the_recorded_hashes() {
    let toolchain = Toolchain { name: "aarch64_static", compiler: &["aarch64-linux-gnu-gcc", "-static"], ..AARCH64 };
    let wrong = check(&toolchain, &networks(&[], toolchain.platform().targets()), &[toolchain.runner]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
