//! A plan as text: the graph with a sentence on the order of every reduction.

use super::{Mode, Numerics, Order, Plan};
use crate::graph::{Nest, Operation};
use std::fmt::{self, Display};

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mode = match self.mode {
            Mode::Fast => "fast",
            Mode::Strict => "strict",
        };
        writeln!(f, "mode {mode}")?;
        f.write_str(&self.graph.sources_text())?;
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

fn order_text(nest: &Nest, order: Order) -> String {
    let axes: Vec<&str> = nest.reduction.iter().flat_map(|reduction| &reduction.axes).map(|axis| axis.name).collect();
    match (order, &axes[..]) {
        (Order::Chain { block }, [first, rest @ ..]) if block > 1 && !rest.is_empty() => {
            format!("in one chain: blocks of {block} {first}, then {}, then {first} within its block", rest.join(", "))
        }
        (Order::Chain { .. }, axes) => format!("in one chain along {}", axes.join(", ")),
        (Order::Lanes(lanes), axes) => format!("in {lanes} strided lanes along {}, then a tree", axes.join(", ")),
    }
}
