//! The table of formats: how an element lies in memory, and how it and a lane of 32 bits become each other.
//!
//! Plans, kernels, interpreters and back ends all read this table, so that a stored number means the same thing, to the
//! bit, wherever it is read or written. Must not know tensors, kernels or targets.
//!
//! Widening is exact. Narrowing rounds to nearest even, keeps subnormal numbers, and gives infinity for what is too large.
//! Every NaN equals every other NaN: which payload comes out is the one thing the table leaves open.

use half::{bf16, f16};

/// Declares the formats from rows `Name "text" bytes, precision (bits) least (exponent) largest, widen(element) => lane,
/// narrow(lane) => element`.
macro_rules! formats {
    ($(
        $(#[$doc:meta])*
        $Name:ident $text:literal $bytes:literal, $precision:literal bits from 2^($least:literal) to $largest:expr,
        widen($element:ident) => $lane:expr, narrow($word:ident) => $narrow:expr;
    )*) => {
        /// How an element lies in memory.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Format { $($(#[$doc])* $Name,)* }

        impl Format {
            /// Every format, in the table's order.
            pub const ALL: &'static [Format] = &[$(Self::$Name,)*];

            /// Its name, for users and in printed plans and kernels.
            pub fn text(self) -> &'static str {
                match self { $(Self::$Name => $text,)* }
            }

            /// Bytes of an element.
            pub fn bytes(self) -> usize {
                match self { $(Self::$Name => $bytes,)* }
            }

            /// Bits of precision of a number that is not subnormal.
            fn precision(self) -> i32 {
                match self { $(Self::$Name => $precision,)* }
            }

            /// The exponent of its smallest number above zero, a power of two.
            fn least_exponent(self) -> i32 {
                match self { $(Self::$Name => $least,)* }
            }

            /// Its largest number.
            pub fn largest(self) -> f64 {
                match self { $(Self::$Name => f64::from($largest),)* }
            }

            /// The lane that an element, in the low bits, is read as. This is the definition of a load.
            #[inline(always)]
            pub fn widen(self, element: u32) -> u32 {
                match self { $(Self::$Name => { let $element = element; $lane })* }
            }

            /// The element, in the low bits, that a lane is written as. This is the definition of a store.
            #[inline(always)]
            pub fn narrow(self, lane: u32) -> u32 {
                match self { $(Self::$Name => { let $word = lane; $narrow })* }
            }
        }
    };
}

formats! {
    /// 32 bits as they are: a float, or an integer.
    #[default]
    Word "f32" 4, 24 bits from 2^(-149) to f32::MAX, widen(element) => element, narrow(lane) => lane;
    /// IEEE-754 half precision: 11 bits of precision, from 6e-8 to 65504.
    F16 "f16" 2, 11 bits from 2^(-24) to f16::MAX, widen(element) => f16::from_bits(element as u16).to_f32().to_bits(),
        narrow(lane) => u32::from(f16::from_f32(f32::from_bits(lane)).to_bits());
    /// The high half of a float: 8 bits of precision, the range of a float.
    Bf16 "bf16" 2, 8 bits from 2^(-133) to bf16::MAX, widen(element) => element << 16,
        narrow(lane) => u32::from(bf16::from_f32(f32::from_bits(lane)).to_bits());
}

impl Format {
    /// The format users call so.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.text() == text)
    }

    /// Whether an element takes less than a word.
    pub fn is_narrow(self) -> bool {
        self != Self::Word
    }

    /// What is read back after a lane has been stored.
    pub fn round(self, lane: u32) -> u32 {
        self.widen(self.narrow(lane))
    }

    /// The distance between the format's numbers around a value.
    pub fn step(self, value: f64) -> f64 {
        // The exponent as a double holds it; those of its own subnormal numbers are below any format's.
        let exponent = (value.to_bits() >> 52 & 0x7ff) as i32 - 1023;
        2.0_f64.powi((exponent + 1 - self.precision()).max(self.least_exponent()))
    }

    /// The format's number next to a value, to even between two: what [`Self::round`] is for floats, for doubles.
    pub fn nearest(self, value: f64) -> f64 {
        if !value.is_finite() {
            return value;
        }
        let step = self.step(value);
        let nearest = (value / step).round_ties_even() * step;
        if nearest.abs() > self.largest() { f64::INFINITY.copysign(value) } else { nearest }
    }

    /// Words of memory that so many elements take, the last one filled up.
    pub fn words(self, elements: usize) -> usize {
        (elements * self.bytes()).div_ceil(4)
    }

    /// The element at a place in memory, as a lane. Elements follow one another from the low end of each word.
    pub fn load(self, memory: &[u32], at: usize) -> u32 {
        let (word, shift) = self.place(at);
        self.widen(memory[word] >> shift & self.mask())
    }

    /// Writes a lane as the element at a place in memory.
    pub fn store(self, memory: &mut [u32], at: usize, lane: u32) {
        let (word, shift) = self.place(at);
        let mask = self.mask() << shift;
        memory[word] = memory[word] & !mask | self.narrow(lane) << shift;
    }

    /// Lanes as memory.
    pub fn pack(self, lanes: Vec<u32>) -> Vec<u32> {
        if !self.is_narrow() {
            return lanes;
        }
        let mut memory = vec![0; self.words(lanes.len())];
        for (at, lane) in lanes.iter().enumerate() {
            self.store(&mut memory, at, *lane);
        }
        memory
    }

    fn place(self, at: usize) -> (usize, usize) {
        let in_word = 4 / self.bytes();
        (at / in_word, at % in_word * 8 * self.bytes())
    }

    fn mask(self) -> u32 {
        u32::MAX >> (32 - 8 * self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_to_nearest_even() {
        for (format, number, rounded) in [
            (Format::F16, 1.0 + 2.0_f32.powi(-11), 1.0),
            (Format::F16, 1.0 + 3.0 * 2.0_f32.powi(-11), 1.0 + 2.0_f32.powi(-9)),
            (Format::F16, 65519.0, 65504.0),
            (Format::F16, 65520.0, f32::INFINITY),
            (Format::F16, 2.0_f32.powi(-24), 2.0_f32.powi(-24)),
            (Format::F16, 2.0_f32.powi(-25), 0.0),
            (Format::Bf16, 1.0 + 2.0_f32.powi(-8), 1.0),
            (Format::Bf16, 1.0 + 3.0 * 2.0_f32.powi(-8), 1.0 + 2.0_f32.powi(-6)),
            (Format::Bf16, f32::MAX, f32::INFINITY),
            (Format::Bf16, f32::from_bits(0x0001_0000), f32::from_bits(0x0001_0000)),
            (Format::Word, 0.1, 0.1),
        ] {
            for (number, rounded) in [(number, rounded), (-number, -rounded)] {
                let got = f32::from_bits(format.round(number.to_bits()));
                assert_eq!(got.to_bits(), rounded.to_bits(), "{number:e} in {} gives {got:e}", format.text());
            }
        }
    }

    #[test]
    fn doubles_round_as_floats_do() {
        for format in [Format::F16, Format::Bf16] {
            for lane in (0..=u32::MAX).step_by(6151) {
                let (value, want) = (f32::from_bits(lane), f32::from_bits(format.round(lane)));
                let got = format.nearest(f64::from(value)) as f32;
                let equal = got.to_bits() == want.to_bits() || value.is_nan() && got.is_nan();
                assert!(equal, "{value:e} in {} gives {got:e}, not {want:e}", format.text());
            }
        }
        let above_a_tie = 1.0 + 2.0_f64.powi(-11) + 2.0_f64.powi(-40);
        assert_eq!(Format::F16.nearest(above_a_tie), 1.0 + 2.0_f64.powi(-10), "a double is rounded once");
    }

    #[test]
    fn what_is_stored_stays_what_it_is() {
        for format in [Format::F16, Format::Bf16] {
            for element in 0..=0xffff {
                let lane = format.widen(element);
                let kept = format.narrow(lane) == element || f32::from_bits(lane).is_nan();
                assert!(kept, "{element:04x} in {}", format.text());
            }
        }
    }

    #[test]
    fn elements_lie_side_by_side() {
        let lanes = [1.0_f32, -2.0, 0.5].map(f32::to_bits);
        assert_eq!(Format::F16.pack(lanes.to_vec()), [0xc000_3c00, 0x0000_3800]);
        assert_eq!(Format::Bf16.pack(lanes.to_vec()), [0xc000_3f80, 0x0000_3f00]);
        assert_eq!(Format::Word.pack(lanes.to_vec()), lanes);
        let mut memory = Format::F16.pack(lanes.to_vec());
        Format::F16.store(&mut memory, 0, 4.0_f32.to_bits());
        assert_eq!([0, 1, 2].map(|at| Format::F16.load(&memory, at)), [4.0_f32, -2.0, 0.5].map(f32::to_bits));
    }
}
