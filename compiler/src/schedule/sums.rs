//! Sums in progress: what a kernel holds of them, and how they take terms and become words.
//!
//! The parts of a sum are its words, or, where it is held in double precision, the halves of a vector and the one double of a
//! scalar. Must not know in which order terms come.

use super::frame::{Frame, Operand};
use crate::expression::{Expression, Node, NodeId};
use crate::kernel::{Op, Type, ValueId, VariableId};
use crate::recipe::{Accumulation, Sum};

impl Sum {
    /// The type of the parts of a sum of values of this type.
    pub fn held(&self, ty: Type) -> Type {
        match self.accumulation {
            Accumulation::Words { .. } => ty,
            Accumulation::Double { .. } => ty.sums().0,
        }
    }

    /// How many parts a sum of values of this type has.
    pub fn parts(&self, ty: Type) -> usize {
        match self.accumulation {
            Accumulation::Words { .. } => self.words(),
            Accumulation::Double { .. } => ty.sums().1,
        }
    }

    /// The parts of a sum that begins with the results of [`Self::start`].
    pub fn begun(&self, frame: &mut Frame, ty: Type, start: Vec<ValueId>) -> Vec<ValueId> {
        match self.accumulation {
            Accumulation::Words { .. } => start,
            Accumulation::Double { .. } => {
                let words = start.into_iter().map(|word| widened(frame, ty, word, true)).collect();
                self.fold(frame, ty, words)
            }
        }
    }

    /// A sum in these parts with the term at the present point.
    pub fn next(
        &self,
        frame: &mut Frame,
        ty: Type,
        vector: Option<usize>,
        reads: &[Operand],
        there: &[ValueId],
    ) -> Vec<ValueId> {
        match &self.accumulation {
            Accumulation::Words { step, .. } => frame.expression(ty, step, reads, there, vector),
            Accumulation::Double { terms } => {
                let moves = |id: &NodeId| match terms.nodes[id.0 as usize] {
                    Node::Read(read) => vector.is_some_and(|axis| reads[read].position.depends_on(axis)),
                    Node::Constant(_) | Node::Apply(..) | Node::Call(..) => true,
                };
                let values = frame.expression(ty, terms, reads, &[], vector);
                let factors: Vec<Vec<ValueId>> = (values.into_iter().zip(&terms.results))
                    .map(|(value, id)| widened(frame, ty, value, moves(id)))
                    .collect();
                match &factors[..] {
                    [term] => both(frame, there, term),
                    [a, b] => multiply_add(frame, a, b, there),
                    factors => unreachable!("{} factors", factors.len()),
                }
            }
        }
    }

    /// Two partial sums as one.
    fn joined(&self, frame: &mut Frame, ty: Type, one: &[ValueId], other: &[ValueId]) -> Vec<ValueId> {
        match &self.accumulation {
            Accumulation::Words { fold, .. } => frame.builder.expression(ty, fold, &[one, other].concat()),
            Accumulation::Double { .. } => both(frame, one, other),
        }
    }

    /// Partial sum `j` takes partial sum `j + n/2`, down to one.
    pub fn fold(&self, frame: &mut Frame, ty: Type, mut sums: Vec<Vec<ValueId>>) -> Vec<ValueId> {
        while sums.len() > 1 {
            let half = sums.len() / 2;
            sums = (0..half).map(|j| self.joined(frame, ty, &sums[j], &sums[j + half])).collect();
        }
        sums.remove(0)
    }

    /// Lane `j` of all vectors takes lane `j + n/2`, down to one: first whole vectors, then within the last one. Gives the
    /// parts of a scalar.
    pub fn tree(&self, frame: &mut Frame, vectors: Vec<Vec<ValueId>>) -> Vec<ValueId> {
        let mut parts = self.fold(frame, Type::Vector, vectors);
        let mut half = frame.builder.lanes() / 2;
        if let Accumulation::Double { .. } = self.accumulation {
            let halves = parts.into_iter().map(|half| vec![half]).collect();
            parts = self.fold(frame, Type::Vector, halves);
            half /= 2;
        }
        let held = self.held(Type::Vector);
        while half > 0 {
            let turned = parts.iter().map(|part| frame.builder.define(held, Op::Rotate(*part, half))).collect();
            parts = self.fold(frame, Type::Vector, vec![parts, turned]);
            half /= 2;
        }
        parts.iter().map(|part| frame.first_of(*part, 0)).collect()
    }

    /// Each lane of a vector of sums, in the parts of a scalar.
    pub fn scalars(&self, frame: &mut Frame, parts: &[ValueId]) -> Vec<Vec<ValueId>> {
        let lanes = frame.builder.lanes();
        let mut lane = |parts: &[ValueId], lane| parts.iter().map(|part| frame.first_of(*part, lane)).collect();
        match self.accumulation {
            Accumulation::Words { .. } => (0..lanes).map(|at| lane(parts, at)).collect(),
            Accumulation::Double { .. } => {
                let half = lanes / 2;
                (0..lanes).map(|at| lane(&parts[at / half..][..1], at % half)).collect()
            }
        }
    }

    /// The words of a complete sum, as far as `store` needs them behind so many reads. Of a double they are the nearest float
    /// and the float nearest to what that lacks.
    pub fn complete(
        &self,
        frame: &mut Frame,
        ty: Type,
        parts: Vec<ValueId>,
        store: &Expression,
        reads: usize,
    ) -> Vec<ValueId> {
        match self.accumulation {
            Accumulation::Words { .. } => parts,
            Accumulation::Double { .. } => {
                let high = frame.builder.define(ty, Op::Narrow(parts.clone()));
                if !store.nodes.contains(&Node::Read(reads + 1)) {
                    return vec![high];
                }
                let minus_one = frame.builder.constant(ty, (-1.0_f32).to_bits());
                let minus_one = widened(frame, ty, minus_one, false);
                let highs = widened(frame, ty, high, true);
                let rests = multiply_add(frame, &highs, &minus_one, &parts);
                vec![high, frame.builder.define(ty, Op::Narrow(rests))]
            }
        }
    }
}

/// Variables that hold these values, all of one type.
pub fn variables(frame: &mut Frame, ty: Type, values: &[ValueId]) -> Vec<VariableId> {
    let variable = |value: &ValueId| {
        let variable = frame.builder.variable(ty);
        frame.builder.set(variable, *value);
        variable
    };
    values.iter().map(variable).collect()
}

/// What variables hold.
pub fn values(frame: &mut Frame, variables: &[VariableId]) -> Vec<ValueId> {
    variables.iter().map(|variable| frame.builder.get(*variable)).collect()
}

/// Assigns variables.
pub fn set(frame: &mut Frame, variables: &[VariableId], values: &[ValueId]) {
    variables.iter().zip(values).for_each(|(variable, value)| frame.builder.set(*variable, *value));
}

/// A value in double precision, in parts; where it `moves` along the lanes they differ.
pub fn widened(frame: &mut Frame, ty: Type, value: ValueId, moves: bool) -> Vec<ValueId> {
    let (of, count) = ty.sums();
    match moves {
        true => (0..count).map(|half| frame.builder.define(of, Op::Widen(value, half))).collect(),
        false => vec![frame.builder.define(of, Op::Widen(value, 0)); count],
    }
}

/// `a * b + sum`, part by part.
pub fn multiply_add(frame: &mut Frame, a: &[ValueId], b: &[ValueId], sum: &[ValueId]) -> Vec<ValueId> {
    let parts = a.iter().zip(b).zip(sum);
    parts.map(|((a, b), sum)| frame.builder.double(*sum, Op::MultiplyAdd([*a, *b, *sum]))).collect()
}

fn both(frame: &mut Frame, a: &[ValueId], b: &[ValueId]) -> Vec<ValueId> {
    a.iter().zip(b).map(|(a, b)| frame.builder.double(*a, Op::AddDoubles([*a, *b]))).collect()
}
