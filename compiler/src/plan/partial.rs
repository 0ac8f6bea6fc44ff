//! Partial sums of a batch of elements, as a recipe has them.

use super::arithmetic::{Arithmetic, Evaluator, Reals};
use super::vectorised::vectorised;
use crate::graph::Element;
use crate::recipe::{Accumulation, Sum};

/// The partial sums of each lane of an order.
pub(super) enum Partial<A: Arithmetic> {
    /// In words: for each lane a row for each of them.
    Words { step: Evaluator<A>, fold: Evaluator<A>, lanes: Vec<Vec<Vec<A::Value>>> },
    /// In double precision: a row for each lane.
    Double { terms: Evaluator<A>, factors: usize, lanes: Vec<Vec<f64>> },
}

impl<A: Arithmetic> Partial<A> {
    /// Sums of up to `width` elements in so many lanes.
    pub fn new(sum: &Sum, width: usize, lanes: usize) -> Self {
        match &sum.accumulation {
            Accumulation::Words { step, fold } => Self::Words {
                step: Evaluator::new(step, width),
                fold: Evaluator::new(fold, width),
                lanes: vec![vec![vec![A::Value::default(); width]; sum.words()]; lanes],
            },
            Accumulation::Double { terms } => Self::Double {
                terms: Evaluator::new(terms, width),
                factors: terms.results.len(),
                lanes: vec![vec![0.0; width]; lanes],
            },
        }
    }

    /// Every lane begins with the results of `start`.
    pub fn begin(&mut self, start: &Evaluator<A>, count: usize) {
        match self {
            Self::Words { lanes, .. } => {
                for (word, row) in lanes.iter_mut().flat_map(|lane| lane.iter_mut().enumerate()) {
                    row[..count].copy_from_slice(&start.result(word)[..count]);
                }
            }
            Self::Double { lanes, .. } => {
                for (at, sum) in lanes.iter_mut().flat_map(|row| row[..count].iter_mut().enumerate()) {
                    *sum = (1..start.results())
                        .fold(real::<A>(start.result(0)[at]), |sum, word| sum + real::<A>(start.result(word)[at]));
                }
            }
        }
    }

    /// Whether [`Self::take_product`] is how these sums take a product of floats.
    pub fn takes_products(&self) -> bool {
        match self {
            Self::Words { lanes, .. } => lanes[0].len() == 1,
            Self::Double { .. } => true,
        }
    }

    /// A lane takes the product of two rows, where a row of one value stands for that value everywhere.
    pub fn take_product(&mut self, lane: usize, count: usize, a: &[A::Value], b: &[A::Value]) {
        match self {
            Self::Words { lanes, .. } => vectorised(|| fused(&mut lanes[lane][0][..count], a, b, A::fma)),
            Self::Double { lanes, .. } => {
                let there = &mut lanes[lane][..count];
                vectorised(|| fused(there, a, b, |a, b, sum| real::<A>(a) * real::<A>(b) + sum));
            }
        }
    }

    /// A lane takes one more term; `load` gives an operand's values, of which there are so many before the words of the sum.
    pub fn take(&mut self, lane: usize, count: usize, reads: usize, mut load: impl FnMut(usize, &mut [A::Value])) {
        match self {
            Self::Words { step, lanes, .. } => {
                let there = &mut lanes[lane];
                vectorised(|| {
                    step.evaluate(count, |operand, row| match operand.checked_sub(reads) {
                        None => load(operand, row),
                        Some(word) => row.copy_from_slice(&there[word][..count]),
                    });
                });
                for (word, row) in there.iter_mut().enumerate() {
                    row[..count].copy_from_slice(&step.result(word)[..count]);
                }
            }
            Self::Double { terms, factors, lanes } => {
                vectorised(|| terms.evaluate(count, &mut load));
                let (there, first) = (&mut lanes[lane][..count], &terms.result(0)[..count]);
                match factors {
                    1 => there.iter_mut().zip(first).for_each(|(sum, term)| *sum += real::<A>(*term)),
                    _ => fused(there, first, &terms.result(1)[..count], |a, b, sum| real::<A>(a) * real::<A>(b) + sum),
                }
            }
        }
    }

    /// Each of the first lanes takes the one so much further on.
    pub fn fold(&mut self, half: usize, count: usize) {
        match self {
            Self::Words { fold, lanes, .. } => {
                let (kept, folded) = lanes.split_at_mut(half);
                for (there, other) in kept.iter_mut().zip(folded.iter()) {
                    let words = there.len();
                    fold.evaluate(count, |operand, row| {
                        let from = if operand < words { &there[operand] } else { &other[operand - words] };
                        row.copy_from_slice(&from[..count]);
                    });
                    there.iter_mut().enumerate().for_each(|(word, row)| {
                        row[..count].copy_from_slice(&fold.result(word)[..count]);
                    });
                }
            }
            Self::Double { lanes, .. } => {
                let (kept, folded) = lanes.split_at_mut(half);
                for (sum, other) in
                    kept.iter_mut().zip(folded.iter()).flat_map(|(there, other)| there.iter_mut().zip(other))
                {
                    *sum += other;
                }
            }
        }
    }

    /// A word of the first lane's sum.
    pub fn word(&self, word: usize, row: &mut [A::Value]) {
        match self {
            Self::Words { lanes, .. } => row.copy_from_slice(&lanes[0][word][..row.len()]),
            Self::Double { lanes, .. } => {
                for (value, sum) in row.iter_mut().zip(&lanes[0]) {
                    let nearest = A::rounded(*sum);
                    *value = if word == 0 { nearest } else { A::rounded(*sum - real::<A>(nearest)) };
                }
            }
        }
    }
}

/// A float in double precision.
#[inline(always)]
fn real<A: Arithmetic>(value: A::Value) -> f64 {
    Reals::read(A::word(value, Element::F32), Element::F32)
}

/// `there = fma(a, b, there)`, where a row of one value stands for that value everywhere.
#[inline(always)]
fn fused<V: Copy, S: Copy>(there: &mut [S], a: &[V], b: &[V], fma: impl Fn(V, V, S) -> S) {
    match (a, b) {
        (&[a], &[b]) => there.iter_mut().for_each(|there| *there = fma(a, b, *there)),
        (&[a], b) => there.iter_mut().zip(b).for_each(|(there, b)| *there = fma(a, *b, *there)),
        (a, &[b]) => there.iter_mut().zip(a).for_each(|(there, a)| *there = fma(*a, b, *there)),
        (a, b) => there.iter_mut().zip(a).zip(b).for_each(|((there, a), b)| *there = fma(*a, *b, *there)),
    }
}
