//! From virtual registers to the machine's.
//!
//! Where more registers are live than there are, those whose uses weigh least for what they are live over are kept in
//! memory, or made again where they can be; what then remains is coloured in the order of its start, which always succeeds.
//! Must not know machines.

use super::liveness::{Interval, intervals};
use super::machine::{Base, Class, Flow, Instruction, Machine, Memory, Operand, Register, Role};
use std::collections::{HashMap, HashSet};

/// Code on the machine's registers.
pub struct Allocated<M: Machine> {
    /// The instructions.
    pub code: Vec<Instruction<M>>,
    /// The registers in use, in order.
    pub used: Vec<Register>,
    /// Bytes of the spill area.
    pub frame_bytes: usize,
}

/// A use in a loop weighs as much as so many outside.
const LOOP_WEIGHT: f64 = 8.0;
/// What is updated again and again is mostly a sum: from memory, every update would wait for the store before it.
const UPDATE_WEIGHT: f64 = 16.0;
/// A constant made again where it is used is most often a memory operand: it costs less than a spill.
const RECIPE_WEIGHT: f64 = 0.25;

/// How to make the contents of registers again, instead of keeping them. Nothing else writes such a register.
pub struct Recipes<M: Machine> {
    /// Good anywhere: constants.
    pub constants: HashMap<Register, Instruction<M>>,
    /// Good up to the next label or jump, where pointers move: loads from buffers that are only read.
    pub loads: HashMap<Register, Instruction<M>>,
}

/// What allocation knows while it works.
struct Allocator<M: Machine> {
    machine: M,
    code: Vec<Instruction<M>>,
    registers: usize,
    recipes: Recipes<M>,
    /// Where each spilled register is kept.
    slots: HashMap<Register, Memory>,
    frame_bytes: usize,
    /// Registers that live only from a reload to its use, or are the arguments.
    fixed: HashSet<Register>,
    arguments: [Register; 3],
}

/// Allocates registers to code.
pub fn allocate<M: Machine>(
    machine: M,
    code: Vec<Instruction<M>>,
    registers: usize,
    recipes: Recipes<M>,
    arguments: [Register; 3],
) -> Allocated<M> {
    let mut allocator = Allocator {
        machine,
        code,
        registers,
        recipes,
        slots: HashMap::new(),
        frame_bytes: 0,
        fixed: arguments.into_iter().collect(),
        arguments,
    };
    loop {
        let live = allocator.live();
        let mut recipes = allocator.usable(&live);
        let victims = allocator.victims(&live, &recipes);
        if victims.is_empty() {
            return allocator.colour(&live);
        }
        // What a recipe reads must be in a register.
        recipes.retain(|_, recipe| {
            let mut ready = true;
            recipe.reads(|register| ready &= !victims.contains(&register));
            ready
        });
        allocator.spill(&victims, &recipes);
    }
}

impl<M: Machine> Allocator<M> {
    /// The registers that occur with their intervals, in the order of their start.
    fn live(&self) -> Vec<(Register, Interval)> {
        let (intervals, _) = intervals(&self.code, self.registers);
        let mut classes: HashMap<usize, Register> = HashMap::new();
        for instruction in &self.code {
            instruction.reads(|register| {
                classes.insert(register.number, register);
            });
            instruction.writes().into_iter().for_each(|register| {
                classes.insert(register.number, register);
            });
        }
        let mut live: Vec<(Register, Interval)> = intervals
            .iter()
            .enumerate()
            .filter_map(|(number, interval)| interval.map(|interval| (classes[&number], interval)))
            .collect();
        live.sort_by_key(|(register, interval)| (interval.start, register.number));
        live
    }

    /// What the uses of each register weigh.
    fn weights(&self) -> HashMap<Register, f64> {
        let mut weights: HashMap<Register, f64> = HashMap::new();
        for instruction in &self.code {
            let updates = M::role(instruction.opcode) == Role::Update;
            let weight = LOOP_WEIGHT.powi(instruction.depth as i32);
            instruction.reads(|register| *weights.entry(register).or_default() += weight);
            if let Some(register) = instruction.writes() {
                let factor = if updates { UPDATE_WEIGHT } else { 1.0 };
                *weights.entry(register).or_default() += weight * factor;
            }
        }
        weights
    }

    /// For each instruction, what all before it weigh.
    fn weights_before(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let weights = self.code.iter().map(|instruction| LOOP_WEIGHT.powi(instruction.depth as i32));
        std::iter::once(0.0)
            .chain(weights.map(|weight| {
                sum += weight;
                sum
            }))
            .collect()
    }

    /// The recipes that are good all over the interval of their register.
    fn usable(&self, live: &[(Register, Interval)]) -> HashMap<Register, Instruction<M>> {
        let mut flows = vec![0];
        for instruction in &self.code {
            let straight = M::flow(instruction.opcode) == Flow::Next;
            flows.push(flows[flows.len() - 1] + usize::from(!straight));
        }
        let mut usable = self.recipes.constants.clone();
        for (register, interval) in live {
            if let Some(load) = self.recipes.loads.get(register)
                && flows[interval.start / 2] == flows[interval.end / 2 + 1]
            {
                usable.insert(*register, load.clone());
            }
        }
        usable
    }

    /// Registers to keep elsewhere, so that no more are live anywhere than there are.
    fn victims(&self, live: &[(Register, Interval)], recipes: &HashMap<Register, Instruction<M>>) -> HashSet<Register> {
        let (weights, before) = (self.weights(), self.weights_before());
        let cost = |register: &Register, interval: &Interval| {
            let factor = if recipes.contains_key(register) { RECIPE_WEIGHT } else { 1.0 };
            weights[register] * factor / (before[interval.end / 2 + 1] - before[interval.start / 2])
        };
        let mut victims = HashSet::new();
        for class in Class::ALL {
            let available = self.machine.registers(class).len();
            let mut active: Vec<(Register, Interval)> = Vec::new();
            for (register, interval) in live.iter().filter(|(register, _)| register.class == class) {
                active.retain(|(_, other)| other.end >= interval.start);
                active.push((*register, *interval));
                if active.len() > available {
                    let cheapest = active
                        .iter()
                        .enumerate()
                        .filter(|(_, (register, _))| !self.fixed.contains(register))
                        .min_by(|(_, (a, x)), (_, (b, y))| cost(a, x).total_cmp(&cost(b, y)))
                        .map(|(at, _)| at)
                        .expect("an instruction needs fewer registers than there are");
                    victims.insert(active.swap_remove(cheapest).0);
                }
            }
        }
        victims
    }

    fn slot(&mut self, register: Register) -> Memory {
        let bytes = match register.class {
            Class::Vector => 4 * self.machine.lanes(),
            Class::General | Class::Mask => 8,
        };
        let frame_bytes = &mut self.frame_bytes;
        *self.slots.entry(register).or_insert_with(|| {
            let start = frame_bytes.next_multiple_of(bytes);
            *frame_bytes = start + bytes;
            Memory::new(Base::Frame, start as i64, bytes)
        })
    }

    /// Rewrites the code so that these registers are not kept in registers.
    fn spill(&mut self, victims: &HashSet<Register>, recipes: &HashMap<Register, Instruction<M>>) {
        for instruction in std::mem::take(&mut self.code) {
            self.rewrite(instruction, victims, recipes);
        }
    }

    fn rewrite(
        &mut self,
        mut instruction: Instruction<M>,
        victims: &HashSet<Register>,
        recipes: &HashMap<Register, Instruction<M>>,
    ) {
        let depth = instruction.depth;
        let (mut read, written) = (HashSet::new(), instruction.writes().filter(|r| victims.contains(r)));
        instruction.reads(|register| {
            if victims.contains(&register) {
                read.insert(register);
            }
        });
        if written.is_some_and(|register| recipes.contains_key(&register)) {
            // A recipe is the only instruction that writes its register.
            return;
        }
        let mut touched: Vec<Register> = read.iter().copied().chain(written).collect();
        touched.sort();
        touched.dedup();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for register in touched {
            if let Some(folded) = self.fold(&instruction, register, recipes.get(&register)) {
                instruction = Instruction { depth, ..folded };
                continue;
            }
            self.registers += 1;
            let short = Register { class: register.class, number: self.registers - 1 };
            self.fixed.insert(short);
            if read.contains(&register) {
                let reload = match recipes.get(&register) {
                    Some(recipe) => recipe.with_destination(short),
                    None => {
                        let slot = self.slot(register);
                        self.machine.reload(short, slot)
                    }
                };
                before.push(Instruction { depth, ..reload });
            }
            if written == Some(register) {
                let slot = self.slot(register);
                after.push(Instruction { depth, ..self.machine.spill(slot, short) });
            }
            instruction.rename(|other| if other == register { short } else { other });
        }
        self.code.extend(before);
        self.code.push(instruction);
        self.code.extend(after);
    }

    /// The instruction working on the register's place in memory, when it can.
    fn fold(
        &mut self,
        instruction: &Instruction<M>,
        register: Register,
        recipe: Option<&Instruction<M>>,
    ) -> Option<Instruction<M>> {
        let mut positions = instruction.operands.iter().enumerate().filter_map(|(at, operand)| match operand {
            Operand::Register(other, _) => (*other == register).then_some(at),
            Operand::Memory(memory) => {
                let holds = memory.base == Base::Register(register) || memory.index.is_some_and(|(i, _)| i == register);
                holds.then_some(usize::MAX)
            }
            Operand::Immediate(_) | Operand::Label(_) => None,
        });
        let (position, None) = (positions.next()?, positions.next()) else { return None };
        if position == usize::MAX {
            return None;
        }
        match recipe {
            Some(recipe) => {
                if M::is_copy(instruction) {
                    let Operand::Register(to, _) = instruction.operands[0] else { return None };
                    return Some(recipe.with_destination(to));
                }
                let memory = recipe.operands.iter().find_map(|operand| match operand {
                    Operand::Memory(memory) => Some(*memory),
                    Operand::Register(..) | Operand::Immediate(_) | Operand::Label(_) => None,
                })?;
                self.machine.fold(instruction, position, memory)
            }
            None => {
                let slot = self.slot(register);
                if M::is_copy(instruction) {
                    let [Operand::Register(to, _), Operand::Register(from, _)] = instruction.operands[..] else {
                        return None;
                    };
                    return Some(match position {
                        0 => self.machine.spill(slot, from),
                        _source => self.machine.reload(to, slot),
                    });
                }
                self.machine.fold(instruction, position, slot)
            }
        }
    }

    /// Gives every register a machine register and removes the copies that became empty.
    fn colour(mut self, live: &[(Register, Interval)]) -> Allocated<M> {
        let hints = self.hints(live);
        let mut colours: HashMap<Register, usize> = HashMap::new();
        for class in Class::ALL {
            let available = self.machine.registers(class);
            let mut active: Vec<(Interval, usize)> = Vec::new();
            for (register, interval) in live.iter().filter(|(register, _)| register.class == class) {
                active.retain(|(other, _)| other.end >= interval.start);
                let is_free = |colour: usize| active.iter().all(|(_, other)| *other != colour);
                let argument = self.arguments.iter().position(|argument| argument == register);
                let hint = hints.get(register).and_then(|from| colours.get(from)).copied();
                let colour = argument
                    .map(|number| self.machine.arguments()[number])
                    .or(hint.filter(|colour| is_free(*colour)))
                    .or_else(|| available.iter().copied().find(|colour| is_free(*colour)))
                    .expect("no more registers are live than there are");
                assert!(is_free(colour), "an argument's register is taken");
                active.push((*interval, colour));
                colours.insert(*register, colour);
            }
        }
        for instruction in &mut self.code {
            instruction.rename(|register| Register { class: register.class, number: colours[&register] });
        }
        self.code.retain(|instruction| {
            !(M::is_copy(instruction)
                && matches!(instruction.operands[..], [Operand::Register(to, _), Operand::Register(from, _)] if to == from))
        });
        let mut used: Vec<Register> =
            colours.iter().map(|(register, colour)| Register { class: register.class, number: *colour }).collect();
        used.sort();
        used.dedup();
        Allocated { code: self.code, used, frame_bytes: self.frame_bytes }
    }

    /// For every register that starts as a copy of one that ends there, or ends as the copy to one: that one.
    fn hints(&self, live: &[(Register, Interval)]) -> HashMap<Register, Register> {
        let intervals: HashMap<Register, Interval> = live.iter().copied().collect();
        let mut hints = HashMap::new();
        for (at, instruction) in self.code.iter().enumerate() {
            if !M::is_copy(instruction) || M::role(instruction.opcode) != Role::Write {
                continue;
            }
            if let [Operand::Register(to, _), Operand::Register(from, _)] = instruction.operands[..] {
                if intervals[&from].end == 2 * at && intervals[&to].start == 2 * at + 1 {
                    hints.insert(to, from);
                } else if intervals[&from].end == 2 * at {
                    hints.insert(from, to);
                }
            }
        }
        hints
    }
}
