//! x86-64 instructions as text, in Intel syntax.

use super::label_number;
use super::machine::{Base, Class, Instruction, Memory, Operand, Register};
use super::pool::directives;
use super::x86::{View, X86};
use super::x86_opcode::{Opcode, Style};
use std::collections::HashSet;

const GENERAL: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
const GENERAL_WORDS: [&str; 16] = [
    "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d",
    "r15d",
];

/// The lines of a kernel.
pub fn print(code: &[Instruction<X86>], pool: &[u32]) -> Vec<String> {
    let labels = code.iter().filter_map(Instruction::label).max().map_or(0, |label| label + 1);
    let mut printer = Printer { defined: HashSet::new(), pool: label_number(labels) };
    let mut lines: Vec<String> = code.iter().map(|instruction| printer.instruction(instruction)).collect();
    lines.extend(directives(pool, printer.pool, 64, ".long"));
    lines
}

struct Printer {
    /// The labels above.
    defined: HashSet<usize>,
    pool: usize,
}

impl Printer {
    fn instruction(&mut self, instruction: &Instruction<X86>) -> String {
        let name = instruction.opcode.text();
        let operands: Vec<String> =
            instruction.operands.iter().map(|operand| self.operand(operand, instruction.opcode)).collect();
        match instruction.opcode.style() {
            Style::Label => {
                let label = instruction.label().expect("a label has a number");
                self.defined.insert(label);
                format!("{}:", label_number(label))
            }
            Style::Plain if operands.is_empty() => name.to_string(),
            Style::Plain => format!("{name} {}", operands.join(", ")),
            Style::Float => {
                let scalar = instruction.operands.iter().any(|o| matches!(o, Operand::Register(_, View::Scalar)));
                format!("{name}{} {}", if scalar { "ss" } else { "ps" }, operands.join(", "))
            }
            Style::Masked => format!("{name} {}{{{}}}, {}", operands[0], operands[1], operands[2..].join(", ")),
            Style::MaskedZero => {
                format!("{name} {}{{{}}}{{z}}, {}", operands[0], operands[1], operands[2..].join(", "))
            }
            Style::Thrice => format!("{name} {0}, {0}, {0}", operands[0]),
        }
    }

    fn operand(&self, operand: &Operand<View>, opcode: Opcode) -> String {
        match operand {
            Operand::Register(register, view) => name(*register, *view),
            Operand::Memory(memory) if opcode == Opcode::Prefetcht1 => format!("byte ptr {}", self.address(memory)),
            Operand::Memory(memory) => match memory.broadcast {
                Some(lanes) => format!("dword ptr {}{{1to{lanes}}}", self.address(memory)),
                None => format!("{} ptr {}", size(memory.bytes), self.address(memory)),
            },
            Operand::Immediate(number) => number.to_string(),
            Operand::Label(label) => {
                let direction = if self.defined.contains(label) { 'b' } else { 'f' };
                format!("{}{direction}", label_number(*label))
            }
        }
    }

    fn address(&self, memory: &Memory) -> String {
        let mut text = match memory.base {
            Base::Register(register) => name(register, View::Quad),
            Base::Frame => "rsp".to_string(),
            Base::Pool => format!("rip + {}f", self.pool),
        };
        if let Some((index, scale)) = memory.index {
            text += &format!(" + {scale}*{}", name(index, View::Quad));
        }
        match memory.displacement {
            0 => {}
            bytes if bytes > 0 => text += &format!(" + {bytes}"),
            bytes => text += &format!(" - {}", -bytes),
        }
        format!("[{text}]")
    }
}

fn name(register: Register, view: View) -> String {
    let number = register.number;
    match (register.class, view) {
        (Class::General, View::Word) => GENERAL_WORDS[number].to_string(),
        (Class::General, _quad) => GENERAL[number].to_string(),
        (Class::Mask, _any) => format!("k{number}"),
        (Class::Vector, View::Ymm) => format!("ymm{number}"),
        (Class::Vector, View::Zmm) => format!("zmm{number}"),
        (Class::Vector, _narrow) => format!("xmm{number}"),
    }
}

fn size(bytes: usize) -> &'static str {
    match bytes {
        1 => "byte",
        2 => "word",
        4 => "dword",
        8 => "qword",
        16 => "xmmword",
        32 => "ymmword",
        64 => "zmmword",
        other => unreachable!("no operand has {other} bytes"),
    }
}
