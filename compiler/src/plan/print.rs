//! A plan as text: the graph with a sentence on the order of every reduction.

use super::{Mode, Numerics, Order, Plan};
use crate::graph::{Axis, Nest, Operation};
use std::fmt::{self, Display};

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mode = match self.mode {
            Mode::Fast => "fast",
            Mode::Strict => "strict",
        };
        writeln!(f, "mode {mode}")?;
        f.write_str(&self.graph.sources_text(|tensor| self.formats[tensor.0]))?;
        for (operation, numerics) in self.graph.operations.iter().zip(&self.numerics) {
            f.write_str(&self.graph.operation_text(operation))?;
            match (operation, numerics) {
                (Operation::Nest(nest), Numerics::Direct(order)) => writeln!(f, "    {}", order_text(nest, *order))?,
                (Operation::Nest(_), Numerics::Plain) | (Operation::Routine(_), _) => {}
            }
        }
        f.write_str(&self.graph.outputs_text())
    }
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
