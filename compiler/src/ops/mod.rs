//! The layers of ncnn, each lowered once to nests; it then works in every precision and on every target.
//!
//! One file per layer or family, one line each in [`OPERATORS`]. Owns ncnn's parameter ids, weight order, shape rules and
//! what each layer computes. Must not know orders of sums, memory layouts or targets.

mod activation;
mod attention;
mod contraction;
mod convolution;
mod data;
mod deconvolution;
mod eltwise;
mod gemm;
mod inner_product;
mod lowering;
mod matmul;
mod per_channel;
mod pooling;
mod rectify;
mod softmax;
mod window;

pub use lowering::{Lowering, lower};

use crate::diagnostic::Diagnostic;
use crate::ncnn::{self, Layer, Model, WeightReader, Weights};

/// A layer type.
pub struct Operator {
    /// ncnn's name of it.
    pub kind: &'static str,
    /// Reads the layer's arrays from the `.bin`, in load order.
    pub weights: fn(&Layer, &mut WeightReader) -> Result<Vec<Weights>, Diagnostic>,
    /// Adds what the layer computes to the graph and sets its outputs; says what is wrong with it otherwise.
    pub lower: fn(&mut Lowering) -> Result<(), Diagnostic>,
}

/// A line of the table.
const fn line(
    kind: &'static str,
    weights: fn(&Layer, &mut WeightReader) -> Result<Vec<Weights>, Diagnostic>,
    lower: fn(&mut Lowering) -> Result<(), Diagnostic>,
) -> Operator {
    Operator { kind, weights, lower }
}

/// Every layer type there is, by name.
#[rustfmt::skip]
pub const OPERATORS: &[Operator] = &[
    line("BatchNorm", per_channel::batch_norm_weights, per_channel::batch_norm),
    line("Bias", per_channel::bias_weights, per_channel::bias),
    line("Clip", no_weights, rectify::clip),
    line("Convolution", convolution::weights, convolution::plain),
    line("ConvolutionDepthWise", convolution::weights, convolution::grouped),
    line("Deconvolution", deconvolution::weights, deconvolution::plain),
    line("DeconvolutionDepthWise", deconvolution::weights, deconvolution::grouped),
    line("Eltwise", no_weights, eltwise::lower),
    line("Gemm", gemm::weights, gemm::lower),
    line("InnerProduct", inner_product::weights, inner_product::lower),
    line("Input", no_weights, data::input),
    line("MatMul", no_weights, matmul::lower),
    line("MemoryData", data::memory_data_weights, data::memory_data),
    line("MultiHeadAttention", attention::weights, attention::lower),
    line("PReLU", rectify::prelu_weights, rectify::prelu),
    line("Pooling", no_weights, pooling::lower),
    line("ReLU", no_weights, rectify::relu),
    line("Scale", per_channel::scale_weights, per_channel::scale),
    line("Softmax", no_weights, softmax::lower),
    line("Split", no_weights, data::split),
];

/// For layers without arrays in the `.bin`.
fn no_weights(_: &Layer, _: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    Ok(Vec::new())
}

/// The operator for a layer type.
pub fn operator(kind: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.kind == kind)
}

/// Reads the `.bin` of a model; `path` is only named in messages.
///
/// # Errors
/// Every layer of an unknown type, or what is wrong with the first layer whose arrays can't be read.
pub fn read_weights(model: &mut Model, path: &str, bytes: &[u8]) -> Result<(), Vec<Diagnostic>> {
    // Behind a layer of unknown size nothing can be found, so all of them are named before anything is read.
    let unknown: Vec<_> =
        model.layers.iter().filter(|layer| operator(&layer.kind).is_none()).map(unknown_layer).collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    ncnn::read_weights(model, path, bytes, &|layer, reader| match operator(&layer.kind) {
        Some(operator) => (operator.weights)(layer, reader).map_err(|problem| vec![problem]),
        None => Err(vec![unknown_layer(layer)]),
    })
}

fn unknown_layer(layer: &Layer) -> Diagnostic {
    Diagnostic::error(format!("unknown layer type `{}`", layer.kind)).at(layer.location.clone()).layer(&layer.name)
}
