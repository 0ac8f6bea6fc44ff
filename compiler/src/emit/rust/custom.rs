//! Functions of the user's as kernels: each call gets a function that knows the lengths of its tensors.

use super::Module;
use crate::kernel::{Callee, Custom};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// The different calls of users' functions in all programs; their functions are numbered by their places here.
pub fn calls<'a>(module: &Module<'a>) -> Vec<&'a Custom> {
    let mut calls: Vec<&Custom> = Vec::new();
    for step in module.programs.iter().flat_map(|(_, program)| &program.steps) {
        if let Callee::Custom(custom) = &step.callee
            && !calls.contains(&custom)
        {
            calls.push(custom);
        }
    }
    calls
}

/// The name of the function for a call.
pub fn name(calls: &[&Custom], call: &Custom) -> Ident {
    let number = calls.iter().position(|known| *known == call).expect("every call has been collected");
    format_ident!("__custom_{number}")
}

/// The function for a call, in the form of a kernel with one task.
pub fn function(module: &Module, calls: &[&Custom], call: &Custom) -> TokenStream {
    let (name, function) = (name(calls, call), &module.functions[call.function]);
    let lengths = |written: bool| {
        let buffers = call.buffers.iter().filter(move |buffer| buffer.writable == written);
        buffers.map(|buffer| Literal::usize_unsuffixed(buffer.elements)).collect::<Vec<_>>()
    };
    let (inputs, outputs) = (lengths(false), lengths(true));
    quote! {
        unsafe fn #name(buffers: *const *mut u32, _: usize, _: usize) {
            unsafe { ::ncnnc::generated::call(#function, buffers, [#(#inputs),*], [#(#outputs),*]) }
        }
    }
}
