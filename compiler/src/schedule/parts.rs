//! Which tiles a contraction is carried out by: parts of its channels, and how tiles run along the pixels.
//!
//! Owns the count of cycles that decides it. Must not know how tiles are emitted.

use super::contraction::Contraction;
use ncnnc_targets::{Target, Tile};
use std::ops::Range;

/// Tiles that run from row to row have code of their own, so there may be at most so many in a plane. A judgement, not a
/// measurement.
const MOST_TILES: usize = 12;

/// A part of a contraction that one kernel carries out: a range of channels, all in groups of the same width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// First channel.
    pub first: usize,
    /// Channels; the last group may be partial.
    pub channels: usize,
    /// Vectors in a group.
    pub vectors: usize,
    /// Which pixels are in a tile.
    pub along: Along,
}

/// How tiles run along the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Parts of a row, of at most so many pixels.
    Row(usize),
    /// Whole rows, at most so many.
    Rows(usize),
    /// From row to row through a small plane, at most so many pixels, each at a fixed place.
    Plane(usize),
}

/// Divides the channels into parts and chooses the tile for each. Unless places are `padded`, the channels that fill no
/// vector are in a part of one group. A vector of sums takes so many `registers`.
pub fn parts(
    contraction: &Contraction,
    extents: &[usize],
    padded: bool,
    registers: usize,
    target: &Target,
) -> Vec<Part> {
    let channels = extents[contraction.channel];
    let plane = Plane::of(contraction, extents);
    let vectors = channels.div_ceil(target.lanes);
    let (best, _) = best(plane, vectors, target);
    let tile = match (registers, plane.pixels()) {
        // A single row of outputs is held in several vectors to hide the latency of the sum.
        (registers, 1) => Tile { pixels: 1, vectors: LONGEST_ROW / registers },
        (1, _) => best,
        (_, _) => target.compensated,
    };
    let full = if padded { vectors } else { channels / target.lanes };
    let width = tile.vectors.min(full).max(1);
    let whole = full / width * width;
    let mut parts = Vec::new();
    if whole > 0 {
        let covered = (whole * target.lanes).min(channels);
        parts.push(Part { first: 0, channels: covered, vectors: width, along: plane.along(tile.pixels, width).0 });
    }
    let rest = vectors - whole;
    // Fewer vectors leave room for more pixels.
    if let Some(room) = (target.vector_registers - rest - 2).checked_div(rest) {
        let first = whole * target.lanes;
        let pixels = room.clamp(1, tile.pixels * tile.vectors);
        parts.push(Part { first, channels: channels - first, vectors: rest, along: plane.along(pixels, rest).0 });
    }
    parts
}

/// What a contraction costs for each pixel and step of the sum, in cycles of a machine with two multiply-add units and two
/// loads in a cycle.
pub fn cost_of_pixel(contraction: &Contraction, extents: &[usize], target: &Target) -> f64 {
    let plane = Plane::of(contraction, extents);
    let (_, cost) = best(plane, extents[contraction.channel].div_ceil(target.lanes), target);
    cost / plane.pixels() as f64
}

/// The best tile and what it costs for each step of the reduction over the whole output, as [`cost_of_step`] counts.
fn best(plane: Plane, vectors: usize, target: &Target) -> (Tile, f64) {
    let cost = |tile: &Tile| {
        let across = |width: usize| plane.along(tile.pixels, width).1;
        let rest = if vectors.is_multiple_of(tile.vectors) { 0.0 } else { across(vectors % tile.vectors) };
        (vectors / tile.vectors) as f64 * across(tile.vectors) + rest
    };
    let tiles = target.tiles.iter().map(|tile| (*tile, cost(tile)));
    tiles.min_by(|(_, a), (_, b)| a.total_cmp(b)).expect("a target has tiles")
}

/// The pixels of a contraction: planes of rows along the two innermost axes.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    planes: usize,
    rows: usize,
    row: usize,
}

impl Plane {
    pub(super) fn of(contraction: &Contraction, extents: &[usize]) -> Self {
        let mut long: Vec<usize> =
            contraction.pixels.iter().map(|axis| extents[*axis]).filter(|extent| *extent > 1).collect();
        let row = long.pop().unwrap_or(1);
        let rows = long.pop().unwrap_or(1);
        Self { planes: long.iter().product(), rows, row }
    }

    fn pixels(self) -> usize {
        self.planes * self.rows * self.row
    }

    /// How tiles of at most so many pixels and so many vectors best run, and what they cost for each step of the reduction.
    /// Of equal ways, whole rows reuse weights most, and parts of a row need the least code.
    fn along(self, pixels: usize, vectors: usize) -> (Along, f64) {
        let rows = pixels / self.row;
        let ways = [
            (rows > 1 && self.rows > 1).then_some(Along::Rows(rows)),
            Some(Along::Row(pixels)),
            (self.rows > 1 && self.rows * self.row <= MOST_TILES * pixels).then_some(Along::Plane(pixels)),
        ];
        let cost = |along: &Along| -> f64 {
            let tiles = self.tiles(*along).into_iter();
            tiles.map(|(pixels, count)| count as f64 * cost_of_step(pixels, vectors)).sum()
        };
        let ways = ways.into_iter().flatten().map(|along| (along, cost(&along)));
        ways.min_by(|(_, a), (_, b)| a.total_cmp(b)).expect("a part of a row always fits")
    }

    /// Pixels of tiles, and how many tiles have so many.
    pub(super) fn tiles(self, along: Along) -> Vec<(usize, usize)> {
        let (extent, at_most, pixels, repeated) = match along {
            Along::Row(pixels) => (self.row, pixels, 1, self.planes * self.rows),
            Along::Rows(rows) => (self.rows, rows, self.row, self.planes),
            Along::Plane(pixels) => (self.rows * self.row, pixels, 1, self.planes),
        };
        let tiles = tiles(extent, at_most).into_iter();
        tiles.map(|(range, count)| (range.len() * pixels, count * repeated)).collect()
    }
}

/// Registers of output of a matrix-vector product held at once.
const LONGEST_ROW: usize = 8;

/// Cycles that one step of the reduction takes for one tile.
fn cost_of_step(pixels: usize, vectors: usize) -> f64 {
    let multiply = (pixels * vectors) as f64 / 2.0;
    // Fewer sums than this leave the units waiting for the sum before.
    multiply.max((pixels + vectors) as f64 / 2.0).max(4.0)
}

/// Near-equal tiles over so many pixels, as the first tile's range and how many of that width follow one another.
pub(super) fn tiles(pixels: usize, at_most: usize) -> Vec<(Range<usize>, usize)> {
    let count = pixels.div_ceil(at_most);
    let (narrow, wide) = (pixels / count, pixels % count);
    let mut tiles = Vec::new();
    if wide > 0 {
        tiles.push((0..narrow + 1, wide));
    }
    let start = wide * (narrow + 1);
    tiles.push((start..start + narrow, count - wide));
    tiles
}

#[cfg(test)]
mod tests {
    use super::{Contraction, parts};
    use ncnnc_targets::TARGETS;

    #[test]
    fn parts_cover_any_number_of_channels() {
        let contraction = Contraction { activation: 0, weight: 1, channel: 0, pixels: vec![1, 2], groups: Vec::new() };
        for (target, channels) in TARGETS.iter().flat_map(|target| (1..300).map(move |channels| (target, channels))) {
            for (plane, padded, words) in
                [([1, 1], false, 1), ([1, 1], true, 2), ([7, 7], false, 1), ([7, 7], false, 2), ([14, 14], true, 1)]
            {
                let parts = parts(&contraction, &[channels, plane[0], plane[1], 64], padded, words, target);
                let covered = parts.iter().fold(0, |covered, part| {
                    assert_eq!(part.first, covered, "{} {channels} {plane:?}", target.name);
                    covered + part.channels
                });
                assert_eq!(covered, channels, "{} {plane:?}", target.name);
            }
        }
    }
}
