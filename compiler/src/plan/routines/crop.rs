//! A box whose place and size the data say.

use super::super::arithmetic::Arithmetic;
use crate::graph::Crop;

/// Gives the box's elements and extents. `shape` is the tensor's, `reads` its elements and the integers.
pub(super) fn run<A: Arithmetic>(crop: &Crop, shape: &[usize], reads: &[Vec<A::Value>]) -> (Vec<A::Value>, Vec<usize>) {
    let confined = |place: usize, most: usize| A::integer(reads[1][place]).clamp(0, most as i64) as usize;
    let (mut offsets, mut extents) = (Vec::new(), Vec::new());
    for ((extent, offset), size) in shape.iter().zip(&crop.offsets).zip(&crop.sizes) {
        offsets.push(confined(*offset, *extent));
        extents.push(confined(*size, extent - offsets[offsets.len() - 1]));
    }
    let mut values = Vec::new();
    for element in 0..extents.iter().product() {
        let (mut rest, mut position, mut stride) = (element, 0, 1);
        for ((extent, offset), size) in shape.iter().zip(&offsets).zip(&extents).rev() {
            position += (offset + rest % size) * stride;
            rest /= size;
            stride *= extent;
        }
        values.push(reads[0][position]);
    }
    (values, extents)
}
