//! Lowering of addresses and indices: pointers, displacements, offsets that depend on data.

use super::lower::Lower;
use super::machine::{Access, Base, Class, Machine, Memory, Register};
use super::pointers::Group;
use crate::kernel::{Address, ValueId};

impl<M: Machine> Lower<'_, M> {
    /// The address as the machine can hold it.
    pub(super) fn memory(&mut self, address: &Address, access: Access) -> Memory {
        let element = self.kernel.buffers[address.buffer.0].format.bytes() as i64;
        let (group, dynamic, bytes) = self.pointers.split(address, element);
        let number = match self.pointers.find(&group) {
            Some(number) => number,
            None => self.pointer(group),
        };
        let pointer = &self.pointers.pointers[number];
        let mut base = pointer.register;
        let mut displacement = bytes + pointer.pending;
        let mut index = None;
        if let [(register, stride)] = dynamic[..]
            && self.machine.scales(stride)
        {
            index = Some((register, stride as u8));
        } else if !dynamic.is_empty() {
            index = Some((self.offset(dynamic), 1));
        }
        let fits = self.machine.reaches(access, displacement);
        if let Some((register, scale)) = index
            && (!fits || !self.machine.scales(i64::from(scale)))
        {
            assert_eq!(scale, 1, "only an address that can hold an index has a scaled one");
            base = self.moved(base, displacement);
            M::add(self, base, register);
            (index, displacement) = (None, 0);
        } else if !fits {
            base = self.moved(base, displacement);
            displacement = 0;
        }
        let bytes = match access {
            Access::Bytes(bytes) => bytes,
            Access::Prefetch => 1,
        };
        Memory { base: Base::Register(base), index, displacement, bytes, broadcast: None }
    }

    fn moved(&mut self, base: Register, bytes: i64) -> Register {
        let place = self.register(Class::General);
        self.copy(place, base);
        if bytes != 0 {
            M::advance(self, place, bytes);
        }
        place
    }

    /// A register with the bytes that dynamic terms add.
    fn offset(&mut self, terms: Vec<(Register, i64)>) -> Register {
        if let Some((_, register)) = self.offsets.iter().find(|(known, _)| *known == terms) {
            return *register;
        }
        let mut sum: Option<Register> = None;
        for (index, stride) in &terms {
            let product = self.register(Class::General);
            M::multiply(self, product, *index, *stride);
            match sum {
                None => sum = Some(product),
                Some(sum) => M::add(self, sum, product),
            }
        }
        let sum = sum.expect("there are dynamic terms");
        self.offsets.push((terms, sum));
        sum
    }

    /// Makes a group's pointer: the buffer's address, moved on to the first task.
    fn pointer(&mut self, group: Group) -> usize {
        let register = self.register(Class::General);
        let [buffers, begin, _] = self.arguments;
        let stride = group.terms.get(&self.kernel.task).copied().unwrap_or(0);
        let place = Memory::new(Base::Register(buffers), 8 * group.buffer.0 as i64, 8);
        self.once(|lower| {
            M::pointer(lower, register, place);
            if stride != 0 {
                let start = lower.register(Class::General);
                M::multiply(lower, start, begin, stride);
                M::add(lower, register, start);
            }
        });
        self.pointers.insert(group, register)
    }

    /// Brings the pointers to where they are expected.
    pub(super) fn moves(&mut self, before: &[i64], counter: Option<ValueId>) {
        for (register, bytes) in self.pointers.settle(before, counter) {
            M::advance(self, register, bytes);
        }
    }

    /// The number of an index in a register that must not be changed.
    pub(super) fn index(&mut self, value: ValueId) -> Register {
        let sum = self.pointers.expand(&[(value, 1)], 0);
        let mut parts: Vec<(Register, i64)> = Vec::new();
        for (term, factor) in &sum.terms {
            let register = self.pointers.dynamic(*term).unwrap_or_else(|| self.counters[term]);
            parts.push((register, *factor));
        }
        if let [(register, 1)] = parts[..]
            && sum.constant == 0
        {
            return register;
        }
        let total = self.register(Class::General);
        M::set(self, total, sum.constant);
        for (register, factor) in parts {
            let product = self.register(Class::General);
            M::multiply(self, product, register, factor);
            M::add(self, total, product);
        }
        total
    }
}
