//! A model as text, in ncnn's own text form: what [`super::read_param`] reads back as the same model.
//!
//! Values that form cannot hold (the untyped numbers of binary files, infinities) are shown as they are most likely
//! meant. Weights are not shown. Must not know what layers mean.

use super::{Layer, MAGIC, Model, Parameters, Value, number};
use std::fmt;

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{MAGIC}")?;
        writeln!(f, "{} {}", self.layers.len(), self.blobs.len())?;
        self.layers.iter().try_for_each(|layer| self.line(layer, f))
    }
}

impl Model {
    fn line(&self, layer: &Layer, f: &mut fmt::Formatter) -> fmt::Result {
        let Layer { kind, name, inputs, outputs, parameters, location: _, weights: _ } = layer;
        write!(f, "{kind:<24} {name:<24} {} {}", inputs.len(), outputs.len())?;
        for id in inputs.iter().chain(outputs) {
            write!(f, " {}", self.blob(*id).name)?;
        }
        if parameters.iter().next().is_some() {
            write!(f, " {parameters}")?;
        }
        writeln!(f)
    }
}

/// `0=64 3=1,2`, by id.
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (index, (id, value)) in self.iter().enumerate() {
            let gap = if index > 0 { " " } else { "" };
            match value {
                // The newer form of arrays has no way to write an empty one.
                Value::Words(words) if words.is_empty() => write!(f, "{gap}-{}=0", 23300 + id)?,
                _ => write!(f, "{gap}{id}={value}")?,
            }
        }
        Ok(())
    }
}

/// As after the `=` of a parameter.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&float(*value)),
            Self::Word(bits) => f.write_str(&word(*bits)),
            Self::Ints(values) => array(f, values.iter().map(i32::to_string)),
            Self::Floats(values) => array(f, values.iter().copied().map(float)),
            Self::Words(words) if words.iter().copied().all(is_likely_int) => {
                array(f, words.iter().map(|bits| bits.cast_signed().to_string()))
            }
            Self::Words(words) => array(f, words.iter().map(|bits| float(f32::from_bits(*bits)))),
            Self::String(text) => {
                // A quote can only stand in a bare string.
                let quote = if text.contains('"') { "" } else { "\"" };
                write!(f, "{quote}{text}{quote}")
            }
        }
    }
}

/// Elements with a comma after a single one, which marks it as an array.
fn array(f: &mut fmt::Formatter, elements: impl Iterator<Item = String>) -> fmt::Result {
    let elements: Vec<String> = elements.collect();
    f.write_str(&elements.join(","))?;
    if elements.len() == 1 { f.write_str(",") } else { Ok(()) }
}

fn float(value: f32) -> String {
    number::literal(value).unwrap_or_else(|| value.to_string())
}

/// Small numbers of either sign are integers: as floats they would be denormal or NaN.
fn is_likely_int(bits: u32) -> bool {
    bits.cast_signed().unsigned_abs() < 1 << 23
}

fn word(bits: u32) -> String {
    if is_likely_int(bits) { bits.cast_signed().to_string() } else { float(f32::from_bits(bits)) }
}
