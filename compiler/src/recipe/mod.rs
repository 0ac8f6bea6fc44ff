//! What is done for one element of a nest, as expressions of instructions: in single words, or compensated.
//!
//! Owns how a sum takes its next term and how partial sums come together. Must not know in which order that happens, nor
//! tensors beyond the numbers of operands. Interpreters and kernels follow the same recipe, so they have the same bits.

mod compensated;
mod function;
mod pair;

pub use compensated::{Refusal, is_exact};

use crate::expression::{Expression, Node, NodeId};
use crate::graph::{Combine, Nest, Reduction};

/// What is done for one element of a nest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recipe {
    /// How terms come together, where there is a reduction.
    pub sum: Option<Sum>,
    /// What is stored. Operand `i` is read `i`; behind the reads come the words of the sum.
    pub store: Expression,
}

/// How terms come together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sum {
    /// What the sum begins with; one result for each word of it. In double precision it begins with the sum of the results.
    pub start: Expression,
    /// What it is held in meanwhile.
    pub accumulation: Accumulation,
}

/// What a sum is held in, and how it takes a term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accumulation {
    /// Words.
    Words {
        /// The sum with one more term. Operands as for [`Recipe::store`].
        step: Expression,
        /// Two partial sums as one: operands are the words of the one, then those of the other.
        fold: Expression,
    },
    /// One number in double precision. When it is complete it becomes two words: the nearest float, and the float nearest to
    /// what that lacks.
    Double {
        /// A term, or two factors of which it is the product; they are floats, so that the product is exact.
        terms: Expression,
    },
}

impl Sum {
    /// A reduction as it is, in the single word of operand `sum`.
    pub fn definition(reduction: &Reduction, sum: usize) -> Self {
        let fold = Expression::new(|e| {
            let (sum, other) = (e.read(0), e.read(1));
            combined(e, reduction.combine, sum, &[other])
        });
        let accumulation = Accumulation::Words { step: step(reduction, sum), fold };
        Self { start: reduction.start.clone(), accumulation }
    }

    fn expanded(self) -> Self {
        let accumulation = match self.accumulation {
            Accumulation::Words { step, fold } => Accumulation::Words { step: step.expanded(), fold },
            Accumulation::Double { terms } => Accumulation::Double { terms: terms.expanded() },
        };
        Self { start: self.start.expanded(), accumulation }
    }

    /// How many words the complete sum takes.
    pub fn words(&self) -> usize {
        match self.accumulation {
            Accumulation::Words { .. } => self.start.results.len(),
            Accumulation::Double { .. } => 2,
        }
    }

    /// Whether a term needs this operand.
    pub fn reads(&self, operand: usize) -> bool {
        let (Accumulation::Words { step: term, .. } | Accumulation::Double { terms: term }) = &self.accumulation;
        term.nodes.contains(&Node::Read(operand))
    }
}

impl Recipe {
    /// The recipe by which words are computed: instructions only.
    ///
    /// # Panics
    /// When the nest is compensated and can't be; [`Recipe::compensated`] says so before.
    pub fn of(nest: &Nest, compensated: bool) -> Self {
        if compensated {
            return Self::compensated(nest).expect("a pass has refused what can't be compensated");
        }
        let Self { sum, store } = Self::definition(nest);
        Self { sum: sum.map(Sum::expanded), store: store.expanded() }
    }

    /// The recipe as the nest itself has it, with elementary functions in it.
    pub fn definition(nest: &Nest) -> Self {
        let sum = nest.reduction.as_ref().map(|reduction| Sum::definition(reduction, nest.reduced()));
        Self { sum, store: nest.store.clone() }
    }

    /// The recipe in compensated arithmetic: every value that rounding would change is held in two words, until it is
    /// marked as [rounded](crate::function::Function::Rounded).
    ///
    /// # Errors
    /// What has no compensated form.
    pub fn compensated(nest: &Nest) -> Result<Self, Refusal> {
        compensated::recipe(nest)
    }
}

/// The sum in operand `sum` with one more term.
fn step(reduction: &Reduction, sum: usize) -> Expression {
    let mut step = Expression::default();
    let terms = step.inline_with(&reduction.term, |e, operand| e.read(operand));
    let sum = step.read(sum);
    let next = combined(&mut step, reduction.combine, sum, &terms);
    step.results.push(next);
    step
}

/// `sum` with a term, or with the product of two.
fn combined(e: &mut Expression, combine: Combine, sum: NodeId, terms: &[NodeId]) -> NodeId {
    match (combine, terms) {
        (Combine::FusedSum, [first, second]) => e.fma(*first, *second, sum),
        (Combine::FusedSum | Combine::Sum, terms) => e.add(sum, terms[0]),
        (Combine::Product, terms) => e.mul(sum, terms[0]),
        (Combine::Maximum, terms) => e.max(terms[0], sum),
        (Combine::Minimum, terms) => e.min(terms[0], sum),
    }
}
