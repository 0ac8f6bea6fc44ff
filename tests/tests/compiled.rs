//! Compiled code against the plan's interpreter, bit for bit, and against the outputs of the real ncnn, on the visible
//! cases: emitted as Rust, built by cargo in the dev profile, run on every instruction set this machine has.
//!
//! `NCNNC_LAYER` chooses a kind of layer.

use ncnnc_compiler::format::Format;
use ncnnc_compiler::ops;
use ncnnc_compiler::plan::{Mode, Value, interpret};
use ncnnc_targets::Target;
use ncnnc_tests::cases::{Case, read_cases};
use ncnnc_tests::generated::{Crate, Machine, Profile, Run, shaped};
use ncnnc_tests::planned::{Choice, Planned, Stored, named_outputs, plan_case, same};
use ncnnc_tests::shared::shared;
use std::time::Instant;

/// Cases in one program: what a compiler takes at once without much memory.
const CASES_PER_PROGRAM: usize = 64;

/// How cases are stored as well, with the strides over those that are compiled so.
fn narrow() -> [(Stored, usize); 4] {
    let (f16, bf16) = (Format::F16, Format::Bf16);
    [
        (Stored::constants(f16), 23),
        (Stored::constants(bf16), 29),
        (Stored::activations(f16), 31),
        (Stored { constants: f16, activations: bf16 }, 37),
    ]
}

/// Stride over the cases that are compiled in compensated arithmetic as well.
const COMPENSATED: usize = 31;

/// A case in a mode, stored so, its plan, and what the interpreter makes of it.
struct Expected {
    case: Case,
    mode: Mode,
    stored: Stored,
    planned: Planned,
    values: Vec<Value>,
}

fn expected(case: &Case, (mode, stored): Choice, targets: &[&'static Target]) -> Option<Expected> {
    let planned = plan_case(case, mode, stored, targets)?;
    let plan = &planned.compiled.plan;
    let values = stored.shows_in(plan).then(|| interpret(plan, &planned.inputs))?;
    Some(Expected { case: case.clone(), mode, stored, planned, values })
}

impl Expected {
    fn name(&self) -> String {
        format!("{} {}{}", self.case.id, self.mode.text(), self.stored.suffix())
    }

    /// What is wrong with these outputs.
    fn problem(&self, got: &[Value], run: Run) -> Option<String> {
        let place = format!("{} on {} with {} threads", self.name(), run.set, run.threads);
        let plan = &self.planned.compiled.plan;
        let got = shaped(plan, got);
        if !self.values.iter().zip(&got).all(|(wanted, got)| same(wanted, got)) {
            return Some(format!("{place}: other bits than the plan's"));
        }
        if self.stored.is_narrow() {
            return None;
        }
        let tensors = named_outputs(plan, &got, self.case.outputs.iter().map(|output| output.name.as_str()));
        self.case.check(&tensors).err().map(|problem| format!("{place}: {problem}"))
    }
}

/// Every `stride`th case.
fn check(name: &str, machine: Machine, stride: usize) {
    let Some(folder) = shared("conformance/layers") else { return };
    let only = std::env::var("NCNNC_LAYER").ok();
    let cases =
        read_cases(&folder, |layer| ops::operator(layer).is_some() && only.as_ref().is_none_or(|only| only == layer));
    let targets = machine.targets();
    let begin = Instant::now();
    let narrow = narrow().map(|(stored, stride)| ((Mode::Fast, stored), stride));
    let plain = Stored::default();
    let choices = [((Mode::Fast, plain), stride), ((Mode::Compensated, plain), COMPENSATED)];
    let choices = choices.into_iter().chain(narrow);
    let chosen: Vec<(&Case, Choice)> =
        choices.flat_map(|(choice, stride)| cases.iter().step_by(stride).map(move |case| (case, choice))).collect();
    let total = chosen.len();
    let expected: Vec<Expected> =
        chosen.into_iter().filter_map(|(case, choice)| expected(case, choice, &targets)).collect();
    println!("{} of {total} cases planned and interpreted in {:.0?}", expected.len(), begin.elapsed());
    assert!(!expected.is_empty(), "no case has been compiled");
    let named: Vec<_> = expected.iter().map(|one| (one.name(), &one.planned)).collect();
    let groups: Vec<_> = named.chunks(CASES_PER_PROGRAM).collect();
    let begin = Instant::now();
    let programs = Crate::build(name, machine, Profile::Dev, &groups);
    println!("{} programs built in {:.0?}", groups.len(), begin.elapsed());
    let runs: Vec<Run> = (targets.iter())
        .flat_map(|target| [1, 3].map(|threads| Run { set: target.name, threads, repeats: threads.min(2) }))
        .collect();
    let begin = Instant::now();
    let mut problems = Vec::new();
    for (number, group) in expected.chunks(CASES_PER_PROGRAM).enumerate() {
        for (run, values) in runs.iter().zip(programs.run(number, &runs)) {
            let mut values = &values[..];
            for one in group {
                let (mine, rest) = values.split_at(one.values.len());
                problems.extend(one.problem(mine, *run));
                values = rest;
            }
            assert!(values.is_empty(), "every value belongs to a case");
        }
    }
    println!("{} runs of every program in {:.0?}", runs.len(), begin.elapsed());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn compiled_cases_equal_the_plan_and_ncnn() {
    check("cases", Machine::Host, 1);
}

/// Every 17th case: a spread over all kinds of layers.
#[test]
#[ignore = "needs qemu and what else `.ci/aarch64` uses"]
fn compiled_cases_equal_the_plan_on_aarch64() {
    check("cases", Machine::Aarch64, 17);
}
