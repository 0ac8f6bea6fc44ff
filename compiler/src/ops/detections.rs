//! What the detection layers have in common: boxes around centres, and choosing among them.

use super::Lowering;
use crate::expression::{Expression, NodeId};
use crate::graph::{Access, Axis, Detections, Element, Index, Nest, Operation, Routine, RoutineKind, Source, View};

/// Candidates being collected from one or several inputs.
pub(super) struct Candidates {
    /// Left, top, right and bottom edge of each.
    pub boxes: View,
    /// Width times height of each.
    pub areas: View,
    /// The score of each in each group.
    pub scores: View,
}

/// Which side of a box: horizontal is 0, vertical 1.
pub(super) type Side = usize;

impl Candidates {
    /// Room for so many candidates in so many groups.
    pub fn new(l: &mut Lowering, groups: usize, count: usize) -> Self {
        Self {
            boxes: l.temporary("boxes", &[count, 4]),
            areas: l.temporary("areas", &[count]),
            scores: l.temporary("scores", &[groups, count]),
        }
    }

    /// Fills in the boxes of the candidates in the rows that `row` gives over the loops: `reads` gives what the centre
    /// and extent along a side are computed from, and `span` computes them.
    pub fn place(
        &self,
        l: &mut Lowering,
        parallel: &[Axis],
        row: &Index,
        reads: impl Fn(Side) -> Vec<Access>,
        span: impl Fn(&mut Expression, Side) -> (NodeId, NodeId),
    ) {
        for edge in 0..4 {
            let side = edge % 2;
            let store = Expression::new(|e| {
                let (centre, extent) = span(e, side);
                let half = e.constant(0.5);
                let half = e.mul(extent, half);
                if edge < 2 { e.sub(centre, half) } else { e.add(centre, half) }
            });
            let write = self.boxes.at(vec![row.clone(), Index::constant(edge as i64)]);
            map(l, parallel, reads(side), store, write);
        }
    }

    /// Fills in all areas from the edges.
    pub fn measure(&self, l: &mut Lowering) {
        let edge = |edge: i64| self.boxes.at(vec![Index::axis(0), Index::constant(edge)]);
        let area = Expression::new(|e| {
            let [left, top, right, bottom] = [0, 1, 2, 3].map(|i| e.read(i));
            let (width, height) = (e.sub(right, left), e.sub(bottom, top));
            e.mul(width, height)
        });
        let parallel = [Axis { name: "n", extent: self.areas.shape[0] }];
        map(l, &parallel, (0..4).map(edge).collect(), area, self.areas.at(vec![Index::axis(0)]));
    }

    /// Makes the chosen candidates, with labels for each group or each candidate, the layer's output.
    pub fn choose(&self, l: &mut Lowering, labels: &View, kind: Detections) {
        let rows = l.output(0, &[kind.rows(), 6]);
        let reads = [&self.boxes, &self.areas, &self.scores, labels].map(View::clone).to_vec();
        routine(l, RoutineKind::Detections(kind), reads, &rows);
    }
}

/// Adds an element-wise nest.
pub(super) fn map(l: &mut Lowering, parallel: &[Axis], reads: Vec<Access>, store: Expression, write: Access) {
    l.nest(Nest { name: String::new(), parallel: parallel.to_vec(), reduction: None, reads, store, write });
}

/// Adds a routine that fills output 0, `to`, whose extents depend on the data.
pub(super) fn routine(l: &mut Lowering, kind: RoutineKind, reads: Vec<View>, to: &View) {
    let name = format!("{}.extents", l.output_names[0]);
    let extents = l.add(&name, &[to.shape.len()], Element::I32, Source::Computed).tensor;
    let name = l.layer.name.clone();
    let writes = vec![to.tensor, extents];
    l.graph.operations.push(Operation::Routine(Routine { name, kind, reads, writes }));
    l.set_output(0, View { extents: Some(extents), ..to.clone() });
}
