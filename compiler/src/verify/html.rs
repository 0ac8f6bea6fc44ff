//! A report as one HTML page: no script, no other file, readable printed and on dark screens.

use super::advice::distance;
use super::plot::{Axis, Series, bars, points};
use super::report::{Contender, ContenderReport, LayerReport, OutputReport, Report};
use super::text::{angle, percent, small, snr, ulps};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The colours of the page in both schemes, and on paper.
pub(super) const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn html(report: &Report) -> String {
    let (state, word) = if report.verdict.passed { ("passed", "Passed: ") } else { ("failed", "Failed: ") };
    let title = format!("Precision of {}", report.model);
    page(
        &title,
        &html! {
            h1 { (title) }
            p class={ "verdict " (state) } { (word) (report.verdict.text) }
            (facts(report))
            @if let Some(chosen) = &report.chosen {
                h2 { "Smallest storage within the budget" }
                pre { (chosen.text()) }
            }
            @if let Some(bias) = &report.bias_correction {
                h2 { "Bias correction" }
                pre { (bias.text()) }
            }
            @for warning in &report.warnings { p class="warning" { "Warning: " (warning) } }
            @for output in &report.outputs { (output_section(output, report.inputs.samples)) }
            (causes(report))
            @if !report.advice.is_empty() { h2 { "What to do" } }
            @for advice in &report.advice {
                p class="advice" { (advice.reason) }
                @for line in [&advice.macro_line, &advice.command].into_iter().flatten() { pre { (line) } }
            }
            (layers(report))
        },
    )
}

/// A page around its content.
pub(super) fn page(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (content) }
        }
    };
    page.into_string()
}

fn facts(report: &Report) -> Markup {
    let fed = match report.inputs.random_seed {
        Some(seed) => format!("{} random samples of seed {seed}", report.inputs.samples),
        None => format!("{} given samples", report.inputs.samples),
    };
    let verdict = &report.verdict;
    html! {
        table class="facts" {
            tr { th { "Options" } td { code { (report.options) } } }
            tr { th { "Inputs" } td { (fed) } }
            tr { th { "Least tolerance" } td { (small(verdict.tolerance)) " absolute, " (small(verdict.relative_tolerance)) " of the largest value" } }
            tr { th { "Model" } td { code { (report.model_hash) } } }
        }
    }
}

fn output_section(output: &OutputReport, samples: usize) -> Markup {
    let shape = output.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    let referenced = distance(output, Contender::Plan, true).is_some();
    let labelled = output.contenders.iter().any(|contender| contender.right.is_some());
    let magnitudes: Vec<(f64, f64)> =
        output.by_magnitude.iter().map(|class| (f64::from(class.exponent), class.errors.max_abs)).collect();
    let means: Vec<(f64, f64)> = (output.by_magnitude.iter())
        .map(|class| (f64::from(class.exponent), (class.errors.energy / class.errors.elements as f64).sqrt()))
        .collect();
    html! {
        h2 { "Output " code { (output.name) } ", " (shape) }
        table {
            thead {
                tr {
                    th {}
                    th colspan="4" { "from the definition in f64" }
                    @if referenced { th colspan="4" { "from your reference" } }
                    @if labelled { th {} }
                }
                tr {
                    th {}
                    @for _ in 0..=usize::from(referenced) {
                        th { "max abs" } th { "SNR, dB" } th { "argmax" } th { "top 5" }
                    }
                    @if labelled { th { "right" } }
                }
            }
            tbody { @for contender in &output.contenders { (contender_row(contender, referenced, labelled, samples)) } }
        }
        (points(
            "Error by magnitude",
            &Axis { title: "value, power of two", log: false },
            &Axis { title: "error", log: true },
            &[Series { name: "largest", values: magnitudes }, Series { name: "root mean square", values: means }],
        ))
    }
}

fn contender_row(contender: &ContenderReport, referenced: bool, labelled: bool, samples: usize) -> Markup {
    let mut distances = vec![&contender.from_definition];
    if referenced {
        distances.push(&contender.from_reference);
    }
    html! {
        tr {
            th { (contender.contender.text()) }
            @for distance in distances {
                @match distance {
                    Some(distance) => {
                        td { (small(distance.figures.max_abs)) }
                        td { (snr(&distance.figures)) }
                        td { (percent(distance.agreement.argmax, distance.agreement.samples)) }
                        td { (percent(distance.agreement.top5, distance.agreement.samples)) }
                    }
                    None => { td { "–" } td { "–" } td { "–" } td { "–" } }
                }
            }
            @if labelled { td { (contender.right.map_or(String::new(), |right| percent(right, samples as u64))) } }
        }
    }
}

fn causes(report: &Report) -> Markup {
    html! {
        h2 { "Where the error comes from" }
        table {
            thead { tr { th { "switching off" } th { "moves outputs by" } th { "leaves an error of" } th class="words" { "by" } } }
            tbody {
                @for cause in &report.causes {
                    tr {
                        th { (cause.cause.text()) }
                        td { (small(cause.moves)) }
                        td { (cause.left.map_or("–".to_string(), small)) }
                        td class="words" { (cause.how) }
                    }
                }
            }
        }
    }
}

fn layers(report: &Report) -> Markup {
    let series = |value: &dyn Fn(&LayerReport) -> Option<f64>| -> Vec<(f64, f64)> {
        (report.layers.iter().enumerate())
            .filter_map(|(at, layer)| Some((at as f64, value(layer).filter(|value| *value > 0.0)?)))
            .collect()
    };
    let mut classes: std::collections::BTreeMap<i64, u64> = std::collections::BTreeMap::new();
    for class in report.layers.iter().flat_map(|layer| &layer.local_ulps) {
        // Keyed by the bits of the class's end, which order as the ends do.
        *classes.entry(class.up_to.to_bits().cast_signed()).or_default() += class.elements;
    }
    let classes: Vec<(String, f64)> = (classes.into_iter())
        .map(|(end, elements)| (class_name(f64::from_bits(end.cast_unsigned())), elements as f64))
        .collect();
    html! {
        h2 { "Layers" }
        (points(
            "Error of each layer",
            &Axis { title: "layer", log: false },
            &Axis { title: "largest error", log: true },
            &[
                Series { name: "alone", values: series(&|layer| Some(layer.local.max_abs)) },
                Series { name: "in the whole", values: series(&|layer| Some(layer.cumulative.max_abs)) },
                Series { name: "bound of the layer alone", values: series(&|layer| layer.bound) },
            ],
        ))
        (bars("Errors of layers alone: per cent of the values, up to so many units of the last place", &classes))
        table {
            thead {
                tr { th { "layer" } th class="words" { "type" } th colspan="3" { "alone" } th colspan="4" { "its rounding alone" } th { "stored" } }
                tr {
                    th {} th {}
                    th { "max abs" } th { "max ulp" } th { "SNR, dB" }
                    th { "max abs" } th { "max ulp" } th { "bound" } th { "used" } th {}
                }
            }
            tbody { @for (at, layer) in report.layers.iter().enumerate() { (row_alone(at, layer)) } }
        }
        table {
            thead {
                tr { th { "layer" } th colspan="7" { "in the whole" } th colspan="2" { "if stored in f16" } }
                tr {
                    th {}
                    th { "max abs" } th { "SNR, dB" } th { "1 − cosine" } th { "argmax" } th { "top 5" } th { "NaN" } th { "infinite" }
                    th { "room" } th { "flushed" }
                }
            }
            tbody { @for (at, layer) in report.layers.iter().enumerate() { (row_in_the_whole(at, layer)) } }
        }
    }
}

fn row_alone(at: usize, layer: &LayerReport) -> Markup {
    let or_dash = |text: Option<String>| text.unwrap_or("–".to_string());
    html! {
        tr {
            th { (at) " " (layer.layers.join(" + ")) }
            td class="words" { (layer.kinds.join(" + ")) }
            td { (small(layer.local.max_abs)) }
            td { (ulps(layer.local.max_ulp)) }
            td { (snr(&layer.local)) }
            td { (or_dash(layer.rounding.map(|rounding| small(rounding.max_abs)))) }
            td { (or_dash(layer.rounding.map(|rounding| ulps(rounding.max_ulp)))) }
            td { (or_dash(layer.bound.map(small))) }
            td { (or_dash(layer.bound_used.map(|used| format!("{:.0} %", used * 100.0)))) }
            td { (layer.narrow_outputs.first().map_or("–", |output| &output.format)) }
        }
    }
}

fn row_in_the_whole(at: usize, layer: &LayerReport) -> Markup {
    let (whole, agreement, range) = (&layer.cumulative, &layer.agreement, &layer.activations_in_f16);
    html! {
        tr {
            th { (at) " " (layer.layers.join(" + ")) }
            td { (small(whole.max_abs)) }
            td { (snr(whole)) }
            td { (angle(whole)) }
            td { (percent(agreement.argmax, agreement.samples)) }
            td { (percent(agreement.top5, agreement.samples)) }
            td { (whole.nan) }
            td { (whole.infinite) }
            td { (range.headroom.map_or("–".to_string(), |room| format!("{room:.0}×"))) }
            td { (format!("{:.1} %", range.flushed * 100.0)) }
        }
    }
}

/// The end of a class, short enough to stand under its bar.
fn class_name(end: f64) -> String {
    if end < 100.0 { end.to_string() } else { format!("2^{}", end.log2()) }
}
