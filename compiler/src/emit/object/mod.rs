//! Programs as machine code: object files for any machine, and functions in memory.
//!
//! Kernels for AVX2 and AVX-512 are the instruction lists of `assembly`, as bytes; all others, and the driver that
//! calls them, go through Cranelift. One way leads to files and to memory: [`define`] takes any of Cranelift's modules.
//! Must not know what a network is for, nor where bytes go.

mod choice;
mod driver;
mod file;
mod formats;
mod header;
mod kernel;
mod platform;
mod pointers;
mod weights;
mod words;

pub use platform::{Platform, VERIFIED};
pub use target_lexicon::Triple;

use crate::bytes;
use crate::diagnostic::Diagnostic;
use crate::emit::assembly::{assemble, encode};
use crate::kernel::{Callee, Kernel, Port, Program};
use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::types::F32;
use cranelift_codegen::ir::{AbiParam, ExternalName, InstBuilder, Signature};
use cranelift_codegen::{CompiledCode, Context, FinalizedRelocTarget};
use cranelift_frontend::FunctionBuilder;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module, ModuleDeclarations, ModuleRelocTarget};
use driver::{Functions, signature};
use file::ObjectFile;
use kernel::Style;
use ncnnc_targets::{Architecture, Target};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fmt::Write;
use std::hash::Hasher;
use target_lexicon::BinaryFormat;
use words::Arithmetic;

/// What arenas and weights are aligned to, in bytes.
pub const ALIGNMENT: usize = 64;

/// Where the packed constants are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// In the object.
    Included,
    /// In a file of their own, which callers bring into memory.
    External,
}

/// A network to emit: its programs, under a name.
pub struct Network<'a> {
    name: &'a str,
    programs: &'a [(&'static Target, Program)],
    hash: u128,
    weights: Weights,
}

impl<'a> Network<'a> {
    /// The network whose symbols all begin with `name`; `programs` are for the instruction sets of one platform, best
    /// first, and `hash` is the model's.
    ///
    /// # Errors
    /// When the name can't begin names in C, or functions of the user's compute some of the layers.
    pub fn new(
        name: &'a str,
        programs: &'a [(&'static Target, Program)],
        hash: u128,
        weights: Weights,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = format!("`{name}` can't be the beginning of names in C");
            problems.push(Diagnostic::error(message).hint("take ASCII letters, digits and `_`, a letter first"));
        }
        let (_, first) = programs.first().expect("a platform has an instruction set");
        let custom = first.steps.iter().filter(|step| matches!(step.callee, Callee::Custom(_)));
        problems.extend(custom.map(|step| {
            Diagnostic::error(format!("layer `{}` is computed by a function of yours", step.name))
                .hint("object files can't call functions of users' yet; generated Rust can")
        }));
        if problems.is_empty() { Ok(Self { name, programs, hash, weights }) } else { Err(problems) }
    }

    fn first(&self) -> &Program {
        &self.programs[0].1
    }

    /// What its symbols begin with.
    pub fn name(&self) -> &str {
        self.name
    }

    /// What it takes, in order.
    pub fn inputs(&self) -> &[Port] {
        &self.first().inputs
    }

    /// What it gives, in order: the model's outputs, then those with the actual extents of others.
    pub fn outputs(&self) -> &[Port] {
        &self.first().outputs
    }

    /// The model's hash.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// How much memory it works in, in bytes.
    pub fn arena_bytes(&self) -> usize {
        // Behind the arena, the choice of instruction set has a line to itself.
        let choice = if self.programs.len() > 1 { ALIGNMENT } else { 0 };
        self.choice_place() + choice
    }

    fn choice_place(&self) -> usize {
        let words = self.programs.iter().map(|(_, program)| program.arena_words).max().unwrap_or(0);
        (4 * words).next_multiple_of(ALIGNMENT)
    }

    /// Bytes of the packed constants.
    pub fn weights_bytes(&self) -> usize {
        4 * self.first().constants.len()
    }

    /// The packed constants, as they stand in memory.
    pub fn weights(&self) -> Vec<u8> {
        bytes::of_words(&self.first().constants)
    }

    /// The C header.
    pub fn header(&self) -> String {
        header::header(self)
    }

    /// The object file.
    ///
    /// # Panics
    /// When the network is not for this platform.
    pub fn object(&self, platform: &Platform) -> Vec<u8> {
        let mut file = ObjectFile::new(platform.isa(), self.name);
        self.define_all(&mut file, platform, &mut None);
        file.finish()
    }

    /// An archive with the object file: a static library.
    ///
    /// # Panics
    /// As [`Self::object`].
    pub fn static_library(&self, platform: &Platform) -> Vec<u8> {
        let (kind, extension) = match platform.triple().binary_format {
            BinaryFormat::Macho => (ArchiveKind::Darwin, "o"),
            BinaryFormat::Coff => (ArchiveKind::Coff, "obj"),
            _elf => (ArchiveKind::Gnu, "o"),
        };
        let name = format!("{}.{extension}", self.name);
        let member = NewArchiveMember::new(self.object(platform), &DEFAULT_OBJECT_READER, name);
        let mut archive = std::io::Cursor::new(Vec::new());
        write_archive_to_stream(&mut archive, &[member], kind, false, None).expect("nothing fails in memory");
        archive.into_inner()
    }

    /// What Cranelift is given, as text.
    ///
    /// # Panics
    /// As [`Self::object`].
    pub fn clif(&self, platform: &Platform) -> String {
        self.listing(platform, Language::Clif)
    }

    /// The machine code, as text.
    ///
    /// # Panics
    /// As [`Self::object`].
    pub fn assembly(&self, platform: &Platform) -> String {
        self.listing(platform, Language::Assembly)
    }

    fn listing(&self, platform: &Platform, language: Language) -> String {
        let mut listing = Listing { language, text: String::new() };
        let mut file = ObjectFile::new(platform.isa(), self.name);
        self.define_all(&mut file, platform, &mut Some(&mut listing));
        listing.text
    }

    /// The driver, what users call, and the weights.
    fn define_all(&self, module: &mut ObjectFile<'a>, platform: &Platform, listing: &mut Option<&mut Listing>) {
        let execute = define_listed(module, self, platform, listing);
        let data = match self.weights {
            Weights::External => None,
            Weights::Included => {
                let (name, words) = (format!("{}_weights", self.name), &self.programs[0].1.constants);
                // An object of no bytes has no place.
                let words = if words.is_empty() { &[0] } else { &words[..] };
                Some(module.define_bytes(&name, bytes::view_of_words(words)))
            }
        };
        let mut functions = Functions::new(module, platform, self.name, listing);
        driver::entries(&mut functions, self, execute, data);
        if self.weights == Weights::External {
            weights::check(&mut functions, self.weights_bytes(), content_hash(&self.weights()));
        }
    }
}

/// What functions a user's program calls, in the order of their parameters.
pub(crate) struct Interface {
    /// The numbers of the outputs; the extents of one that has them follow it.
    outputs: Vec<usize>,
}

impl Interface {
    fn new(network: &Network) -> Self {
        let ports = network.outputs();
        let is_extents = |number: &usize| ports.iter().any(|port| port.extents == Some(*number));
        let visible = (0..ports.len()).filter(|number| !is_extents(number));
        Self { outputs: visible.flat_map(|number| [Some(number), ports[number].extents]).flatten().collect() }
    }
}

/// Puts words that are only read among the module's data.
fn define_words<M: Module>(module: &mut M, name: &str, words: &[u32]) -> DataId {
    let data = module.declare_data(name, Linkage::Local, false, false).expect("declared once");
    let mut description = DataDescription::new();
    description.define(bytes::of_words(words).into_boxed_slice());
    description.set_align(ALIGNMENT as u64);
    module.define_data(data, &description).expect("defined once");
    data
}

/// The hash by which packed weights are known again.
fn content_hash(packed: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(packed);
    hasher.finish128().as_u128()
}

/// The language of a listing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Clif,
    Assembly,
}

/// Functions as text.
struct Listing {
    language: Language,
    text: String,
}

impl Listing {
    /// Adds a function that Cranelift has compiled; references are named as they were declared.
    fn add(&mut self, name: &str, context: &Context, declarations: &ModuleDeclarations) {
        let (mut text, sigil) = match self.language {
            Language::Clif => {
                let text = context.func.display().to_string();
                (text.replacen(&context.func.name.to_string(), &format!("%{name}"), 1), "%")
            }
            Language::Assembly => (assembly(context.compiled_code().expect("it was compiled")), ""),
        };
        // The last first: the name of the second is the beginning of that of the eleventh.
        for (reference, to) in context.func.params.user_named_funcs().iter().rev() {
            let symbol = ModuleRelocTarget::user(to.namespace, to.index);
            let symbol = match ModuleDeclarations::is_function(&symbol) {
                true => {
                    let id = FuncId::from_name(&symbol);
                    declarations.get_function_decl(id).linkage_name(id)
                }
                false => {
                    let id = DataId::from_name(&symbol);
                    declarations.get_data_decl(id).linkage_name(id)
                }
            };
            let symbol = format!("{sigil}{symbol}");
            for written in [format!("User({reference})"), reference.to_string()] {
                text = text.replace(&written, &symbol);
            }
            text = text.replace(&format!("colocated {to} "), &format!("colocated {symbol} "));
        }
        self.write(name, &text);
    }

    /// Adds a kernel of our own encoding.
    fn add_encoded(&mut self, name: &str, kernel: &Kernel, target: &Target) {
        match self.language {
            Language::Clif => self.write(name, "not Cranelift's: bytes of its own"),
            Language::Assembly => self.write(name, &assemble(kernel, target).join("\n")),
        }
    }

    fn write(&mut self, name: &str, text: &str) {
        writeln!(self.text, "{name}:\n{}\n", text.trim_end()).expect("strings take any text");
    }
}

/// A compiled function as Cranelift writes it, but for calls on aarch64: it writes each as `bl 0`. The relocations say where
/// they go, in the order of the code.
fn assembly(code: &CompiledCode) -> String {
    let mut callees = code.buffer.relocs().iter().filter(|relocation| relocation.kind == Reloc::Arm64Call);
    let line = |line: &str| match line.trim() {
        "bl 0" => match callees.next().map(|relocation| &relocation.target) {
            Some(FinalizedRelocTarget::ExternalName(ExternalName::User(callee))) => format!("  bl {callee}\n"),
            _ => format!("{line}\n"),
        },
        _ => format!("{line}\n"),
    };
    code.vcode.as_ref().expect("it was asked for").lines().map(line).collect()
}

/// Defines a network's kernels and its driver in a module, and returns the driver: `driver(arena, weights, inputs,
/// outputs, parallel_for, context)`, by the platform's convention for C.
///
/// `arena` is memory of [`Network::arena_bytes`], `weights` the packed constants, both aligned to [`ALIGNMENT`];
/// `inputs` and `outputs` are arrays of pointers, one for each of [`Network::inputs`] and [`Network::outputs`].
/// `parallel_for` may be null; otherwise it is called once for each step as `parallel_for(context, task, work, tasks)` and calls
/// `task(work, begin, end)` for ranges that make up `0..tasks`.
///
/// # Panics
/// When the network is not for this platform, or the module has symbols of this name.
pub fn define<M: Module>(module: &mut M, network: &Network, platform: &Platform) -> FuncId {
    define_listed(module, network, platform, &mut None)
}

fn define_listed<M: Module>(
    module: &mut M,
    network: &Network,
    platform: &Platform,
    listing: &mut Option<&mut Listing>,
) -> FuncId {
    let targets: Vec<_> = network.programs.iter().map(|(target, _)| *target).collect();
    assert_eq!(targets, platform.targets(), "{}: compiled for another platform", network.name);
    let tables = &network.first().tables;
    let tables = (!tables.is_empty()).then(|| define_words(module, &format!("{}_tables", network.name), tables));
    let mut functions = Functions::new(module, platform, network.name, listing);
    let task = driver::task(&mut functions);
    let step = driver::step(&mut functions, task);
    let mut drivers = Vec::new();
    for (target, program) in network.programs {
        let kernels = kernels(&mut functions, target, program);
        let name = format!("execute_{}", target.name);
        drivers.push((target.name, driver::driver(&mut functions, &name, program, tables, &kernels, step)));
    }
    match &drivers[..] {
        [(_, only)] => *only,
        several => driver::choose(&mut functions, several, network.choice_place(), mark(network)),
    }
}

/// What marks a noted choice: unlike anything that stands in memory by accident, and different for every network.
fn mark(network: &Network) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(network.name.as_bytes());
    hasher.write_u128(network.hash);
    hasher.finish128().h1
}

/// All kernels of a program.
fn kernels<M: Module>(functions: &mut Functions<M>, target: &Target, program: &Program) -> Vec<FuncId> {
    let own = signature(functions.platform.kernel_convention(), 3);
    let vectors = functions.platform.has_vectors();
    let style = |arithmetic| Style { arithmetic, vectors, reach: functions.platform.reach() };
    match target.architecture {
        Architecture::X86_64 => {
            let named = program.kernels.iter().enumerate();
            let define = |(number, kernel)| {
                let name = kernel_name(target, number, kernel);
                let (bytes, alignment) = encode(kernel, target);
                functions.list_encoded(&name, kernel, target);
                functions.define_bytes(&name, &own, &bytes, alignment)
            };
            named.map(define).collect()
        }
        Architecture::Aarch64 => written(functions, target, program, |_, _| style(Arithmetic::Complete)),
        Architecture::Any if functions.platform.is_complete() => {
            written(functions, target, program, |_, _| style(Arithmetic::Complete))
        }
        Architecture::Any => {
            let fused = fused_multiply_add(functions);
            written(functions, target, program, |b, module| {
                style(Arithmetic::Basic { fused: module.declare_func_in_func(fused, b.func) })
            })
        }
    }
}

/// The kernels of a program, through Cranelift.
fn written<M: Module>(
    functions: &mut Functions<M>,
    target: &Target,
    program: &Program,
    style: impl Fn(&mut FunctionBuilder, &mut M) -> Style,
) -> Vec<FuncId> {
    let own = signature(functions.platform.kernel_convention(), 3);
    let define = |(number, kernel)| {
        let name = kernel_name(target, number, kernel);
        functions.define_whole(&name, own.clone(), |mut b, module| {
            let style = style(&mut b, module);
            kernel::write(b, kernel, style, module.target_config());
        })
    };
    program.kernels.iter().enumerate().map(define).collect()
}

/// `fused_multiply_add(a, b, c)` for machines without an instruction for it.
fn fused_multiply_add<M: Module>(functions: &mut Functions<M>) -> FuncId {
    let mut own = Signature::new(functions.platform.kernel_convention());
    own.params = vec![AbiParam::new(F32); 3];
    own.returns = vec![AbiParam::new(F32)];
    functions.define("fused_multiply_add", Linkage::Local, own, |b, _, parameters| {
        let operands = parameters.try_into().expect("three parameters");
        let result = words::fused_multiply_add(b, operands);
        b.ins().return_(&[result]);
    })
}

/// `avx2_3_conv1`: the number keeps two kernels of one name apart.
fn kernel_name(target: &Target, number: usize, kernel: &Kernel) -> String {
    let name: String = kernel.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{}_{number}_{name}", target.name)
}
