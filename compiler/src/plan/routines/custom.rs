//! A function of the user's, which computes in `f32` whatever the arithmetic is.

use super::super::arithmetic::Arithmetic;
use crate::graph::{CustomFunction, Element, Graph, Routine};

/// Gives what the function fills.
pub(super) fn run<A: Arithmetic>(
    graph: &Graph,
    routine: &Routine,
    function: CustomFunction,
    reads: &[Vec<A::Value>],
) -> Vec<Vec<A::Value>> {
    let inputs = routine.reads.iter().zip(reads).map(|(view, values)| -> Vec<f32> {
        let element = graph.tensor(view.tensor).element;
        values.iter().map(|value| f32::from_bits(A::word(*value, element))).collect()
    });
    let inputs: Vec<Vec<f32>> = inputs.collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    // What the function leaves out shows.
    let mut outputs: Vec<Vec<f32>> =
        routine.writes.iter().map(|tensor| vec![f32::NAN; graph.tensor(*tensor).elements()]).collect();
    let mut filled: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    function(&inputs, &mut filled);
    let values = |output: Vec<f32>| output.into_iter().map(|value| A::read(value.to_bits(), Element::F32)).collect();
    outputs.into_iter().map(values).collect()
}
