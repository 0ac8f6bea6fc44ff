//! PriorBox: the boxes that detections are offsets from; they depend on shapes alone.
//!
//! Source: `src/layer/priorbox.cpp`, in the same single-precision steps.

use super::Lowering;
use super::signature::{Accepts, Blobs, Parameter, Signature, warning};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::{Element, Source};
use crate::ncnn::Layer;

const SIZES: u32 = 0;
const LARGEST_SIZES: u32 = 1;
const RATIOS: u32 = 2;
const FLIP: u32 = 7;
const CLIP: u32 = 8;
const IMAGE: [u32; 2] = [9, 10];
const STEPS: [u32; 2] = [11, 12];
const OFFSET: u32 = 13;
const WHOLE_STEPS: u32 = 14;
const HALF_PIXEL: u32 = 15;

pub(super) const SIGNATURE: Signature = Signature::new(
    |_| Blobs::at_least(1, 1),
    &[
        Parameter::new(SIZES, "sizes", Accepts::Floats).required(),
        Parameter::new(LARGEST_SIZES, "largest sizes", Accepts::Floats),
        Parameter::new(RATIOS, "aspect ratios", Accepts::Floats),
        Parameter::new(3, "variance across", Accepts::Float),
        Parameter::new(4, "variance down", Accepts::Float),
        Parameter::new(5, "variance of the width", Accepts::Float),
        Parameter::new(6, "variance of the height", Accepts::Float),
        Parameter::new(FLIP, "flag that ratios are also taken inverted", Accepts::Flag),
        Parameter::new(CLIP, "flag that boxes are confined to the image", Accepts::Flag),
        // -233 stands for the size of the second input.
        Parameter::new(IMAGE[0], "image width", Accepts::Integer),
        Parameter::new(IMAGE[1], "image height", Accepts::Integer),
        // -233 stands for the image's share of a cell.
        Parameter::new(STEPS[0], "step width", Accepts::Float),
        Parameter::new(STEPS[1], "step height", Accepts::Float),
        Parameter::new(OFFSET, "offset of the first centre in steps", Accepts::Float),
        Parameter::new(WHOLE_STEPS, "flag that the share of a cell is rounded up", Accepts::Flag),
        Parameter::new(HALF_PIXEL, "flag that centres are half a pixel off", Accepts::Flag),
    ],
)
.rules(&[has_sizes, has_an_image]);

/// Refuses sizes and ratios that make no boxes.
fn has_sizes(layer: &Layer) -> Result<(), Diagnostic> {
    let [sizes, largest, ratios] = [SIZES, LARGEST_SIZES, RATIOS].map(|id| layer.parameters.floats(id).len());
    if sizes == 0 {
        return Err(layer.error_in(SIZES, "boxes without a size").hint("give at least one: `0=32.0,`"));
    }
    if largest != 0 && largest != sizes {
        let message = format!("the numbers of sizes and of largest sizes are {sizes} and {largest}");
        return Err(layer.error_in(LARGEST_SIZES, message).hint("give one for each size, or none"));
    }
    if is_relative(layer) && ratios == 0 {
        let hint = "give at least one, of which the first is taken for 1: `2=1.0,`";
        return Err(layer.error_in(RATIOS, "boxes in parts of the image without an aspect ratio").hint(hint));
    }
    Ok(())
}

/// Refuses the size of a second input that isn't there, and warns of an image without an extent.
fn has_an_image(layer: &Layer) -> Result<(), Diagnostic> {
    let extents = IMAGE.map(|id| (id, layer.parameters.int(id, 0)));
    if is_relative(layer) {
        return Ok(());
    }
    if let Some((id, _)) = extents.into_iter().find(|(_, extent)| *extent == OPEN && layer.inputs.len() == 1) {
        let problem = layer.error_in(id, "the size of the image is that of the second input, but there is only one");
        return Err(problem.hint("let the layer read the network's input as well, or write the size"));
    }
    let lacking = extents.into_iter().find(|(_, extent)| *extent <= 0 && *extent != OPEN);
    lacking.map_or(Ok(()), |(id, extent)| {
        let name = if id == IMAGE[0] { "width" } else { "height" };
        let message = format!("as in ncnn, boxes in pixels are divided by an image {name} of {extent}");
        let hint = "parameters 9 and 10 are the image's width and height, -233 for those of the second input";
        Err(warning(layer, id, message).hint(hint))
    })
}

/// Whether boxes are parts of the image, as mxnet has them, and not in pixels.
fn is_relative(layer: &Layer) -> bool {
    let parameters = &layer.parameters;
    let open = IMAGE.iter().all(|id| parameters.int(*id, 0) == OPEN);
    layer.inputs.len() == 1 && open && parameters.words(LARGEST_SIZES).is_empty()
}

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
    let cells = plane(&l.fixed_input(0)?.shape);
    let parameters = &l.layer.parameters;
    let image = IMAGE.map(|id| parameters.int(id, 0));
    let boxes = Boxes {
        sizes: parameters.floats(SIZES),
        largest_sizes: parameters.floats(LARGEST_SIZES),
        ratios: parameters.floats(RATIOS),
        variances: [(3, 0.1), (4, 0.1), (5, 0.2), (6, 0.2)].map(|(id, default)| parameters.float(id, default)),
        flip: parameters.int(FLIP, 1) != 0,
        clip: parameters.int(CLIP, 0) != 0,
        offset: parameters.float(OFFSET, 0.0),
        cells,
        steps: STEPS.map(|id| parameters.float(id, OPEN as f32)),
    };
    let (shape, values) = if is_relative(l.layer) { relative_boxes(l, boxes)? } else { image_boxes(l, boxes, image)? };
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
            None => {
                let [width, height] = self.cells;
                let message = format!("{in_cell} boxes in each of {height}x{width} cells are too many");
                Err(l.error(message).code(Code::Size).hint("is the first input the feature map, and not the image?"))
            }
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
            boxes.steps[side] = if l.layer.parameters.int(WHOLE_STEPS, 0) != 0 { step.ceil() } else { step };
        }
    }
    let (sizes, largest, ratios) = (boxes.sizes.len(), boxes.largest_sizes.len(), boxes.ratios.len());
    let in_cell = sizes * (1 + ratios * if boxes.flip { 2 } else { 1 }) + largest;
    let words = boxes.words(l, in_cell)?;
    let mut values = Vec::with_capacity(2 * words);
    let half_pixel = l.layer.parameters.int(HALF_PIXEL, 0) != 0;
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
