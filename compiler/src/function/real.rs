//! Double-precision meanings that the standard library lacks, for error reports only.

/// `erf(x)`, to about 1e-15 relative.
pub(super) fn error_function(x: f64) -> f64 {
    if x.is_nan() || x == 0.0 {
        return x;
    }
    // From here on it rounds to 1.
    if x.abs() > 6.0 {
        return 1f64.copysign(x);
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
    // Below half the least positive number.
    if x > 28.0 {
        return 0.0;
    }
    let fraction = (1..=80).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x * x).exp() / fraction * (std::f64::consts::FRAC_2_SQRT_PI / 2.0)
}

/// `erfc(x)`, to about 1e-15 relative wherever it is not denormal.
fn complementary_error_function(x: f64) -> f64 {
    if x > 2.5 { complementary_tail(x) } else { 1.0 - error_function(x) }
}

/// `x / 2 erfc(-x / sqrt(2))`.
pub(super) fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return -0.0;
    }
    0.5 * x * complementary_error_function(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// `x tanh(log(1 + exp(x)))`.
pub(super) fn mish(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return -0.0;
    }
    x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh()
}

/// `acosh(x)`; the standard library's loses digits next to 1.
pub(super) fn area_cosine(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { (x - 1.0 + ((x - 1.0) * (x + 1.0)).sqrt()).ln_1p() }
}

/// IEEE-754's remainder, exact: `x - n y` with n the integer nearest to `x / y`, even in a tie.
pub(super) fn remainder(x: f64, y: f64) -> f64 {
    let y = y.abs();
    // After this, the quotient is below 2 and its parity that of n.
    let rest = if y < f64::MAX / 2.0 { x.abs() % (2.0 * y) } else { x.abs() % f64::INFINITY };
    if rest.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let n = if rest + rest > 3.0 * y {
        2.0
    } else if rest + rest > y {
        if rest + rest == 3.0 * y { 2.0 } else { 1.0 }
    } else {
        0.0
    };
    let rest = if n == 0.0 { rest } else { rest - n * y };
    if x.is_sign_negative() { -rest } else { rest }
}

/// `log(exp(x) + exp(y))`.
pub(super) fn logarithm_of_sum(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let (lesser, greater) = if x < y { (x, y) } else { (y, x) };
    if greater.is_infinite() { greater } else { greater + (lesser - greater).exp().ln_1p() }
}
