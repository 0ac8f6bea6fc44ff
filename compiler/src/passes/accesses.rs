//! Accesses as functions that can be compared, renamed and composed.

use crate::graph::{Access, AxisId, Factor, Index, Nest, Outside, Term};

/// An element's row-major position as a linear function of loops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Linear {
    /// What one step of each loop adds; zero for loops that run once.
    pub strides: Vec<i64>,
    /// The position in the first iteration.
    pub offset: i64,
}

/// One loop in terms of others: the sum of the others times these multipliers.
pub(super) type Sum = Vec<(usize, i64)>;

/// Extents of a nest's loops, in the order of their ids.
pub(super) fn extents(nest: &Nest) -> Vec<usize> {
    nest.axes().map(|axis| axis.extent).collect()
}

/// Calls `visit` for every iteration of loops of these extents, the last loop fastest.
pub(super) fn for_each_iteration(extents: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut iteration = vec![0; extents.len()];
    for _ in 0..extents.iter().product::<usize>() {
        visit(&iteration);
        for (i, extent) in iteration.iter_mut().zip(extents).rev() {
            *i += 1;
            if *i < *extent {
                break;
            }
            *i = 0;
        }
    }
}

/// Whether an access stays inside its tensor over loops of these extents.
pub(super) fn stays_inside(access: &Access, extents: &[usize]) -> bool {
    access.outside == Outside::Never
        || access.index.iter().zip(&access.shape).all(|(index, extent)| {
            let (low, high) = index.bounds(extents);
            low >= 0 && high < *extent as i64
        })
}

/// The stride and first value of a factor that is linear over a loop of this extent.
fn linear_factor(factor: &Factor, extent: usize) -> Option<(i64, i64)> {
    match factor {
        Factor::Stride(_) if extent == 1 => Some((0, 0)),
        Factor::Stride(stride) => Some((*stride, 0)),
        Factor::Table(table) => {
            let stride = if extent == 1 { 0 } else { table[1] - table[0] };
            let linear = (0..extent).all(|i| table[i] == table[0] + stride * i as i64);
            linear.then_some((stride, table[0]))
        }
    }
}

impl Linear {
    /// The access as a linear function of loops of these extents, if it is one and stays inside.
    pub fn of(access: &Access, extents: &[usize]) -> Option<Self> {
        if !stays_inside(access, extents) {
            return None;
        }
        let mut linear = Self { strides: vec![0; extents.len()], offset: 0 };
        let mut scale = 1;
        for (index, extent) in access.index.iter().zip(&access.shape).rev() {
            linear.offset += scale * index.offset;
            for term in &index.terms {
                let (stride, first) = linear_factor(&term.factor, extents[term.axis.0])?;
                linear.strides[term.axis.0] += scale * stride;
                linear.offset += scale * first;
            }
            scale *= *extent as i64;
        }
        Some(linear)
    }

    /// Whether it visits a dense tensor in order: the loops that run more than once count it up from 0.
    pub fn is_row_major(&self, extents: &[usize]) -> bool {
        let mut scale = 1;
        for (stride, extent) in self.strides.iter().zip(extents).rev().filter(|(_, extent)| **extent > 1) {
            if *stride != scale {
                return false;
            }
            scale *= *extent as i64;
        }
        self.offset == 0
    }

    /// Each of this function's loops as a sum of `other`'s, such that both give the same position and their iterations
    /// correspond one to one. Loops that run once are the empty sum.
    pub fn in_terms_of(&self, extents: &[usize], other: &Self, other_extents: &[usize]) -> Option<Vec<Sum>> {
        let mut free: Vec<usize> = (0..other_extents.len()).filter(|axis| other_extents[*axis] > 1).collect();
        let mut sums = Vec::new();
        for (stride, extent) in self.strides.iter().zip(extents) {
            let mut sum = Sum::new();
            let mut covered = 1;
            while covered < *extent {
                let wanted = stride * covered as i64;
                let at = free.iter().position(|axis| wanted != 0 && other.strides[*axis] == wanted)?;
                let axis = free.remove(at);
                sum.push((axis, covered as i64));
                covered *= other_extents[axis];
            }
            if covered != *extent {
                return None;
            }
            sums.push(sum);
        }
        (free.is_empty() && self.offset == other.offset).then_some(sums)
    }
}

/// The index with every loop replaced by a sum of others, if it can be written so.
fn substitute_index(index: &Index, extents: &[usize], sums: &[Sum]) -> Option<Index> {
    let mut result = Index::constant(index.offset);
    for Term { axis, factor } in &index.terms {
        match &sums[axis.0][..] {
            [] => result.offset += factor.at(0),
            [(renamed, 1)] => result.terms.push(Term { axis: AxisId(*renamed), factor: factor.clone() }),
            sum => {
                let (stride, first) = linear_factor(factor, extents[axis.0])?;
                result.offset += first;
                for (part, multiplier) in sum {
                    result = result.plus(*part, stride * multiplier);
                }
            }
        }
    }
    Some(result)
}

/// The access with every loop (of these extents) replaced by a sum of others, if it can be written so.
pub(super) fn substitute(access: &Access, extents: &[usize], sums: &[Sum]) -> Option<Access> {
    let index = access.index.iter().map(|index| substitute_index(index, extents, sums)).collect::<Option<_>>()?;
    Some(Access { index, ..access.clone() })
}

/// The sum of two indices over loops of these extents, with one term for an axis.
fn add(mut a: Index, b: Index, extents: &[usize]) -> Index {
    a.offset += b.offset;
    for term in b.terms {
        let Some(same) = a.terms.iter_mut().find(|old| old.axis == term.axis) else {
            a.terms.push(term);
            continue;
        };
        same.factor = match (&same.factor, &term.factor) {
            (Factor::Stride(x), Factor::Stride(y)) => Factor::Stride(x + y),
            (x, y) => Factor::Table((0..extents[term.axis.0]).map(|i| x.at(i) + y.at(i)).collect()),
        };
    }
    a
}

/// The index times a constant over loops of these extents.
fn scaled(index: &Index, by: i64, extents: &[usize]) -> Index {
    let scale = |term: &Term| Term {
        axis: term.axis,
        factor: match &term.factor {
            Factor::Stride(stride) => Factor::Stride(stride * by),
            Factor::Table(_) => Factor::Table((0..extents[term.axis.0]).map(|i| term.factor.at(i) * by).collect()),
        },
    };
    Index { terms: index.terms.iter().map(scale).collect(), offset: index.offset * by }
}

/// The index with each of its loops replaced by an index over other loops, of extents `extents`, if it can be written so.
pub(super) fn compose(index: &Index, loops: &[Index], extents: &[usize]) -> Option<Index> {
    let mut result = Index::constant(index.offset);
    for Term { axis, factor } in &index.terms {
        let inner = &loops[axis.0];
        let part = match (factor, &inner.terms[..]) {
            (Factor::Stride(stride), _) => scaled(inner, *stride, extents),
            (Factor::Table(_), []) => Index::constant(factor.at(usize::try_from(inner.offset).ok()?)),
            (Factor::Table(_), [term]) => {
                let at = |i| usize::try_from(inner.offset + term.factor.at(i)).ok().map(|at| factor.at(at));
                let table: Option<Vec<i64>> = (0..extents[term.axis.0]).map(at).collect();
                Index::table(term.axis.0, table?)
            }
            (Factor::Table(_), _) => return None,
        };
        result = add(result, part, extents);
    }
    Some(result)
}
