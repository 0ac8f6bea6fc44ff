//! Gemm: `alpha * (A * B + beta * C)`.
//!
//! 0: alpha, 1: beta, 2/3: A and B are stored transposed, 4/5/6: A, B and C are constants, 7/8/9: rows, columns and inner
//! extent of constants, 10: how a constant C spreads, 11: the output gets an axis of 1 in the middle, 14: it is
//! transposed, 18: quantisation. Weights: the constants, all tagged. Source: `src/layer/gemm.cpp`.

use super::Lowering;
use super::contraction::sum_of_products;
use super::lowering::axis;
use crate::diagnostic::{Code, Diagnostic};
use crate::expression::{Expression, NodeId};
use crate::graph::{Access, Index, Nest, View};
use crate::ncnn::{Layer, WeightReader, Weights};

const M: usize = 0;
const N: usize = 1;
const K: usize = 2;

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    refuse_quantised(layer)?;
    let int = |id| layer.parameters.int(id, 0);
    let (m, n, k) = (int(7), int(8), int(9));
    let mut weights = Vec::new();
    if int(4) == 1 {
        weights.push(reader.tagged(reader.count(&[m, k])?)?);
    }
    if int(5) == 1 {
        weights.push(reader.tagged(reader.count(&[k, n])?)?);
    }
    if let (1, Some(extents)) = (int(6), constant_c(int(10), m, n)) {
        weights.push(reader.tagged(reader.count(&extents)?)?);
    }
    Ok(weights)
}

/// Quantised layers change the numbers, so they are never taken for others.
pub(super) fn refuse_quantised(layer: &Layer) -> Result<(), Diagnostic> {
    let term = layer.parameters.int(18, 0);
    if term == 0 {
        return Ok(());
    }
    let what = if term >= 400 { "block-quantised" } else { "int8" };
    Err(Diagnostic::error(format!("{what} {} (18={term}) is not supported yet", layer.kind))
        .code(Code::Unsupported)
        .at(layer.location.clone())
        .layer(&layer.name)
        .hint("give the model before quantisation"))
}

/// Rows and columns of a constant C that spreads in way `kind` (-1: there is none).
fn constant_c(kind: i32, m: i32, n: i32) -> Option<[i32; 2]> {
    match kind {
        0 => Some([1, 1]),
        1 | 2 => Some([m, 1]),
        3 => Some([m, n]),
        4 => Some([1, n]),
        _ => None,
    }
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    refuse_quantised(l.layer)?;
    let int = |id| l.layer.parameters.int(id, 0);
    let (m, n, k) = (i64::from(int(7)), i64::from(int(8)), i64::from(int(9)));
    let (transposed_a, transposed_b) = (int(2) != 0, int(3) != 0);
    let (constant_a, constant_b) = (int(4) == 1, int(5) == 1);
    let (broadcast, has_constant_c) = (int(10), int(6) == 1);
    if has_constant_c && !(-1..=4).contains(&broadcast) {
        return Err(l.error(format!("a constant C can't spread in way {broadcast}")).hint("10 is -1 to 4"));
    }
    let mut arrays = 0..;
    let mut blobs = 0..;
    let mut operand = |l: &mut Lowering, constant: bool, what: &str, extents: [i64; 2]| match constant {
        true => l.weight(arrays.next().unwrap_or_default(), what, &extents),
        false => matrix(l, &l.fixed_input(blobs.next().unwrap_or_default())?),
    };
    let a = operand(l, constant_a, "A", if transposed_a { [k, m] } else { [m, k] })?;
    let b = operand(l, constant_b, "B", if transposed_b { [n, k] } else { [k, n] })?;
    let (a_m, a_k) = if transposed_a { (a.shape[1], a.shape[0]) } else { (a.shape[0], a.shape[1]) };
    let (b_k, b_n) = if transposed_b { (b.shape[1], b.shape[0]) } else { (b.shape[0], b.shape[1]) };
    if a_k != b_k {
        return Err(l.error(format!("a {a_m}x{a_k} matrix can't be multiplied by a {b_k}x{b_n} matrix")));
    }
    let (next_array, next_blob) = (arrays.start, blobs.start);
    let c = if has_constant_c {
        match constant_c(broadcast, m as i32, n as i32) {
            Some(extents) => Some(l.weight(next_array, "C", &extents.map(i64::from))?),
            None => None,
        }
    } else if next_blob < l.inputs.len() {
        Some(dynamic_c(l, &l.fixed_input(next_blob)?, a_m, b_n)?)
    } else {
        None
    };
    let used = next_blob + usize::from(!has_constant_c && c.is_some());
    l.expect_blobs(used, used, 1)?;
    if let Some(c) = &c
        && !(fits(c.shape[0], a_m) && fits(c.shape[1], b_n))
    {
        return Err(l.error(format!("C of {}x{} doesn't fit a product of {a_m}x{b_n}", c.shape[0], c.shape[1])));
    }
    let read_a =
        a.at(if transposed_a { vec![Index::axis(K), Index::axis(M)] } else { vec![Index::axis(M), Index::axis(K)] });
    let read_b =
        b.at(if transposed_b { vec![Index::axis(N), Index::axis(K)] } else { vec![Index::axis(K), Index::axis(N)] });
    add_nest(l, [a_m, b_n, a_k], read_a, read_b, c)
}

/// Whether an operand of this extent spreads over `wanted`.
fn fits(extent: usize, wanted: usize) -> bool {
    extent == 1 || extent == wanted
}

/// A value as a matrix: two axes, or three with the middle one of extent 1.
fn matrix(l: &Lowering, view: &View) -> Result<View, Diagnostic> {
    match view.shape[..] {
        [_, _] => Ok(view.clone()),
        [rows, 1, columns] => Ok(view.reshaped(&[rows, columns])),
        _ => Err(l.error(format!("an operand of {:?} is not a matrix", view.shape))),
    }
}

/// A C from an input as a matrix: a vector is a column, or a row when it is as long as one.
fn dynamic_c(l: &Lowering, view: &View, m: usize, n: usize) -> Result<View, Diagnostic> {
    match view.shape[..] {
        [length] if length == n => Ok(view.reshaped(&[1, length])),
        [length] if length == m || length == 1 => Ok(view.reshaped(&[length, 1])),
        _ => matrix(l, view),
    }
}

fn add_nest(l: &mut Lowering, extents: [usize; 3], a: Access, b: Access, c: Option<View>) -> Result<(), Diagnostic> {
    let [m, n, k] = extents;
    let (alpha, beta) = (l.layer.parameters.float(0, 1.0), l.layer.parameters.float(1, 1.0));
    let transposed = l.layer.parameters.int(14, 0) != 0;
    let [rows, columns] = if transposed { [n, m] } else { [m, n] };
    let matrix = l.shape(&[rows as i64, columns as i64])?;
    let shape = if l.layer.parameters.int(11, 0) != 0 { vec![rows, 1, columns] } else { matrix };
    let output = l.output(0, &shape);
    let mut reads = vec![a, b];
    let start = match c {
        None => Expression::constant_of(0.0),
        Some(c) => {
            let along = |axis: usize, extent: usize| if extent == 1 { Index::constant(0) } else { Index::axis(axis) };
            reads.push(c.at(vec![along(M, c.shape[0]), along(N, c.shape[1])]));
            Expression::new(|e| {
                let c = e.read(2);
                scaled(e, c, beta)
            })
        }
    };
    let reduced = reads.len();
    let store = Expression::new(|e| {
        let sum = e.read(reduced);
        scaled(e, sum, alpha)
    });
    let written = if transposed { vec![Index::axis(N), Index::axis(M)] } else { vec![Index::axis(M), Index::axis(N)] };
    l.nest(Nest {
        name: String::new(),
        parallel: vec![axis("m", m), axis("n", n)],
        reduction: Some(sum_of_products(vec![axis("k", k)], start)),
        reads,
        store,
        write: output.reshaped(&[rows, columns]).at(written),
    });
    Ok(())
}

/// `x` times a constant, which is no operation when it is 1.
fn scaled(e: &mut Expression, x: NodeId, by: f32) -> NodeId {
    if by == 1.0 {
        return x;
    }
    let by = e.constant(by);
    e.mul(x, by)
}
