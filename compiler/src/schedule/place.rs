//! Where a tensor's elements lie: layouts, and positions as functions of a nest's loops.
//!
//! Owns the arithmetic of addresses. Must not know what is computed.

use crate::graph::{Access, Factor, Index, Outside, TensorId};
use crate::kernel::{Address, BufferId, Builder, Statement, Type};
use std::fmt::{self, Display};

/// Channels side by side in memory in a blocked layout: one AVX-512 register, two of AVX2, four of NEON.
pub const BLOCK: usize = 16;

/// How a tensor of shape `[c, h, w]` lies in memory: `[c / block][top + h + bottom][left + w + right][block]`.
/// Tensors of other ranks are dense rows, which is this with a block of one and no halo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Whether [`BLOCK`] channels lie side by side; otherwise each channel is a plane.
    pub blocked: bool,
    /// Zeros around each plane.
    pub halo: Halo,
}

/// Rows and columns of zeros around a plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Halo {
    /// Rows above.
    pub top: usize,
    /// Columns before.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns after.
    pub right: usize,
}

impl Halo {
    /// The smallest halo that contains both.
    pub fn union(self, other: Self) -> Self {
        Self {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }
}

impl Layout {
    /// Dense rows.
    pub const DENSE: Self = Self { blocked: false, halo: Halo { top: 0, left: 0, bottom: 0, right: 0 } };

    /// Channels side by side.
    pub fn block(self) -> usize {
        if self.blocked { BLOCK } else { 1 }
    }

    /// Words from one row of a plane to the next.
    pub fn row(self, shape: &[usize]) -> usize {
        (self.halo.left + shape[2] + self.halo.right) * self.block()
    }

    /// Words from one plane, or block of planes, to the next.
    pub fn plane(self, shape: &[usize]) -> usize {
        (self.halo.top + shape[1] + self.halo.bottom) * self.row(shape)
    }

    /// Words of the whole tensor, rounded up to whole lines of 64 bytes.
    pub fn words(self, shape: &[usize]) -> usize {
        let words = if self == Self::DENSE {
            shape.iter().product()
        } else {
            shape[0].div_ceil(self.block()) * self.plane(shape)
        };
        words.next_multiple_of(BLOCK)
    }
}

impl Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Halo { top, left, bottom, right } = self.halo;
        match (self.blocked, self.halo == Halo::default()) {
            (false, true) => return f.write_str("in rows"),
            (false, false) => f.write_str("in planes")?,
            (true, _) => write!(f, "in blocks of {BLOCK} channels")?,
        }
        if [left, bottom, right].iter().all(|side| *side == top) {
            return if top == 0 { Ok(()) } else { write!(f, " with a halo of {top}") };
        }
        let sides = [(top, "above"), (left, "before"), (bottom, "below"), (right, "behind")];
        let there = sides.iter().filter(|(width, _)| *width > 0).map(|(width, side)| format!("{width} {side}"));
        write!(f, " with a halo of {}", there.collect::<Vec<_>>().join(", "))
    }
}

/// A position in words as a function of a nest's loops: an offset and, for each axis, what each iteration adds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Where the first iteration of all loops is.
    pub offset: i64,
    /// For each axis, what its iterations add; empty where it adds nothing.
    pub axes: Vec<Vec<i64>>,
    /// Indices that may leave the tensor: what is read there is the access's outside value.
    pub guards: Vec<Guard>,
}

/// An index that must be within `0..extent` for the element to exist.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The value in the first iteration of all loops.
    pub offset: i64,
    /// For each axis, what its iterations add; empty where it adds nothing.
    pub axes: Vec<Vec<i64>>,
    /// The extent.
    pub extent: usize,
    /// Words from one index to the next; the position contains the index times this.
    pub stride: i64,
}

impl Position {
    /// The position of an access to a tensor of this shape in this layout, over loops of these extents; `None` when the
    /// layout can't be addressed so, and the tensor has to be brought into dense rows first.
    pub fn new(access: &Access, shape: &[usize], layout: Layout, extents: &[usize]) -> Option<Self> {
        if layout == Layout::DENSE {
            return Some(Self::dense(access, extents));
        }
        let index = refine(access, shape, extents)?;
        let mut position = Self { offset: 0, axes: vec![Vec::new(); extents.len()], guards: Vec::new() };
        position.add_channels(&index[0], layout.plane(shape) as i64, layout.blocked, extents)?;
        let (row, column) = (layout.row(shape) as i64, layout.block() as i64);
        position.add(&index[1], row, extents);
        position.add(&index[2], column, extents);
        position.offset += layout.halo.top as i64 * row + layout.halo.left as i64 * column;
        let zero = access.outside == Outside::Value(0);
        let (low, high) = index[0].bounds(extents);
        if layout.blocked && (low < 0 || high >= shape[0] as i64) {
            return None;
        }
        let margins = [(0, 0), (layout.halo.top, layout.halo.bottom), (layout.halo.left, layout.halo.right)];
        let strides = [layout.plane(shape) as i64, row, column];
        for (axis, (before, after)) in margins.into_iter().enumerate() {
            let (low, high) = index[axis].bounds(extents);
            let covered = zero && low >= -(before as i64) && high < (shape[axis] + after) as i64;
            if !covered {
                position.guard(&index[axis], shape[axis], strides[axis], extents);
            }
        }
        Some(position)
    }

    fn dense(access: &Access, extents: &[usize]) -> Self {
        let mut position = Self { offset: 0, axes: vec![Vec::new(); extents.len()], guards: Vec::new() };
        let mut stride: usize = access.shape.iter().product();
        for (index, extent) in access.index.iter().zip(&access.shape) {
            stride /= extent;
            position.add(index, stride as i64, extents);
            position.guard(index, *extent, stride as i64, extents);
        }
        position
    }

    fn add(&mut self, index: &Index, stride: i64, extents: &[usize]) {
        self.offset += index.offset * stride;
        for term in &index.terms {
            let first = term.factor.at(0) * stride;
            self.offset += first;
            add_to(&mut self.axes[term.axis.0], (0..extents[term.axis.0]).map(|i| term.factor.at(i) * stride - first));
        }
    }

    /// Channels of a blocked layout: `block * plane + lane`. That is a sum over the axes only when at most one of them
    /// moves within blocks and all others move by whole blocks.
    fn add_channels(&mut self, index: &Index, plane: i64, blocked: bool, extents: &[usize]) -> Option<()> {
        if !blocked {
            self.add(index, plane, extents);
            return Some(());
        }
        let block = BLOCK as i64;
        let whole = |value: i64| value.rem_euclid(block) == 0;
        let place = |channel: i64| channel.div_euclid(block) * plane + channel.rem_euclid(block);
        let partial: Vec<_> =
            index.terms.iter().filter(|term| (0..extents[term.axis.0]).any(|i| !whole(term.factor.at(i)))).collect();
        if partial.len() > 1 {
            return None;
        }
        let mut base = index.offset;
        for term in &index.terms {
            let moving = partial.first().is_some_and(|partial| partial.axis == term.axis);
            let shift = if moving { index.offset } else { 0 };
            let at = |i: usize| place(term.factor.at(i) + shift);
            if moving {
                base = 0;
            }
            let first = at(0);
            self.offset += first;
            add_to(&mut self.axes[term.axis.0], (0..extents[term.axis.0]).map(|i| at(i) - first));
        }
        self.offset += place(base);
        Some(())
    }

    fn guard(&mut self, index: &Index, extent: usize, stride: i64, extents: &[usize]) {
        let (low, high) = index.bounds(extents);
        if low >= 0 && high < extent as i64 {
            return;
        }
        let mut guard = Guard { offset: index.offset, axes: vec![Vec::new(); extents.len()], extent, stride };
        for term in &index.terms {
            let first = term.factor.at(0);
            guard.offset += first;
            add_to(&mut guard.axes[term.axis.0], (0..extents[term.axis.0]).map(|i| term.factor.at(i) - first));
        }
        self.guards.push(guard);
    }

    /// The position without what a guarded index adds.
    pub fn without(&self, guard: &Guard) -> Self {
        let mut rest = self.clone();
        rest.offset -= guard.offset * guard.stride;
        for (axis, steps) in rest.axes.iter_mut().zip(&guard.axes) {
            add_to(axis, steps.iter().map(|step| -step * guard.stride));
        }
        rest
    }

    /// A dense position over the same axes with `innermost` innermost, its row rounded up to whole blocks.
    pub fn along(&self, innermost: usize, extents: &[usize]) -> Self {
        let mut axes = vec![Vec::new(); extents.len()];
        axes[innermost] = (0..extents[innermost] as i64).collect();
        let mut stride = extents[innermost].next_multiple_of(BLOCK) as i64;
        for axis in (0..extents.len()).rev().filter(|axis| *axis != innermost && self.depends_on(*axis)) {
            axes[axis] = (0..extents[axis] as i64).map(|i| i * stride).collect();
            stride *= extents[axis] as i64;
        }
        Self { offset: 0, axes, guards: Vec::new() }
    }

    /// One more than the largest position.
    pub fn last_word(&self) -> usize {
        let furthest: i64 = self.axes.iter().map(|axis| axis.iter().copied().max().unwrap_or(0)).sum();
        (self.offset + furthest + 1) as usize
    }

    /// One more than the largest position when the axis runs on to the end of its last block.
    pub fn last_word_of_block(&self, axis: usize) -> usize {
        let rest = self.axes[axis].len().next_multiple_of(BLOCK) - self.axes[axis].len();
        self.last_word() + rest
    }

    /// What iteration `i` of an axis adds.
    pub fn step(&self, axis: usize, i: usize) -> i64 {
        self.axes[axis].get(i).copied().unwrap_or(0)
    }

    /// Whether the axis adds anything.
    pub fn depends_on(&self, axis: usize) -> bool {
        self.axes[axis].iter().any(|words| *words != 0)
    }

    /// Whether iterations `0..count` of the axis from every multiple of `count` lie `step` words apart.
    pub fn runs_along(&self, axis: usize, extent: usize, count: usize, step: i64) -> bool {
        (0..extent).all(|i| self.step(axis, i) == self.step(axis, i - i % count) + (i % count) as i64 * step)
    }

    /// The same position with the axes from `first` on merged into one, row-major.
    pub fn merged(&self, first: usize, extents: &[usize]) -> Self {
        let guards = self
            .guards
            .iter()
            .map(|guard| Guard { axes: merge(&guard.axes, first, extents), ..guard.clone() })
            .collect();
        Self { offset: self.offset, axes: merge(&self.axes, first, extents), guards }
    }
}

fn merge(axes: &[Vec<i64>], first: usize, extents: &[usize]) -> Vec<Vec<i64>> {
    let mut sums = vec![0];
    for (axis, extent) in axes.iter().zip(extents).skip(first) {
        let at = |i: usize| axis.get(i).copied().unwrap_or(0);
        sums = sums.iter().flat_map(|sum| (0..*extent).map(move |i| sum + at(i))).collect();
    }
    axes[..first].iter().cloned().chain([sums]).collect()
}

fn add_to(axis: &mut Vec<i64>, words: impl Iterator<Item = i64>) {
    if axis.is_empty() {
        axis.extend(words);
    } else {
        axis.iter_mut().zip(words).for_each(|(sum, words)| *sum += words);
    }
}

/// Indices along the tensor's own axes, where the access's shape splits them; `None` where it joins them. An axis that is
/// split must be indexed within its parts: beyond them the whole says nothing about where the element would be.
pub fn refine(access: &Access, shape: &[usize], extents: &[usize]) -> Option<Vec<Index>> {
    if shape.len() != 3 {
        return None;
    }
    if access.shape == shape {
        return Some(access.index.clone());
    }
    let inside = |index: &Index, extent: usize| {
        let (low, high) = index.bounds(extents);
        low >= 0 && high < extent as i64
    };
    let mut parts = access.index.iter().zip(&access.shape).filter(|(_, extent)| **extent > 1);
    let single = access.index.iter().zip(&access.shape).filter(|(_, extent)| **extent == 1);
    single.into_iter().all(|(index, _)| inside(index, 1)).then_some(())?;
    let mut refined = Vec::with_capacity(shape.len());
    for extent in shape {
        let mut index = Index::constant(0);
        let mut covered = 1;
        while covered < *extent {
            let (part, part_extent) = parts.next()?;
            (part_extent == extent || inside(part, *part_extent)).then_some(())?;
            index = index.scaled(*part_extent as i64).sum(part);
            covered *= part_extent;
        }
        (covered == *extent).then_some(())?;
        refined.push(index);
    }
    Some(refined)
}

impl Index {
    fn scaled(mut self, by: i64) -> Self {
        self.offset *= by;
        for term in &mut self.terms {
            term.factor = match &term.factor {
                Factor::Stride(stride) => Factor::Stride(stride * by),
                Factor::Table(table) => Factor::Table(table.iter().map(|entry| entry * by).collect()),
            };
        }
        self
    }

    fn sum(mut self, other: &Index) -> Self {
        self.offset += other.offset;
        self.terms.extend(other.terms.iter().cloned());
        self
    }
}

/// The loop that counts a tensor's channels up to the last one, if there is one: the lanes behind are nobody's, and vectors
/// along that loop may write them.
pub fn reaches_end(write: &Access, shape: &[usize], layout: Layout, extents: &[usize]) -> Option<usize> {
    let (index, end) = if layout == Layout::DENSE {
        let mut long = write.index.iter().zip(&write.shape).filter(|(_, extent)| **extent > 1);
        let (Some((index, extent)), None) = (long.next(), long.next()) else { return None };
        (index.clone(), *extent)
    } else {
        (refine(write, shape, extents)?.swap_remove(0), shape[0])
    };
    let mut moving = index.terms.iter().filter(|term| extents[term.axis.0] > 1);
    let (Some(term), None) = (moving.next(), moving.next()) else { return None };
    let (first, last) = index.bounds(extents);
    let whole = term.factor == Factor::Stride(1) && last + 1 == end as i64 && first % BLOCK as i64 == 0;
    whole.then_some(term.axis.0)
}

/// A form in which a tensor is held; it may be held in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Dense rows.
    Dense,
    /// Planes with a halo.
    Planes,
    /// Blocks of channels with a halo.
    Blocks,
}

/// A tensor in a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Home {
    /// Whose elements.
    pub tensor: TensorId,
    /// How they are held.
    pub form: Form,
}

/// Words moved from one position to another over all loops; what no iteration fills is zero.
pub fn pack(words: &[u32], from: &Position, to: &Position, extents: &[usize], length: usize) -> Vec<u32> {
    let moving: Vec<usize> = (0..extents.len()).filter(|axis| !to.axes[*axis].is_empty()).collect();
    let mut packed = vec![0; length];
    let mut pairs = vec![(from.offset, to.offset)];
    let Some((innermost, outer)) = moving.split_last() else {
        packed[to.offset as usize] = words[from.offset as usize];
        return packed;
    };
    for axis in outer {
        pairs = pairs
            .iter()
            .flat_map(|(f, t)| (0..extents[*axis]).map(move |i| (f + from.step(*axis, i), t + to.step(*axis, i))))
            .collect();
    }
    let sources: Vec<i64> = (0..extents[*innermost]).map(|i| from.step(*innermost, i)).collect();
    for (f, t) in pairs {
        for (source, target) in sources.iter().zip(&to.axes[*innermost]) {
            packed[(t + target) as usize] = words[(f + source) as usize];
        }
    }
    packed
}

/// Adds to a kernel whose tasks are the planes of a layout the zeros around them.
pub fn clear_halo(builder: &mut Builder, buffer: BufferId, layout: Layout, shape: &[usize]) {
    let (block, halo) = (layout.block(), layout.halo);
    let (row, plane) = (layout.row(shape), layout.plane(shape));
    let task = builder.task();
    let plane_start = Address::new(buffer, 0).plus(task, plane as i64);
    // Between two rows lie the end of one and the beginning of the next.
    let before = halo.top * row + halo.left * block;
    let between = (halo.right + halo.left) * block;
    let last = before + (shape[1] - 1) * row + shape[2] * block;
    fill(builder, &plane_start, before, block);
    if between > 0 && shape[1] > 1 {
        let counter = builder.counter();
        builder.begin();
        let gap = plane_start.clone().moved((before + shape[2] * block) as i64).plus(counter, row as i64);
        fill(builder, &gap, between, block);
        let body = builder.end();
        builder.push(Statement::For { index: counter, extent: shape[1] - 1, body });
    }
    fill(builder, &plane_start.moved(last as i64), plane - last, block);
}

/// Stores so many zeros; vectors where blocks of channels are whole vectors.
fn fill(builder: &mut Builder, from: &Address, words: usize, block: usize) {
    let (ty, step) = if block == BLOCK { (Type::Vector, builder.lanes()) } else { (Type::Scalar, 1) };
    if words == 0 {
        return;
    }
    let counter = builder.counter();
    builder.begin();
    let zero = builder.constant(ty, 0);
    builder.store(from.clone().plus(counter, step as i64), zero);
    let body = builder.end();
    builder.push(Statement::For { index: counter, extent: words / step, body });
}

/// Adds to a kernel the copy of so many words from one buffer to another.
pub fn copy(builder: &mut Builder, from: BufferId, to: BufferId, words: usize) {
    let lanes = builder.lanes();
    for (ty, step, start, count) in
        [(Type::Vector, lanes, 0, words / lanes), (Type::Scalar, 1, words / lanes * lanes, words % lanes)]
    {
        if count > 0 {
            let counter = builder.counter();
            builder.begin();
            let at = |buffer| Address::new(buffer, start as i64).plus(counter, step as i64);
            let value = builder.load(ty, at(from));
            builder.store(at(to), value);
            let body = builder.end();
            builder.push(Statement::For { index: counter, extent: count, body });
        }
    }
}
