//! Kernels as machine instructions, printed as assembly text for naked functions.
//!
//! `lower` walks the statements and asks the architecture (`x86`, `aarch64`) for instructions on virtual registers; `uses`
//! and `pointers` tell it what dies where and which pointer walks where; `allocate` gives the machine's registers out.
//! A kernel becomes `fn(buffers: *const *mut u32, begin: usize, end: usize)`, by the System V convention on every x86-64
//! and the C convention on aarch64; it calls nothing. Owns machine code; must not know networks.

mod aarch64;
mod aarch64_text;
mod address;
mod allocate;
mod liveness;
mod lower;
pub mod machine;
mod pointers;
mod pool;
mod uses;
mod x86;
#[cfg(feature = "object")]
mod x86_code;
mod x86_double;
mod x86_format;
mod x86_general;
mod x86_opcode;
mod x86_text;

use crate::kernel::Kernel;
use allocate::{Recipes, allocate};
use lower::Lower;
use machine::{Class, Instruction, Machine, Register};
use ncnnc_targets::{Architecture, Target};

/// The lines of a naked function's body: Intel syntax on x86-64, numeric local labels from 2 up, and constants after the
/// return. Braces stand as they are, so `naked_asm!` needs `options(raw)`.
///
/// # Panics
/// For a target without machine code of its own, and for a kernel with another number of lanes than the target.
pub fn assemble(kernel: &Kernel, target: &Target) -> Vec<String> {
    match target.architecture {
        Architecture::X86_64 => finish(kernel, x86::X86::new(target)),
        Architecture::Aarch64 => finish(kernel, aarch64::Aarch64),
        Architecture::Any => panic!("{} has no machine code", target.name),
    }
}

/// The bytes that [`assemble`] has the text of, for x86-64, and their alignment.
///
/// # Panics
/// As [`assemble`], and for another architecture.
#[cfg(feature = "object")]
pub fn encode(kernel: &Kernel, target: &Target) -> (Vec<u8>, usize) {
    assert_eq!(target.architecture, Architecture::X86_64, "{} has no encoder", target.name);
    let (code, pool) = select(kernel, x86::X86::new(target));
    (x86_code::encode(&code, &pool), x86_code::ALIGNMENT)
}

fn finish<M: Machine>(kernel: &Kernel, machine: M) -> Vec<String> {
    let (code, pool) = select(kernel, machine);
    machine.print(&code, &pool)
}

/// The instructions of a kernel on the machine's registers, and its literal pool.
fn select<M: Machine>(kernel: &Kernel, machine: M) -> (Vec<Instruction<M>>, Vec<u32>) {
    let lower = Lower::kernel(kernel, machine);
    let (registers, pool) = (lower.register_count(), lower.pool);
    let mut code = unset(machine, &lower.code, registers, pool.start());
    code.extend(lower.code);
    let recipes = Recipes { constants: lower.recipes, loads: lower.loads };
    let allocated = allocate(machine, code, registers, recipes, lower.arguments);
    (machine.frame(allocated), pool.words)
}

/// Zeros for the variables that are read before anything is assigned to them.
fn unset<M: Machine>(
    machine: M,
    code: &[Instruction<M>],
    registers: usize,
    anywhere: machine::Memory,
) -> Vec<Instruction<M>> {
    let (_, unset) = liveness::intervals(code, registers);
    let zero = |number| machine.constant(Register { class: Class::Vector, number }, 0, anywhere);
    unset.into_iter().filter(|number| *number > 2).map(zero).collect()
}

/// The number printed for a label: from 2 up, without those of only zeros and ones, which read as binary numbers.
fn label_number(label: usize) -> usize {
    let is_binary = |number: &usize| number.to_string().chars().all(|digit| matches!(digit, '0' | '1'));
    (2..).filter(|number| !is_binary(number)).nth(label).expect("there are infinitely many")
}
