//! What is said about the distance between numbers that were computed and those that were meant.

use serde::{Deserialize, Serialize};

/// The largest number of IEEE-754 half precision.
pub const LARGEST_F16: f64 = 65504.0;

/// What half precision rounds to zero: half its smallest denormal, and less.
const FLUSHED_F16: f64 = 1.0 / 33_554_432.0;

/// The first class of units in the last place goes up to this power of two; exact values are a class before it.
const FIRST_CLASS: i32 = -1;

/// The last one holds everything from this power of two on.
const LAST_CLASS: i32 = 20;

/// How many classes there are.
const CLASSES: usize = (LAST_CLASS - FIRST_CLASS + 2) as usize;

/// The least power of two that has a class of magnitude.
const LEAST_EXPONENT: i32 = -1023;

/// The distance of computed values from those that were meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Values compared.
    pub elements: u64,
    /// The largest difference.
    pub max_abs: f64,
    /// The largest difference in units of the last place of the `f32` next to the value that was meant.
    pub max_ulp: f64,
    /// Ten times the decimal logarithm of the energy of the values over that of the differences; none where nothing
    /// differs.
    pub snr_db: Option<f64>,
    /// The cosine of the angle between computed and meant values, as vectors; none where either is zero.
    pub cosine: Option<f64>,
    /// The largest magnitude that was meant.
    pub largest: f64,
    /// NaNs among the computed values.
    pub nan: u64,
    /// Infinities among the computed values.
    pub infinite: u64,
    /// Values where only one of the two is a number, or the infinities differ; the figures above leave them out.
    pub mismatched: u64,
}

/// Differences of one size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Binade {
    /// Values of that magnitude.
    pub elements: u64,
    /// Their largest difference.
    pub max_abs: f64,
    /// The sum of the squares of their differences.
    pub energy: f64,
}

/// Differences being gathered.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    figures: Figures,
    signal: f64,
    noise: f64,
    computed: f64,
    product: f64,
    flushed: u64,
    nonzero: u64,
    /// How many values differ by no more than so many units in the last place: exactly, up to 1/2, up to 1, up to 2...
    ulps: [u64; CLASSES],
    /// By the binary exponent of the value that was meant, from [`LEAST_EXPONENT`] as far as there are any.
    binades: Vec<Binade>,
}

impl Errors {
    /// Adds the comparison of one value.
    pub fn add(&mut self, got: f64, want: f64) {
        let figures = &mut self.figures;
        figures.elements += 1;
        figures.nan += u64::from(got.is_nan());
        figures.infinite += u64::from(got.is_infinite());
        if !got.is_finite() || !want.is_finite() {
            let same = got == want || (got.is_nan() && want.is_nan());
            figures.mismatched += u64::from(!same);
            return;
        }
        let difference = (got - want).abs();
        let ulps = difference / unit_in_the_last_place(want);
        figures.max_abs = figures.max_abs.max(difference);
        figures.max_ulp = figures.max_ulp.max(ulps);
        figures.largest = figures.largest.max(want.abs());
        self.signal += want * want;
        self.noise += difference * difference;
        self.computed += got * got;
        self.product += got * want;
        self.ulps[class(ulps)] += 1;
        if want != 0.0 {
            self.nonzero += 1;
            self.flushed += u64::from(want.abs() <= FLUSHED_F16);
            let place = (exponent(want) - LEAST_EXPONENT) as usize;
            if self.binades.len() <= place {
                self.binades.resize(place + 1, Binade::default());
            }
            let binade = &mut self.binades[place];
            binade.elements += 1;
            binade.max_abs = binade.max_abs.max(difference);
            binade.energy += difference * difference;
        }
    }

    /// Adds the comparison of many values.
    pub fn add_all(&mut self, got: &[f64], want: &[f64]) {
        got.iter().zip(want).for_each(|(got, want)| self.add(*got, *want));
    }

    /// What has come together.
    pub fn figures(&self) -> Figures {
        let norms = (self.computed * self.signal).sqrt();
        Figures {
            snr_db: (self.noise > 0.0).then(|| 10.0 * (self.signal / self.noise).max(f64::MIN_POSITIVE).log10()),
            cosine: (norms > 0.0).then(|| (self.product / norms).clamp(-1.0, 1.0)),
            ..self.figures.clone()
        }
    }

    /// The classes of units in the last place that have values: up to how many units each goes, and its values.
    pub fn ulp_classes(&self) -> impl Iterator<Item = (f64, u64)> {
        let end = |class: usize| if class == 0 { 0.0 } else { 2.0_f64.powi(class as i32 - 1 + FIRST_CLASS) };
        self.ulps
            .iter()
            .enumerate()
            .filter(|(_, values)| **values > 0)
            .map(move |(class, values)| (end(class), *values))
    }

    /// The powers of two from which there are values, up to the next one, and what is known of those.
    pub fn binades(&self) -> impl Iterator<Item = (i32, Binade)> {
        let filled = (LEAST_EXPONENT..).zip(&self.binades).filter(|(_, binade)| binade.elements > 0);
        filled.map(|(exponent, binade)| (exponent, *binade))
    }

    /// How the meant values would fit into half precision.
    pub fn range(&self) -> HalfRange {
        let share = if self.nonzero == 0 { 0.0 } else { self.flushed as f64 / self.nonzero as f64 };
        HalfRange::new(self.figures.largest, share)
    }
}

/// How values fit into half precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct HalfRange {
    /// How many times the largest magnitude fits below 65504; none where all values are zero.
    pub headroom: Option<f64>,
    /// The share of the values other than zero that half precision rounds to zero.
    pub flushed: f64,
}

impl HalfRange {
    fn new(largest: f64, flushed: f64) -> Self {
        Self { headroom: (largest > 0.0).then(|| LARGEST_F16 / largest), flushed }
    }

    /// Of these values.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut largest, mut nonzero, mut flushed) = (0.0_f64, 0_u64, 0_u64);
        for value in values.filter(|value| *value != 0.0) {
            largest = largest.max(value.abs());
            nonzero += 1;
            flushed += u64::from(value.abs() <= FLUSHED_F16);
        }
        Self::new(largest, flushed as f64 / nonzero.max(1) as f64)
    }
}

/// The distance between neighbouring `f32` numbers at a value.
pub fn unit_in_the_last_place(value: f64) -> f64 {
    const SMALLEST_NORMAL: i32 = -126;
    const PRECISION: i32 = 23;
    let exponent = if value == 0.0 { SMALLEST_NORMAL } else { exponent(value).max(SMALLEST_NORMAL) };
    f64::from_bits(((exponent - PRECISION - LEAST_EXPONENT) as u64) << 52)
}

/// The power of two at or below a magnitude.
fn exponent(value: f64) -> i32 {
    (value.abs().to_bits() >> 52) as i32 + LEAST_EXPONENT
}

/// The class of a number of units in the last place.
fn class(ulps: f64) -> usize {
    if ulps == 0.0 {
        return 0;
    }
    let is_power = ulps.to_bits().trailing_zeros() >= 52;
    let end = exponent(ulps) + i32::from(!is_power);
    (end.clamp(FIRST_CLASS, LAST_CLASS) - FIRST_CLASS + 1) as usize
}

/// How often two classifiers choose alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Samples compared.
    pub samples: u64,
    /// Samples whose largest values stand at the same place.
    pub argmax: u64,
    /// Samples whose five largest values stand at the same places, in any order.
    pub top5: u64,
}

impl Agreement {
    /// Adds one sample.
    pub fn add(&mut self, got: &[f64], want: &[f64]) {
        let (got, want) = (largest(got, 5), largest(want, 5));
        self.samples += 1;
        self.argmax += u64::from(got.first() == want.first());
        let same = got.len() == want.len() && got.iter().all(|place| want.contains(place));
        self.top5 += u64::from(same);
    }
}

/// The places of the largest values, in descending order, the first of equals first.
pub fn largest(values: &[f64], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::with_capacity(count + 1);
    for place in (0..values.len()).filter(|place| !values[*place].is_nan()) {
        // Most values are below all that are kept.
        let above = |kept: &usize| values[*kept].total_cmp(&values[place]).is_ge();
        if places.len() == count && places.last().is_some_and(above) {
            continue;
        }
        places.insert(places.partition_point(above), place);
        places.truncate(count);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_two_numbers() {
        let mut errors = Errors::default();
        errors.add_all(&[3.0, 4.0 + 2.0_f64.powi(-20)], &[3.0, 4.0]);
        let figures = errors.figures();
        assert_eq!((figures.elements, figures.max_abs, figures.largest), (2, 2.0_f64.powi(-20), 4.0));
        // Floats from 4 to 8 are 2^-21 apart.
        assert_eq!(figures.max_ulp, 2.0);
        let snr = 10.0 * (25.0 * 2.0_f64.powi(40)).log10();
        assert!((figures.snr_db.expect("they differ") - snr).abs() < 1e-9);
        assert!(figures.cosine.expect("neither is zero") > 1.0 - 1e-12);
        assert_eq!(errors.ulp_classes().collect::<Vec<_>>(), [(0.0, 1), (2.0, 1)]);
        assert_eq!(errors.binades().map(|(exponent, _)| exponent).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn classes_end_at_powers_of_two() {
        for (ulps, end) in
            [(0.0, 0.0), (1e-9, 0.5), (0.5, 0.5), (0.51, 1.0), (1.0, 1.0), (3.0, 4.0), (1e9, 1_048_576.0)]
        {
            let mut errors = Errors::default();
            errors.add(1.0 + ulps * f64::from(f32::EPSILON), 1.0);
            assert_eq!(errors.ulp_classes().collect::<Vec<_>>(), [(end, 1)], "{ulps}");
        }
    }

    #[test]
    fn what_is_no_number_is_counted_and_left_out() {
        let mut errors = Errors::default();
        let nan = f64::NAN;
        errors.add_all(&[nan, nan, 1.0, f64::INFINITY, f64::INFINITY], &[nan, 1.0, 1.0, f64::INFINITY, 7.0]);
        let figures = errors.figures();
        assert_eq!((figures.nan, figures.infinite, figures.mismatched), (2, 2, 2));
        assert_eq!((figures.max_abs, figures.snr_db), (0.0, None));
    }

    #[test]
    fn half_precision_has_an_end_on_both_sides() {
        let range = HalfRange::of([0.0, 32752.0, 1e-9, 1.0, 1.0].into_iter());
        assert_eq!((range.headroom, range.flushed), (Some(2.0), 0.25));
    }

    #[test]
    fn the_last_place_of_a_denormal() {
        assert_eq!(unit_in_the_last_place(0.0), f64::from(f32::from_bits(1)));
        assert_eq!(unit_in_the_last_place(1e-45), f64::from(f32::from_bits(1)));
        assert_eq!(unit_in_the_last_place(-1.5), f64::from(f32::EPSILON));
    }

    #[test]
    fn the_largest_values_come_first_and_the_first_of_equals() {
        let values = [1.0, f64::NAN, 3.0, -0.0, 3.0, 0.0, 2.0, 3.0];
        assert_eq!(largest(&values, 1), [2]);
        assert_eq!(largest(&values, 4), [2, 4, 7, 6]);
        assert_eq!(largest(&values, 9), [2, 4, 7, 6, 0, 5, 3]);
        assert_eq!(largest(&[f64::NAN], 5), [0; 0]);
    }

    #[test]
    fn choices_agree() {
        let mut agreement = Agreement::default();
        agreement.add(&[0.1, 0.5, 0.4], &[0.1, 0.4, 0.5]);
        agreement.add(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[5.0, 2.0, 3.0, 4.0, 1.0, 6.0]);
        assert_eq!(agreement, Agreement { samples: 2, argmax: 1, top5: 1 });
    }
}
