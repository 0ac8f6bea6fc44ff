//! Permute: the axes in another order. Source: `src/layer/permute.cpp`.

use super::Lowering;
use super::signature::{Accepts, ONE_TO_ONE, Parameter, Signature};
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::Index;

pub(super) const SIGNATURE: Signature =
    Signature::new(ONE_TO_ONE, &[Parameter::new(0, "order", Accepts::Between(0, LAST))]);

/// The last order of the blobs that have most of them.
const LAST: i32 = ORDERS[3].len() as i32 - 1;

/// The orders of ncnn by rank and number: for each axis of the output, outermost first, the
/// axis of the input it is.
const ORDERS: [&[&[usize]]; 4] = [
    &[&[0]],
    &[&[0, 1], &[1, 0]],
    &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
    &[
        &[0, 1, 2, 3],
        &[0, 1, 3, 2],
        &[0, 2, 1, 3],
        &[0, 2, 3, 1],
        &[0, 3, 1, 2],
        &[0, 3, 2, 1],
        &[1, 0, 2, 3],
        &[1, 0, 3, 2],
        &[1, 2, 0, 3],
        &[1, 2, 3, 0],
        &[1, 3, 0, 2],
        &[1, 3, 2, 0],
        &[2, 0, 1, 3],
        &[2, 0, 3, 1],
        &[2, 1, 0, 3],
        &[2, 1, 3, 0],
        &[2, 3, 0, 1],
        &[2, 3, 1, 0],
        &[3, 0, 1, 2],
        &[3, 0, 2, 1],
        &[3, 1, 0, 2],
        &[3, 1, 2, 0],
        &[3, 2, 0, 1],
        &[3, 2, 1, 0],
    ],
];

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let input = l.fixed_input(0)?;
    let rank = input.shape.len();
    let orders = ORDERS[rank - 1];
    let number = l.layer.parameters.int(0, 0);
    // A vector has one order, whatever the number.
    let chosen = if rank == 1 { 0 } else { number.unsigned_abs() as usize };
    let Some(order) = orders.get(chosen) else {
        let message = format!("there is no order {number} of {rank} dimensions");
        return Err(l.error_in(0, message).hint(format!("there are orders 0 to {}", orders.len() - 1)));
    };
    let out_shape: Vec<usize> = order.iter().map(|axis| input.shape[*axis]).collect();
    // Moving axes of extent 1 moves no element.
    let moved: Vec<usize> = order.iter().copied().filter(|axis| input.shape[*axis] > 1).collect();
    if moved.is_sorted() {
        l.set_output(0, input.reshaped(&out_shape));
        return Ok(());
    }
    let output = l.moved_output(0, &out_shape, &input);
    let place = |axis: usize| order.iter().position(|of| *of == axis).unwrap_or(axis);
    let index = (0..rank).map(|axis| Index::axis(place(axis))).collect();
    l.map(&output, vec![input.at(index)], Expression::read_of(0));
    Ok(())
}
