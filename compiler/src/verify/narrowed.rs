//! ncnn's own default arithmetic, as far as its sources tell: so that a user sees why ncnn printed something else.
//!
//! With its defaults (`use_fp16_storage`, `src/option.cpp`) ncnn narrows numbers whatever the file holds. On x86 with F16C
//! `InnerProduct` repacks its weights as f16, rounding towards zero (`_MM_FROUND_TRUNC` in `src/layer/x86/innerproduct_fp.h`);
//! no other layer does, and activations stay `f32`. On ARM with f16 arithmetic weights and activations of nearly every layer are f16; that sums are f16 there, too,
//! is not emulated, so the real error is larger. Bit 2 of a layer's feature mask switches f16 storage off. Sums
//! have the order of the plain definition; ncnn's own differs from it by far less than a rounding to f16 does.

use super::subject::{LayerFacts, Subject};
use crate::graph::{Element, TensorId};
use crate::plan::{Interpreter, Words};
use half::f16;

/// What is off in a layer whose feature mask has it: storage of weights and activations as f16.
const NO_F16_STORAGE: i32 = 2;

/// An arithmetic of ncnn's.
#[derive(Clone, Debug)]
pub(super) struct Narrowed {
    /// The definition's constants that are narrowed, with the words they become.
    constants: Vec<(TensorId, Vec<u32>)>,
    /// Whether every layer's result is narrowed.
    activations: bool,
}

impl Narrowed {
    /// ncnn's defaults on x86.
    pub fn x86(subject: &Subject) -> Self {
        Self::new(subject, |facts| facts.kind == "InnerProduct", truncated, false)
    }

    /// ncnn's defaults on ARM with f16 arithmetic.
    pub fn arm(subject: &Subject) -> Self {
        Self::new(subject, |_| true, nearest, true)
    }

    fn new(
        subject: &Subject,
        layers: impl Fn(&LayerFacts) -> bool,
        convert: fn(f32) -> f16,
        activations: bool,
    ) -> Self {
        let graph = &subject.definition.graph;
        let narrowed = subject.weights(|facts| facts.mask & NO_F16_STORAGE == 0 && layers(facts));
        let words = |id: TensorId| graph.constant(id).map_or(&[] as &[u32], |words| words).to_vec();
        let constants = narrowed.into_iter().map(|id| (id, rounded(words(id), convert))).collect();
        Self { constants, activations }
    }

    /// What every output is, by extents and words.
    pub fn run(&self, subject: &Subject, inputs: &[Vec<u32>]) -> Vec<(Vec<usize>, Vec<u32>)> {
        let graph = &subject.definition.graph;
        let mut interpreter = Interpreter::<Words>::new(&subject.definition);
        if self.activations {
            interpreter.feed(&inputs.iter().map(|words| rounded(words.clone(), nearest)).collect::<Vec<_>>());
        } else {
            interpreter.feed(inputs);
        }
        for (id, words) in &self.constants {
            interpreter.set(*id, words.clone());
        }
        for (at, operation) in graph.operations.iter().enumerate() {
            interpreter.step(at);
            let name = operation.name();
            // What stays inside a layer is never stored.
            let complete = graph.operations.get(at + 1).is_none_or(|next| next.name() != name);
            let masked = subject.layers.get(name).is_some_and(|facts| facts.mask & NO_F16_STORAGE != 0);
            if self.activations && complete && !masked {
                for id in operation.writes() {
                    if graph.tensor(id).element == Element::F32 {
                        interpreter.set(id, rounded(interpreter.values(id), nearest));
                    }
                }
            }
        }
        (0..graph.outputs.len()).map(|output| interpreter.output(output)).collect()
    }
}

/// Words as f16 and back.
fn rounded(words: Vec<u32>, convert: fn(f32) -> f16) -> Vec<u32> {
    words.into_iter().map(|word| convert(f32::from_bits(word)).to_f32().to_bits()).collect()
}

/// The nearest f16, as NEON converts.
fn nearest(value: f32) -> f16 {
    f16::from_f32(value)
}

/// The nearest f16 that is no larger, as ncnn has F16C convert weights.
fn truncated(value: f32) -> f16 {
    let nearest = f16::from_f32(value);
    let larger = nearest.to_f32().abs() > value.abs();
    // Magnitudes follow one another as their bits do.
    if larger { f16::from_bits(nearest.to_bits() - 1) } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_never_grows() {
        let cases =
            [(1.9999, 1.0 + 1023.0 / 1024.0), (65535.0, 65504.0), (1e-7, 5.960_464_5e-8), (1e-8, 0.0), (0.5, 0.5)];
        for (value, expected) in cases {
            assert_eq!(truncated(value).to_f32(), expected);
            assert_eq!(truncated(-value).to_f32(), -expected);
        }
        assert!(truncated(f32::NAN).is_nan());
    }
}
