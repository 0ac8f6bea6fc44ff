//! Small plots as inline SVG, coloured by the page they stand in.

use maud::{Markup, html};

/// The size of a plot and of the margins around its field.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 36.0;

/// Names that fit under the bars of a plot.
const MOST_NAMES: usize = 16;

/// An axis.
pub(super) struct Axis {
    /// What stands beside it.
    pub title: &'static str,
    /// Whether it is logarithmic; values must be positive then, and others are left out.
    pub log: bool,
}

/// Points that belong together.
pub(super) struct Series {
    /// What the legend calls it.
    pub name: &'static str,
    /// Horizontal and vertical positions.
    pub values: Vec<(f64, f64)>,
}

/// From values to places on the page.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, log: bool, from: f64, to: f64) -> Self {
        let values = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let values = values.map(|value| if log { value.log10() } else { value });
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low.floor(), high.ceil()) };
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Values to mark, at most about eight, and their texts.
    fn ticks(&self) -> Vec<(f64, String)> {
        let step = ((self.high - self.low) / 8.0).ceil().max(1.0);
        let count = ((self.high - self.low) / step).floor() as usize;
        let tick = |i: usize| {
            let at = self.low + i as f64 * step;
            if self.log { (10.0_f64.powf(at), format!("1e{at}")) } else { (at, at.to_string()) }
        };
        (0..=count).map(tick).collect()
    }
}

/// Points of several series.
pub(super) fn points(title: &str, horizontal: &Axis, vertical: &Axis, series: &[Series]) -> Markup {
    let all = || series.iter().flat_map(|series| &series.values).filter(|(_, y)| !vertical.log || *y > 0.0);
    let x = Scale::new(all().map(|(x, _)| *x), horizontal.log, LEFT + 12.0, WIDTH - RIGHT - 12.0);
    let y = Scale::new(all().map(|(_, y)| *y), vertical.log, HEIGHT - BOTTOM, TOP);
    let shown = |series: &Series| -> Vec<(f64, f64)> {
        let valid = series.values.iter().filter(|(_, y)| !vertical.log || *y > 0.0);
        valid.map(|(a, b)| (x.place(*a), y.place(*b))).collect()
    };
    figure(
        title,
        &html! {
            @for (value, text) in y.ticks() {
                line class="grid" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(place(y.place(value))) y2=(place(y.place(value))) {}
                text class="tick" x=(LEFT - 6.0) y=(place(y.place(value) + 4.0)) text-anchor="end" { (text) }
            }
            @for (value, text) in x.ticks() {
                text class="tick" x=(place(x.place(value))) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (text) }
            }
            text class="tick" x=(WIDTH - RIGHT) y=(HEIGHT - 4.0) text-anchor="end" { (horizontal.title) }
            text class="tick" x="4" y=(TOP - 12.0) { (vertical.title) }
            @for (at, series) in series.iter().enumerate() {
                polyline class={ "line series" (at) } points=(path(&shown(series))) {}
                @for (a, b) in shown(series) { circle class={ "dot series" (at) } cx=(place(a)) cy=(place(b)) r="3" {} }
                circle class={ "dot series" (at) } cx=(LEFT + 60.0 + at as f64 * 180.0) cy=(TOP - 16.0) r="4" {}
                text class="legend" x=(LEFT + 70.0 + at as f64 * 180.0) y=(TOP - 12.0) { (series.name) }
            }
        },
    )
}

/// One bar for each name.
pub(super) fn bars(title: &str, values: &[(String, f64)]) -> Markup {
    let total: f64 = values.iter().map(|(_, value)| value).sum();
    let highest = values.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let step = (WIDTH - LEFT - RIGHT) / values.len().max(1) as f64;
    // Names that would touch their neighbours are left out.
    let named = values.len().div_ceil(MOST_NAMES).max(1);
    let height = |value: f64| value / highest * (HEIGHT - TOP - BOTTOM);
    figure(
        title,
        &html! {
            @for (at, (name, value)) in values.iter().enumerate() {
                @let left = LEFT + at as f64 * step;
                rect class="bar" x=(place(left + step * 0.1)) width=(place(step * 0.8))
                    y=(place(HEIGHT - BOTTOM - height(*value))) height=(place(height(*value))) {}
                @let share = value * 100.0 / total.max(1.0);
                // What rounds to nothing would only stand in its neighbours' way.
                @if share >= 0.05 {
                    text class="tick" x=(place(left + step / 2.0)) y=(place(HEIGHT - BOTTOM - height(*value) - 4.0)) text-anchor="middle" {
                        (format!("{share:.1}"))
                    }
                }
                @if at.is_multiple_of(named) {
                    text class="tick" x=(place(left + step / 2.0)) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (name) }
                }
            }
        },
    )
}

fn figure(title: &str, content: &Markup) -> Markup {
    html! {
        figure {
            figcaption { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) { (content) }
        }
    }
}

/// A place in tenths of a pixel, which is as fine as anyone sees.
fn place(value: f64) -> String {
    format!("{value:.1}")
}

fn path(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", place(*x), place(*y))).collect::<Vec<_>>().join(" ")
}
