//! Programs as Rust: a type for the network, and for every target a module with its kernels and steps.
//!
//! A macro sees neither the target nor its features, so every architecture is emitted behind `cfg`, and the runtime
//! chooses among the instruction sets of one. Must not know what a network is for, nor where the tokens go.

mod kernel;
mod names;

use crate::emit::assembly::assemble;
use crate::kernel::{Argument, Kernel, Port, Program};
use names::Names;
use ncnnc_targets::{Architecture, Target};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

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
    /// How many threads `new` takes.
    pub threads: usize,
    /// The network on each target, best first.
    pub programs: &'a [(&'static Target, Program)],
}

/// The file that [`Module::constants`] names: words in little-endian order.
pub fn pack(programs: &[(&'static Target, Program)]) -> Vec<u8> {
    programs
        .first()
        .map_or(Vec::new(), |(_, program)| program.constants.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// The code.
pub fn emit(module: &Module) -> TokenStream {
    let (_, first) = module.programs.first().expect("there is always the portable target");
    for (target, program) in module.programs {
        assert_eq!(program.constants, first.constants, "{}: constants are the same everywhere", target.name);
        assert_eq!(program.inputs, first.inputs, "{}: inputs are the same everywhere", target.name);
        assert_eq!(program.outputs, first.outputs, "{}: outputs are the same everywhere", target.name);
    }
    let memory = Memory::new(module.programs);
    let interface = Interface::new(module, first, &memory);
    let (definitions, implementation) = (interface.definitions(), interface.implementation());
    let targets = module.programs.iter().map(|(target, program)| self::target(target, program, &memory));
    let table = module.programs.iter().map(|(target, _)| {
        let (cfg, name, set) = (cfg(target), format_ident!("{}", target.name), instruction_set(target));
        quote!(#cfg ::ncnnc::generated::Program { instruction_set: ::ncnnc::InstructionSet::#set, steps: #name::STEPS })
    });
    let (constants, bytes) = (&module.constants, Literal::usize_unsuffixed(first.constants.len() * 4));
    // Tokens carry no comments, so no `unsafe` can be documented with one.
    let lints = quote!(clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks, unused, non_snake_case);
    quote! {
        #definitions
        #[allow(#lints, unsafe_op_in_unsafe_fn)]
        const _: () = {
            #[cfg(target_endian = "big")]
            compile_error!("networks are not supported yet on machines whose words are big-endian");
            static CONSTANTS: ::ncnnc::generated::Aligned<[u8; #bytes]> =
                ::ncnnc::generated::Aligned(*include_bytes!(#constants));
            static PROGRAMS: &[::ncnnc::generated::Program] = &[#(#table),*];
            #implementation
            #(#targets)*
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

fn target(target: &Target, program: &Program, memory: &Memory) -> TokenStream {
    let mut names = Names::reserving(&["STEPS"]);
    let kernels: Vec<Ident> = program.kernels.iter().map(|kernel| names.identifier(&kernel.name)).collect();
    let functions = program.kernels.iter().zip(&kernels).map(|(kernel, name)| function(target, kernel, name));
    let steps = program.steps.iter().map(|step| {
        let (layer, kernel) = (&step.name, &kernels[step.kernel]);
        let variant = match target.architecture {
            Architecture::Any => quote!(Plain),
            Architecture::X86_64 | Architecture::Aarch64 => quote!(Assembly),
        };
        let tasks = Literal::usize_unsuffixed(program.kernels[step.kernel].tasks);
        let arguments = step.arguments.iter().map(|argument| self::argument(*argument, memory));
        quote!(Step { name: #layer, kernel: Kernel::#variant(#kernel), tasks: #tasks, arguments: &[#(#arguments),*] })
    });
    let (cfg, name) = (cfg(target), format_ident!("{}", target.name));
    quote! {
        #cfg
        mod #name {
            use ::ncnnc::generated::Argument::{Arena, Constants, Input};
            use ::ncnnc::generated::words::*;
            use ::ncnnc::generated::{Kernel, Step};
            pub static STEPS: &[Step] = &[#(#steps),*];
            #(#functions)*
        }
    }
}

fn argument(argument: Argument, memory: &Memory) -> TokenStream {
    let (place, at) = match argument {
        Argument::Arena(offset) => (quote!(Arena), offset),
        Argument::Constants(offset) => (quote!(Constants), offset),
        Argument::Input(number) => (quote!(Input), number),
        Argument::Output(number) => (quote!(Arena), memory.outputs[number]),
    };
    let at = Literal::usize_unsuffixed(at);
    quote!(#place(#at))
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
        unsafe extern #convention fn #name(buffers: *const *mut u32, begin: usize, end: usize) {
            ::core::arch::naked_asm!(#lines, options(raw))
        }
    }
}

/// What users see of the network.
struct Interface<'a> {
    module: &'a Module<'a>,
    inputs: Vec<(Ident, &'a Port)>,
    outputs: Vec<Output<'a>>,
    bytes: Literal,
    most_arguments: Literal,
}

/// An output as users see it.
struct Output<'a> {
    name: Ident,
    port: &'a Port,
    /// Where its values are in the memory, in words.
    at: usize,
    /// Where its actual extents are, if they depend on the data.
    extents: Option<usize>,
}

fn element(port: &Port) -> TokenStream {
    if port.integer { quote!(i32) } else { quote!(f32) }
}

fn array(port: &Port) -> TokenStream {
    let (element, length) = (element(port), Literal::usize_unsuffixed(words_of(port)));
    quote!([#element; #length])
}

fn extents(shape: &[usize]) -> TokenStream {
    let extents = shape.iter().map(|extent| Literal::usize_unsuffixed(*extent));
    quote!([#(#extents),*])
}

/// `3 x 224 x 224`, for documentation.
fn shape_text(port: &Port) -> String {
    port.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

impl Output<'_> {
    fn ty(&self, lifetime: &TokenStream) -> TokenStream {
        match self.extents {
            None => {
                let array = array(self.port);
                quote!(&#lifetime #array)
            }
            Some(_) => {
                let (element, rank) = (element(self.port), Literal::usize_unsuffixed(self.port.shape.len()));
                quote!(::ncnnc::Rows<#lifetime, #element, #rank>)
            }
        }
    }

    fn value(&self) -> TokenStream {
        let (array, at) = (array(self.port), Literal::usize_unsuffixed(self.at));
        let values = quote!(&*words.add(#at).cast::<#array>());
        match self.extents {
            None => values,
            Some(actual) => {
                let (rank, actual) =
                    (Literal::usize_unsuffixed(self.port.shape.len()), Literal::usize_unsuffixed(actual));
                let capacity = extents(&self.port.shape);
                quote!(::ncnnc::Rows::new(#values, &*words.add(#actual).cast::<[i32; #rank]>(), #capacity))
            }
        }
    }
}

impl<'a> Interface<'a> {
    fn new(module: &'a Module<'a>, program: &'a Program, memory: &Memory) -> Self {
        let mut names = Names::reserving(&["self"]);
        let inputs = program.inputs.iter().map(|port| (names.identifier(&port.name), port)).collect();
        let hidden: Vec<usize> = program.outputs.iter().filter_map(|port| port.extents).collect();
        let mut names = Names::default();
        let outputs = (0..program.outputs.len()).filter(|i| !hidden.contains(i)).map(|i| {
            let port = &program.outputs[i];
            let extents = port.extents.map(|extents| memory.outputs[extents]);
            Output { name: names.identifier(&port.name), port, at: memory.outputs[i], extents }
        });
        let outputs = outputs.collect();
        let steps = module.programs.iter().flat_map(|(_, program)| &program.steps);
        let most_arguments = steps.map(|step| step.arguments.len()).max().unwrap_or(0);
        Self {
            module,
            inputs,
            outputs,
            bytes: Literal::usize_unsuffixed(memory.words * 4),
            most_arguments: Literal::usize_unsuffixed(most_arguments),
        }
    }

    /// The types.
    fn definitions(&self) -> TokenStream {
        let Module { name, visibility, attributes, facts, .. } = self.module;
        let facts = facts.iter().flat_map(|fact| [String::new(), format!(" {fact}")]);
        let outputs = self.outputs_type().map(|outputs| {
            let docs = format!(" What [`{name}::run`] computes.");
            let fields = self.outputs.iter().map(|output| {
                let (name, ty) = (&output.name, output.ty(&quote!('a)));
                let docs = format!(" `{}`: {}.", output.port.name, shape_text(output.port));
                quote!(#[doc = #docs] pub #name: #ty)
            });
            quote! {
                #[doc = #docs]
                #[allow(non_snake_case)]
                #[derive(Clone, Copy, Debug)]
                #visibility struct #outputs<'a> { #(#fields),* }
            }
        });
        quote! {
            #attributes
            #(#[doc = #facts])*
            #visibility struct #name<Memory = ::ncnnc::Owned>(::ncnnc::generated::Session<Memory>);
            #outputs
        }
    }

    /// The name of the type of several outputs.
    fn outputs_type(&self) -> Option<Ident> {
        (self.outputs.len() != 1).then(|| format_ident!("{}Outputs", self.module.name))
    }

    /// What can be done with them.
    fn implementation(&self) -> TokenStream {
        let (name, bytes, run) = (&self.module.name, &self.bytes, self.run());
        let threads = Literal::usize_unsuffixed(self.module.threads);
        quote! {
            ::ncnnc::with_heap! {
                impl #name {
                    /// The network in memory on the heap, ready to run.
                    #[must_use]
                    pub fn new() -> Self {
                        Self::with_options(&::ncnnc::Options::new().threads(#threads))
                    }

                    /// The same with a choice of threads and instruction set.
                    ///
                    /// # Panics
                    /// When the options ask for an instruction set that this machine lacks.
                    #[must_use]
                    pub fn with_options(options: &::ncnnc::Options) -> Self {
                        let memory = ::ncnnc::Owned::new(Self::ARENA_BYTES);
                        // SAFETY: the memory is that large, and the steps were compiled for it and these constants.
                        Self(unsafe { ::ncnnc::generated::Session::new(memory, PROGRAMS, &CONSTANTS.0, options) })
                    }
                }

                impl ::core::default::Default for #name {
                    fn default() -> Self {
                        Self::new()
                    }
                }
            }

            impl #name {
                /// How much memory it works in.
                pub const ARENA_BYTES: usize = #bytes;
            }

            impl<'a> #name<&'a mut ::ncnnc::Arena<#bytes>> {
                /// The network in memory of yours, ready to run; nothing is allocated with one thread.
                #[must_use]
                pub fn in_arena(arena: &'a mut ::ncnnc::Arena<#bytes>) -> Self {
                    Self::in_arena_with_options(arena, &::ncnnc::Options::new().threads(#threads))
                }

                /// The same with a choice of threads and instruction set.
                ///
                /// # Panics
                /// When the options ask for an instruction set that this machine lacks.
                #[must_use]
                pub fn in_arena_with_options(
                    arena: &'a mut ::ncnnc::Arena<#bytes>,
                    options: &::ncnnc::Options,
                ) -> Self {
                    // SAFETY: the memory is that large, and the steps were compiled for it and these constants.
                    Self(unsafe { ::ncnnc::generated::Session::new(arena, PROGRAMS, &CONSTANTS.0, options) })
                }
            }

            impl<M: ::ncnnc::Memory> #name<M> {
                #run

                /// The instruction set it runs on.
                #[must_use]
                pub fn instruction_set(&self) -> ::ncnnc::InstructionSet {
                    self.0.instruction_set()
                }
            }
        }
    }

    /// The method that runs it.
    fn run(&self) -> TokenStream {
        let parameters = self.inputs.iter().map(|(name, port)| {
            let array = array(port);
            quote!(#name: &#array)
        });
        let pointers = self.inputs.iter().map(|(name, _)| quote!(#name.as_ptr().cast()));
        let (result, value) = match (self.outputs_type(), &self.outputs[..]) {
            (Some(ty), outputs) => {
                let fields = outputs.iter().map(|output| {
                    let (name, value) = (&output.name, output.value());
                    quote!(#name: #value)
                });
                (quote!(#ty<'_>), quote!(#ty { #(#fields),* }))
            }
            (None, outputs) => (outputs[0].ty(&quote!('_)), outputs[0].value()),
        };
        let inputs = self.inputs.iter().map(|(name, port)| format!(" - `{name}`: {}, row-major", shape_text(port)));
        let outputs =
            self.outputs.iter().map(|output| format!(" - `{}`: {}", output.port.name, shape_text(output.port)));
        let most_arguments = &self.most_arguments;
        quote! {
            /// Runs the network. Nothing can fail, and nothing is allocated.
            ///
            /// Takes
            #(#[doc = #inputs])*
            ///
            /// and gives
            #(#[doc = #outputs])*
            pub fn run(&mut self, #(#parameters),*) -> #result {
                // SAFETY: the inputs have the lengths the steps were compiled for; the outputs lie in the memory behind
                // the arena, and stay borrowed with `self`.
                unsafe {
                    self.0.run::<#most_arguments>(&[#(#pointers),*]);
                    let words = self.0.words();
                    #value
                }
            }
        }
    }
}
