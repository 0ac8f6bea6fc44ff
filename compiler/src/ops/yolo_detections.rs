//! YoloDetectionOutput and Yolov3DetectionOutput: the detections of one or several YOLO heads.
//!
//! 0: classes, 1: boxes in a cell, 2: score threshold, 3: overlap, 4: anchors (width, height). Version 3 only: 5: which
//! anchors each input's boxes have, as floats (whole numbers in the file are the bits of floats), 6: pixels in a cell of
//! each input. Inputs: `[boxes * (5 + classes), height, width]`, the channels of a box being x, y, width, height, whether
//! there is an object, and the classes. Sources: `src/layer/yolodetectionoutput.cpp`, `yolov3detectionoutput.cpp`.
//!
//! Where nothing is detected, YoloDetectionOutput hands back its first input in ncnn, because it works in place and finds
//! nothing to replace it with. That is no result anybody could use: here the output is empty, as that of version 3.

use super::Lowering;
use super::detections::{Candidates, map};
use super::lowering::axis;
use super::softmax;
use crate::diagnostic::Diagnostic;
use crate::expression::{Expression, NodeId};
use crate::function::Function;
use crate::graph::{Access, Axis, Combine, Detections, Index, Nest, Reduction, View};

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
    l.expect_blobs(1, usize::MAX, 1)?;
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
        threshold: l.layer.parameters.float(2, 0.01),
        inclusive: true,
        overlap: l.layer.parameters.float(3, 0.45),
        by_product: version == Version::Three,
        most_in_group: count,
        most: count,
    };
    candidates.choose(l, &labels, kind);
    Ok(())
}

/// Head number `i`, whose candidates begin with number `first`.
fn head(l: &Lowering, version: Version, i: usize, first: usize) -> Result<Head, Diagnostic> {
    let input = l.fixed_input(i)?;
    let parameters = &l.layer.parameters;
    let number = |id, default| usize::try_from(parameters.int(id, default)).ok().filter(|number| *number > 0);
    let (Some(classes), Some(boxes)) = (number(0, 20), number(1, 5)) else {
        return Err(l.error("the numbers of classes and boxes must be positive"));
    };
    let [channels, height, width] = input.shape[..] else {
        return Err(l.error(format!("input {i} isn't an image of three dimensions")));
    };
    if channels / boxes != FIRST_CLASS + classes {
        return Err(
            l.error(format!("input {i} has {channels} channels, but {boxes} boxes of 5 + {classes} are needed"))
        );
    }
    let biases = parameters.floats(4);
    let (numbers, plane) = match version {
        Version::Two => ((0..boxes).collect(), [width as f32, height as f32]),
        Version::Three => {
            let mask: Vec<f32> = parameters.words(5).into_iter().map(f32::from_bits).collect();
            let (Some(mask), Some(scale)) =
                (mask.get(i * boxes..(i + 1) * boxes), parameters.floats(6).get(i).copied())
            else {
                return Err(l.error(format!("the mask or the scale of input {i} is missing")));
            };
            let pixels = |cells: usize| (scale * cells as f32).trunc();
            (mask.iter().map(|number| *number as usize).collect::<Vec<_>>(), [pixels(width), pixels(height)])
        }
    };
    let anchor = |number: &usize| Some([*biases.get(number.checked_mul(2)?)?, *biases.get(number * 2 + 1)?]);
    let Some(anchors) = numbers.iter().map(anchor).collect::<Option<Vec<_>>>() else {
        return Err(l.error(format!("a box of input {i} has no anchor: there are {}", biases.len() / 2)));
    };
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
