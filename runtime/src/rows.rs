//! Outputs whose size depends on the data.

use core::fmt;

/// Values in a shape that was found out by computing them, such as the detections in an image. Their number has a bound
/// known at build time; nothing is allocated.
#[derive(Clone, Copy, PartialEq)]
pub struct Rows<'a, T, const RANK: usize> {
    shape: [usize; RANK],
    values: &'a [T],
    capacity: [usize; RANK],
}

impl<'a, T, const RANK: usize> Rows<'a, T, RANK> {
    /// The first values in this shape; extents beyond the capacity are cut.
    #[doc(hidden)]
    #[must_use]
    pub fn new(storage: &'a [T], extents: &[i32], capacity: [usize; RANK]) -> Self {
        let mut shape = capacity;
        for (extent, actual) in shape.iter_mut().zip(extents) {
            *extent = usize::try_from(*actual).unwrap_or(0).min(*extent);
        }
        let length = shape.iter().product::<usize>().min(storage.len());
        Self { shape, values: &storage[..length], capacity }
    }

    /// Extents, outermost first.
    #[must_use]
    pub fn shape(&self) -> [usize; RANK] {
        self.shape
    }

    /// The largest extents possible.
    #[must_use]
    pub fn capacity(&self) -> [usize; RANK] {
        self.capacity
    }

    /// All values, row-major.
    #[must_use]
    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// How many entries the outermost axis has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The entries of the outermost axis, each dense.
    pub fn iter(&self) -> core::slice::ChunksExact<'a, T> {
        let row: usize = self.shape.iter().skip(1).product();
        self.values.chunks_exact(row.max(1))
    }
}

impl<'a, T, const RANK: usize> IntoIterator for &Rows<'a, T, RANK> {
    type Item = &'a [T];
    type IntoIter = core::slice::ChunksExact<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug, const RANK: usize> fmt::Debug for Rows<'_, T, RANK> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_many_as_were_found() {
        let storage = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let rows = Rows::new(&storage, &[2, 2], [3, 2]);
        assert_eq!((rows.shape(), rows.len(), rows.capacity()), ([2, 2], 2, [3, 2]));
        assert!(rows.iter().eq([[1.0, 2.0], [3.0, 4.0]]));
        assert!(Rows::new(&storage, &[0, 2], [3, 2]).is_empty());
        assert_eq!(Rows::new(&storage, &[-1, 9], [3, 2]).shape(), [0, 2]);
    }
}
