//! What users see of a network: its type, its constructors and `run`.

use super::names::Names;
use super::{Memory, Module, Weights, words_of};
use crate::kernel::{Port, Program};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// What users see of the network.
pub(super) struct Interface<'a> {
    module: &'a Module<'a>,
    inputs: Vec<(Ident, &'a Port)>,
    outputs: Vec<Output<'a>>,
    /// Of the memory it works in.
    bytes: Literal,
    weights_bytes: Literal,
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
    pub(super) fn new(module: &'a Module<'a>, program: &'a Program, memory: &Memory) -> Self {
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
            weights_bytes: Literal::usize_unsuffixed(program.constants.len() * 4),
            most_arguments: Literal::usize_unsuffixed(most_arguments),
        }
    }

    /// The types.
    pub(super) fn definitions(&self) -> TokenStream {
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
    pub(super) fn implementation(&self) -> TokenStream {
        let (name, bytes, run) = (&self.module.name, &self.bytes, self.run());
        let constructors = match self.module.weights {
            Weights::Included => self.constructors(),
            Weights::RunTime { hash } => self.constructors_with_weights(hash),
        };
        quote! {
            #constructors

            impl #name {
                /// How much memory it works in.
                pub const ARENA_BYTES: usize = #bytes;
            }

            impl<__Memory: ::ncnnc::Memory> #name<__Memory> {
                #run

                /// The instruction set it runs on.
                #[must_use]
                pub fn instruction_set(&self) -> ::ncnnc::InstructionSet {
                    self.0.instruction_set()
                }
            }
        }
    }

    /// How a network that includes its constants is made.
    fn constructors(&self) -> TokenStream {
        let (name, bytes, threads) = (&self.module.name, &self.bytes, self.threads());
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
                        Self(unsafe { __generated::Session::new(memory, PROGRAMS, &CONSTANTS.0, options) })
                    }
                }

                impl ::core::default::Default for #name {
                    fn default() -> Self {
                        Self::new()
                    }
                }
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
                    Self(unsafe { __generated::Session::new(arena, PROGRAMS, &CONSTANTS.0, options) })
                }
            }
        }
    }

    /// How a network is made whose constants, with this hash, are given at run time.
    fn constructors_with_weights(&self, hash: u128) -> TokenStream {
        let Module { name, constants, .. } = self.module;
        let (bytes, weights_bytes, threads) = (&self.bytes, &self.weights_bytes, self.threads());
        let hash = Literal::u128_unsuffixed(hash);
        quote! {
            ::ncnnc::with_heap! {
                impl #name {
                    /// The network in memory on the heap, ready to run with its packed weights.
                    ///
                    /// # Errors
                    /// When these are not the weights it was compiled with, or don't begin at a multiple of 64 bytes.
                    pub fn with_weights(
                        weights: &'static [u8],
                    ) -> ::core::result::Result<Self, ::ncnnc::WeightsError> {
                        Self::with_weights_and_options(weights, &::ncnnc::Options::new().threads(#threads))
                    }

                    /// The same with a choice of threads and instruction set.
                    ///
                    /// # Errors
                    /// As [`Self::with_weights`].
                    ///
                    /// # Panics
                    /// When the options ask for an instruction set that this machine lacks.
                    pub fn with_weights_and_options(
                        weights: &'static [u8],
                        options: &::ncnnc::Options,
                    ) -> ::core::result::Result<Self, ::ncnnc::WeightsError> {
                        __generated::check_weights(weights, Self::WEIGHTS_BYTES, #hash)?;
                        let memory = ::ncnnc::Owned::new(Self::ARENA_BYTES);
                        // SAFETY: the memory is that large, and the steps were compiled for it and these constants.
                        let session = unsafe { __generated::Session::new(memory, PROGRAMS, weights, options) };
                        ::core::result::Result::Ok(Self(session))
                    }
                }
            }

            impl #name {
                /// How many bytes of packed weights it wants.
                pub const WEIGHTS_BYTES: usize = #weights_bytes;
                /// Where its packed weights were written when it was compiled: the file to give to
                /// [`Self::with_weights`], wherever it is kept then.
                pub const WEIGHTS_FILE: &'static str = #constants;
            }

            impl<'a> #name<&'a mut ::ncnnc::Arena<#bytes>> {
                /// The network in memory of yours, ready to run with its packed weights; nothing is allocated with one
                /// thread.
                ///
                /// # Errors
                /// When these are not the weights it was compiled with, or don't begin at a multiple of 64 bytes.
                pub fn in_arena(
                    arena: &'a mut ::ncnnc::Arena<#bytes>,
                    weights: &'static [u8],
                ) -> ::core::result::Result<Self, ::ncnnc::WeightsError> {
                    Self::in_arena_with_options(arena, weights, &::ncnnc::Options::new().threads(#threads))
                }

                /// The same with a choice of threads and instruction set.
                ///
                /// # Errors
                /// As [`Self::in_arena`].
                ///
                /// # Panics
                /// When the options ask for an instruction set that this machine lacks.
                pub fn in_arena_with_options(
                    arena: &'a mut ::ncnnc::Arena<#bytes>,
                    weights: &'static [u8],
                    options: &::ncnnc::Options,
                ) -> ::core::result::Result<Self, ::ncnnc::WeightsError> {
                    __generated::check_weights(weights, #weights_bytes, #hash)?;
                    // SAFETY: the memory is that large, and the steps were compiled for it and these constants.
                    let session = unsafe { __generated::Session::new(arena, PROGRAMS, weights, options) };
                    ::core::result::Result::Ok(Self(session))
                }
            }
        }
    }

    /// How many threads the plain constructors take.
    fn threads(&self) -> Literal {
        Literal::usize_unsuffixed(self.module.threads)
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
