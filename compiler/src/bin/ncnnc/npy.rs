//! Values in NumPy's `.npy` files: 32-bit words in C order, outermost extent first.

use ncnnc_compiler::diagnostic::{Code, Diagnostic};
use npyz::{NpyFile, Order, WriterBuilder};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Outermost extent first.
    pub shape: Vec<usize>,
    /// Whether the words are integers rather than floats.
    pub integer: bool,
    /// The values' bits.
    pub words: Vec<u32>,
}

/// Brackets in the header of a file of numbers: two of a record's at most, and those of shape and dictionary.
const MOST_BRACKETS: usize = 8;

/// Why a file can't be used, and what to do.
type Refusal = (String, &'static str);

const AS_FLOAT: &str = "with NumPy, `numpy.ascontiguousarray(values, dtype=numpy.float32)` makes it one";

/// Reads what is in a file called `name`.
///
/// # Errors
/// It isn't a tensor of 32-bit floats or integers.
pub fn read(name: &str, bytes: &[u8]) -> Result<Tensor, Diagnostic> {
    parse(bytes).map_err(|refusal| refused(name, &refusal))
}

/// Reads whole numbers of any type from a file called `name`, in order.
///
/// # Errors
/// It doesn't hold integers.
pub fn read_integers(name: &str, bytes: &[u8]) -> Result<Vec<i64>, Diagnostic> {
    let integers = || {
        let file = open(bytes)?;
        let kind = file.dtype().descr();
        let (signed, size) = match kind.as_str() {
            "'|u1'" => (false, 1),
            "'|i1'" => (true, 1),
            "'<u2'" => (false, 2),
            "'<i2'" => (true, 2),
            "'<u4'" => (false, 4),
            "'<i4'" => (true, 4),
            "'<u8'" => (false, 8),
            "'<i8'" => (true, 8),
            other => return Err((format!("its values are of type {other}, not integers"), "")),
        };
        let integer = |bytes: &[u8]| {
            let word = bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            let unused = 64 - 8 * size;
            if signed { (word << unused).cast_signed() >> unused } else { word.cast_signed() }
        };
        Ok(data(file, size)?.chunks_exact(size).map(integer).collect())
    };
    integers().map_err(|refusal| refused(name, &refusal))
}

fn refused(name: &str, (what, hint): &Refusal) -> Diagnostic {
    let problem = Diagnostic::error(format!("`{name}` can't be used: {what}")).code(Code::Values).about(name);
    if hint.is_empty() { problem } else { problem.hint(*hint) }
}

fn parse(bytes: &[u8]) -> Result<Tensor, Refusal> {
    let file = open(bytes)?;
    let shape = extents(&file);
    let kind = file.dtype().descr();
    let integer = match kind.as_str() {
        "'<f4'" => false,
        "'<i4'" => true,
        other => return Err((format!("its values are of type {other}, not '<f4' or '<i4'"), AS_FLOAT)),
    };
    let data = data(file, 4)?;
    let words = data.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
    Ok(Tensor { shape, integer, words })
}

fn extents(file: &NpyFile<&[u8]>) -> Vec<usize> {
    file.shape().iter().map(|extent| usize::try_from(*extent).unwrap_or(usize::MAX)).collect()
}

/// The file after its header, whose values are in C order.
fn open(bytes: &[u8]) -> Result<NpyFile<&[u8]>, Refusal> {
    let refuse = |what: &str, hint| Err((what.to_string(), hint));
    let Some(header) = header(bytes) else {
        return refuse("it isn't a .npy file, or is cut short", "`numpy.save` writes such files");
    };
    // What reads headers calls itself for every bracket.
    if header.iter().filter(|byte| b"([{".contains(byte)).count() > MOST_BRACKETS {
        return refuse("it doesn't hold numbers", AS_FLOAT);
    }
    // What reads headers multiplies extents without looking.
    if !fits(header, bytes.len()) {
        return refuse("its shape has more elements than the file", "");
    }
    let file = match NpyFile::new(bytes) {
        Ok(file) => file,
        Err(error) => return Err((error.to_string(), "`numpy.save` writes such files")),
    };
    if file.order() == Order::Fortran && file.shape().len() > 1 {
        return refuse("its values are in Fortran's order", AS_FLOAT);
    }
    Ok(file)
}

/// The values, of so many bytes each.
fn data(file: NpyFile<&[u8]>, size: usize) -> Result<&[u8], Refusal> {
    let shape = extents(&file);
    let data = file.into_inner();
    let count = shape.iter().try_fold(1_usize, |product, extent| product.checked_mul(*extent));
    if count.and_then(|count| count.checked_mul(size)) != Some(data.len()) {
        let extents = crate::table::shape(&shape);
        return Err((format!("a shape of {extents} doesn't go with {} bytes of values", data.len()), ""));
    }
    Ok(data)
}

/// Whether the product of all numbers in a header from its shape on, zeros left out, is at most a number of bytes.
fn fits(header: &[u8], bytes: usize) -> bool {
    let shape = header.windows(5).position(|part| part == b"shape").map_or(&b""[..], |at| &header[at..]);
    let numbers = shape.split(|byte| !byte.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let number = |digits: &[u8]| str::from_utf8(digits).ok().and_then(|text| text.parse::<usize>().ok());
    let product = numbers.map(number).try_fold(1_usize, |product, extent| product.checked_mul(extent?.max(1)));
    product.is_some_and(|product| product <= bytes)
}

/// The header's text, if the file is long enough to hold it.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, version) = (bytes.strip_prefix(b"\x93NUMPY")?, *bytes.get(6)?);
    let field = if version == 1 { 2 } else { 4 };
    let length = rest.get(2..2 + field)?.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.get(2 + field..)?.get(..length)
}

/// A file that `numpy.load` reads.
pub fn write(tensor: &Tensor) -> Vec<u8> {
    let words = tensor.words.iter();
    let bytes = match tensor.integer {
        false => values(&tensor.shape, words.map(|word| f32::from_bits(*word))),
        true => values(&tensor.shape, words.map(|word| word.cast_signed())),
    };
    bytes.expect("nothing fails in memory")
}

fn values<T: npyz::AutoSerialize>(shape: &[usize], values: impl Iterator<Item = T>) -> std::io::Result<Vec<u8>> {
    let shape: Vec<u64> = shape.iter().map(|extent| *extent as u64).collect();
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_survive() {
        let words = vec![0x7fc0_1234, 0x8000_0000, 1, 0xff80_0000, 0x3f80_0000, 0xffff_ffff];
        for (shape, integer, words) in [(vec![2, 3], false, &words), (vec![6], true, &words), (vec![0], false, &vec![])]
        {
            let tensor = Tensor { shape, integer, words: words.clone() };
            assert_eq!(read("a", &write(&tensor)), Ok(tensor));
        }
    }

    #[test]
    fn integers_of_any_width_are_read() {
        let integers = |kind: &str, bytes: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2,)}}\n");
            let length = u16::try_from(header.len()).expect("a short header");
            read_integers("a", &[b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), bytes].concat())
        };
        assert_eq!(integers("|u1", &[7, 255]), Ok(vec![7, 255]));
        assert_eq!(integers("|i1", &[7, 255]), Ok(vec![7, -1]));
        assert_eq!(integers("<i8", &[1_i64, -2].map(i64::to_le_bytes).concat()), Ok(vec![1, -2]));
        integers("<f4", &[0; 8]).expect_err("floats");
        integers("<i8", &[0; 8]).expect_err("too short");
    }

    /// A file of version 1 with this header and so many bytes of values.
    fn file(header: &str, bytes: usize) -> Vec<u8> {
        let length = u16::try_from(header.len()).expect("a short header");
        [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
    }

    #[test]
    fn hostile_files_are_refused() {
        let header = |descr: &str, fortran: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}\n")
        };
        let good = file(&header("'<f4'", "False", "(2, 1)"), 8);
        read("good", &good).expect("a good file");
        for end in 0..good.len() {
            read("cut", &good[..end]).expect_err("cut short");
        }
        for (wrong, bytes) in [
            (header("'<f8'", "False", "(1,)"), 8),
            (header("'>f4'", "False", "(1,)"), 4),
            (header("'<f4'", "True", "(1, 2)"), 8),
            (header("'<f4'", "False", "(4294967296, 4294967296)"), 8),
            (header("'<f4'", "False", "(18446744073709551615, 4)"), 16),
            (header("'<f4'", "False", "(-1,)"), 4),
            (header("'<f4'", "False", "(99999999999999999999999999,)"), 4),
            (header("[('a', '<f4')]", "False", "(1,)"), 4),
            (header("'O'", "False", "(1,)"), 4),
            (header("'<f4'", "False", &"(".repeat(20_000)), 4),
            ("{}".into(), 4),
            (String::new(), 4),
        ] {
            read("wrong", &file(&wrong, bytes)).expect_err(&wrong);
        }
        let long = [&b"\x93NUMPY\x02\x00"[..], &u32::MAX.to_le_bytes(), b"{}"].concat();
        read("long", &long).expect_err("a header of 4 GiB");
    }
}
