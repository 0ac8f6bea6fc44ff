//! The binary form, `.param.bin` (`Net::load_param_bin` in `src/net.cpp`, `ParamDict::load_param_bin` in
//! `src/paramdict.cpp`): little-endian 32-bit numbers, blobs and layer types by index, no names.
//!
//! Must not know what layers mean. A number out of place leaves no way to find the next layer, so the first mistake in
//! the structure ends the reading.

use super::assemble::{Assembly, Name, ReadLayer};
use super::layer_index::{CUSTOM_BIT, LAYER_KINDS};
use super::parameters::{COUNT, Parameters, Value};
use super::problems::Place;
use super::{Judge, MOST_LAYERS, Model};
use crate::diagnostic::Diagnostic;
use std::sync::Arc;

/// Ends the parameters of a layer.
const END: i32 = -233;

/// Ids at or below this announce an array.
const ARRAY: i32 = -23300;

/// Ids at or below this announce a string.
const STRING: i32 = -23400;

/// The longest string, in bytes.
const LONGEST_STRING: i32 = 255;

/// What the user can do about a file whose structure is broken.
const REGENERATE: &str = "write the file again with ncnn2mem, or give the text form";

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    assembly: Assembly,
    path: Arc<str>,
}

/// The reading cannot go on; the reason is among the problems.
struct Stop;

/// Reads a binary file; see [`super::read_param`].
pub(super) fn read(path: &str, bytes: &[u8], judge: &Judge) -> Result<Model, Vec<Diagnostic>> {
    let mut reader = Reader { bytes, position: 4, assembly: Assembly::new(path), path: path.into() };
    // Why it stopped is already among the problems.
    let (Ok(()) | Err(Stop)) = reader.model();
    reader.assembly.finish(judge)
}

fn place(position: usize) -> Place {
    Place { line: 0, column: u32::try_from(position).unwrap_or(u32::MAX) }
}

impl Reader<'_> {
    fn stop<T>(&mut self, position: usize, layer: Option<&str>, message: String, hint: &str) -> Result<T, Stop> {
        let problem = Diagnostic::error(message).hint(hint);
        let problem = match layer {
            Some(layer) => problem.layer(layer),
            None => problem,
        };
        self.assembly.problems.at(place(position), problem);
        Err(Stop)
    }

    /// The next bytes.
    fn take(&mut self, count: usize, what: &str, layer: Option<&str>) -> Result<&[u8], Stop> {
        let rest = self.bytes.len() - self.position;
        if count > rest {
            let message = format!("the file ends within {what}: {count} bytes are due, {rest} are left");
            return self.stop(self.position, layer, message, REGENERATE);
        }
        self.position += count;
        Ok(&self.bytes[self.position - count..self.position])
    }

    /// The next number.
    fn word(&mut self, what: &str, layer: Option<&str>) -> Result<i32, Stop> {
        let bytes = self.take(4, what, layer)?;
        Ok(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A number within bounds, the upper one excluded.
    fn bounded(&mut self, what: &str, layer: Option<&str>, bounds: std::ops::Range<i32>) -> Result<i32, Stop> {
        let position = self.position;
        let value = self.word(what, layer)?;
        if !bounds.contains(&value) {
            let message = format!("{what} is {value}, not within {} to {}", bounds.start, bounds.end - 1);
            return self.stop(position, layer, message, REGENERATE);
        }
        Ok(value)
    }

    fn model(&mut self) -> Result<(), Stop> {
        let layers = self.bounded("the number of layers", None, 1..MOST_LAYERS + 1)?;
        let blobs = self.bounded("the number of blobs", None, 1..MOST_LAYERS + 1)?;
        for index in 0..layers {
            self.layer(index, blobs)?;
        }
        let rest = self.bytes.len() - self.position;
        if rest > 0 {
            let problem =
                Diagnostic::warning(format!("{rest} bytes follow the last layer; they are ignored, as ncnn does"));
            self.assembly.problems.at(place(self.position), problem.hint("the number of layers may be wrong"));
        }
        Ok(())
    }

    fn layer(&mut self, index: i32, blobs: i32) -> Result<(), Stop> {
        let start = self.position;
        let numbered = format!("#{index}");
        let kind = self.word("the type of a layer", Some(&numbered))?;
        let Some(kind) = usize::try_from(kind).ok().and_then(|kind| LAYER_KINDS.get(kind)) else {
            let (message, hint) = if kind >= 0 && kind & CUSTOM_BIT != 0 {
                let message = format!("the layer is of an application's own type {}", kind & !CUSTOM_BIT);
                (message, "only ncnn's own layer types can be compiled")
            } else {
                (format!("ncnn has no layer type {kind}"), REGENERATE)
            };
            return self.stop(start, Some(&numbered), message, hint);
        };
        let name = format!("{kind}_{index}");
        let inputs = self.bounded("the number of inputs", Some(&name), 0..MOST_LAYERS + 1)?;
        let outputs = self.bounded("the number of outputs", Some(&name), 0..MOST_LAYERS + 1)?;
        let inputs = self.blobs(inputs, "an input", &name, blobs)?;
        let outputs = self.blobs(outputs, "an output", &name, blobs)?;
        let parameters = self.parameters(&name)?;
        let name = Name { text: name, place: place(start) };
        let (kind, place) = ((*kind).to_string(), place(start));
        // At the first fault the reading stops.
        self.assembly.add(ReadLayer { kind, name, inputs, outputs, parameters, place, faulty: false });
        Ok(())
    }

    fn blobs(&mut self, count: i32, what: &str, layer: &str, blobs: i32) -> Result<Vec<Name>, Stop> {
        let mut names = Vec::new();
        for _ in 0..count {
            let position = self.position;
            let index = self.bounded(&format!("the number of {what}"), Some(layer), 0..blobs)?;
            names.push(Name { text: index.to_string(), place: place(position) });
        }
        Ok(names)
    }

    fn parameters(&mut self, layer: &str) -> Result<Parameters, Stop> {
        let mut parameters = Parameters::new(self.path.clone());
        loop {
            let start = self.position;
            let number = self.word("the parameters", Some(layer))?;
            if number == END {
                return Ok(parameters);
            }
            let base = [STRING, ARRAY].into_iter().find(|base| number <= *base).unwrap_or(0);
            let id = if base == 0 { i64::from(number) } else { i64::from(base) - i64::from(number) };
            let Some(id) = u32::try_from(id).ok().filter(|id| *id < COUNT) else {
                let message = format!("parameter {id} doesn't exist; ncnn has 0 to 31");
                return self.stop(start, Some(layer), message, REGENERATE);
            };
            let value = match base {
                STRING => Value::String(self.string(id, layer)?),
                ARRAY => Value::Words(self.array(id, layer)?),
                _ => Value::Word(self.word(&format!("parameter {id}"), Some(layer))?.cast_unsigned()),
            };
            if parameters.set(id, value, place(start)) {
                let problem = Diagnostic::warning(format!("parameter {id} is given twice; the last one counts"));
                self.assembly.problems.at(place(start), problem.layer(layer).hint("one of them has no effect"));
            }
        }
    }

    fn array(&mut self, id: u32, layer: &str) -> Result<Vec<u32>, Stop> {
        let what = format!("array {id}");
        let length = self.bounded(&format!("the length of {what}"), Some(layer), 0..i32::MAX)?;
        let bytes = self.take(length.unsigned_abs() as usize * 4, &what, Some(layer))?;
        Ok(bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
    }

    /// A string up to its first zero byte, as C takes it.
    fn string(&mut self, id: u32, layer: &str) -> Result<String, Stop> {
        let what = format!("string {id}");
        let length = self.bounded(&format!("the length of {what}"), Some(layer), 0..LONGEST_STRING + 1)?;
        let length = length.unsigned_abs() as usize;
        let start = self.position;
        let padded = self.take(length.next_multiple_of(4), &what, Some(layer))?;
        let text = padded[..length].split(|byte| *byte == 0).next().unwrap_or_default();
        let Ok(text) = std::str::from_utf8(text) else {
            return self.stop(start, Some(layer), format!("{what} is not UTF-8"), REGENERATE);
        };
        Ok(text.into())
    }
}
