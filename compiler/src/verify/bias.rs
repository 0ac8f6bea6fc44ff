//! How biases were corrected, and what there is to say about it: the error before and after.

use super::calibration::{Calibration, Left};
use super::figures::Figures;
use super::rows::Row;
use super::text::{shortened, small, snr};
use crate::plan::{Correction, Plan};
use serde::Serialize;
use std::fmt::Write;

/// Columns of layers' names.
const NAMES: usize = 32;

/// The correction of biases. Field names are those of the JSON form.
#[derive(Clone, Debug, Serialize)]
pub struct BiasCorrection {
    /// Where the means come from, as the end of a sentence.
    pub means: String,
    /// Contractions with narrow constants.
    pub contractions: usize,
    /// Of these, corrected.
    pub corrected: usize,
    /// The steps of the plan with such contractions, in order.
    pub layers: Vec<CorrectedLayers>,
    /// The corrections.
    #[serde(skip)]
    pub corrections: Vec<Correction>,
}

/// What correcting a step does, by its results in the run of the whole, against the definition in `f64`.
#[derive(Clone, Debug, Serialize)]
pub struct CorrectedLayers {
    /// The layers it carries out, in order.
    pub layers: Vec<String>,
    /// Biases that were corrected.
    pub channels: usize,
    /// The largest correction.
    pub largest: f64,
    /// Why it is left as it is, if all of it is.
    pub left: Option<String>,
    /// The error without any correction in the network.
    pub before: Figures,
    /// The error with all of them.
    pub after: Figures,
}

/// What is said of corrections of a plan without them, whose rows have these errors before and after.
pub(super) fn report<'r>(
    plan: &Plan,
    calibration: &Calibration,
    rows: impl Iterator<Item = (&'r Row, [Figures; 2])>,
) -> BiasCorrection {
    let Calibration { corrections, means, left } = calibration;
    let narrowed = plan.narrowed();
    let layers = rows.filter_map(|(row, [before, after])| {
        let here: Vec<usize> =
            (0..narrowed.len()).filter(|at| row.operations.contains(&narrowed[*at].operation)).collect();
        let values = || here.iter().flat_map(|at| &corrections[*at].values);
        let reasons: Option<Vec<Left>> = here.iter().map(|at| left[*at]).collect();
        (!here.is_empty()).then(|| CorrectedLayers {
            layers: row.layers.clone(),
            channels: values().count(),
            largest: values().map(|value| f64::from(value.abs())).fold(0.0, f64::max),
            left: reasons.map(|reasons| reasons[0].text().to_string()),
            before,
            after,
        })
    });
    BiasCorrection {
        means: means.clone(),
        contractions: narrowed.len(),
        corrected: left.iter().filter(|left| left.is_none()).count(),
        layers: layers.collect(),
        corrections: corrections.clone(),
    }
}

impl BiasCorrection {
    /// What was gained, for terminals.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("strings grow");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { means, contractions, corrected, layers, .. } = self;
        writeln!(out, "bias correction: {corrected} of {contractions} sums corrected, means {means}")?;
        writeln!(out, "\n{:NAMES$}  {:>18}   {:<15}  after", "", "", "before")?;
        writeln!(
            out,
            "{:NAMES$}  {:>8}  {:>8}   {:>7}  {:>6}  {:>7}  {:>6}  {:>7}",
            "in the whole", "channels", "largest", "max abs", "SNR dB", "max abs", "SNR dB", "gain dB"
        )?;
        for layer in layers {
            let CorrectedLayers { layers, channels, largest, left, before, after } = layer;
            let gain = before.snr_db.zip(after.snr_db).map_or("-".to_string(), |(before, after)| {
                // Without the sign of a zero.
                format!("{:+.1}", after - before + 0.0)
            });
            writeln!(
                out,
                "{:NAMES$}  {channels:>8}  {:>8}   {:>7}  {:>6}  {:>7}  {:>6}  {gain:>7}",
                shortened(&layers.join(" + ")),
                small(*largest),
                small(before.max_abs),
                snr(before),
                small(after.max_abs),
                snr(after)
            )?;
            if let Some(left) = left {
                writeln!(out, "    left as it is: {left}")?;
            }
        }
        Ok(())
    }
}
