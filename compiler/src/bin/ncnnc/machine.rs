//! The machine to compile for, as rustc's flags say it.

use crate::console::Console;
use crate::instruction_set;
use crate::processors;
use clap::Args;
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use ncnnc_compiler::emit::object::{Platform, Triple, VERIFIED};
use ncnnc_targets::{Architecture, Target};

/// The machine.
#[derive(Args)]
pub struct MachineArguments {
    /// The machine to compile for [default: this one]; `ncnnc targets` lists machines
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Use what this processor has and choose nothing at run time: `native`, or a name as rustc knows it
    #[arg(long, value_name = "CPU")]
    target_cpu: Option<String>,
    /// Use or leave these features, by rustc's names, and choose nothing at run time, such as `+avx2,+fma,+f16c`; most
    /// make no difference, and `ncnnc targets` lists those that do
    #[arg(long, value_name = "FEATURES", allow_hyphen_values = true)]
    target_feature: Option<String>,
}

impl MachineArguments {
    /// The machine meant. Warns of features that are asked for but of no use.
    ///
    /// # Errors
    /// There is no such machine, or it lacks what is asked for.
    pub fn platform(&self, console: &Console) -> Result<Platform, Diagnostic> {
        self.find(console).map_err(|problem| problem.code(Code::Machine))
    }

    fn find(&self, console: &Console) -> Result<Platform, Diagnostic> {
        let triple = self.target.clone().unwrap_or_else(|| Triple::host().to_string());
        let platform = Platform::new(&triple).map_err(|problem| like(&triple, problem))?;
        if self.target_cpu.is_none() && self.target_feature.is_none() {
            return Ok(platform);
        }
        let sets = platform.targets();
        let mut features: Vec<&str> = self.of_processor(&platform)?.features.to_vec();
        let mut added = Vec::new();
        for feature in self.target_feature.iter().flat_map(|list| list.split(',')).filter(|text| !text.is_empty()) {
            let name = feature.trim_start_matches(['+', '-']);
            match (feature.as_bytes()[0], processors::with(architecture(&platform), name)) {
                (b'+', Some(with)) => {
                    features.extend(with);
                    features.push(name);
                    added.push(name);
                }
                (b'-', Some(_)) => {
                    features.retain(|feature| *feature != name);
                    added.retain(|feature| *feature != name);
                }
                _ => return Err(unknown_feature(feature, &platform)),
            }
        }
        let has_all = |set: &&&Target| set.features.iter().all(|feature| features.contains(feature));
        match sets.iter().find(has_all) {
            Some(set) => {
                console.report(incomplete(&added, &features, sets, set).as_slice());
                platform.clone().only(set.name)
            }
            None => {
                let message = format!("without these features there is no instruction set for {}", platform.triple());
                Err(Diagnostic::error(message).hint("`ncnnc targets` lists the features that each one needs"))
            }
        }
    }

    /// The instruction set of the processor asked for, or what every processor of the architecture has.
    fn of_processor(&self, platform: &Platform) -> Result<&'static Target, Diagnostic> {
        let sets = platform.targets();
        if self.target_cpu.as_deref() == Some("native") {
            let host = Platform::host()?;
            let set = host.targets().first().filter(|set| sets.contains(set)).copied();
            return set.ok_or_else(|| Diagnostic::error("this machine's processor is of another architecture"));
        }
        let Some(name) = &self.target_cpu else {
            return Ok(sets.last().expect("there is an instruction set for every architecture"));
        };
        let set = processors::set_of(architecture(platform), name).and_then(ncnnc_targets::target);
        set.ok_or_else(|| {
            let problem = Diagnostic::error(format!("no processor `{name}` of {} is known here", platform.triple()));
            let nearest = processors::nearest(name, processors::processors(architecture(platform)));
            let meant = nearest.map_or(String::new(), |nearest| format!("did you mean `{nearest}`? "));
            problem.hint(format!("{meant}`ncnnc targets` lists the processors that are known"))
        })
    }
}

/// The architecture whose processors and features a platform has.
fn architecture(platform: &Platform) -> Architecture {
    platform.targets().first().map_or(Architecture::Any, |set| set.architecture)
}

/// A warning of features that were `added` but that the `chosen` instruction set makes no use of, because `features` lack
/// what the next one needs besides.
fn incomplete(added: &[&str], features: &[&str], sets: &[&Target], chosen: &Target) -> Option<Diagnostic> {
    let is_unused = |feature: &&str| added.contains(feature) && !chosen.features.contains(feature);
    let next = sets.iter().rev().find(|set| set.features.iter().any(&is_unused))?;
    let list = |is_listed: &dyn Fn(&&str) -> bool| {
        let listed = next.features.iter().copied().filter(|feature| is_listed(feature));
        listed.map(|feature| format!("+{feature}")).collect::<Vec<_>>().join(",")
    };
    let (unused, missing) = (list(&is_unused), list(&|feature| !features.contains(feature)));
    let message = format!("`{unused}` makes no difference: the code is for the instruction set `{}`", chosen.name);
    let hint = format!("the instruction set `{}` needs `{missing}` as well", next.name);
    Some(Diagnostic::warning(message).code(Code::Machine).hint(hint))
}

fn unknown_feature(feature: &str, platform: &Platform) -> Diagnostic {
    let (architecture, triple) = (architecture(platform), platform.triple());
    let name = feature.trim_start_matches(['+', '-']);
    let nearest = processors::nearest(name, processors::features(architecture));
    let hint = if processors::with(architecture, name).is_some() {
        format!("write `+{name}` to use it, or `-{name}` to leave it")
    } else if processors::set_of(architecture, name).is_some() {
        format!("`{name}` is a processor: write `--target-cpu {name}`")
    } else if let Some(nearest) = nearest {
        let sign = if feature.starts_with('-') { '-' } else { '+' };
        format!("did you mean `{sign}{nearest}`?")
    } else {
        let mut names: Vec<&str> = platform.targets().iter().flat_map(|set| set.features).copied().collect();
        names.sort_unstable();
        names.dedup();
        let names = if names.is_empty() { "none".to_string() } else { names.join(", ") };
        format!("features are given as +NAME or -NAME; those that make a difference are {names}")
    };
    Diagnostic::error(format!("{triple} has no feature `{feature}` to use or leave")).hint(hint)
}

/// The problem with a triple, and the verified triple that was likely meant.
fn like(triple: &str, problem: Diagnostic) -> Diagnostic {
    match processors::nearest(triple, VERIFIED.iter().map(|(name, _)| *name)) {
        Some(name) => problem.hint(format!("did you mean `{name}`? `ncnnc targets` lists triples")),
        None => problem,
    }
}

/// This machine with one instruction set: that of this name, or the best it has.
///
/// # Errors
/// It hasn't got it.
pub fn host(instruction_set: Option<&str>) -> Result<Platform, Diagnostic> {
    let best = Platform::host().map_err(|problem| problem.code(Code::Machine))?;
    let Some(name) = instruction_set else { return Ok(best) };
    let wanted = instruction_set::named(name)?;
    let all = Platform::new(&Triple::host().to_string()).and_then(|platform| platform.only(name));
    let has = |set: &Target| set.features.iter().all(|feature| best.targets()[0].features.contains(feature));
    match all {
        Ok(platform) if has(wanted) => Ok(platform),
        Ok(_) | Err(_) => {
            let problem = Diagnostic::error(format!("this machine doesn't have the instruction set `{name}`"));
            Err(problem.code(Code::Machine).hint(format!("the best it has is `{}`", best.targets()[0].name)))
        }
    }
}
