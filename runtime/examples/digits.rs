//! Reads handwritten digits: `cargo run --example digits`, or with a number from 0 to 359 for another picture.
//!
//! The network was trained on scikit-learn's digits; `digits/README.md` says how.

use std::fmt::Write;
use std::io::IsTerminal;

ncnnc::include_model! {
    /// Reads a digit: 8 x 8 pixels between 0 and 1 in, the probability of every digit out.
    struct Digits = "examples/digits/digits.fp32.param";
    input in0: [1, 8, 8];
}

const PIXELS: usize = 8 * 8;
const IMAGES: &[u8] = include_bytes!("digits/digits_test_images.npy");
const LABELS: &[u8] = include_bytes!("digits/digits_test_labels.npy");

fn main() {
    let images: Vec<[f32; PIXELS]> = words(IMAGES, 360 * PIXELS)
        .map(f32::from_le_bytes)
        .collect::<Vec<f32>>()
        .chunks_exact(PIXELS)
        .map(|image| image.try_into().expect("a chunk has as many pixels"))
        .collect();
    let labels: Vec<usize> = LABELS[LABELS.len() - images.len()..].iter().map(|label| usize::from(*label)).collect();

    let mut digits = Digits::new();
    let chosen = std::env::args().nth(1).and_then(|number| number.parse::<usize>().ok()).unwrap_or(0) % images.len();
    let probabilities = digits.run(&images[chosen]);
    print!("{}", draw(&images[chosen], std::io::stdout().is_terminal()));
    println!("picture {chosen} shows a {}", best(probabilities));
    for (digit, probability) in probabilities.iter().enumerate() {
        println!("  {digit}  {:5.1} %  {}", probability * 100.0, "#".repeat((probability * 40.0).round() as usize));
    }

    let right = images.iter().zip(&labels).filter(|(image, label)| best(digits.run(image)) == **label).count();
    println!(
        "{right} of {} test pictures are read right: {:.2} % (PyTorch: 99.44 %)",
        images.len(),
        100.0 * right as f64 / images.len() as f64
    );
}

/// The last `count` words of a file: what precedes them is NumPy's header.
fn words(file: &[u8], count: usize) -> impl Iterator<Item = [u8; 4]> {
    file[file.len() - count * 4..].chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]])
}

/// The most probable digit.
fn best(probabilities: &[f32; 10]) -> usize {
    (0..10).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).expect("there are ten")
}

/// The picture: on a terminal in greys, two rows of pixels to a line; elsewhere in characters.
fn draw(image: &[f32; PIXELS], terminal: bool) -> String {
    let mut text = String::new();
    if !terminal {
        for row in image.chunks_exact(8) {
            let shades = row.iter().map(|value| ["  ", "..", "::", "++", "##"][(value * 4.0).round() as usize]);
            text.extend(shades.chain(["\n"]));
        }
        return text;
    }
    for rows in image.chunks_exact(2 * 8) {
        for (upper, lower) in rows[..8].iter().zip(&rows[8..]) {
            // The 256-colour palette has 24 greys from number 232 on.
            let [upper, lower] = [upper, lower].map(|value| 232 + (value * 23.0).round() as u8);
            write!(text, "\x1b[38;5;{upper}m\x1b[48;5;{lower}m▀").expect("strings grow");
        }
        text.push_str("\x1b[0m\n");
    }
    text
}
