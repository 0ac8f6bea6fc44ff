//! Which precision a compiled model has, and why: measured, layer by layer, against the plain definition in `f64`.
//!
//! Owns the measurement, its report and its renderings, and the record that later runs are held to. Must not know the
//! command line. What is measured is the plan that would be compiled, whose bits every target has; so nothing is compiled
//! or run here but by the interpreters.
//!
//! Each step of the plan is measured twice (`rows` says how steps and layers belong together): *locally*, fed with the
//! reference's inputs rounded to `f32`, against its layers' plain definition on the same inputs; and *cumulatively*, in a run
//! of the whole.

mod advice;
mod bias;
mod calibration;
mod cause;
mod chosen;
mod contribution;
mod figures;
mod history;
mod html;
mod measure;
mod narrowed;
mod plot;
mod record;
mod report;
mod rerun;
mod rows;
mod samples;
mod search;
mod slices;
mod subject;
mod subset;
mod target;
mod text;

pub use bias::{BiasCorrection, CorrectedLayers};
pub use calibration::{Calibration, Left};
pub use chosen::{Chosen, ChosenLayers, Time};
pub use figures::{Agreement, Binade, Figures, HalfRange};
pub use history::{Entry, history_html, history_text};
pub use html::html;
pub use measure::{Progress, verify};
pub use record::{Kind, Line, Record};
pub use report::{
    Advice, Cause, CauseKind, Contender, ContenderReport, Distance, InputsReport, LayerReport, MagnitudeClass,
    NarrowOutput, OutputReport, Report, Rounding, UlpClass, Verdict,
};
pub use samples::{Origin, Reference, Samples};
pub use search::Search;
pub use subject::{LayerFacts, Subject};
pub use text::text;

/// A report as JSON; field names are those of [`Report`].
pub fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).expect("names and finite numbers are JSON") + "\n"
}
