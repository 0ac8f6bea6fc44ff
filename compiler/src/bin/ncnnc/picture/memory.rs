//! The arena over time: steps to the right, addresses downwards.

use super::{escaped, shortened};
use crate::lives::Life;
use crate::table::{Column, bytes, table};
use std::fmt::Write;

/// Letters that stand for the largest tensors.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// What stands for all others.
const OTHER: char = '·';
/// Lines of the picture on the terminal.
const ROWS: usize = 16;
/// Characters in a line of it.
const WIDTH: usize = 72;
/// Background colours (of the terminal's 256) that black letters can be read on.
const COLOURS: [u8; 6] = [117, 150, 222, 217, 183, 252];

/// The arena as characters: each stands for what lies in the middle of its part of time and memory.
pub fn terminal(lives: &[Life], steps: usize, arena: usize, colour: bool) -> String {
    if lives.is_empty() {
        return "The arena is empty.\n".into();
    }
    let mut largest: Vec<usize> = (0..lives.len()).collect();
    largest.sort_by_key(|life| std::cmp::Reverse(lives[*life].bytes));
    largest.truncate(LETTERS.len());
    largest.sort_unstable();
    let letter = |life: usize| largest.iter().position(|large| *large == life).and_then(|at| LETTERS.chars().nth(at));
    let width = if steps >= WIDTH { WIDTH } else { steps * (WIDTH / steps).min(4) };
    let mut text = String::new();
    for row in 0..ROWS {
        let address = (2 * row + 1) * arena / (2 * ROWS);
        let _ = write!(text, "{:>9} ", bytes((row * arena / ROWS) as u64));
        for column in 0..width {
            let step = (2 * column + 1) * steps / (2 * width);
            let there = lives.iter().rposition(|life| {
                (life.first..=life.last).contains(&step) && (life.offset..life.offset + life.bytes).contains(&address)
            });
            match there {
                None => text.push(' '),
                Some(life) => {
                    let shown = letter(life).unwrap_or(OTHER);
                    match colour {
                        true => {
                            let _ = write!(text, "\x1b[30;48;5;{}m{shown}\x1b[0m", COLOURS[life % COLOURS.len()]);
                        }
                        false => text.push(shown),
                    }
                }
            }
        }
        let kept = text.trim_end().len();
        text.truncate(kept);
        text.push('\n');
    }
    let columns =
        [Column::Words(""), Column::Words("made by"), Column::Numbers("size"), Column::Words("steps")].as_slice();
    let rows = largest.iter().map(|life| {
        let Life { name, bytes: size, first, last, .. } = &lives[*life];
        let letter = letter(*life).map_or(String::new(), String::from);
        vec![letter, shortened(name, 40), bytes(*size as u64), format!("{first} to {last}")]
    });
    text + "\n" + &table(columns, rows)
}

/// The arena as SVG; what each rectangle is stands in its tooltip, and in it where there is room.
pub fn svg(lives: &[Life], steps: usize, arena: usize, title: &str) -> String {
    const FILLS: [&str; 6] = ["#87d7ff", "#afd787", "#ffd787", "#ffafaf", "#d7afff", "#d0d0d0"];
    let (wide, high, left, top) = (1200.0, 600.0, 80.0, 40.0);
    let across = |step: usize| left + wide * step as f64 / steps.max(1) as f64;
    let down = |address: usize| top + high * address as f64 / arena.max(1) as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{left}\" y=\"24\" font-size=\"15\">{}: {} of \
         activations, {steps} steps</text>\n",
        wide + left + 20.0,
        high + top + 30.0,
        escaped(title),
        bytes(arena as u64),
    );
    for (number, Life { name, offset, bytes: size, first, last }) in lives.iter().enumerate() {
        let (x, y) = (across(*first), down(*offset));
        let (width, height) = (across(last + 1) - x, down(offset + size) - y);
        let (name, fill) = (escaped(name), FILLS[number % FILLS.len()]);
        let _ = writeln!(
            text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
             stroke=\"#444\" stroke-width=\"0.5\"><title>{name}: {}, steps {first} to {last}</title></rect>",
            bytes(*size as u64),
        );
        // About six units for each character.
        if height >= 12.0 && width >= 6.0 * name.chars().count() as f64 {
            let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x + 2.0, y + height / 2.0 + 4.0);
        }
    }
    for quarter in 0..=4 {
        let (address, end) = (arena * quarter / 4, left - 4.0);
        let y = down(address) + 4.0;
        let _ = writeln!(text, "<text x=\"{end}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", bytes(address as u64));
    }
    text + "</svg>\n"
}
