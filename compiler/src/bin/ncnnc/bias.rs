//! Whether biases are corrected, and on which inputs.

use crate::progress::Progress;
use crate::samples::{Named, named, read_inputs};
use clap::Args;
use ncnnc_compiler::diagnostic::Diagnostic;
use ncnnc_compiler::verify::{Calibration, Origin, Samples, Subject};

/// The correction of biases.
#[derive(Args)]
pub struct BiasArguments {
    /// Corrects the biases of layers whose weights are stored in f16 or bf16 by what rounding does to the mean of each
    /// channel: on the inputs of --calibration, else on those of --inputs, else by the statistics of the model's batch norms
    #[arg(long)]
    bias_correction: bool,
    /// Inputs on which means are taken, as for --inputs; they should be others than those
    #[arg(long, value_name = "[NAME=]PATH", value_parser = named, requires = "bias_correction")]
    calibration: Vec<Named>,
}

impl BiasArguments {
    /// Whether that was asked for.
    pub fn is_wanted(&self) -> bool {
        self.bias_correction
    }

    /// The model with its biases corrected; `given` are the inputs that errors are measured on.
    ///
    /// # Errors
    /// Inputs that can't be read or don't fit the model, or nothing to correct, or nothing to correct it by.
    pub fn correct(
        &self,
        subject: Subject,
        given: Option<&Samples>,
        progress: &Progress,
    ) -> Result<Subject, Vec<Diagnostic>> {
        let own = (!self.calibration.is_empty()).then(|| read_inputs(&self.calibration, &subject, None)).transpose()?;
        let given = given.filter(|samples| samples.origin == Origin::Given);
        let at =
            |step: usize, steps: usize| progress.at(step as f64 / steps as f64, "means for the biases".to_string());
        let measured = |samples: &Samples| {
            let inputs = &samples.inputs;
            Calibration::measured(&subject, inputs, &mut |step| at(step, 2 * inputs.len()))
        };
        let calibration = match (&own, given) {
            (Some(own), _) => measured(own),
            (None, Some(given)) => measured(given).map(|calibration| Calibration {
                means: calibration.means + ", those that errors are measured on",
                ..calibration
            }),
            (None, None) => Calibration::analytic(&subject, &mut at.clone()),
        };
        let calibration = calibration.map_err(|problem| vec![problem])?;
        Ok(subject.corrected(calibration))
    }
}
