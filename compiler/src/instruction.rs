//! The table of arithmetic: every operation on one 32-bit lane, with its meaning beside its name.
//!
//! Expressions, interpreters, kernels, printers and back ends all read this table, so that an operation means the same
//! thing, to the bit, wherever it is carried out. Must not know tensors, kernels or targets.
//!
//! A lane is a word of 32 bits. `float` rows read it as an IEEE-754 number, rounded once to nearest even; `mask` rows
//! compare two floats (false when either is NaN) and give all ones or all zeros; `word` rows treat it as an integer.
//! Every NaN equals every other NaN: which payload comes out is the one thing the table leaves open.

/// Declares the instructions from rows `kind Name "text" (operands) => meaning`.
macro_rules! instructions {
    (
        float { $($(#[$fdoc:meta])* $FName:ident $ftext:literal ($($fop:ident),*) => $flane:expr;)* }
        mask { $($(#[$mdoc:meta])* $MName:ident $mtext:literal ($($mop:ident),*) => $mlane:expr;)* }
        word { $($(#[$wdoc:meta])* $WName:ident $wtext:literal ($($wop:ident),*) => $wlane:expr, real $wreal:expr;)* }
    ) => {
        /// An operation on one lane.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Instruction { $($(#[$fdoc])* $FName,)* $($(#[$mdoc])* $MName,)* $($(#[$wdoc])* $WName,)* }

        impl Instruction {
            /// Every instruction, in the table's order.
            pub const ALL: &'static [Instruction] = &[$(Self::$FName,)* $(Self::$MName,)* $(Self::$WName,)*];

            /// The name in printed plans and kernels.
            pub fn text(self) -> &'static str {
                match self { $(Self::$FName => $ftext,)* $(Self::$MName => $mtext,)* $(Self::$WName => $wtext,)* }
            }

            /// How many operands it takes.
            pub fn arity(self) -> usize {
                match self {
                    $(Self::$FName => [$(stringify!($fop)),*].len(),)*
                    $(Self::$MName => [$(stringify!($mop)),*].len(),)*
                    $(Self::$WName => [$(stringify!($wop)),*].len(),)*
                }
            }

            /// Whether the result is a truth value: all ones or all zeros.
            pub fn is_mask(self) -> bool {
                match self { $(Self::$FName => false,)* $(Self::$MName => true,)* $(Self::$WName => false,)* }
            }

            /// Evaluates one lane. This is the definition of the instruction.
            #[inline(always)]
            pub fn lane(self, operands: &[u32]) -> u32 {
                match self {
                    $(Self::$FName => { let [$($fop),*] = floats(operands); f32::to_bits($flane) })*
                    $(Self::$MName => { let [$($mop),*] = floats(operands); if $mlane { u32::MAX } else { 0 } })*
                    $(Self::$WName => { let [$($wop),*] = words(operands); $wlane })*
                }
            }

            /// Evaluates many lanes: `out[i]` is [`Self::lane`] of the `i`th word of each operand, all of `out`'s length.
            pub fn lanes(self, operands: &[&[u32]], out: &mut [u32]) {
                match self {
                    $(Self::$FName => {
                        let [$($fop),*] = columns(operands, out.len());
                        for (i, out) in out.iter_mut().enumerate() {
                            $(let $fop = f32::from_bits($fop[i]);)*
                            *out = f32::to_bits($flane);
                        }
                    })*
                    $(Self::$MName => {
                        let [$($mop),*] = columns(operands, out.len());
                        for (i, out) in out.iter_mut().enumerate() {
                            $(let $mop = f32::from_bits($mop[i]);)*
                            *out = if $mlane { u32::MAX } else { 0 };
                        }
                    })*
                    $(Self::$WName => {
                        let [$($wop),*] = columns(operands, out.len());
                        for (i, out) in out.iter_mut().enumerate() {
                            $(let $wop = $wop[i];)*
                            *out = $wlane;
                        }
                    })*
                }
            }

            /// Evaluates the same operation in double precision, for error reports. Truth values are 1 and 0.
            ///
            /// `None` for operations on bits, which mean nothing in another precision; they stand only inside the
            /// expansions of elementary functions, which a double-precision evaluation doesn't enter.
            pub fn real(self, operands: &[f64]) -> Option<f64> {
                match self {
                    $(Self::$FName => { let [$($fop),*] = reals(operands); Some($flane) })*
                    $(Self::$MName => { let [$($mop),*] = reals(operands); Some(if $mlane { 1.0 } else { 0.0 }) })*
                    $(Self::$WName => { let real: Option<fn(&[f64]) -> f64> = $wreal; real.map(|f| f(operands)) })*
                }
            }
        }
    };
}

instructions! {
    float {
        /// `a + b`.
        Add "add" (a, b) => a + b;
        /// `a - b`.
        Subtract "sub" (a, b) => a - b;
        /// `a * b`.
        Multiply "mul" (a, b) => a * b;
        /// `a / b`.
        Divide "div" (a, b) => a / b;
        /// `a * b + c`, rounded once.
        FusedMultiplyAdd "fma" (a, b, c) => a.mul_add(b, c);
        /// The square root, rounded once; NaN below zero.
        SquareRoot "sqrt" (a) => a.sqrt();
        /// The sign flipped, also of zero and NaN.
        Negate "neg" (a) => -a;
        /// The sign cleared, also of zero and NaN.
        Absolute "abs" (a) => a.abs();
        /// The larger operand; `b` when they are equal or either is NaN (x86 `maxps`).
        Maximum "max" (a, b) => if a > b { a } else { b };
        /// The smaller operand; `b` when they are equal or either is NaN (x86 `minps`).
        Minimum "min" (a, b) => if a < b { a } else { b };
        /// Rounded to an integer towards minus infinity.
        Floor "floor" (a) => a.floor();
        /// Rounded to an integer towards plus infinity.
        Ceiling "ceil" (a) => a.ceil();
        /// Rounded to an integer towards zero.
        Truncate "trunc" (a) => a.trunc();
        /// Rounded to the nearest integer, ties to even.
        RoundEven "round_even" (a) => a.round_ties_even();
    }
    mask {
        /// `a < b`.
        Less "lt" (a, b) => a < b;
        /// `a <= b`.
        LessEqual "le" (a, b) => a <= b;
        /// `a == b`; zeros are equal whatever their sign.
        Equal "eq" (a, b) => a == b;
        /// Neither is NaN.
        Ordered "ordered" (a, b) => !a.is_nan() && !b.is_nan();
    }
    word {
        /// `a` where the mask is all ones, `b` where it is all zeros, bit by bit.
        Select "select" (mask, a, b) => (mask & a) | (!mask & b), real Some(|v| if v[0] != 0.0 { v[1] } else { v[2] });
        /// Bitwise and; of two masks, both.
        And "and" (a, b) => a & b, real Some(|v| truth(v[0] != 0.0 && v[1] != 0.0));
        /// Bitwise or; of two masks, either.
        Or "or" (a, b) => a | b, real Some(|v| truth(v[0] != 0.0 || v[1] != 0.0));
        /// Bitwise exclusive or; of two masks, exactly one.
        ExclusiveOr "xor" (a, b) => a ^ b, real Some(|v| truth((v[0] != 0.0) != (v[1] != 0.0)));
        /// Wrapping integer sum.
        IntegerAdd "iadd" (a, b) => a.wrapping_add(b), real None;
        /// Wrapping integer difference.
        IntegerSubtract "isub" (a, b) => a.wrapping_sub(b), real None;
        /// Wrapping integer product, low word.
        IntegerMultiply "imul" (a, b) => a.wrapping_mul(b), real None;
        /// `a` shifted left by `b` bits, `b` below 32.
        ShiftLeft "shl" (a, b) => a << (b & 31), real None;
        /// `a` shifted right by `b` bits, `b` below 32, zeros entering.
        ShiftRight "shr" (a, b) => a >> (b & 31), real None;
        /// `a` shifted right by `b` bits, `b` below 32, the sign entering.
        ShiftRightSigned "sar" (a, b) => ((a as i32) >> (b & 31)) as u32, real None;
        /// Signed integers: all ones when `a < b`.
        IntegerLess "ilt" (a, b) => if (a as i32) < (b as i32) { u32::MAX } else { 0 }, real None;
        /// All ones when the words are the same.
        IntegerEqual "ieq" (a, b) => if a == b { u32::MAX } else { 0 }, real None;
        /// Float to signed integer, towards zero; NaN gives 0, too large a number the nearest integer there is.
        ToInteger "to_integer" (a) => (f32::from_bits(a) as i32) as u32, real Some(|v| v[0].trunc());
        /// Signed integer to float, rounded to nearest even.
        FromInteger "from_integer" (a) => (a as i32 as f32).to_bits(), real Some(|v| v[0]);
    }
}

fn words<const N: usize>(operands: &[u32]) -> [u32; N] {
    operands.try_into().expect("the verifier has checked the number of operands")
}

fn columns<'a, const N: usize>(operands: &[&'a [u32]], lanes: usize) -> [&'a [u32]; N] {
    let columns: [&[u32]; N] = operands.try_into().expect("the verifier has checked the number of operands");
    columns.map(|column| &column[..lanes])
}

fn floats<const N: usize>(operands: &[u32]) -> [f32; N] {
    words::<N>(operands).map(f32::from_bits)
}

fn reals<const N: usize>(operands: &[f64]) -> [f64; N] {
    operands.try_into().expect("the verifier has checked the number of operands")
}

fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}
