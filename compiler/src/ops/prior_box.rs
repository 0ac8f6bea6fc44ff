//! PriorBox: the boxes that detections are offsets from; they depend on shapes alone.
//!
//! 0: sizes, 1: maximum sizes, 2: aspect ratios, 3-6: variances, 7: whether ratios are also taken inverted, 8: whether
//! boxes are confined to the image, 9/10: image width and height, -233 for the second input's, 11/12: step width and
//! height, -233 for the image's share of a cell, 13: offset of the first centre in steps, 14: whether that share is
//! rounded up, 15: whether centres are half a pixel off. Source: `src/layer/priorbox.cpp`, in the same single-precision
//! steps.

use super::Lowering;
use crate::diagnostic::Diagnostic;
use crate::graph::{Element, Source};

/// Stands for "given elsewhere".
const OPEN: i32 = -233;

/// Words of boxes up to which the layer is believed: a hundred times what the largest detectors have.
const MOST_WORDS: usize = 1 << 24;

/// A layer's parameters.
struct Boxes {
    sizes: Vec<f32>,
    largest_sizes: Vec<f32>,
    ratios: Vec<f32>,
    variances: [f32; 4],
    flip: bool,
    clip: bool,
    offset: f32,
    /// Width and height of the feature map in cells.
    cells: [usize; 2],
    /// Width and height of a cell.
    steps: [f32; 2],
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    l.expect_blobs(1, 2, 1)?;
    let cells = plane(&l.fixed_input(0)?.shape);
    let parameters = &l.layer.parameters;
    let image = [parameters.int(9, 0), parameters.int(10, 0)];
    let boxes = Boxes {
        sizes: parameters.floats(0),
        largest_sizes: parameters.floats(1),
        ratios: parameters.floats(2),
        variances: [(3, 0.1), (4, 0.1), (5, 0.2), (6, 0.2)].map(|(id, default)| parameters.float(id, default)),
        flip: parameters.int(7, 1) != 0,
        clip: parameters.int(8, 0) != 0,
        offset: parameters.float(13, 0.0),
        cells,
        steps: [parameters.float(11, OPEN as f32), parameters.float(12, OPEN as f32)],
    };
    let relative = l.inputs.len() == 1 && image == [OPEN; 2] && boxes.largest_sizes.is_empty();
    let (shape, values) = if relative { relative_boxes(l, boxes)? } else { image_boxes(l, boxes, image)? };
    let name = l.output_names[0].clone();
    let words = values.iter().map(|value| value.to_bits()).collect();
    let view = l.add(&name, &shape, Element::F32, Source::Constant(words));
    l.set_output(0, view);
    Ok(())
}

/// Width and height of a blob.
fn plane(shape: &[usize]) -> [usize; 2] {
    let axis = |from_end: usize| if from_end <= shape.len() { shape[shape.len() - from_end] } else { 1 };
    [axis(1), axis(2)]
}

impl Boxes {
    /// Words of so many boxes in every cell.
    fn words(&self, l: &Lowering, in_cell: usize) -> Result<usize, Diagnostic> {
        let words = self.cells.iter().try_fold(in_cell.saturating_mul(4), |words, cells| words.checked_mul(*cells));
        match words.filter(|words| (1..=MOST_WORDS).contains(words)) {
            Some(words) => Ok(words),
            None => Err(l.error(format!(
                "{in_cell} boxes in each of {} x {} cells: none, or too many",
                self.cells[1], self.cells[0]
            ))),
        }
    }

    /// Calls `cell` with the centre of every cell, row by row; the first centre is at `start`.
    fn for_each_centre(&self, start: [f32; 2], mut cell: impl FnMut([f32; 2])) {
        for row in 0..self.cells[1] {
            let mut centre = [start[0], start[1] + row as f32 * self.steps[1]];
            for _ in 0..self.cells[0] {
                cell(centre);
                centre[0] += self.steps[0];
            }
        }
    }

    fn clipped(&self, mut values: Vec<f32>) -> Vec<f32> {
        if self.clip {
            values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        values
    }
}

/// Boxes in parts of the image, as mxnet's `MultiBoxPrior` has them: a vector.
fn relative_boxes(l: &Lowering, mut boxes: Boxes) -> Result<(Vec<usize>, Vec<f32>), Diagnostic> {
    if boxes.sizes.is_empty() || boxes.ratios.is_empty() {
        return Err(l.error("at least one size and one aspect ratio are needed"));
    }
    let [width, height] = boxes.cells.map(|cells| cells as f32);
    for (step, cells) in boxes.steps.iter_mut().zip([width, height]) {
        if *step == OPEN as f32 {
            *step = 1.0 / cells;
        }
    }
    let words = boxes.words(l, boxes.sizes.len() - 1 + boxes.ratios.len())?;
    let mut values = Vec::with_capacity(words);
    let start = boxes.steps.map(|step| boxes.offset * step);
    // The first ratio is taken for 1 and has every size; the others have the first size.
    boxes.for_each_centre(start, |[x, y]| {
        let mut push = |half_width: f32, half_height: f32| {
            values.extend([x - half_width, y - half_height, x + half_width, y + half_height]);
        };
        for size in &boxes.sizes {
            push(size * height / width / 2.0, size / 2.0);
        }
        let size = boxes.sizes[0];
        for ratio in boxes.ratios[1..].iter().map(|ratio| ratio.sqrt()) {
            push(size * height / width * ratio / 2.0, size / ratio / 2.0);
        }
    });
    Ok((vec![words], boxes.clipped(values)))
}

/// Boxes from sizes in pixels, as Caffe-SSD has them: a row of boxes above a row of variances.
fn image_boxes(l: &Lowering, mut boxes: Boxes, image: [i32; 2]) -> Result<(Vec<usize>, Vec<f32>), Diagnostic> {
    let mut extents = image.map(|extent| extent as f32);
    for side in 0..2 {
        if image[side] == OPEN {
            extents[side] = plane(&l.input(1)?.shape)[side] as f32;
        }
        if boxes.steps[side] == OPEN as f32 {
            let step = extents[side] / boxes.cells[side] as f32;
            boxes.steps[side] = if l.layer.parameters.int(14, 0) != 0 { step.ceil() } else { step };
        }
    }
    let (sizes, largest, ratios) = (boxes.sizes.len(), boxes.largest_sizes.len(), boxes.ratios.len());
    if largest != 0 && largest != sizes {
        return Err(l.error(format!("{sizes} minimum sizes but {largest} maximum sizes")));
    }
    let in_cell = sizes * (1 + ratios * if boxes.flip { 2 } else { 1 }) + largest;
    let words = boxes.words(l, in_cell)?;
    let mut values = Vec::with_capacity(2 * words);
    let half_pixel = l.layer.parameters.int(15, 0) != 0;
    let start = boxes.steps.map(|step| boxes.offset * if half_pixel { step - 1.0 } else { step });
    boxes.for_each_centre(start, |[x, y]| {
        let mut push = |width: f32, height: f32| {
            let (half_width, half_height) = (width * 0.5, height * 0.5);
            let corners = [x - half_width, y - half_height, x + half_width, y + half_height];
            values.extend(corners.iter().zip(extents.iter().cycle()).map(|(corner, extent)| corner / extent));
        };
        for (i, size) in boxes.sizes.iter().enumerate() {
            push(*size, *size);
            if let Some(largest) = boxes.largest_sizes.get(i) {
                let between = (size * largest).sqrt();
                push(between, between);
            }
            for ratio in boxes.ratios.iter().map(|ratio| ratio.sqrt()) {
                push(size * ratio, size / ratio);
                if boxes.flip {
                    push(size / ratio, size * ratio);
                }
            }
        }
    });
    let mut values = boxes.clipped(values);
    values.extend(boxes.variances.iter().cycle().take(words));
    Ok((vec![2, words], values))
}
