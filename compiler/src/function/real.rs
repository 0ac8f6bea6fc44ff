//! Double-precision meanings that the standard library lacks, for error reports only.

/// `erf(x)`, to about 1e-15 relative.
pub(super) fn error_function(x: f64) -> f64 {
    if x.is_nan() || x == 0.0 {
        return x;
    }
    if x.abs() > 2.5 {
        return (1.0 - complementary_tail(x.abs())).copysign(x);
    }
    // erf(x) = 2/sqrt(pi) exp(-x^2) sum of x (2 x^2)^n / (1 3 5 ... (2n+1)): all terms positive (Abramowitz, Stegun
    // 7.1.6).
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while (term / sum).abs() > 1e-17 {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `erfc(x)` for `x > 2`, by its continued fraction (Abramowitz, Stegun 7.1.14) from the 80th term up.
fn complementary_tail(x: f64) -> f64 {
    let fraction = (1..=80).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x * x).exp() / fraction * (std::f64::consts::FRAC_2_SQRT_PI / 2.0)
}
