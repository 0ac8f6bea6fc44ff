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
/// A run of memory that is written after it was read begins a new life: what it held is no longer wanted. What no other
/// step reads is a step's own: each step that writes there begins a new life.
pub fn lives(program: &Program) -> Vec<Life> {
    let mut current: HashMap<(usize, usize), usize> = HashMap::new();
    let mut lives: Vec<Written> = Vec::new();
    for (number, step) in program.steps.iter().enumerate() {
        let buffers = program.buffers(step);
        let in_arena = || {
            step.arguments.iter().zip(buffers).filter_map(|(argument, buffer)| match argument {
                Argument::Arena(offset) => Some(((*offset * 4, buffer.words() * 4), buffer.writable)),
                Argument::Constants(_) | Argument::Tables(_) | Argument::Input(_) | Argument::Output(_) => None,
            })
        };
        for (place, _) in in_arena().filter(|(_, written)| !written) {
            if let Some(life) = current.get(&place) {
                lives[*life].last_read = Some(number);
            }
        }
        for (place, _) in in_arena().filter(|(_, written)| *written) {
            let going_on = current.get(&place).copied().filter(|life| lives[*life].last_read.is_none());
            let life = going_on.unwrap_or(lives.len());
            if life == lives.len() {
                lives.push(Written { place, writers: Vec::new(), last_read: None });
                current.insert(place, life);
            }
            lives[life].writers.push((number, &step.name));
        }
    }
    let mut lives: Vec<Life> = lives.iter().flat_map(Written::lives).collect();
    lives.sort_by_key(|life| life.first);
    lives
}

/// A run of memory that steps write, one after the other, until others read it.
struct Written<'p> {
    /// Where it begins and how long it is, in bytes.
    place: (usize, usize),
    /// The steps that write it, with their names.
    writers: Vec<(usize, &'p String)>,
    /// The last step that reads it.
    last_read: Option<usize>,
}

impl Written<'_> {
    fn lives(&self) -> Vec<Life> {
        let (offset, bytes) = self.place;
        let life = |first, last, name| Life { name, offset, bytes, first, last };
        match (self.last_read, &self.writers[..]) {
            (Some(last), [(first, _), .., (_, name)] | [(first, name)]) => vec![life(*first, last, (*name).clone())],
            (_, own) => own.iter().map(|(step, name)| life(*step, *step, format!("within {name}"))).collect(),
        }
    }
}
