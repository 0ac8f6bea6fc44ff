//! A plan as text: the graph with a sentence on the order of every reduction.

use super::winograd::{Window, Winograd};
use super::{Mode, Numerics, Order, Plan};
use crate::graph::{Axis, Graph, Nest, Operation};
use std::fmt::{self, Display};

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "mode {}", self.mode.text())?;
        f.write_str(&self.graph.sources_text(|tensor| self.formats[tensor.0]))?;
        for (operation, numerics) in self.graph.operations.iter().zip(&self.numerics) {
            f.write_str(&self.graph.operation_text(operation))?;
            for tensor in operation.writes() {
                let (name, format) = (&self.graph.tensor(tensor).name, self.formats[tensor.0]);
                if format.is_narrow() {
                    writeln!(f, "    {name} stored in {}", format.text())?;
                }
            }
            match self.graph.mode_of(operation.name()) {
                Mode::Compensated => writeln!(f, "    compensated: what rounding takes is kept to the end")?,
                Mode::Fast | Mode::Strict => {}
            }
            match (operation, numerics) {
                (Operation::Nest(nest), Numerics::Direct(order)) => writeln!(f, "    {}", order_text(nest, *order))?,
                (Operation::Nest(nest), Numerics::Winograd(winograd)) => {
                    writeln!(f, "    {}", winograd_text(&self.graph, nest, winograd))?;
                }
                (Operation::Nest(_), Numerics::Plain) | (Operation::Routine(_), _) => {}
            }
        }
        f.write_str(&self.graph.outputs_text())
    }
}

/// The tiles, and the order of what is done with them.
fn winograd_text(graph: &Graph, nest: &Nest, winograd: &Winograd) -> String {
    let window = Window::of(graph, nest).expect("the plan chooses only for windows of 3x3");
    let [down, across] = winograd.tiles(&window);
    let products = match window.inputs {
        1 => "single products".to_string(),
        _ => format!("products in one chain along {}", nest.reduction.as_ref().map_or("", |sum| sum.axes[0].name)),
    };
    format!(
        "in {down} x {across} tiles by Winograd's {winograd}: transformed along columns, then rows; {products}; transformed \
         back along columns, then rows"
    )
}

/// The order of a reduction over the axes that have more than one iteration.
fn order_text(nest: &Nest, order: Order) -> String {
    let axes: Vec<&Axis> = nest.reduction.iter().flat_map(|reduction| &reduction.axes).collect();
    let names = |axes: &[&Axis]| {
        axes.iter().filter(|axis| axis.extent > 1).map(|axis| axis.name).collect::<Vec<_>>().join(", ")
    };
    match (order, &axes[..]) {
        (Order::Chain { block }, [first, rest @ ..]) if block > 1 && !names(rest).is_empty() => {
            let (all, name) = (names(rest), first.name);
            match first.extent {
                1 => format!("in one chain along {all}"),
                extent if extent <= block => format!("in one chain along {all}, {name}"),
                _ => format!("in one chain: blocks of {block} {name}, then {all}, then {name} within its block"),
            }
        }
        (Order::Chain { .. }, axes) => match &names(axes)[..] {
            "" => "a single term".to_string(),
            along => format!("in one chain along {along}"),
        },
        (Order::Lanes(lanes), axes) => format!("in {lanes} strided lanes along {}, then a tree", names(axes)),
    }
}
