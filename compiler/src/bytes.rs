//! Words as files and objects hold them: four bytes each, the lowest first. Whole arrays are copied at once: a macro isn't
//! optimised, and a loop over the millions of numbers of a network would take it seconds.

use std::borrow::Cow;

/// The bytes of words.
pub fn of_words(words: &[u32]) -> Vec<u8> {
    view_of_words(words).into_owned()
}

/// The bytes of words, which are the words themselves where this machine holds them so.
pub fn view_of_words(words: &[u32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        bytemuck::cast_slice(words).into()
    } else {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

/// The floats that so many whole words of bytes are.
///
/// # Panics
/// When there are bytes left over.
pub fn to_floats(bytes: &[u8]) -> Vec<f32> {
    assert!(bytes.len().is_multiple_of(4), "{} bytes are no whole words", bytes.len());
    let mut floats: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
    if cfg!(target_endian = "big") {
        floats.iter_mut().for_each(|float| *float = f32::from_bits(float.to_bits().swap_bytes()));
    }
    floats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_in_the_order_of_files() {
        let words = [1.5_f32.to_bits(), 0x0102_0304];
        let bytes = of_words(&words);
        assert_eq!(bytes, [0, 0, 0xc0, 0x3f, 4, 3, 2, 1]);
        let floats = to_floats(&bytes);
        assert_eq!(floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>(), words);
        assert!(of_words(&[]).is_empty() && to_floats(&[]).is_empty());
    }
}
