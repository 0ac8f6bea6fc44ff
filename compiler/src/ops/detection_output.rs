//! DetectionOutput: the detections of an SSD head.
//!
//! Inputs: offsets `[4 * priors]`, scores `[priors * classes]` or, in mxnet's
//! layout, `[classes, priors]`, and priors `[2, 4 * priors]`, the second row variances, or `[priors, 4]`.
//! Source: `src/layer/detectionoutput.cpp`.
//!
//! ncnn leaves the box of a prior uncomputed whose background score is at least one minus the threshold, since no other
//! score can then pass if they sum to one. Here every box is computed.

use super::Lowering;
use super::detections::{Candidates, map};
use super::lowering::axis;
use super::signature::{Accepts, Blobs, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::function::Function;
use crate::graph::{Detections, Index, Ties, View};
use crate::ncnn::Layer;

const CLASSES: u32 = 0;
const OVERLAP: u32 = 1;
const MOST_IN_CLASS: u32 = 2;
const MOST: u32 = 3;
const THRESHOLD: u32 = 4;

pub(super) const SIGNATURE: Signature = Signature::new(
    |_| Blobs::new(3, 1),
    &[
        Parameter::new(CLASSES, "number of classes", Accepts::Integer).required(),
        Parameter::new(OVERLAP, "overlap from which two boxes are one", Accepts::Float),
        Parameter::new(MOST_IN_CLASS, "most candidates of a class", Accepts::AtLeast(0)),
        Parameter::new(MOST, "most detections", Accepts::AtLeast(0)),
        Parameter::new(THRESHOLD, "least score", Accepts::Float),
        // In mxnet's layout; else they are an input.
        Parameter::new(5, "variance across", Accepts::Float),
        Parameter::new(6, "variance down", Accepts::Float),
        Parameter::new(7, "variance of the width", Accepts::Float),
        Parameter::new(8, "variance of the height", Accepts::Float),
    ],
)
.rules(&[has_classes]);

/// Refuses a number of classes beside which the background is alone.
fn has_classes(layer: &Layer) -> Result<(), Diagnostic> {
    let classes = layer.parameters.int(CLASSES, 0);
    if classes >= 2 || classes == MXNET {
        return Ok(());
    }
    let message = format!("the number of classes is {classes}, but must be at least 2");
    let hint =
        format!("the background is one of them; {MXNET} stands for mxnet's layout, which says how many there are");
    Err(layer.error_in(CLASSES, message).hint(hint))
}

/// Stands for "in mxnet's layout" where the number of classes is wanted.
const MXNET: i32 = -233;

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let [offsets, scores, priors] = [l.fixed_input(0)?, l.fixed_input(1)?, l.fixed_input(2)?];
    let classes = l.layer.parameters.int(CLASSES, 0);
    let mxnet = classes == MXNET;
    let (count, classes) = if mxnet {
        (priors.shape[0], scores.shape[0])
    } else {
        (priors.shape[priors.shape.len() - 1] / 4, usize::try_from(classes).unwrap_or(0))
    };
    if classes < 2 || count == 0 {
        let message = format!("{count} priors and {classes} classes; one prior and two classes are the least");
        return Err(l.error(message).hint("the inputs are offsets, scores and priors, in this order"));
    }
    let sizes =
        [("offsets", &offsets, 4), ("scores", &scores, classes), ("priors", &priors, if mxnet { 4 } else { 8 })];
    for (what, view, each) in sizes {
        if Some(view.elements()) != count.checked_mul(each) {
            let have = view.elements();
            let message = format!("{have} {what} for {count} priors, but {each} are needed for each");
            return Err(l.error(message).hint("the inputs are offsets, scores and priors, in this order"));
        }
    }
    let groups = classes - 1;
    let candidates = Candidates::new(l, groups, count);
    let parallel = [axis("n", count)];
    place(l, &candidates, (&offsets, &priors), count, mxnet);
    candidates.measure(l);

    // The background, class 0, is left out.
    let score = if mxnet {
        scores.reshaped(&[classes, count]).at(vec![Index::axis(0).moved(1), Index::axis(1)])
    } else {
        scores.reshaped(&[count, classes]).at(vec![Index::axis(1), Index::axis(0).moved(1)])
    };
    let loops = [axis("class", groups), parallel[0].clone()];
    let write = candidates.scores.elementwise();
    map(l, &loops, vec![score], Expression::read_of(0), write);
    let numbers: Vec<f32> = (1..classes).map(|class| class as f32).collect();
    let labels = l.constant("labels", &[groups], &numbers);
    let kind = Detections {
        groups,
        candidates: count,
        threshold: l.layer.parameters.float(THRESHOLD, 0.5),
        inclusive: false,
        overlap: l.layer.parameters.float(OVERLAP, 0.05),
        by_product: false,
        most_in_group: limit(l, MOST_IN_CLASS, 300),
        most: limit(l, MOST, 100),
        ties: Ties::AsQuicksort,
    };
    candidates.choose(l, &labels, kind);
    Ok(())
}

/// A number of candidates or detections.
fn limit(l: &Lowering, id: u32, default: u16) -> usize {
    usize::try_from(l.layer.parameters.int(id, i32::from(default))).unwrap_or(0)
}

/// Adds the boxes: priors moved and scaled by the offsets.
fn place(l: &mut Lowering, candidates: &Candidates, (offsets, priors): (&View, &View), count: usize, mxnet: bool) {
    let offsets = offsets.reshaped(&[count, 4]);
    let rows = if mxnet { 1 } else { 2 };
    let priors = priors.reshaped(&[rows, count, 4]);
    let defaults = [(5, 0.1), (6, 0.1), (7, 0.2), (8, 0.2)];
    let variances = defaults.map(|(id, default)| l.layer.parameters.float(id, default));
    let reads = |side: usize| {
        let of = |view: &View, column: usize| view.at(vec![Index::axis(0), Index::constant(column as i64)]);
        let in_row = |row: i64, column: usize| {
            priors.at(vec![Index::constant(row), Index::axis(0), Index::constant(column as i64)])
        };
        let mut reads = vec![of(&offsets, side), of(&offsets, side + 2), in_row(0, side), in_row(0, side + 2)];
        if !mxnet {
            reads.extend([in_row(1, side), in_row(1, side + 2)]);
        }
        reads
    };
    let parallel = [axis("n", count)];
    candidates.place(l, &parallel, &Index::axis(0), reads, |e, side| {
        let [moved, scaled, start, end] = [0, 1, 2, 3].map(|i| e.read(i));
        let variance = |e: &mut Expression, part: usize| {
            if mxnet { e.constant(variances[2 * part + side]) } else { e.read(4 + part) }
        };
        let (extent, sum, half) = (e.sub(end, start), e.add(start, end), e.constant(0.5));
        let centre = e.mul(sum, half);
        let weight = variance(e, 0);
        let step = e.mul(weight, moved);
        let step = e.mul(step, extent);
        let centre = e.add(step, centre);
        let weight = variance(e, 1);
        let power = e.mul(weight, scaled);
        let growth = e.call(Function::Exponential, &[power]);
        (centre, e.mul(growth, extent))
    });
}
