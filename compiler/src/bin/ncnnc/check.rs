//! `ncnnc check`: everything that is wrong with a model, as far as one fault doesn't hide another.

use crate::console::{Console, Done};
use crate::model::{Model, ShapedModelArguments};
use crate::progress::Progress;
use crate::table::{Column, table};
use ncnnc_compiler::compile::compile;
use ncnnc_compiler::diagnostic::{Diagnostic, Location, Severity};
use ncnnc_compiler::ncnn;
use serde_json::{Value, json};

/// Finds everything in a model that is unsupported or wrong
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc check model.param
  ncnnc check model.param --input in0=3,640,640
  ncnnc check model.param --message-format json 2>/dev/null

Says nothing when the model can be compiled. Messages go to the standard error, a table that counts them to the standard \
output.")]
pub struct Arguments {
    #[command(flatten)]
    model: ShapedModelArguments,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let options = arguments.model.options()?;
    let progress = Progress::start(console, "checking".into());
    let (problems, refused) = match arguments.model.model.read(&options, console) {
        Ok(model) => match compile(model.param(), model.weights(), &options, &[]) {
            Ok(compiled) => (compiled.warnings, false),
            Err(problems) => (with_warnings(problems, &model), true),
        },
        Err(problems) => (problems, true),
    };
    drop(progress);
    let kinds = kinds(&problems);
    if !problems.is_empty() || console.is_json() {
        console.result(|| text(&kinds), || kinds.iter().map(value).collect())?;
    }
    if refused {
        return Err(problems.into());
    }
    console.report(&problems);
    Ok(())
}

/// The problems that stopped the compiler, and what it would have warned of.
fn with_warnings(mut problems: Vec<Diagnostic>, model: &Model) -> Vec<Diagnostic> {
    let network = ncnn::read_param(model.param().path, model.param().bytes);
    let warnings = network.map_or_else(|_| Vec::new(), |network| network.warnings);
    // Where layers of an unknown type are among the problems, these have been said.
    let others: Vec<Diagnostic> = warnings.into_iter().filter(|warning| !problems.contains(warning)).collect();
    problems.extend(others);
    problems
}

/// Problems that say the same of different lines.
struct Kind<'p> {
    first: &'p Diagnostic,
    lines: Vec<u32>,
    count: usize,
}

fn kinds(problems: &[Diagnostic]) -> Vec<Kind<'_>> {
    let mut kinds: Vec<Kind> = Vec::new();
    for problem in problems {
        let same = |kind: &&mut Kind| kind.first.code == problem.code && kind.first.message == problem.message;
        let line = problem.location.as_ref().and_then(Location::line);
        match kinds.iter_mut().find(same) {
            Some(kind) => {
                kind.count += 1;
                kind.lines.extend(line);
            }
            None => kinds.push(Kind { first: problem, lines: line.into_iter().collect(), count: 1 }),
        }
    }
    kinds.sort_by_key(|kind| (kind.first.severity, kind.first.code));
    kinds
}

fn severity(problem: &Diagnostic) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn text(kinds: &[Kind]) -> String {
    const MOST_LINES: usize = 8;
    let columns = [Column::Numbers("count"), Column::Words("code"), Column::Words("what"), Column::Words("lines")];
    let rows = kinds.iter().map(|kind| {
        let mut lines: Vec<String> = kind.lines.iter().take(MOST_LINES).map(u32::to_string).collect();
        if kind.lines.len() > MOST_LINES {
            lines.push("...".into());
        }
        let what = format!("{}: {}", severity(kind.first), kind.first.message);
        vec![kind.count.to_string(), kind.first.code.text().into(), what, lines.join(", ")]
    });
    table(&columns, rows)
}

fn value(kind: &Kind) -> Value {
    json!({
        "code": kind.first.code.text(),
        "severity": severity(kind.first),
        "message": kind.first.message,
        "count": kind.count,
        "lines": kind.lines,
    })
}
