//! How long every virtual register is needed.
//!
//! A register's interval runs from its first to its last live position; instruction `i` reads at `2 * i` and writes at
//! `2 * i + 1`. Must not know machines.

use super::machine::{Flow, Instruction, Machine};
use std::collections::HashMap;

/// A register's interval, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first position.
    pub start: usize,
    /// The last position.
    pub end: usize,
}

impl Interval {
    fn cover(&mut self, position: usize) {
        self.start = self.start.min(position);
        self.end = self.end.max(position);
    }
}

/// A set of register numbers.
#[derive(Clone, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn new(registers: usize) -> Self {
        Self(vec![0; registers.div_ceil(64)])
    }

    fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    fn contains(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| 64 * word + bit))
    }
}

/// A run of instructions entered only at its start and left only at its end.
struct Block {
    start: usize,
    end: usize,
    next: Vec<usize>,
    /// Read before they are written.
    reads: Set,
    writes: Set,
    live_in: Set,
}

/// The intervals of all registers that occur, and the registers that are read before anything is written to them.
pub fn intervals<M: Machine>(code: &[Instruction<M>], registers: usize) -> (Vec<Option<Interval>>, Vec<usize>) {
    let mut blocks = blocks(code, registers);
    let mut changed = true;
    while changed {
        changed = false;
        for number in (0..blocks.len()).rev() {
            let mut live = live_out(&blocks, number, registers);
            let block = &blocks[number];
            for (word, live) in live.0.iter_mut().enumerate() {
                *live = block.reads.0[word] | (*live & !block.writes.0[word]);
            }
            changed |= live != block.live_in;
            blocks[number].live_in = live;
        }
    }
    let mut intervals: Vec<Option<Interval>> = vec![None; registers];
    let mut cover = |number: usize, position: usize| {
        intervals[number].get_or_insert(Interval { start: position, end: position }).cover(position);
    };
    for (number, block) in blocks.iter().enumerate() {
        block.live_in.members().for_each(|register| cover(register, 2 * block.start));
        for (at, instruction) in code.iter().enumerate().take(block.end).skip(block.start) {
            instruction.reads(|register| cover(register.number, 2 * at));
            if let Some(register) = instruction.writes() {
                cover(register.number, 2 * at + 1);
            }
        }
        live_out(&blocks, number, registers).members().for_each(|register| cover(register, 2 * block.end - 1));
    }
    let unset = blocks.first().map_or(Vec::new(), |block| block.live_in.members().collect());
    (intervals, unset)
}

fn live_out(blocks: &[Block], number: usize, registers: usize) -> Set {
    let mut live = Set::new(registers);
    for next in &blocks[number].next {
        for (live, next) in live.0.iter_mut().zip(&blocks[*next].live_in.0) {
            *live |= next;
        }
    }
    live
}

fn blocks<M: Machine>(code: &[Instruction<M>], registers: usize) -> Vec<Block> {
    let mut starts = vec![0];
    for (at, instruction) in code.iter().enumerate() {
        match M::flow(instruction.opcode) {
            Flow::Next => {}
            Flow::Label => starts.push(at),
            Flow::Branch | Flow::Jump => starts.push(at + 1),
        }
    }
    starts.dedup();
    starts.retain(|start| *start < code.len());
    let labels: HashMap<usize, usize> = starts
        .iter()
        .enumerate()
        .filter(|(_, start)| M::flow(code[**start].opcode) == Flow::Label)
        .map(|(number, start)| (code[*start].label().expect("a label has a number"), number))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    starts
        .iter()
        .zip(ends)
        .enumerate()
        .map(|(number, (&start, end))| {
            let last = &code[end - 1];
            let target = || labels[&last.label().expect("a jump has a label")];
            let fall = (end < code.len()).then_some(number + 1);
            let next = match M::flow(last.opcode) {
                Flow::Next | Flow::Label => fall.into_iter().collect(),
                Flow::Branch => fall.into_iter().chain([target()]).collect(),
                Flow::Jump => vec![target()],
            };
            let (mut reads, mut writes) = (Set::new(registers), Set::new(registers));
            for instruction in &code[start..end] {
                instruction.reads(|register| {
                    if !writes.contains(register.number) {
                        reads.insert(register.number);
                    }
                });
                instruction.writes().into_iter().for_each(|register| writes.insert(register.number));
            }
            Block { start, end, next, reads, writes, live_in: Set::new(registers) }
        })
        .collect()
}
