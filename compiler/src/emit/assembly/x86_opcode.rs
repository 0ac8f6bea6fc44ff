//! The x86-64 instructions in use, with what allocation and the printer need to know of each.

use super::machine::{Flow, Role};

/// Which register operands of an instruction may be memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// None.
    Never,
    /// Any general register but the destination of a product; at most one.
    General,
    /// Only a product's factor.
    Factor,
    /// The last register.
    Last,
    /// The last register, in EVEX encodings only.
    LastEvex,
    /// The third operand.
    Third,
}

/// How an instruction is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Name and operands.
    Plain,
    /// Likewise, the name completed with `ss` for scalars and `ps` for vectors.
    Float,
    /// The second operand is a mask, written behind the destination.
    Masked,
    /// Likewise, and lanes off become zero.
    MaskedZero,
    /// One operand, written three times.
    Thrice,
    /// The definition of a label.
    Label,
}

macro_rules! opcodes {
    ($($Name:ident $text:literal $Style:ident $Role:ident $Fold:ident $Flow:ident;)*) => {
        /// An instruction.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names are the processor's")]
        pub enum Opcode { $($Name,)* }

        impl Opcode {
            /// Its name.
            pub fn text(self) -> &'static str {
                match self { $(Self::$Name => $text,)* }
            }

            /// How it is written.
            pub fn style(self) -> Style {
                match self { $(Self::$Name => Style::$Style,)* }
            }

            /// What it does to its first operand.
            pub fn role(self) -> Role {
                match self { $(Self::$Name => Role::$Role,)* }
            }

            /// Which operands may be memory.
            pub fn fold(self) -> Fold {
                match self { $(Self::$Name => Fold::$Fold,)* }
            }

            /// Where execution goes.
            pub fn flow(self) -> Flow {
                match self { $(Self::$Name => Flow::$Flow,)* }
            }
        }
    };
}

opcodes! {
    Label "" Label Read Never Label;
    Jmp "jmp" Plain Read Never Jump;
    Je "je" Plain Read Never Branch;
    Jne "jne" Plain Read Never Branch;
    Jle "jle" Plain Read Never Branch;
    Ret "ret" Plain Read Never Next;
    Push "push" Plain Read Never Next;
    Pop "pop" Plain Write Never Next;
    Mov "mov" Plain Write General Next;
    MovAbs "movabs" Plain Write Never Next;
    Movsxd "movsxd" Plain Write Never Next;
    Add "add" Plain Update General Next;
    Sub "sub" Plain Update General Next;
    And "and" Plain Update General Next;
    Sbb "sbb" Plain Update Never Next;
    Imul "imul" Plain Write Factor Next;
    Inc "inc" Plain Update General Next;
    Dec "dec" Plain Update General Next;
    Cmp "cmp" Plain Read General Next;
    Test "test" Plain Read Never Next;
    Prefetcht1 "prefetcht1" Plain Read Never Next;
    Vzeroupper "vzeroupper" Plain Read Never Next;
    Kmovw "kmovw" Plain Write Never Next;
    Vmovd "vmovd" Plain Write Never Next;
    Vmovaps "vmovaps" Plain Write Never Next;
    Vmovups "vmovups" Plain Write Never Next;
    Vmovss "vmovss" Plain Write Never Next;
    Vbroadcastss "vbroadcastss" Plain Write Never Next;
    Vadd "vadd" Float Write Last Next;
    Vsub "vsub" Float Write Last Next;
    Vmul "vmul" Float Write Last Next;
    Vdiv "vdiv" Float Write Last Next;
    Vmax "vmax" Float Write Last Next;
    Vmin "vmin" Float Write Last Next;
    Vfmadd231 "vfmadd231" Float Update Last Next;
    Vfmadd213 "vfmadd213" Float Update Last Next;
    Vfmadd132 "vfmadd132" Float Update Last Next;
    Vfmadd231pd "vfmadd231pd" Plain Update Last Next;
    Vaddpd "vaddpd" Plain Write Last Next;
    Vsqrt "vsqrt" Float Write Last Next;
    Vround "vround" Float Write Last Next;
    Vrndscale "vrndscale" Float Write Last Next;
    Vcmp "vcmp" Float Write Last Next;
    Vblendvps "vblendvps" Plain Write Third Next;
    Vblendmps "vblendmps" Masked Write Last Next;
    Vxorps "vxorps" Plain Write Last Next;
    Vandps "vandps" Plain Write Last Next;
    Vandnps "vandnps" Plain Write Last Next;
    Vorps "vorps" Plain Write Last Next;
    Vpandd "vpandd" Plain Write Last Next;
    Vpord "vpord" Plain Write Last Next;
    Vpxord "vpxord" Plain Write Last Next;
    ZeroXorps "vxorps" Thrice Write Never Next;
    ZeroXord "vpxord" Thrice Write Never Next;
    Vpternlogd "vpternlogd" Plain Update Last Next;
    Vpaddd "vpaddd" Plain Write Last Next;
    Vpsubd "vpsubd" Plain Write Last Next;
    Vpmulld "vpmulld" Plain Write Last Next;
    Vpslld "vpslld" Plain Write LastEvex Next;
    Vpsrld "vpsrld" Plain Write LastEvex Next;
    Vpsrad "vpsrad" Plain Write LastEvex Next;
    Vpsllvd "vpsllvd" Plain Write Last Next;
    Vpsrlvd "vpsrlvd" Plain Write Last Next;
    Vpsravd "vpsravd" Plain Write Last Next;
    Vpcmpgtd "vpcmpgtd" Plain Write Last Next;
    Vpcmpeqd "vpcmpeqd" Plain Write Last Next;
    Vpmovm2d "vpmovm2d" Plain Write Never Next;
    Vcvttps2dq "vcvttps2dq" Plain Write Last Next;
    Vcvttps2dqMasked "vcvttps2dq" MaskedZero Write Last Next;
    Vcvtdq2ps "vcvtdq2ps" Plain Write Last Next;
    Vcvtps2pd "vcvtps2pd" Plain Write Never Next;
    Vcvtpd2ps "vcvtpd2ps" Plain Write Never Next;
    Vcvtph2ps "vcvtph2ps" Plain Write Never Next;
    Vcvtps2ph "vcvtps2ph" Plain Write Never Next;
    Vpmovzxwd "vpmovzxwd" Plain Write Never Next;
    Vpmovdw "vpmovdw" Plain Write Never Next;
    Vpackusdw "vpackusdw" Plain Write Never Next;
    Vextracti128 "vextracti128" Plain Write Never Next;
    Vextracti64x4 "vextracti64x4" Plain Write Never Next;
    Vinserti128 "vinserti128" Plain Write Never Next;
    Vinserti64x4 "vinserti64x4" Plain Write Never Next;
    Vpbroadcastw "vpbroadcastw" Plain Write Never Next;
    Vpextrw "vpextrw" Plain Write Never Next;
    Valignd "valignd" Plain Write Never Next;
    Vpermps "vpermps" Plain Write Last Next;
    Vperm2f128 "vperm2f128" Plain Write Never Next;
}
