//! The machine to compile for, as rustc's flags say it.

use crate::instruction_set;
use clap::Args;
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_targets::{Architecture, Target};
use std::str::FromStr;
use target_lexicon::{Architecture as Processor, Triple};

/// The machine.
#[derive(Args)]
pub struct MachineArguments {
    /// The machine to compile for [default: this one]; `ncnnc targets` lists machines
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Use what this processor has and choose nothing at run time: `native`, or a name as rustc knows it
    #[arg(long, value_name = "CPU")]
    target_cpu: Option<String>,
    /// Use or leave these features and choose nothing at run time, such as `+avx2,+fma,+f16c`
    #[arg(long, value_name = "FEATURES", allow_hyphen_values = true)]
    target_feature: Option<String>,
}

/// A machine.
pub struct Machine {
    /// The instruction sets to compile for, best first.
    pub targets: Vec<&'static Target>,
}

/// Processors by the names rustc has for them, and the instruction set of each. Levels of x86-64 are those of the System V
/// ABI (x86-64 psABI, section 3.1.1); the AVX2 and AVX-512 families are named by their first members.
#[rustfmt::skip]
pub const PROCESSORS: &[(&str, &str)] = &[
    ("x86-64", "portable"), ("x86-64-v2", "portable"),
    ("x86-64-v3", "avx2"), ("haswell", "avx2"), ("broadwell", "avx2"), ("skylake", "avx2"), ("alderlake", "avx2"),
    ("znver1", "avx2"), ("znver2", "avx2"), ("znver3", "avx2"),
    ("x86-64-v4", "avx512"), ("skylake-avx512", "avx512"), ("cascadelake", "avx512"), ("icelake-client", "avx512"),
    ("icelake-server", "avx512"), ("sapphirerapids", "avx512"), ("znver4", "avx512"), ("znver5", "avx512"),
    ("generic", "neon"), ("apple-a14", "neon"), ("apple-m1", "neon"), ("apple-m2", "neon"), ("cortex-a53", "neon"),
    ("cortex-a72", "neon"), ("cortex-a76", "neon"), ("cortex-x1", "neon"), ("neoverse-n1", "neon"),
    ("neoverse-v1", "neon"),
];

impl MachineArguments {
    /// The machine meant.
    ///
    /// # Errors
    /// There is no such machine, or it lacks what is asked for.
    pub fn machine(&self) -> Result<Machine, Diagnostic> {
        self.find().map_err(|problem| problem.code(Code::Machine))
    }

    fn find(&self) -> Result<Machine, Diagnostic> {
        let triple = match &self.target {
            Some(text) => Triple::from_str(text).map_err(|error| {
                Diagnostic::error(format!("`{text}` is not a target triple: {error}"))
                    .hint("`ncnnc targets` lists some")
            })?,
            None => Triple::host(),
        };
        let architecture = match triple.architecture {
            Processor::X86_64 => Architecture::X86_64,
            Processor::Aarch64(_) => Architecture::Aarch64,
            _ => Architecture::Any,
        };
        let sets = instruction_set::of(architecture);
        if self.target_cpu.is_none() && self.target_feature.is_none() {
            return Ok(Machine { targets: sets });
        }
        let mut features: Vec<&str> = self.of_processor(&sets)?.features.to_vec();
        for feature in self.target_feature.iter().flat_map(|list| list.split(',')).filter(|text| !text.is_empty()) {
            let known = |name: &str| sets.iter().flat_map(|set| set.features).copied().find(|feature| *feature == name);
            match (feature.split_at(1), known(&feature[1..])) {
                (("+", _), Some(known)) => features.push(known),
                (("-", _), Some(known)) => features.retain(|feature| *feature != known),
                _ => return Err(unknown_feature(feature, &triple, &sets)),
            }
        }
        let has_all = |set: &&&Target| set.features.iter().all(|feature| features.contains(feature));
        Ok(Machine { targets: sets.iter().find(has_all).copied().into_iter().collect() })
    }

    /// The instruction set of the processor asked for, or what every processor of the architecture has.
    fn of_processor(&self, sets: &[&'static Target]) -> Result<&'static Target, Diagnostic> {
        let Some(name) = &self.target_cpu else {
            return Ok(sets.last().expect("there is an instruction set for every architecture"));
        };
        let known = PROCESSORS.iter().filter(|(_, set)| sets.iter().any(|of| of.name == *set)).collect::<Vec<_>>();
        let found = known.iter().find(|(processor, _)| processor == name);
        found.and_then(|(_, set)| ncnnc_targets::target(set)).ok_or_else(|| {
            let names = known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            Diagnostic::error(format!("the processor `{name}` is not known here")).hint(format!("known are {names}"))
        })
    }
}

fn unknown_feature(feature: &str, triple: &Triple, sets: &[&Target]) -> Diagnostic {
    let mut names: Vec<&str> = sets.iter().flat_map(|set| set.features).copied().collect();
    names.sort_unstable();
    names.dedup();
    let problem = Diagnostic::error(format!("{} has no feature `{feature}` to use or leave", triple.architecture));
    problem.hint(format!("features are given as +NAME or -NAME; those that make a difference are {}", names.join(", ")))
}
