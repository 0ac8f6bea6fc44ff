//! Concat: the inputs one after the other along an axis. Source: `src/layer/concat.cpp`.

use super::signature::{AXES, Accepts, Parameter, SOME_TO_ONE, Signature};
use super::{Lowering, shape};
use crate::diagnostic::Diagnostic;
use crate::graph::{Index, View, axes};

pub(super) const SIGNATURE: Signature =
    Signature::new(SOME_TO_ONE, &[Parameter::new(0, "axis", Accepts::Between(AXES.0, AXES.1))]);

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let inputs: Vec<View> = (0..l.inputs.len()).map(|i| l.fixed_input(i)).collect::<Result<_, _>>()?;
    let first = &inputs[0].shape;
    let axis = l.axis_along(0, l.layer.parameters.int(0, 0), first.len())?;
    for input in &inputs {
        let same_but_axis = |(i, (a, b)): (usize, (&usize, &usize))| i == axis || a == b;
        if input.shape.len() != first.len() || !input.shape.iter().zip(first).enumerate().all(same_but_axis) {
            let (a, b) = (shape::text(first), shape::text(&input.shape));
            let hint = "all extents but that of the axis must be equal";
            return Err(l.error(format!("{a} and {b} can't be joined along axis {axis}")).hint(hint));
        }
    }
    if let [only] = &inputs[..] {
        l.set_output(0, only.clone());
        return Ok(());
    }
    let mut extents: Vec<i64> = first.iter().map(|extent| *extent as i64).collect();
    extents[axis] = inputs.iter().map(|input| input.shape[axis] as i64).sum();
    let out_shape = l.shape(&extents)?;
    let output = l.moved_output(0, &out_shape, &inputs[0]);
    let mut offset = 0;
    for input in &inputs {
        let index = (0..out_shape.len()).map(|i| Index::axis(i).moved(if i == axis { offset } else { 0 }));
        l.copy(axes(&input.shape), input.elementwise(), &output, index.collect());
        offset += input.shape[axis] as i64;
    }
    Ok(())
}
