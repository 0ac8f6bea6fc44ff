//! When which part of the arena holds what, read off a program's steps.

use ncnnc_compiler::kernel::{Argument, Program};
use std::collections::HashMap;

/// A tensor's time in the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The last step that wrote it.
    pub name: String,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// How long it is, in bytes.
    pub bytes: usize,
    /// The first step that touches it.
    pub first: usize,
    /// The last one.
    pub last: usize,
}

/// Every tensor's time in the arena, in the order in which they begin.
///
/// A run of memory that is written after it was read begins a new life: what it held is no longer wanted.
pub fn lives(program: &Program) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    // By place and length: the life that is going on there, and whether it has been read.
    let mut current: HashMap<(usize, usize), (usize, bool)> = HashMap::new();
    for (number, step) in program.steps.iter().enumerate() {
        let buffers = program.buffers(step);
        let in_arena = || {
            step.arguments.iter().zip(buffers).filter_map(|(argument, buffer)| match argument {
                Argument::Arena(offset) => Some((*offset * 4, buffer)),
                Argument::Constants(_) | Argument::Tables(_) | Argument::Input(_) | Argument::Output(_) => None,
            })
        };
        for (offset, buffer) in in_arena().filter(|(_, buffer)| !buffer.writable) {
            if let Some((life, read)) = current.get_mut(&(offset, buffer.words())) {
                lives[*life].last = number;
                *read = true;
            }
        }
        for (offset, buffer) in in_arena().filter(|(_, buffer)| buffer.writable) {
            match current.get(&(offset, buffer.words())) {
                Some((life, false)) => {
                    lives[*life].last = number;
                    lives[*life].name.clone_from(&step.name);
                }
                Some((_, true)) | None => {
                    current.insert((offset, buffer.words()), (lives.len(), false));
                    let (name, bytes) = (step.name.clone(), buffer.words() * 4);
                    lives.push(Life { name, offset, bytes, first: number, last: number });
                }
            }
        }
    }
    lives
}
