//! Crop whose box is data: the second input's integers are offsets and sizes along w, h and c (for four dimensions w, h,
//! d and c), also where the blob has fewer dimensions. Source: `src/layer/crop.cpp`.
//!
//! ncnn reads beyond the blob when the box does; here it is confined to the blob.

use super::Lowering;
use super::detections::routine;
use crate::diagnostic::Diagnostic;
use crate::graph::{Crop, Element, RoutineKind, Source};

/// Makes the box of the first input that the second one describes the output.
pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let (input, integers) = (l.fixed_input(0)?, l.fixed_input(1)?);
    let rank = input.shape.len();
    // Positions of the axes among the offsets, outermost first.
    let (sides, places) = match rank {
        1 => (3, vec![0]),
        2 => (3, vec![1, 0]),
        3 => (3, vec![2, 1, 0]),
        4 => (4, vec![3, 2, 1, 0]),
        _ => {
            let message = format!("a blob of {rank} dimensions can't be cropped");
            return Err(l.error(message).hint("a blob has one to four"));
        }
    };
    if integers.elements() < 2 * sides {
        let message = format!("the box is {} integers, but {} are needed", integers.elements(), 2 * sides);
        return Err(l.error(message).hint("offsets and sizes along w, h and c, or w, h, d and c, are due"));
    }
    let tensor = &mut l.graph.tensors[integers.tensor.0];
    match tensor.source {
        // The file doesn't say what the caller's words are; that they are used as integers does.
        Source::Input => tensor.element = Element::I32,
        Source::Constant(_) | Source::Computed if tensor.element == Element::I32 => {}
        Source::Constant(_) | Source::Computed => {
            let hint = "give it as an input of the network: layers compute floats";
            return Err(l.error("the box to crop isn't made of integers").hint(hint));
        }
    }
    let sizes = places.iter().map(|place| sides + place).collect();
    let name = l.output_names[0].clone();
    let element = l.graph.tensor(input.tensor).element;
    let to = l.add(&name, &input.shape, element, Source::Computed);
    routine(l, RoutineKind::Crop(Crop { offsets: places, sizes }), vec![input, integers], &to);
    Ok(())
}
