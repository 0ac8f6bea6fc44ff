//! Kernels as plain Rust over the runtime's vector words.

use crate::format::Format;
use crate::kernel::{Address, BufferId, Kernel, Op, Statement, Type, ValueId, VariableId};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// The kernel as a function over an array of pointers to its buffers.
pub fn kernel(kernel: &Kernel, name: &Ident) -> TokenStream {
    let buffers = kernel.buffers.iter().enumerate().map(|(i, buffer)| {
        let name = buffer_name(kernel, BufferId(i));
        let i = Literal::usize_unsuffixed(i);
        let (element, from) = match buffer.format {
            Format::Word => (quote!(u32), quote!(*buffers.add(#i))),
            Format::F16 | Format::Bf16 => (quote!(u16), quote!((*buffers.add(#i)).cast())),
        };
        match buffer.writable {
            true => quote!(let #name: *mut #element = #from;),
            false => quote!(let #name: *const #element = #from;),
        }
    });
    let variables = kernel.variables.iter().enumerate().map(|(i, ty)| {
        let (name, lanes) = (variable_name(VariableId(i)), lanes(kernel, *ty));
        let zero = match ty {
            Type::Doubles | Type::Double => quote!(0.0_f64),
            Type::Vector | Type::Scalar | Type::Index => quote!(0_u32),
        };
        quote!(let mut #name = [#zero; #lanes];)
    });
    let task = value_name(kernel, kernel.task);
    let body = statements(kernel, &kernel.body);
    let docs = format!(" {} tasks.", kernel.tasks);
    quote! {
        #[doc = #docs]
        pub unsafe fn #name(buffers: *const *mut u32, begin: usize, end: usize) {
            unsafe {
                #(#buffers)*
                let mut #task = begin as i64;
                while #task < end as i64 {
                    #(#variables)*
                    #body
                    #task += 1;
                }
            }
        }
    }
}

fn lanes(kernel: &Kernel, ty: Type) -> Literal {
    Literal::usize_unsuffixed(match ty {
        Type::Vector => kernel.lanes,
        Type::Doubles => kernel.lanes / 2,
        Type::Scalar | Type::Double => 1,
        Type::Index => unreachable!("an index has no lanes"),
    })
}

/// `b0_input`: the number keeps two buffers of one name apart.
fn buffer_name(kernel: &Kernel, id: BufferId) -> Ident {
    let name: String =
        kernel.buffers[id.0].name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format_ident!("b{}_{}", id.0, name)
}

fn variable_name(id: VariableId) -> Ident {
    format_ident!("x{}", id.0)
}

fn value_name(kernel: &Kernel, id: ValueId) -> Ident {
    match kernel.values[id.0] {
        Type::Vector => format_ident!("v{}", id.0),
        Type::Scalar => format_ident!("s{}", id.0),
        Type::Doubles => format_ident!("w{}", id.0),
        Type::Double => format_ident!("d{}", id.0),
        Type::Index => format_ident!("i{}", id.0),
    }
}

/// A sum of indices times constants, and a constant.
fn sum(kernel: &Kernel, terms: &[(ValueId, i64)], offset: i64) -> TokenStream {
    let mut tokens = TokenStream::new();
    let mut add = |negative: bool, term: TokenStream| {
        tokens.extend(match (negative, tokens.is_empty()) {
            (true, _) => quote!(- #term),
            (false, true) => term,
            (false, false) => quote!(+ #term),
        });
    };
    for (index, stride) in terms {
        let (index, size) = (value_name(kernel, *index), Literal::u64_unsuffixed(stride.unsigned_abs()));
        let one = stride.unsigned_abs() == 1;
        add(*stride < 0, if one { quote!(#index) } else { quote!(#index * #size) });
    }
    if offset != 0 || terms.is_empty() {
        let size = Literal::u64_unsuffixed(offset.unsigned_abs());
        add(offset < 0, quote!(#size));
    }
    tokens
}

/// `load`, or `load_f16`: the function for a buffer's format.
fn access(kernel: &Kernel, what: &str, address: &Address) -> Ident {
    match kernel.buffers[address.buffer.0].format {
        Format::Word => format_ident!("{what}"),
        format @ (Format::F16 | Format::Bf16) => format_ident!("{what}_{}", format.text()),
    }
}

fn address(kernel: &Kernel, address: &Address) -> TokenStream {
    let (buffer, at) = (buffer_name(kernel, address.buffer), sum(kernel, &address.terms, address.offset));
    quote!(#buffer, #at)
}

/// Values declared by one `let`, and the most that are declared where they are computed.
///
/// To rustc what follows a `let` is a scope within that before it, and where it writes debugging information, thousands of
/// them are more than its stack holds.
const DECLARED: usize = 256;

fn statements(kernel: &Kernel, body: &[Statement]) -> TokenStream {
    let values = body.iter().filter_map(|statement| match statement {
        Statement::Let(value, _) => Some(*value),
        _ => None,
    });
    let values: Vec<ValueId> = values.collect();
    let is_long = values.len() > DECLARED;
    let mut tokens = TokenStream::new();
    for values in values.chunks(DECLARED).filter(|_| is_long) {
        let names = values.iter().map(|value| value_name(kernel, *value));
        let types = values.iter().map(|value| match kernel.values[value.0] {
            Type::Index => quote!(i64),
            Type::Vector | Type::Scalar | Type::Doubles | Type::Double => quote!(_),
        });
        tokens.extend(quote!(let (#(#names,)*): (#(#types,)*);));
    }
    for statement in body {
        tokens.extend(match statement {
            Statement::Let(value, op) if is_long => {
                let (name, op) = (value_name(kernel, *value), self::op(kernel, kernel.values[value.0], op));
                quote!(#name = #op;)
            }
            _ => self::statement(kernel, statement),
        });
    }
    tokens
}

fn statement(kernel: &Kernel, statement: &Statement) -> TokenStream {
    match statement {
        Statement::Let(value, op) => {
            let (name, op) = (value_name(kernel, *value), self::op(kernel, kernel.values[value.0], op));
            match kernel.values[value.0] {
                Type::Index => quote!(let #name: i64 = #op;),
                Type::Vector | Type::Scalar | Type::Doubles | Type::Double => quote!(let #name = #op;),
            }
        }
        Statement::Set(variable, value) => {
            let (variable, value) = (variable_name(*variable), value_name(kernel, *value));
            quote!(#variable = #value;)
        }
        Statement::Store(to, value) => {
            let (store, to, value) = (access(kernel, "store", to), address(kernel, to), value_name(kernel, *value));
            quote!(#store(#to, #value);)
        }
        Statement::For { index, extent, body } => {
            let (index, body) = (value_name(kernel, *index), statements(kernel, body));
            let extent = Literal::usize_unsuffixed(*extent);
            // A `for` over a range is a call per iteration in unoptimised builds.
            quote! {
                let mut #index: i64 = 0;
                while #index < #extent { #body #index += 1; }
            }
        }
        Statement::While { test, condition, body } => {
            let (test, body) = (statements(kernel, test), statements(kernel, body));
            let condition = value_name(kernel, *condition);
            quote! {
                loop {
                    #test
                    if #condition == [0] { break; }
                    #body
                }
            }
        }
        Statement::If { condition, then, otherwise } => {
            let (then, otherwise) = (statements(kernel, then), statements(kernel, otherwise));
            let condition = value_name(kernel, *condition);
            quote!(if #condition != [0] { #then } else { #otherwise })
        }
        // What a cache does is no part of plain Rust.
        Statement::Prefetch(_) => TokenStream::new(),
    }
}

fn op(kernel: &Kernel, ty: Type, op: &Op) -> TokenStream {
    let name = |value: &ValueId| value_name(kernel, *value);
    match op {
        Op::Constant(bits) => {
            let (bits, lanes) = (Literal::u32_suffixed(*bits), lanes(kernel, ty));
            quote!([#bits; #lanes])
        }
        Op::Load(from) => {
            let (load, from, lanes) = (access(kernel, "load", from), address(kernel, from), lanes(kernel, ty));
            quote!(#load::<#lanes>(#from))
        }
        Op::Broadcast(from) => {
            let (load, from, lanes) = (access(kernel, "load", from), address(kernel, from), lanes(kernel, ty));
            quote!(splat::<#lanes>(#load(#from)))
        }
        Op::Splat(scalar) => {
            let (scalar, lanes) = (name(scalar), lanes(kernel, ty));
            quote!(splat::<#lanes>(#scalar))
        }
        Op::Apply(instruction, operands) => {
            let (function, operands) = (format_ident!("{}", instruction.text()), operands.iter().map(name));
            quote!(#function(#(#operands),*))
        }
        Op::Get(variable) => {
            let variable = variable_name(*variable);
            quote!(#variable)
        }
        Op::Rotate(vector, distance) => {
            let (vector, distance) = (name(vector), Literal::usize_unsuffixed(*distance));
            quote!(rotate(#vector, #distance))
        }
        Op::First(vector) => {
            let vector = name(vector);
            quote!([#vector[0]])
        }
        Op::Widen(vector, half) => {
            let (vector, half, lanes) = (name(vector), Literal::usize_unsuffixed(*half), lanes(kernel, ty));
            quote!(widen::<_, #lanes>(#vector, #half))
        }
        Op::MultiplyAdd(operands) => {
            let operands = operands.iter().map(name);
            quote!(multiply_add(#(#operands),*))
        }
        Op::AddDoubles(operands) => {
            let operands = operands.iter().map(name);
            quote!(add_doubles(#(#operands),*))
        }
        Op::Narrow(halves) => {
            let (halves, lanes) = (halves.iter().map(name), lanes(kernel, ty));
            quote!(narrow::<_, #lanes>(&[#(#halves),*]))
        }
        Op::IndexConstant(constant) => sum(kernel, &[], *constant),
        Op::IndexSum(terms, offset) => sum(kernel, terms, *offset),
        Op::IndexFrom(scalar) => {
            let scalar = name(scalar);
            quote!(i64::from(#scalar[0].cast_signed()))
        }
        Op::ScalarFrom(index) => {
            let index = name(index);
            quote!([#index as u32])
        }
        Op::IndexWithin(index, extent) => {
            let (index, extent) = (name(index), sum(kernel, &[], *extent));
            quote!(within(#index, #extent))
        }
    }
}
