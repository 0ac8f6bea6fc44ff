//! What bias correction adds to each layer: the mean of what rounding its constants takes away, on calibration inputs or by
//! the statistics of the batch norms before it.
//!
//! The sum of a contraction is linear in what it reads. So rounding weights moves the mean of each channel by the sum of the
//! weights' changes, each times the mean of what the weight is multiplied by, zeros of the padding included. Those means are
//! taken in the network in `f32`, in double precision and in a fixed order, so that corrections are the same on every
//! machine. (Means taken in the corrected network instead undo more of what earlier layers do, but with few inputs they fit
//! these and no others: `docs/precision.md` has the figures.)

use super::measure::{numbers, traced};
use super::slices::Slices;
use super::subject::Subject;
use crate::diagnostic::Diagnostic;
use crate::graph::{Access, Graph, Nest, Operation, Outside, TensorId};
use crate::plan::{Correction, Interpreter, Narrowed, Plan, Words};

/// Corrections, and what there is to say about them.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// A correction for each contraction with narrow constants.
    pub corrections: Vec<Correction>,
    /// Where the means come from, as the end of a sentence.
    pub means: String,
    /// For each contraction why it is left as it is, if it is.
    pub left: Vec<Option<Left>>,
}

/// Why a layer is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing is known of what its weights are multiplied by.
    Unknown,
    /// Its constants lose nothing that means would show.
    Exact,
    /// Some of its constants have become infinite.
    Infinite,
    /// With all corrections the error of its results is larger on the calibration inputs than without any.
    Worse,
}

impl Left {
    /// What reports say.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unknown => "no batch norm before it says what it reads",
            Self::Exact => "rounding moves no mean",
            Self::Infinite => "some of its constants are too large for their format",
            Self::Worse => "its error was larger with it on the calibration inputs",
        }
    }
}

impl Calibration {
    /// Takes means on these inputs, for each sample the words of each input; `tell` hears of the sample at hand, from 0 to
    /// twice their number. A layer stays as it is where that has less error in the run of the whole.
    ///
    /// # Errors
    /// Nothing is stored narrow.
    pub fn measured(
        subject: &Subject,
        inputs: &[Vec<Vec<u32>>],
        tell: &mut dyn FnMut(usize),
    ) -> Result<Self, Diagnostic> {
        let (narrow, wide) = (&subject.plan, subject.unnarrowed.as_ref().ok_or_else(nothing_narrow)?);
        let mut sums = Sums::of(narrow);
        for (sample, inputs) in inputs.iter().enumerate() {
            tell(sample);
            let trace = traced::<Words>(wide, inputs);
            sums.iter_mut().for_each(|sums| sums.add(&wide.graph, sums.read().tensor, &trace));
        }
        let mut calibration = Self::of(&sums, wide, narrow, format!("measured on {}", counted(inputs.len())));
        let corrected = narrow.corrected(&calibration.corrections).expect("a correction for each contraction");
        let mut errors = vec![[0.0; 2]; sums.len()];
        for (sample, inputs) in inputs.iter().enumerate() {
            tell(inputs.len() + sample);
            let plans = [wide, narrow, &corrected];
            let traces = plans.map(|plan| traced::<Words>(plan, inputs));
            for (sums, errors) in sums.iter().zip(&mut errors) {
                let id = sums.nest.write.tensor;
                let [wide, narrow, corrected] =
                    [0, 1, 2].map(|at| numbers(&plans[at].graph, id, &traces[at].values(id)));
                errors[0] += energy(&narrow, &wide);
                errors[1] += energy(&corrected, &wide);
            }
        }
        for (at, _) in errors.into_iter().enumerate().filter(|(_, [without, with])| with > without) {
            calibration.leave(at, Left::Worse);
        }
        Ok(calibration)
    }

    /// Takes means by the statistics of batch norms: behind each of them a channel is normally distributed, with the mean
    /// and the deviation that it was trained to have. `tell` hears of the slice of the distribution at hand and their number.
    ///
    /// # Errors
    /// Nothing is stored narrow, or nothing is known of any layer that is.
    pub fn analytic(subject: &Subject, tell: &mut dyn FnMut(usize, usize)) -> Result<Self, Diagnostic> {
        let (narrow, wide) = (&subject.plan, subject.unnarrowed.as_ref().ok_or_else(nothing_narrow)?);
        let slices = Slices::new(subject);
        let mut sums = Sums::of(narrow);
        let known: Vec<Option<TensorId>> =
            sums.iter().map(|sums| slices.knows(&narrow.graph, sums.read().tensor)).collect();
        if known.iter().all(Option::is_none) {
            return Err(nothing_known());
        }
        for slice in 0..Slices::COUNT {
            tell(slice, Slices::COUNT);
            let trace = slices.trace(slice);
            for (sums, known) in sums.iter_mut().zip(&known) {
                if let Some(known) = known {
                    sums.add(&subject.definition.graph, *known, &trace);
                }
            }
        }
        let mut calibration = Self::of(&sums, wide, narrow, "by the statistics of batch norms".to_string());
        for (at, _) in known.iter().enumerate().filter(|(_, known)| known.is_none()) {
            calibration.leave(at, Left::Unknown);
        }
        Ok(calibration)
    }

    /// What the sums say.
    fn of(sums: &[Sums], wide: &Plan, narrow: &Plan, means: String) -> Self {
        let corrections: Vec<Correction> = sums.iter().map(|sums| sums.correction(wide, narrow)).collect();
        let mut calibration = Self { left: vec![None; corrections.len()], corrections, means };
        for at in 0..sums.len() {
            let values = &calibration.corrections[at].values;
            if !values.iter().all(|value| value.is_finite()) {
                calibration.leave(at, Left::Infinite);
            } else if values.iter().all(|value| *value == 0.0) {
                calibration.leave(at, Left::Exact);
            }
        }
        calibration
    }

    fn leave(&mut self, at: usize, left: Left) {
        self.corrections[at].values.clear();
        self.left[at] = Some(left);
    }
}

fn counted(inputs: usize) -> String {
    if inputs == 1 { "1 input".to_string() } else { format!("{inputs} inputs") }
}

/// What the weights of a contraction are multiplied by, summed up.
struct Sums<'a> {
    nest: &'a Nest,
    narrowed: Narrowed,
    /// The loops that tell the sums apart: those of channels that the other factor is indexed by, and those of the
    /// contraction.
    loops: Vec<usize>,
    /// The loops that are summed over: every weight is used once in each iteration of them.
    positions: Vec<usize>,
    /// Row-major over `loops`.
    sums: Vec<f64>,
    samples: usize,
}

impl<'a> Sums<'a> {
    /// Nothing so far, for each contraction with narrow constants.
    fn of(plan: &'a Plan) -> Vec<Self> {
        let new = |narrowed: Narrowed| {
            let Operation::Nest(nest) = &plan.graph.operations[narrowed.operation] else {
                unreachable!("contractions are nests")
            };
            let used = nest.reads[narrowed.activation].loops();
            let channels = narrowed.channels.iter().copied().filter(|axis| used.contains(axis));
            let loops: Vec<usize> = channels.chain(nest.parallel.len()..nest.axes().count()).collect();
            let positions = (0..nest.parallel.len()).filter(|axis| !narrowed.channels.contains(axis)).collect();
            let sums = vec![0.0; extent(nest, &loops)];
            Self { nest, narrowed, loops, positions, sums, samples: 0 }
        };
        plan.narrowed().into_iter().map(new).collect()
    }

    /// What is summed up.
    fn read(&self) -> &'a Access {
        &self.nest.reads[self.narrowed.activation]
    }

    /// Adds a sample, in which what is read is a tensor of this graph.
    fn add(&mut self, graph: &Graph, read: TensorId, trace: &Interpreter<Words>) {
        let values = numbers(graph, read, &trace.values(read));
        let access = self.read();
        let outside = match access.outside {
            Outside::Never => 0.0,
            Outside::Value(word) => f64::from(f32::from_bits(word)),
        };
        let Self { nest, loops, positions, sums, .. } = self;
        let mut sums = sums.iter_mut();
        nest.each_iteration(loops, &mut vec![0; nest.axes().count()], |iteration| {
            let sum = sums.next().expect("a sum for each iteration");
            nest.each_iteration(positions, iteration, |iteration| {
                *sum += access.position(iteration).map_or(outside, |position| values[position]);
            });
        });
        self.samples += 1;
    }

    /// What to add to each channel, so that its mean is what it would be with wide constants.
    fn correction(&self, wide: &Plan, narrow: &Plan) -> Correction {
        let Self { nest, narrowed, loops, positions, sums, samples } = self;
        let access = &nest.reads[narrowed.weight];
        let words = [wide, narrow].map(|plan| plan.graph.constant(access.tensor).expect("weights are constant"));
        let change = |position: usize| {
            let [wide, narrow] = words.map(|words| f64::from(f32::from_bits(words[position])));
            wide - narrow
        };
        let terms = (samples * extent(nest, positions)) as f64;
        let mut place = vec![0; nest.axes().count()];
        let mut stride = 1;
        for axis in loops.iter().rev() {
            place[*axis] = stride;
            stride *= extent(nest, &[*axis]);
        }
        let reduced: Vec<usize> = (nest.parallel.len()..nest.axes().count()).collect();
        let mut values = Vec::new();
        nest.each_iteration(&narrowed.channels, &mut vec![0; nest.axes().count()], |iteration| {
            let mut moved = 0.0;
            nest.each_iteration(&reduced, iteration, |iteration| {
                let met: usize = place.iter().zip(iteration.iter()).map(|(stride, i)| stride * i).sum();
                let position = access.position(iteration).expect("weights are read inside");
                moved += change(position) * (sums[met] / terms);
            });
            values.push(moved as f32);
        });
        Correction { layer: nest.name.clone(), values }
    }
}

/// Iterations of some loops.
fn extent(nest: &Nest, loops: &[usize]) -> usize {
    let all: Vec<usize> = nest.axes().map(|axis| axis.extent).collect();
    loops.iter().map(|axis| all[*axis]).product()
}

/// The sum of the squares of differences, of those that are numbers.
fn energy(got: &[f64], wanted: &[f64]) -> f64 {
    let squares = got.iter().zip(wanted).map(|(got, wanted)| (got - wanted).powi(2));
    squares.filter(|square| square.is_finite()).sum()
}

fn nothing_narrow() -> Diagnostic {
    Diagnostic::error("bias correction is for constants stored in f16 or bf16, and none is stored so")
        .hint("`--precision f16` stores them so")
}

fn nothing_known() -> Diagnostic {
    let problem = "there are no inputs, and nothing is known of what the layers with narrow constants read: no batch norm \
                   stands before them";
    Diagnostic::error(problem).hint("`--calibration` takes inputs like those of `--inputs`")
}
