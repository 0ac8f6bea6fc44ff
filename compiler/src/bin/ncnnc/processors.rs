//! Processors and their features by the names rustc has for them.
//!
//! What each processor has and what each feature brings with it is what `rustc --print cfg` says of it (Rust 1.95). Names
//! that only stand for others, such as `core_4th_gen_avx` for `haswell`, are left out, and so are 32-bit processors.

use ncnnc_targets::Architecture;

/// Processors with the same instruction set.
pub struct Processors {
    /// Of what architecture they are.
    pub architecture: Architecture,
    /// The best instruction set they have.
    pub set: &'static str,
    /// Their names. Levels of x86-64 are those of the System V ABI (x86-64 psABI, section 3.1.1).
    pub names: &'static [&'static str],
}

/// All of them.
#[rustfmt::skip]
pub const PROCESSORS: &[Processors] = &[
    Processors { architecture: Architecture::X86_64, set: "avx512", names: &[
        "x86-64-v4", "skylake-avx512", "skx", "cascadelake", "cooperlake", "cannonlake", "icelake-client", "icelake-server",
        "tigerlake", "rocketlake", "sapphirerapids", "emeraldrapids", "graniterapids", "graniterapids-d", "diamondrapids",
        "novalake", "znver4", "znver5",
    ] },
    Processors { architecture: Architecture::X86_64, set: "avx2", names: &[
        "x86-64-v3", "haswell", "core-avx2", "broadwell", "skylake", "alderlake", "raptorlake", "meteorlake", "arrowlake",
        "arrowlake-s", "lunarlake", "pantherlake", "wildcatlake", "gracemont", "sierraforest", "grandridge",
        "clearwaterforest", "knl", "knm", "bdver4", "znver1", "znver2", "znver3",
    ] },
    Processors { architecture: Architecture::X86_64, set: "portable", names: &[
        "x86-64", "x86-64-v2", "generic", "nocona", "core2", "penryn", "nehalem", "corei7", "westmere", "sandybridge",
        "corei7-avx", "ivybridge", "core-avx-i", "atom", "bonnell", "silvermont", "slm", "goldmont", "goldmont-plus",
        "tremont", "k8", "k8-sse3", "opteron", "opteron-sse3", "athlon64", "athlon64-sse3", "athlon-fx", "amdfam10",
        "barcelona", "btver1", "btver2", "bdver1", "bdver2", "bdver3",
    ] },
    Processors { architecture: Architecture::Aarch64, set: "neon", names: &[
        "generic", "a64fx", "ampere1", "ampere1a", "ampere1b", "ampere1c", "apple-a7", "apple-a10", "apple-a11",
        "apple-a12", "apple-a13", "apple-a14", "apple-a15", "apple-a16", "apple-a17", "apple-m1", "apple-m2", "apple-m3",
        "apple-m4", "apple-m5", "c1-nano", "c1-premium", "c1-pro", "c1-ultra", "carmel", "cortex-a320", "cortex-a34",
        "cortex-a35", "cortex-a510", "cortex-a520", "cortex-a520ae", "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a65",
        "cortex-a65ae", "cortex-a710", "cortex-a715", "cortex-a72", "cortex-a720", "cortex-a720ae", "cortex-a725",
        "cortex-a73", "cortex-a75", "cortex-a76", "cortex-a76ae", "cortex-a77", "cortex-a78", "cortex-a78ae",
        "cortex-a78c", "cortex-r82", "cortex-r82ae", "cortex-x1", "cortex-x1c", "cortex-x2", "cortex-x3", "cortex-x4",
        "cortex-x925", "exynos-m3", "exynos-m4", "exynos-m5", "falkor", "fujitsu-monaka", "gb10", "grace", "kryo",
        "neoverse-512tvb", "neoverse-e1", "neoverse-n1", "neoverse-n2", "neoverse-n3", "neoverse-v1", "neoverse-v2",
        "neoverse-v3", "neoverse-v3ae", "olympus", "oryon-1", "saphira", "thunderx", "thunderx2t99", "thunderx3t110",
        "thunderxt81", "thunderxt83", "thunderxt88", "tsv110",
    ] },
];

/// Features that bring the same with them.
pub struct Features {
    /// Of what architecture they are.
    pub architecture: Architecture,
    /// The features they need, of those that an instruction set can need.
    pub with: &'static [&'static str],
    /// Their names.
    pub names: &'static [&'static str],
}

/// All of them. Those that no instruction set needs make no difference.
#[rustfmt::skip]
pub const FEATURES: &[Features] = &[
    Features { architecture: Architecture::X86_64, with: &["avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"], names: &[
        "avx10.1", "avx10.2",
    ] },
    Features { architecture: Architecture::X86_64, with: &["avx2", "fma", "f16c", "avx512f", "avx512bw"], names: &[
        "avx512bf16", "avx512bitalg", "avx512fp16", "avx512vbmi", "avx512vbmi2",
    ] },
    Features { architecture: Architecture::X86_64, with: &["avx2", "fma", "f16c", "avx512f"], names: &[
        "avx512bw", "avx512cd", "avx512dq", "avx512ifma", "avx512vl", "avx512vnni", "avx512vp2intersect",
        "avx512vpopcntdq",
    ] },
    Features { architecture: Architecture::X86_64, with: &["avx2", "fma", "f16c"], names: &["avx512f"] },
    Features { architecture: Architecture::X86_64, with: &["avx2"], names: &[
        "avxifma", "avxneconvert", "avxvnni", "avxvnniint16", "avxvnniint8", "sha512", "sm4", "vaes",
    ] },
    Features { architecture: Architecture::X86_64, with: &[], names: &[
        "adx", "aes", "amx-avx512", "amx-bf16", "amx-complex", "amx-fp16", "amx-fp8", "amx-int8", "amx-movrs", "amx-tf32",
        "amx-tile", "apxf", "avx", "avx2", "bmi1", "bmi2", "cmpxchg16b", "ermsb", "f16c", "fma", "fxsr", "gfni", "kl",
        "lahfsahf", "lzcnt", "movbe", "movrs", "pclmulqdq", "popcnt", "prfchw", "rdrand", "rdseed", "rtm", "sha", "sm3",
        "sse", "sse2", "sse3", "sse4.1", "sse4.2", "sse4a", "ssse3", "tbm", "vpclmulqdq", "widekl", "x87", "xop", "xsave",
        "xsavec", "xsaveopt", "xsaves",
    ] },
    Features { architecture: Architecture::Aarch64, with: &[], names: &[
        "aes", "bf16", "bti", "crc", "cssc", "dit", "dotprod", "dpb", "dpb2", "ecv", "f32mm", "f64mm", "faminmax", "fcma",
        "fhm", "flagm", "flagm2", "fp16", "fp8", "fp8dot2", "fp8dot4", "fp8fma", "frintts", "hbc", "i8mm", "jsconv", "lor",
        "lse", "lse128", "lse2", "lut", "mops", "mte", "neon", "paca", "pacg", "pan", "pauth-lr", "pmuv3", "rand", "ras",
        "rcpc", "rcpc2", "rcpc3", "rdm", "sb", "sha2", "sha3", "sm4", "sme", "sme-b16b16", "sme-f16f16", "sme-f64f64",
        "sme-f8f16", "sme-f8f32", "sme-fa64", "sme-i16i64", "sme-lutv2", "sme2", "sme2p1", "spe", "ssbs", "ssve-fp8dot2",
        "ssve-fp8dot4", "ssve-fp8fma", "sve", "sve-b16b16", "sve2", "sve2-aes", "sve2-bitperm", "sve2-sha3", "sve2-sm4",
        "sve2p1", "v8.1a", "v8.2a", "v8.3a", "v8.4a", "v8.5a", "v8.6a", "v8.7a", "v8.8a", "v8.9a", "v9a", "v9.1a", "v9.2a",
        "v9.3a", "v9.4a", "v9.5a", "vh", "wfxt",
    ] },
];

/// The names of an architecture's processors.
pub fn processors(architecture: Architecture) -> impl Iterator<Item = &'static str> {
    let rows = PROCESSORS.iter().filter(move |row| row.architecture == architecture);
    rows.flat_map(|row| row.names.iter().copied())
}

/// The best instruction set of a processor.
pub fn set_of(architecture: Architecture, processor: &str) -> Option<&'static str> {
    let is_it = |row: &&Processors| row.architecture == architecture && row.names.contains(&processor);
    PROCESSORS.iter().find(is_it).map(|row| row.set)
}

/// The names of an architecture's features.
pub fn features(architecture: Architecture) -> impl Iterator<Item = &'static str> {
    let rows = FEATURES.iter().filter(move |row| row.architecture == architecture);
    rows.flat_map(|row| row.names.iter().copied())
}

/// What a feature needs besides, of what an instruction set can need.
pub fn with(architecture: Architecture, feature: &str) -> Option<&'static [&'static str]> {
    let is_it = |row: &&Features| row.architecture == architecture && row.names.contains(&feature);
    FEATURES.iter().find(is_it).map(|row| row.with)
}

/// Similarity (of Jaro and Winkler) from which a mistake in writing is likely.
const ALIKE: f64 = 0.9;

/// The name that was likely meant.
pub fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let likeness = |other: &str| strsim::jaro_winkler(name, other);
    let nearest = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.filter(|nearest| *nearest != name && likeness(nearest) >= ALIKE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ncnnc_targets::{TARGETS, target};

    #[test]
    fn what_instruction_sets_need_is_known() {
        for target in TARGETS.iter().filter(|target| target.architecture != Architecture::Any) {
            for feature in target.features {
                assert!(with(target.architecture, feature).is_some(), "{feature}");
            }
        }
        for row in FEATURES {
            let of = || TARGETS.iter().filter(|target| target.architecture == row.architecture);
            for feature in row.with {
                assert!(of().any(|target| target.features.contains(feature)), "{feature} makes no difference");
            }
        }
        assert!(PROCESSORS.iter().all(|row| target(row.set).is_some()));
    }

    #[test]
    fn no_name_is_given_twice() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            for names in [processors(architecture).collect::<Vec<_>>(), features(architecture).collect()] {
                let mut once = names.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), names.len());
            }
        }
    }
}
