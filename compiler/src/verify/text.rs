//! A report as text, for terminals of 100 columns.

use super::advice::distance;
use super::figures::Figures;
use super::report::{Contender, ContenderReport, Distance, NarrowOutput, OutputReport, Report};
use std::fmt::Write;

/// Columns of a line.
const WIDTH: usize = 100;

/// Columns of the names in the tables of layers and causes, and in those of outputs.
const NAMES: usize = 32;
const CONTENDERS: usize = 25;

/// Units in the last place that a sum of few rounded terms doesn't reach unless it cancels.
const MANY_ULPS: f64 = 64.0;

/// The whole report.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    write_report(report, &mut text).expect("strings grow");
    text
}

fn write_report(report: &Report, out: &mut String) -> std::fmt::Result {
    if let Some(chosen) = &report.chosen {
        writeln!(out, "{}", chosen.text())?;
    }
    if let Some(bias) = &report.bias_correction {
        writeln!(out, "{}", bias.text())?;
    }
    let state = if report.verdict.passed { "ok" } else { "FAILED" };
    let verdict = format!("{}: {state}: {}", report.model, report.verdict.text);
    writeln!(out, "{}", wrapped(&verdict, WIDTH - 2, 2))?;
    let fed = match report.inputs.random_seed {
        Some(seed) => format!("random inputs of seed {seed}"),
        None => "given inputs".to_string(),
    };
    writeln!(out, "{}, {} samples, {fed}", report.options, report.inputs.samples)?;
    writeln!(
        out,
        "least tolerance to compare with: absolute {}, relative to the largest value {}",
        small(report.verdict.tolerance),
        small(report.verdict.relative_tolerance)
    )?;
    write_narrow_outputs(report, out)?;
    for warning in &report.warnings {
        writeln!(out, "{}", wrapped(&format!("warning: {warning}"), WIDTH - 2, 2))?;
    }
    write_layers(report, out)?;
    report.outputs.iter().try_for_each(|output| write_output(output, report.inputs.samples, out))?;
    write_causes(report, out)?;
    for advice in &report.advice {
        writeln!(out, "\n{}", wrapped(&format!("advice: {}", advice.reason), WIDTH - 2, 2))?;
        for line in [&advice.macro_line, &advice.command].into_iter().flatten() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

/// What is rounded when it is stored, format by format.
fn write_narrow_outputs(report: &Report, out: &mut String) -> std::fmt::Result {
    let mut outputs: Vec<&NarrowOutput> = report.layers.iter().flat_map(|layer| &layer.narrow_outputs).collect();
    outputs.sort_by(|a, b| a.format.cmp(&b.format));
    for same in outputs.chunk_by(|a, b| a.format == b.format) {
        let names = same.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
        writeln!(out, "{}", wrapped(&format!("stored in {}: {names}", same[0].format), WIDTH - 2, 2))?;
    }
    Ok(())
}

fn write_layers(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n{:NAMES$}  {:<24}   its rounding alone", "", "the layer alone")?;
    writeln!(
        out,
        "{:NAMES$}  {:>7}  {:>7}  {:>6}   {:>7}  {:>7}  {:>7}  {:>5}",
        "layer", "max abs", "max ulp", "SNR dB", "max abs", "max ulp", "bound", "used"
    )?;
    for layer in &report.layers {
        let (name, local) = (shortened(&layer.layers.join(" + ")), &layer.local);
        let or_dash = |text: Option<String>| text.unwrap_or("-".to_string());
        writeln!(
            out,
            "{name:NAMES$}  {:>7}  {:>7}  {:>6}   {:>7}  {:>7}  {:>7}  {:>5}",
            small(local.max_abs),
            ulps(local.max_ulp),
            snr(local),
            or_dash(layer.rounding.map(|rounding| small(rounding.max_abs))),
            or_dash(layer.rounding.map(|rounding| ulps(rounding.max_ulp))),
            or_dash(layer.bound.map(small)),
            or_dash(layer.bound_used.map(|used| format!("{:.0} %", used * 100.0))),
        )?;
        write_mismatches(local, out)?;
    }
    write_note(report, out)?;
    write_layers_in_the_whole(report, out)
}

/// The layers in the run of the whole plan.
fn write_layers_in_the_whole(report: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n{:NAMES$}  {:<48}  if stored in f16", "", "in the whole")?;
    writeln!(
        out,
        "{:NAMES$}  {:>7}  {:>6}  {:>7}  {:>6}  {:>5}  {:>7}  {:>6}  {:>7}",
        "layer", "max abs", "SNR dB", "1 - cos", "argmax", "top 5", "NaN/inf", "room", "flushed"
    )?;
    for layer in &report.layers {
        let (name, whole, range) = (shortened(&layer.layers.join(" + ")), &layer.cumulative, &layer.activations_in_f16);
        let share = |count: u64| percent(count, layer.agreement.samples);
        writeln!(
            out,
            "{name:NAMES$}  {:>7}  {:>6}  {:>7}  {:>6}  {:>5}  {:>7}  {:>6}  {:>7}",
            small(whole.max_abs),
            snr(whole),
            angle(whole),
            share(layer.agreement.argmax),
            share(layer.agreement.top5),
            format!("{}/{}", whole.nan, whole.infinite),
            range.headroom.map_or("-".to_string(), |room| format!("{room:.0}x")),
            format!("{:.1} %", range.flushed * 100.0),
        )?;
        write_mismatches(whole, out)?;
    }
    Ok(())
}

fn write_mismatches(figures: &Figures, out: &mut String) -> std::fmt::Result {
    match figures.mismatched {
        0 => Ok(()),
        count => writeln!(out, "    {count} values are finite here but not in the reference, or the other way round"),
    }
}

/// Why rows of several layers can be many units in the last place off.
fn write_note(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.layers.iter().any(|layer| layer.layers.len() > 1 && layer.local.max_ulp > MANY_ULPS) {
        let note = "in rows of several layers, one layer's half a unit in the last place is many of what is left where the \
                    next one's sum cancels; each layer by itself is as exact as its numerics promise";
        writeln!(out, "{}", wrapped(note, WIDTH - 2, 2))?;
    }
    Ok(())
}

fn write_output(output: &OutputReport, samples: usize, out: &mut String) -> std::fmt::Result {
    let shape = output.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let referenced = distance(output, Contender::Plan, true).is_some();
    let group = |what: &str| format!("{what:<30}   ");
    let columns = format!("{:>7}  {:>6}  {:>6}  {:>5}   ", "max abs", "SNR dB", "argmax", "top 5");
    let (mut groups, mut names) = (group("from the definition in f64"), columns.clone());
    if referenced {
        groups += &group("from your reference");
        names += &columns;
    }
    if output.contenders.iter().any(|contender| contender.right.is_some()) {
        names += "right";
    }
    writeln!(out, "\n{:CONTENDERS$}  {}", format!("output {} [{shape}]", output.name), groups.trim_end())?;
    writeln!(out, "{:CONTENDERS$}  {}", "", names.trim_end())?;
    output.contenders.iter().try_for_each(|contender| write_contender(contender, referenced, samples, out))
}

fn write_contender(
    contender: &ContenderReport,
    referenced: bool,
    samples: usize,
    out: &mut String,
) -> std::fmt::Result {
    let cells = |distance: &Option<Distance>| match distance {
        None => format!("{:>7}  {:>6}  {:>6}  {:>5}   ", "-", "-", "-", "-"),
        Some(Distance { figures, agreement }) => {
            let share = |count: u64| percent(count, agreement.samples);
            let (argmax, top5) = (share(agreement.argmax), share(agreement.top5));
            format!("{:>7}  {:>6}  {argmax:>6}  {top5:>5}   ", small(figures.max_abs), snr(figures))
        }
    };
    let second = if referenced { cells(&contender.from_reference) } else { String::new() };
    let right = contender.right.map_or(String::new(), |right| percent(right, samples as u64));
    let name = contender.contender.text();
    let line = format!("{name:CONTENDERS$}  {}{second}{right}", cells(&contender.from_definition));
    writeln!(out, "{}", line.trim_end())
}

fn write_causes(report: &Report, out: &mut String) -> std::fmt::Result {
    const HOW: usize = NAMES + 2 + 7 + 2 + 7 + 3;
    writeln!(out, "\n{:NAMES$}  {:>7}  {:>7}   by", "switching off", "moves", "leaves")?;
    for cause in &report.causes {
        let left = cause.left.map_or("-".to_string(), small);
        let how = wrapped(&cause.how, WIDTH - HOW, HOW);
        writeln!(out, "{:NAMES$}  {:>7}  {left:>7}   {how}", cause.cause.text(), small(cause.moves))?;
    }
    Ok(())
}

/// A small number in two digits; 0 for none.
pub(super) fn small(value: f64) -> String {
    if value == 0.0 { "0".to_string() } else { format!("{value:.1e}") }
}

/// A signal-to-noise ratio.
pub(super) fn snr(figures: &Figures) -> String {
    figures.snr_db.map_or("exact".to_string(), |snr| format!("{snr:.0}"))
}

/// How far the cosine of the angle between what is computed and what is meant is below 1.
pub(super) fn angle(figures: &Figures) -> String {
    figures.cosine.map_or("-".to_string(), |cosine| small(1.0 - cosine))
}

/// A number of units in the last place.
pub(super) fn ulps(value: f64) -> String {
    if value < 1000.0 { format!("{value:.1}") } else { format!("{value:.0e}") }
}

/// A share in per cent.
pub(super) fn percent(count: u64, of: u64) -> String {
    if count == of { "100%".to_string() } else { format!("{:.1}%", count as f64 * 100.0 / of.max(1) as f64) }
}

/// A name that fits its column.
pub(super) fn shortened(name: &str) -> String {
    if name.chars().count() <= NAMES {
        return name.to_string();
    }
    name.chars().take(NAMES - 3).chain("...".chars()).collect()
}

/// Words in lines of so many columns, further lines behind an indentation that doesn't count.
fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    let (mut wrapped, mut length) = (String::new(), 0);
    for word in text.split_whitespace() {
        if length > 0 && length + 1 + word.chars().count() > columns {
            wrapped += "\n";
            wrapped += &" ".repeat(indent);
            length = 0;
        } else if length > 0 {
            wrapped += " ";
            length += 1;
        }
        wrapped += word;
        length += word.chars().count();
    }
    wrapped
}
