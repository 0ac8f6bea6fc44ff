//! The weights, `.bin` (`src/modelbin.cpp`): arrays one after another in layer order, with no table of contents; only
//! what a layer is tells how many numbers it has. So the operator table reads, through a [`WeightReader`].
//!
//! Must not know which layer has which arrays.

use super::{Layer, Model};
use crate::bytes;
use crate::diagnostic::{Code, Diagnostic, Location, Position};
use half::{bf16, f16};
use std::sync::Arc;

/// How an array is stored in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// Signed bytes.
    Int8,
    /// Indices of one byte into a table of 256 floats.
    Table,
    /// Bytes whose meaning is the layer's own (block-quantised weights).
    Bytes,
}

/// The numbers of an array, exactly as stored.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightValues {
    /// Everything that is stored as some kind of float.
    F32(Arc<[f32]>),
    /// Quantised weights.
    Int8(Arc<[i8]>),
    /// Uninterpreted bytes.
    Bytes(Arc<[u8]>),
    /// Nothing but how many there are, where the file can't be read.
    Counted(usize),
}

/// One array of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// How the file stores it.
    pub storage: Storage,
    /// Its numbers.
    pub values: WeightValues,
    /// Where it starts in the file, its tag included, in bytes.
    pub offset: usize,
}

impl Weights {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.values {
            WeightValues::F32(values) => values.len(),
            WeightValues::Int8(values) => values.len(),
            WeightValues::Bytes(values) => values.len(),
            WeightValues::Counted(count) => *count,
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the elements themselves are known.
    pub fn are_read(&self) -> bool {
        !matches!(self.values, WeightValues::Counted(_))
    }

    /// The elements as floats: shared where they are floats, converted exactly where they are not, none where they are not
    /// known.
    pub fn values(&self) -> Arc<[f32]> {
        match &self.values {
            WeightValues::F32(values) => values.clone(),
            WeightValues::Int8(values) => values.iter().copied().map(f32::from).collect(),
            WeightValues::Bytes(values) => values.iter().copied().map(f32::from).collect(),
            WeightValues::Counted(_) => Arc::default(),
        }
    }

    /// The same in a vector of its own.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values().to_vec()
    }

    /// The elements when they are stored as signed bytes.
    pub fn int8(&self) -> Option<&Arc<[i8]>> {
        match &self.values {
            WeightValues::Int8(values) => Some(values),
            WeightValues::F32(_) | WeightValues::Bytes(_) | WeightValues::Counted(_) => None,
        }
    }

    /// The elements when they are uninterpreted bytes.
    pub fn bytes(&self) -> Option<&Arc<[u8]>> {
        match &self.values {
            WeightValues::Bytes(values) => Some(values),
            WeightValues::F32(_) | WeightValues::Int8(_) | WeightValues::Counted(_) => None,
        }
    }
}

/// A storage tag of the file format.
struct Tag {
    tag: u32,
    storage: Storage,
}

/// The tags `ModelBinFromDataReader::load` tells apart. The last one is what caffe2ncnn wrote before tables of 256
/// values; ncnn itself takes every other number for a table, too.
const TAGS: [Tag; 6] = [
    Tag { tag: 0, storage: Storage::F32 },
    Tag { tag: 0x0002_c056, storage: Storage::F32 },
    Tag { tag: 0x0130_6b47, storage: Storage::F16 },
    Tag { tag: 0x0134_8b83, storage: Storage::Bf16 },
    Tag { tag: 0x000d_4b38, storage: Storage::Int8 },
    Tag { tag: 1, storage: Storage::Table },
];

/// The size of a table in bytes.
const TABLE: usize = 256 * 4;

/// Why a `.bin` and its `.param` disagree, and what to do.
const DISAGREE: &str = "do the .param and the .bin belong together, and are both complete? The first array whose size \
                        the .param has wrong may lie before this one";

/// Reads arrays one after another, or only counts them.
pub struct WeightReader<'a> {
    layer: &'a str,
    /// The path and the bytes of the file; none to count what it should hold.
    file: Option<(&'a str, &'a [u8])>,
    position: usize,
}

impl WeightReader<'_> {
    /// The offset of the next byte.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The number of bytes that are left.
    pub fn remaining(&self) -> usize {
        self.file.map_or(0, |(_, bytes)| bytes.len() - self.position)
    }

    /// The product of extents, as a number of elements.
    ///
    /// # Errors
    ///
    /// When an extent is negative, or the product is more than the rest of any file could hold.
    pub fn count(&self, extents: &[i32]) -> Result<usize, Diagnostic> {
        let product = extents.iter().try_fold(1usize, |product, extent| {
            product.checked_mul(usize::try_from(*extent).ok()?).filter(|product| *product <= i32::MAX as usize)
        });
        product.ok_or_else(|| {
            let message = format!("an array of {extents:?} elements is impossible");
            self.problem(self.position, message).hint("check the parameters of this layer that give its sizes")
        })
    }

    /// An array with its storage tag (`load(count, 0)`).
    ///
    /// # Errors
    ///
    /// When the file ends before, or the tag is unknown.
    pub fn tagged(&mut self, count: usize) -> Result<Weights, Diagnostic> {
        if self.file.is_none() {
            return self.counted(count);
        }
        let offset = self.position;
        let tag = self.take(Some(4), || format!("the storage tag of an array of {count}"))?;
        let tag = u32::from_le_bytes([tag[0], tag[1], tag[2], tag[3]]);
        let storage = TAGS.iter().find(|known| known.tag == tag).map(|known| known.storage);
        let fits_as_table = table_bytes(count) == Some(self.remaining());
        let Some(storage) = storage.or(fits_as_table.then_some(Storage::Table)) else {
            self.position = offset;
            let message = format!("the array of {count} has the unknown storage tag {tag:#010x}");
            return Err(self.problem(offset, message).hint(DISAGREE));
        };
        let read = self.stored(storage, count, offset);
        if read.is_err() {
            self.position = offset;
        }
        read
    }

    /// An array of f32 without a tag (`load(count, 1)`).
    ///
    /// # Errors
    ///
    /// When the file ends before.
    pub fn raw(&mut self, count: usize) -> Result<Weights, Diagnostic> {
        self.stored(Storage::F32, count, self.position)
    }

    /// Bytes without a tag, padded in the file to a multiple of four.
    ///
    /// # Errors
    ///
    /// When the file ends before.
    pub fn bytes(&mut self, count: usize) -> Result<Weights, Diagnostic> {
        self.stored(Storage::Bytes, count, self.position)
    }

    /// An array that nothing else is known of.
    fn counted(&self, count: usize) -> Result<Weights, Diagnostic> {
        let count = self.count(&[i32::try_from(count).unwrap_or(-1)])?;
        Ok(Weights { storage: Storage::F32, values: WeightValues::Counted(count), offset: 0 })
    }

    fn stored(&mut self, storage: Storage, count: usize, offset: usize) -> Result<Weights, Diagnostic> {
        if self.file.is_none() {
            return self.counted(count);
        }
        let size = match storage {
            Storage::F32 => count.checked_mul(4),
            Storage::F16 | Storage::Bf16 => count.checked_mul(2).and_then(padded),
            Storage::Int8 | Storage::Bytes => padded(count),
            Storage::Table => table_bytes(count),
        };
        let bytes = self.take(size, || format!("an array of {count} stored as {storage:?}"))?;
        let values = match storage {
            Storage::F32 => WeightValues::F32(bytes::to_floats(bytes).into()),
            Storage::F16 => WeightValues::F32(halves(bytes, count).map(|bits| f16::from_bits(bits).to_f32()).collect()),
            Storage::Bf16 => {
                WeightValues::F32(halves(bytes, count).map(|bits| bf16::from_bits(bits).to_f32()).collect())
            }
            Storage::Int8 => WeightValues::Int8(bytes[..count].iter().map(|byte| byte.cast_signed()).collect()),
            Storage::Bytes => WeightValues::Bytes(bytes[..count].into()),
            Storage::Table => {
                let (table, indices) = bytes.split_at(TABLE);
                let table = bytes::to_floats(table);
                WeightValues::F32(indices[..count].iter().map(|index| table[usize::from(*index)]).collect())
            }
        };
        Ok(Weights { storage, values, offset })
    }

    /// The next bytes; `None` stands for more than there can be.
    fn take(&mut self, size: Option<usize>, what: impl Fn() -> String) -> Result<&[u8], Diagnostic> {
        let rest = self.remaining();
        match self.file.zip(size.filter(|size| *size <= rest)) {
            Some(((_, bytes), size)) => {
                self.position += size;
                Ok(&bytes[self.position - size..self.position])
            }
            None => {
                let due = size.map_or("more bytes than can be counted are".into(), |size| format!("{size} bytes are"));
                let message = format!("the file ends within {}: {due} due, {rest} left", what());
                Err(self.problem(self.position, message).hint(DISAGREE))
            }
        }
    }

    fn problem(&self, offset: usize, message: String) -> Diagnostic {
        let problem = Diagnostic::error(message).code(Code::Weights).layer(self.layer);
        match self.file {
            Some((path, _)) => problem.at(location(path, offset)),
            None => problem,
        }
    }
}

fn location(path: &str, offset: usize) -> Location {
    Location { path: path.into(), position: Position::Byte(u32::try_from(offset).unwrap_or(u32::MAX)) }
}

/// A size rounded up to a multiple of four.
fn padded(size: usize) -> Option<usize> {
    size.checked_next_multiple_of(4)
}

fn table_bytes(count: usize) -> Option<usize> {
    padded(count)?.checked_add(TABLE)
}

/// The first `count` little-endian 16-bit words.
fn halves(bytes: &[u8], count: usize) -> impl ExactSizeIterator<Item = u16> {
    bytes[..count * 2].chunks_exact(2).map(|half| u16::from_le_bytes([half[0], half[1]]))
}

/// What the operator table knows: reads the arrays of a layer in load order.
pub type ReadArrays<'a> = dyn Fn(&Layer, &mut WeightReader) -> Result<Vec<Weights>, Vec<Diagnostic>> + 'a;

/// Reads the weights of every layer.
///
/// # Errors
///
/// The first layer whose arrays cannot be read, or bytes left at the end, and everything else that `read` says of any layer.
/// What follows the first array that can't be read cannot be found: the model is left with arrays that are only counted, as
/// by [`count_weights`].
pub fn read_weights(model: &mut Model, path: &str, bytes: &[u8], read: &ReadArrays<'_>) -> Result<(), Vec<Diagnostic>> {
    let mut position = 0;
    for index in 0..model.layers.len() {
        let layer = &mut model.layers[index];
        let mut reader = WeightReader { layer: &layer.name, file: Some((path, bytes)), position };
        match read(layer, &mut reader) {
            Ok(weights) => {
                position = reader.position;
                layer.weights = weights;
            }
            Err(problems) => {
                let mut problems = about(layer, problems);
                let others = count_from(model, index, read);
                problems.extend(others.into_iter().filter(|other| !problems.contains(other)).collect::<Vec<_>>());
                return Err(problems);
            }
        }
    }
    if position < bytes.len() {
        let message = format!("{} bytes are left after the weights of the last layer", bytes.len() - position);
        return Err(vec![Diagnostic::error(message).code(Code::Weights).at(location(path, position)).hint(DISAGREE)]);
    }
    Ok(())
}

/// Counts the weights of every layer as its parameters have them, without a file, and takes away the layers of which that
/// can't be said; gives what `read` says of those.
pub fn count_weights(model: &mut Model, read: &ReadArrays<'_>) -> Vec<Diagnostic> {
    count_from(model, 0, read)
}

/// The same for the layers from this one on.
fn count_from(model: &mut Model, first: usize, read: &ReadArrays<'_>) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut uncounted = model.layers.split_off(first);
    uncounted.retain_mut(|layer| {
        let read = read(layer, &mut WeightReader { layer: &layer.name, file: None, position: 0 });
        let read = read.map_err(|found| problems.extend(about(layer, found)));
        let counted = read.is_ok();
        layer.weights = read.unwrap_or_default();
        counted
    });
    model.layers.append(&mut uncounted);
    problems
}

/// Says which layer is meant, where the problems don't.
fn about(layer: &Layer, problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let complete = |problem: Diagnostic| Diagnostic {
        layer: problem.layer.or_else(|| Some(layer.name.clone())),
        location: problem.location.or_else(|| Some(layer.location.clone())),
        ..problem
    };
    problems.into_iter().map(complete).collect()
}
