//! MultiHeadAttention: projections of queries, keys and values, attention within heads, and a projection of the result.
//!
//! 0: extent of the embedding, 1: heads, 2: number of query weights, 3/4: extents of keys and values, 5: a mask comes
//! last, 6: scale of the queries, 7: cache of keys and values, 18: quantisation. Inputs: queries, then keys, then values;
//! those that are missing are the ones before. Weights: queries, keys, values and output, each tagged and followed by
//! its raw bias. Source: `src/layer/multiheadattention.cpp`.

use super::Lowering;
use super::contraction::sum_of_products;
use super::gemm::refuse_quantised;
use super::lowering::axis;
use super::softmax;
use crate::diagnostic::{Code, Diagnostic};
use crate::expression::Expression;
use crate::graph::{Index, Nest, View};
use crate::ncnn::{Layer, WeightReader, Weights};

/// Extents by the layer's parameters.
struct Extents {
    embedding: i64,
    heads: i64,
    query: i64,
    key: i64,
    value: i64,
}

impl Extents {
    fn of(layer: &Layer) -> Result<Self, Diagnostic> {
        let int = |id, default| layer.parameters.int(id, default);
        let (embedding, heads, weights) = (int(0, 0), int(1, 1), int(2, 0));
        let (key, value) = (int(3, embedding), int(4, embedding));
        let wrong =
            |message| Err(Diagnostic::error(message).code(Code::Layer).at(layer.location.clone()).layer(&layer.name));
        if embedding < 1 || heads < 1 || embedding % heads != 0 {
            return wrong(format!("an embedding of {embedding} can't be divided among {heads} heads"));
        }
        if weights < 1 || weights % embedding != 0 || key < 1 || value < 1 {
            return wrong(format!("{weights} query weights and extents of {key} and {value} make no sense"));
        }
        let [embedding, heads, query, key, value] = [embedding, heads, weights / embedding, key, value].map(i64::from);
        Ok(Self { embedding, heads, query, key, value })
    }
}

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    refuse_quantised(layer)?;
    let Extents { embedding, query, key, value, .. } = Extents::of(layer)?;
    let mut weights = Vec::new();
    for (inputs, outputs) in [(query, embedding), (key, embedding), (value, embedding), (embedding, query)] {
        let [inputs, outputs] = [inputs, outputs].map(|extent| i32::try_from(extent).unwrap_or(-1));
        weights.push(reader.tagged(reader.count(&[inputs, outputs])?)?);
        weights.push(reader.raw(reader.count(&[outputs])?)?);
    }
    Ok(weights)
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    refuse_quantised(l.layer)?;
    if l.layer.parameters.int(7, 0) != 0 {
        return Err(l.error("a cache of keys and values is not supported yet").code(Code::Unsupported));
    }
    let masked = l.layer.parameters.int(5, 0) != 0;
    let mask_inputs = usize::from(masked);
    l.expect_blobs(1 + mask_inputs, 3 + mask_inputs, 1)?;
    let extents = Extents::of(l.layer)?;
    let given = l.inputs.len() - mask_inputs;
    let query = sequence(l, 0, extents.query)?;
    let key = sequence(l, 1.min(given - 1), extents.key)?;
    let value = sequence(l, 2.min(given - 1), extents.value)?;
    let (queries, keys) = (query.shape[0], key.shape[0]);
    if value.shape[0] != keys {
        return Err(l.error(format!("there are {keys} keys but {} values", value.shape[0])));
    }
    let mask = if masked { Some(mask(l, extents.heads as usize, queries, keys)?) } else { None };
    let default_scale = 1.0 / ((extents.embedding / extents.heads) as f32).sqrt();
    let scale = l.layer.parameters.float(6, default_scale);
    let query = project(l, 0, "query", &query, extents.embedding, Some(scale), None)?;
    let key = project(l, 1, "key", &key, extents.embedding, None, None)?;
    let value = project(l, 2, "value", &value, extents.embedding, None, None)?;
    let heads = [extents.heads as usize, (extents.embedding / extents.heads) as usize];
    let attended = attend(l, heads, [&query, &key, &value], mask)?;
    l.shape(&[queries as i64, extents.query])?;
    let output = l.output(0, &[queries, extents.query as usize]);
    project(l, 3, "output", &attended, extents.query, None, Some(output))?;
    Ok(())
}

/// Input `i` as a sequence of vectors of this extent.
fn sequence(l: &Lowering, i: usize, extent: i64) -> Result<View, Diagnostic> {
    let view = l.fixed_input(i)?;
    match view.shape[..] {
        [_, width] if width as i64 == extent => Ok(view),
        _ => Err(l.error(format!("input {i} of {:?} is not a sequence of vectors of {extent}", view.shape))),
    }
}

/// The mask as `[1 or heads, queries, keys]`.
fn mask(l: &Lowering, heads: usize, queries: usize, keys: usize) -> Result<View, Diagnostic> {
    let view = l.fixed_input(l.inputs.len() - 1)?;
    match view.shape[..] {
        [rows, columns] if (rows, columns) == (queries, keys) => Ok(view.reshaped(&[1, queries, keys])),
        [each, rows, columns] if (each, rows, columns) == (heads, queries, keys) => Ok(view),
        _ => Err(l.error(format!("a mask of {:?} doesn't fit {queries} queries and {keys} keys", view.shape))),
    }
}

/// Weighted sums of the vectors of a sequence: arrays `2 * which` and the one after it are weight and bias.
fn project(
    l: &mut Lowering,
    which: usize,
    what: &str,
    from: &View,
    outputs: i64,
    scale: Option<f32>,
    to: Option<View>,
) -> Result<View, Diagnostic> {
    const I: usize = 0;
    const N: usize = 1;
    const K: usize = 2;
    let [length, inputs] = from.shape[..] else { unreachable!("a sequence has 2 axes") };
    let weight = l.weight(2 * which, &format!("{what}_weight"), &[outputs, inputs as i64])?;
    let bias = l.weight(2 * which + 1, &format!("{what}_bias"), &[outputs])?;
    let shape = l.checked_shape(what, &[length as i64, outputs])?;
    let to = to.unwrap_or_else(|| l.temporary(what, &shape));
    let store = Expression::new(|e| {
        let sum = e.read(3);
        match scale {
            None => sum,
            Some(scale) => {
                let scale = e.constant(scale);
                e.mul(sum, scale)
            }
        }
    });
    l.nest(Nest {
        name: String::new(),
        parallel: vec![axis("i", length), axis("n", shape[1])],
        reduction: Some(sum_of_products(vec![axis("k", inputs)], Expression::read_of(2))),
        reads: vec![
            from.at(vec![Index::axis(I), Index::axis(K)]),
            weight.at(vec![Index::axis(N), Index::axis(K)]),
            bias.at(vec![Index::axis(N)]),
        ],
        store,
        write: to.elementwise(),
    });
    Ok(to)
}

/// For each head the values, weighted by the softmax of the products of queries and keys; `[queries, embedding]`.
fn attend(
    l: &mut Lowering,
    [heads, width]: [usize; 2],
    [query, key, value]: [&View; 3],
    mask: Option<View>,
) -> Result<View, Diagnostic> {
    let (queries, keys) = (query.shape[0], key.shape[0]);
    let scores_shape = l.checked_shape("the scores", &[heads, queries, keys].map(|extent| extent as i64))?;
    let by_head = |view: &View| view.reshaped(&[view.shape[0], heads, width]);
    let scores = l.temporary("scores", &scores_shape);
    {
        const H: usize = 0;
        const I: usize = 1;
        const J: usize = 2;
        const K: usize = 3;
        let mut reads = vec![
            by_head(query).at(vec![Index::axis(I), Index::axis(H), Index::axis(K)]),
            by_head(key).at(vec![Index::axis(J), Index::axis(H), Index::axis(K)]),
        ];
        let store = match mask {
            None => Expression::read_of(2),
            Some(mask) => {
                let head = if mask.shape[0] == 1 { Index::constant(0) } else { Index::axis(H) };
                reads.push(mask.at(vec![head, Index::axis(I), Index::axis(J)]));
                Expression::new(|e| {
                    let (mask, sum) = (e.read(2), e.read(3));
                    e.add(sum, mask)
                })
            }
        };
        l.nest(Nest {
            name: String::new(),
            parallel: vec![axis("h", heads), axis("i", queries), axis("j", keys)],
            reduction: Some(sum_of_products(vec![axis("k", width)], Expression::constant_of(0.0))),
            reads,
            store,
            write: scores.elementwise(),
        });
    }
    let shares = l.temporary("shares", &scores_shape);
    softmax::along_axis(l, &scores, 2, &shares);
    let attended = l.temporary("attended", &query.shape);
    const H: usize = 0;
    const I: usize = 1;
    const N: usize = 2;
    const J: usize = 3;
    l.nest(Nest {
        name: String::new(),
        parallel: vec![axis("h", heads), axis("i", queries), axis("n", width)],
        reduction: Some(sum_of_products(vec![axis("j", keys)], Expression::constant_of(0.0))),
        reads: vec![
            shares.at(vec![Index::axis(H), Index::axis(I), Index::axis(J)]),
            by_head(value).at(vec![Index::axis(J), Index::axis(H), Index::axis(N)]),
        ],
        store: Expression::read_of(2),
        write: by_head(&attended).at(vec![Index::axis(I), Index::axis(H), Index::axis(N)]),
    });
    Ok(attended)
}
