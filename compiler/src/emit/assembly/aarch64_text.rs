//! aarch64 instructions, and how they are written.

use super::aarch64::{Aarch64, View};
use super::label_number;
use super::machine::{Base, Class, Flow, Instruction, Memory, Operand, Register, Role};
use super::pool::directives;
use std::collections::HashSet;

macro_rules! opcodes {
    ($($Name:ident $text:literal $Role:ident $Flow:ident;)*) => {
        /// An instruction.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are the processor's")]
        pub enum Opcode { $($Name,)* }

        impl Opcode {
            /// Its name.
            pub fn text(self) -> &'static str {
                match self { $(Self::$Name => $text,)* }
            }

            /// What it does to its first operand.
            pub fn role(self) -> Role {
                match self { $(Self::$Name => Role::$Role,)* }
            }

            /// Where execution goes.
            pub fn flow(self) -> Flow {
                match self { $(Self::$Name => Flow::$Flow,)* }
            }
        }
    };
}

opcodes! {
    Label "" Read Label;
    B "b" Read Jump;
    Bne "b.ne" Read Branch;
    Ble "b.le" Read Branch;
    Cbz "cbz" Read Branch;
    Ret "ret" Read Next;
    Movz "movz" Write Next;
    Movn "movn" Write Next;
    Movk "movk" Update Next;
    Mov "mov" Write Next;
    Add "add" Write Next;
    Sub "sub" Write Next;
    Subs "subs" Write Next;
    Mul "mul" Write Next;
    Cmp "cmp" Read Next;
    CsetmLower "csetm" Write Next;
    Smov "smov" Write Next;
    Fmov "fmov" Write Next;
    Prfm "prfm" Read Next;
    Ldr "ldr" Write Next;
    Str "str" Read Next;
    Movi "movi" Write Next;
    Dup "dup" Write Next;
    Ext "ext" Write Next;
    Fadd "fadd" Write Next;
    Fsub "fsub" Write Next;
    Fmul "fmul" Write Next;
    Fdiv "fdiv" Write Next;
    Fmla "fmla" Update Next;
    Fsqrt "fsqrt" Write Next;
    Fneg "fneg" Write Next;
    Fabs "fabs" Write Next;
    Frintm "frintm" Write Next;
    Frintp "frintp" Write Next;
    Frintz "frintz" Write Next;
    Frintn "frintn" Write Next;
    Fcmgt "fcmgt" Write Next;
    Fcmge "fcmge" Write Next;
    Fcmeq "fcmeq" Write Next;
    Bsl "bsl" Update Next;
    And "and" Write Next;
    Orr "orr" Write Next;
    Eor "eor" Write Next;
    Neg "neg" Write Next;
    Shl "shl" Write Next;
    Ushr "ushr" Write Next;
    Sshr "sshr" Write Next;
    Ushl "ushl" Write Next;
    Sshl "sshl" Write Next;
    Cmgt "cmgt" Write Next;
    Cmeq "cmeq" Write Next;
    Fcvtzs "fcvtzs" Write Next;
    Scvtf "scvtf" Write Next;
    Fcvtl "fcvtl" Write Next;
    Fcvtn "fcvtn" Write Next;
    Fcvtl2 "fcvtl2" Write Next;
    Fcvtn2 "fcvtn2" Update Next;
    Shll "shll" Write Next;
    Shrn "shrn" Write Next;
}

/// The lines of a kernel.
pub fn print(code: &[Instruction<Aarch64>], pool: &[u32]) -> Vec<String> {
    let labels = code.iter().filter_map(Instruction::label).max().map_or(0, |label| label + 1);
    let mut printer = Printer { defined: HashSet::new(), pool: label_number(labels) };
    let mut lines: Vec<String> = code.iter().map(|instruction| printer.instruction(instruction)).collect();
    lines.extend(directives(pool, printer.pool, 16, ".word"));
    lines
}

struct Printer {
    /// The labels above.
    defined: HashSet<usize>,
    pool: usize,
}

impl Printer {
    fn instruction(&mut self, instruction: &Instruction<Aarch64>) -> String {
        let mut name = instruction.opcode.text();
        let mut operands: Vec<String> = instruction.operands.iter().map(|operand| self.operand(operand)).collect();
        match instruction.opcode {
            Opcode::Label => {
                let label = instruction.label().expect("a label has a number");
                self.defined.insert(label);
                return format!("{}:", label_number(label));
            }
            // A shifted immediate has its shift as a further operand.
            Opcode::Movz | Opcode::Movn | Opcode::Movk => {
                let shift = operands.pop().expect("a shift is given");
                operands.push(format!("lsl {shift}"));
            }
            Opcode::Add | Opcode::Sub if operands.len() == 4 => {
                let shift = operands.pop().expect("a shift is given");
                operands.push(format!("lsl {shift}"));
            }
            Opcode::CsetmLower => operands.push("lo".to_string()),
            Opcode::Prfm => {
                name = if is_unscaled(instruction) { "prfum" } else { name };
                operands.insert(0, "pldl2keep".to_string());
            }
            Opcode::Ldr if is_unscaled(instruction) => name = "ldur",
            Opcode::Str if is_unscaled(instruction) => name = "stur",
            _regular => {}
        }
        if operands.is_empty() { name.to_string() } else { format!("{name} {}", operands.join(", ")) }
    }

    fn operand(&self, operand: &Operand<View>) -> String {
        match operand {
            Operand::Register(register, view) => register_name(*register, *view),
            Operand::Memory(memory) => self.address(memory),
            Operand::Immediate(number) => format!("#{number}"),
            Operand::Label(label) => {
                let direction = if self.defined.contains(label) { 'b' } else { 'f' };
                format!("{}{direction}", label_number(*label))
            }
        }
    }

    fn address(&self, memory: &Memory) -> String {
        let base = match memory.base {
            Base::Register(register) => register_name(register, View::X),
            Base::Frame => "sp".to_string(),
            Base::Pool if memory.displacement == 0 => return format!("{}f", self.pool),
            Base::Pool => return format!("{}f + {}", self.pool, memory.displacement),
        };
        if memory.displacement == 0 { format!("[{base}]") } else { format!("[{base}, #{}]", memory.displacement) }
    }
}

/// Whether an access needs the form with a small signed displacement.
fn is_unscaled(instruction: &Instruction<Aarch64>) -> bool {
    instruction.operands.iter().any(|operand| match operand {
        Operand::Memory(memory) => {
            let unit = if instruction.opcode == Opcode::Prfm { 8 } else { memory.bytes as i64 };
            memory.base != Base::Pool && (memory.displacement < 0 || memory.displacement % unit != 0)
        }
        Operand::Register(..) | Operand::Immediate(_) | Operand::Label(_) => false,
    })
}

fn register_name(register: Register, view: View) -> String {
    let number = register.number;
    match (register.class, view) {
        (Class::General, View::W) => format!("w{number}"),
        (Class::General, _double) if number == 31 => "sp".to_string(),
        (Class::General, _double) => format!("x{number}"),
        (_vector, View::H) => format!("h{number}"),
        (_vector, View::S) => format!("s{number}"),
        (_vector, View::D) => format!("d{number}"),
        (_vector, View::Q) => format!("q{number}"),
        (_vector, View::Bytes) => format!("v{number}.16b"),
        (_vector, View::Halves) => format!("v{number}.4h"),
        (_vector, View::WordPair) => format!("v{number}.2s"),
        (_vector, View::Element) => format!("v{number}.s[0]"),
        (_vector, View::Doubles) => format!("v{number}.2d"),
        (_vector, View::Words | View::W | View::X) => format!("v{number}.4s"),
    }
}
