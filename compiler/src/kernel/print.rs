//! Kernels and programs as text.

use super::{Address, Kernel, Op, Port, Program, Statement, Type, ValueId};
use std::collections::HashMap;
use std::fmt::{self, Display, Write};

impl Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let buffers: Vec<String> = self
            .buffers
            .iter()
            .map(|b| {
                let (writable, format) = (if b.writable { "mut " } else { "" }, b.format);
                let format = if format.is_narrow() { format!(" {}", format.text()) } else { String::new() };
                format!("{writable}{}: {}{format}", b.name, b.elements)
            })
            .collect();
        writeln!(f, "kernel {}({}) lanes {} tasks {} {{", self.name, buffers.join(", "), self.lanes, self.tasks)?;
        let mut printer = Printer { kernel: self, names: HashMap::new(), out: String::new() };
        printer.names.insert(self.task, "task".to_string());
        printer.body(&self.body, 1)?;
        f.write_str(&printer.out)?;
        writeln!(f, "}}")
    }
}

struct Printer<'a> {
    kernel: &'a Kernel,
    names: HashMap<ValueId, String>,
    out: String,
}

impl Printer<'_> {
    /// Values are numbered in the order of their definition, by type: `v0` vectors, `s1` scalars, `w2` doubles in vectors,
    /// `d3` single doubles, `i4` indices.
    fn define(&mut self, value: ValueId) -> String {
        let letter = match self.kernel.values[value.0] {
            Type::Vector => "v",
            Type::Scalar => "s",
            Type::Doubles => "w",
            Type::Double => "d",
            Type::Index => "i",
        };
        let number = self.names.values().filter(|name| name.starts_with(letter)).count();
        let name = format!("{letter}{number}");
        self.names.insert(value, name.clone());
        name
    }

    fn name(&self, value: ValueId) -> &str {
        self.names.get(&value).map_or("undefined", String::as_str)
    }

    fn names(&self, values: &[ValueId]) -> String {
        values.iter().map(|value| self.name(*value)).collect::<Vec<_>>().join(", ")
    }

    fn sum(&self, terms: &[(ValueId, i64)], offset: i64) -> String {
        let mut parts: Vec<String> = terms
            .iter()
            .map(
                |(v, stride)| {
                    if *stride == 1 { self.name(*v).to_string() } else { format!("{stride}*{}", self.name(*v)) }
                },
            )
            .collect();
        if offset != 0 || parts.is_empty() {
            parts.push(offset.to_string());
        }
        parts.join(" + ")
    }

    fn address(&self, address: &Address) -> String {
        let buffer = &self.kernel.buffers[address.buffer.0].name;
        format!("{buffer}[{}]", self.sum(&address.terms, address.offset))
    }

    fn op(&self, op: &Op) -> String {
        match op {
            Op::Constant(bits) => format!("{:?}", f32::from_bits(*bits)),
            Op::Load(address) => format!("load {}", self.address(address)),
            Op::Broadcast(address) => format!("broadcast {}", self.address(address)),
            Op::Splat(value) => format!("splat({})", self.name(*value)),
            Op::Apply(instruction, operands) => {
                format!("{}({})", instruction.text(), self.names(operands))
            }
            Op::Get(variable) => format!("var{}", variable.0),
            Op::Rotate(value, distance) => format!("rotate({}, {distance})", self.name(*value)),
            Op::First(value) => format!("first({})", self.name(*value)),
            Op::Widen(value, half) => format!("widen({}, {half})", self.name(*value)),
            Op::MultiplyAdd(operands) => format!("multiply_add({})", self.names(operands)),
            Op::AddDoubles(operands) => format!("add_doubles({})", self.names(operands)),
            Op::Narrow(halves) => format!("narrow({})", self.names(halves)),
            Op::IndexConstant(value) => value.to_string(),
            Op::IndexSum(terms, offset) => self.sum(terms, *offset),
            Op::IndexFrom(value) => format!("index({})", self.name(*value)),
            Op::ScalarFrom(value) => format!("scalar({})", self.name(*value)),
            Op::IndexWithin(value, extent) => format!("within({}, {extent})", self.name(*value)),
        }
    }

    fn body(&mut self, body: &[Statement], depth: usize) -> fmt::Result {
        let pad = "    ".repeat(depth);
        for statement in body {
            match statement {
                Statement::Let(value, op) => {
                    let text = self.op(op);
                    let name = self.define(*value);
                    writeln!(self.out, "{pad}{name} = {text}")?;
                }
                Statement::Set(variable, value) => {
                    let text = format!("{pad}var{} := {}\n", variable.0, self.name(*value));
                    self.out.push_str(&text);
                }
                Statement::Store(address, value) => {
                    let text = format!("{pad}store {} = {}\n", self.address(address), self.name(*value));
                    self.out.push_str(&text);
                }
                Statement::For { index, extent, body } => {
                    let name = self.define(*index);
                    writeln!(self.out, "{pad}for {name} in 0..{extent} {{")?;
                    self.body(body, depth + 1)?;
                    writeln!(self.out, "{pad}}}")?;
                }
                Statement::While { test, condition, body } => {
                    writeln!(self.out, "{pad}while {{")?;
                    self.body(test, depth + 1)?;
                    let text = format!("{pad}}} {} {{\n", self.name(*condition));
                    self.out.push_str(&text);
                    self.body(body, depth + 1)?;
                    writeln!(self.out, "{pad}}}")?;
                }
                Statement::If { condition, then, otherwise } => {
                    let text = format!("{pad}if {} {{\n", self.name(*condition));
                    self.out.push_str(&text);
                    self.body(then, depth + 1)?;
                    if !otherwise.is_empty() {
                        writeln!(self.out, "{pad}}} else {{")?;
                        self.body(otherwise, depth + 1)?;
                    }
                    writeln!(self.out, "{pad}}}")?;
                }
                Statement::Prefetch(address) => {
                    let text = format!("{pad}prefetch {}\n", self.address(address));
                    self.out.push_str(&text);
                }
            }
        }
        Ok(())
    }
}

impl Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let ports = |f: &mut fmt::Formatter, kind: &str, ports: &[Port]| {
            ports.iter().try_for_each(|port| {
                let element = if port.integer { "i32" } else { "f32" };
                let shape = port.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
                let sized =
                    port.extents.map_or(String::new(), |at| format!(" at most, as {} says", self.outputs[at].name));
                writeln!(f, "{kind} {}: {element}[{shape}]{sized}", port.name)
            })
        };
        ports(f, "input", &self.inputs)?;
        ports(f, "output", &self.outputs)?;
        write!(f, "arena of {} words, constants of {} words", self.arena_words, self.constants.len())?;
        if !self.tables.is_empty() {
            write!(f, ", tables of {} words", self.tables.len())?;
        }
        writeln!(f)?;
        for (number, step) in self.steps.iter().enumerate() {
            let first = self.steps.iter().position(|other| other.callee == step.callee).unwrap_or(number);
            let shared =
                if first < number { format!("; by the kernel of {}", self.steps[first].name) } else { String::new() };
            writeln!(f, "{}: {}{shared}", step.name, step.how)?;
        }
        Ok(())
    }
}
