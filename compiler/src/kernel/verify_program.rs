//! Checks that the steps of a program fit together: every buffer lies where there is room for it, and what is read is
//! what was written.
//!
//! The arena is walked step by step, a line of 64 bytes at a time: each line knows the buffer that was written there last.
//! A buffer is a run of lines, so two that lie alike and are alive together pass for one; that no two such are ever made
//! is what the placing of buffers sees to. Which words of a buffer a step writes is the business of its kernel.
//!
//! A kernel that looks positions up is verified once more with the tables it is given.

use super::{Argument, Buffer, BufferId, Callee, Program, Step};

/// Words in a line of 64 bytes; buffers in the arena begin with one, and share none.
const LINE: usize = 16;

/// A run of lines in the arena: the first, and how many.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Run {
    first: usize,
    lines: usize,
}

/// What the steps so far have left in memory.
struct Memory {
    /// For each line of the arena, the buffer written there last and the step that wrote it.
    lines: Vec<Option<(Run, usize)>>,
    /// Whether each output has been written.
    outputs: Vec<bool>,
}

impl Program {
    /// Panics with a description when steps don't fit together; so many words of constants are there, and these tables.
    pub fn verify(&self, constants: usize, tables: &[u32]) {
        let lines = vec![None; self.arena_words.div_ceil(LINE)];
        let mut memory = Memory { lines, outputs: vec![false; self.outputs.len()] };
        for (number, step) in self.steps.iter().enumerate() {
            let buffers = self.buffers(step);
            assert_eq!(step.arguments.len(), buffers.len(), "{}: an argument for every buffer", step.name);
            for (argument, buffer) in step.arguments.iter().zip(buffers) {
                self.check_room(step, *argument, buffer, constants, tables.len());
            }
            self.check_tables(step, tables);
            self.check_apart(step);
            let arguments = || step.arguments.iter().zip(buffers);
            for (argument, buffer) in arguments().filter(|(_, buffer)| !buffer.writable) {
                self.check_read(&memory, step, *argument, buffer);
            }
            for (argument, buffer) in arguments().filter(|(_, buffer)| buffer.writable) {
                memory.write(*argument, buffer, number);
            }
        }
        for (output, written) in self.outputs.iter().zip(&memory.outputs) {
            assert!(written, "output {} is never written", output.name);
        }
    }

    /// A buffer lies within the memory it is in, and only what may be written is.
    fn check_room(&self, step: &Step, argument: Argument, buffer: &Buffer, constants: usize, tables: usize) {
        let words = |shape: &[usize]| shape.iter().product::<usize>();
        let (room, from, writable, place) = match argument {
            Argument::Arena(at) => (self.arena_words, at, true, "the arena"),
            Argument::Constants(at) => (constants, at, false, "the constants"),
            Argument::Tables(at) => (tables, at, false, "the tables"),
            Argument::Input(number) => (words(&self.inputs[number].shape), 0, false, "the input"),
            Argument::Output(number) => (words(&self.outputs[number].shape), 0, true, "the output"),
        };
        let (name, end) = (&buffer.name, from + buffer.words());
        assert!(end <= room, "{}: {name} ends at word {end} of {room} of {place}", step.name);
        assert!(from.is_multiple_of(LINE), "{}: {name} begins within a line of {place}", step.name);
        assert!(writable || !buffer.writable, "{}: {name} is written among {place}", step.name);
    }

    /// No position that a step's kernel looks up leads out of a buffer.
    fn check_tables(&self, step: &Step, tables: &[u32]) {
        let arguments = step.arguments.iter().zip(self.buffers(step)).enumerate();
        let looked_up: Vec<(BufferId, &[u32])> = arguments
            .filter_map(|(number, (argument, buffer))| match argument {
                Argument::Tables(at) => Some((BufferId(number), &tables[*at..at + buffer.words()])),
                Argument::Arena(_) | Argument::Constants(_) | Argument::Input(_) | Argument::Output(_) => None,
            })
            .collect();
        if let (Callee::Kernel(kernel), false) = (&step.callee, looked_up.is_empty()) {
            self.kernels[*kernel].verify_with(&looked_up);
        }
    }

    /// What a step writes overlaps nothing else that it touches.
    fn check_apart(&self, step: &Step) {
        let buffers = self.buffers(step);
        for (i, (argument, buffer)) in step.arguments.iter().zip(buffers).enumerate().filter(|(_, (_, b))| b.writable) {
            for (j, (other, other_buffer)) in step.arguments.iter().zip(buffers).enumerate() {
                let overlap = match (argument, other) {
                    (Argument::Arena(a), Argument::Arena(b)) => {
                        run(*a, buffer.words()).overlaps(run(*b, other_buffer.words()))
                    }
                    (Argument::Output(a), Argument::Output(b)) => a == b,
                    (
                        Argument::Arena(_)
                        | Argument::Output(_)
                        | Argument::Constants(_)
                        | Argument::Tables(_)
                        | Argument::Input(_),
                        _,
                    ) => false,
                };
                assert!(i == j || !overlap, "{}: {} lies over {}", step.name, buffer.name, other_buffer.name);
            }
        }
    }

    /// What a step reads has been written, and nothing else has been written over it.
    fn check_read(&self, memory: &Memory, step: &Step, argument: Argument, buffer: &Buffer) {
        match argument {
            Argument::Arena(at) => {
                let run = run(at, buffer.words());
                for line in &memory.lines[run.first..run.first + run.lines] {
                    match line {
                        None => panic!("{} reads {}, which no step has written", step.name, buffer.name),
                        Some((writer, _)) if *writer == run => {}
                        Some((_, number)) => {
                            let by = &self.steps[*number].name;
                            panic!("{} reads {}, over which {by} has written", step.name, buffer.name)
                        }
                    }
                }
            }
            Argument::Output(number) => {
                let (name, written) = (&self.outputs[number].name, memory.outputs[number]);
                assert!(written, "{} reads output {name}, which no step has written", step.name);
            }
            Argument::Constants(_) | Argument::Tables(_) | Argument::Input(_) => {}
        }
    }
}

impl Memory {
    fn write(&mut self, argument: Argument, buffer: &Buffer, step: usize) {
        match argument {
            Argument::Arena(at) => {
                let run = run(at, buffer.words());
                self.lines[run.first..run.first + run.lines].fill(Some((run, step)));
            }
            Argument::Output(number) => self.outputs[number] = true,
            Argument::Constants(_) | Argument::Tables(_) | Argument::Input(_) => {
                unreachable!("these are never written")
            }
        }
    }
}

/// The lines of a buffer that begins at this word of the arena.
fn run(at: usize, words: usize) -> Run {
    Run { first: at / LINE, lines: words.div_ceil(LINE) }
}

impl Run {
    fn overlaps(self, other: Self) -> bool {
        self.first < other.first + other.lines && other.first < self.first + self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Address, Builder, Callee, Kernel, Port, Type};
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const WORDS: usize = 32;

    /// A kernel that copies one word.
    fn copy() -> Kernel {
        let mut builder = Builder::new("copy", 4, 1);
        let (from, to) = (builder.input("from", WORDS), builder.output("to", WORDS));
        let word = builder.load(Type::Scalar, Address::new(from, 0));
        builder.store(Address::new(to, 0), word);
        builder.finish()
    }

    /// A program with room for two buffers whose steps copy from here to there.
    fn copies(steps: &[(Argument, Argument)]) -> Program {
        let port = |name: &str| Port { name: name.to_string(), shape: vec![WORDS], extents: None, integer: false };
        let step = |(number, (from, to)): (usize, &(Argument, Argument))| Step {
            name: ["first", "second", "third"][number].to_string(),
            how: String::new(),
            callee: Callee::Kernel(0),
            arguments: vec![*from, *to],
        };
        Program {
            kernels: vec![copy()],
            steps: steps.iter().enumerate().map(step).collect(),
            arena_words: 2 * WORDS,
            constants: [].into(),
            tables: [].into(),
            inputs: vec![port("in0")],
            outputs: vec![port("out0")],
        }
    }

    /// What the verifier complains of.
    fn complaint(steps: &[(Argument, Argument)]) -> String {
        let program = copies(steps);
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| program.verify(WORDS, &[]))) else { return String::new() };
        panic.downcast_ref::<String>().expect("a panic with a text").clone()
    }

    #[test]
    fn steps_that_do_not_fit_together_are_found() {
        use Argument::{Arena, Constants, Input, Output};
        assert_eq!(complaint(&[(Input(0), Arena(0)), (Arena(0), Output(0))]), "");
        assert_eq!(complaint(&[(Arena(0), Output(0))]), "first reads from, which no step has written");
        assert_eq!(complaint(&[(Input(0), Arena(0))]), "output out0 is never written");
        assert_eq!(complaint(&[(Constants(16), Output(0))]), "first: from ends at word 48 of 32 of the constants");
        assert_eq!(complaint(&[(Input(0), Arena(48))]), "first: to ends at word 80 of 64 of the arena");
        assert_eq!(complaint(&[(Input(0), Arena(4))]), "first: to begins within a line of the arena");
        assert_eq!(complaint(&[(Constants(0), Input(0))]), "first: to is written among the input");
        assert_eq!(complaint(&[(Input(0), Arena(0)), (Arena(0), Arena(16))]), "second: to lies over from");
        assert_eq!(
            complaint(&[(Input(0), Arena(0)), (Input(0), Arena(16)), (Arena(0), Output(0))]),
            "third reads from, over which second has written"
        );
        assert_eq!(complaint(&[(Output(0), Arena(0))]), "first reads output out0, which no step has written");
    }
}
