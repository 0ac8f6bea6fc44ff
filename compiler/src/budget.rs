//! How large the error of a model's outputs may be, in the user's words, and how large it is.
//!
//! Must not know how errors are measured.

use std::fmt::{Display, Formatter};

/// What a budget looks like, for messages.
pub const FORMS: &str = "an error is a number from 0 on, such as 1e-4, a share of the largest value, such as 0.1%, or a \
                     signal-to-noise ratio, such as 60dB";

/// The largest error that is accepted of every output, over all samples together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// The largest difference.
    Absolute(f64),
    /// The largest difference in per cent of the output's largest magnitude.
    Percent(f64),
    /// The least signal-to-noise ratio, in dB.
    Decibels(f64),
}

impl Budget {
    /// Reads `1e-3`, `0.1%` or `60dB`.
    ///
    /// # Errors
    /// What a budget looks like, when this is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| *number >= 0.0 && number.is_finite());
        let budget = if let Some(number_text) = text.strip_suffix('%') {
            number(number_text).map(Self::Percent)
        } else if let Some(number_text) = text.strip_suffix("dB") {
            number(number_text).map(Self::Decibels)
        } else {
            number(text).map(Self::Absolute)
        };
        budget.ok_or_else(|| FORMS.to_string())
    }

    /// The budget as an argument of the command: what [`Self::parse`] reads.
    pub fn argument(&self) -> String {
        self.to_string().replace(' ', "")
    }

    /// The share of the budget that an error takes, as an amplitude: more than 1 where it isn't met.
    pub fn used(&self, error: &OutputError) -> f64 {
        let share = |error: f64, limit: f64| if error == 0.0 { 0.0 } else { error / limit };
        match self {
            Self::Absolute(limit) => share(error.absolute, *limit),
            Self::Percent(limit) => share(error.percent, *limit),
            Self::Decibels(limit) => error.decibels.map_or(0.0, |decibels| 10.0_f64.powf((limit - decibels) / 20.0)),
        }
    }

    /// The output that takes the largest share of the budget, the first of equals.
    pub fn worst<'e>(&self, errors: &'e [OutputError]) -> Option<&'e OutputError> {
        errors.iter().reduce(|worst, error| if self.used(error) > self.used(worst) { error } else { worst })
    }

    /// What is wrong with the errors of a model's outputs; nothing where all of them keep to the budget.
    pub fn excess(&self, errors: &[OutputError]) -> Option<String> {
        let worst = self.worst(errors).filter(|worst| self.used(worst) > 1.0)?;
        let (name, measured) = (&worst.name, self.measured(worst));
        Some(match self {
            Self::Absolute(_) => format!("`{name}` is off by {measured}, and {self} is allowed"),
            Self::Percent(_) => format!("`{name}` is off by {measured} of its largest value, and {self} is allowed"),
            Self::Decibels(_) => format!("`{name}` has {measured} of signal over noise, and {self} are asked for"),
        })
    }

    /// An error in the budget's unit.
    pub fn measured(&self, error: &OutputError) -> String {
        match self {
            Self::Absolute(_) => format!("{:.2e}", error.absolute),
            Self::Percent(_) => format!("{} %", percent(three_digits(error.percent))),
            Self::Decibels(_) => error.decibels.map_or("no noise".to_string(), |decibels| format!("{decibels:.1} dB")),
        }
    }
}

/// As messages have it: `1e-3`, `0.1 %`, `60 dB`.
impl Display for Budget {
    fn fmt(&self, out: &mut Formatter) -> std::fmt::Result {
        match self {
            Self::Absolute(limit) => write!(out, "{limit:e}"),
            Self::Percent(limit) => write!(out, "{} %", percent(*limit)),
            Self::Decibels(limit) => write!(out, "{limit} dB"),
        }
    }
}

/// How far an output is from what it should be, over all samples together.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputError {
    /// The output.
    pub name: String,
    /// The largest difference.
    pub absolute: f64,
    /// The same in per cent of the largest magnitude that was meant.
    pub percent: f64,
    /// The signal-to-noise ratio; none where nothing differs.
    pub decibels: Option<f64>,
}

impl OutputError {
    /// An error whose largest value would have been `largest`.
    pub fn new(name: &str, absolute: f64, largest: f64, decibels: Option<f64>) -> Self {
        let percent = if absolute == 0.0 { 0.0 } else { 100.0 * absolute / largest };
        Self { name: name.to_string(), absolute, percent, decibels }
    }

    /// That an output has values that are no numbers where there should be some: no budget allows that.
    pub fn no_number(name: &str) -> Self {
        let (absolute, percent) = (f64::INFINITY, f64::INFINITY);
        Self { name: name.to_string(), absolute, percent, decibels: Some(f64::NEG_INFINITY) }
    }

    /// The error in three digits, and a tenth of a dB, rounded to the side that promises less: what is kept of it.
    pub fn promised(&self) -> Self {
        Self {
            name: self.name.clone(),
            absolute: rounded_up(self.absolute),
            percent: rounded_up(self.percent),
            decibels: self.decibels.map(|decibels| (decibels * 10.0).floor() / 10.0),
        }
    }

    /// The error as a line: `1.2e-3 0.12% 57.1dB out0`.
    pub fn line(&self) -> String {
        let Self { name, absolute, percent, decibels } = self;
        let decibels = decibels.map_or("exact".to_string(), |decibels| format!("{decibels}dB"));
        format!("{absolute:e} {percent:e}% {decibels} {name}")
    }

    /// Reads such a line; nothing where it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, ' ');
        let mut number = |suffix: &str| parts.next()?.strip_suffix(suffix)?.parse::<f64>().ok();
        let (absolute, percent) = (number("")?, number("%")?);
        let decibels = match parts.next()? {
            "exact" => None,
            decibels => Some(decibels.strip_suffix("dB")?.parse().ok()?),
        };
        Some(Self { name: parts.next()?.to_string(), absolute, percent, decibels })
    }
}

/// A percentage as people write it.
fn percent(value: f64) -> String {
    if value == 0.0 || value >= 1e-3 { value.to_string() } else { format!("{value:e}") }
}

/// The number of three significant digits next to a value.
fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// The least number of three significant digits that is not below a value.
fn rounded_up(value: f64) -> f64 {
    let nearest = three_digits(value);
    if nearest >= value {
        return nearest;
    }
    let text = format!("{nearest:.2e}").replace('.', "");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let parsed = (digits.parse::<u32>(), exponent.parse::<i32>());
    let (Ok(digits), Ok(exponent)) = parsed else { return value };
    format!("{}e{}", digits + 1, exponent - 2).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_have_three_forms() {
        for (text, budget, shown) in [
            ("1e-3", Budget::Absolute(1e-3), "1e-3"),
            ("0", Budget::Absolute(0.0), "0e0"),
            ("0.1%", Budget::Percent(0.1), "0.1 %"),
            ("2 %", Budget::Percent(2.0), "2 %"),
            ("0.00001%", Budget::Percent(1e-5), "1e-5 %"),
            ("60dB", Budget::Decibels(60.0), "60 dB"),
            ("60.5 dB", Budget::Decibels(60.5), "60.5 dB"),
        ] {
            assert_eq!(Budget::parse(text), Ok(budget));
            assert_eq!(budget.to_string(), shown);
            assert_eq!(Budget::parse(&budget.argument()), Ok(budget));
        }
        for wrong in ["", "%", "dB", "none", "-1", "NaN", "inf", "1e999", "1e-3f", "60 db", "1%%"] {
            assert_eq!(Budget::parse(wrong), Err(FORMS.to_string()), "{wrong}");
        }
    }

    #[test]
    fn the_worst_output_decides() {
        let errors = [OutputError::new("a", 1e-3, 1.0, Some(70.0)), OutputError::new("b", 2e-3, 100.0, Some(60.0))];
        let excess = |text: &str| Budget::parse(text).expect("a budget").excess(&errors);
        for met in ["2e-3", "0.1%", "60dB"] {
            assert_eq!(excess(met), None);
        }
        assert_eq!(excess("1.9e-3").as_deref(), Some("`b` is off by 2.00e-3, and 1.9e-3 is allowed"));
        assert_eq!(excess("0.09%").as_deref(), Some("`a` is off by 0.1 % of its largest value, and 0.09 % is allowed"));
        assert_eq!(excess("61dB").as_deref(), Some("`b` has 60.0 dB of signal over noise, and 61 dB are asked for"));
        let exact = [OutputError::new("a", 0.0, 0.0, None)];
        assert_eq!(Budget::Absolute(0.0).excess(&exact), None);
        assert_eq!(Budget::Decibels(300.0).excess(&exact), None);
        for budget in [Budget::Absolute(1e9), Budget::Percent(1e9), Budget::Decibels(0.0)] {
            assert!(budget.excess(&[OutputError::no_number("a")]).is_some(), "{budget}");
        }
    }

    #[test]
    fn what_is_kept_promises_no_more_than_was_measured() {
        let error = OutputError::new("out 0", 1.234_1e-6, 0.5, Some(141.27));
        assert_eq!(error.promised().line(), "1.24e-6 2.47e-4% 141.2dB out 0");
        let exact = OutputError::new("a", 0.0, 1.0, None);
        assert_eq!(exact.promised().line(), "0e0 0e0% exact a");
        for error in [error.promised(), exact] {
            assert_eq!(error.promised(), error);
            assert_eq!(OutputError::parse(&error.line()), Some(error));
        }
        for (value, up) in [(1e-3, 1e-3), (1.000_1e-3, 1.01e-3), (9.991e5, 1e6), (9.999e-9, 1e-8), (0.0, 0.0)] {
            assert_eq!(rounded_up(value), up);
        }
        for wrong in ["", "1 2% 3dB", "1 2 3dB a", "1 2% 3 a", "x 2% 3dB a"] {
            assert_eq!(OutputError::parse(wrong), None, "{wrong}");
        }
    }
}
