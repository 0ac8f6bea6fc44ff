//! Programs as Rust: a type for the network, and for every target a module with its kernels and steps.
//!
//! A macro sees neither the target nor its features, so every architecture is emitted behind `cfg`, and the runtime
//! chooses among the instruction sets of one. Must not know what a network is for, nor where the tokens go.

mod custom;
mod interface;
mod kernel;
mod names;

use crate::bytes;
use crate::emit::assembly::assemble;
use crate::instruction::Instruction;
use crate::kernel::{Argument, Callee, Custom, Kernel, Port, Program};
use interface::Interface;
use names::Names;
use ncnnc_targets::{Architecture, Target};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// What plain kernels call beside instructions, in the runtime's `words`.
const WORDS: &[&str] =
    &["load", "load_f16", "load_bf16", "store", "store_f16", "store_bf16", "splat", "rotate", "within"];

/// A network to emit.
pub struct Module<'a> {
    /// What the type is called.
    pub name: Ident,
    /// Who can see it: `pub`, or nothing.
    pub visibility: TokenStream,
    /// Attributes of the type, such as documentation.
    pub attributes: TokenStream,
    /// Further paragraphs of its documentation.
    pub facts: Vec<String>,
    /// An expression for the path of the file with the packed constants.
    pub constants: TokenStream,
    /// How its packed constants come to the network.
    pub weights: Weights,
    /// Paths of the user's functions, by number.
    pub functions: &'a [TokenStream],
    /// How many threads `new` takes.
    pub threads: usize,
    /// The network on each target, best first.
    pub programs: &'a [(&'static Target, Program)],
}

/// How packed constants come to a network.
#[derive(Clone, Copy)]
pub enum Weights {
    /// They are a part of the program.
    Included,
    /// The caller gives them.
    RunTime {
        /// Their hash: other words than these are another network's.
        hash: u128,
    },
}

/// The file that [`Module::constants`] names: words in little-endian order.
pub fn pack(programs: &[(&'static Target, Program)]) -> Vec<u8> {
    programs.first().map_or(Vec::new(), |(_, program)| bytes::of_words(&program.constants))
}

/// The code.
pub fn emit(module: &Module) -> TokenStream {
    let (_, first) = module.programs.first().expect("there is always the portable target");
    for (target, program) in module.programs {
        assert_eq!(program.constants, first.constants, "{}: constants are the same everywhere", target.name);
        assert_eq!(program.tables, first.tables, "{}: tables are the same everywhere", target.name);
        assert_eq!(program.inputs, first.inputs, "{}: inputs are the same everywhere", target.name);
        assert_eq!(program.outputs, first.outputs, "{}: outputs are the same everywhere", target.name);
    }
    let memory = Memory::new(module.programs);
    let interface = Interface::new(module, first, &memory);
    let (definitions, implementation) = (interface.definitions(), interface.implementation());
    let calls = custom::calls(module);
    let functions = calls.iter().map(|call| custom::function(module, &calls, call));
    let (table, kernels): (Vec<_>, Vec<_>) = (module.programs.iter())
        .map(|(target, program)| {
            let names = kernel_names(program);
            (self::program(target, program, &names, &calls, &memory), kernels(target, program, &names))
        })
        .unzip();
    let (constants, bytes) = (&module.constants, Literal::usize_unsuffixed(first.constants.len() * 4));
    let constants = match module.weights {
        Weights::Included => quote! {
            static CONSTANTS: __generated::Aligned<[u8; #bytes]> = __generated::Aligned(*include_bytes!(#constants));
        },
        Weights::RunTime { .. } => TokenStream::new(),
    };
    // As text, numbers would take the Rust compiler long where there are many.
    let tables = bytes::of_words(&first.tables);
    let (tables, table_bytes) = (Literal::byte_string(&tables), Literal::usize_unsuffixed(tables.len()));
    // Tokens carry no comments, so no `unsafe` can be documented with one.
    let lints = quote!(clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks, unused, non_snake_case);
    quote! {
        #definitions
        #[allow(#lints, unsafe_op_in_unsafe_fn)]
        const _: () = {
            #[cfg(target_endian = "big")]
            compile_error!("networks are not supported yet on machines whose words are big-endian");
            use ::ncnnc::generated as __generated;
            #constants
            static TABLES: __generated::Aligned<[u8; #table_bytes]> = __generated::Aligned(*#tables);
            static PROGRAMS: &[__generated::Program] = &[#(#table),*];
            #implementation
            #(#functions)*
            #(#kernels)*
        };
    }
}

/// How the network's memory is laid out, in words: the arena of whichever target needs most, then the outputs.
struct Memory {
    outputs: Vec<usize>,
    words: usize,
}

impl Memory {
    fn new(programs: &[(&'static Target, Program)]) -> Self {
        /// Words in a cache line, to which every buffer is aligned.
        const LINE: usize = 16;
        let mut words = programs.iter().map(|(_, program)| program.arena_words).max().unwrap_or(0);
        let mut outputs = Vec::new();
        for port in programs.first().map_or(&[][..], |(_, program)| &program.outputs) {
            words = words.next_multiple_of(LINE);
            outputs.push(words);
            words += words_of(port);
        }
        Self { outputs, words: words.next_multiple_of(LINE) }
    }
}

fn words_of(port: &Port) -> usize {
    port.shape.iter().product()
}

fn cfg(target: &Target) -> TokenStream {
    match target.architecture {
        Architecture::Any => TokenStream::new(),
        Architecture::X86_64 => quote!(#[cfg(target_arch = "x86_64")]),
        Architecture::Aarch64 => quote!(#[cfg(target_arch = "aarch64")]),
    }
}

/// The variant of the runtime's `InstructionSet`: the target's name with a capital.
fn instruction_set(target: &Target) -> Ident {
    let (first, rest) = target.name.split_at(1);
    format_ident!("{}{rest}", first.to_ascii_uppercase())
}

/// The kernels of a program under their names, in a module of their own.
fn kernels(target: &Target, program: &Program, names: &[Ident]) -> TokenStream {
    let functions = program.kernels.iter().zip(names).map(|(kernel, name)| function(target, kernel, name));
    let (cfg, name) = (cfg(target), module_name(target));
    quote! {
        #cfg
        mod #name {
            use ::ncnnc::generated::words::*;
            #(#functions)*
        }
    }
}

/// Unlike any name that leads to a user's function.
fn module_name(target: &Target) -> Ident {
    format_ident!("__{}", target.name)
}

/// The names of a program's kernels.
fn kernel_names(program: &Program) -> Vec<Ident> {
    let words: Vec<&str> = Instruction::ALL.iter().map(|instruction| instruction.text()).collect();
    let mut names = Names::reserving(&[&words[..], WORDS].concat());
    program.kernels.iter().map(|kernel| names.identifier(&kernel.name)).collect()
}

/// A line of the table of programs. It stands outside of the kernels' module, where users' functions can be named.
fn program(target: &Target, program: &Program, names: &[Ident], calls: &[&Custom], memory: &Memory) -> TokenStream {
    let (cfg, module, set) = (cfg(target), module_name(target), instruction_set(target));
    let steps = program.steps.iter().map(|step| {
        let (kernel, tasks) = match &step.callee {
            Callee::Kernel(number) => {
                let name = &names[*number];
                let variant = match target.architecture {
                    Architecture::Any => quote!(Plain),
                    Architecture::X86_64 | Architecture::Aarch64 => quote!(Assembly),
                };
                (quote!(#variant(#module::#name)), program.kernels[*number].tasks)
            }
            Callee::Custom(call) => {
                let name = custom::name(calls, call);
                (quote!(Plain(#name)), 1)
            }
        };
        let (layer, tasks) = (&step.name, Literal::usize_unsuffixed(tasks));
        let arguments = step.arguments.iter().map(|argument| self::argument(*argument, memory));
        quote! {
            __generated::Step {
                name: #layer, kernel: __generated::Kernel::#kernel, tasks: #tasks, arguments: &[#(#arguments),*]
            }
        }
    });
    quote! {
        #cfg
        __generated::Program {
            instruction_set: ::ncnnc::InstructionSet::#set, tables: &TABLES.0, steps: &[#(#steps),*]
        }
    }
}

fn argument(argument: Argument, memory: &Memory) -> TokenStream {
    let (place, at) = match argument {
        Argument::Arena(offset) => (quote!(Arena), offset),
        Argument::Constants(offset) => (quote!(Constants), offset),
        Argument::Tables(offset) => (quote!(Tables), offset),
        Argument::Input(number) => (quote!(Input), number),
        // Outputs lie behind the arena.
        Argument::Output(number) => (quote!(Arena), memory.outputs[number]),
    };
    let at = Literal::usize_unsuffixed(at);
    quote!(__generated::Argument::#place(#at))
}

fn function(target: &Target, kernel: &Kernel, name: &Ident) -> TokenStream {
    let convention = match target.architecture {
        Architecture::Any => return self::kernel::kernel(kernel, name),
        Architecture::X86_64 => "sysv64",
        Architecture::Aarch64 => "C",
    };
    // One piece of text: rustc takes its time for every argument of `naked_asm!`.
    let lines = assemble(kernel, target).join("\n");
    let docs = format!(" {} tasks.", kernel.tasks);
    quote! {
        #[doc = #docs]
        #[unsafe(naked)]
        pub unsafe extern #convention fn #name(buffers: *const *mut u32, begin: usize, end: usize) {
            ::core::arch::naked_asm!(#lines, options(raw))
        }
    }
}
