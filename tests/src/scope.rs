//! What of the shared data the compiler has to take: all but what is quantised, or of layers that it doesn't know.
//!
//! Where it refuses anything else, that is a failure of every test that would have used it.

use crate::cases::Case;
use crate::lowered::read_model;
use ncnnc_compiler::ncnn::{Layer, Model};
use ncnnc_compiler::ops;

/// Whether a case has to be taken.
///
/// # Errors
///
/// What the compiler says where it can't even read the param file.
pub fn has_case(case: &Case) -> Result<bool, String> {
    let model = read_model(&case.id, &case.param)?;
    Ok(has_model(&model))
}

/// Whether a model has to be taken, as far as its layers are concerned.
pub fn has_model(model: &Model) -> bool {
    let is_known = |layer: &Layer| ops::operator(&layer.kind).is_some();
    model.layers.iter().all(|layer| is_known(layer) && !is_quantised(layer))
}

/// Whether a layer computes in integers: parameter 8 of the convolutions and inner products, parameter 18 of the others.
fn is_quantised(layer: &Layer) -> bool {
    let parameter = match layer.kind.as_str() {
        "Gemm" | "MultiHeadAttention" | "SDPA" => 18,
        kind if kind.contains("onvolution") || kind == "InnerProduct" => 8,
        _ => return false,
    };
    layer.parameters.int(parameter, 0) != 0
}
