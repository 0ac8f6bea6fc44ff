//! ncnn's files as ncnn defines them: layers, blobs, parameters and weights with their storage tags.
//!
//! Must not know shapes of activations, what a layer computes, or targets.
