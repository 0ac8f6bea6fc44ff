//! The history of a model's precision: a line for each record that was accepted, beside the model as
//! `MODEL.precision.history`.

use super::html::page;
use super::plot::{Axis, Series, points};
use super::record::{Kind, Record};
use super::text::small;
use crate::diagnostic::{Diagnostic, Location, Position};
use maud::html;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A record that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The day, as `2026-11-24`.
    pub date: String,
    /// The hash of the model's files.
    pub model: String,
    /// What the user chose.
    pub options: String,
    /// The largest error of any output against the definition in `f64`.
    pub max_abs: f64,
    /// The largest distance of any output from the user's reference; none without one.
    pub from_reference: Option<f64>,
}

impl Entry {
    /// What is kept of a record in the long run; `seconds` are those since 1970 began.
    pub fn of(record: &Record, seconds: u64) -> Self {
        let outputs = || record.lines.iter().filter(|line| line.of == Kind::Output);
        Self {
            date: date(seconds),
            model: record.head.model.clone(),
            options: record.head.options.clone(),
            max_abs: outputs().map(|line| line.max_abs).fold(0.0, f64::max),
            from_reference: outputs().filter_map(|line| line.from_reference).reduce(f64::max),
        }
    }

    /// The entry as a line of the file.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("names and finite numbers are JSON") + "\n"
    }

    /// Reads a file; `path` is only named in messages.
    ///
    /// # Errors
    /// The first line that isn't what it should be.
    pub fn read_all(path: &str, text: &str) -> Result<Vec<Self>, Diagnostic> {
        let entry = |(at, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| {
                let position = Position::Line(at as u32 + 1, error.column() as u32);
                let location = Location { path: path.to_string(), position };
                Diagnostic::error(format!("not a line of a precision history: {error}"))
                    .at(location)
                    .hint("take the line out; the others keep their meaning")
            })
        };
        text.lines().enumerate().map(entry).collect()
    }
}

/// A history as text.
pub fn history_text(entries: &[Entry]) -> String {
    let mut text = format!("{:<12}{:<10}{:>9}{:>16}  options\n", "date", "model", "max abs", "from reference");
    for entry in entries {
        let reference = entry.from_reference.map_or("-".to_string(), small);
        let Entry { date, model, options, max_abs, .. } = entry;
        let model = model.get(..8).unwrap_or(model);
        writeln!(text, "{date:<12}{model:<10}{:>9}{reference:>16}  {options}", small(*max_abs)).expect("strings grow");
    }
    text
}

/// A history as a page with a plot.
pub fn history_html(name: &str, entries: &[Entry]) -> String {
    let series = |value: &dyn Fn(&Entry) -> Option<f64>| -> Vec<(f64, f64)> {
        entries.iter().enumerate().filter_map(|(at, entry)| Some((at as f64, value(entry)?))).collect()
    };
    let title = format!("Precision of {name} over time");
    page(
        &title,
        &html! {
            h1 { (title) }
            (points(
                "Largest error of the outputs",
                &Axis { title: "conversion", log: false },
                &Axis { title: "error", log: true },
                &[
                    Series { name: "from the definition in f64", values: series(&|entry| Some(entry.max_abs)) },
                    Series { name: "from the reference", values: series(&|entry| entry.from_reference) },
                ],
            ))
            table {
                thead { tr { th {} th { "date" } th { "model" } th { "max abs" } th { "from reference" } th { "options" } } }
                tbody {
                    @for (at, entry) in entries.iter().enumerate() {
                        tr {
                            th { (at) }
                            td { (entry.date) }
                            td { code { (entry.model.get(..8).unwrap_or(&entry.model)) } }
                            td { (small(entry.max_abs)) }
                            td { (entry.from_reference.map_or("–".to_string(), small)) }
                            td class="words" { code { (entry.options) } }
                        }
                    }
                }
            }
        },
    )
}

/// The day of a time in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_of_the_calendar() {
        // From `date --utc --date=@...`.
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_795_555_555), "2026-11-24");
    }
}
