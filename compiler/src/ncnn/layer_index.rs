//! The numbers binary files give to layer types: the order of `ncnn_add_layer` in ncnn's `src/CMakeLists.txt`
//! (1.0.20261020), which only grows at its end. Must not know which of them this compiler understands.

/// Set in the number of a layer that an application registered with ncnn itself (`LayerType::CustomBit`).
pub(super) const CUSTOM_BIT: i32 = 1 << 8;

/// The layer types by number; types that releases leave out (ArgMax, SPP) keep theirs.
#[rustfmt::skip]
pub(super) const LAYER_KINDS: [&str; 110] = [
    "AbsVal", "ArgMax", "BatchNorm", "Bias", "BNLL", "Concat", "Convolution", "Crop", "Deconvolution", "Dropout",
    "Eltwise", "ELU", "Embed", "Exp", "Flatten", "InnerProduct", "Input", "Log", "LRN", "MemoryData", "MVN",
    "Pooling", "Power", "PReLU", "Proposal", "Reduction", "ReLU", "Reshape", "ROIPooling", "Scale", "Sigmoid",
    "Slice", "Softmax", "Split", "SPP", "TanH", "Threshold", "Tile", "RNN", "LSTM", "BinaryOp", "UnaryOp",
    "ConvolutionDepthWise", "Padding", "Squeeze", "ExpandDims", "Normalize", "Permute", "PriorBox",
    "DetectionOutput", "Interp", "DeconvolutionDepthWise", "ShuffleChannel", "InstanceNorm", "Clip", "Reorg",
    "YoloDetectionOutput", "Quantize", "Dequantize", "Yolov3DetectionOutput", "PSROIPooling", "ROIAlign",
    "Packing", "Requantize", "Cast", "HardSigmoid", "SELU", "HardSwish", "Noop", "PixelShuffle", "DeepCopy",
    "Mish", "StatisticsPooling", "Swish", "Gemm", "GroupNorm", "LayerNorm", "Softplus", "GRU",
    "MultiHeadAttention", "GELU", "Convolution1D", "Pooling1D", "ConvolutionDepthWise1D", "Convolution3D",
    "ConvolutionDepthWise3D", "Pooling3D", "MatMul", "Deconvolution1D", "DeconvolutionDepthWise1D",
    "Deconvolution3D", "DeconvolutionDepthWise3D", "Einsum", "DeformableConv2D", "GLU", "Fold", "Unfold",
    "GridSample", "CumulativeSum", "CopyTo", "Erf", "Diag", "CELU", "Shrink", "RMSNorm", "Spectrogram",
    "InverseSpectrogram", "Flip", "SDPA", "RotaryEmbed",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_ncnns_list() {
        // Spots counted by hand in the list of ncnn_add_layer.
        for (index, kind) in [(0, "AbsVal"), (6, "Convolution"), (16, "Input"), (34, "SPP"), (74, "Gemm")] {
            assert_eq!(LAYER_KINDS[index], kind);
        }
        assert_eq!(LAYER_KINDS[109], "RotaryEmbed");
    }
}
