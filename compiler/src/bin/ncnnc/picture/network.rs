//! The layers and the blobs between them.

use super::{escaped, shortened};
use crate::table::shape;
use ncnnc_compiler::ncnn::{BlobId, Model};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// Shapes of blobs by their names.
pub type Shapes = HashMap<String, Vec<usize>>;

fn shape_of(model: &Model, id: BlobId, shapes: &Shapes) -> String {
    shapes.get(&model.blob(id).name).map_or(String::new(), |extents| shape(extents))
}

/// Blobs that are read: their maker, their reader, themselves.
fn edges(model: &Model) -> impl Iterator<Item = (usize, usize, BlobId)> + '_ {
    (model.layers.iter().enumerate())
        .flat_map(move |(reader, layer)| layer.inputs.iter().map(move |id| (model.blob(*id).producer, reader, *id)))
}

/// For Graphviz.
pub fn dot(model: &Model, shapes: &Shapes) -> String {
    let quoted = |text: &str| format!("{:?}", text.replace(char::is_control, "\u{fffd}"));
    let mut text = String::from("digraph network {\n    node [shape=box, fontname=\"sans-serif\"];\n");
    for (number, layer) in model.layers.iter().enumerate() {
        let label = quoted(&format!("{}\n{}", layer.name, layer.kind).replace('\n', " — "));
        let _ = writeln!(text, "    layer{number} [label={label}];");
    }
    for (maker, reader, id) in edges(model) {
        let label = quoted(&shape_of(model, id, shapes));
        let _ = writeln!(text, "    layer{maker} -> layer{reader} [label={label}];");
    }
    text + "}\n"
}

const BOX: (usize, usize) = (190, 44);
const GAP: (usize, usize) = (24, 34);

/// As SVG: each layer a row below the last of those it reads.
pub fn svg(model: &Model, shapes: &Shapes) -> String {
    let places = places(model);
    let taken: HashSet<(usize, usize)> = places.iter().copied().collect();
    let columns = places.iter().map(|(column, _)| column + 1).max().unwrap_or(1);
    let rows = places.iter().map(|(_, row)| row + 1).max().unwrap_or(1);
    let corner = |layer: usize| {
        let (column, row) = places[layer];
        (GAP.0 + column * (BOX.0 + GAP.0), GAP.1 + row * (BOX.1 + GAP.1))
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\" \
         text-anchor=\"middle\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        GAP.0 + columns * (BOX.0 + GAP.0),
        GAP.1 + rows * (BOX.1 + GAP.1),
    );
    for (maker, reader, id) in edges(model) {
        let ((left, y1), (x2, y2)) = (corner(maker), corner(reader));
        let (x1, y1, x2) = (left + BOX.0 / 2, y1 + BOX.1, x2 + BOX.0 / 2);
        // Down to the reader's row below the maker, or beside its column where other layers are in the way.
        let ((column, first), (_, last)) = (places[maker], places[reader]);
        let is_free = !(first + 1..last).any(|row| taken.contains(&(column, row)));
        let lane = if is_free { x1 } else { left + BOX.0 + GAP.0 / 2 };
        let (begin, end) = (y1 + GAP.1, y2 - GAP.1);
        let _ = writeln!(
            text,
            "<path d=\"M{x1} {y1} {}L{lane} {end} {}\" fill=\"none\" stroke=\"#888\"><title>{}: {}</title></path>",
            if is_free { String::new() } else { curve((x1, y1), (lane, begin)) + " " },
            curve((lane, end), (x2, y2)),
            escaped(&model.blob(id).name),
            shape_of(model, id, shapes),
        );
    }
    for (number, layer) in model.layers.iter().enumerate() {
        let ((x, y), (width, height)) = (corner(number), BOX);
        let outputs = layer.outputs.iter().map(|id| shape_of(model, *id, shapes)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"5\" fill=\"#eaf3fb\" \
             stroke=\"#47749a\"><title>{}</title></rect>\n<text x=\"{middle}\" y=\"{}\">{}</text>\n<text x=\"{middle}\" \
             y=\"{}\" fill=\"#555\" font-size=\"10\">{} {}</text>",
            escaped(&layer.name),
            y + 18,
            escaped(&shortened(&layer.name, 26)),
            y + 34,
            escaped(&shortened(&layer.kind, 20)),
            escaped(&shortened(&outputs, 18)),
            middle = x + width / 2,
        );
    }
    text + "</svg>\n"
}

/// From one point to another, leaving and arriving downwards.
fn curve((x1, y1): (usize, usize), (x2, y2): (usize, usize)) -> String {
    let middle = usize::midpoint(y1, y2);
    format!("C{x1} {middle} {x2} {middle} {x2} {y2}")
}

/// The column and row of each layer: the row is one below the lowest maker, the column the first free one from that of the
/// first maker on.
fn places(model: &Model) -> Vec<(usize, usize)> {
    let mut places: Vec<(usize, usize)> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    for layer in &model.layers {
        let makers = || layer.inputs.iter().map(|id| places[model.blob(*id).producer]);
        let row = makers().map(|(_, row)| row + 1).max().unwrap_or(0);
        let wanted = makers().map(|(column, _)| column).next().unwrap_or(0);
        if free.len() <= row {
            free.resize(row + 1, 0);
        }
        let column = wanted.max(free[row]);
        free[row] = column + 1;
        places.push((column, row));
    }
    places
}
