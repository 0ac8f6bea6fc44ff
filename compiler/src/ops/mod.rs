//! The layers of ncnn, each lowered once to nests; it then works in every precision and on every target.
//!
//! One file per layer or family, one line each in [`OPERATORS`]. Owns ncnn's parameter ids, weight order, shape rules and
//! what each layer computes. Must not know orders of sums, memory layouts or targets.

mod activation;
mod attention;
mod binary_op;
mod cast;
mod concat;
mod contraction;
mod convolution;
mod crop;
mod crop_at;
pub mod custom;
mod data;
mod deconvolution;
mod detection_output;
mod detections;
mod eltwise;
mod gemm;
mod inner_product;
mod interp;
mod lowering;
mod lrn;
mod matmul;
mod normalization;
mod padding;
mod per_channel;
mod permute;
mod pointwise;
mod pooling;
mod prior_box;
mod rearrange;
mod rectify;
mod reduction;
mod reshape;
mod shape;
mod shuffle;
mod signature;
mod size_expression;
mod slice;
mod softmax;
mod unary_op;
mod window;
mod yolo_detections;

#[cfg(test)]
mod hostile;

pub use custom::CustomLayer;
pub use data::SHAPE_HINT;
pub use lowering::{Lowered, Lowering, MOST_ELEMENTS, check_outputs, lower, lower_with};
pub use per_channel::statistics;
pub use signature::{Accepts, Parameter, Signature};

use crate::diagnostic::{Code, Diagnostic};
use crate::ncnn::{self, Blob, BlobId, Judge, Layer, Model, WeightReader, Weights};
use std::collections::HashMap;

/// A layer type.
pub struct Operator {
    /// ncnn's name of it.
    pub kind: &'static str,
    /// Its blobs and parameters.
    pub signature: &'static Signature,
    /// Reads the layer's arrays from the `.bin`, in load order.
    pub weights: fn(&Layer, &mut WeightReader) -> Result<Vec<Weights>, Diagnostic>,
    /// Adds what the layer computes to the graph and sets its outputs; says what is wrong with it otherwise.
    pub lower: fn(&mut Lowering) -> Result<(), Diagnostic>,
}

/// A line of the table.
const fn line(
    kind: &'static str,
    signature: &'static Signature,
    weights: fn(&Layer, &mut WeightReader) -> Result<Vec<Weights>, Diagnostic>,
    lower: fn(&mut Lowering) -> Result<(), Diagnostic>,
) -> Operator {
    Operator { kind, signature, weights, lower }
}

/// Every layer type there is, by name.
#[rustfmt::skip]
pub const OPERATORS: &[Operator] = &[
    line("AbsVal", &pointwise::PLAIN, no_weights, pointwise::absolute),
    line("BNLL", &pointwise::PLAIN, no_weights, pointwise::softplus),
    line("BatchNorm", &per_channel::BATCH_NORM, per_channel::batch_norm_weights, per_channel::batch_norm),
    line("Bias", &per_channel::BIAS, per_channel::bias_weights, per_channel::bias),
    line("BinaryOp", &binary_op::SIGNATURE, no_weights, binary_op::lower),
    line("CELU", &pointwise::CELU, no_weights, pointwise::continuous_exponential_unit),
    line("Cast", &cast::SIGNATURE, no_weights, cast::lower),
    line("Clip", &rectify::CLIP, no_weights, rectify::clip),
    line("Concat", &concat::SIGNATURE, no_weights, concat::lower),
    line("Convolution", &convolution::SIGNATURE, convolution::weights, convolution::plain),
    line("ConvolutionDepthWise", &convolution::SIGNATURE_IN_GROUPS, convolution::weights, convolution::grouped),
    line("CopyTo", &rearrange::COPY_TO, no_weights, rearrange::copy_to),
    line("Crop", &crop::SIGNATURE, no_weights, crop::lower),
    line("CumulativeSum", &rearrange::ALONG, no_weights, rearrange::cumulative_sum),
    line("Deconvolution", &deconvolution::SIGNATURE, deconvolution::weights, deconvolution::plain),
    line("DeconvolutionDepthWise", &deconvolution::SIGNATURE_IN_GROUPS, deconvolution::weights, deconvolution::grouped),
    line("DeepCopy", &pointwise::PLAIN, no_weights, pointwise::same),
    line("DetectionOutput", &detection_output::SIGNATURE, no_weights, detection_output::lower),
    line("Diag", &rearrange::DIAGONAL, no_weights, rearrange::diagonal),
    line("Dropout", &pointwise::DROPOUT, no_weights, pointwise::dropout),
    line("ELU", &pointwise::ELU, no_weights, pointwise::exponential_unit),
    line("Eltwise", &eltwise::SIGNATURE, no_weights, eltwise::lower),
    line("Erf", &pointwise::PLAIN, no_weights, pointwise::error_function),
    line("Exp", &pointwise::EXPONENTIAL, no_weights, pointwise::exponential),
    line("ExpandDims", &reshape::EXPAND, no_weights, reshape::expand),
    line("Flatten", &reshape::FLATTEN, no_weights, reshape::flatten),
    line("Flip", &rearrange::FLIP, no_weights, rearrange::flip),
    line("GELU", &pointwise::GELU, no_weights, pointwise::gelu),
    line("GLU", &rearrange::ALONG, no_weights, rearrange::gated),
    line("Gemm", &gemm::SIGNATURE, gemm::weights, gemm::lower),
    line("GroupNorm", &normalization::GROUP, normalization::group_weights, normalization::group),
    line("HardSigmoid", &pointwise::GATE, no_weights, pointwise::hard_sigmoid),
    line("HardSwish", &pointwise::GATE, no_weights, pointwise::hard_swish),
    line("InnerProduct", &inner_product::SIGNATURE, inner_product::weights, inner_product::lower),
    line("Input", &data::INPUT, no_weights, data::input),
    line("InstanceNorm", &normalization::INSTANCE, normalization::layer_weights, normalization::instance),
    line("Interp", &interp::SIGNATURE, no_weights, interp::lower),
    line("LRN", &lrn::SIGNATURE, no_weights, lrn::lower),
    line("LayerNorm", &normalization::INNERMOST, normalization::layer_weights, normalization::layer),
    line("Log", &pointwise::LOGARITHM, no_weights, pointwise::logarithm),
    line("MVN", &normalization::MEAN_VARIANCE, no_weights, normalization::mean_variance),
    line("MatMul", &matmul::SIGNATURE, no_weights, matmul::lower),
    line("MemoryData", &data::MEMORY_DATA, data::memory_data_weights, data::memory_data),
    line("Mish", &pointwise::PLAIN, no_weights, pointwise::mish),
    line("MultiHeadAttention", &attention::SIGNATURE, attention::weights, attention::lower),
    line("Noop", &pointwise::NOOP, no_weights, pointwise::same),
    line("Normalize", &normalization::NORMALIZE, normalization::normalize_weights, normalization::normalize),
    line("PReLU", &rectify::PRELU, rectify::prelu_weights, rectify::prelu),
    line("Padding", &padding::SIGNATURE, padding::weights, padding::lower),
    line("Permute", &permute::SIGNATURE, no_weights, permute::lower),
    line("PixelShuffle", &shuffle::SQUARES, no_weights, shuffle::to_space),
    line("Pooling", &pooling::SIGNATURE, no_weights, pooling::lower),
    line("Power", &pointwise::POWER, no_weights, pointwise::power),
    line("PriorBox", &prior_box::SIGNATURE, no_weights, prior_box::lower),
    line("RMSNorm", &normalization::INNERMOST, normalization::root_mean_square_weights, normalization::root_mean_square),
    line("ReLU", &rectify::RELU, no_weights, rectify::relu),
    line("Reduction", &reduction::SIGNATURE, no_weights, reduction::lower),
    line("Reorg", &shuffle::SQUARES, no_weights, shuffle::to_channels),
    line("Reshape", &reshape::RESHAPE, no_weights, reshape::reshape),
    line("SELU", &pointwise::SELU, no_weights, pointwise::scaled_exponential_unit),
    line("Scale", &per_channel::SCALE, per_channel::scale_weights, per_channel::scale),
    line("Shrink", &pointwise::SHRINK, no_weights, pointwise::shrink),
    line("ShuffleChannel", &shuffle::CHANNELS, no_weights, shuffle::channels),
    line("Sigmoid", &pointwise::PLAIN, no_weights, pointwise::sigmoid),
    line("Slice", &slice::SIGNATURE, no_weights, slice::lower),
    line("Softmax", &softmax::SIGNATURE, no_weights, softmax::lower),
    line("Softplus", &pointwise::PLAIN, no_weights, pointwise::softplus),
    line("Split", &data::SPLIT, no_weights, data::split),
    line("Squeeze", &reshape::SQUEEZE, no_weights, reshape::squeeze),
    line("Swish", &pointwise::PLAIN, no_weights, pointwise::swish),
    line("TanH", &pointwise::PLAIN, no_weights, pointwise::hyperbolic_tangent),
    line("Threshold", &pointwise::THRESHOLD, no_weights, pointwise::threshold),
    line("Tile", &rearrange::TILE, no_weights, rearrange::tile),
    line("UnaryOp", &unary_op::SIGNATURE, no_weights, unary_op::lower),
    line("YoloDetectionOutput", &yolo_detections::SIGNATURE_2, no_weights, yolo_detections::version_2),
    line("Yolov3DetectionOutput", &yolo_detections::SIGNATURE_3, no_weights, yolo_detections::version_3),
];

/// For layers without arrays in the `.bin`.
fn no_weights(_: &Layer, _: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    Ok(Vec::new())
}

/// The operator for a layer type.
pub fn operator(kind: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.kind == kind)
}

/// Reads a param file; `path` is only named in messages. Layers that are declared in `custom` may be of any type; `shapes`
/// are those of inputs, as for [`lower_with`].
///
/// # Errors
/// Everything that is wrong with the file, every layer of an unknown type, and what else is wrong with the layers as far as
/// it shows without their arrays and behind the faults.
pub fn read_param(
    path: &str,
    bytes: &[u8],
    shapes: &HashMap<String, Vec<usize>>,
    custom: &[CustomLayer],
) -> Result<Model, Vec<Diagnostic>> {
    let rest = |mut model: Model| {
        let problems = ncnn::count_weights(&mut model, &|layer, reader| arrays(custom, layer, reader));
        lowering::problems(&model, shapes, custom).into_iter().chain(problems).collect()
    };
    let layer = |layer: &Layer| match operator(&layer.kind) {
        Some(operator) => operator.signature.problems(layer),
        None if custom::find(custom, layer).is_some() => Vec::new(),
        None => vec![unknown_layer(layer)],
    };
    ncnn::read_param_with(path, bytes, &Judge { layer: &layer, rest: &rest })
}

fn is_known(layer: &Layer, custom: &[CustomLayer]) -> bool {
    operator(&layer.kind).is_some() || custom::find(custom, layer).is_some()
}

/// Reads the `.bin` of a model without layers of the user's own and with inputs as the param file has them; see
/// [`read_weights_with`].
///
/// # Errors
/// As there.
pub fn read_weights(model: &mut Model, path: &str, bytes: &[u8]) -> Result<(), Vec<Diagnostic>> {
    read_weights_with(model, path, bytes, &HashMap::new(), &[])
}

/// Reads the `.bin` of a model; `path` is only named in messages. Layers that are declared in `custom` have no arrays;
/// `shapes` are those of inputs, as for [`lower_with`].
///
/// # Errors
/// Every layer of an unknown type, or what is wrong with the first layer whose arrays can't be read, and what else is wrong
/// with the layers as far as it shows without arrays.
pub fn read_weights_with(
    model: &mut Model,
    path: &str,
    bytes: &[u8],
    shapes: &HashMap<String, Vec<usize>>,
    custom: &[CustomLayer],
) -> Result<(), Vec<Diagnostic>> {
    // Behind a layer of unknown size nothing can be found, so all of them are named before anything is read.
    let unknown: Vec<_> = model.layers.iter().filter(|layer| !is_known(layer, custom)).map(unknown_layer).collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let read = ncnn::read_weights(model, path, bytes, &|layer, reader| arrays(custom, layer, reader));
    read.map_err(|problems| {
        let of_layers = lowering::problems(model, shapes, custom);
        of_layers.into_iter().chain(problems).collect()
    })
}

/// Reads the arrays of a layer.
fn arrays(custom: &[CustomLayer], layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Vec<Diagnostic>> {
    match operator(&layer.kind) {
        Some(operator) => {
            let problems = operator.signature.problems(layer);
            if signature::has_errors(&problems) {
                return Err(problems);
            }
            (operator.weights)(layer, reader).map_err(|problem| vec![problem])
        }
        None if custom::find(custom, layer).is_some() => Ok(Vec::new()),
        None => Err(vec![unknown_layer(layer)]),
    }
}

/// Inputs of which the file doesn't say the shape, and that are caches and nothing else: before the first step they are
/// empty, of shape `[0]`.
pub fn open_caches(model: &Model) -> Vec<&str> {
    let only_caches = |layer: &Layer, id: BlobId| {
        let caches = operator(&layer.kind).map_or(0..0, |operator| operator.signature.caches(layer));
        layer.inputs.iter().enumerate().all(|(at, input)| *input != id || caches.contains(&at))
    };
    let open = (0..model.blobs.len()).map(BlobId).filter(|id| {
        let Blob { producer, consumers, shape_hint, .. } = model.blob(*id);
        let used = !consumers.is_empty() && consumers.iter().all(|consumer| only_caches(&model.layers[*consumer], *id));
        used && shape_hint.is_none() && data::is_open_input(&model.layers[*producer])
    });
    open.map(|id| model.blob(id).name.as_str()).collect()
}

fn unknown_layer(layer: &Layer) -> Diagnostic {
    let hint = format!(
        "in Rust, `layer {:?} = path::to::function: [1, 2, 3];` has a function compute such layers",
        layer.kind
    );
    Diagnostic::error(format!("unknown layer type `{}`", layer.kind))
        .code(Code::UnknownLayer)
        .at(layer.location.clone())
        .layer(&layer.name)
        .hint(hint)
}

#[cfg(test)]
mod tests;
