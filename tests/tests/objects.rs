//! Object files against the plan's interpreter, bit for bit, and against the outputs of the real ncnn: linked with C
//! programs, run natively and under qemu. Needs the feature `objects`.
//!
//! `NCNNC_LAYER` chooses a kind of layer.

use ncnnc_compiler::emit::assembly::{assemble, encode};
use ncnnc_compiler::emit::object::Weights;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::kernel::Kernel;
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Value, interpret};
use ncnnc_tests::cases::{Case, read_cases};
use ncnnc_tests::generated::shaped;
use ncnnc_tests::linked::{Linked, Toolchain};
use ncnnc_tests::planned::{Planned, Stored, named_outputs, plan_case, same};
use ncnnc_tests::shared::{shared, workspace};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Of so many cases that are compiled, one is compiled in compensated arithmetic as well.
const COMPENSATED: usize = 5;

/// Cases in one program.
const CASES_PER_PROGRAM: usize = 200;

const LINUX: Toolchain = Toolchain::X86_64;
const LINUX_PORTABLE: Toolchain = Toolchain { name: "linux_portable", only: Some("portable"), ..LINUX };
const LINUX_EXTERNAL: Toolchain = Toolchain { name: "linux_external", weights: Weights::External, ..LINUX };
const AARCH64: Toolchain = Toolchain::AARCH64;
const AARCH64_STATIC: Toolchain =
    Toolchain { name: "aarch64_static", compiler: &["aarch64-linux-gnu-gcc", "-static"], ..AARCH64 };

/// What is wrong with a case's outputs.
fn problem(case: &Case, stored: Stored, planned: &Planned, wanted: &[Value], got: &[Value]) -> Option<String> {
    let plan = &planned.compiled.plan;
    let got = shaped(plan, got);
    if !wanted.iter().zip(&got).all(|(wanted, got)| same(wanted, got)) {
        return Some("other bits than the plan's".to_string());
    }
    if stored.is_narrow() {
        return None;
    }
    let tensors = named_outputs(plan, &got, case.outputs.iter().map(|output| output.name.as_str()));
    case.check(&tensors).err()
}

/// Every `stride`th case, stored so, and a few in compensated arithmetic.
fn check(toolchain: &Toolchain, stored: Stored, stride: usize) {
    let Some(folder) = shared("conformance/layers") else { return };
    let only = std::env::var("NCNNC_LAYER").ok();
    let cases =
        read_cases(&folder, |layer| ops::operator(layer).is_some() && only.as_ref().is_none_or(|only| only == layer));
    let targets = toolchain.platform().targets().to_vec();
    let planned =
        |(case, mode): (&Case, Mode)| plan_case(case, mode, stored, &targets).map(|planned| (case.clone(), planned));
    let begin = Instant::now();
    let every = |stride: usize, mode: Mode| cases.iter().step_by(stride).map(move |case| (case, mode));
    let chosen = every(stride, Mode::Fast).chain(every(COMPENSATED * stride, Mode::Compensated));
    let (cases, planned): (Vec<Case>, Vec<Planned>) = chosen.filter_map(planned).unzip();
    assert!(!cases.is_empty(), "no case has been compiled");
    let named: Vec<_> = planned.iter().enumerate().map(|(number, one)| (format!("case_{number}"), one)).collect();
    let mut problems = Vec::new();
    for (group, (number, cases)) in named.chunks(CASES_PER_PROGRAM).zip(cases.chunks(CASES_PER_PROGRAM).enumerate()) {
        let program = Linked::build(toolchain, &format!("cases_{number}"), group);
        for way in ["run", "parallel"] {
            for ((values, case), (_, planned)) in program.run(way).iter().zip(cases).zip(group) {
                let wanted = interpret(&planned.compiled.plan, &planned.inputs);
                let problem = problem(case, stored, planned, &wanted, values);
                problems.extend(problem.map(|problem| format!("{} on {} {way}: {problem}", case.id, toolchain.name)));
            }
        }
    }
    println!("{}: {} cases in {:.0?}", toolchain.name, cases.len(), begin.elapsed());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn cases_equal_the_plan() {
    check(&LINUX, Stored::default(), 7);
}

#[test]
fn cases_equal_the_plan_without_vectors() {
    check(&LINUX_PORTABLE, Stored::default(), 19);
}

#[test]
fn cases_with_narrow_activations_equal_the_plan() {
    let named = |toolchain, name| Toolchain { name, ..toolchain };
    check(&named(LINUX, "linux_f16"), Stored::activations(Format::F16), 23);
    check(&named(LINUX, "linux_bf16"), Stored::activations(Format::Bf16), 29);
    check(&named(LINUX_PORTABLE, "linux_portable_f16"), Stored::activations(Format::F16), 97);
    check(&named(LINUX_PORTABLE, "linux_portable_bf16"), Stored::activations(Format::Bf16), 101);
}

#[test]
fn cases_equal_the_plan_with_external_weights() {
    check(&LINUX_EXTERNAL, Stored::default(), 41);
}

#[test]
#[ignore = "needs qemu and what else `.ci/aarch64` uses"]
fn cases_equal_the_plan_on_aarch64() {
    check(&AARCH64, Stored::default(), 11);
    check(&AARCH64_STATIC, Stored::default(), 101);
    check(&Toolchain { name: "aarch64_f16", ..AARCH64 }, Stored::activations(Format::F16), 53);
    check(&Toolchain { name: "aarch64_bf16", ..AARCH64 }, Stored::activations(Format::Bf16), 59);
}

/// Runs a tool of binutils; what it prints.
fn tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).args(arguments).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("tools print text")
}

/// Bytes of a literal that are compared: a vector of AVX2. AVX-512 code repeats single words.
const LITERAL: usize = 32;

/// What the disassembler makes of a kernel's code in a file of machine code, from its first byte to its return: a line for
/// each instruction, in which a jump names the number of the instruction it leads to, and a literal is its value.
///
/// So two encodings of the same code are equal, though their instructions have other lengths.
fn disassembled(path: &Path, code: Range<usize>, literal: usize) -> Vec<String> {
    let bytes = std::fs::read(path).expect("the code was written");
    let path = path.to_str().expect("a plain path");
    let (begin, end) = (format!("--start-address={}", code.start), format!("--stop-address={}", code.end));
    let text =
        tool("objdump", &["-D", "-bbinary", "-mi386:x86-64", "-Mintel", "--no-show-raw-insn", &begin, &end, path]);
    let line = |line: &str| line.split_once(":\t").map(|(at, code)| (at.trim().to_string(), code.trim().to_string()));
    let lines: Vec<(String, String)> = text.lines().filter_map(line).collect();
    let end = lines.iter().position(|(_, code)| code.starts_with("ret")).expect("a kernel returns");
    let normal = |(_, code): &(String, String)| {
        if let Some((code, place)) = code.split_once('#') {
            let at = usize::from_str_radix(place.trim().trim_start_matches("0x"), 16).expect("an address");
            let operands = code.split_once("[rip").expect("a literal's place is relative").0;
            let after = code.split_once(']').expect("an address ends").1.trim();
            return format!("{operands}{:02x?}{after}", &bytes[at..at + literal]);
        }
        match code.split_once(" 0x") {
            Some((jump, to)) if jump.starts_with('j') => {
                let to = lines.iter().position(|(at, _)| at == to.trim()).expect("jumps lead to instructions");
                format!("{jump} {to}")
            }
            Some(_) | None => code.clone(),
        }
    };
    lines[..=end].iter().map(normal).collect()
}

/// Holds a set's encoder to the assembler, on every kernel of a spread of cases: the same instructions and literals. This
/// is also how code is checked for processors that this machine is not.
fn check_encoder(set: &str, literal: usize) {
    let Some(folder) = shared("conformance/layers") else { return };
    let target = ncnnc_targets::target(set).expect("a target");
    let cases = read_cases(&folder, |layer| ops::operator(layer).is_some());
    let every = |stride: usize, mode: Mode| cases.iter().step_by(stride).map(move |case| (case, mode));
    let chosen = every(11, Mode::Fast).chain(every(37, Mode::Compensated));
    let planned = chosen.filter_map(|(case, mode)| plan_case(case, mode, Stored::default(), &[target]));
    let kernels: Vec<Kernel> = planned.flat_map(|planned| planned.compiled.programs[0].1.kernels.clone()).collect();
    assert!(kernels.len() > 100, "a spread of kernels");
    let (mut text, mut bytes, mut begins) = (String::from(".intel_syntax noprefix\n"), Vec::new(), Vec::new());
    for (number, kernel) in kernels.iter().enumerate() {
        text += &format!(".balign 64\nkernel_{number}:\n{}\n", assemble(kernel, target).join("\n"));
        let (encoded, alignment) = encode(kernel, target);
        bytes.resize(bytes.len().next_multiple_of(alignment.max(64)), 0xcc);
        begins.push(bytes.len());
        bytes.extend(encoded);
    }
    begins.push(bytes.len());
    bytes.extend([0; LITERAL]);
    text += &format!(".balign 64\nkernel_{}:\n.zero 64\n", kernels.len());
    let path = |name: &str| workspace().join("target/linked").join(format!("encoder_{set}{name}"));
    std::fs::create_dir_all(workspace().join("target/linked")).expect("a folder under target");
    std::fs::write(path(".s"), text).expect("the text is written");
    std::fs::write(path(".encoded"), bytes).expect("the bytes are written");
    let [source, object, assembled] = [".s", ".o", ".assembled"].map(|name| path(name).display().to_string());
    tool("as", &["-o", &object, &source]);
    tool("objcopy", &["-Obinary", "-j.text", &object, &assembled]);
    let symbols = tool("nm", &[&object]);
    let begin = |number: usize| {
        let name = format!("kernel_{number}");
        let line = symbols.lines().find(|line| line.split_whitespace().last() == Some(&name)).expect("a symbol");
        usize::from_str_radix(line.split_whitespace().next().expect("an address"), 16).expect("an address")
    };
    let mut instructions = 0;
    for (number, kernel) in kernels.iter().enumerate() {
        let wanted = disassembled(&path(".assembled"), begin(number)..begin(number + 1), literal);
        let got = disassembled(&path(".encoded"), begins[number]..begins[number + 1], literal);
        instructions += got.len();
        let difference = wanted.iter().zip(&got).find(|(wanted, got)| wanted != got);
        assert_eq!(difference, None, "{set}, {}: what the assembler gives and what the encoder gives", kernel.name);
        assert_eq!(wanted.len(), got.len(), "{set}, {}: as many instructions", kernel.name);
    }
    println!("{set}: {} kernels, {instructions} instructions", kernels.len());
}

#[test]
fn the_encoder_agrees_with_the_assembler() {
    check_encoder("avx2", LITERAL);
    check_encoder("avx512", 4);
}
