//! The numbered parameters of a layer, read as ncnn's `ParamDict` reads them (`src/paramdict.cpp`, `ParamDict::get`).
//!
//! Must not know what any number means, except the feature mask, which every layer has.

use super::problems::Place;
use crate::diagnostic::Location;
use std::sync::Arc;

/// Parameters are numbered below this (`NCNN_MAX_PARAM_COUNT`).
pub(super) const COUNT: u32 = 32;

/// Claims about the shapes of the outputs.
pub const SHAPE_HINTS: u32 = 30;

/// What the layer must not use: 1 f16 arithmetic, 2 f16 storage, 4 bf16, 8 int8, 16 Vulkan, 32 sgemm, 64 Winograd,
/// 128 several threads.
pub(super) const FEATURE_MASK: u32 = 31;

/// The parameters that mean the same to every layer.
pub const OF_EVERY_LAYER: [u32; 2] = [SHAPE_HINTS, FEATURE_MASK];

/// In a feature mask: no storage in half precision (`NetPrivate::load_param`, `get_masked_option`, `src/net.cpp`).
/// Arithmetic in half precision, which bit 1 forbids, there is none here anyway.
pub const FORBIDS_F16_STORAGE: u32 = 2;

/// In a feature mask: no storage in bfloat16.
pub const FORBIDS_BF16_STORAGE: u32 = 4;

/// In a feature mask: no convolution by Winograd's algorithm.
pub const FORBIDS_WINOGRAD: u32 = 64;

/// One value as the file gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number without `.` or exponent in a text file.
    Int(i32),
    /// A number with one of them.
    Float(f32),
    /// A number in a binary file, which doesn't say of what type: 32 bits.
    Word(u32),
    /// An array of integers in a text file.
    Ints(Vec<i32>),
    /// An array of floats in a text file.
    Floats(Vec<f32>),
    /// An array in a binary file, or an empty one in either.
    Words(Vec<u32>),
    /// A string of at most 255 bytes.
    String(String),
}

#[derive(Clone, Debug)]
struct Entry {
    id: u32,
    value: Value,
    place: Place,
}

/// The parameters of one layer.
#[derive(Clone, Debug)]
pub struct Parameters {
    path: Arc<str>,
    /// By id, each once.
    entries: Vec<Entry>,
    /// Those that the file sets to what can't be read.
    unreadable: Vec<u32>,
}

/// Equal values, wherever they are written.
impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Parameters {
    /// No parameters, from a file of this name.
    pub(super) fn new(path: Arc<str>) -> Self {
        Self { path, entries: Vec::new(), unreadable: Vec::new() }
    }

    /// These parameters, from no file.
    pub fn of(values: &[(u32, Value)]) -> Self {
        let mut all = Self::new("".into());
        for (id, value) in values {
            all.set(*id, value.clone(), Place { line: 1, column: 1 });
        }
        all
    }

    /// Sets a value; a later one wins. True when there was one already.
    pub(super) fn set(&mut self, id: u32, value: Value, place: Place) -> bool {
        let entry = Entry { id, value, place };
        match self.entries.binary_search_by_key(&id, |entry| entry.id) {
            Ok(index) => {
                self.entries[index] = entry;
                true
            }
            Err(index) => {
                self.entries.insert(index, entry);
                false
            }
        }
    }

    /// Notes that what the file sets it to can't be read.
    pub(super) fn set_unreadable(&mut self, id: u32) {
        self.unreadable.push(id);
    }

    /// Those that the file sets to what can't be read, which is reported already.
    pub fn unreadable(&self) -> &[u32] {
        &self.unreadable
    }

    fn entry(&self, id: u32) -> Option<&Entry> {
        self.entries.binary_search_by_key(&id, |entry| entry.id).ok().map(|index| &self.entries[index])
    }

    /// The value as the file gives it.
    pub fn value(&self, id: u32) -> Option<&Value> {
        self.entry(id).map(|entry| &entry.value)
    }

    /// All of them by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Value)> {
        self.entries.iter().map(|entry| (entry.id, &entry.value))
    }

    /// True when the file sets it, to whatever type.
    pub fn has(&self, id: u32) -> bool {
        self.entry(id).is_some()
    }

    /// Where the file sets it.
    pub fn location(&self, id: u32) -> Option<Location> {
        self.entry(id).map(|Entry { place, .. }| place.in_file(&self.path))
    }

    /// An integer. As in ncnn, anything else is passed over for the default, floats included.
    pub fn int(&self, id: u32, default: i32) -> i32 {
        match self.value(id) {
            Some(Value::Int(value)) => *value,
            Some(Value::Word(bits)) => bits.cast_signed(),
            None | Some(Value::Float(_) | Value::Ints(_) | Value::Floats(_) | Value::Words(_) | Value::String(_)) => {
                default
            }
        }
    }

    /// A float; an integer is converted. As in ncnn, anything else is passed over for the default.
    pub fn float(&self, id: u32, default: f32) -> f32 {
        match self.value(id) {
            Some(Value::Float(value)) => *value,
            Some(Value::Int(value)) => *value as f32,
            Some(Value::Word(bits)) => f32::from_bits(*bits),
            None | Some(Value::Ints(_) | Value::Floats(_) | Value::Words(_) | Value::String(_)) => default,
        }
    }

    /// An array of integers, empty when there is none. The bits of floats are taken for integers, as in ncnn, so ask
    /// [`Parameters::value`] where that must be refused.
    pub fn ints(&self, id: u32) -> Vec<i32> {
        self.words(id).into_iter().map(u32::cast_signed).collect()
    }

    /// An array of floats, empty when there is none; integers are converted.
    pub fn floats(&self, id: u32) -> Vec<f32> {
        match self.value(id) {
            Some(Value::Floats(values)) => values.clone(),
            Some(Value::Ints(values)) => values.iter().map(|value| *value as f32).collect(),
            Some(Value::Words(words)) => words.iter().copied().map(f32::from_bits).collect(),
            None | Some(Value::Int(_) | Value::Float(_) | Value::Word(_) | Value::String(_)) => Vec::new(),
        }
    }

    /// The bits of the elements of an array, empty when there is none.
    pub fn words(&self, id: u32) -> Vec<u32> {
        match self.value(id) {
            Some(Value::Floats(values)) => values.iter().map(|value| value.to_bits()).collect(),
            Some(Value::Ints(values)) => values.iter().map(|value| value.cast_unsigned()).collect(),
            Some(Value::Words(words)) => words.clone(),
            None | Some(Value::Int(_) | Value::Float(_) | Value::Word(_) | Value::String(_)) => Vec::new(),
        }
    }

    /// A string.
    pub fn string(&self, id: u32) -> Option<&str> {
        match self.value(id) {
            Some(Value::String(text)) => Some(text),
            None
            | Some(
                Value::Int(_) | Value::Float(_) | Value::Word(_) | Value::Ints(_) | Value::Floats(_) | Value::Words(_),
            ) => None,
        }
    }

    /// Parameter 31, what the layer must not use: 1 f16 arithmetic, 2 f16 storage, 4 bf16, 8 int8, 16 Vulkan,
    /// 32 sgemm, 64 Winograd, 128 several threads. 0 when absent.
    pub fn feature_mask(&self) -> u32 {
        self.int(FEATURE_MASK, 0).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_convert_as_ncnn_converts() {
        let all = Parameters::of(&[(3, Value::Int(6)), (1, Value::Float(0.5)), (2, Value::Word(0x3f80_0000))]);
        assert_eq!((all.int(3, 0), all.float(3, 0.0)), (6, 6.0));
        assert_eq!((all.int(1, 7), all.float(1, 0.0)), (7, 0.5), "a float is no integer: the default");
        assert_eq!((all.int(2, 0), all.float(2, 0.0)), (0x3f80_0000, 1.0), "a binary file's bits are both");
        assert_eq!((all.int(9, -1), all.float(9, 2.0)), (-1, 2.0));
        assert!(all.ints(3).is_empty() && all.string(3).is_none() && all.has(3) && !all.has(4));
    }

    #[test]
    fn arrays_convert_as_ncnn_converts() {
        let all =
            Parameters::of(&[(0, Value::Ints(vec![1, -2])), (1, Value::Floats(vec![1.0])), (2, Value::Words(vec![7]))]);
        assert_eq!((all.ints(0), all.floats(0)), (vec![1, -2], vec![1.0, -2.0]));
        assert_eq!(all.words(0), [1, 0xffff_fffe]);
        assert_eq!((all.floats(1), all.ints(1)), (vec![1.0], vec![0x3f80_0000]));
        assert_eq!((all.ints(2), all.floats(2)), (vec![7], vec![f32::from_bits(7)]));
        assert_eq!(all.int(0, 5), 5, "an array is no integer");
    }

    #[test]
    fn the_last_value_wins() {
        let mut all = Parameters::of(&[(31, Value::Int(64))]);
        assert_eq!(all.feature_mask(), 64);
        assert!(all.set(31, Value::Int(3), Place { line: 2, column: 5 }));
        assert_eq!(all.feature_mask(), 3);
        assert_eq!(all.location(31), Some(Place { line: 2, column: 5 }.in_file("")));
    }
}
