//! Machines to write code for.

use crate::diagnostic::Diagnostic;
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use ncnnc_targets::{Architecture, TARGETS, Target};
use std::str::FromStr;
use target_lexicon::{
    Architecture as Processor, BinaryFormat, Endianness, Environment, OperatingSystem, PointerWidth, Triple,
};

/// Triples whose objects the tests verify, and how; objects for others are made alike. A test holds the two together.
#[rustfmt::skip]
pub const VERIFIED: &[(&str, &str)] = &[
    ("x86_64-unknown-linux-gnu", "linked with a C program, which is run"),
    ("x86_64-unknown-linux-musl", "linked with a C program, which is run"),
    ("x86_64-linux-android", "linked as a library, which is run on Linux"),
    ("x86_64-apple-darwin", "linked as a library, whose image is run on Linux"),
    ("x86_64-apple-ios", "linked as a library, whose image is run on Linux"),
    ("x86_64-pc-windows-msvc", "linked with a C program without a C library, which is run under wine"),
    ("x86_64-pc-windows-gnu", "linked with a C program without a C library, which is run under wine"),
    ("x86_64-unknown-none-elf", "linked with a C program without a C library, which is run"),
    ("aarch64-unknown-linux-gnu", "linked with a C program, which is run under qemu"),
    ("aarch64-unknown-linux-musl", "linked with a C program, which is run under qemu"),
    ("aarch64-linux-android", "linked as a library, which is run on Linux under qemu"),
    ("aarch64-apple-darwin", "linked as a library, whose image is run on Linux under qemu"),
    ("aarch64-apple-ios", "linked as a library, whose image is run on Linux under qemu"),
    ("aarch64-pc-windows-msvc", "linked as a library, whose image is run on Linux under qemu"),
    ("aarch64-pc-windows-gnu", "linked as a library, whose image is run on Linux under qemu"),
    ("aarch64-unknown-none-elf", "linked with a C program without a C library, which is run under qemu"),
];

/// A machine: a triple, and the instruction sets to include.
#[derive(Clone, Debug)]
pub struct Platform {
    triple: Triple,
    targets: Vec<&'static Target>,
}

impl Platform {
    /// The machine of this triple with every instruction set its architecture has, best first.
    ///
    /// # Errors
    /// When there is no such triple, or no code can be written for it.
    pub fn new(triple: &str) -> Result<Self, Diagnostic> {
        let parsed = Triple::from_str(triple).map_err(|error| {
            Diagnostic::error(format!("`{triple}` is not a target triple: {error}"))
                .hint("a triple is like `x86_64-unknown-linux-gnu`, `aarch64-apple-ios` or `x86_64-pc-windows-msvc`")
        })?;
        let mut platform = Self { targets: targets(parsed.architecture), triple: parsed };
        if (platform.triple.operating_system, platform.triple.binary_format)
            == (OperatingSystem::None_, BinaryFormat::Unknown)
        {
            // As rustc names bare metal, `x86_64-unknown-none`: its objects are ELF without saying so.
            platform.triple.binary_format = BinaryFormat::Elf;
        }
        if let (Processor::X86_64, OperatingSystem::IOS(_)) =
            (platform.triple.architecture, platform.triple.operating_system)
        {
            // No device has this processor, and linkers tell the simulator's objects from a device's.
            platform.triple.environment = Environment::Sim;
        }
        platform.check()?;
        Ok(platform)
    }

    /// This machine, with the best instruction set it has and no other.
    ///
    /// # Errors
    /// When no code can be written for this machine.
    pub fn host() -> Result<Self, Diagnostic> {
        let mut platform = Self { targets: targets(Triple::host().architecture), triple: Triple::host() };
        platform.check()?;
        let best = platform.targets.iter().copied().find(|target| is_available(target));
        platform.targets = best.into_iter().collect();
        Ok(platform)
    }

    /// The same machine with only the instruction set of this name, so that nothing is chosen at run time.
    ///
    /// # Errors
    /// When the architecture has no such instruction set.
    pub fn only(self, instruction_set: &str) -> Result<Self, Diagnostic> {
        let chosen = self.targets.iter().copied().find(|target| target.name == instruction_set);
        let Some(chosen) = chosen else {
            let names: Vec<String> = self.targets.iter().map(|target| format!("`{}`", target.name)).collect();
            let message = format!("{} has no instruction set `{instruction_set}`", self.triple.architecture);
            return Err(Diagnostic::error(message).hint(format!("it has {}", names.join(", "))));
        };
        Ok(Self { targets: vec![chosen], ..self })
    }

    /// Its triple.
    pub fn triple(&self) -> &Triple {
        &self.triple
    }

    /// Its instruction sets, best first: what to schedule for.
    pub fn targets(&self) -> &[&'static Target] {
        &self.targets
    }

    /// What Cranelift knows about it.
    pub fn isa(&self) -> OwnedTargetIsa {
        let mut flags = settings::builder();
        for (name, value) in [
            // Kernels come in the order they want to be in; rearranged for speed, they spill.
            ("opt_level", "none"),
            ("regalloc_algorithm", "backtracking"),
            // All that code refers to is in the same file: addresses are relative to the program counter without it, and
            // would go through a table of the linker's with it.
            ("is_pic", "false"),
            // No page of the stack is skipped: Windows gives it page by page.
            ("enable_probestack", "true"),
            ("probestack_strategy", "inline"),
            ("unwind_info", "false"),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
            ("log2_min_function_alignment", "4"),
        ] {
            flags.set(name, value).expect("a setting of Cranelift's");
        }
        let builder = isa::lookup(self.triple.clone()).expect("checked when the platform was made");
        builder.finish(settings::Flags::new(flags)).expect("these settings suit every machine")
    }

    /// How functions are called that users call, and users' functions that are called.
    pub(super) fn convention(&self) -> CallConv {
        match (self.triple.architecture, self.triple.operating_system) {
            // Fixed arguments go where the procedure call standard puts them (Overview of ARM64 ABI conventions,
            // "Parameter passing").
            (Processor::Aarch64(_), OperatingSystem::Windows) => CallConv::SystemV,
            _other => CallConv::triple_default(&self.triple),
        }
    }

    /// How kernels are called, the encoded ones among them.
    pub(super) fn kernel_convention(&self) -> CallConv {
        match self.triple.architecture {
            Processor::X86_64 => CallConv::SystemV,
            _other => self.convention(),
        }
    }

    /// Whether there are instructions for `a * b + c` rounded once and for rounding to integers.
    pub(super) fn is_complete(&self) -> bool {
        self.triple.architecture != Processor::X86_64
    }

    /// The instruction set of vectors that Cranelift writes.
    pub(super) fn has_vectors(&self) -> bool {
        matches!(self.triple.architecture, Processor::Aarch64(_))
    }

    /// Elements that an address can be away from its pointer, where loads are limited.
    pub(super) fn reach(&self) -> i64 {
        match self.triple.architecture {
            // 12 bits, in units of what is loaded (Arm Architecture Reference Manual, C6.2, LDR immediate).
            Processor::Aarch64(_) => 1 << 12,
            _other => 1 << 28,
        }
    }

    fn check(&self) -> Result<(), Diagnostic> {
        let triple = &self.triple;
        let refuse = |what: String| Err(Diagnostic::error(format!("can't write code for {triple}: {what}")));
        if triple.endianness() != Ok(Endianness::Little) {
            return refuse("only machines whose words are little-endian are supported yet".to_string());
        }
        if triple.pointer_width() != Ok(PointerWidth::U64) {
            return refuse("only machines with 64-bit pointers are supported yet".to_string());
        }
        if triple.operating_system == OperatingSystem::Uefi {
            return refuse("objects with the calling convention of UEFI are not supported yet".to_string());
        }
        let formats = [BinaryFormat::Elf, BinaryFormat::Macho, BinaryFormat::Coff];
        if !formats.contains(&triple.binary_format) {
            return refuse(format!("object files of format {} are not supported yet", triple.binary_format));
        }
        match isa::lookup(triple.clone()) {
            Ok(_builder) => Ok(()),
            Err(_unsupported) => refuse(format!("there is no code generator for {} here", triple.architecture)),
        }
    }
}

/// The instruction sets of a processor.
fn targets(processor: Processor) -> Vec<&'static Target> {
    let is_of = |target: &&Target| match target.architecture {
        Architecture::X86_64 => processor == Processor::X86_64,
        Architecture::Aarch64 => matches!(processor, Processor::Aarch64(_)),
        // All 64-bit ARM processors have NEON.
        Architecture::Any => !matches!(processor, Processor::Aarch64(_)),
    };
    TARGETS.iter().copied().filter(is_of).collect()
}

/// Whether this process can use an instruction set of its own architecture.
fn is_available(target: &Target) -> bool {
    match target.architecture {
        Architecture::Any | Architecture::Aarch64 => true,
        Architecture::X86_64 => target.features.iter().all(|feature| has(feature)),
    }
}

#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    use std::is_x86_feature_detected as detected;
    match feature {
        "avx2" => detected!("avx2"),
        "fma" => detected!("fma"),
        "f16c" => detected!("f16c"),
        "avx512f" => detected!("avx512f"),
        "avx512bw" => detected!("avx512bw"),
        "avx512cd" => detected!("avx512cd"),
        "avx512dq" => detected!("avx512dq"),
        "avx512vl" => detected!("avx512vl"),
        unknown => unreachable!("no target of x86-64 asks for {unknown}"),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has(_feature: &str) -> bool {
    false
}
