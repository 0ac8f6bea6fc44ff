//! Vector words: what portable kernels are made of. `N` lanes of 32 bits in an array; scalars have one lane. Sums in double
//! precision have half as many lanes of 64 bits.
//!
//! One function per instruction of the compiler's table, under the name it has there, with the same bits, and one to load
//! and one to store for each of its formats. Nothing here calls a mathematical library: what `core` lacks (fused
//! multiply-add, square root, rounding, half precision) is done exactly in integers and double precision, so the bits are
//! the same on every machine and without `std`.

/// Defines functions from rows `name(operands) => meaning`, a lane at a time.
macro_rules! instructions {
    (
        large { $($lname:ident($($lop:ident),+) => $llane:expr;)* }
        float { $($fname:ident($($fop:ident),+) => $flane:expr;)* }
        mask { $($mname:ident($($mop:ident),+) => $mlane:expr;)* }
        word { $($wname:ident($($wop:ident),+) => $wlane:expr;)* }
    ) => {
        $(instructions!(@function
            #[cfg_attr(all(feature = "std", any(target_feature = "fma", target_arch = "aarch64")), inline(always))]
            #[cfg_attr(not(all(feature = "std", any(target_feature = "fma", target_arch = "aarch64"))), inline(never))]
            $lname($($lop),+) => {
                $(let $lop = f32::from_bits($lop);)+
                f32::to_bits($llane)
            }
        );)*
        $(instructions!(@function #[inline(always)] $fname($($fop),+) => {
            $(let $fop = f32::from_bits($fop);)+
            f32::to_bits($flane)
        });)*
        $(instructions!(@function #[inline(always)] $mname($($mop),+) => {
            $(let $mop = f32::from_bits($mop);)+
            if $mlane { u32::MAX } else { 0 }
        });)*
        $(instructions!(@function #[inline(always)] $wname($($wop),+) => $wlane);)*

        /// Calls the instruction called `name` on single lanes; `None` if there is none. For tests of this table.
        pub fn by_name(name: &str, operands: &[u32]) -> Option<u32> {
            $(instructions!(@named name operands $lname($($lop),+));)*
            $(instructions!(@named name operands $fname($($fop),+));)*
            $(instructions!(@named name operands $mname($($mop),+));)*
            $(instructions!(@named name operands $wname($($wop),+));)*
            None
        }
    };
    (@function $(#[$inline:meta])+ $name:ident($($operand:ident),+) => $lane:expr) => {
        #[doc = concat!("`", stringify!($name), "`, lane by lane.")]
        $(#[$inline])+
        #[must_use]
        pub fn $name<const N: usize>($($operand: [u32; N]),+) -> [u32; N] {
            let mut result = [0; N];
            let mut lane = 0;
            while lane < N {
                result[lane] = {
                    $(let $operand = $operand[lane];)+
                    $lane
                };
                lane += 1;
            }
            result
        }
    };
    (@named $text:ident $operands:ident $name:ident($($operand:ident),+)) => {
        if $text == stringify!($name) {
            let [$($operand),+] = $operands.try_into().ok()?;
            let [result] = $name($([$operand]),+);
            return Some(result);
        }
    };
}

instructions! {
    // In software this is long: in line, it makes up nearly all of a kernel and takes rustc seven times as long.
    large {
        fma(a, b, c) => fused_multiply_add(a, b, c);
    }
    float {
        add(a, b) => a + b;
        sub(a, b) => a - b;
        mul(a, b) => a * b;
        div(a, b) => a / b;
        sqrt(a) => square_root(a);
        neg(a) => -a;
        abs(a) => a.abs();
        max(a, b) => if a > b { a } else { b };
        min(a, b) => if a < b { a } else { b };
        floor(a) => round_down(a);
        ceil(a) => -round_down(-a);
        trunc(a) => round_down(a.abs()).copysign(a);
        round_even(a) => round_to_even(a);
    }
    mask {
        lt(a, b) => a < b;
        le(a, b) => a <= b;
        eq(a, b) => a == b;
        ordered(a, b) => !a.is_nan() && !b.is_nan();
    }
    word {
        select(mask, a, b) => (mask & a) | (!mask & b);
        and(a, b) => a & b;
        or(a, b) => a | b;
        xor(a, b) => a ^ b;
        iadd(a, b) => a.wrapping_add(b);
        isub(a, b) => a.wrapping_sub(b);
        imul(a, b) => a.wrapping_mul(b);
        shl(a, b) => a << (b & 31);
        shr(a, b) => a >> (b & 31);
        sar(a, b) => (a.cast_signed() >> (b & 31)).cast_unsigned();
        ilt(a, b) => if a.cast_signed() < b.cast_signed() { u32::MAX } else { 0 };
        ieq(a, b) => if a == b { u32::MAX } else { 0 };
        to_integer(a) => (f32::from_bits(a) as i32).cast_unsigned();
        from_integer(a) => (a.cast_signed() as f32).to_bits();
    }
}

/// The words at `buffer + at`.
///
/// # Safety
/// They lie within the buffer, and nobody writes them meanwhile.
#[inline(always)]
pub unsafe fn load<const N: usize>(buffer: *const u32, at: i64) -> [u32; N] {
    // SAFETY: as promised by the caller; words are only known to be aligned as words.
    unsafe { buffer.offset(at as isize).cast::<[u32; N]>().read() }
}

/// Stores words at `buffer + at`.
///
/// # Safety
/// They lie within the buffer, and nobody else reads or writes them meanwhile.
#[inline(always)]
pub unsafe fn store<const N: usize>(buffer: *mut u32, at: i64, words: [u32; N]) {
    // SAFETY: as promised by the caller.
    unsafe { buffer.offset(at as isize).cast::<[u32; N]>().write(words) }
}

/// Defines how elements of 16 bits are loaded and stored.
macro_rules! formats {
    ($($load:ident $store:ident $text:literal $widen:ident $narrow:ident;)*) => { $(
        #[doc = concat!("The elements at `buffer + at`, ", $text, ", as floats.")]
        ///
        /// # Safety
        /// They lie within the buffer, and nobody writes them meanwhile.
        #[inline(always)]
        pub unsafe fn $load<const N: usize>(buffer: *const u16, at: i64) -> [u32; N] {
            // SAFETY: as promised by the caller; elements are only known to be aligned as elements.
            let elements = unsafe { buffer.offset(at as isize).cast::<[u16; N]>().read() };
            let mut result = [0; N];
            let mut lane = 0;
            while lane < N {
                result[lane] = $widen(elements[lane]);
                lane += 1;
            }
            result
        }

        #[doc = concat!("Stores floats as elements at `buffer + at`, ", $text, ".")]
        ///
        /// # Safety
        /// They lie within the buffer, and nobody else reads or writes them meanwhile.
        #[inline(always)]
        pub unsafe fn $store<const N: usize>(buffer: *mut u16, at: i64, words: [u32; N]) {
            let mut elements = [0; N];
            let mut lane = 0;
            while lane < N {
                elements[lane] = $narrow(words[lane]);
                lane += 1;
            }
            // SAFETY: as promised by the caller.
            unsafe { buffer.offset(at as isize).cast::<[u16; N]>().write(elements) }
        }
    )* };
}

formats! {
    load_f16 store_f16 "in half precision" widen_f16 narrow_f16;
    load_bf16 store_bf16 "in bfloat16" widen_bf16 narrow_bf16;
}

/// A number in half precision as a float, exactly.
#[inline(always)]
#[must_use]
pub fn widen_f16(element: u16) -> u32 {
    let (sign, magnitude) = (u32::from(element & 0x8000) << 16, u32::from(element & 0x7fff));
    // The exponents' biases differ by 112. Infinity and NaN keep the largest exponent there is.
    let beyond = if magnitude >= 0x7c00 { 0x7000_0000 } else { 0x3800_0000 };
    let normal = (magnitude << 13) + beyond;
    // Subnormal numbers are multiples of 2^-24, and small integers are exact.
    let subnormal = (magnitude as f32 * f32::from_bits(0x3380_0000)).to_bits();
    sign | if magnitude < 0x400 { subnormal } else { normal }
}

/// A float as the nearest number in half precision, ties to even; too large a number becomes infinity.
#[inline(always)]
#[must_use]
pub fn narrow_f16(word: u32) -> u16 {
    /// From here on up: infinity, and behind it NaN.
    const INFINITY: u32 = 0x7f80_0000;
    /// The smallest normal number, 2^-14.
    const NORMAL: u32 = 0x3880_0000;
    /// Half way between the largest number and what would follow it, 65520.
    const TOO_LARGE: u32 = 0x477f_f000;
    let (sign, magnitude) = ((word >> 16 & 0x8000) as u16, word & 0x7fff_ffff);
    // Half of the last place, less where the bit that stays is even; the carry goes where it must.
    let normal = (magnitude.wrapping_sub(0x3800_0000).wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13) as u16;
    // The last place of 0.5 is 2^-24, that of every subnormal number: the sum rounds as it should.
    let subnormal = ((f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000)) as u16;
    sign | if magnitude > INFINITY {
        0x7e00
    } else if magnitude >= TOO_LARGE {
        0x7c00
    } else if magnitude < NORMAL {
        subnormal
    } else {
        normal
    }
}

/// A number in bfloat16 as a float, exactly.
#[inline(always)]
#[must_use]
pub fn widen_bf16(element: u16) -> u32 {
    u32::from(element) << 16
}

/// A float as the nearest number in bfloat16, ties to even; too large a number becomes infinity.
#[inline(always)]
#[must_use]
pub fn narrow_bf16(word: u32) -> u16 {
    let rounded = word.wrapping_add(0x7fff + (word >> 16 & 1));
    let is_nan = word & 0x7fff_ffff > 0x7f80_0000;
    ((if is_nan { word | 0x40_0000 } else { rounded }) >> 16) as u16
}

/// A scalar in every lane.
#[inline(always)]
#[must_use]
pub fn splat<const N: usize>([word]: [u32; 1]) -> [u32; N] {
    [word; N]
}

/// `M` lanes in double precision, exactly: this one of the parts of so many lanes.
#[inline(always)]
#[must_use]
pub fn widen<const N: usize, const M: usize>(words: [u32; N], part: usize) -> [f64; M] {
    let mut result = [0.0; M];
    let mut lane = 0;
    while lane < M {
        result[lane] = f64::from(f32::from_bits(words[part * M + lane]));
        lane += 1;
    }
    result
}

/// `a * b + c` in double precision, where the product is exact.
#[inline(always)]
#[must_use]
pub fn multiply_add<const N: usize>(a: [f64; N], b: [f64; N], c: [f64; N]) -> [f64; N] {
    let mut result = [0.0; N];
    let mut lane = 0;
    while lane < N {
        result[lane] = a[lane] * b[lane] + c[lane];
        lane += 1;
    }
    result
}

/// `a + b` in double precision.
#[inline(always)]
#[must_use]
pub fn add_doubles<const N: usize>(a: [f64; N], b: [f64; N]) -> [f64; N] {
    let mut result = [0.0; N];
    let mut lane = 0;
    while lane < N {
        result[lane] = a[lane] + b[lane];
        lane += 1;
    }
    result
}

/// The floats nearest to `N` doubles, which are given in parts.
#[inline(always)]
#[must_use]
pub fn narrow<const M: usize, const N: usize>(parts: &[[f64; M]]) -> [u32; N] {
    let mut result = [0; N];
    let mut lane = 0;
    while lane < N {
        result[lane] = (parts[lane / M][lane % M] as f32).to_bits();
        lane += 1;
    }
    result
}

/// Lane `i` gets lane `i + distance`, counted round.
#[inline(always)]
#[must_use]
pub fn rotate<T: Copy, const N: usize>(lanes: [T; N], distance: usize) -> [T; N] {
    let mut result = lanes;
    let mut lane = 0;
    while lane < N {
        result[lane] = lanes[(lane + distance) % N];
        lane += 1;
    }
    result
}

/// Whether `0 <= index < extent`: all ones or zero.
#[inline(always)]
#[must_use]
pub fn within(index: i64, extent: i64) -> [u32; 1] {
    [if index >= 0 && index < extent { u32::MAX } else { 0 }]
}

/// `a * b + c`, rounded once.
#[cfg(all(feature = "std", any(target_feature = "fma", target_arch = "aarch64")))]
#[inline(always)]
fn fused_multiply_add(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// `a * b + c`, rounded once.
#[cfg(not(all(feature = "std", any(target_feature = "fma", target_arch = "aarch64"))))]
#[inline(always)]
fn fused_multiply_add(a: f32, b: f32, c: f32) -> f32 {
    software_fused_multiply_add(a, b, c)
}

/// `a * b + c`, rounded once, without the instruction.
///
/// The product of two floats is exact in double precision, and so is the error of the sum (Knuth's two-sum; nothing can
/// overflow or underflow there). The sum is rounded to odd: where it is inexact, its last bit is set, so that rounding
/// it to single precision, which drops at least two more bits, gives what rounding the exact value would (Boldo and
/// Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
#[cfg_attr(all(feature = "std", any(target_feature = "fma", target_arch = "aarch64")), cfg(test))]
#[inline(always)]
fn software_fused_multiply_add(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let rest = sum - product;
    let error = (product - (sum - rest)) + (c - rest);
    let bits = sum.to_bits();
    // The exact value lies above `sum` in magnitude when the error has its sign. Infinities and NaNs have an error of
    // NaN, which is neither above nor below zero.
    let inexact = error.abs() > 0.0;
    let outwards = (error.to_bits() ^ bits) >> 63 == 0;
    let even = bits & 1 == 0;
    let odd = if outwards { bits | 1 } else { bits.wrapping_sub(1) };
    f64::from_bits(if inexact && even { odd } else { bits }) as f32
}

/// The square root, rounded once; NaN below zero.
#[cfg(feature = "std")]
#[inline(always)]
fn square_root(a: f32) -> f32 {
    a.sqrt()
}

/// The square root, rounded once; NaN below zero.
#[cfg(not(feature = "std"))]
#[inline(always)]
fn square_root(a: f32) -> f32 {
    software_square_root(a)
}

/// The square root, rounded once, in integers.
#[cfg_attr(feature = "std", cfg(test))]
fn software_square_root(a: f32) -> f32 {
    // Zeros, infinity and NaN are their own roots.
    if a == 0.0 || a.is_nan() || a == f32::INFINITY {
        return a;
    }
    if a < 0.0 {
        return f32::NAN;
    }
    let bits = a.to_bits();
    // `a = mantissa * 2^exponent`; of a subnormal number the exponent is that of the smallest normal one.
    let (mantissa, exponent) = match bits >> 23 {
        0 => (u64::from(bits), -149),
        biased => (u64::from(bits & 0x7f_ffff | 0x80_0000), biased.cast_signed() - 150),
    };
    // Shift to at least 52 bits and an even exponent: the root then has at least 26, two more than a float.
    let shift = mantissa.leading_zeros().cast_signed() - 11;
    let shift = shift + ((exponent - shift) & 1);
    let (mantissa, exponent) = (mantissa << shift, exponent - shift);
    let root = mantissa.isqrt();
    // A last bit that says whether anything was cut off makes the conversion round as for the exact root.
    let sticky = u64::from(root * root != mantissa);
    let rounded = (root << 1 | sticky) as f32;
    // The root of any positive float is a normal number: the scale is a power of two in range, the product exact.
    rounded * f32::from_bits(((exponent / 2 - 1 + 127).cast_unsigned()) << 23)
}

/// Rounded to the nearest integer, ties to even.
#[inline(always)]
fn round_to_even(a: f32) -> f32 {
    // Adding 2^23 leaves no room for a fraction. Numbers that large, and NaN, are integers already.
    const LARGE: f32 = 8_388_608.0;
    if a.abs() < LARGE { ((a.abs() + LARGE) - LARGE).copysign(a) } else { a }
}

/// Rounded to an integer towards minus infinity.
#[inline(always)]
fn round_down(a: f32) -> f32 {
    let nearest = round_to_even(a);
    if nearest > a { (nearest - 1.0).copysign(a) } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers near every power of two, the extremes and a spread of others: where rounding goes wrong if it does.
    fn numbers() -> impl Iterator<Item = f32> + Clone {
        let edges =
            (0..=255_u32).flat_map(|exponent| [0, 1, 2, 0x40_0000, 0x7f_fffe, 0x7f_ffff].map(|m| exponent << 23 | m));
        edges.flat_map(|bits| [bits, bits | 0x8000_0000]).map(f32::from_bits)
    }

    /// Any bits at all, the same in every run (splitmix64).
    fn random() -> impl FnMut() -> f32 {
        let mut state = 1_u64;
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            f32::from_bits((z >> 32) as u32)
        }
    }

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    fn check_fused(a: f32, b: f32, c: f32) {
        let (got, expected) = (software_fused_multiply_add(a, b, c), a.mul_add(b, c));
        assert!(same(got, expected), "fma({a:e}, {b:e}, {c:e}) gives {got:e}, not {expected:e}");
    }

    #[test]
    fn fused_multiply_add_is_exact_on_random_bits() {
        let mut next = random();
        for _ in 0..5_000_000 {
            check_fused(next(), next(), next());
        }
    }

    #[test]
    fn fused_multiply_add_is_exact_where_operands_cancel_or_underflow() {
        let mut next = random();
        for _ in 0..2_000_000 {
            let (a, b) = (next(), next());
            let product = a * b;
            // Addends around the product, a little more and a little less, and around half its last place.
            let near = f32::from_bits(product.to_bits().wrapping_add((next().to_bits() % 5).wrapping_sub(2)));
            let half = f32::from_bits(product.to_bits().wrapping_sub(24 << 23));
            let tiny = f32::from_bits(next().to_bits() & 0x807f_ffff);
            for c in [near, -near, half, -half, tiny] {
                check_fused(a, b, c);
            }
        }
    }

    #[test]
    fn fused_multiply_add_is_exact_at_the_edges() {
        let some: std::vec::Vec<f32> = numbers().step_by(17).collect();
        for &a in &some {
            for &b in &some {
                for &c in &some {
                    check_fused(a, b, c);
                }
            }
        }
    }

    #[test]
    fn roots_and_rounding_equal_the_standard_library() {
        let mut next = random();
        for a in numbers().chain(std::iter::repeat_with(&mut next).take(5_000_000)) {
            for (name, got, expected) in [
                ("sqrt", software_square_root(a), a.sqrt()),
                ("floor", f32::from_bits(floor([a.to_bits()])[0]), a.floor()),
                ("ceil", f32::from_bits(ceil([a.to_bits()])[0]), a.ceil()),
                ("trunc", f32::from_bits(trunc([a.to_bits()])[0]), a.trunc()),
                ("round_even", f32::from_bits(round_even([a.to_bits()])[0]), a.round_ties_even()),
            ] {
                assert!(same(got, expected), "{name}({a:e}) gives {got:e}, not {expected:e}");
            }
        }
    }

    #[test]
    fn lanes_keep_their_order() {
        assert_eq!(rotate([1, 2, 3, 4], 1), [2, 3, 4, 1]);
        assert_eq!(splat::<3>([7]), [7, 7, 7]);
        assert_eq!(within(-1, 4), [0]);
        assert_eq!(within(3, 4), [u32::MAX]);
        assert_eq!(within(4, 4), [0]);
        assert_eq!(isub([5, 6], [1, 2]), [4, 4]);
    }
}
