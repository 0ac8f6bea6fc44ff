//! The measurement itself: sample by sample, row by row.

use super::cause::{Outputs, Switch, distance};
use super::contribution;
use super::figures::{Agreement, Errors, HalfRange, largest, unit_in_the_last_place};
use super::narrowed::Narrowed;
use super::report::{
    Contender, ContenderReport, Distance, InputsReport, LayerReport, MagnitudeClass, NarrowOutput, OutputReport,
    Report, Rounding, UlpClass,
};
use super::rows::{Pair, Row, rows};
use super::samples::{Origin, Samples};
use super::subject::{Subject, hash_words};
use super::{advice, bias, report};
use crate::budget::Budget;
use crate::graph::{Element, Graph, Operation, TensorId};
use crate::lock::{hash_bytes, plan_hash};
use crate::ncnn::Storage;
use crate::plan::{Arithmetic, Bounded, Bounds, Interpreter, Plan, Reals, Words};

/// How far a verification is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The sample at hand, from 0.
    pub sample: usize,
    /// How many there are.
    pub samples: usize,
    /// What has been done of it, in parts of `steps`.
    pub step: usize,
    /// How many steps a sample has.
    pub steps: usize,
    /// What is being done.
    pub doing: &'static str,
}

/// The least exact steps, of which it is found out what they do to the outputs where their error is too large.
const MOST_SOURCES: usize = 8;

/// Measures a model. `max_error` is how far an output may be from the user's reference, or from the definition where there
/// is none for it.
pub fn verify(
    subject: &Subject,
    samples: &Samples,
    max_error: Option<Budget>,
    progress: &mut dyn FnMut(Progress),
) -> Report {
    let mut measured = Measured::new(subject, rows(&subject.plan, &subject.definition));
    for (sample, inputs) in samples.inputs.iter().enumerate() {
        let steps = measured.rows.len() + 3 + measured.switches.len();
        let mut tell = |step, doing| progress(Progress { sample, samples: samples.inputs.len(), step, steps, doing });
        measured.add(subject, samples, sample, inputs, &mut tell);
    }
    let worst = measured.worst.map(|(_, sample)| sample);
    let mut report = measured.report(subject, samples);
    let excess = max_error.and_then(|budget| budget.excess(&advice::errors(&report)));
    if let (Some(_), Some(sample)) = (excess, worst) {
        let last = samples.inputs.len() - 1;
        let mut tell = |step, doing| {
            progress(Progress { sample: last, samples: last + 1, step, steps: MOST_SOURCES, doing });
        };
        find_sources(subject, &samples.inputs[sample], &mut report, &mut tell);
    }
    advice::judge(&mut report, max_error);
    report
}

/// Finds out what the least exact steps do to the outputs of a sample.
fn find_sources(
    subject: &Subject,
    inputs: &[Vec<u32>],
    report: &mut Report,
    tell: &mut dyn FnMut(usize, &'static str),
) {
    let traces = Traces::new(subject, inputs);
    let rows = rows(&subject.plan, &subject.definition);
    let snr = |at: &usize| report.layers[*at].local.snr_db.unwrap_or(f64::INFINITY);
    let mut least: Vec<usize> = (0..rows.len()).filter(|at| snr(at).is_finite()).collect();
    least.sort_by(|a, b| snr(a).total_cmp(&snr(b)));
    least.truncate(MOST_SOURCES);
    for (step, at) in least.into_iter().enumerate() {
        tell(step, "which layers the error comes from");
        report.layers[at].moves = Some(contribution::moves(subject, &rows[at], &traces));
    }
}

/// What has come together so far.
struct Measured {
    rows: Vec<MeasuredRow>,
    outputs: Vec<MeasuredOutput>,
    switches: Vec<Switch>,
    x86: Narrowed,
    arm: Narrowed,
    /// The sample whose outputs are the furthest from the definition, and how far.
    worst: Option<(f64, usize)>,
}

struct MeasuredRow {
    row: Row,
    local: Errors,
    cumulative: Errors,
    /// The same without corrections of biases.
    uncorrected: Errors,
    rounded: Option<Rounded>,
    agreement: Agreement,
    words: Vec<String>,
}

/// What rounding does to a step.
#[derive(Clone, Copy, Default)]
struct Rounded {
    errors: Rounding,
    /// The largest bound.
    bound: f64,
    /// The largest share of its bound that an error takes.
    used: f64,
}

/// An output, contender by contender.
#[derive(Default)]
struct MeasuredOutput {
    contenders: Vec<MeasuredContender>,
    words: Vec<String>,
}

#[derive(Default)]
struct MeasuredContender {
    from_definition: (Errors, Agreement),
    from_reference: (Errors, Agreement),
    right: u64,
}

/// The whole plan and the whole definition, carried out.
pub(super) struct Traces<'a> {
    pub plan: Interpreter<'a, Words>,
    pub definition: Interpreter<'a, Reals>,
}

impl<'a> Traces<'a> {
    fn new(subject: &'a Subject, inputs: &[Vec<u32>]) -> Self {
        Self { plan: traced::<Words>(&subject.plan, inputs), definition: traced::<Reals>(&subject.definition, inputs) }
    }
}

impl Measured {
    fn new(subject: &Subject, rows: Vec<Row>) -> Self {
        let row = |row: Row| MeasuredRow {
            rounded: row.bounded(&subject.plan).then(Rounded::default),
            agreement: Agreement::default(),
            row,
            local: Errors::default(),
            cumulative: Errors::default(),
            uncorrected: Errors::default(),
            words: Vec::new(),
        };
        let contenders = || Contender::ALL.iter().map(|_| MeasuredContender::default()).collect();
        let output = |_| MeasuredOutput { contenders: contenders(), words: Vec::new() };
        Self {
            rows: rows.into_iter().map(row).collect(),
            outputs: subject.plan.graph.outputs.iter().map(output).collect(),
            switches: Switch::all(subject),
            x86: Narrowed::x86(subject),
            arm: Narrowed::arm(subject),
            worst: None,
        }
    }

    fn add(
        &mut self,
        subject: &Subject,
        samples: &Samples,
        sample: usize,
        inputs: &[Vec<u32>],
        tell: &mut dyn FnMut(usize, &'static str),
    ) {
        tell(0, "the definition in f64, and the plan");
        let traces = Traces::new(subject, inputs);
        let uncorrected = subject.uncorrected.as_ref().map(|(plan, _)| traced::<Words>(plan, inputs));
        for (at, row) in self.rows.iter_mut().enumerate() {
            tell(1 + at, "each layer alone");
            row.add(subject, &traces);
            uncorrected.iter().for_each(|uncorrected| row.add_uncorrected(subject, &traces, uncorrected));
        }
        let after = 1 + self.rows.len();
        let outputs = |interpreter: &Interpreter<Reals>| -> Outputs {
            (0..self.outputs.len()).map(|output| interpreter.output(output).1).collect()
        };
        let definition = outputs(&traces.definition);
        let words: Vec<Vec<u32>> = (0..self.outputs.len()).map(|output| traces.plan.output(output).1).collect();
        let plan: Outputs = words.iter().map(|words| floats(words)).collect();
        let output = |trace: &Interpreter<Words>, at| floats(&trace.output(at).1);
        let uncorrected: Outputs =
            (uncorrected.iter()).flat_map(|trace| (0..self.outputs.len()).map(move |at| output(trace, at))).collect();
        let error = distance(&plan, &definition);
        if self.worst.is_none_or(|(worst, _)| error > worst) {
            self.worst = Some((error, sample));
        }
        for (output, words) in self.outputs.iter_mut().zip(&words) {
            output.words.push(hash_words(words.iter()));
        }
        tell(after, "ncnn's defaults");
        let narrowed = |narrowed: &Narrowed| -> Outputs {
            narrowed.run(subject, inputs).iter().map(|(_, words)| floats(words)).collect()
        };
        let (x86, arm) = (narrowed(&self.x86), narrowed(&self.arm));
        let label = samples.labels.as_ref().map(|labels| labels[sample]);
        for (at, output) in self.outputs.iter_mut().enumerate() {
            let name = &subject.plan.graph.outputs[at].name;
            let reference = samples.references.iter().find(|reference| reference.output == *name);
            let reference: Option<Vec<f64>> =
                reference.map(|reference| reference.values[sample].iter().map(|value| f64::from(*value)).collect());
            for (contender, measured) in Contender::ALL.iter().zip(&mut output.contenders) {
                let values = match contender {
                    Contender::Plan => Some(&plan[at]),
                    Contender::Uncorrected => uncorrected.get(at),
                    Contender::Definition => Some(&definition[at]),
                    Contender::NcnnX86 => Some(&x86[at]),
                    Contender::NcnnArm => Some(&arm[at]),
                    Contender::Reference => reference.as_ref(),
                };
                if let Some(values) = values {
                    measured.add(values, &definition[at], reference.as_deref(), label);
                }
            }
        }
        for (at, switch) in self.switches.iter_mut().enumerate() {
            tell(after + 1 + at, "one cause at a time");
            switch.measure(subject, inputs, &plan, &definition);
        }
    }

    fn report(self, subject: &Subject, samples: &Samples) -> Report {
        let random_seed = match samples.origin {
            Origin::Given => None,
            Origin::Random(seed) => Some(seed),
        };
        let mut causes: Vec<report::Cause> = self.switches.into_iter().map(Switch::report).collect();
        causes.sort_by(|a, b| b.moves.total_cmp(&a.moves));
        let outputs = self.outputs.into_iter().enumerate().map(|(at, output)| output.report(subject, samples, at));
        let corrected = subject.uncorrected.as_ref().map(|(plan, calibration)| {
            let rows = self.rows.iter().map(|row| (&row.row, [&row.uncorrected, &row.cumulative].map(Errors::figures)));
            bias::report(plan, calibration, rows)
        });
        Report {
            format: report::FORMAT,
            model: subject.name.clone(),
            model_hash: subject.hash.clone(),
            options: subject.options.clone(),
            plan_hash: plan_hash(&subject.plan),
            inputs: InputsReport { samples: samples.inputs.len(), random_seed, hash: samples.hash() },
            verdict: report::Verdict { passed: true, text: String::new(), tolerance: 0.0, relative_tolerance: 0.0 },
            layers: self.rows.into_iter().map(|row| row.report(subject)).collect(),
            outputs: outputs.collect(),
            causes,
            advice: Vec::new(),
            chosen: None,
            bias_correction: corrected,
            warnings: subject.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A plan carried out as a whole, every tensor kept.
pub(super) fn traced<'a, A: Arithmetic>(plan: &'a Plan, inputs: &[Vec<u32>]) -> Interpreter<'a, A> {
    let mut interpreter = Interpreter::new(plan);
    interpreter.feed(inputs);
    (0..plan.graph.operations.len()).for_each(|at| interpreter.step(at));
    interpreter
}

fn floats(words: &[u32]) -> Vec<f64> {
    words.iter().map(|word| f64::from(f32::from_bits(*word))).collect()
}

/// The words of a tensor as the numbers they are.
pub(super) fn numbers(graph: &Graph, id: TensorId, words: &[u32]) -> Vec<f64> {
    let element = graph.tensor(id).element;
    words.iter().map(|word| Reals::read(*word, element)).collect()
}

/// Numbers as the words next to them.
pub(super) fn nearest(values: &[f64], element: Element) -> Vec<u32> {
    let word = |value: &f64| match element {
        Element::F32 => (*value as f32).to_bits(),
        Element::I32 => (*value as i32).cast_unsigned(),
    };
    values.iter().map(word).collect()
}

impl Row {
    /// Whether running error analysis has something to say of it.
    fn bounded(&self, plan: &Plan) -> bool {
        self.operations.iter().all(|at| match plan.graph.operations[*at] {
            Operation::Nest(_) => true,
            Operation::Routine(_) => false,
        })
    }
}

/// Carries out some operations of a plan, given the words of what they read.
pub(super) fn alone<'a, A: Arithmetic>(
    plan: &'a Plan,
    operations: &[usize],
    inputs: &[(TensorId, Vec<u32>)],
) -> Interpreter<'a, A> {
    let mut interpreter = Interpreter::<A>::new(plan);
    for (id, words) in inputs {
        let element = plan.graph.tensor(*id).element;
        interpreter.set(*id, words.iter().map(|word| A::read(*word, element)).collect());
    }
    operations.iter().for_each(|at| interpreter.step(*at));
    interpreter
}

impl MeasuredRow {
    fn add(&mut self, subject: &Subject, traces: &Traces) {
        let (plan, definition) = (&subject.plan, &subject.definition);
        let words = |pair: &Pair| {
            let element = plan.graph.tensor(pair.plan).element;
            nearest(&traces.definition.values(pair.definition), element)
        };
        let inputs: Vec<(Pair, Vec<u32>)> = self.row.inputs.iter().map(|pair| (*pair, words(pair))).collect();
        let of_plan: Vec<(TensorId, Vec<u32>)> =
            inputs.iter().map(|(pair, words)| (pair.plan, words.clone())).collect();
        let of_definition: Vec<(TensorId, Vec<u32>)> =
            inputs.into_iter().map(|(pair, words)| (pair.definition, words)).collect();
        let got = alone::<Words>(plan, &self.row.operations, &of_plan);
        let want = alone::<Reals>(definition, &self.row.definition, &of_definition);
        let bounds = self.rounded.is_some().then(|| alone::<Bounds>(plan, &self.row.operations, &of_plan));
        for pair in &self.row.outputs {
            let (got, want) = (numbers(&plan.graph, pair.plan, &got.values(pair.plan)), want.values(pair.definition));
            self.local.add_all(&got, &want);
            if let (Some(rounded), Some(bounds)) = (&mut self.rounded, &bounds) {
                rounded.add(&got, &bounds.values(pair.plan));
            }
            let whole = traces.plan.values(pair.plan);
            self.words.push(hash_words(whole.iter()));
            let (whole, meant) = (numbers(&plan.graph, pair.plan, &whole), traces.definition.values(pair.definition));
            self.cumulative.add_all(&whole, &meant);
            self.agreement.add(&whole, &meant);
        }
    }

    fn add_uncorrected(&mut self, subject: &Subject, traces: &Traces, uncorrected: &Interpreter<Words>) {
        for pair in &self.row.outputs {
            let values = numbers(&subject.plan.graph, pair.plan, &uncorrected.values(pair.plan));
            self.uncorrected.add_all(&values, &traces.definition.values(pair.definition));
        }
    }

    fn report(self, subject: &Subject) -> LayerReport {
        let (plan, definition) = (&subject.plan.graph, &subject.definition.graph);
        let facts = || self.row.layers.iter().filter_map(|layer| subject.layers.get(layer));
        let stored = facts().find_map(|facts| facts.storage).map(|storage| storage_text(storage).to_string());
        let constants: Vec<f64> = (self.row.definition.iter())
            .flat_map(|at| definition.operations[*at].reads())
            .filter_map(|id| definition.constant(id).map(|words| numbers(definition, id, words)))
            .flatten()
            .collect();
        let narrow = |id: TensorId| {
            let format = subject.plan.formats[id.0];
            format.is_narrow().then(|| format.text().to_string())
        };
        let mut reads = self.row.operations.iter().flat_map(|at| plan.operations[*at].reads());
        let stored_in_plan = reads.find_map(|id| narrow(id).filter(|_| plan.constant(id).is_some()));
        let narrow_outputs = self.row.outputs.iter().filter_map(|pair| {
            let (format, tensor) = (narrow(pair.plan)?, plan.tensor(pair.plan));
            Some(NarrowOutput { name: tensor.name.clone(), layer: tensor.layer.clone()?, format })
        });
        LayerReport {
            kinds: facts().map(|facts| facts.kind.clone()).collect(),
            layers: self.row.layers.clone(),
            outputs: self.row.outputs.iter().map(|pair| plan.tensor(pair.plan).name.clone()).collect(),
            local: self.local.figures(),
            rounding: self.rounded.map(|rounded| rounded.errors),
            bound: self.rounded.map(|rounded| rounded.bound),
            bound_used: self.rounded.map(|rounded| rounded.used),
            cumulative: self.cumulative.figures(),
            agreement: self.agreement,
            activations_in_f16: self.cumulative.range(),
            constants_in_f16: (!constants.is_empty()).then(|| HalfRange::of(constants.into_iter())),
            stored_in_file: stored,
            stored_in_plan,
            narrow_outputs: narrow_outputs.collect(),
            local_ulps: ulp_classes(&self.local),
            local_by_magnitude: magnitude_classes(&self.local),
            moves: None,
            hash: hash_bytes(self.words.iter().map(String::as_bytes)),
        }
    }
}

impl Rounded {
    /// Adds values, and what they should be with a bound for each.
    fn add(&mut self, got: &[f64], bounds: &[Bounded]) {
        for (got, bounded) in got.iter().zip(bounds) {
            let error = (got - bounded.value).abs();
            let share = if error == 0.0 { 0.0 } else { error / bounded.error };
            self.bound = self.bound.max(bounded.error);
            self.used = self.used.max(share);
            self.errors.max_abs = self.errors.max_abs.max(error);
            self.errors.max_ulp = self.errors.max_ulp.max(error / unit_in_the_last_place(bounded.value));
        }
    }
}

fn storage_text(storage: Storage) -> &'static str {
    match storage {
        Storage::F32 => "f32",
        Storage::F16 => "f16",
        Storage::Bf16 => "bf16",
        Storage::Int8 => "int8",
        Storage::Table => "table of 256",
        Storage::Bytes => "bytes",
    }
}

fn ulp_classes(errors: &Errors) -> Vec<UlpClass> {
    errors.ulp_classes().map(|(up_to, elements)| UlpClass { up_to, elements }).collect()
}

fn magnitude_classes(errors: &Errors) -> Vec<MagnitudeClass> {
    errors.binades().map(|(exponent, errors)| MagnitudeClass { exponent, errors }).collect()
}

impl MeasuredContender {
    fn add(&mut self, values: &[f64], definition: &[f64], reference: Option<&[f64]>, label: Option<usize>) {
        self.from_definition.0.add_all(values, definition);
        self.from_definition.1.add(values, definition);
        if let Some(reference) = reference {
            self.from_reference.0.add_all(values, reference);
            self.from_reference.1.add(values, reference);
        }
        self.right += u64::from(label.is_some() && largest(values, 1).first().copied() == label);
    }
}

impl MeasuredOutput {
    fn report(self, subject: &Subject, samples: &Samples, at: usize) -> OutputReport {
        let output = &subject.plan.graph.outputs[at];
        let given = samples.references.iter().any(|reference| reference.output == output.name);
        let distance =
            |(errors, agreement): &(Errors, Agreement)| Distance { figures: errors.figures(), agreement: *agreement };
        let by_magnitude = magnitude_classes(&self.contenders[0].from_definition.0);
        let contenders = (Contender::ALL.into_iter().zip(&self.contenders))
            .filter(|(contender, _)| match contender {
                Contender::Uncorrected => subject.uncorrected.is_some(),
                Contender::Reference => given,
                Contender::Plan | Contender::Definition | Contender::NcnnX86 | Contender::NcnnArm => true,
            })
            .map(|(contender, measured)| ContenderReport {
                contender,
                from_definition: (contender != Contender::Definition).then(|| distance(&measured.from_definition)),
                from_reference: (given && contender != Contender::Reference)
                    .then(|| distance(&measured.from_reference)),
                right: samples.labels.is_some().then_some(measured.right),
            })
            .collect();
        OutputReport {
            name: output.name.clone(),
            shape: output.view.shape.clone(),
            hash: hash_bytes(self.words.iter().map(String::as_bytes)),
            contenders,
            by_magnitude,
        }
    }
}
