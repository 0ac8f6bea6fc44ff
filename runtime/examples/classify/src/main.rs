//! Says what a picture shows: `NCNNC_SQUEEZENET=/path/to/squeezenet_v1.1.param cargo run -p classify -- cat.jpg`.
//!
//! The variable names ncnn's squeezenet_v1.1 (with its `.bin` beside it), which the build script compiles into the program.
//! A picture may be PNG, JPEG, or the network's own input as a `.npy` file of `[3, 227, 227]` floats.
//!
//! `classes.txt` has the names of ImageNet's classes as torchvision lists them (`torchvision/models/_meta.py`, BSD
//! 3-Clause, copyright Soumith Chintala 2016).

#[cfg(squeezenet)]
use std::error::Error;

#[cfg(squeezenet)]
include!(concat!(env!("OUT_DIR"), "/squeezenet.rs"));

#[cfg(not(squeezenet))]
fn main() {
    eprintln!("this program was built without a network: set NCNNC_SQUEEZENET to the path of squeezenet_v1.1.param");
    std::process::exit(2);
}

#[cfg(squeezenet)]
fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("the path of a picture is wanted")?;
    let input = if path.ends_with(".npy") { stored(&path)? } else { picture(&path)? };
    let input = input.as_slice().try_into()?;

    let probabilities = *Squeezenet::new().run(input);
    let mut classes: Vec<(f32, &str)> = probabilities.into_iter().zip(include_str!("../classes.txt").lines()).collect();
    classes.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (probability, class) in &classes[..5] {
        println!("{probability:.3}  {class}");
    }
    Ok(())
}

/// Width and height of the network's input.
#[cfg(squeezenet)]
const SIZE: usize = 227;

/// A picture as the network wants it: planes of blue, green and red, each less its mean over ImageNet.
#[cfg(squeezenet)]
fn picture(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    const MEANS: [(usize, f32); 3] = [(2, 104.0), (1, 117.0), (0, 123.0)];
    let size = SIZE as u32;
    let image = image::open(path)?.resize_exact(size, size, image::imageops::FilterType::Triangle).to_rgb8();
    let plane = |(channel, mean): (usize, f32)| image.pixels().map(move |pixel| f32::from(pixel[channel]) - mean);
    Ok(MEANS.into_iter().flat_map(plane).collect())
}

/// An input stored by NumPy: little-endian floats after a header.
#[cfg(squeezenet)]
fn stored(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let header =
        bytes.len().checked_sub(3 * SIZE * SIZE * 4).ok_or("the file is too short for 3 x 227 x 227 floats")?;
    Ok(bytes[header..].chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
}
