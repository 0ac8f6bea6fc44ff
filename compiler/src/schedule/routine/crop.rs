//! A box whose place and size the data say.

use super::scalars::{Array, add, confined, for_each, integer, load, store};
use crate::graph::Crop;
use crate::instruction::Instruction;
use crate::kernel::{Address, BufferId, Builder, Type, ValueId};

/// Builds the kernel. `reads` are the tensor, of this shape, and the integers; `writes` the box and its extents.
pub(super) fn build(b: &mut Builder, crop: &Crop, shape: &[usize], reads: &[BufferId], writes: &[BufferId]) {
    let (mut offsets, mut extents) = (Vec::new(), Vec::new());
    for (axis, extent) in shape.iter().enumerate() {
        let number = |b: &mut Builder, place: usize| b.load(Type::Scalar, Address::new(reads[1], place as i64));
        let (offset, size) = (number(b, crop.offsets[axis]), number(b, crop.sizes[axis]));
        let extent = integer(b, *extent);
        let offset = confined(b, offset, extent);
        let rest = b.apply(Instruction::IntegerSubtract, &[extent, offset]);
        let size = confined(b, size, rest);
        b.store(Address::new(writes[1], axis as i64), size);
        offsets.push(offset);
        extents.push(size);
    }
    let elements = shape.iter().product();
    let copy =
        Copy { shape, offsets, extents, from: Array::of(reads[0], elements), to: Array::of(writes[0], elements) };
    let zero = integer(b, 0);
    copy.axis(b, 0, zero, zero);
}

struct Copy<'s> {
    shape: &'s [usize],
    offsets: Vec<ValueId>,
    extents: Vec<ValueId>,
    from: Array,
    to: Array,
}

impl Copy<'_> {
    /// Copies the part of the box at these positions of the tensor and of the box along the axes before `axis`.
    fn axis(&self, b: &mut Builder, axis: usize, from: ValueId, to: ValueId) {
        if axis == self.shape.len() {
            let word = load(b, self.from, from, 0);
            return store(b, self.to, to, 0, word);
        }
        let zero = integer(b, 0);
        for_each(b, zero, self.extents[axis], |b, i| {
            let at = add(b, self.offsets[axis], i);
            let extent = integer(b, self.shape[axis]);
            let row = b.apply(Instruction::IntegerMultiply, &[from, extent]);
            let from = add(b, row, at);
            let row = b.apply(Instruction::IntegerMultiply, &[to, self.extents[axis]]);
            let to = add(b, row, i);
            self.axis(b, axis + 1, from, to);
        });
    }
}
