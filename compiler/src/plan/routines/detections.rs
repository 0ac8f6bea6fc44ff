//! Non-maximum suppression: detections chosen and sorted by their scores.

use super::super::arithmetic::{Arithmetic, Evaluator};
use crate::graph::{Detections, Ties};
use crate::instruction::Instruction;
use std::cmp::Ordering;

/// A detection: its group, its candidate and its score.
type Chosen<A> = (usize, usize, <A as Arithmetic>::Value);

/// Gives the rows and their extents. `reads` are boxes, areas, scores and labels.
pub(super) fn run<A: Arithmetic>(detections: &Detections, reads: &[Vec<A::Value>]) -> (Vec<A::Value>, Vec<usize>) {
    let [boxes, areas, scores, labels] = reads else { unreachable!("four operands") };
    let mut chosen: Vec<Chosen<A>> = Vec::new();
    for group in 0..detections.groups {
        let mut candidates = sufficient::<A>(detections, scores, group);
        sort::<A>(&mut candidates, detections.ties);
        candidates.truncate(detections.most_in_group);
        chosen.extend(distinct::<A>(detections, candidates, boxes, areas));
    }
    sort::<A>(&mut chosen, detections.ties);
    chosen.truncate(detections.most);
    let labels_in_group = labels.len() / detections.groups;
    let mut rows = Vec::new();
    for (group, candidate, score) in &chosen {
        // One label for the whole group, or one for each candidate.
        let label = labels[group * labels_in_group + candidate % labels_in_group];
        rows.extend([label, *score]);
        rows.extend(&boxes[4 * candidate..][..4]);
    }
    (rows, vec![chosen.len(), 6])
}

fn less<A: Arithmetic>(a: A::Value, b: A::Value) -> bool {
    A::integer(A::apply(Instruction::Less, &[a, b])) != 0
}

fn sufficient<A: Arithmetic>(detections: &Detections, scores: &[A::Value], group: usize) -> Vec<Chosen<A>> {
    let threshold = A::constant(detections.threshold.to_bits());
    let compare = if detections.inclusive { Instruction::LessEqual } else { Instruction::Less };
    let passes = |score: A::Value| A::integer(A::apply(compare, &[threshold, score])) != 0;
    let scores = scores[group * detections.candidates..][..detections.candidates].iter().enumerate();
    scores.filter(|(_, score)| passes(**score)).map(|(candidate, score)| (group, candidate, *score)).collect()
}

/// Sorts by descending score. No score is NaN.
fn sort<A: Arithmetic>(chosen: &mut [Chosen<A>], ties: Ties) {
    match ties {
        Ties::AsQuicksort => quicksort::<A>(chosen),
        Ties::InOrder => chosen.sort_by(|(_, _, a), (_, _, b)| {
            if less::<A>(*b, *a) {
                Ordering::Less
            } else if less::<A>(*a, *b) {
                Ordering::Greater
            } else {
                Ordering::Equal
            }
        }),
    }
}

/// Sorts by descending score, as ncnn does.
fn quicksort<A: Arithmetic>(chosen: &mut [Chosen<A>]) {
    let mut unsorted = vec![(0, chosen.len())];
    while let Some((start, end)) = unsorted.pop() {
        if end - start < 2 {
            continue;
        }
        let (_, _, pivot) = chosen[usize::midpoint(start, end - 1)];
        // What lies before `low` is no smaller than the pivot, what lies from `high` on no larger.
        let (mut low, mut high) = (start, end);
        while low < high {
            while less::<A>(pivot, chosen[low].2) {
                low += 1;
            }
            while less::<A>(chosen[high - 1].2, pivot) {
                high -= 1;
            }
            if low < high {
                chosen.swap(low, high - 1);
                low += 1;
                high -= 1;
            }
        }
        unsorted.extend([(start, high), (low, end)]);
    }
}

/// Those that overlap none of the distinct ones before them.
fn distinct<A: Arithmetic>(
    detections: &Detections,
    candidates: Vec<Chosen<A>>,
    boxes: &[A::Value],
    areas: &[A::Value],
) -> Vec<Chosen<A>> {
    let mut overlaps = Evaluator::<A>::new(&detections.overlaps(), 1);
    let mut kept: Vec<Chosen<A>> = Vec::new();
    for chosen in candidates {
        let covered = kept.iter().any(|(_, other, _)| {
            let pair = [chosen.1, *other];
            overlaps.evaluate(1, |operand, row| {
                row[0] =
                    if operand < 8 { boxes[4 * pair[operand / 4] + operand % 4] } else { areas[pair[operand - 8]] };
            });
            A::integer(overlaps.result(0)[0]) != 0
        });
        if !covered {
            kept.push(chosen);
        }
    }
    kept
}
