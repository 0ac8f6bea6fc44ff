//! The arithmetics a plan is interpreted in: words as compiled code computes them, and real numbers. (Real numbers with
//! bounds of their errors are in `bounded`.)

use crate::expression::{Expression, Node};
use crate::format::Format;
use crate::function::Function;
use crate::graph::{Element, Nest};
use crate::instruction::Instruction;
use crate::recipe::Recipe;

/// A number system with a meaning for every instruction.
pub trait Arithmetic: Copy + Sync {
    /// An element of a tensor.
    type Value: Copy + Default + Send + Sync + 'static;

    /// Whether convolutions are carried out by the algorithms of the plan, or by their definitions.
    const AS_PLANNED: bool;

    /// What a stored word means.
    fn read(word: u32, element: Element) -> Self::Value;

    /// The word that a value is stored as.
    fn word(value: Self::Value, element: Element) -> u32;

    /// What is read back after a value has been stored as an element of this format.
    fn stored(value: Self::Value, format: Format) -> Self::Value;

    /// A real number as near as stored words come to it.
    fn rounded(value: f64) -> Self::Value;

    /// What a constant of an expression means.
    fn constant(bits: u32) -> Self::Value;

    /// An integer, such as an extent.
    fn integer(value: Self::Value) -> i64;

    /// What is done here for one element of a nest.
    fn recipe(nest: &Nest, compensated: bool) -> Recipe;

    /// The expression as it is evaluated here.
    fn prepared(expression: &Expression) -> Expression;

    /// An instruction on one element.
    fn apply(instruction: Instruction, operands: &[Self::Value]) -> Self::Value;

    /// An elementary function that [`Self::prepared`] left.
    fn call(function: Function, operands: &[Self::Value]) -> Self::Value;

    /// `a * b + c`, rounded once.
    fn fma(a: Self::Value, b: Self::Value, c: Self::Value) -> Self::Value;
}

/// Words, to the bit.
#[derive(Clone, Copy, Debug)]
pub struct Words;

impl Arithmetic for Words {
    type Value = u32;

    const AS_PLANNED: bool = true;

    #[inline(always)]
    fn read(word: u32, _: Element) -> u32 {
        word
    }

    fn word(value: u32, _: Element) -> u32 {
        value
    }

    fn stored(value: u32, format: Format) -> u32 {
        format.round(value)
    }

    fn rounded(value: f64) -> u32 {
        (value as f32).to_bits()
    }

    fn constant(bits: u32) -> u32 {
        bits
    }

    fn integer(value: u32) -> i64 {
        i64::from(value as i32)
    }

    fn recipe(nest: &Nest, compensated: bool) -> Recipe {
        Recipe::of(nest, compensated)
    }

    fn prepared(expression: &Expression) -> Expression {
        expression.expanded()
    }

    #[inline(always)]
    fn apply(instruction: Instruction, operands: &[u32]) -> u32 {
        instruction.lane(operands)
    }

    fn call(function: Function, _: &[u32]) -> u32 {
        panic!("{} has not been expanded", function.text())
    }

    #[inline(always)]
    fn fma(a: u32, b: u32, c: u32) -> u32 {
        f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c)).to_bits()
    }
}

/// Double precision, elementary functions and convolutions by their definitions: the reference that errors are measured
/// against.
#[derive(Clone, Copy, Debug)]
pub struct Reals;

impl Arithmetic for Reals {
    type Value = f64;

    const AS_PLANNED: bool = false;

    #[inline(always)]
    fn read(word: u32, element: Element) -> f64 {
        match element {
            Element::F32 => f64::from(f32::from_bits(word)),
            Element::I32 => f64::from(word as i32),
        }
    }

    fn word(value: f64, element: Element) -> u32 {
        match element {
            Element::F32 => (value as f32).to_bits(),
            Element::I32 => (value as i32).cast_unsigned(),
        }
    }

    // Words are the reference's own numbers, as exact as doubles are.
    fn stored(value: f64, format: Format) -> f64 {
        if format.is_narrow() { format.nearest(value) } else { value }
    }

    fn rounded(value: f64) -> f64 {
        value
    }

    fn constant(bits: u32) -> f64 {
        f64::from(f32::from_bits(bits))
    }

    fn integer(value: f64) -> i64 {
        value as i64
    }

    fn recipe(nest: &Nest, _: bool) -> Recipe {
        Recipe::definition(nest)
    }

    fn prepared(expression: &Expression) -> Expression {
        expression.clone()
    }

    #[inline(always)]
    fn apply(instruction: Instruction, operands: &[f64]) -> f64 {
        if let (Instruction::FusedMultiplyAdd, [a, b, c]) = (instruction, operands) {
            return Self::fma(*a, *b, *c);
        }
        instruction.real(operands).expect("instructions on bits stand only inside functions")
    }

    fn call(function: Function, operands: &[f64]) -> f64 {
        function.real(operands)
    }

    // Of floats the product is exact in double precision; so rounding it costs next to nothing, where a processor whose
    // fused instruction may not be assumed would call a function.
    #[inline(always)]
    fn fma(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

/// An expression being evaluated for many elements at a time.
pub(super) struct Evaluator<A: Arithmetic> {
    expression: Expression,
    /// One row of `width` values for each node.
    rows: Vec<A::Value>,
    width: usize,
}

impl<A: Arithmetic> Evaluator<A> {
    /// Ready for up to `width` elements at a time.
    pub(super) fn new(expression: &Expression, width: usize) -> Self {
        let expression = A::prepared(expression);
        let rows = vec![A::Value::default(); expression.nodes.len() * width];
        Self { expression, rows, width }
    }

    /// The operands that its results are, when it computes nothing.
    pub(super) fn plain_reads(&self) -> Option<Vec<usize>> {
        let operand = |id: &crate::expression::NodeId| match self.expression.nodes[id.0 as usize] {
            Node::Read(operand) => Some(operand),
            Node::Constant(_) | Node::Apply(..) | Node::Call(..) => None,
        };
        self.expression.results.iter().map(operand).collect()
    }

    /// Evaluates `count` elements; `fill` writes an operand's values.
    #[inline(always)]
    pub(super) fn evaluate(&mut self, count: usize, mut fill: impl FnMut(usize, &mut [A::Value])) {
        let Self { expression, rows, width } = self;
        for (at, node) in expression.nodes.iter().enumerate() {
            let (before, rest) = rows.split_at_mut(at * *width);
            let row = &mut rest[..count];
            let operand = |id: &crate::expression::NodeId| &before[id.0 as usize * *width..][..count];
            match node {
                Node::Read(number) => fill(*number, row),
                Node::Constant(bits) => row.fill(A::constant(*bits)),
                Node::Apply(instruction, ids) => match &ids[..] {
                    [a] => {
                        for (value, a) in row.iter_mut().zip(operand(a)) {
                            *value = A::apply(*instruction, &[*a]);
                        }
                    }
                    [a, b] => {
                        for ((value, a), b) in row.iter_mut().zip(operand(a)).zip(operand(b)) {
                            *value = A::apply(*instruction, &[*a, *b]);
                        }
                    }
                    [a, b, c] => {
                        for (((value, a), b), c) in row.iter_mut().zip(operand(a)).zip(operand(b)).zip(operand(c)) {
                            *value = A::apply(*instruction, &[*a, *b, *c]);
                        }
                    }
                    ids => unreachable!("{} operands", ids.len()),
                },
                Node::Call(function, ids) => {
                    let mut operands = Vec::with_capacity(ids.len());
                    for (i, value) in row.iter_mut().enumerate() {
                        operands.clear();
                        operands.extend(ids.iter().map(|id| operand(id)[i]));
                        *value = A::call(*function, &operands);
                    }
                }
            }
        }
    }

    /// How many results it has.
    pub(super) fn results(&self) -> usize {
        self.expression.results.len()
    }

    /// The values of result `i` after [`Self::evaluate`].
    pub(super) fn result(&self, i: usize) -> &[A::Value] {
        &self.rows[self.expression.results[i].0 as usize * self.width..][..self.width]
    }
}
