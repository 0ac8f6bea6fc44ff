//! Expressions rewritten so that they lose nothing on the way: each value that rounding would change becomes a pair.
//!
//! Must not know layers: what is a layer's result is marked in the expression.

use super::function::{Scaled, in_pairs};
use super::pair::{Order, Pair};
use super::{Accumulation, Recipe, Sum};
use crate::expression::{Expression, Node, NodeId};
use crate::function::Function;
use crate::function::double;
use crate::graph::{Combine, Nest};
use crate::instruction::Instruction;
use std::fmt::{self, Display};

/// Why a nest can't be compensated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A function of a value that a word doesn't hold, or whose result is computed with.
    Function(Function),
    /// An instruction on a value that a word doesn't hold.
    Instruction(Instruction),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = match self {
            Self::Function(function) => function.text(),
            Self::Instruction(instruction) => instruction.text(),
        };
        write!(f, "`{name}` is not known to more than a single word")
    }
}

/// What a node of an expression has become.
#[derive(Clone)]
pub(super) enum Value {
    /// A float, exactly.
    Word(NodeId),
    /// A number in two words.
    Pair(Pair),
    /// A number in two words, still to be multiplied by a power of two.
    Scaled(Scaled),
    /// A truth value.
    Mask(NodeId),
    /// A function of numbers, which is computed in one word where that is all it takes.
    Call(Function, Vec<Value>),
}

impl Value {
    /// The number in two words.
    pub fn pair(&self, e: &mut Expression) -> Result<Pair, Refusal> {
        Ok(match self {
            Self::Word(word) | Self::Mask(word) => Pair::exact(e, *word),
            Self::Pair(pair) => *pair,
            Self::Scaled(scaled) => scaled.pair(e),
            Self::Call(function, operands) => in_pairs(e, *function, operands)?.pair(e)?,
        })
    }

    /// The word, where the value is one.
    pub fn word(&self) -> Option<NodeId> {
        match self {
            Self::Word(word) | Self::Mask(word) => Some(*word),
            Self::Pair(_) | Self::Scaled(_) | Self::Call(..) => None,
        }
    }

    /// The nearest word. Functions of words are known to a unit in the last place by themselves.
    fn rounded(&self, e: &mut Expression) -> Result<NodeId, Refusal> {
        match self {
            Self::Word(word) | Self::Mask(word) => Ok(*word),
            Self::Pair(pair) => Ok(pair.rounded(e)),
            Self::Scaled(scaled) => Ok(scaled.rounded(e)),
            Self::Call(function, operands) => match all_words(operands).filter(|_| function.worst_error_ulp() <= 1.0) {
                Some(words) => Ok(function.expand(e, &words)),
                None => in_pairs(e, *function, operands)?.rounded(e),
            },
        }
    }
}

/// The recipe of a nest.
pub(super) fn recipe(nest: &Nest) -> Result<Recipe, Refusal> {
    let reads = nest.reads.len();
    let Some(reduction) = &nest.reduction else {
        return Ok(Recipe { sum: None, store: store(nest, None)? });
    };
    let mut start = Expression::default();
    let first = translated(&mut start, &reduction.start, None)?.remove(0);
    let mut step = Expression::default();
    let terms = translated(&mut step, &reduction.term, None)?;
    if let (Combine::Sum | Combine::FusedSum, Some(words)) = (reduction.combine, all_words(&terms)) {
        let terms = Expression { results: words, ..step }.pruned();
        start.results = match first.word() {
            Some(word) => vec![word],
            None => {
                let Pair { high, low, .. } = first.pair(&mut start)?.clean(&mut start);
                vec![high, low]
            }
        };
        let sum = Sum { start: start.pruned(), accumulation: Accumulation::Double { terms } };
        return Ok(Recipe { store: store(nest, Some(&sum))?, sum: Some(sum) });
    }
    // The largest of some words is one of them.
    let chooses = matches!(reduction.combine, Combine::Maximum | Combine::Minimum);
    let words = if chooses && first.word().is_some() && terms[0].word().is_some() { 1 } else { 2 };
    let sum = operand(&mut step, reads, words);
    let next = combined(&mut step, reduction.combine, &sum, &terms)?;
    let mut fold = Expression::default();
    let (one, other) = (operand(&mut fold, 0, words), operand(&mut fold, words, words));
    let whole = match reduction.combine {
        Combine::FusedSum => plus(&mut fold, &one, &other)?,
        combine => combined(&mut fold, combine, &one, &[other])?,
    };
    let accumulation = Accumulation::Words { step: results(step, &next, words)?, fold: results(fold, &whole, words)? };
    let sum = Sum { start: results(start, &first, words)?, accumulation };
    Ok(Recipe { store: store(nest, Some(&sum))?, sum: Some(sum) })
}

/// Whether what a nest stores is a float before it is rounded, so that a word has all of it.
///
/// # Errors
/// What has no compensated form.
pub fn is_exact(nest: &Nest) -> Result<bool, Refusal> {
    let sum = recipe(nest)?.sum;
    Ok(stored(&mut Expression::default(), nest, sum.as_ref())?.word().is_some())
}

/// The value in so many operands from `first`.
fn operand(e: &mut Expression, first: usize, words: usize) -> Value {
    let high = e.read(first);
    match words {
        1 => Value::Word(high),
        _ => Value::Pair(Pair::loose(double::Double { high, low: e.read(first + 1) })),
    }
}

/// The expression with the words of a value as its results.
fn results(mut e: Expression, value: &Value, words: usize) -> Result<Expression, Refusal> {
    let Pair { high, low, .. } = value.pair(&mut e)?;
    e.results = [high, low][..words].to_vec();
    Ok(e.pruned())
}

fn store(nest: &Nest, sum: Option<&Sum>) -> Result<Expression, Refusal> {
    let mut store = Expression::default();
    let value = stored(&mut store, nest, sum)?;
    let word = value.rounded(&mut store)?;
    store.results.push(word);
    Ok(store.pruned())
}

/// What a nest stores, before it is rounded.
fn stored(e: &mut Expression, nest: &Nest, sum: Option<&Sum>) -> Result<Value, Refusal> {
    let sum = sum.map(|sum| match sum.accumulation {
        Accumulation::Words { .. } => operand(e, nest.reduced(), sum.words()),
        Accumulation::Double { .. } => {
            let [high, low] = [0, 1].map(|word| e.read(nest.reduced() + word));
            Value::Pair(Pair::nearest(double::Double { high, low }))
        }
    });
    Ok(translated(e, &nest.store, sum.as_ref().map(|sum| (nest.reduced(), sum)))?.remove(0))
}

/// Adds `source` to `e`; gives its results. Operands are words, but for the one that is a sum.
fn translated(e: &mut Expression, source: &Expression, sum: Option<(usize, &Value)>) -> Result<Vec<Value>, Refusal> {
    let mut values: Vec<Value> = Vec::with_capacity(source.nodes.len());
    for node in &source.nodes {
        let given = |ids: &[NodeId]| ids.iter().map(|id| values[id.0 as usize].clone()).collect::<Vec<_>>();
        let value = match (node, sum) {
            (Node::Read(number), Some((at, sum))) if *number == at => sum.clone(),
            (Node::Read(number), _) => Value::Word(e.read(*number)),
            (Node::Constant(bits), _) => Value::Word(e.bits(*bits)),
            (Node::Apply(instruction, ids), _) => applied(e, *instruction, &given(ids))?,
            (Node::Call(function, ids), _) => called(e, *function, given(ids))?,
        };
        values.push(value);
    }
    Ok(source.results.iter().map(|id| values[id.0 as usize].clone()).collect())
}

/// The words that values are, where all are words.
fn all_words(values: &[Value]) -> Option<Vec<NodeId>> {
    values.iter().map(Value::word).collect()
}

fn called(e: &mut Expression, function: Function, operands: Vec<Value>) -> Result<Value, Refusal> {
    Ok(match (function, &operands[..]) {
        (Function::Rounded, [x]) => Value::Word(x.rounded(e)?),
        (Function::Rest, [x]) => {
            let pair = x.pair(e)?;
            Value::Word(pair.clean(e).low)
        }
        (Function::Joined, [Value::Word(high), Value::Word(low)]) => {
            Value::Pair(Pair::nearest(double::Double { high: *high, low: *low }))
        }
        _ => match (function.worst_error_ulp() == 0.0, all_words(&operands)) {
            (true, Some(words)) => Value::Word(function.expand(e, &words)),
            _ => Value::Call(function, operands),
        },
    })
}

/// An instruction of the table on values.
fn applied(e: &mut Expression, instruction: Instruction, operands: &[Value]) -> Result<Value, Refusal> {
    use Instruction::*;
    let words = all_words(operands);
    Ok(match (instruction, operands, words.as_deref()) {
        (Add, [a, b], _) => plus(e, a, b)?,
        (Subtract, [a, b], _) => {
            let minus = negated(e, b)?;
            plus(e, a, &minus)?
        }
        (Multiply, [a, b], _) => times(e, a, b)?,
        (FusedMultiplyAdd, [a, b, c], _) => {
            let product = times(e, a, b)?;
            plus(e, c, &product)?
        }
        (Divide, [a, b], _) => {
            let (a, b) = (a.pair(e)?, b.pair(e)?);
            Value::Pair(a.over(e, b))
        }
        (SquareRoot, [a], _) => {
            let a = a.pair(e)?;
            Value::Pair(a.square_root(e))
        }
        (Negate, [a], _) => negated(e, a)?,
        (Less | LessEqual | Equal | Ordered | And | Or | ExclusiveOr, _, Some(words)) => {
            Value::Mask(e.apply(instruction, words))
        }
        (
            Absolute | Maximum | Minimum | Floor | Ceiling | Truncate | RoundEven | ToInteger | FromInteger,
            _,
            Some(words),
        ) => Value::Word(e.apply(instruction, words)),
        (Select, [Value::Mask(_), _, _], Some(words)) => Value::Word(e.apply(Select, words)),
        (Absolute, [a], None) => {
            let a = a.pair(e)?;
            Value::Pair(a.magnitude(e))
        }
        (Maximum | Minimum, [a, b], None) => {
            let (a, b) = (a.pair(e)?.clean(e), b.pair(e)?.clean(e));
            let first =
                if instruction == Maximum { b.compared(e, a, Order::Less) } else { a.compared(e, b, Order::Less) };
            Value::Pair(a.or(e, first, b))
        }
        (Less | LessEqual | Equal, [a, b], None) => {
            let order = match instruction {
                Less => Order::Less,
                LessEqual => Order::LessEqual,
                _ => Order::Equal,
            };
            let (a, b) = (a.pair(e)?, b.pair(e)?);
            Value::Mask(a.compared(e, b, order))
        }
        (Ordered, [a, b], None) => {
            let (a, b) = (a.pair(e)?.high, b.pair(e)?.high);
            Value::Mask(e.ordered(a, b))
        }
        (Select, [Value::Mask(mask), a, b], None) => {
            let (a, b) = (a.pair(e)?, b.pair(e)?);
            Value::Pair(a.or(e, *mask, b))
        }
        (Floor, [a], None) => {
            let a = a.pair(e)?;
            Value::Pair(a.floor(e))
        }
        (Ceiling, [a], None) => {
            let minus = a.pair(e)?.negated(e);
            let below = minus.floor(e);
            Value::Pair(below.negated(e))
        }
        _ => return Err(Refusal::Instruction(instruction)),
    })
}

fn negated(e: &mut Expression, value: &Value) -> Result<Value, Refusal> {
    Ok(match value.word() {
        Some(word) => Value::Word(e.neg(word)),
        None => {
            let pair = value.pair(e)?;
            Value::Pair(pair.negated(e))
        }
    })
}

fn plus(e: &mut Expression, a: &Value, b: &Value) -> Result<Value, Refusal> {
    Ok(Value::Pair(match (a.word(), b.word()) {
        (Some(a), Some(b)) => Pair::nearest(double::sum(e, a, b)),
        (None, Some(word)) => a.pair(e)?.plus_word(e, word),
        (Some(word), None) => b.pair(e)?.plus_word(e, word),
        (None, None) => {
            let (a, b) = (a.pair(e)?, b.pair(e)?);
            a.plus(e, b)
        }
    }))
}

fn times(e: &mut Expression, a: &Value, b: &Value) -> Result<Value, Refusal> {
    Ok(match (a, b) {
        (Value::Scaled(scaled), other) | (other, Value::Scaled(scaled)) => {
            let other = other.pair(e)?;
            Value::Scaled(scaled.clone().times(e, other))
        }
        (Value::Call(function, operands), other) | (other, Value::Call(function, operands)) => {
            let value = in_pairs(e, *function, operands)?;
            return times(e, &value, other);
        }
        (a, b) => Value::Pair(match (a.word(), b.word()) {
            (Some(a), Some(b)) => Pair::nearest(double::product(e, a, b)),
            (None, Some(word)) => a.pair(e)?.times_word(e, word),
            (Some(word), None) => b.pair(e)?.times_word(e, word),
            (None, None) => {
                let (a, b) = (a.pair(e)?, b.pair(e)?);
                a.times(e, b)
            }
        }),
    })
}

/// A sum with a term, or with the product of two.
fn combined(e: &mut Expression, combine: Combine, sum: &Value, terms: &[Value]) -> Result<Value, Refusal> {
    match (combine, terms) {
        (Combine::FusedSum, [first, second]) => {
            let product = times(e, first, second)?;
            plus(e, sum, &product)
        }
        (Combine::FusedSum | Combine::Sum, terms) => plus(e, sum, &terms[0]),
        (Combine::Product, terms) => times(e, sum, &terms[0]),
        (Combine::Maximum, terms) => applied(e, Instruction::Maximum, &[terms[0].clone(), sum.clone()]),
        (Combine::Minimum, terms) => applied(e, Instruction::Minimum, &[terms[0].clone(), sum.clone()]),
    }
}
