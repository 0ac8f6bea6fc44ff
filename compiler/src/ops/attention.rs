//! MultiHeadAttention: projections of queries, keys and values, attention within heads, and a projection of the result.
//!
//! Inputs: queries, then keys, then values; those that are missing are the ones before. Then a mask, where there is
//! one, then the caches of keys and of values, which may be empty. Weights: queries, keys, values and output, each
//! tagged and followed by its raw bias. Source: `src/layer/multiheadattention.cpp`.
//!
//! Of itself the layer sees what the caches hold and then its own inputs; of another sequence, what the caches hold,
//! and its own inputs only while the caches are empty. What it has seen are its second and third output. Caches are
//! `[heads, positions, width of a head]`; in ncnn their form has changed from version to version, so that they are
//! passed on, not looked into.

use super::Lowering;
use super::contraction::sum_of_products;
use super::gemm::{QUANTISATION, is_not_quantised};
use super::lowering::axis;
use super::shape::text;
use super::signature::{Accepts, Blobs, Parameter, Signature};
use super::softmax;
use crate::diagnostic::Diagnostic;
use crate::expression::Expression;
use crate::graph::{Access, Index, Nest, View};
use crate::ncnn::{Layer, Parameters, WeightReader, Weights};

const EMBEDDING: u32 = 0;
const HEADS: u32 = 1;
const WEIGHTS: u32 = 2;
const KEY: u32 = 3;
const VALUE: u32 = 4;
const MASKED: u32 = 5;
const SCALE: u32 = 6;
const CACHED: u32 = 7;

pub(super) const SIGNATURE: Signature = Signature::new(
    blobs,
    &[
        Parameter::new(EMBEDDING, "extent of the embedding", Accepts::AtLeast(1)).required(),
        Parameter::new(HEADS, "number of heads", Accepts::AtLeast(1)),
        Parameter::new(WEIGHTS, "number of query weights", Accepts::AtLeast(1)).required(),
        Parameter::new(KEY, "extent of the keys", Accepts::AtLeast(1)),
        Parameter::new(VALUE, "extent of the values", Accepts::AtLeast(1)),
        Parameter::new(MASKED, "flag that there is a mask", Accepts::Flag),
        Parameter::new(SCALE, "scale of the queries", Accepts::Float),
        Parameter::new(CACHED, "flag that there are caches of keys and values", Accepts::Flag),
        Parameter::new(QUANTISATION, "quantisation", Accepts::Integer),
    ],
)
.rules(&[is_not_quantised, heads_share_the_embedding, shares_its_weights])
.with_caches(|parameters, inputs| if parameters.int(CACHED, 0) != 0 { inputs.saturating_sub(2)..inputs } else { 0..0 });

fn blobs(parameters: &Parameters) -> Blobs {
    let [masked, cached] = [MASKED, CACHED].map(|id| parameters.int(id, 0) != 0);
    let others = usize::from(masked) + if cached { 2 } else { 0 };
    Blobs::between(1 + others, 3 + others, if cached { 3 } else { 1 })
}

/// Refuses an embedding that isn't the same for every head.
fn heads_share_the_embedding(layer: &Layer) -> Result<(), Diagnostic> {
    let (embedding, heads) = (layer.parameters.int(EMBEDDING, 0), layer.parameters.int(HEADS, 1));
    if embedding % heads == 0 {
        return Ok(());
    }
    let message = format!("an embedding of {embedding} can't be divided among {heads} heads");
    Err(layer.error_in(HEADS, message).hint(format!("parameter {HEADS} must divide {embedding}")))
}

/// Refuses a number of query weights that isn't the same for every element of the embedding.
fn shares_its_weights(layer: &Layer) -> Result<(), Diagnostic> {
    let [embedding, weights] = [EMBEDDING, WEIGHTS].map(|id| layer.parameters.int(id, 0));
    if weights % embedding == 0 {
        return Ok(());
    }
    let message = format!("{weights} query weights can't be divided by an embedding of {embedding}");
    Err(layer
        .error_in(WEIGHTS, message)
        .hint("the number of query weights is the embedding x the extent of the queries"))
}

/// Extents by the layer's parameters.
struct Extents {
    embedding: i64,
    heads: i64,
    query: i64,
    key: i64,
    value: i64,
}

impl Extents {
    fn of(layer: &Layer) -> Self {
        let int = |id, default| layer.parameters.int(id, default);
        let (embedding, heads, weights) = (int(EMBEDDING, 0), int(HEADS, 1), int(WEIGHTS, 0));
        let (key, value) = (int(KEY, embedding), int(VALUE, embedding));
        let [embedding, heads, query, key, value] = [embedding, heads, weights / embedding, key, value].map(i64::from);
        Self { embedding, heads, query, key, value }
    }
}

pub(super) fn weights(layer: &Layer, reader: &mut WeightReader) -> Result<Vec<Weights>, Diagnostic> {
    let Extents { embedding, query, key, value, .. } = Extents::of(layer);
    let mut weights = Vec::new();
    for (inputs, outputs) in [(query, embedding), (key, embedding), (value, embedding), (embedding, query)] {
        let [inputs, outputs] = [inputs, outputs].map(|extent| i32::try_from(extent).unwrap_or(-1));
        weights.push(reader.tagged(reader.count(&[inputs, outputs])?)?);
        weights.push(reader.raw(reader.count(&[outputs])?)?);
    }
    Ok(weights)
}

pub(super) fn lower(l: &mut Lowering) -> Result<(), Diagnostic> {
    let [masked, cached] = [MASKED, CACHED].map(|id| l.layer.parameters.int(id, 0) != 0);
    let extents = Extents::of(l.layer);
    let heads = [extents.heads as usize, (extents.embedding / extents.heads) as usize];
    let caches = if cached { caches(l, heads)? } else { None };
    let given = l.inputs.len() - usize::from(masked) - if cached { 2 } else { 0 };
    let of_itself = given == 1;
    let query = sequence(l, 0, extents.query)?;
    let key = sequence(l, 1.min(given - 1), extents.key)?;
    let value = sequence(l, 2.min(given - 1), extents.value)?;
    let queries = query.shape[0];
    if value.shape[0] != key.shape[0] {
        let message = format!("there are {} keys but {} values", key.shape[0], value.shape[0]);
        return Err(l.error(message).hint("each key has one value: give two sequences of the same length"));
    }
    let default_scale = 1.0 / ((extents.embedding / extents.heads) as f32).sqrt();
    let scale = l.layer.parameters.float(SCALE, default_scale);
    let query = project(l, 0, "query", &query, extents.embedding, Some(scale), None)?;
    let [key, value] = match caches {
        Some(caches) if !of_itself => caches.map(|cache| Sequence { view: cache, heads_first: true }),
        before => {
            let key = project(l, 1, "key", &key, extents.embedding, None, None)?;
            let value = project(l, 2, "value", &value, extents.embedding, None, None)?;
            let by_head = |view: View| {
                let view = view.reshaped(&[view.shape[0], heads[0], heads[1]]);
                Sequence { view, heads_first: false }
            };
            let own = [by_head(key), by_head(value)];
            if cached { behind(l, before, &own)? } else { own }
        }
    };
    if cached {
        l.set_output(1, key.view.clone());
        l.set_output(2, value.view.clone());
    }
    let mask = if masked { Some(mask(l, given, heads[0], queries, key.length())?) } else { None };
    let attended = attend(l, heads, &query, [&key, &value], mask)?;
    l.shape(&[queries as i64, extents.query])?;
    let output = l.output(0, &[queries, extents.query as usize]);
    project(l, 3, "output", &attended, extents.query, None, Some(output))?;
    Ok(())
}

/// Vectors for each head.
struct Sequence {
    /// `[heads, length, width]`, or with the first two axes exchanged.
    view: View,
    heads_first: bool,
}

impl Sequence {
    fn length(&self) -> usize {
        self.view.shape[if self.heads_first { 1 } else { 0 }]
    }

    /// Its elements by the loops that count heads, vectors and elements of them.
    fn at(&self, head: usize, position: usize, element: usize) -> Access {
        let [first, second] = if self.heads_first { [head, position] } else { [position, head] };
        self.view.at([first, second, element].map(Index::axis).to_vec())
    }
}

/// What the caches hold, keys and values, unless they are empty.
fn caches(l: &Lowering, [heads, width]: [usize; 2]) -> Result<Option<[View; 2]>, Diagnostic> {
    let first = l.inputs.len() - 2;
    let empty = [first, first + 1].map(|i| l.inputs[i].is_empty());
    if empty == [true; 2] {
        return Ok(None);
    }
    if empty[0] != empty[1] {
        let hint = "give both the shape `[0]` at the first step, and pass both on to the next one";
        return Err(l.error("one of the caches is empty, the other isn't").hint(hint));
    }
    let views = [l.fixed_input(first)?, l.fixed_input(first + 1)?];
    let fits = |view: &View| matches!(view.shape[..], [h, _, w] if [h, w] == [heads, width]);
    if !views.iter().all(fits) || views[0].shape != views[1].shape {
        let [keys, values] = views.map(|view| text(&view.shape));
        let message = format!("caches of {keys} and {values} don't hold vectors of {width} for {heads} heads");
        return Err(l
            .error(message)
            .hint(format!("both are {heads}xPOSITIONSx{width}, the last two outputs of such a layer")));
    }
    Ok(Some(views))
}

/// New caches: what the old ones hold, if anything, and then the layer's own keys and values.
fn behind(l: &mut Lowering, old: Option<[View; 2]>, own: &[Sequence; 2]) -> Result<[Sequence; 2], Diagnostic> {
    const H: usize = 0;
    const I: usize = 1;
    const N: usize = 2;
    let mut old = old.map(Vec::from).unwrap_or_default().into_iter();
    let mut caches = Vec::new();
    for (output, own) in own.iter().enumerate() {
        let [length, heads, width] = own.view.shape[..] else { unreachable!("three axes") };
        let old = old.next();
        let before = old.as_ref().map_or(0, |old| old.shape[1]);
        let shape = l.checked_shape("the cache", &[heads, before + length, width].map(|extent| extent as i64))?;
        let cache = l.output(1 + output, &shape);
        if let Some(old) = old {
            let index = [H, I, N].map(Index::axis).to_vec();
            l.copy(vec![axis("h", heads), axis("i", before), axis("n", width)], old.at(index.clone()), &cache, index);
        }
        let index = vec![Index::axis(H), Index::axis(I).moved(before as i64), Index::axis(N)];
        l.copy(vec![axis("h", heads), axis("i", length), axis("n", width)], own.at(H, I, N), &cache, index);
        caches.push(Sequence { view: cache, heads_first: true });
    }
    let [keys, values] = caches.try_into().unwrap_or_else(|_| unreachable!("two caches"));
    Ok([keys, values])
}

/// Input `i` as a sequence of vectors of this extent; a vector is a sequence of one.
fn sequence(l: &Lowering, i: usize, extent: i64) -> Result<View, Diagnostic> {
    let view = l.fixed_input(i)?;
    match view.shape[..] {
        [width] if width as i64 == extent => Ok(view.reshaped(&[1, width])),
        [_, width] if width as i64 == extent => Ok(view),
        _ => {
            let message = format!("input {i} of {} is not a sequence of vectors of {extent}", text(&view.shape));
            Err(l.error(message).hint("its shape must be (length, extent); parameters 2, 3 and 4 give the extents"))
        }
    }
}

/// The mask, input `i`, as `[1 or heads, queries, keys]`.
fn mask(l: &Lowering, i: usize, heads: usize, queries: usize, keys: usize) -> Result<View, Diagnostic> {
    let view = l.fixed_input(i)?;
    match view.shape[..] {
        [rows, columns] if (rows, columns) == (queries, keys) => Ok(view.reshaped(&[1, queries, keys])),
        [each, rows, columns] if [1, heads].contains(&each) && (rows, columns) == (queries, keys) => Ok(view),
        _ => {
            let message = format!("a mask of {} doesn't fit {queries} queries and {keys} keys", text(&view.shape));
            let hint = format!("it must be {queries}x{keys}, or one such matrix for each of the {heads} heads");
            Err(l.error(message).hint(hint))
        }
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
    query: &View,
    [key, value]: [&Sequence; 2],
    mask: Option<View>,
) -> Result<View, Diagnostic> {
    let (queries, keys) = (query.shape[0], key.length());
    let scores_shape = l.checked_shape("the scores", &[heads, queries, keys].map(|extent| extent as i64))?;
    let by_head = |view: &View| view.reshaped(&[view.shape[0], heads, width]);
    let scores = l.temporary("scores", &scores_shape);
    {
        const H: usize = 0;
        const I: usize = 1;
        const J: usize = 2;
        const K: usize = 3;
        let mut reads = vec![by_head(query).at(vec![Index::axis(I), Index::axis(H), Index::axis(K)]), key.at(H, J, K)];
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
        reads: vec![shares.at(vec![Index::axis(H), Index::axis(I), Index::axis(J)]), value.at(H, J, N)],
        store: Expression::read_of(2),
        write: by_head(&attended).at(vec![Index::axis(I), Index::axis(H), Index::axis(N)]),
    });
    Ok(attended)
}
