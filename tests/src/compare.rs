//! When an output passes for the expected one.

use crate::npy::Tensor;

/// How far a value may lie from the expected one: `absolute + relative * |expected|`. Both 0 ask for equal numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// In the unit of the values.
    pub absolute: f64,
    /// In parts of the expected value's magnitude.
    pub relative: f64,
}

impl Tolerance {
    /// Equal numbers, or NaN for NaN.
    pub const EXACT: Self = Self { absolute: 0.0, relative: 0.0 };

    /// Whether `got` passes for `want`: equal, both NaN, or both finite and near enough.
    pub fn allows(self, got: f64, want: f64) -> bool {
        let same = got == want || (got.is_nan() && want.is_nan());
        same || (want.is_finite() && (got - want).abs() <= self.absolute + self.relative * want.abs())
    }
}

/// Compares every value; on success the largest absolute difference.
///
/// # Errors
///
/// A sentence with the number of values off and the worst of them, or the shapes where they differ.
pub fn compare(got: &Tensor, want: &Tensor, tolerance: Tolerance) -> Result<f64, String> {
    if got.shape != want.shape {
        return Err(format!("shape {:?}, want {:?}", got.shape, want.shape));
    }
    let (mut largest, mut off, mut worst) = (0.0_f64, 0, None);
    for index in 0..want.words.len() {
        let (value, expected) = (got.number(index), want.number(index));
        let difference = difference(value, expected);
        largest = largest.max(difference);
        if !tolerance.allows(value, expected) {
            off += 1;
            if worst.is_none_or(|(_, most)| difference > most) {
                worst = Some((index, difference));
            }
        }
    }
    let Some((index, _)) = worst else { return Ok(largest) };
    let place = coordinates(index, &want.shape);
    let (value, expected) = (got.number(index), want.number(index));
    Err(format!("{off}/{} values off; worst at {place:?}: got {value:.9e} want {expected:.9e}", want.words.len()))
}

/// The distance of two values; infinite where only one of them is NaN or they are different infinities.
fn difference(got: f64, want: f64) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let difference = (got - want).abs();
    if difference.is_nan() { f64::INFINITY } else { difference }
}

/// The coordinates of value number `index` in C order.
fn coordinates(index: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = index;
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let coordinate = rest % size;
            rest /= size;
            coordinate
        })
        .collect();
    place.reverse();
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::Type;

    fn row(values: &[f32]) -> Tensor {
        Tensor::from_values(&[1, values.len()], values)
    }

    #[test]
    fn the_bound_is_absolute_plus_relative() {
        let tolerance = Tolerance { absolute: 0.5, relative: 0.25 };
        assert_eq!(compare(&row(&[4.0, 5.5]), &row(&[4.0, 4.0]), tolerance), Ok(1.5));
        let message = compare(&row(&[4.0, 5.625, 2.0]), &row(&[4.0, 4.0, 4.0]), tolerance).unwrap_err();
        assert_eq!(message, "2/3 values off; worst at [0, 2]: got 2.000000000e0 want 4.000000000e0");
    }

    #[test]
    fn exact_means_equal_numbers() {
        assert_eq!(compare(&row(&[0.0, f32::NAN]), &row(&[-0.0, -f32::NAN]), Tolerance::EXACT), Ok(0.0));
        assert!(compare(&row(&[1.0]), &row(&[1.0_f32.next_up()]), Tolerance::EXACT).is_err());
    }

    #[test]
    fn no_tolerance_reaches_infinity_or_nan() {
        let tolerance = Tolerance { absolute: 1e30, relative: 1.0 };
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0];
        for (g, &got) in special.iter().enumerate() {
            for (w, &want) in special.iter().enumerate() {
                assert_eq!(compare(&row(&[got]), &row(&[want]), tolerance).is_ok(), g == w, "got {got} want {want}");
            }
        }
    }

    #[test]
    fn shapes_are_part_of_it() {
        let message = compare(&Tensor::from_values(&[2], &[0.0; 2]), &row(&[0.0; 2]), Tolerance::EXACT).unwrap_err();
        assert_eq!(message, "shape [2], want [1, 2]");
        let empty = Tensor::from_values(&[0], &[]);
        assert_eq!(compare(&empty, &empty, Tolerance::EXACT), Ok(0.0));
    }

    #[test]
    fn numbers_are_compared_whatever_their_type() {
        let integers = Tensor::new(&[1, 2], Type::Integer, vec![3, u32::MAX]);
        assert_eq!(compare(&row(&[3.0, -1.0]), &integers, Tolerance::EXACT), Ok(0.0));
    }
}
