//! The verdict on a measurement, and what to do about it.

use super::report::{Advice, CauseKind, Contender, Distance, LayerReport, NarrowOutput, OutputReport, Report};
use crate::budget::{Budget, OutputError};
use crate::format::Format;

/// A cause is named when switching it off moves the outputs by this share of the error in question: the causes add up by
/// their largest parts, not exactly.
const NAMED: f64 = 0.3;

/// Of the samples at hand an error's largest value says this much: a tolerance next to it would fail on the next sample.
const MARGIN: f64 = 1.5;

/// Layers that are named as the ones to store wider.
const MOST_LAYERS: usize = 2;

/// Layers that are named as the ones that an error comes from, and the least share of it that is worth naming.
const MOST_SOURCES: usize = 3;
const LEAST_SHARE: f64 = 0.1;

/// Completes a report by its verdict, advice and warnings.
pub(super) fn judge(report: &mut Report, max_error: Option<Budget>) {
    if report.inputs.random_seed.is_some() {
        report
            .warnings
            .push("the inputs were random: errors on real data can be larger; give some with `--inputs`".to_string());
    }
    let worst = Worst::of(report);
    report.verdict.tolerance = rounded_up(worst.error * MARGIN);
    report.verdict.relative_tolerance = rounded_up(worst.relative * MARGIN);
    let excess = max_error.and_then(|budget| budget.excess(&errors(report)));
    report.verdict.passed = worst.mismatched == 0 && excess.is_none();
    report.verdict.text = text(report, &worst, excess);
    report.advice = advice(report, &worst);
}

/// How far the plan is from what each output is held to: the user's reference if there is one for it, else the definition.
pub(super) fn errors(report: &Report) -> Vec<OutputError> {
    let held = |output| {
        distance(output, Contender::Plan, true).or_else(|| distance(output, Contender::Plan, false)).map(error(output))
    };
    report.outputs.iter().filter_map(held).collect()
}

/// How far the plan is from the definition.
pub(super) fn own_errors(report: &Report) -> Vec<OutputError> {
    let own = |output| distance(output, Contender::Plan, false).map(error(output));
    report.outputs.iter().filter_map(own).collect()
}

fn error(output: &OutputReport) -> impl Fn(&Distance) -> OutputError {
    |Distance { figures, .. }| match figures.mismatched {
        0 => OutputError::new(&output.name, figures.max_abs, figures.largest, figures.snr_db),
        _ => OutputError::no_number(&output.name),
    }
}

/// The outputs' largest errors.
struct Worst {
    /// Whether `error` is the distance from the user's reference.
    referenced: bool,
    error: f64,
    relative: f64,
    snr_db: Option<f64>,
    /// From the definition in `f64`.
    own: f64,
    mismatched: u64,
    samples: u64,
    argmax: u64,
    /// ncnn's distance on x86, from what `error` is measured from.
    ncnn: f64,
}

impl Worst {
    fn of(report: &Report) -> Self {
        let referenced = report.outputs.iter().any(|output| distance(output, Contender::Plan, true).is_some());
        let mut worst = Self {
            referenced,
            error: 0.0,
            relative: 0.0,
            snr_db: None,
            own: 0.0,
            mismatched: 0,
            samples: 0,
            argmax: 0,
            ncnn: 0.0,
        };
        for output in &report.outputs {
            let own = distance(output, Contender::Plan, false);
            worst.own = own.map_or(worst.own, |own| worst.own.max(own.figures.max_abs));
            let Some(Distance { figures, agreement }) = distance(output, Contender::Plan, referenced) else { continue };
            if figures.max_abs >= worst.error {
                worst.error = figures.max_abs;
                worst.snr_db = figures.snr_db;
            }
            if figures.largest > 0.0 {
                worst.relative = worst.relative.max(figures.max_abs / figures.largest);
            }
            worst.mismatched += figures.mismatched;
            worst.samples = agreement.samples;
            worst.argmax = if worst.argmax == 0 { agreement.argmax } else { worst.argmax.min(agreement.argmax) };
            let ncnn = distance(output, Contender::NcnnX86, referenced);
            worst.ncnn = ncnn.map_or(worst.ncnn, |ncnn| worst.ncnn.max(ncnn.figures.max_abs));
        }
        worst
    }
}

/// How far a contender is from the user's reference, or from the definition.
pub(super) fn distance(output: &OutputReport, contender: Contender, from_reference: bool) -> Option<&Distance> {
    let found = output.contenders.iter().find(|report| report.contender == contender)?;
    if from_reference { found.from_reference.as_ref() } else { found.from_definition.as_ref() }
}

/// One line.
fn text(report: &Report, worst: &Worst, excess: Option<String>) -> String {
    if worst.mismatched > 0 {
        return format!("{} values are infinite or no numbers where the reference has numbers", worst.mismatched);
    }
    let from = if worst.referenced { "your reference" } else { "the f64 reference" };
    let snr = worst.snr_db.map_or(String::new(), |snr| format!(" ({snr:.0} dB)"));
    let mut text = match (worst.error == 0.0, worst.samples == worst.argmax) {
        (true, _) => format!("equal to {from}"),
        (false, true) => format!("within {:.1e}{snr} of {from}, every choice the same", worst.error),
        (false, false) => format!(
            "within {:.1e}{snr} of {from}, but {} of {} samples choose otherwise",
            worst.error,
            worst.samples - worst.argmax,
            worst.samples
        ),
    };
    if worst.referenced && worst.own < worst.error * NAMED {
        text += &format!("; this plan's arithmetic makes {:.1e} of it", worst.own);
        if let Some(cause) = cause(report, CauseKind::ConstantsInFile).filter(|moves| *moves > worst.error * NAMED) {
            text += &format!(", the constants as the file stores them about {cause:.1e}");
        }
    } else if let Some(cause) = report.causes.first().filter(|cause| cause.moves > 0.0 && worst.error > 0.0) {
        text += &format!("; most of it by {}", cause.cause.text());
    }
    if let Some(excess) = excess {
        text += &format!("; {excess}{}", sources(report, worst));
    }
    text
}

/// The layers that the error comes from, as the end of a sentence.
fn sources(report: &Report, worst: &Worst) -> String {
    let moves = |layer: &&LayerReport| layer.moves.unwrap_or_default();
    let mut layers: Vec<&LayerReport> =
        report.layers.iter().filter(|layer| moves(layer) > worst.error * LEAST_SHARE).collect();
    layers.sort_by(|a, b| moves(b).total_cmp(&moves(a)));
    layers.truncate(MOST_SOURCES);
    let names: Vec<String> =
        layers.iter().map(|layer| format!("`{}` ({:.1e} alone)", layer.layers.join(" + "), moves(layer))).collect();
    if names.is_empty() { String::new() } else { format!("; the layers that contribute most: {}", names.join(", ")) }
}

fn cause(report: &Report, kind: CauseKind) -> Option<f64> {
    report.causes.iter().find(|cause| cause.cause == kind).map(|cause| cause.moves)
}

fn advice(report: &Report, worst: &Worst) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut add = |reason: String, macro_line: Option<&str>, command: Option<&str>| {
        advice.push(Advice {
            reason,
            macro_line: macro_line.map(str::to_string),
            command: command.map(str::to_string),
        });
    };
    let file = cause(report, CauseKind::ConstantsInFile).unwrap_or(0.0);
    if file > worst.own {
        let reason = "the file's constants are narrower than the network's were; no option takes that back, but a new \
                      conversion does";
        add(reason.to_string(), None, Some("ncnnc import MODEL.pt --shape 1,C,H,W"));
    }
    let storage = cause(report, CauseKind::ConstantStorage).unwrap_or(0.0);
    if storage > worst.own * NAMED && worst.own > 0.0 {
        for layer in least_exact(report, |layer| layer.stored_in_plan.is_some()) {
            let name = &layer.layers[0];
            let format = layer.stored_in_plan.as_deref().unwrap_or_default();
            let snr = layer.local.snr_db.unwrap_or_default();
            let reason = format!("`{name}` loses the most by its constants in {format}: {snr:.0} dB alone");
            let (line, command) = (format!("precision({name:?}) = f32;"), format!("--precision {name}=f32"));
            add(reason, Some(&line), Some(&command));
        }
    }
    for output in overflowing(report) {
        let NarrowOutput { name, layer, .. } = output;
        let reason = format!("`{name}` has values that f16 has no room for, which become infinite");
        let (line, command) = (format!("activations({layer:?}) = bf16;"), format!("--activations {layer}=bf16"));
        add(reason, Some(&line), Some(&command));
    }
    let storage = cause(report, CauseKind::ActivationStorage).unwrap_or(0.0);
    if storage > worst.own * NAMED && worst.own > 0.0 {
        let rounded = |layer: &LayerReport| !layer.narrow_outputs.is_empty();
        for row in least_exact(report, rounded) {
            let NarrowOutput { name, layer, format } = &row.narrow_outputs[0];
            let snr = row.local.snr_db.unwrap_or_default();
            let reason = format!("`{name}` loses the most by being stored in {format}: {snr:.0} dB alone");
            let (line, command) = (format!("activations({layer:?}) = f32;"), format!("--activations {layer}=f32"));
            add(reason, Some(&line), Some(&command));
        }
    }
    let helps = |kind: &CauseKind| {
        let cause = report.causes.iter().find(|cause| cause.cause == *kind);
        cause.and_then(|cause| cause.left).is_some_and(|left| left < worst.own * (1.0 - NAMED))
    };
    if let Some(kind) = [CauseKind::GraphRewriting, CauseKind::Algorithm].iter().find(|kind| helps(kind)) {
        let reason = format!("{} makes a part of the error that `strict` does without", kind.text());
        add(reason, Some("numerics = strict;"), Some("--numerics strict"));
    }
    if worst.ncnn > 2.0 * worst.error {
        let reason = format!(
            "ncnn prints something else by up to {:.1e}: with its defaults it rounds the weights of inner products to f16, \
             whatever the file holds; to compare with it, switch that off before loading",
            worst.ncnn
        );
        add(reason, None, Some("net.opt.use_fp16_storage = false;"));
    }
    advice
}

/// What is stored in f16 and becomes infinite by that.
fn overflowing(report: &Report) -> impl Iterator<Item = &NarrowOutput> {
    let layers = report.layers.iter().filter(|layer| layer.local.infinite > 0);
    let outputs = layers.flat_map(|layer| &layer.narrow_outputs);
    outputs.filter(|output| output.format == Format::F16.text())
}

/// Of some layers, those whose own results are the least exact, worst first.
fn least_exact(report: &Report, of: impl Fn(&LayerReport) -> bool) -> Vec<&LayerReport> {
    let mut layers: Vec<&LayerReport> =
        report.layers.iter().filter(|layer| of(layer) && layer.local.snr_db.is_some()).collect();
    layers.sort_by(|a, b| a.local.snr_db.unwrap_or_default().total_cmp(&b.local.snr_db.unwrap_or_default()));
    layers.truncate(MOST_LAYERS);
    layers
}

/// A number at or above a value, with two significant digits.
fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return value.max(0.0);
    }
    let exponent = value.log10().floor() as i32 - 1;
    let digits = (value / 10.0_f64.powi(exponent)).ceil();
    // By way of text: the number that reads as two digits, not one beside it.
    format!("{digits}e{exponent}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::rounded_up;

    #[test]
    fn tolerances_have_two_digits() {
        assert_eq!(rounded_up(1.234e-6), 1.3e-6);
        assert_eq!(rounded_up(0.0), 0.0);
        assert_eq!(rounded_up(9.91), 10.0);
    }
}
