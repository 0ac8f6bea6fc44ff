//! ncnn's files as ncnn defines them: layers, blobs, parameters and weights with their storage tags.
//!
//! Must not know shapes of activations, what a layer computes, or targets. The grammar is that of ncnn 1.0.20261020
//! (`src/net.cpp`, `src/paramdict.cpp`, `src/modelbin.cpp`), without its misreadings: what ncnn would silently
//! understand otherwise than it is written is refused or warned of, with the place and a way out.
//!
//! Files are hostile: nothing here panics, and nothing is allocated by a count that the bytes at hand don't back.

mod assemble;
mod binary;
mod layer_index;
mod number;
mod order;
mod parameters;
mod print;
mod problems;
mod text;
mod weights;

pub use assemble::shape_hints;
pub use parameters::{
    FORBIDS_BF16_STORAGE, FORBIDS_F16_STORAGE, FORBIDS_WINOGRAD, OF_EVERY_LAYER, Parameters, SHAPE_HINTS, Value,
};
pub use weights::{ReadArrays, Storage, WeightReader, WeightValues, Weights, count_weights, read_weights};

use crate::diagnostic::{Code, Diagnostic, Location};

/// The first number of every param file, text or binary.
pub const MAGIC: i32 = 7_767_517;

/// ncnn's own bound on layers, blobs and the inputs or outputs of one layer (`max_net_count`, `src/net.cpp`).
pub const MOST_LAYERS: i32 = 1_000_000;

/// A blob of a model: an index into [`Model::blobs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub usize);

/// A tensor between layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob {
    /// Its name; in binary files, which have none, its number.
    pub name: String,
    /// The index of the layer that makes it.
    pub producer: usize,
    /// The indices of the layers that read it, one entry per use, in file order.
    pub consumers: Vec<usize>,
    /// The shape the file claims for it (parameter 30 of the producer), outermost first: `[w]`, `[h, w]`, `[c, h, w]`
    /// or `[c, d, h, w]`. A claim without extents, or with an extent of 0, is none.
    pub shape_hint: Option<Vec<usize>>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// ncnn's name of the type, such as `Convolution`; not checked against any list.
    pub kind: String,
    /// The layer's own name; in binary files, which have none, its kind and index.
    pub name: String,
    /// What it reads.
    pub inputs: Vec<BlobId>,
    /// What it makes.
    pub outputs: Vec<BlobId>,
    /// Its parameters.
    pub parameters: Parameters,
    /// Where it is written.
    pub location: Location,
    /// Its arrays in load order, once [`read_weights`] has read them.
    pub weights: Vec<Weights>,
}

impl Layer {
    /// An error about the layer, at its line.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).code(Code::Layer).at(self.location.clone()).layer(&self.name)
    }

    /// An error about one of its parameters, where that is written; at its line when it isn't.
    pub fn error_in(&self, parameter: u32, message: impl Into<String>) -> Diagnostic {
        let place = self.parameters.location(parameter).unwrap_or_else(|| self.location.clone());
        self.error(message).at(place)
    }
}

/// A network as its files give it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// In file order, which is an order of execution: every input is made by an earlier layer.
    pub layers: Vec<Layer>,
    /// In order of production.
    pub blobs: Vec<Blob>,
    /// What the user should know, in file order.
    pub warnings: Vec<Diagnostic>,
}

impl Model {
    /// What the network computes: blobs that are produced and not consumed, in order of production.
    pub fn outputs(&self) -> Vec<BlobId> {
        (0..self.blobs.len()).map(BlobId).filter(|id| self.blob(*id).consumers.is_empty()).collect()
    }

    /// The blob of an id of this model.
    pub fn blob(&self, id: BlobId) -> &Blob {
        &self.blobs[id.0]
    }
}

/// What can be wrong with a model beyond how its param file is written.
pub struct Judge<'a> {
    /// With a single layer that can be read; warnings too.
    pub layer: &'a dyn Fn(&Layer) -> Vec<Diagnostic>,
    /// With the layers of a faulty file of which nothing wrong is known yet.
    pub rest: &'a dyn Fn(Model) -> Vec<Diagnostic>,
}

/// Reads a param file, text or binary as its first bytes say; `path` is only named in messages.
///
/// # Errors
///
/// Everything that is wrong with the file, with warnings, in file order.
pub fn read_param(path: &str, bytes: &[u8]) -> Result<Model, Vec<Diagnostic>> {
    read_param_with(path, bytes, &Judge { layer: &|_| Vec::new(), rest: &|_| Vec::new() })
}

/// The same, with what else `judge` finds wrong: with a damaged file too, as far as its layers can be read.
///
/// # Errors
///
/// As [`read_param`].
pub fn read_param_with(path: &str, bytes: &[u8], judge: &Judge) -> Result<Model, Vec<Diagnostic>> {
    let read = if bytes.starts_with(&MAGIC.to_le_bytes()) { binary::read } else { text::read };
    read(path, bytes, judge)
}

#[cfg(test)]
mod tests;
