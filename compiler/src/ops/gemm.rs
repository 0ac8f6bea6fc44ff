//! Gemm: `alpha * (A * B + beta * C)`.
//!
//! Weights: those of the operands that are constants, all tagged. Source: `src/layer/gemm.cpp`.

use super::Lowering;
use super::contraction::sum_of_products;
use super::lowering::axis;
use super::shape::text;
use super::signature::{Accepts, Blobs, Parameter, Signature};
use crate::diagnostic::{Code, Diagnostic};
use crate::expression::{Expression, NodeId};
use crate::graph::{Access, Index, Nest, View};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};

const ALPHA: u32 = 0;
const BETA: u32 = 1;
const TRANSPOSED_A: u32 = 2;
const TRANSPOSED_B: u32 = 3;
const CONSTANT_A: u32 = 4;
const CONSTANT_B: u32 = 5;
const CONSTANT_C: u32 = 6;
const ROWS: u32 = 7;
const COLUMNS: u32 = 8;
const INNER: u32 = 9;
const SPREAD: u32 = 10;
const MIDDLE_AXIS: u32 = 11;
const TRANSPOSED_OUTPUT: u32 = 14;
pub(super) const QUANTISATION: u32 = 18;

pub(super) const SIGNATURE: Signature = Signature::new(
    blobs,
    &[
        Parameter::new(ALPHA, "alpha", Accepts::Float),
        Parameter::new(BETA, "beta", Accepts::Float),
        Parameter::new(TRANSPOSED_A, "flag that A is stored transposed", Accepts::Flag),
        Parameter::new(TRANSPOSED_B, "flag that B is stored transposed", Accepts::Flag),
        Parameter::new(CONSTANT_A, "kind of A", OPERAND),
        Parameter::new(CONSTANT_B, "kind of B", OPERAND),
        Parameter::new(CONSTANT_C, "kind of C", OPERAND),
        Parameter::new(ROWS, "number of rows of A", Accepts::AtLeast(1)).required().when(|p| {
            is_constant(p, CONSTANT_A) || spread_of_constant(p).is_some_and(|spread| [1, 2, 3].contains(&spread))
        }),
        Parameter::new(COLUMNS, "number of columns of B", Accepts::AtLeast(1)).required().when(|p| {
            is_constant(p, CONSTANT_B) || spread_of_constant(p).is_some_and(|spread| [3, 4].contains(&spread))
        }),
        Parameter::new(INNER, "number of columns of A", Accepts::AtLeast(1))
            .required()
            .when(|p| is_constant(p, CONSTANT_A) || is_constant(p, CONSTANT_B)),
        Parameter::new(SPREAD, "broadcast of C", Accepts::OneOf(SPREADS)).when(|p| is_constant(p, CONSTANT_C)),
        Parameter::new(MIDDLE_AXIS, "flag that the output has an axis of 1 in the middle", Accepts::Flag),
        // How ncnn stores the output, and divides the work: that says nothing here.
        Parameter::new(12, "packing of the output", Accepts::Integer),
        Parameter::new(13, "type of the output", Accepts::Integer),
        Parameter::new(TRANSPOSED_OUTPUT, "flag that the output is transposed", Accepts::Flag),
        Parameter::new(QUANTISATION, "quantisation", Accepts::Integer),
        Parameter::new(20, "rows of a tile", Accepts::Integer),
        Parameter::new(21, "columns of a tile", Accepts::Integer),
        Parameter::new(22, "depth of a tile", Accepts::Integer),
    ],
)
.rules(&[is_not_quantised]);

const OPERAND: Accepts = Accepts::OneOf(&[(0, "an input"), (1, "a constant")]);

const SPREADS: &[(i32, &str)] = &[
    (-1, "there is no C"),
    (0, "one number"),
    (1, "a vector along the rows"),
    (2, "a column"),
    (3, "a whole matrix"),
    (4, "a row"),
];

fn is_constant(parameters: &Parameters, operand: u32) -> bool {
    parameters.int(operand, 0) == 1
}

/// The way in which C spreads, if it is a constant.
fn spread_of_constant(parameters: &Parameters) -> Option<i32> {
    is_constant(parameters, CONSTANT_C).then(|| parameters.int(SPREAD, 0))
}

fn blobs(parameters: &Parameters) -> Blobs {
    let inputs = |operands: &[u32]| operands.iter().filter(|operand| !is_constant(parameters, **operand)).count();
    Blobs::between(inputs(&[CONSTANT_A, CONSTANT_B]), inputs(&[CONSTANT_A, CONSTANT_B, CONSTANT_C]), 1)
}

const M: usize = 0;
const N: usize = 1;
const K: usize = 2;

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    let parameters = &layer.parameters;
    let [m, n, k] = [ROWS, COLUMNS, INNER].map(|id| parameters.int(id, 0));
    let mut weights = Vec::new();
    if is_constant(parameters, CONSTANT_A) {
        weights.push(reader.tagged(reader.count(&[m, k])?)?);
    }
    if is_constant(parameters, CONSTANT_B) {
        weights.push(reader.tagged(reader.count(&[k, n])?)?);
    }
    if let Some(extents) = spread_of_constant(parameters).and_then(|spread| constant_c(spread, m, n)) {
        weights.push(reader.tagged(reader.count(&extents)?)?);
    }
    Ok(weights)
}

/// Quantised layers change the numbers, so they are never taken for others.
pub(super) fn is_not_quantised(layer: &Layer) -> Result<(), Diagnostic> {
    let term = layer.parameters.int(QUANTISATION, 0);
    if term == 0 {
        return Ok(());
    }
    let what = if term >= 400 { "block-quantised" } else { "int8" };
    let problem = layer.error_in(QUANTISATION, format!("{what} {} is not supported yet", layer.kind));
    Err(problem.code(Code::Unsupported).hint("give the model before quantisation"))
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
    let parameters = &l.layer.parameters;
    let [m, n, k] = [ROWS, COLUMNS, INNER].map(|id| i64::from(parameters.int(id, 0)));
    let [transposed_a, transposed_b] = [TRANSPOSED_A, TRANSPOSED_B].map(|id| parameters.int(id, 0) != 0);
    let [constant_a, constant_b] = [CONSTANT_A, CONSTANT_B].map(|id| is_constant(parameters, id));
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
        let message = format!("a {a_m}x{a_k} matrix can't be multiplied by a {b_k}x{b_n} matrix");
        return Err(l.error(message).hint("A needs as many columns as B has rows; parameters 2 and 3 transpose them"));
    }
    let (next_array, next_blob) = (arrays.start, blobs.start);
    let c = if let Some(spread) = spread_of_constant(parameters) {
        let extents = constant_c(spread, m as i32, n as i32);
        extents.map(|extents| l.weight(next_array, "C", &extents.map(i64::from))).transpose()?
    } else if next_blob < l.inputs.len() {
        Some(dynamic_c(l, &l.fixed_input(next_blob)?, a_m, b_n)?)
    } else {
        None
    };
    if let Some(c) = &c
        && !(fits(c.shape[0], a_m) && fits(c.shape[1], b_n))
    {
        let message = format!("C of {} doesn't fit a product of {a_m}x{b_n}", text(&c.shape));
        return Err(l.error(message).hint("it may have one row or as many as A, one column or as many as B"));
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

/// A value as a matrix: two axes, or three with the middle one of extent 1; a vector is a row.
fn matrix(l: &Lowering, view: &View) -> Result<View, Diagnostic> {
    match view.shape[..] {
        [_, _] => Ok(view.clone()),
        [columns] => Ok(view.reshaped(&[1, columns])),
        [rows, 1, columns] => Ok(view.reshaped(&[rows, columns])),
        _ => {
            let problem = l.error(format!("an operand of {} is not a matrix", text(&view.shape)));
            Err(problem.hint("a Reshape layer before it can give it two axes"))
        }
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
    let (alpha, beta) = (l.layer.parameters.float(ALPHA, 1.0), l.layer.parameters.float(BETA, 1.0));
    let transposed = l.layer.parameters.int(TRANSPOSED_OUTPUT, 0) != 0;
    let [rows, columns] = if transposed { [n, m] } else { [m, n] };
    let matrix = l.shape(&[rows as i64, columns as i64])?;
    let shape = if l.layer.parameters.int(MIDDLE_AXIS, 0) != 0 { vec![rows, 1, columns] } else { matrix };
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
