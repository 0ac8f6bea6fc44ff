//! The text form, `.param` (`Net::load_param` in `src/net.cpp`): the magic number, the counts, then one layer per line:
//! `kind name inputs outputs input… output… id=value…`.
//!
//! Must not know what layers mean. As in ncnn, a line may be broken anywhere before the last of the layer's blobs, but not
//! before a parameter. Stricter than ncnn in one respect: a line that is a layer of its own doesn't continue another,
//! where ncnn would take its words for the names of blobs that a wrong count promises.

mod value;

use super::assemble::{Assembly, Name, ReadLayer};
use super::number;
use super::parameters::Parameters;
use super::problems::{Place, excerpt};
use super::{Judge, MAGIC, MOST_LAYERS, Model};
use crate::diagnostic::Diagnostic;
use std::sync::Arc;

/// The longest name or word ncnn reads, in bytes.
const LONGEST_NAME: usize = 255;

/// Walks through the text once, and knows where it is.
#[derive(Clone)]
struct Cursor<'a> {
    text: &'a str,
    position: usize,
    place: Place,
}

/// C's `isspace`, which is ncnn's idea of a blank.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r')
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, position: 0, place: Place { line: 1, column: 1 } }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// True at a blank, the end of a line or of the file.
    fn at_gap(&self) -> bool {
        self.peek().is_none_or(is_space)
    }

    fn at_line_end(&self) -> bool {
        self.peek().is_none_or(is_line_end)
    }

    fn advance(&mut self) {
        let Some(byte) = self.peek() else { return };
        self.position += 1;
        let ends_line = byte == b'\n' || byte == b'\r' && self.peek() != Some(b'\n');
        if ends_line {
            self.place = Place { line: self.place.line.saturating_add(1), column: 1 };
        } else if self.peek().is_none_or(|next| next & 0xc0 != 0x80) {
            // Columns count characters: a character ends where no continuation byte follows.
            self.place.column = self.place.column.saturating_add(1);
        }
    }

    /// Everything up to the first byte that doesn't belong; that byte must start a character.
    fn take_while(&mut self, mut belongs: impl FnMut(u8) -> bool) -> &'a str {
        let start = self.position;
        while self.peek().is_some_and(&mut belongs) {
            self.advance();
        }
        &self.text[start..self.position]
    }

    fn skip_blanks(&mut self) {
        self.take_while(|byte| is_space(byte) && !is_line_end(byte));
    }

    fn skip_line(&mut self) {
        self.take_while(|byte| !is_line_end(byte));
    }

    /// The next word, on whichever line.
    fn word_anywhere(&mut self) -> Option<(&'a str, Place)> {
        self.take_while(is_space);
        self.word()
    }

    /// The next word of this line.
    fn word(&mut self) -> Option<(&'a str, Place)> {
        self.skip_blanks();
        let place = self.place;
        let word = self.take_while(|byte| !is_space(byte));
        (!word.is_empty()).then_some((word, place))
    }

    /// The next word of a layer whose line may be broken here.
    fn word_of_layer(&mut self) -> Option<(&'a str, Place)> {
        self.word().or_else(|| {
            let mut next = self.clone();
            next.take_while(is_space);
            if next.peek().is_none() || next.clone().is_layer() {
                return None;
            }
            *self = next;
            self.word()
        })
    }

    /// Whether the line begins with a type, a name, both counts and as many names as these promise; or with the sign of a
    /// comment, which no type does.
    fn is_layer(&mut self) -> bool {
        let kind = self.word().map_or("", |(kind, _)| kind);
        if kind.starts_with('#') {
            return true;
        }
        let is_kind = kind.starts_with(|first: char| first.is_ascii_alphabetic());
        let is_named = self.word().is_some();
        let mut count = || self.word().and_then(|(word, _)| number::integer(word)).filter(|count| *count >= 0);
        let (Some(inputs), Some(outputs)) = (count(), count()) else { return false };
        let mut is_blob = || self.word().is_some_and(|(word, _)| !looks_like_parameter(word));
        is_kind && is_named && (0..i64::from(inputs) + i64::from(outputs)).all(|_| is_blob())
    }
}

/// A count of the second line and its place; none when it is no count.
#[derive(Clone, Copy)]
struct Count {
    value: Option<i32>,
    place: Place,
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    assembly: Assembly,
    path: Arc<str>,
}

/// Reads a text file; see [`super::read_param_with`].
pub(super) fn read(path: &str, bytes: &[u8], judge: &Judge) -> Result<Model, Vec<Diagnostic>> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader { cursor: Cursor::new(&text), assembly: Assembly::new(path), path: path.into() };
    reader.check_characters(bytes);
    if let Some((layers, blobs)) = reader.header() {
        reader.layers(layers, blobs);
    }
    reader.assembly.finish(judge)
}

impl<'a> Reader<'a> {
    fn error(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.assembly.problems.at(place, Diagnostic::error(message).hint(hint));
    }

    fn warn(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.assembly.problems.at(place, Diagnostic::warning(message).hint(hint));
    }

    /// Reports bytes that no text file holds, each kind once.
    fn check_characters(&mut self, bytes: &[u8]) {
        let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        let text = self.cursor.text;
        let place_of = |position: usize| {
            let mut cursor = Cursor::new(text);
            while cursor.position < position {
                cursor.advance();
            }
            cursor.place
        };
        let zero = text.bytes().position(|byte| byte == 0).map(place_of);
        let other = (valid < bytes.len()).then(|| place_of(valid));
        if let Some(place) = zero {
            self.error(
                place,
                "the text holds a zero byte",
                "is this a param file? A binary one starts with dd 85 76 00",
            );
        }
        if let Some(place) = other {
            self.error(place, "the text is not UTF-8", "save the file as UTF-8");
        }
        if bytes.starts_with("\u{feff}".as_bytes()) {
            let hint = "save the file as UTF-8 without a byte order mark; ncnn doesn't read it either";
            self.error(Place { line: 1, column: 1 }, "the file starts with a byte order mark", hint);
            self.cursor.position = "\u{feff}".len();
        }
    }

    /// The magic number and the counts; nothing when this is no param file at all.
    fn header(&mut self) -> Option<(Count, Count)> {
        let start = self.cursor.place;
        let Some((magic, place)) = self.cursor.word_anywhere() else {
            self.error(start, "the file is empty", format!("a param file starts with {MAGIC}"));
            return None;
        };
        if number::integer(magic) != Some(MAGIC) {
            let message = format!("the file starts with `{}`, not with {MAGIC}", excerpt(magic));
            self.error(
                place,
                message,
                "is this a param file of ncnn? Files without this number are too old for it, too",
            );
            return None;
        }
        let layers = self.file_count("layers")?;
        Some((layers, self.file_count("blobs")?))
    }

    fn file_count(&mut self, what: &str) -> Option<Count> {
        let Some((word, place)) = self.cursor.word_anywhere() else {
            let hint = "the second line gives both counts, such as `3 3`";
            self.error(self.cursor.place, format!("the number of {what} is missing"), hint);
            return None;
        };
        let value = self.count(word, what, 1).map_err(|problem| self.assembly.problems.at(place, problem));
        Some(Count { value: value.ok(), place })
    }

    /// A count of layers, blobs, inputs or outputs, or what is wrong with it.
    fn count(&self, word: &str, what: &str, least: i32) -> Result<i32, Diagnostic> {
        match number::integer(word) {
            Some(count) if (least..=MOST_LAYERS).contains(&count) => Ok(count),
            Some(_) | None => {
                let message = format!("the number of {what} is `{}`", excerpt(word));
                Err(Diagnostic::error(message).hint(format!("ncnn allows {least} to {MOST_LAYERS}, in decimal digits")))
            }
        }
    }

    fn layers(&mut self, layers: Count, blobs: Count) {
        let mut read = 0;
        while self.next_layer() {
            if layers.value.is_some_and(|layers| read == layers) {
                let message =
                    format!("this and what follows is ignored, as ncnn does: the file promises {read} layers");
                self.warn(
                    self.cursor.place,
                    message,
                    "if the line matters, correct the number of layers in the second line",
                );
                break;
            }
            if self.is_pnnx() {
                return;
            }
            self.layer();
            read = read.saturating_add(1);
        }
        if let Some(promised) = layers.value.filter(|promised| *promised > read) {
            let message = format!("the file promises {promised} layers but holds {read}");
            self.error(
                layers.place,
                message,
                "correct the first number of the second line, or restore the missing layers",
            );
        }
        // Words of unreadable layers would make this number wrong.
        if let Some(promised) = blobs.value.filter(|_| self.assembly.problems.errors() == 0) {
            self.check_blob_count(promised, blobs.place);
        }
    }

    fn check_blob_count(&mut self, promised: i32, place: Place) {
        let made = self.assembly.blob_count();
        let message = format!("the file promises {promised} blobs but its layers make {made}");
        let hint = format!("write {made} as the second number of the second line");
        match made.cmp(&(promised.unsigned_abs() as usize)) {
            std::cmp::Ordering::Less => self.warn(place, message, hint),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => self.error(place, message, hint),
        }
    }

    /// Goes to the next word; false at the end of the file.
    fn next_layer(&mut self) -> bool {
        self.cursor.take_while(is_space);
        self.cursor.peek().is_some()
    }

    /// PNNX's own graphs have the same magic number but another language.
    fn is_pnnx(&mut self) -> bool {
        let pnnx = self.cursor.text[self.cursor.position..].starts_with("pnnx.");
        if pnnx {
            let hint = "give the `.ncnn.param` and `.ncnn.bin` that pnnx writes beside it";
            self.error(self.cursor.place, "this is a graph in PNNX's own format, not in ncnn's", hint);
        }
        pnnx
    }

    /// Reads one layer to the end of its last line.
    fn layer(&mut self) {
        let start = self.cursor.position;
        let place = self.cursor.place;
        let errors = self.assembly.problems.errors();
        if let Some(layer) = self.layer_header(place) {
            let parameters = self.parameters(&layer.name.text);
            let faulty = self.assembly.problems.errors() > errors;
            self.assembly.add(ReadLayer { parameters, faulty, ..layer });
        } else {
            self.cursor.skip_line();
            let line = &self.cursor.text[start..self.cursor.position];
            for word in line.split(|c: char| c.is_ascii() && is_space(c as u8)) {
                self.assembly.suspect(word);
            }
        }
        self.cursor.skip_line();
    }

    /// Kind, name, counts and blobs; nothing, and a message, when they cannot be made out.
    fn layer_header(&mut self, place: Place) -> Option<ReadLayer> {
        let kind = self.name("layer's type", None)?;
        if kind.text.starts_with('#') {
            self.error(place, "ncnn's files have no comments", "remove the line");
            return None;
        }
        if looks_like_parameter(&kind.text) {
            let message = format!("the parameter `{}` stands apart from its layer", excerpt(&kind.text));
            self.error(
                place,
                message,
                "ncnn reads parameters on the line of the layer's last blob only; join the lines",
            );
            return None;
        }
        let name = self.name("layer's name", None)?;
        let inputs = self.header_count("inputs", &name.text)?;
        let outputs = self.header_count("outputs", &name.text)?;
        let mut names = Vec::new();
        let wanted = i64::from(inputs) + i64::from(outputs);
        for index in 0..wanted {
            let what = if index < i64::from(inputs) { "input" } else { "output" };
            names.push(self.blob_name(what, (inputs, outputs), names.len(), &name.text)?);
        }
        let outputs = names.split_off(inputs.unsigned_abs() as usize);
        let parameters = Parameters::new(self.path.clone());
        Some(ReadLayer { kind: kind.text, name, inputs: names, outputs, parameters, place, faulty: false })
    }

    /// The layer's next word as a name.
    fn name(&mut self, what: &str, layer: Option<&str>) -> Option<Name> {
        let Some((word, place)) = self.cursor.word_of_layer() else {
            let problem = Diagnostic::error(format!("the {what} is missing")).hint(
                "a layer is `type name inputs outputs`, the names of its blobs and its parameters, each layer on a line of \
                 its own",
            );
            let place = self.cursor.place;
            self.assembly.problems.at(place, with_layer(problem, layer));
            return None;
        };
        if word.len() > LONGEST_NAME {
            let message = format!("the {what} `{}` is {} bytes long", excerpt(word), word.len());
            let problem = Diagnostic::error(message).hint(format!("ncnn reads names of at most {LONGEST_NAME} bytes"));
            self.assembly.problems.at(place, with_layer(problem, layer));
        }
        // Messages about the layer repeat its name, so its length must stay bounded.
        Some(Name { text: word[..word.floor_char_boundary(LONGEST_NAME)].into(), place })
    }

    fn header_count(&mut self, what: &str, layer: &str) -> Option<i32> {
        let word = self.name(&format!("number of {what}"), Some(layer))?;
        let count = self.count(&word.text, what, 0);
        count.map_err(|problem| self.assembly.problems.at(word.place, problem.layer(layer))).ok()
    }

    /// The name of an input or output, where the layer has one.
    fn blob_name(&mut self, what: &str, (inputs, outputs): (i32, i32), found: usize, layer: &str) -> Option<Name> {
        let before = self.cursor.place;
        let name = match self.cursor.word_of_layer() {
            Some((word, place)) if !looks_like_parameter(word) => Name { text: word.into(), place },
            _ => {
                let message =
                    format!("the line promises {inputs} inputs and {outputs} outputs but names {found} blobs");
                let problem = Diagnostic::error(message)
                    .hint("correct the counts; ncnn would take the words that follow, even on the next line, as names");
                self.assembly.problems.at(before, problem.layer(layer));
                return None;
            }
        };
        if name.text.len() > LONGEST_NAME {
            let message = format!("the name of the {what} `{}` is {} bytes long", excerpt(&name.text), name.text.len());
            let problem = Diagnostic::error(message).hint(format!("ncnn reads names of at most {LONGEST_NAME} bytes"));
            self.assembly.problems.at(name.place, problem.layer(layer));
        }
        Some(name)
    }
}

fn with_layer(problem: Diagnostic, layer: Option<&str>) -> Diagnostic {
    match layer {
        Some(layer) => problem.layer(layer),
        None => problem,
    }
}

/// `3=…` or `-23303=…`: where a blob's name is due, the counts are wrong.
fn looks_like_parameter(word: &str) -> bool {
    word.split_once('=').is_some_and(|(id, _)| number::integer(id).is_some())
}
