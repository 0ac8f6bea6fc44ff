//! Non-maximum suppression: detections chosen and sorted by their scores.

use super::scalars::{
    Array, add, address, both, count_up, for_each, integer, less, load, not, smaller, store, variable, while_less,
};
use crate::expression::Expression;
use crate::graph::Detections;
use crate::instruction::Instruction;
use crate::kernel::{Address, BufferId, Builder, Op, Type, ValueId, VariableId};

/// Arrays of the kernel.
struct Memory {
    boxes: Array,
    areas: Array,
    /// Permutations being sorted, and the room for it.
    order: Array,
    room: Array,
    /// The chosen so far: candidate, score and label.
    chosen: Array,
}

const CANDIDATE: usize = 0;
const SCORE: usize = 1;
const LABEL: usize = 2;

/// Builds the kernel. `reads` are boxes, areas, scores and (so many) labels; `writes` the rows and their extents.
pub(super) fn build(b: &mut Builder, kind: &Detections, reads: &[BufferId], labels: usize, writes: &[BufferId]) {
    let [boxes, areas, scores, label_words] = reads[..] else { unreachable!("four operands") };
    let chosen = (kind.groups * kind.chosen_in_group()).max(1);
    let sorted = chosen.max(kind.candidates);
    let own = b.output("own", 2 * sorted + 3 * chosen);
    let memory = Memory {
        boxes: Array { buffer: boxes, first: 0, records: kind.candidates, words: 4 },
        areas: Array::of(areas, kind.candidates),
        order: Array::of(own, sorted),
        room: Array { buffer: own, first: sorted, records: sorted, words: 1 },
        chosen: Array { buffer: own, first: 2 * sorted, records: chosen, words: 3 },
    };
    let zero = integer(b, 0);
    let count = variable(b, zero);
    // Labels come one for each group or one for each candidate.
    let labels_in_group = labels / kind.groups;
    b.repeat(kind.groups, |b, group| {
        let scores = Address::new(scores, 0).plus(group, kind.candidates as i64);
        let label = Address::new(label_words, 0).plus(group, labels_in_group as i64);
        choose_in_group(b, kind, &memory, &scores, (&label, labels_in_group > 1), count);
    });
    let found = b.get(count);
    for_each(b, zero, found, |b, i| store(b, memory.order, i, 0, i));
    sort(b, &memory, found, &|b, at| load(b, memory.chosen, at, SCORE));
    let most = integer(b, kind.most);
    let rows = smaller(b, found, most);
    let to = Array { buffer: writes[0], first: 0, records: kind.rows(), words: 6 };
    for_each(b, zero, rows, |b, row| {
        let at = load(b, memory.order, row, 0);
        let candidate = load(b, memory.chosen, at, CANDIDATE);
        for (word, from) in [LABEL, SCORE].into_iter().enumerate() {
            let value = load(b, memory.chosen, at, from);
            store(b, to, row, word, value);
        }
        for edge in 0..4 {
            let value = load(b, memory.boxes, candidate, edge);
            store(b, to, row, 2 + edge, value);
        }
    });
    b.store(Address::new(writes[1], 0), rows);
    let columns = integer(b, 6);
    b.store(Address::new(writes[1], 1), columns);
}

/// Appends a group's distinct candidates to the chosen ones. Scores and labels are those of candidate 0; whether there is
/// a label for every candidate is said beside.
fn choose_in_group(
    b: &mut Builder,
    kind: &Detections,
    memory: &Memory,
    scores: &Address,
    (label, many_labels): (&Address, bool),
    count: VariableId,
) {
    let zero = integer(b, 0);
    let passed = variable(b, zero);
    let threshold = b.constant(Type::Scalar, kind.threshold.to_bits());
    let compare = if kind.inclusive { Instruction::LessEqual } else { Instruction::Less };
    b.repeat(kind.candidates, |b, candidate| {
        let score = b.load(Type::Scalar, scores.clone().plus(candidate, 1));
        let sufficient = b.apply(compare, &[threshold, score]);
        b.choose(
            sufficient,
            |b| {
                let (at, number) = (b.get(passed), b.define(Type::Scalar, Op::ScalarFrom(candidate)));
                store(b, memory.order, at, 0, number);
                count_up(b, passed);
            },
            |_| {},
        );
    });
    // The number of a candidate as a position in what belongs to one group.
    let of_candidate = |b: &mut Builder, first: &Address, candidate: ValueId| {
        let within = address(b, Array::of(first.buffer, kind.candidates), candidate, 0);
        let terms = first.terms.iter().chain(&within.terms).copied().collect();
        let address = Address { buffer: first.buffer, terms, offset: first.offset + within.offset };
        b.load(Type::Scalar, address)
    };
    let passed = b.get(passed);
    sort(b, memory, passed, &|b, candidate| of_candidate(b, scores, candidate));
    let most = integer(b, kind.most_in_group);
    let considered = smaller(b, passed, most);
    let first = b.get(count);
    let overlaps = kind.overlaps().expanded();
    for_each(b, zero, considered, |b, i| {
        let candidate = load(b, memory.order, i, 0);
        let covered = is_covered(b, memory, &overlaps, candidate, first, count);
        b.choose(
            covered,
            |_| {},
            |b| {
                let at = b.get(count);
                let score = of_candidate(b, scores, candidate);
                let label =
                    if many_labels { of_candidate(b, label, candidate) } else { b.load(Type::Scalar, label.clone()) };
                for (word, value) in [(CANDIDATE, candidate), (SCORE, score), (LABEL, label)] {
                    store(b, memory.chosen, at, word, value);
                }
                count_up(b, count);
            },
        );
    });
}

/// Whether a candidate overlaps one of those chosen since number `first`, as a mask.
fn is_covered(
    b: &mut Builder,
    memory: &Memory,
    overlaps: &Expression,
    candidate: ValueId,
    first: ValueId,
    count: VariableId,
) -> ValueId {
    let mut operands: Vec<ValueId> = (0..4).map(|edge| load(b, memory.boxes, candidate, edge)).collect();
    let area = load(b, memory.areas, candidate, 0);
    let (zero, end) = (integer(b, 0), b.get(count));
    let (covered, at) = (variable(b, zero), variable(b, first));
    b.repeat_while(
        |b| {
            let (at, covered) = (b.get(at), b.get(covered));
            let (more, clear) = (less(b, at, end), not(b, covered));
            both(b, more, clear)
        },
        |b| {
            let number = b.get(at);
            let other = load(b, memory.chosen, number, CANDIDATE);
            operands.extend((0..4).map(|edge| load(b, memory.boxes, other, edge)));
            operands.push(area);
            operands.push(load(b, memory.areas, other, 0));
            let overlap = b.expression(Type::Scalar, overlaps, &operands)[0];
            b.set(covered, overlap);
            count_up(b, at);
        },
    );
    b.get(covered)
}

/// Sorts the first `count` entries of the order by descending key, keeping the order of equal ones: a merge sort from
/// runs of one entry up, so that no data make it slow.
fn sort(b: &mut Builder, memory: &Memory, count: ValueId, key: &dyn Fn(&mut Builder, ValueId) -> ValueId) {
    let (zero, one) = (integer(b, 0), integer(b, 1));
    // The count is confined to the array, so that twice a run's length stays far from overflowing.
    let longest = integer(b, memory.order.records);
    let count = smaller(b, count, longest);
    let length = variable(b, one);
    while_less(b, length, count, |b, run| {
        let start = variable(b, zero);
        while_less(b, start, count, |b, first| {
            let middle = add(b, first, run);
            let end = add(b, middle, run);
            let (middle, end) = (smaller(b, middle, count), smaller(b, end, count));
            merge(b, memory, (first, middle, end), key);
            b.set(start, end);
        });
        for_each(b, zero, count, |b, i| {
            let entry = load(b, memory.room, i, 0);
            store(b, memory.order, i, 0, entry);
        });
        let twice = add(b, run, run);
        b.set(length, twice);
    });
}

/// Merges two sorted runs of the order, `first..middle` and `middle..end`, into the same place of the room.
fn merge(
    b: &mut Builder,
    memory: &Memory,
    (first, middle, end): (ValueId, ValueId, ValueId),
    key: &dyn Fn(&mut Builder, ValueId) -> ValueId,
) {
    let (left, right) = (variable(b, first), variable(b, middle));
    for_each(b, first, end, |b, to| {
        let (at_left, at_right) = (b.get(left), b.get(right));
        let (entry_left, entry_right) = (load(b, memory.order, at_left, 0), load(b, memory.order, at_right, 0));
        let (key_left, key_right) = (key(b, entry_left), key(b, entry_right));
        // The right one goes first when the left run is used up, or when it is there and its key is larger.
        let (left_there, right_there) = (less(b, at_left, middle), less(b, at_right, end));
        let larger = b.apply(Instruction::Less, &[key_left, key_right]);
        let preferred = both(b, right_there, larger);
        let left_gone = not(b, left_there);
        let take_right = b.apply(Instruction::Or, &[left_gone, preferred]);
        let entry = b.apply(Instruction::Select, &[take_right, entry_right, entry_left]);
        store(b, memory.room, to, 0, entry);
        b.choose(take_right, |b| count_up(b, right), |b| count_up(b, left));
    });
}
