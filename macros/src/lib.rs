//! The `include_model!` macro.

mod arguments;
mod cache;

use arguments::{Arguments, with_functions};
use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use proc_macro2::TokenStream;
use quote::quote;
use std::any::Any;
use std::path::PathBuf;

/// Compiles a network in ncnn's format into the crate, as a type with a method `run`.
///
/// The short form names the param file, with the `.bin` beside it, and works when the file carries the shapes of its
/// inputs; the type has the name of the file.
///
/// ```ignore
/// ncnnc::include_model!("models/digits.param");
///
/// let mut model = Digits::new();
/// let probabilities: &[f32; 10] = model.run(&image);
/// ```
///
/// The long form says more:
///
/// ```ignore
/// ncnnc::include_model! {
///     /// ImageNet classifier.
///     pub struct Resnet18 = "models/resnet18.param";
///     weights = "models/resnet18-v2.bin"; // otherwise models/resnet18.bin
///     input in0: [3, 224, 224];           // shapes the file leaves open, outermost extent first
///     output pool5;                       // blobs to put out beside the model's outputs
///     layer "Swirl" = crate::swirl: [8, 7, 7]; // layers of a type the compiler doesn't know
///     numerics = strict;                  // or fast, the default, or compensated
///     numerics("softmax", "fc*") = compensated; // and in layers with these names
///     precision = f16;                    // how weights are stored: f32, the default, f16 or bf16
///     precision("conv_3", "fc*") = f32;   // and those of layers with these names
///     activations = f16;                  // how what layers put out is stored between them: f32, the default, f16 or bf16
///     activations("head/*") = f32;        // and what layers with these names put out
///     threads = 2;                        // for `new`, up to 1024; the default is 1
///     lock = "models/resnet18.precision.lock"; // what the precision is held to
///     max_error = 1e-3;                   // the largest error it may have recorded; or 0.1%, or 60dB
///     bias_correction = lock;             // biases make up for what narrow weights do to means, as it has recorded
/// }
/// ```
///
/// A blob whose name is no identifier stands in quotes: `input "data/0": [3, 224, 224];`. A cache of keys and values that is
/// empty, as at the first step, has the shape `[0]`, and isn't fed.
///
/// # Precision
///
/// `precision` says how the weights of convolutions and other products are stored; everything is computed in f32 whatever
/// it says. `precision = f16;` is for all layers, `precision("conv_3", "fc*") = f32;` for the layers of these names: `*`
/// stands for any text, `?` for one character, `[a-c]` for one of several. Where several such lines match a layer, the last
/// one holds. A layer whose feature mask in the param file forbids a format keeps f32. Which layers can be narrow within a
/// given error `ncnnc verify MODEL.param --inputs DIR --precision auto --max-error 1e-3` searches for; it prints such lines.
///
/// `activations` says in the same way how the outputs of layers are stored between them, which takes half the memory in f16
/// and bf16. Each number is rounded when it is stored, on every machine alike. What the model is given and gives stays f32,
/// and so does what stays inside a layer; an output that the next layer uses up without its being stored isn't rounded. The
/// documentation of the type says which are.
///
/// With `lock`, the build fails unless the model's files, the options and what is computed from them are those that
/// `ncnnc verify --record` wrote the lock for; the error shows what is other. Only hashes are compared, nothing is measured:
/// that `ncnnc verify --locked` does.
///
/// `max_error` fails the build when the lock has recorded a larger error of some output, measured against the model in
/// double precision: as a difference (`1e-3`), in per cent of the output's largest value (`0.1%`), or as the least ratio of
/// signal to noise (`60dB`). What is built has the bits that were measured, so that the error is its own.
///
/// `bias_correction = lock;` corrects the biases of layers with narrow weights by the numbers that
/// `ncnnc verify MODEL.param --calibration DIR --bias-correction --record` has written into the lock.
///
/// `numerics` says how: `fast` takes algorithms that change the last places, `strict` computes the plain definition of each
/// layer, `compensated` computes it so that every result of a layer is within a unit in the last place of the definition in
/// double precision, and takes several times as long. `numerics("softmax", "fc*") = compensated;` is for single layers.
///
/// # Layers of your own
///
/// `layer "Swirl" = path::to::function: [8, 7, 7];` has a function compute every layer of the type `Swirl`, or the layer
/// of that name; the shapes of its outputs follow the colon, one after the other. The function gets dense, row-major
/// tensors and fills the outputs, which hold anything before:
///
/// ```
/// fn swirl(inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
///     for (to, from) in outputs[0].iter_mut().zip(inputs[0]) {
///         *to = from.sin();
///     }
/// }
/// ```
///
/// Such a layer has no arrays in the `.bin`. That every machine gives the same bits is then up to the function.
///
/// # Weights at run time
///
/// With `weights = runtime;`, or `weights = runtime("models/resnet18-v2.bin");`, the packed weights are no part of the
/// program: `with_weights` takes the place of `new`, and `in_arena` takes them as well. They are written to a file when
/// the crate is built, `WEIGHTS_FILE`, in cargo's target directory; ship a copy of it. They must begin at a multiple of
/// 64 bytes, as what is mapped from a file does and what `leak_weights` copies; their length and hash are checked, which
/// finds damaged files and those of other models, but is no signature.
///
/// ```ignore
/// let weights = ncnnc::leak_weights(&std::fs::read("resnet18.constants")?);
/// let mut model = Resnet18::with_weights(weights)?;
/// ```
///
/// # Files
///
/// Paths are relative to the folder of the crate's `Cargo.toml`. Editing the model rebuilds the crate. Whatever is wrong
/// with a model is an error of the build, all of it at once, with the file, line and column. What is only doubtful is
/// shown as a warning, in the words of one that something is deprecated.
///
/// # The type
///
/// What it offers:
///
/// - `run` takes one array for every input and gives a reference to the output, or to a struct of them when there are
///   several. Outputs whose size depends on the data come as `Rows`. Nothing is allocated and nothing can fail.
/// - `new` and `with_options` put the network's memory on the heap; `in_arena` takes an `Arena` instead.
/// - `ARENA_BYTES` is how much memory it is.
///
/// Cargo compiles macros without optimisation in its dev profile, this compiler as well. For anything but small models
/// add to the `Cargo.toml` of the workspace:
///
/// ```toml
/// [profile.dev.build-override]
/// opt-level = 2
/// ```
///
/// A build script can do the same work: see `ncnnc_compiler::build`.
#[proc_macro]
pub fn include_model(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let arguments = match syn::parse::<Arguments>(input) {
        Ok(arguments) => arguments,
        Err(problems) => return problems.into_compile_error().into(),
    };
    let span = arguments.span;
    // The compiler says what is wrong with a model; if it panics, something is wrong with the compiler.
    let expanded = std::panic::catch_unwind(|| expand(&arguments)).unwrap_or_else(|panic| Err(vec![defect(&*panic)]));
    let tokens = expanded.unwrap_or_else(|problems| {
        let errors = problems.iter().map(|problem| {
            let text = problem.to_string();
            // The Rust compiler begins with the same word.
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            syn::Error::new(span, text).into_compile_error()
        });
        quote!(#(#errors)*)
    });
    tokens.into()
}

fn expand(arguments: &Arguments) -> Result<TokenStream, Vec<Diagnostic>> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR")
        .ok_or_else(|| vec![Diagnostic::error("CARGO_MANIFEST_DIR is not set; paths are relative to it")])?;
    let files = arguments.request.read(&PathBuf::from(root))?;
    let code = cache::code(&arguments.request, &files)?;
    let code = if arguments.functions.is_empty() { code } else { with_functions(code, &arguments.functions) };
    // Cargo rebuilds the crate when a file it includes has changed; a constant without a name leaves no trace in it.
    let tracked = files.paths().map(|path| {
        let path = path.to_string_lossy();
        quote!(
            const _: &[u8] = include_bytes!(#path);
        )
    });
    Ok(quote!(#(#tracked)* #code))
}

/// A panic as a request for a report.
fn defect(panic: &(dyn Any + Send)) -> Diagnostic {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    // Some show a whole kernel after the first line.
    let text = text.and_then(|text| text.lines().next()).unwrap_or("no details");
    Diagnostic::error(format!("defect in the compiler: {text}"))
        .code(Code::Defect)
        .hint("please report it, with the param file: whatever the model is, this should not happen")
}
