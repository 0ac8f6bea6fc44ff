//! What is done for one element of a nest, as expressions of instructions: in single words, or compensated.
//!
//! Owns how a sum takes its next term and how partial sums come together. Must not know in which order that happens, nor
//! tensors beyond the numbers of operands. Interpreters and kernels follow the same recipe, so they have the same bits.

mod compensated;
mod function;
mod pair;

pub use compensated::{Refusal, is_exact};

use crate::expression::{Expression, NodeId};
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
    /// What the sum begins with; one result for each word of it.
    pub start: Expression,
    /// The sum with one more term. Operands as for [`Recipe::store`].
    pub step: Expression,
    /// Two partial sums as one: operands are the words of the one, then those of the other.
    pub fold: Expression,
}

impl Sum {
    /// A reduction as it is, in the single word of operand `sum`.
    pub fn definition(reduction: &Reduction, sum: usize) -> Self {
        let fold = Expression::new(|e| {
            let (sum, other) = (e.read(0), e.read(1));
            combined(e, reduction.combine, sum, &[other])
        });
        Self { start: reduction.start.clone(), step: step(reduction, sum), fold }
    }

    fn expanded(self) -> Self {
        Self { start: self.start.expanded(), step: self.step.expanded(), ..self }
    }

    /// How many words a sum takes.
    pub fn words(&self) -> usize {
        self.start.results.len()
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
