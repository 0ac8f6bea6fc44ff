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
mod cause;
mod figures;
mod measure;
mod narrowed;
mod report;
mod rows;
mod samples;
mod subject;

pub use figures::{Agreement, Binade, Figures, HalfRange};
pub use measure::{Progress, verify};
pub use report::{
    Advice, Cause, CauseKind, Contender, ContenderReport, Distance, InputsReport, LayerReport, MagnitudeClass,
    OutputReport, Report, UlpClass, Verdict,
};
pub use samples::{Origin, Reference, Samples};
pub use subject::{LayerFacts, Subject};
