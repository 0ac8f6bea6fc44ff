//! What the rules of most layers share: which inputs and outputs there are, which axis or variant a number means, whether
//! a shape can be, and how a value is seen in another shape.
//!
//! Must not know any layer.

use super::Lowering;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Access, Axis, Index, Nest, Source, View};
use std::ops::Range;
use std::sync::Arc;

/// The longest axis that tables of its entries are made of: 128 MiB each, and longer than any image or sound is wide.
pub(super) const MOST_TABULATED: usize = 1 << 24;

/// ncnn's names of the axes, in the order in which its parameters number sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// `w`, the innermost.
    Width,
    /// `h`.
    Height,
    /// `d`, of four-dimensional blobs only.
    Depth,
    /// `c`.
    Channels,
}

impl Side {
    /// ncnn's letter for it, as in size expressions.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Width => 'w',
            Self::Height => 'h',
            Self::Depth => 'd',
            Self::Channels => 'c',
        }
    }
}

/// The axes of a blob of one to four dimensions, outermost first.
pub(super) fn sides(rank: usize) -> &'static [Side] {
    match rank {
        1 => &[Side::Width],
        2 => &[Side::Height, Side::Width],
        3 => &[Side::Channels, Side::Height, Side::Width],
        _ => &[Side::Channels, Side::Depth, Side::Height, Side::Width],
    }
}

/// The extent along a side; 1 where a blob of that rank has no such side, as in ncnn.
pub(super) fn extent(shape: &[usize], side: Side) -> usize {
    sides(shape.len()).iter().position(|have| *have == side).map_or(1, |axis| shape[axis])
}

/// `3x224x224`.
pub(super) fn text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

impl Lowering<'_> {
    /// The row of a table that parameter 0 chooses by its place; the signature allows no other numbers.
    pub(super) fn row_of<'t, T>(&self, table: &'t [T]) -> &'t T {
        &table[self.layer.parameters.int(0, 0).unsigned_abs() as usize]
    }

    /// The axis that a number of this parameter means in a blob of this rank: 0 is the outermost, negative numbers count
    /// from the end.
    pub(super) fn axis_in(&self, parameter: u32, axis: i32, rank: usize) -> Result<usize, Diagnostic> {
        let from_start = if axis < 0 { i64::from(axis) + rank as i64 } else { i64::from(axis) };
        usize::try_from(from_start).ok().filter(|axis| *axis < rank).ok_or_else(|| {
            self.error_in(parameter, format!("axis {axis} doesn't exist in a blob of {rank} dimensions"))
                .hint(format!("axes run from 0, the outermost, to {}, or from -{rank} to -1", rank - 1))
        })
    }

    /// The same for layers that ncnn has look for an axis in larger blobs only: a vector has one, whatever the number.
    pub(super) fn axis_along(&mut self, parameter: u32, axis: i32, rank: usize) -> Result<usize, Diagnostic> {
        match self.axis_in(parameter, axis, rank) {
            Err(Diagnostic { message, .. }) if rank == 1 => {
                self.warn_in(parameter, format!("{message}; as in ncnn, it is the vector's only one"), "write 0");
                Ok(0)
            }
            axis => axis,
        }
    }

    /// The axes that the numbers of this parameter mean. As in ncnn, one may be named twice, and what is last said of it
    /// holds.
    pub(super) fn axes_in(&self, parameter: u32, axes: &[i32], rank: usize) -> Result<Vec<usize>, Diagnostic> {
        axes.iter().map(|number| self.axis_in(parameter, *number, rank)).collect()
    }

    /// These extents as the shape of the output, if it can have it.
    pub(super) fn shape(&self, extents: &[i64]) -> Result<Vec<usize>, Diagnostic> {
        self.checked_shape("the output", extents)
    }

    /// Refuses an axis too long to be described by a table of its entries.
    pub(super) fn tabulated(&self, extents: &[usize]) -> Result<(), Diagnostic> {
        match extents.iter().find(|extent| **extent > MOST_TABULATED) {
            Some(extent) => {
                let kind = &self.layer.kind;
                let message = format!("{extent} entries along an axis are too many for {kind}");
                Err(self.error(message).hint(format!("it takes at most {MOST_TABULATED}")))
            }
            None => Ok(()),
        }
    }

    /// A new tensor for output `i` whose words are what those of `like` are; for layers that move data about.
    pub(super) fn moved_output(&mut self, i: usize, shape: &[usize], like: &View) -> View {
        let element = self.graph.tensor(like.tensor).element;
        let name = self.output_names[i].clone();
        let view = self.add(&name, shape, element, Source::Computed);
        self.set_output(i, view.clone());
        view
    }

    /// Adds the nest that copies `read` to the element of `to` at `index`, for all iterations of loops over `shape`.
    pub(super) fn copy(&mut self, parallel: Vec<Axis>, read: Access, to: &View, index: Vec<Index>) {
        let write = to.at(index);
        let store = Expression::read_of(0);
        self.nest(Nest { name: String::new(), parallel, reduction: None, reads: vec![read], store, write });
    }

    /// Reads 1 where each loop `i` is within `ranges[i]`, and 0 elsewhere, without storing a mask.
    pub(super) fn inside(&mut self, shape: &[usize], ranges: &[Range<usize>]) -> Result<Access, Diagnostic> {
        self.tabulated(shape)?;
        let one = self.constant("one", &vec![1; shape.len()], &[1.0]);
        let index = shape.iter().zip(ranges).enumerate().map(|(axis, (extent, range))| {
            let table: Arc<[i64]> = (0..*extent).map(|at| if range.contains(&at) { 0 } else { -1 }).collect();
            if *range == (0..*extent) { Index::constant(0) } else { Index::table(axis, table) }
        });
        Ok(one.at(index.collect()).or(0.0))
    }
}

impl View {
    /// The element for loops over a shape of the same rank, standing still along axes where this has extent 1.
    pub(super) fn broadcast(&self) -> Access {
        let index = |(axis, extent): (usize, &usize)| if *extent == 1 { Index::constant(0) } else { Index::axis(axis) };
        self.at(self.shape.iter().enumerate().map(index).collect())
    }
}
