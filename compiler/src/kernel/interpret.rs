//! Runs kernels and programs element by element: what emitted code must equal, to the bit.

use super::{Address, Argument, Callee, Custom, CustomFunction, Kernel, Op, Program, Statement, Type, ValueId};

/// Runs every task of a kernel on its buffers, given in order as words of memory.
///
/// # Panics
/// When an access leaves its buffer: the verifier has let a defect pass.
pub fn interpret_kernel(kernel: &Kernel, buffers: &mut [Vec<u32>]) {
    let mut machine = Machine {
        kernel,
        values: kernel.values.iter().map(|ty| vec![0; kernel.words_of(*ty)]).collect(),
        indices: vec![0; kernel.values.len()],
        variables: kernel.variables.iter().map(|ty| vec![0; kernel.words_of(*ty)]).collect(),
    };
    for task in 0..kernel.tasks {
        machine.indices[kernel.task.0] = task as i64;
        machine.body(&kernel.body, buffers);
    }
}

/// Runs a program on its inputs; gives its outputs.
///
/// # Panics
/// When it calls a function of the user's: see [`interpret_program_with`].
pub fn interpret_program(program: &Program, inputs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    interpret_program_with(program, &[], inputs)
}

/// Runs a program that calls `functions`, by their numbers, on its inputs; gives its outputs.
///
/// # Panics
/// When a function is missing.
pub fn interpret_program_with(program: &Program, functions: &[CustomFunction], inputs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    // What no step has written yet must never be read: quiet NaNs make it show.
    const UNWRITTEN: u32 = 0x7fc0_dead;
    let mut arena = vec![UNWRITTEN; program.arena_words];
    let mut outputs: Vec<Vec<u32>> =
        program.outputs.iter().map(|port| vec![UNWRITTEN; port.shape.iter().product()]).collect();
    for step in &program.steps {
        let mut buffers: Vec<Vec<u32>> = step
            .arguments
            .iter()
            .zip(program.buffers(step))
            .map(|(argument, buffer)| match argument {
                Argument::Arena(offset) => arena[*offset..offset + buffer.words()].to_vec(),
                Argument::Constants(offset) => program.constants[*offset..offset + buffer.words()].to_vec(),
                Argument::Tables(offset) => program.tables[*offset..offset + buffer.words()].to_vec(),
                Argument::Input(i) => inputs[*i].clone(),
                Argument::Output(i) => outputs[*i].clone(),
            })
            .collect();
        match &step.callee {
            Callee::Kernel(kernel) => interpret_kernel(&program.kernels[*kernel], &mut buffers),
            Callee::Custom(custom) => {
                let function = functions.get(custom.function);
                let function = function.unwrap_or_else(|| panic!("{} needs function {}", step.name, custom.function));
                call(*function, custom, &mut buffers);
            }
        }
        for ((argument, buffer), words) in step.arguments.iter().zip(program.buffers(step)).zip(buffers) {
            match argument {
                Argument::Arena(offset) if buffer.writable => {
                    arena[*offset..offset + buffer.words()].copy_from_slice(&words);
                }
                Argument::Output(i) if buffer.writable => outputs[*i] = words,
                Argument::Arena(_)
                | Argument::Output(_)
                | Argument::Constants(_)
                | Argument::Tables(_)
                | Argument::Input(_) => {}
            }
        }
    }
    outputs
}

/// Calls a function of the user's on its buffers: those it reads come first.
fn call(function: CustomFunction, custom: &Custom, buffers: &mut [Vec<u32>]) {
    let floats = |words: &Vec<u32>| words.iter().map(|word| f32::from_bits(*word)).collect::<Vec<f32>>();
    let mut floats: Vec<Vec<f32>> = buffers.iter().map(floats).collect();
    let first_written = custom.buffers.iter().position(|buffer| buffer.writable).unwrap_or(buffers.len());
    let (read, written) = floats.split_at_mut(first_written);
    let read: Vec<&[f32]> = read.iter().map(Vec::as_slice).collect();
    let mut filled: Vec<&mut [f32]> = written.iter_mut().map(Vec::as_mut_slice).collect();
    function(&read, &mut filled);
    for (words, values) in buffers[first_written..].iter_mut().zip(written) {
        *words = values.iter().map(|value| value.to_bits()).collect();
    }
}

impl Kernel {
    /// Words in a value of this type; an index is kept apart.
    fn words_of(&self, ty: Type) -> usize {
        match ty {
            Type::Vector | Type::Doubles => self.lanes,
            Type::Double => 2,
            Type::Scalar => 1,
            Type::Index => 0,
        }
    }
}

/// The words of a 64-bit float, the low one first.
fn double_words(double: f64) -> [u32; 2] {
    let bits = double.to_bits();
    [bits as u32, (bits >> 32) as u32]
}

struct Machine<'k> {
    kernel: &'k Kernel,
    values: Vec<Vec<u32>>,
    indices: Vec<i64>,
    variables: Vec<Vec<u32>>,
}

impl Machine<'_> {
    fn sum(&self, terms: &[(ValueId, i64)], offset: i64) -> i64 {
        offset + terms.iter().map(|(value, stride)| self.indices[value.0] * stride).sum::<i64>()
    }

    fn position(&self, address: &Address) -> usize {
        usize::try_from(self.sum(&address.terms, address.offset)).expect("an access before its buffer")
    }

    fn element(&self, address: &Address, at: usize, buffers: &[Vec<u32>]) -> u32 {
        self.kernel.buffers[address.buffer.0].format.load(&buffers[address.buffer.0], at)
    }

    /// The lanes of a value in double precision.
    fn doubles(&self, value: ValueId) -> Vec<f64> {
        let word_pairs = self.values[value.0].as_chunks().0;
        word_pairs.iter().map(|[low, high]| f64::from_bits(u64::from(*high) << 32 | u64::from(*low))).collect()
    }

    fn body(&mut self, body: &[Statement], buffers: &mut [Vec<u32>]) {
        for statement in body {
            match statement {
                Statement::Let(value, op) => self.define(*value, op, buffers),
                Statement::Set(variable, value) => self.variables[variable.0] = self.values[value.0].clone(),
                Statement::Store(address, value) => {
                    let at = self.position(address);
                    let format = self.kernel.buffers[address.buffer.0].format;
                    for (lane, word) in self.values[value.0].iter().enumerate() {
                        format.store(&mut buffers[address.buffer.0], at + lane, *word);
                    }
                }
                Statement::For { index, extent, body } => {
                    for i in 0..*extent {
                        self.indices[index.0] = i as i64;
                        self.body(body, buffers);
                    }
                }
                Statement::While { test, condition, body } => loop {
                    self.body(test, buffers);
                    if self.values[condition.0][0] == 0 {
                        break;
                    }
                    self.body(body, buffers);
                },
                Statement::If { condition, then, otherwise } => {
                    let taken = if self.values[condition.0][0] != 0 { then } else { otherwise };
                    self.body(taken, buffers);
                }
                Statement::Prefetch(_) => {}
            }
        }
    }

    fn define(&mut self, value: ValueId, op: &Op, buffers: &[Vec<u32>]) {
        let words = self.kernel.words_of(self.kernel.values[value.0]);
        let result = match op {
            Op::Constant(bits) => vec![*bits; words],
            Op::Load(address) => {
                let at = self.position(address);
                (at..at + words).map(|at| self.element(address, at, buffers)).collect()
            }
            Op::Broadcast(address) => vec![self.element(address, self.position(address), buffers); words],
            Op::Splat(scalar) => vec![self.values[scalar.0][0]; words],
            Op::Apply(instruction, operands) => (0..words)
                .map(|lane| {
                    let mut lanes = [0; 3];
                    for (slot, operand) in lanes.iter_mut().zip(operands) {
                        *slot = self.values[operand.0][lane];
                    }
                    instruction.lane(&lanes[..operands.len()])
                })
                .collect(),
            Op::Get(variable) => self.variables[variable.0].clone(),
            Op::Rotate(vector, distance) => {
                let lanes = &self.values[vector.0];
                let distance = distance * self.kernel.values[value.0].lane_words();
                (0..words).map(|word| lanes[(word + distance) % words]).collect()
            }
            Op::First(vector) => self.values[vector.0][..words].to_vec(),
            Op::Widen(vector, half) => {
                let count = words / 2;
                let floats = self.values[vector.0][half * count..].iter().take(count);
                floats.flat_map(|word| double_words(f64::from(f32::from_bits(*word)))).collect()
            }
            Op::MultiplyAdd(operands) => {
                let [a, b, c] = operands.map(|operand| self.doubles(operand));
                (0..words / 2).flat_map(|lane| double_words(a[lane] * b[lane] + c[lane])).collect()
            }
            Op::AddDoubles(operands) => {
                let [a, b] = operands.map(|operand| self.doubles(operand));
                (0..words / 2).flat_map(|lane| double_words(a[lane] + b[lane])).collect()
            }
            Op::Narrow(halves) => {
                let doubles = halves.iter().flat_map(|half| self.doubles(*half));
                doubles.map(|double| (double as f32).to_bits()).collect()
            }
            Op::ScalarFrom(index) => vec![self.indices[index.0] as u32],
            Op::IndexWithin(index, extent) => {
                let at = self.indices[index.0];
                vec![if (0..*extent).contains(&at) { u32::MAX } else { 0 }]
            }
            Op::IndexConstant(constant) => return self.indices[value.0] = *constant,
            Op::IndexSum(terms, offset) => return self.indices[value.0] = self.sum(terms, *offset),
            Op::IndexFrom(scalar) => return self.indices[value.0] = i64::from(self.values[scalar.0][0] as i32),
        };
        self.values[value.0] = result;
    }
}
