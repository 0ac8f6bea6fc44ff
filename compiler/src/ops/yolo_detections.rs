//! YoloDetectionOutput and Yolov3DetectionOutput: the detections of one or several YOLO heads.
//!
//! Version 3 says as floats which anchors each input's boxes have; whole numbers in the file are the bits of floats.
//! Inputs: `[boxes * (5 + classes), height, width]`, the channels of a box being x, y, width, height, whether there is
//! an object, and the classes. Sources: `src/layer/yolodetectionoutput.cpp`, `yolov3detectionoutput.cpp`.
//!
//! Where nothing is detected, YoloDetectionOutput hands back its first input in ncnn, because it works in place and
//! finds nothing to replace it with. That is no result anybody could use: here the output is empty, as that of version
//! 3.

use super::Lowering;
use super::detections::{Candidates, map};
use super::lowering::axis;
use super::shape::text;
use super::signature::{Accepts, Parameter, SOME_TO_ONE, Signature, joined};
use super::softmax;
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;
use crate::graph::{Access, Axis, Combine, Detections, Index, Nest, Reduction, Ties, View};
use crate::ncnn::{Layer, Parameters};

const CLASSES: u32 = 0;
const BOXES: u32 = 1;
const THRESHOLD: u32 = 2;
const OVERLAP: u32 = 3;
const ANCHORS: u32 = 4;
const MASK: u32 = 5;
const SCALES: u32 = 6;

pub(super) const SIGNATURE_2: Signature =
    Signature::new(SOME_TO_ONE, &PARAMETERS).rules(&[|layer| has_anchors(layer, Version::Two)]);

pub(super) const SIGNATURE_3: Signature =
    Signature::new(SOME_TO_ONE, &PARAMETERS_3).rules(&[has_scales, |layer| has_anchors(layer, Version::Three)]);

const PARAMETERS: [Parameter; 5] = [
    Parameter::new(CLASSES, "number of classes", Accepts::AtLeast(1)),
    Parameter::new(BOXES, "number of boxes in a cell", Accepts::AtLeast(1)),
    Parameter::new(THRESHOLD, "least score", Accepts::Float),
    Parameter::new(OVERLAP, "overlap from which two boxes are one", Accepts::Float),
    Parameter::new(ANCHORS, "widths and heights of the anchors", Accepts::Floats).required(),
];

const PARAMETERS_3: [Parameter; 7] = joined(&[
    &PARAMETERS,
    &[
        Parameter::new(MASK, "numbers of the anchors of each input's boxes", Accepts::Floats).required(),
        Parameter::new(SCALES, "pixels in a cell of each input", Accepts::Floats).required(),
    ],
]);

/// Refuses an input without a scale.
fn has_scales(layer: &Layer) -> Result<(), Diagnostic> {
    let (scales, inputs) = (layer.parameters.words(SCALES).len(), layer.inputs.len());
    if scales >= inputs {
        return Ok(());
    }
    let message = format!("only {scales} of {inputs} inputs have a scale");
    Err(layer.error_in(SCALES, message).hint("give one for each input: how many pixels a cell is wide"))
}

/// Refuses a box without an anchor.
fn has_anchors(layer: &Layer, version: Version) -> Result<(), Diagnostic> {
    let parameters = &layer.parameters;
    let anchors = anchors(parameters).len();
    for input in 0..layer.inputs.len() {
        let Some(numbers) = anchor_numbers(parameters, version, input) else {
            let (have, need) = (parameters.words(MASK).len(), boxes(parameters).saturating_mul(layer.inputs.len()));
            let message = format!("only {have} of {need} boxes have the number of an anchor");
            return Err(layer.error_in(MASK, message).hint("give one for each box in a cell of each input"));
        };
        if let Some((place, number)) = numbers.iter().enumerate().find(|(_, number)| **number >= anchors) {
            let (id, hint) = match version {
                Version::Two => (ANCHORS, "parameter 4 is the width and the height of the anchor of each box"),
                Version::Three => (MASK, "parameter 5 numbers, from 0, the pairs of width and height in parameter 4"),
            };
            let message = format!("box {place} of input {input} has anchor {number}, but there are {anchors}");
            return Err(layer.error_in(id, message).hint(hint));
        }
    }
    Ok(())
}

/// Width and height of each anchor.
fn anchors(parameters: &Parameters) -> Vec<[f32; 2]> {
    parameters.floats(ANCHORS).as_chunks().0.to_vec()
}

fn boxes(parameters: &Parameters) -> usize {
    usize::try_from(parameters.int(BOXES, 5)).unwrap_or(0)
}

/// Which anchors the boxes of an input have, if that is said of each.
fn anchor_numbers(parameters: &Parameters, version: Version, input: usize) -> Option<Vec<usize>> {
    let boxes = boxes(parameters);
    if version == Version::Two {
        // One more than there are suffices to refuse them.
        return Some((0..boxes.min(anchors(parameters).len() + 1)).collect());
    }
    let numbers = parameters.words(MASK);
    let numbers = numbers.get(input.checked_mul(boxes)?..(input + 1).checked_mul(boxes)?)?;
    // What is no number of an anchor is one too large.
    let number =
        |bits: &u32| Some(f32::from_bits(*bits)).filter(|number| *number > -1.0).map_or(usize::MAX, |x| x as usize);
    Some(numbers.iter().map(number).collect())
}

/// Loops of the nests.
const BOX: usize = 0;
const Y: usize = 1;
const X: usize = 2;
const CLASS: usize = 3;

/// Channels of a box before those of the classes.
const FIRST_CLASS: usize = 5;
const OBJECT: usize = 4;

#[derive(Clone, Copy, PartialEq)]
enum Version {
    Two,
    Three,
}

/// One head.
struct Head {
    input: View,
    boxes: usize,
    classes: usize,
    /// Width and height of each box's anchor.
    anchors: Vec<[f32; 2]>,
    /// Width and height of the plane that anchors are parts of.
    plane: [f32; 2],
    /// The number of its first candidate.
    first: usize,
}

pub(super) fn version_2(l: &mut Lowering) -> Result<(), Diagnostic> {
    lower(l, Version::Two)
}

pub(super) fn version_3(l: &mut Lowering) -> Result<(), Diagnostic> {
    lower(l, Version::Three)
}

fn lower(l: &mut Lowering, version: Version) -> Result<(), Diagnostic> {
    let mut heads: Vec<Head> = Vec::new();
    let mut count = 0;
    for i in 0..l.inputs.len() {
        let head = head(l, version, i, count)?;
        count += head.candidates();
        heads.push(head);
    }
    let candidates = Candidates::new(l, 1, count);
    let labels = l.temporary("labels", &[count]);
    for head in &heads {
        head.place(l, &candidates);
        head.classify(l, version, &candidates, &labels);
    }
    candidates.measure(l);
    let kind = Detections {
        groups: 1,
        candidates: count,
        threshold: l.layer.parameters.float(THRESHOLD, 0.01),
        inclusive: true,
        overlap: l.layer.parameters.float(OVERLAP, 0.45),
        by_product: version == Version::Three,
        most_in_group: count,
        most: count,
        ties: Ties::InOrder,
    };
    candidates.choose(l, &labels, kind);
    Ok(())
}

/// Head number `i`, whose candidates begin with number `first`.
fn head(l: &Lowering, version: Version, i: usize, first: usize) -> Result<Head, Diagnostic> {
    let input = l.fixed_input(i)?;
    let parameters = &l.layer.parameters;
    let classes = usize::try_from(parameters.int(CLASSES, 20)).unwrap_or(0);
    let boxes = boxes(parameters);
    let [channels, height, width] = input.shape[..] else {
        let message = format!("input {i} of {} isn't an image of three dimensions", text(&input.shape));
        return Err(l.error(message).hint("the inputs are feature maps: channels, height and width"));
    };
    if channels / boxes != FIRST_CLASS + classes {
        let message = format!("input {i} has {channels} channels, not {boxes} x (5 + {classes})");
        return Err(l.error(message).hint("parameter 0 is the number of classes, parameter 1 that of boxes in a cell"));
    }
    let plane = match version {
        Version::Two => [width as f32, height as f32],
        Version::Three => {
            let scale = parameters.floats(SCALES)[i];
            [width, height].map(|cells| (scale * cells as f32).trunc())
        }
    };
    let all = anchors(parameters);
    let numbers = anchor_numbers(parameters, version, i).unwrap_or_default();
    let anchors = numbers.into_iter().map(|number| all[number]).collect();
    Ok(Head { input, boxes, classes, anchors, plane, first })
}

impl Head {
    fn extents(&self) -> [usize; 3] {
        [self.boxes, self.input.shape[1], self.input.shape[2]]
    }

    fn candidates(&self) -> usize {
        self.extents().iter().product()
    }

    fn loops(&self) -> Vec<Axis> {
        let [boxes, height, width] = self.extents();
        vec![axis("box", boxes), axis("y", height), axis("x", width)]
    }

    /// The number of a candidate.
    fn row(&self) -> Index {
        let [_, height, width] = self.extents();
        let first = Index::constant(self.first as i64);
        first.plus(BOX, (height * width) as i64).plus(Y, width as i64).plus(X, 1)
    }

    /// A channel of each box.
    fn channel(&self, channel: usize) -> Access {
        let channel = Index::constant(channel as i64).plus(BOX, (FIRST_CLASS + self.classes) as i64);
        self.input.at(vec![channel, Index::axis(Y), Index::axis(X)])
    }

    fn place(&self, l: &mut Lowering, candidates: &Candidates) {
        let [_, height, width] = self.extents();
        let numbers: Vec<f32> = (0..width.max(height)).map(|i| i as f32).collect();
        let cells = l.constant("cells", &[numbers.len()], &numbers);
        let anchors = l.constant("anchors", &[self.boxes, 2], self.anchors.as_flattened());
        let reads = |side: usize| {
            let cell = cells.at(vec![Index::axis([X, Y][side])]);
            let anchor = anchors.at(vec![Index::axis(BOX), Index::constant(side as i64)]);
            vec![self.channel(side), self.channel(2 + side), cell, anchor]
        };
        candidates.place(l, &self.loops(), &self.row(), reads, |e, side| {
            let [moved, scaled, cell, anchor] = [0, 1, 2, 3].map(|i| e.read(i));
            let (extent, plane) = (e.constant([width, height][side] as f32), e.constant(self.plane[side]));
            let step = e.call(Function::Sigmoid, &[moved]);
            let centre = e.add(cell, step);
            let growth = e.call(Function::Exponential, &[scaled]);
            let size = e.mul(growth, anchor);
            (e.div(centre, extent), e.div(size, plane))
        });
    }

    /// Adds labels and scores: the class with the highest score, of equal ones the first, and its confidence.
    fn classify(&self, l: &mut Lowering, version: Version, candidates: &Candidates, labels: &View) {
        let (class, least) = match version {
            Version::Two => (self.probabilities(l), 0.0),
            Version::Three => (self.classes(), f32::MIN),
        };
        let best = l.temporary("best", &self.extents());
        let score = Expression::read_of(0);
        self.reduce(l, vec![class.clone()], (Combine::Maximum, least, score), |_, best| best, best.elementwise());
        let numbers: Vec<f32> = (0..self.classes).map(|class| class as f32).collect();
        let numbers = l.constant("classes", &[self.classes], &numbers);
        // The number of the class where its score is the best one. Nothing may be better than the start, as NaN isn't.
        let term = Expression::new(|e| {
            let [class, best, number] = [0, 1, 2].map(|i| e.read(i));
            let (least, none) = (e.constant(least), e.constant(f32::INFINITY));
            let (is_best, counts) = (e.equal(class, best), e.less(least, class));
            let both = e.and(is_best, counts);
            e.select(both, number, none)
        });
        let reads = vec![class, best.elementwise(), numbers.at(vec![Index::axis(CLASS)])];
        let label = |e: &mut Expression, first: NodeId| {
            let (none, zero, one) = (e.constant(f32::INFINITY), e.constant(0.0), e.constant(1.0));
            let found = e.less(first, none);
            let class = e.select(found, first, zero);
            // Label 0 is the background.
            e.add(class, one)
        };
        self.reduce(l, reads, (Combine::Minimum, f32::INFINITY, term), label, labels.at(vec![self.row()]));
        let score = Expression::new(|e| {
            let (object, best) = (e.read(0), e.read(1));
            match version {
                Version::Two => {
                    let object = e.call(Function::Sigmoid, &[object]);
                    e.mul(object, best)
                }
                Version::Three => confidence(e, object, best),
            }
        });
        let write = candidates.scores.at(vec![Index::constant(0), self.row()]);
        map(l, &self.loops(), vec![self.channel(OBJECT), best.elementwise()], score, write);
    }

    /// The score of each class.
    fn classes(&self) -> Access {
        let mut access = self.channel(FIRST_CLASS);
        access.index[0] = access.index[0].clone().plus(CLASS, 1);
        access
    }

    /// The softmax of the scores over the classes.
    fn probabilities(&self, l: &mut Lowering) -> Access {
        let [boxes, height, width] = self.extents();
        let shape = [boxes, self.classes, height, width];
        let in_order = vec![Index::axis(BOX), Index::axis(CLASS), Index::axis(Y), Index::axis(X)];
        let (scores, probabilities) = (l.temporary("class_scores", &shape), l.temporary("probabilities", &shape));
        let mut loops = self.loops();
        loops.push(axis("class", self.classes));
        map(l, &loops, vec![self.classes()], Expression::read_of(0), scores.at(in_order.clone()));
        softmax::along_axis(l, &scores, 1, &probabilities);
        probabilities.at(in_order)
    }

    /// Adds a reduction over the classes.
    fn reduce(
        &self,
        l: &mut Lowering,
        reads: Vec<Access>,
        (combine, start, term): (Combine, f32, Expression),
        store: impl FnOnce(&mut Expression, NodeId) -> NodeId,
        write: Access,
    ) {
        let reduced = reads.len();
        l.nest(Nest {
            name: String::new(),
            parallel: self.loops(),
            reduction: Some(Reduction {
                axes: vec![axis("class", self.classes)],
                combine,
                start: Expression::constant_of(start),
                term,
            }),
            reads,
            store: Expression::new(|e| {
                let reduced = e.read(reduced);
                store(e, reduced)
            }),
            write,
        });
    }
}

/// `1 / (1 + exp(-object) * (1 + exp(-class)))`.
fn confidence(e: &mut Expression, object: NodeId, class: NodeId) -> NodeId {
    let one = e.constant(1.0);
    let [object, class] = [object, class].map(|x| {
        let negative = e.neg(x);
        e.call(Function::Exponential, &[negative])
    });
    let class = e.add(one, class);
    let product = e.mul(object, class);
    let sum = e.add(one, product);
    e.div(one, sum)
}
