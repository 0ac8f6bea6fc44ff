//! Tensors in NumPy's `.npy` files, the form in which ncnn's inputs and outputs are stored.
//!
//! Shapes are outermost first, values in C order, as in `numpy.save`.

use npyz::{NpyFile, Order, WriterBuilder};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

/// How a word of 32 bits is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Type {
    /// IEEE binary32.
    #[serde(rename = "f4")]
    Float,
    /// Two's complement.
    #[serde(rename = "i4")]
    Integer,
}

/// A dense tensor of 32-bit words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// How the words are to be read.
    pub element: Type,
    /// The values' bits, in C order; as many as the product of the sizes.
    pub words: Vec<u32>,
}

impl Tensor {
    /// A tensor of f32 values.
    ///
    /// # Panics
    ///
    /// When the number of values doesn't fit the shape.
    pub fn from_values(shape: &[usize], values: &[f32]) -> Self {
        Self::new(shape, Type::Float, values.iter().map(|value| value.to_bits()).collect())
    }

    /// A tensor of words, to be read as `element`.
    ///
    /// # Panics
    ///
    /// When the number of words doesn't fit the shape.
    pub fn new(shape: &[usize], element: Type, words: Vec<u32>) -> Self {
        assert_eq!(words.len(), shape.iter().product::<usize>(), "number of words for shape {shape:?}");
        Self { shape: shape.to_vec(), element, words }
    }

    /// All values, the words read as f32 whatever the element type is.
    pub fn values(&self) -> Vec<f32> {
        self.words.iter().map(|&word| f32::from_bits(word)).collect()
    }

    /// Value number `index` in C order, read by the element type.
    pub fn number(&self, index: usize) -> f64 {
        match self.element {
            Type::Float => f64::from(f32::from_bits(self.words[index])),
            Type::Integer => f64::from(self.words[index].cast_signed()),
        }
    }

    /// Reads a file of f4, i4 or, widened to i4, u1 values.
    ///
    /// # Panics
    ///
    /// When the file cannot be read, is of another type or in Fortran order.
    pub fn read(path: &Path) -> Self {
        let name = path.display();
        let file = File::open(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let file = NpyFile::new(BufReader::new(file)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(file.order() == Order::C || file.shape().len() < 2, "{name}: values are not in C order");
        let shape: Vec<usize> = file.shape().iter().map(|&size| usize::try_from(size).expect("size")).collect();
        let (element, words) = match file.dtype().descr().as_str() {
            "'<f4'" => (Type::Float, file.into_vec().map(|values| words(values, f32::to_bits))),
            "'<i4'" => (Type::Integer, file.into_vec().map(|values| words(values, i32::cast_unsigned))),
            "'|u1'" => (Type::Integer, file.into_vec().map(|values| words(values, |value: u8| u32::from(value)))),
            other => panic!("{name}: values of type {other}, want f4, i4 or u1"),
        };
        Self::new(&shape, element, words.unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    /// Writes a file `numpy.load` reads.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) {
        self.write_to(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let words = self.words.iter();
        match self.element {
            Type::Float => write_values(path, &self.shape, words.map(|&word| f32::from_bits(word))),
            Type::Integer => write_values(path, &self.shape, words.map(|&word| word.cast_signed())),
        }
    }
}

fn words<T>(values: Vec<T>, word: fn(T) -> u32) -> Vec<u32> {
    values.into_iter().map(word).collect()
}

fn write_values<T>(path: &Path, shape: &[usize], values: impl Iterator<Item = T>) -> std::io::Result<()>
where
    T: npyz::AutoSerialize,
{
    let shape: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
    let mut file = BufWriter::new(File::create(path)?);
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut file).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::workspace;

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("ncnnc-npy-{}-{name}", std::process::id()))
    }

    fn round_trip(name: &str, tensor: &Tensor) -> Vec<u8> {
        let path = scratch(name);
        tensor.write(&path);
        let (bytes, read) = (std::fs::read(&path).unwrap(), Tensor::read(&path));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&read, tensor);
        bytes
    }

    #[test]
    fn bits_survive() {
        let words = vec![0x7fc0_1234, 0x8000_0000, 1, 0xff80_0000, 0x3f80_0000, 0xffff_ffff];
        round_trip("float", &Tensor::new(&[2, 3], Type::Float, words.clone()));
        round_trip("integer", &Tensor::new(&[3, 1, 2], Type::Integer, words));
        round_trip("empty", &Tensor::new(&[0], Type::Float, vec![]));
    }

    #[test]
    fn the_file_is_what_numpy_reads() {
        let bytes = round_trip("header", &Tensor::from_values(&[2], &[1.0, -2.0]));
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(&bytes[bytes.len() - 8..], [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
        let header = String::from_utf8_lossy(&bytes[10..bytes.len() - 8]);
        for part in ["'descr': '<f4'", "'fortran_order': False", "'shape': (2, )"] {
            assert!(header.contains(part), "{part} in {header}");
        }
    }

    #[test]
    fn numbers_follow_the_type() {
        assert_eq!(Tensor::new(&[1], Type::Integer, vec![u32::MAX]).number(0), -1.0);
        assert_eq!(Tensor::from_values(&[1], &[0.1]).number(0), f64::from(0.1_f32));
    }

    #[test]
    fn the_digits_are_readable() {
        let folder = workspace().join("runtime/examples/digits");
        let images = Tensor::read(&folder.join("digits_test_images.npy"));
        assert_eq!((images.shape, images.element), (vec![360, 1, 8, 8], Type::Float));
        let labels = Tensor::read(&folder.join("digits_test_labels.npy"));
        assert_eq!((labels.shape.clone(), labels.element), (vec![360], Type::Integer));
        assert!((0..360).all(|index| (0.0..10.0).contains(&labels.number(index))));
    }

    #[test]
    #[should_panic(expected = "number of words for shape [2, 2]")]
    fn a_shape_must_fit() {
        Tensor::from_values(&[2, 2], &[0.0; 3]);
    }
}
