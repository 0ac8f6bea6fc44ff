//! A network whose batch norms give what their statistics say: each channel of their results normally distributed, with the
//! mean and the deviation that it had in training.
//!
//! The distribution is cut into slices of equal probability, and the network is carried out once for each slice. In each run
//! every element behind a batch norm is the mean of a slice, in an order of its own, so that all runs together give it
//! every slice once: the mean of a ReLU of it, say, is that of a ReLU of the normal distribution. What is computed from such
//! elements alone is known as well; what depends on the inputs otherwise is not.

use super::samples::Random;
use super::subject::Subject;
use crate::graph::{Graph, Source, TensorId};
use crate::plan::{Interpreter, Plan, Words};
use std::collections::HashMap;

/// The means of the upper half of the slices: `COUNT (density(a) - density(b))` of the standard normal distribution for the
/// slice from `a` to `b`. Those of the lower half are their negatives.
const UPPER: [f32; 16] = [
    0.039_186_122,
    0.117_800_42,
    0.197_151_5,
    0.277_767_17,
    0.360_234_8,
    0.445_235_36,
    0.533_591_1,
    0.626_336_16,
    0.724_827_9,
    0.830_934_8,
    0.947_376_4,
    1.078_398_3,
    1.231_293_8,
    1.420_533,
    1.683_275_3,
    2.252_210_9,
];

/// The network by its plain definition, and what is known of it.
pub(super) struct Slices<'a> {
    definition: &'a Plan,
    /// The statistics of each operation's results, where it is a batch norm.
    statistics: Vec<Option<&'a [[f32; 2]]>>,
    /// For each tensor whether its distribution is known.
    known: Vec<bool>,
    names: HashMap<&'a str, TensorId>,
}

impl<'a> Slices<'a> {
    /// How many there are.
    pub const COUNT: usize = 2 * UPPER.len();

    /// The slices of a model.
    pub fn new(subject: &'a Subject) -> Self {
        let graph = &subject.definition.graph;
        let statistics: Vec<Option<&[[f32; 2]]>> = (graph.operations.iter())
            .map(|operation| subject.layers.get(operation.name())?.statistics.as_deref())
            .collect();
        let mut known: Vec<bool> = graph.tensors.iter().map(|tensor| !matches!(tensor.source, Source::Input)).collect();
        for (operation, statistics) in graph.operations.iter().zip(&statistics) {
            let is_known = statistics.is_some() || operation.reads().iter().all(|id| known[id.0]);
            operation.writes().iter().for_each(|id| known[id.0] &= is_known);
        }
        let names = graph.tensors.iter().enumerate().map(|(at, tensor)| (tensor.name.as_str(), TensorId(at)));
        Self { definition: &subject.definition, statistics, known, names: names.collect() }
    }

    /// The tensor of the definition that is meant to have the values of one of a plan, if it is known.
    pub fn knows(&self, graph: &Graph, id: TensorId) -> Option<TensorId> {
        let tensor = graph.tensor(id);
        let namesake = self.names.get(tensor.name.as_str()).copied()?;
        let is_same = self.definition.graph.tensor(namesake).elements() == tensor.elements();
        (is_same && self.known[namesake.0]).then_some(namesake)
    }

    /// The run with this number, as far as it is known.
    pub fn trace(&self, slice: usize) -> Interpreter<'a, Words> {
        let graph = &self.definition.graph;
        let mut interpreter = Interpreter::new(self.definition);
        for (at, operation) in graph.operations.iter().enumerate() {
            let written = operation.writes();
            if !written.iter().all(|id| self.known[id.0]) {
                continue;
            }
            match self.statistics[at] {
                None => interpreter.step(at),
                Some(channels) => {
                    let elements = graph.tensor(written[0]).elements();
                    // The same orders in every run.
                    let mut random = Random(at as u64);
                    let element = |i: usize| {
                        let [mean, deviation] = channels[i * channels.len() / elements];
                        (mean + deviation * middle(place(&mut random, slice))).to_bits()
                    };
                    interpreter.set(written[0], (0..elements).map(element).collect());
                }
            }
        }
        interpreter
    }
}

/// The slice that an element has in a run: each once in all runs together.
fn place(random: &mut Random, run: usize) -> usize {
    let drawn = random.next() as usize;
    let (step, first) = (drawn >> 8 | 1, drawn);
    first.wrapping_add(step.wrapping_mul(run)) % Slices::COUNT
}

/// The mean of a slice.
fn middle(slice: usize) -> f32 {
    match slice.checked_sub(UPPER.len()) {
        Some(above) => UPPER[above],
        None => -UPPER[UPPER.len() - 1 - slice],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_have_the_moments_of_the_normal_distribution() {
        let mean = |of: &dyn Fn(f64) -> f64| {
            (0..Slices::COUNT).map(|slice| of(f64::from(middle(slice)))).sum::<f64>() / Slices::COUNT as f64
        };
        assert!(mean(&|x| x).abs() < 1e-9);
        // 1 / sqrt(2 pi), and what is left of the square when a slice is its mean.
        assert!((mean(&|x| x.max(0.0)) - 0.398_942_280).abs() < 1e-7);
        assert!((mean(&|x| x * x) - 0.990_788_6).abs() < 1e-6);
    }

    #[test]
    fn every_element_has_every_slice_once() {
        for seed in 0..100 {
            let mut places: Vec<usize> = (0..Slices::COUNT).map(|run| place(&mut Random(seed), run)).collect();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..Slices::COUNT));
        }
    }
}
