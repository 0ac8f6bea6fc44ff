//! The smallest storage that keeps to a budget: which layers' constants can be narrow, on the samples at hand.
//!
//! Any subset of layers may be. Roundings in different layers have nothing to do with each other, so that the squares of
//! their errors add: each layer is made narrow alone, what that does to the outputs is measured, and for any allowance of
//! squares the subset that saves most is known. Which allowance keeps to the budget is found by measuring whole plans, and
//! so is everything that is accepted. The measurements are those of the interpreters, and the same on every machine.

use super::chosen::{Chosen, ChosenLayers, lines};
use super::measure::traced;
use super::rerun::{Effect, Rerun};
use super::samples::Samples;
use super::subject::Subject;
use super::subset::{Item, best_subset};
use super::target::Target;
use crate::budget::{Budget, OutputError};
use crate::compile::Network;
use crate::format::Format;
use crate::graph::{Source, Tensor, TensorId};
use crate::plan::{Interpreter, Plan, Words, storable};
use crate::precision::{Exception, Precision};
use std::collections::HashMap;

/// Samples, those with the largest errors, on which each layer alone is measured.
const PROBES: usize = 3;

/// Subsets of which the whole network is measured, at most.
const MOST_TRIALS: usize = 24;

/// Allowances that are tried, at most, and how near the largest that keeps to the budget may be to one that doesn't.
const ROUNDS: usize = 12;
const NEAR: f64 = 1.02;

/// By how much the squares of a subset's errors may be expected to exceed an allowance that failed, when the subset is tried
/// nevertheless: what adds as squares do does so on the average only.
const HOPE: f64 = 2.0;

/// How far a search is, from 0 to 1, and what it does.
pub type Tell<'t> = dyn FnMut(f64, String) + 't;

/// Layers that share constants, and so have one format.
struct Unit {
    layers: Vec<String>,
    numbers: u64,
    /// The narrow format that changes the constants the least.
    format: Format,
    /// What storing them so does to the outputs.
    alone: Option<OutputError>,
}

/// A search for the storage.
pub struct Search<'a> {
    /// The model as it is with `fixed`.
    pub subject: &'a Subject,
    /// What it is made of.
    pub network: &'a Network,
    /// What the user chose for some layers; all others are stored in `f32` by it, and open.
    pub fixed: &'a Precision,
    /// What it is measured on.
    pub samples: &'a Samples,
    /// What is to be kept.
    pub budget: Budget,
}

impl Search<'_> {
    /// Finds the smallest storage that keeps to the budget; `tell` hears of it.
    pub fn run(&self, tell: &mut Tell) -> Chosen {
        let (budget, count) = (self.budget, self.samples.inputs.len());
        let mut target = Target::new(self.subject, self.samples, budget, &mut |sample| {
            tell(0.2 * sample as f64 / count as f64, format!("reference of sample {} of {count}", sample + 1));
        });
        let mut units = units(self.network, self.fixed);
        tell(0.2, "everything in f32".to_string());
        let wide = target.errors(&self.subject.plan);
        let none = vec![false; units.len()];
        if budget.excess(&wide).is_some() {
            return Trials::new(self, &units, &target, (none, wide)).chosen();
        }
        tell(0.22, "every layer narrow".to_string());
        let all = vec![true; units.len()];
        let narrow = target.errors(&self.plan(&units, &all));
        if budget.excess(&narrow).is_none() {
            let mut trials = Trials::new(self, &units, &target, (all, narrow));
            trials.tried.insert(none, true);
            return trials.chosen();
        }
        self.measure_alone(&target, &mut units, tell);
        let spent = wide.iter().map(|error| budget.used(error)).fold(0.0, f64::max).powi(2);
        let mut trials = Trials::new(self, &units, &target, (none, wide));
        trials.tried.insert(all, false);
        trials.run(1.0 - spent, tell);
        trials.chosen()
    }

    /// The plan in which a subset is narrow.
    fn plan(&self, units: &[Unit], subset: &[bool]) -> Plan {
        let narrow = units.iter().zip(subset).filter(|(_, narrow)| **narrow).map(|(unit, _)| unit);
        let exceptions =
            narrow.flat_map(|unit| unit.layers.iter().map(|layer| Exception::of_layer(layer, unit.format)));
        let exceptions = exceptions.chain(self.fixed.exceptions.iter().cloned()).collect();
        self.network.plan(&Precision { all: Format::Word, exceptions })
    }

    /// Measures what each layer does to the outputs when it alone is narrow.
    fn measure_alone(&self, target: &Target, units: &mut [Unit], tell: &mut Tell) {
        let (wide, inputs) = (&self.subject.plan, &self.samples.inputs);
        let traces: Vec<(usize, Interpreter<Words>)> =
            (target.hardest(PROBES).iter()).map(|sample| (*sample, traced::<Words>(wide, &inputs[*sample]))).collect();
        for at in 0..units.len() {
            let (names, all) = (units[at].layers.join(" + "), units.len());
            tell(0.25 + 0.35 * at as f64 / all as f64, format!("layer {} of {all} alone: {names}", at + 1));
            let mut subset = vec![false; all];
            subset[at] = true;
            let plan = self.plan(units, &subset);
            let errors: Vec<OutputError> =
                traces.iter().flat_map(|(sample, trace)| moved(target, *sample, wide, trace, &plan)).collect();
            units[at].alone = self.budget.worst(&errors).cloned();
        }
    }
}

/// What can be narrow, in the order of the network.
fn units(network: &Network, fixed: &Precision) -> Vec<Unit> {
    let mut groups: Vec<(Vec<String>, Vec<TensorId>)> = Vec::new();
    for (tensor, readers) in storable(&network.graph) {
        let mut group: (Vec<String>, Vec<TensorId>) = (Vec::new(), vec![tensor]);
        for layer in readers {
            if !group.0.iter().any(|other| other == layer) {
                group.0.push(layer.to_string());
            }
        }
        let (same, others): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(layers, _)| layers.iter().any(|layer| group.0.contains(layer)));
        for (layers, tensors) in same {
            let new: Vec<String> = layers.into_iter().filter(|layer| !group.0.contains(layer)).collect();
            group.0.extend(new);
            group.1.extend(tensors);
        }
        groups = others;
        groups.push(group);
    }
    let place = |layers: &[String]| {
        let mut operations = network.graph.operations.iter();
        operations.position(|operation| layers.iter().any(|layer| layer == operation.name()))
    };
    groups.sort_by_key(|(layers, _)| place(layers));
    let free = groups.into_iter().filter(|(layers, _)| !layers.iter().any(|layer| fixed.excepts(layer)));
    free.filter_map(|(layers, tensors)| unit(network, layers, &tensors)).collect()
}

fn unit(network: &Network, layers: Vec<String>, tensors: &[TensorId]) -> Option<Unit> {
    let allowed = |format: &Format| {
        let formats = network.formats(&Precision::of_all(*format));
        layers.iter().all(|layer| formats.get(layer) == Some(format))
    };
    let constants = || tensors.iter().filter_map(|id| network.graph.constant(*id)).flat_map(|words| words.iter());
    let lost = |format: Format| -> f64 {
        let difference = |word: &u32| f64::from(f32::from_bits(format.round(*word))) - f64::from(f32::from_bits(*word));
        constants().filter(|word| f32::from_bits(**word).is_finite()).map(|word| difference(word).powi(2)).sum()
    };
    let narrow = Format::ALL.iter().copied().filter(|format| format.is_narrow() && allowed(format));
    let (format, _) = narrow
        .map(|format| (format, lost(format)))
        .filter(|(_, lost)| lost.is_finite())
        .reduce(|best, other| if other.1 < best.1 { other } else { best })?;
    let numbers = constants().count() as u64;
    Some(Unit { layers, numbers, format, alone: None })
}

/// How far the outputs of a plan are from those of one that stores wider, which has been carried out on a sample.
fn moved(target: &Target, sample: usize, wide: &Plan, trace: &Interpreter<Words>, plan: &Plan) -> Vec<OutputError> {
    let effect = |at: usize| {
        let reads = plan.graph.operations[at].reads();
        let stored = reads.iter().any(|id| plan.formats[id.0] != wide.formats[id.0]);
        if stored || plan.numerics[at] != wide.numerics[at] { Effect::Changed } else { Effect::Follows }
    };
    let floats = |words: Vec<u32>| words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect();
    let mut rerun = Rerun::new(plan, trace, Vec::new(), effect);
    let outputs = 0..plan.graph.outputs.len();
    let got: Vec<Vec<f64>> = outputs.clone().map(|output| floats(rerun.output(output))).collect();
    let wanted: Vec<Vec<f64>> = outputs.map(|output| floats(trace.output(output).1)).collect();
    target.between(sample, &got, &wanted)
}

/// Subsets being tried.
struct Trials<'a> {
    search: &'a Search<'a>,
    units: &'a [Unit],
    target: &'a Target<'a>,
    /// Which keep to the budget.
    tried: HashMap<Vec<bool>, bool>,
    /// The one that saves most of those that do, with its errors.
    best: (Vec<bool>, Vec<OutputError>),
}

impl<'a> Trials<'a> {
    fn new(
        search: &'a Search<'a>,
        units: &'a [Unit],
        target: &'a Target<'a>,
        best: (Vec<bool>, Vec<OutputError>),
    ) -> Self {
        Self { search, units, target, tried: HashMap::from([(best.0.clone(), true)]), best }
    }

    /// What a subset saves.
    fn saved(&self, subset: &[bool]) -> u64 {
        let narrow = self.units.iter().zip(subset).filter(|(_, narrow)| **narrow);
        narrow.map(|(unit, _)| unit.saves()).sum()
    }

    /// Whether a subset keeps to the budget, by measurement.
    fn is_met(&mut self, subset: Vec<bool>, tell: &mut Tell) -> bool {
        if let Some(met) = self.tried.get(&subset) {
            return *met;
        }
        if self.tried.len() >= MOST_TRIALS {
            return false;
        }
        let (trial, narrow) = (self.tried.len(), subset.iter().filter(|narrow| **narrow).count());
        let share = 0.6 + 0.4 * trial as f64 / MOST_TRIALS as f64;
        let layers = self.units.len();
        tell(share, format!("whole network {trial}, {MOST_TRIALS} at most: {narrow} of {layers} layers narrow"));
        let errors = self.target.met(&self.search.plan(self.units, &subset));
        let met = errors.is_some();
        if let Some(errors) = errors.filter(|_| self.saved(&subset) > self.saved(&self.best.0)) {
            self.best = (subset.clone(), errors);
        }
        self.tried.insert(subset, met);
        met
    }

    /// Finds the largest allowance of squares that keeps to the budget, beginning with what is left of it, and then what
    /// saves still more in the neighbourhood of the best.
    fn run(&mut self, left: f64, tell: &mut Tell) {
        let budget = self.search.budget;
        let used = |unit: &Unit| unit.alone.as_ref().map_or(f64::INFINITY, |error| budget.used(error));
        let items: Vec<Item> =
            self.units.iter().map(|unit| Item { saves: unit.saves(), costs: used(unit).powi(2) }).collect();
        let finite = items.iter().map(|item| item.costs).filter(|costs| costs.is_finite());
        let (mut met, mut unmet) = (0.0, finite.sum::<f64>().max(f64::MIN_POSITIVE));
        let mut allowance = left.clamp(unmet / 1e6, unmet);
        for _ in 0..ROUNDS {
            if self.is_met(best_subset(&items, allowance), tell) {
                met = allowance;
            } else {
                unmet = allowance;
            }
            allowance = if met > 0.0 { (met * unmet).sqrt() } else { unmet / 4.0 };
            if unmet <= met * NEAR {
                break;
            }
        }
        while let Some(subset) = self.neighbour(&items, unmet * HOPE) {
            let full = self.tried.len() >= MOST_TRIALS;
            self.is_met(subset, tell);
            if full {
                break;
            }
        }
    }

    /// The subset not tried yet that saves the most, of those that have one layer more than the best or one in place of
    /// another, and of which no more than this is expected.
    fn neighbour(&self, items: &[Item], most: f64) -> Option<Vec<bool>> {
        let best = &self.best.0;
        let (narrow, wide): (Vec<usize>, Vec<usize>) = (0..best.len()).partition(|at| best[*at]);
        let mut candidates: Vec<(u64, f64, Vec<bool>)> = Vec::new();
        for add in wide {
            for drop in narrow.iter().copied().map(Some).chain([None]) {
                let mut subset = best.clone();
                subset[add] = true;
                drop.into_iter().for_each(|drop| subset[drop] = false);
                let taken = items.iter().zip(&subset).filter(|(_, narrow)| **narrow);
                let costs: f64 = taken.map(|(item, _)| item.costs).sum();
                let saved = self.saved(&subset);
                if costs <= most && saved > self.saved(best) && !self.tried.contains_key(&subset) {
                    candidates.push((saved, costs, subset));
                }
            }
        }
        candidates.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
        candidates.into_iter().next().map(|(_, _, subset)| subset)
    }

    /// The best as a report has it.
    fn chosen(self) -> Chosen {
        let Search { network, fixed, budget, .. } = self.search;
        let (subset, errors) = &self.best;
        let precision = compact(network, self.units, subset, fixed);
        let plan = network.plan(&precision);
        debug_assert_eq!(plan.formats, self.search.plan(self.units, subset).formats);
        let constants = || plan.graph.tensors.iter().zip(&plan.formats).filter(|(tensor, _)| is_constant(tensor));
        let bytes = |(tensor, format): (&Tensor, &Format)| (tensor.elements() * format.bytes()) as u64;
        let layers = self.units.iter().zip(subset).map(|(unit, narrow)| ChosenLayers {
            layers: unit.layers.clone(),
            format: if *narrow { unit.format } else { Format::Word }.text().to_string(),
            bytes_in_f32: 4 * unit.numbers,
            bytes: unit.numbers * if *narrow { unit.format.bytes() as u64 } else { 4 },
            error_alone: unit.alone.as_ref().map(|error| budget.measured(error)),
        });
        let (macro_lines, command) = lines(&precision);
        Chosen {
            max_error: budget.to_string(),
            met: budget.excess(errors).is_none(),
            error: budget.worst(errors).map(|error| budget.measured(error)).unwrap_or_default(),
            layers: layers.collect(),
            bytes_in_f32: constants().map(|(tensor, _)| bytes((tensor, &Format::Word))).sum(),
            bytes: constants().map(bytes).sum(),
            trials: self.tried.len(),
            time: None,
            macro_lines,
            command,
            precision,
        }
    }
}

fn is_constant(tensor: &Tensor) -> bool {
    matches!(tensor.source, Source::Constant(_))
}

impl Unit {
    /// Bytes that are saved when it is narrow.
    fn saves(&self) -> u64 {
        self.numbers * (4 - self.format.bytes() as u64)
    }
}

/// The choice in which a subset is narrow, with as few exceptions as it takes; those that were fixed come last.
fn compact(network: &Network, units: &[Unit], subset: &[bool], fixed: &Precision) -> Precision {
    let mut wanted: Vec<(&str, Format)> = Vec::new();
    let chosen: HashMap<&str, Format> = (units.iter().zip(subset))
        .filter(|(_, narrow)| **narrow)
        .flat_map(|(unit, _)| unit.layers.iter().map(|layer| (layer.as_str(), unit.format)))
        .collect();
    let storable: Vec<&str> = storable(&network.graph).into_iter().flat_map(|(_, readers)| readers).collect();
    for operation in &network.graph.operations {
        let name = operation.name();
        let known = wanted.iter().any(|(layer, _)| *layer == name);
        if storable.contains(&name) && !known && !fixed.excepts(name) {
            wanted.push((name, chosen.get(name).copied().unwrap_or_default()));
        }
    }
    let with = |all: Format| {
        let formats = Format::ALL.iter().filter(|format| **format != all);
        let layers = formats.flat_map(|format| wanted.iter().filter(move |(_, wanted)| wanted == format));
        let exceptions: Vec<Exception> = layers.map(|(layer, format)| Exception::of_layer(layer, *format)).collect();
        Precision { all, exceptions }
    };
    let shortest = Format::ALL.iter().copied().map(with).min_by_key(|precision| precision.exceptions.len());
    let mut precision = shortest.unwrap_or_default();
    precision.exceptions.extend(fixed.exceptions.iter().cloned());
    precision
}
