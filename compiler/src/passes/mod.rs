//! Graph to graph: the same network with fewer operations.
//!
//! One file per pass, one line each in [`PASSES`]. Owns what is fused, folded and dropped. Must not know orders of sums,
//! memory layouts or targets. A pass that doesn't change bits leaves every operation of every element in place, in its
//! order; where a result is kept is all that it changes. Before them all [`compensate`] says what compensated layers keep
//! and where they round.

mod accesses;
mod compensate;
mod constant_fold;
mod eliminate;
mod fold_affine;
mod forward_copies;
mod fuse;
mod operands;
mod rejoin;
#[cfg(test)]
mod tests;
mod uses;

pub use compensate::{Refused, compensate};

use crate::graph::Graph;
use crate::mode::Mode;

/// One pass.
pub struct Pass {
    /// Its name in the log.
    pub name: &'static str,
    /// Whether results can differ afterwards in their last bits.
    pub changes_bits: bool,
    /// Transforms the graph; says what it did, a line for each change.
    pub run: fn(&mut Graph) -> Vec<String>,
}

/// Every pass, in the order in which they run. What passes leave behind unused, `eliminate` clears away at the end.
pub const PASSES: &[Pass] = &[
    Pass { name: "constant_fold", changes_bits: false, run: constant_fold::run },
    Pass { name: "eliminate", changes_bits: false, run: eliminate::run },
    Pass { name: "fold_affine", changes_bits: true, run: fold_affine::run },
    Pass { name: "forward_copies", changes_bits: false, run: forward_copies::run },
    Pass { name: "fuse", changes_bits: false, run: fuse::run },
    Pass { name: "rejoin", changes_bits: false, run: rejoin::run },
    Pass { name: "eliminate", changes_bits: false, run: eliminate::run },
];

/// Something a pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The pass.
    pub pass: &'static str,
    /// What it did, in the names of layers and tensors.
    pub what: String,
}

/// Runs the passes that the mode allows; gives the graph and what was done to it. Those that change bits leave out the
/// layers for which a stricter mode was chosen.
pub fn run(mut graph: Graph, mode: Mode) -> (Graph, Vec<Change>) {
    let mut changes = Vec::new();
    for pass in PASSES.iter().filter(|pass| mode == Mode::Fast || !pass.changes_bits) {
        let lines = (pass.run)(&mut graph);
        graph.verify();
        changes.extend(lines.into_iter().map(|what| Change { pass: pass.name, what }));
    }
    (graph, changes)
}
