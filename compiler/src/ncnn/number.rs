//! Numbers as ncnn's text form reads them (`src/paramdict.cpp`: `vstr_to_int`, `vstr_to_float`, `vstr_fits_float`).
//!
//! ncnn's values are the contract, so the rounding of its home-made conversion is kept to the bit. Must not know what
//! the numbers mean.

/// The longest number ncnn reads, in bytes.
pub(super) const LONGEST: usize = 127;

/// The longest number that releases before 1.0.20261020 read; longer ones were cut and the rest misread.
pub(super) const LONGEST_BEFORE_2026: usize = 15;

/// True when ncnn takes a token for a float: it holds `.`, `e` or `E`.
pub(super) fn is_float(token: &str) -> bool {
    token.contains(['.', 'e', 'E'])
}

/// A decimal integer: a sign at most, then digits, within an `i32`.
pub(super) fn integer(token: &str) -> Option<i32> {
    let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    token.parse().ok()
}

/// Why a token is no float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAFloat {
    /// It isn't `[sign] digits [. digits] [e [sign] digits]`.
    Malformed,
    /// It rounds to infinity.
    TooLarge,
}

/// The parts of a decimal literal; every field holds digits only.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    negative_exponent: bool,
    exponent: &'a str,
}

/// Splits leading digits off.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Splits a sign off; true when it is negative.
fn sign(text: &str) -> (bool, &str) {
    (text.starts_with('-'), text.strip_prefix(['+', '-']).unwrap_or(text))
}

fn split(token: &str) -> Option<Decimal<'_>> {
    let (negative, rest) = sign(token);
    let (whole, rest) = digits(rest);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (negative_exponent, exponent, rest) = match rest.strip_prefix(['e', 'E']) {
        None => (false, "", rest),
        Some(rest) => {
            let (negative, rest) = sign(rest);
            let (exponent, rest) = digits(rest);
            if exponent.is_empty() {
                return None;
            }
            (negative, exponent, rest)
        }
    };
    rest.is_empty().then_some(Decimal { negative, whole, fraction, negative_exponent, exponent })
}

/// Digits accumulated in double, one rounding per digit, as ncnn does.
fn accumulate(digits: &str) -> f64 {
    digits.bytes().fold(0.0, |value, digit| value * 10.0 + f64::from(digit - b'0'))
}

/// The value ncnn gives a float literal: whole and fractional digits accumulated in double, their sum scaled by a power
/// of ten in double, the result rounded to `f32`.
pub(super) fn float(token: &str) -> Result<f32, NotAFloat> {
    let decimal = split(token).ok_or(NotAFloat::Malformed)?;
    let mut value = accumulate(decimal.whole);
    let scale = decimal.fraction.bytes().fold(1.0, |scale, _| scale * 10.0);
    value += accumulate(decimal.fraction) / scale;
    if !decimal.exponent.is_empty() && value != 0.0 {
        let mut exponent =
            decimal.exponent.bytes().fold(0, |all, digit| (all * 10 + u32::from(digit - b'0')).min(1024));
        let (mut scale, mut base) = (1.0, 10.0);
        while exponent > 0 {
            if exponent & 1 == 1 {
                scale *= base;
            }
            exponent >>= 1;
            if exponent > 0 {
                base *= base;
            }
        }
        value = if decimal.negative_exponent { value / scale } else { value * scale };
    }
    if value >= f64::from(f32::MAX) {
        // Doubles are too coarse to tell the two sides of the border apart; the decimal isn't, and f32's own
        // conversion rounds it correctly.
        if token.parse::<f32>().map_or(true, f32::is_infinite) {
            return Err(NotAFloat::TooLarge);
        }
        value = f64::from(f32::MAX);
    }
    Ok(if decimal.negative { -value as f32 } else { value as f32 })
}

/// A literal that [`float`] reads as exactly this value, as short as can be found; none for NaN and infinities.
pub(super) fn literal(value: f32) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let reads_back = |text: &String| is_float(text) && float(text).is_ok_and(|read| read.to_bits() == value.to_bits());
    let shortest = [format!("{value:?}"), format!("{value:e}")];
    let longer = (1..=17).map(|digits| format!("{value:.digits$e}"));
    shortest.into_iter().chain(longer).filter(|text| text.len() <= LONGEST).find(reads_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_plain() {
        let cases = [("7", Some(7)), ("-233", Some(-233)), ("+1", Some(1)), ("2147483647", Some(i32::MAX))];
        for (token, value) in cases {
            assert_eq!(integer(token), value, "{token}");
        }
        for token in ["", "-", "1 ", "0x10", "2147483648", "-2147483649", "1_000", "--1"] {
            assert_eq!(integer(token), None, "{token}");
        }
        assert_eq!(integer("-2147483648"), Some(i32::MIN));
    }

    #[test]
    fn floats_follow_the_grammar() {
        let cases = [("1.", 1.0), (".5", 0.5), ("-1e2", -100.0), ("+2.5E-1", 0.25), ("0e99999", 0.0), ("1e-9999", 0.0)];
        for (token, value) in cases {
            assert_eq!(float(token), Ok(value), "{token}");
        }
        assert_eq!(float("-0.0").unwrap().to_bits(), (-0.0f32).to_bits());
        for token in [".", "e5", "1e", "1e+", "1.5f", "1.2.3", "-", "nan.", "1e5e5", ""] {
            assert_eq!(float(token), Err(NotAFloat::Malformed), "{token}");
        }
    }

    #[test]
    fn the_largest_floats_are_told_from_infinity() {
        assert_eq!(float("3.4028235e38"), Ok(f32::MAX));
        assert_eq!(float("340282356779733661637539395458142568447.0"), Ok(f32::MAX));
        assert_eq!(float("340282356779733661637539395458142568448.0"), Err(NotAFloat::TooLarge));
        assert_eq!(float("1e400"), Err(NotAFloat::TooLarge));
        assert_eq!(float("-1e39"), Err(NotAFloat::TooLarge));
    }

    #[test]
    fn rounding_is_ncnns_not_the_nearest() {
        // Two roundings (to double, then to f32) meet just beside a tie: ncnn's value is the even neighbour.
        let token = "1.00000005960464477540";
        assert_eq!(token.parse::<f32>().unwrap().to_bits(), 0x3f80_0001);
        assert_eq!(float(token).unwrap().to_bits(), 0x3f80_0000);
    }

    /// Decimals beside the middle of two floats, with the bits ncnn 1.0.20261020 reads them as (each printed by a net
    /// with one BinaryOp that multiplies 1 by the literal). The nearest float is another one each time.
    #[test]
    fn rounding_equals_ncnns() {
        let cases = [
            ("7.980427638707745e-14", 0x29b3_b408),
            ("7.481159738058221556068e-15", 0x2806_c4c2),
            ("3.8915030658245086669533e-1", 0x3ec7_3eb6),
            ("22489068886414065664.22", 0x5f9c_0c9c),
            ("361920.359374999999999638080", 0x48b0_b80c),
            ("12139743616402718721.2140", 0x5f28_7908),
        ];
        for (token, bits) in cases {
            assert_eq!(float(token).map(f32::to_bits), Ok(bits), "{token}");
            assert_ne!(token.parse::<f32>().map(f32::to_bits), Ok(bits), "{token} tells nothing");
        }
    }

    #[test]
    fn literals_read_back() {
        let mut bits = 1u32;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
            let value = f32::from_bits(bits);
            if value.is_finite() {
                let text = literal(value).unwrap_or_else(|| panic!("{value:e} has no literal"));
                assert_eq!(float(&text).unwrap().to_bits(), bits, "{text}");
            } else {
                assert_eq!(literal(value), None);
            }
        }
    }
}
