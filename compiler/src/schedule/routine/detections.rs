//! Non-maximum suppression: detections chosen and sorted by their scores.

use super::scalars::{
    Array, add, address, both, count_up, for_each, integer, less, load, not, smaller, store, variable,
};
use crate::expression::Expression;
use crate::graph::{Detections, Ties};
use crate::instruction::Instruction;
use crate::kernel::{Address, BufferId, Builder, Op, Type, ValueId, VariableId};

/// Arrays of the kernel.
struct Memory {
    boxes: Array,
    areas: Array,
    /// A permutation being sorted, and which ranges of it are not yet sorted.
    order: Array,
    unsorted: Array,
    /// The chosen so far: candidate, score and label.
    chosen: Array,
}

const CANDIDATE: usize = 0;
const SCORE: usize = 1;
const LABEL: usize = 2;

const START: usize = 0;
const END: usize = 1;

/// Builds the kernel. `reads` are boxes, areas, scores and (so many) labels; `writes` the rows and their extents.
pub(super) fn build(b: &mut Builder, kind: &Detections, reads: &[BufferId], labels: usize, writes: &[BufferId]) {
    let [boxes, areas, scores, label_words] = reads[..] else { unreachable!("four operands") };
    let chosen = (kind.groups * kind.chosen_in_group()).max(1);
    let sorted = chosen.max(kind.candidates);
    // Each range is parted at most as often as it is long.
    let ranges = sorted + 1;
    let own = b.output("own", sorted + 2 * ranges + 3 * chosen);
    let memory = Memory {
        boxes: Array { buffer: boxes, first: 0, records: kind.candidates, words: 4 },
        areas: Array::of(areas, kind.candidates),
        order: Array::of(own, sorted),
        unsorted: Array { buffer: own, first: sorted, records: ranges, words: 2 },
        chosen: Array { buffer: own, first: sorted + 2 * ranges, records: chosen, words: 3 },
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
    sort(b, &memory, (found, kind.ties), &|b, at| load(b, memory.chosen, at, SCORE));
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

/// Appends a group's distinct candidates to the chosen ones. Scores and labels are those of candidate 0; whether there
/// is a label for every candidate is said beside.
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
    sort(b, memory, (passed, kind.ties), &|b, candidate| of_candidate(b, scores, candidate));
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

/// Sorts the first `count` entries of the order by descending key, by ncnn's quicksort; no key is NaN. Whatever
/// the keys, a range is left as two smaller ones or as none, so that this ends.
fn sort(
    b: &mut Builder,
    memory: &Memory,
    (count, ties): (ValueId, Ties),
    key: &dyn Fn(&mut Builder, ValueId) -> ValueId,
) {
    let (zero, one, two) = (integer(b, 0), integer(b, 1), integer(b, 2));
    let waiting = variable(b, zero);
    wait(b, memory, waiting, (zero, count));
    b.repeat_while(
        |b| {
            let waiting = b.get(waiting);
            less(b, zero, waiting)
        },
        |b| {
            let next = b.get(waiting);
            let next = b.apply(Instruction::IntegerSubtract, &[next, one]);
            b.set(waiting, next);
            let (start, end) = (load(b, memory.unsorted, next, START), load(b, memory.unsorted, next, END));
            let length = b.apply(Instruction::IntegerSubtract, &[end, start]);
            let single = less(b, length, two);
            b.choose(
                single,
                |_| {},
                |b| {
                    let (low, high) = part(b, memory, (start, end), ties, key);
                    wait(b, memory, waiting, (start, high));
                    wait(b, memory, waiting, (low, end));
                },
            );
        },
    );
}

/// Whether one key with its entry has to stand before another one.
fn comes_first(b: &mut Builder, one: (ValueId, ValueId), other: (ValueId, ValueId), ties: Ties) -> ValueId {
    let larger = b.apply(Instruction::Less, &[other.0, one.0]);
    match ties {
        Ties::AsQuicksort => larger,
        Ties::InOrder => {
            // Entries count up before they are sorted.
            let (smaller, earlier) = (b.apply(Instruction::Less, &[one.0, other.0]), less(b, one.1, other.1));
            let no_smaller = not(b, smaller);
            let tied = both(b, no_smaller, earlier);
            b.apply(Instruction::Or, &[larger, tied])
        }
    }
}

/// Puts a range of the order off until it is its turn.
fn wait(b: &mut Builder, memory: &Memory, waiting: VariableId, (start, end): (ValueId, ValueId)) {
    let at = b.get(waiting);
    store(b, memory.unsorted, at, START, start);
    store(b, memory.unsorted, at, END, end);
    count_up(b, waiting);
}

/// Parts a range of the order by the key in its middle; gives the start of the part of smaller keys, then the end of
/// that of larger ones. Between the two there may be an entry that is in its place.
fn part(
    b: &mut Builder,
    memory: &Memory,
    (start, end): (ValueId, ValueId),
    ties: Ties,
    key: &dyn Fn(&mut Builder, ValueId) -> ValueId,
) -> (ValueId, ValueId) {
    let one = integer(b, 1);
    let at = |b: &mut Builder, at: ValueId| {
        let entry = load(b, memory.order, at, 0);
        (key(b, entry), entry)
    };
    let last = b.apply(Instruction::IntegerSubtract, &[end, one]);
    let sum = add(b, start, last);
    let middle = b.apply(Instruction::ShiftRight, &[sum, one]);
    let pivot = at(b, middle);
    let (low, high) = (variable(b, start), variable(b, end));
    b.repeat_while(
        |b| {
            let (low, high) = (b.get(low), b.get(high));
            less(b, low, high)
        },
        |b| {
            b.repeat_while(
                |b| {
                    let place = b.get(low);
                    let entry = at(b, place);
                    let (first, within) = (comes_first(b, entry, pivot, ties), less(b, place, last));
                    both(b, first, within)
                },
                |b| count_up(b, low),
            );
            let before = |b: &mut Builder, high: VariableId| {
                let high = b.get(high);
                b.apply(Instruction::IntegerSubtract, &[high, one])
            };
            b.repeat_while(
                |b| {
                    let place = before(b, high);
                    let entry = at(b, place);
                    let (last, within) = (comes_first(b, pivot, entry, ties), less(b, start, place));
                    both(b, last, within)
                },
                |b| {
                    let next = before(b, high);
                    b.set(high, next);
                },
            );
            let (left, right) = (b.get(low), before(b, high));
            let crossed = less(b, right, left);
            b.choose(
                crossed,
                |_| {},
                |b| {
                    let entries = (load(b, memory.order, left, 0), load(b, memory.order, right, 0));
                    store(b, memory.order, left, 0, entries.1);
                    store(b, memory.order, right, 0, entries.0);
                    count_up(b, low);
                    b.set(high, right);
                },
            );
        },
    );
    (b.get(low), b.get(high))
}
