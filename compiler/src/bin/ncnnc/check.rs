//! `ncnnc check`: everything that is wrong with a model, as far as one fault doesn't hide another.

use crate::console::{Console, Done};
use crate::model::{Model, ShapedModelArguments};
use crate::progress::Progress;
use crate::table::{Column, table};
use ncnnc_compiler::compile::{Options, compile};
use ncnnc_compiler::diagnostic::{Code, Diagnostic, Severity};
use ncnnc_compiler::ncnn;
use ncnnc_compiler::ops;
use serde_json::{Value, json};
use std::cell::RefCell;

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
    let model = arguments.model.model.read(console)?;
    let options = arguments.model.options()?;
    let progress = Progress::start(console, "checking".into());
    let (problems, refused) = match compile(model.param(), model.weights(), &options, &[]) {
        Ok(compiled) => (compiled.warnings, false),
        Err(problems) => (with_others(problems, &model, &options), true),
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

/// The problems that stopped the compiler, and those it would have met later.
fn with_others(mut problems: Vec<Diagnostic>, model: &Model, options: &Options) -> Vec<Diagnostic> {
    let Ok(mut network) = ncnn::read_param(model.param().path, model.param().bytes) else {
        return problems;
    };
    let known = problems.len();
    let mut others = network.warnings.clone();
    let unsupported = RefCell::new(Vec::new());
    // Behind arrays that can't be read no others are found; layers that have none, and what isn't supported, can still be
    // judged.
    let readable = RefCell::new(Vec::new());
    let read = |layer: &ncnn::Layer, reader: &mut ncnn::WeightReader| {
        let read = ops::operator(&layer.kind).map(|operator| (operator.weights)(layer, reader));
        readable.borrow_mut().push(matches!(read, Some(Ok(_))));
        match read {
            Some(Ok(weights)) => return Ok(weights),
            Some(Err(problem)) if problem.code == Code::Unsupported => unsupported.borrow_mut().push(problem),
            Some(Err(_)) | None => {}
        }
        Ok(Vec::new())
    };
    // What is left at the end of the file says nothing when arrays were passed over.
    let _ = ncnn::read_weights(&mut network, model.weights().path, model.weights().bytes, &read);
    others.extend(unsupported.into_inner());
    let mut readable = readable.into_inner().into_iter();
    network.layers.retain(|_| readable.next().unwrap_or(false));
    if let Err(lowered) = ops::lower(&network, &options.shapes, &[]) {
        others.extend(lowered);
    }
    for other in others {
        if !problems.contains(&other) {
            problems.push(other);
        }
    }
    problems[known..].sort_by(|a, b| a.location.cmp(&b.location));
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
        let line = problem.location.as_ref().map(|location| location.line).filter(|line| *line > 0);
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
