//! The graph as text: one line for a tensor, a few for an operation, named by blobs.

use super::{
    Access, Axis, Combine, Element, Factor, Graph, Index, Nest, Operation, Outside, RoutineKind, Source, TensorId,
};
use crate::format::Format;
use std::fmt::{self, Display};

/// `3x224x224`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

impl Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.sources_text(|_| Format::Word))?;
        for operation in &self.operations {
            f.write_str(&self.operation_text(operation))?;
        }
        f.write_str(&self.outputs_text())
    }
}

impl Graph {
    /// Inputs and constants, a line each, with the format each is stored in where that is narrow.
    pub fn sources_text(&self, format: impl Fn(TensorId) -> Format) -> String {
        let mut text = String::new();
        for (number, tensor) in self.tensors.iter().enumerate() {
            let kind = match tensor.source {
                Source::Input => "input",
                Source::Constant(_) => "constant",
                Source::Computed => continue,
            };
            let element = match tensor.element {
                Element::F32 => "f32",
                Element::I32 => "i32",
            };
            let format = format(TensorId(number));
            let stored = if format.is_narrow() { format!(" stored in {}", format.text()) } else { String::new() };
            text += &format!("{kind} {}: {element}[{}]{stored}\n", tensor.name, shape_text(&tensor.shape));
        }
        text
    }

    /// Outputs, a line each.
    pub fn outputs_text(&self) -> String {
        let output_text = |output: &super::Output| {
            let tensor = &self.tensor(output.view.tensor).name;
            format!("output {}: [{}] from {tensor}\n", output.name, shape_text(&output.view.shape))
        };
        self.outputs.iter().map(output_text).collect()
    }

    /// One operation as a few lines.
    pub fn operation_text(&self, operation: &Operation) -> String {
        match operation {
            Operation::Nest(nest) => self.nest_text(nest),
            Operation::Routine(routine) => {
                let name = |id| self.tensor(id).name.as_str();
                let reads: Vec<_> = routine.reads.iter().map(|view| name(view.tensor)).collect();
                let writes: Vec<_> = routine.writes.iter().map(|id| name(*id)).collect();
                format!("{}: {} = {}\n", routine.name, writes.join(", "), kind_text(&routine.kind, &reads))
            }
        }
    }

    fn nest_text(&self, nest: &Nest) -> String {
        let names: Vec<&str> = nest.axes().map(|axis| axis.name).collect();
        let reads: Vec<String> = nest.reads.iter().map(|access| self.access_text(access, &names)).collect();
        let operand = |i: usize| reads.get(i).cloned().unwrap_or_else(|| "reduced".to_string());
        let loops = |axes: &[Axis]| {
            axes.iter().map(|axis| format!("{} < {}", axis.name, axis.extent)).collect::<Vec<_>>().join(", ")
        };
        let mut text = format!("{}: for {}\n", nest.name, loops(&nest.parallel));
        if let Some(reduction) = &nest.reduction {
            let term = &reduction.term;
            let terms: Vec<_> = term.results.iter().map(|result| term.write_result(*result, &operand)).collect();
            let start = reduction.start.write_result(reduction.start.result(), &operand);
            let combine = match reduction.combine {
                Combine::FusedSum => "sum of products",
                Combine::Sum => "sum",
                Combine::Product => "product",
                Combine::Maximum => "maximum",
                Combine::Minimum => "minimum",
            };
            let over = loops(&reduction.axes);
            text += &format!("    reduced = {combine} over {over} of {} from {start}\n", terms.join(" * "));
        }
        let value = nest.store.write_result(nest.store.result(), &operand);
        text + &format!("    {} = {value}\n", self.access_text(&nest.write, &names))
    }

    fn access_text(&self, access: &Access, names: &[&str]) -> String {
        let tensor = self.tensor(access.tensor);
        let seen_as =
            if access.shape == tensor.shape { String::new() } else { format!(" as {}", shape_text(&access.shape)) };
        let index: Vec<String> = access.index.iter().map(|index| index_text(index, names)).collect();
        let outside = match access.outside {
            Outside::Never => String::new(),
            Outside::Value(bits) => format!(" or {:?}", f32::from_bits(bits)),
        };
        format!("{}{seen_as}[{}{outside}]", tensor.name, index.join(", "))
    }
}

/// What a routine does to what it reads.
fn kind_text(kind: &RoutineKind, reads: &[&str]) -> String {
    match kind {
        RoutineKind::Custom(number) => format!("function {number} of the user's, of {}", reads.join(", ")),
        RoutineKind::Detections(kind) => {
            let groups = if kind.groups > 1 { format!(" in each of {} groups", kind.groups) } else { String::new() };
            let enough = if kind.inclusive { "at least" } else { "above" };
            let how = if kind.by_product { ", by a product" } else { "" };
            let most = |most: usize, there: usize, of_what: &str| {
                if most < there { format!("; the best {most} {of_what}") } else { String::new() }
            };
            format!(
                "detections among {} candidates{groups}\n    by {}\n    with a score {enough} {:?}, \
                 none that overlaps a better one by more than {:?} of their union{how}{}{}",
                kind.candidates,
                reads.join(", "),
                kind.threshold,
                kind.overlap,
                most(kind.most_in_group, kind.candidates, "of a group are considered"),
                most(kind.most, kind.groups * kind.chosen_in_group(), "in all are kept"),
            )
        }
        RoutineKind::Crop(kind) => {
            let (tensor, integers) = (reads[0], reads[1]);
            let at = |positions: &[usize]| positions.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            let (offsets, sizes) = (at(&kind.offsets), at(&kind.sizes));
            format!("a box of {tensor}\n    its offsets at {offsets} and its sizes at {sizes} of {integers}")
        }
    }
}

fn index_text(index: &Index, names: &[&str]) -> String {
    let term_text = |term: &super::Term| {
        let name = names[term.axis.0];
        match &term.factor {
            Factor::Stride(1) => name.to_string(),
            Factor::Stride(stride) => format!("{stride}*{name}"),
            Factor::Table(table) => {
                let shown: Vec<_> = table.iter().take(4).map(i64::to_string).collect();
                let rest = if table.len() > 4 { ", ..." } else { "" };
                format!("({}{rest})[{name}]", shown.join(", "))
            }
        }
    };
    let text = index.terms.iter().map(term_text).collect::<Vec<_>>().join(" + ");
    match (text.is_empty(), index.offset) {
        (true, offset) => offset.to_string(),
        (false, 0) => text,
        (false, offset) if offset < 0 => format!("{text} - {}", -offset),
        (false, offset) => format!("{text} + {offset}"),
    }
}
