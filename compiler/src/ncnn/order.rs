//! Finds the cycles of a layer graph whose file order is not an order of execution, to say so in messages.
//!
//! Must not know what layers are. Linear in the size of the graph (Tarjan, "Depth-first search and linear graph
//! algorithms", 1972), without recursion: the graph is a stranger's.

use super::assemble::Missing;
use super::{Blob, BlobId, Layer};
use std::collections::HashMap;

/// Which layers depend on each other in a circle.
pub(super) struct Cycles {
    /// The strongly connected component of each layer.
    component: Vec<usize>,
    /// The number of layers of each component.
    sizes: Vec<usize>,
}

impl Cycles {
    /// Looks through the known edges and those of inputs that are made later.
    pub fn find(layers: &[Layer], blobs: &[Blob], missing: &[Missing], by_name: &HashMap<String, BlobId>) -> Self {
        if missing.is_empty() {
            return Self { component: Vec::new(), sizes: Vec::new() };
        }
        let mut producers: Vec<Vec<usize>> =
            layers.iter().map(|layer| layer.inputs.iter().map(|id| blobs[id.0].producer).collect()).collect();
        for Missing { consumer, name } in missing {
            producers[*consumer].extend(by_name.get(&name.text).map(|id| blobs[id.0].producer));
        }
        Self::components(&producers)
    }

    fn components(edges: &[Vec<usize>]) -> Self {
        const UNSEEN: usize = usize::MAX;
        let mut component = vec![UNSEEN; edges.len()];
        let mut sizes = Vec::new();
        let mut entered = vec![UNSEEN; edges.len()];
        let mut lowest = vec![UNSEEN; edges.len()];
        let (mut clock, mut open) = (0, Vec::new());
        for root in 0..edges.len() {
            // Nodes on the path, each with the number of edges already followed.
            let mut path = Vec::new();
            if entered[root] == UNSEEN {
                path.push((root, 0));
            }
            while let Some((node, followed)) = path.pop() {
                if followed == 0 {
                    (entered[node], lowest[node]) = (clock, clock);
                    clock += 1;
                    open.push(node);
                } else {
                    let child: usize = edges[node][followed - 1];
                    if component[child] == UNSEEN {
                        lowest[node] = lowest[node].min(lowest[child]);
                    }
                }
                if let Some(&child) = edges[node].get(followed) {
                    path.push((node, followed + 1));
                    if entered[child] == UNSEEN {
                        path.push((child, 0));
                    }
                    continue;
                }
                if lowest[node] == entered[node] {
                    let start = open.iter().rposition(|other| *other == node).unwrap_or(0);
                    sizes.push(open.len() - start);
                    for member in open.drain(start..) {
                        component[member] = sizes.len() - 1;
                    }
                }
            }
        }
        Self { component, sizes }
    }

    /// The number of layers in the circle that both belong to, if they do.
    pub fn through(&self, one: usize, other: usize) -> Option<usize> {
        (self.component.get(one)? == self.component.get(other)?).then(|| self.sizes[self.component[one]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found() {
        // 0 → 1 → 2 → 0, 3 reads 2, 4 reads itself, 5 → 6 → 5 through 7.
        let edges = [vec![1], vec![2], vec![0], vec![2], vec![4], vec![6], vec![7], vec![5, 3]];
        let cycles = Cycles::components(&edges);
        assert_eq!(cycles.through(0, 2), Some(3));
        assert_eq!(cycles.through(3, 2), None);
        assert_eq!(cycles.through(4, 4), Some(1));
        assert_eq!(cycles.through(5, 7), Some(3));
        assert_eq!(cycles.through(5, 3), None);
    }

    #[test]
    fn long_chains_take_no_stack() {
        let edges: Vec<Vec<usize>> = (0..200_000).map(|node| vec![(node + 1) % 200_000]).collect();
        assert_eq!(Cycles::components(&edges).through(0, 100_000), Some(200_000));
    }
}
