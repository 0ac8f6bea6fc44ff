//! Tables on the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use ncnnc_compiler::diagnostic::Harmless;

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Words, to the left.
    Words(&'static str),
    /// Numbers, to the right.
    Numbers(&'static str),
}

/// The rows under their headings, each ending with a new line. Columns keep their width: what is too long for the terminal
/// is for the terminal to break.
pub fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| match column {
        Column::Words(title) | Column::Numbers(title) => *title,
    }));
    for row in rows {
        table.add_row(row.iter().map(|cell| Harmless(cell).to_string()));
    }
    for (number, column) in columns.iter().enumerate() {
        let cells = table.column_mut(number).expect("a column for every heading");
        cells.set_padding((0, 2));
        cells.set_cell_alignment(match column {
            Column::Words(_) => CellAlignment::Left,
            Column::Numbers(_) => CellAlignment::Right,
        });
    }
    table.lines().map(|line| line.trim_end().to_string() + "\n").collect()
}

/// A number with its thousands apart: `1 814 073 344`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that suits them: `46.8 MB`.
pub fn bytes(count: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.iter().find(|(_, size)| count as f64 >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", count as f64 / size),
        None => format!("{count} B"),
    }
}

/// `3x224x224`.
pub fn shape(extents: &[usize]) -> String {
    extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
