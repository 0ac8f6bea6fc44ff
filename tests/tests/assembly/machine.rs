//! Assembles kernels with the C compiler's assembler, runs them, and compares with the interpreter.

use ncnnc_compiler::emit::assembly::assemble;
use ncnnc_compiler::format::Format;
use ncnnc_compiler::kernel::{Kernel, interpret_kernel};
use ncnnc_targets::{Architecture, Target};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds after which a run is taken to hang.
const TIME_LIMIT: &str = "120";

/// A kernel with the words of its buffers.
#[derive(Clone)]
pub struct Case {
    pub kernel: Kernel,
    pub buffers: Vec<Vec<u32>>,
}

/// The command that compiles and the one that runs, if this machine has both.
fn tools(target: &Target) -> Option<(&'static str, Vec<&'static str>)> {
    let (compiler, runner) = match target.architecture {
        Architecture::X86_64 => ("gcc", vec!["timeout", TIME_LIMIT]),
        Architecture::Aarch64 => ("aarch64-linux-gnu-gcc", vec!["timeout", TIME_LIMIT, "qemu-aarch64"]),
        Architecture::Any => unreachable!("a target with code of its own"),
    };
    let works = |tool: &str| Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    let native = cfg!(target_arch = "x86_64") && cfg!(target_os = "linux");
    let has_features = match target.name {
        #[cfg(target_arch = "x86_64")]
        "avx512" => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq"),
        #[cfg(target_arch = "x86_64")]
        "avx2" => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        _emulated => true,
    };
    let runs = target.architecture != Architecture::X86_64 || native && has_features;
    (runs && works(compiler) && runner.iter().all(|tool| *tool == TIME_LIMIT || works(tool)))
        .then_some((compiler, runner))
}

fn run(command: &mut Command) {
    let output = command.output().expect("the tool was found before");
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn source(target: &Target, kernels: &[&Kernel]) -> String {
    let mut text = String::new();
    if target.architecture == Architecture::X86_64 {
        text += ".intel_syntax noprefix\n";
    }
    text += ".text\n";
    for (number, kernel) in kernels.iter().enumerate() {
        let lines = assemble(kernel, target);
        text += &format!(".balign 16\nkernel_{number}: // {}\n{}\n", kernel.name, lines.join("\n"));
    }
    text += ".section .data.rel.ro,\"aw\"\n.balign 8\n.globl kernels\nkernels:\n";
    for number in 0..kernels.len() {
        text += &format!(".quad kernel_{number}\n");
    }
    text + ".section .note.GNU-stack,\"\",%progbits\n"
}

/// Where what is built for a target lies.
fn directory(target: &Target) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("assembly-{}", target.name));
    std::fs::create_dir_all(&directory).expect("the target directory can be written");
    directory
}

/// Builds a program from C and assembly beside this file and the text of kernels.
fn build(target: &Target, name: &str, compiler: &str, parts: &[&str], kernels: &str) -> PathBuf {
    let program = directory(target).join(name);
    let source = program.with_extension("s");
    std::fs::write(&source, kernels).expect("the target directory can be written");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/assembly");
    let mut command = Command::new(compiler);
    command.args(["-O1", "-static", "-o"]).arg(&program).args(parts.iter().map(|part| here.join(part))).arg(source);
    run(&mut command);
    program
}

/// The file with the call that checks saved registers.
fn checked_call(target: &Target) -> &'static str {
    match target.architecture {
        Architecture::X86_64 => "checked_x86.s",
        Architecture::Aarch64 | Architecture::Any => "checked_aarch64.s",
    }
}

/// Checks that Rust takes the code of all cases as naked functions.
pub fn check_naked(target: &Target, cases: &[Case]) {
    let convention = match target.architecture {
        Architecture::X86_64 => "sysv64",
        Architecture::Aarch64 | Architecture::Any => "C",
    };
    let mut text = String::new();
    for (number, case) in cases.iter().enumerate() {
        let lines = assemble(&case.kernel, target).iter().map(|line| format!("    {line:?},\n")).collect::<String>();
        text += &format!(
            "#[unsafe(naked)]\npub unsafe extern \"{convention}\" fn kernel_{number}(_: *const *mut u32, _: usize, _: usize) \
             {{ core::arch::naked_asm!(\n{lines}    options(raw)) }}\n"
        );
    }
    let source = directory(target).join("naked.rs");
    std::fs::write(&source, text).expect("the target directory can be written");
    let object = source.with_extension("o");
    run(Command::new("rustc").args(["--edition=2024", "--crate-type=lib", "--emit=obj", "-o"]).arg(object).arg(source));
}

/// Prints how fast kernels are, against the first one. Each comes with the operations of a task.
pub fn measure(target: &Target, kernels: &[(Kernel, usize)]) {
    let Some((compiler, runner)) = tools(target) else {
        println!("{}: not run, the processor or a tool is absent", target.name);
        return;
    };
    let mut text = source(target, &kernels.iter().map(|(kernel, _)| kernel).collect::<Vec<_>>());
    text += ".section .data.rel.ro,\"aw\"\n.balign 8\n.globl operations, names, count\n";
    text += &format!("count: .quad {}\noperations:\n", kernels.len());
    kernels.iter().for_each(|(_, operations)| text += &format!(".quad {operations}\n"));
    text += "names:\n";
    (0..kernels.len()).for_each(|number| text += &format!(".quad name_{number}\n"));
    for (number, (kernel, _)) in kernels.iter().enumerate() {
        text += &format!("name_{number}: .asciz \"{} {}\"\n", target.name, kernel.name);
    }
    let program = build(target, "speed", compiler, &["speed.c"], &text);
    let output = Command::new(runner[0]).args(&runner[1..]).arg(program).output().expect("the tool was found before");
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// The input of the driver: for each case its number, tasks and buffers.
fn input(cases: &[Case]) -> Vec<u8> {
    let mut words = vec![cases.len() as u32];
    for (number, case) in cases.iter().enumerate() {
        words.extend([number as u32, case.kernel.tasks as u32, case.buffers.len() as u32]);
        for buffer in &case.buffers {
            words.push(buffer.len() as u32);
            words.extend(buffer);
        }
    }
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Whether two words of memory hold the same elements: any NaN equals any other.
fn equal(a: u32, b: u32, format: Format) -> bool {
    let same = |at| {
        let [a, b] = [a, b].map(|word| format.load(&[word], at));
        a == b || f32::from_bits(a).is_nan() && f32::from_bits(b).is_nan()
    };
    (0..4 / format.bytes()).all(same)
}

/// Checks all cases on a target; tells plainly when it can't be run here.
pub fn check(target: &Target, name: &str, cases: &[Case]) {
    let Some((compiler, runner)) = tools(target) else {
        println!("{}: not run, the processor or a tool is absent", target.name);
        return;
    };
    let kernels: Vec<&Kernel> = cases.iter().map(|case| &case.kernel).collect();
    let parts = ["driver.c", checked_call(target)];
    let program = build(target, name, compiler, &parts, &source(target, &kernels));
    let (data, results) = (program.with_extension("in"), program.with_extension("out"));
    std::fs::write(&data, input(cases)).expect("the target directory can be written");
    run(Command::new(runner[0]).args(&runner[1..]).arg(&program).arg(&data).arg(&results));
    let bytes = std::fs::read(&results).expect("the driver wrote its results");
    let mut words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    let mut failures = Vec::new();
    for case in cases {
        let mut expected = case.buffers.clone();
        interpret_kernel(&case.kernel, &mut expected);
        for (buffer, expected) in expected.iter().enumerate() {
            let format = case.kernel.buffers[buffer].format;
            for (at, expected) in expected.iter().enumerate() {
                let got = words.next().expect("the driver wrote every buffer");
                if !equal(got, *expected, format) && failures.len() < 20 {
                    let name = &case.kernel.name;
                    failures.push(format!("{name}: buffer {buffer}, word {at}: {got:08x}, not {expected:08x}"));
                }
            }
        }
    }
    assert!(words.next().is_none(), "the driver wrote too much");
    assert!(failures.is_empty(), "{}:\n{}", target.name, failures.join("\n"));
}
