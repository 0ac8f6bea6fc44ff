//! The parameters of one line, `id=value…` (`ParamDict::load_param` in `src/paramdict.cpp`). Must not know what the
//! numbers mean.

use super::super::number::{self, LONGEST, LONGEST_BEFORE_2026, NotAFloat};
use super::super::parameters::{COUNT, Parameters, Value};
use super::super::problems::{Place, excerpt};
use super::{Reader, is_line_end, is_space};
use crate::diagnostic::{Code, Diagnostic, Severity};

/// Ids at or below this announce an array with its length: `-23303=2,5,6` is array 3 (the older form of `3=5,6`).
const OLD_ARRAY: i64 = -23300;

/// The longest string, in bytes.
const LONGEST_STRING: usize = 255;

const FORM: &str = "a parameter is `id=value` with ids from 0 to 31, such as `0=64` or `3=1,2`";

/// One element of an array or a scalar.
#[derive(Clone, Copy)]
enum Number {
    Int(i32),
    Float(f32),
}

/// How a number is to be taken.
#[derive(Clone, Copy)]
enum Taken {
    /// As its own form says.
    ByItself,
    /// As a float, or as an integer, like the first of its array.
    Float,
    Int,
}

impl Reader<'_> {
    /// The parameters up to the end of the line.
    pub(super) fn parameters(&mut self, layer: &str) -> Parameters {
        let mut parameters = Parameters::new(self.path.clone());
        loop {
            self.cursor.skip_blanks();
            if self.cursor.at_line_end() {
                return parameters;
            }
            self.parameter(layer, &mut parameters);
        }
    }

    fn parameter(&mut self, layer: &str, parameters: &mut Parameters) {
        let place = self.cursor.place;
        let id = self.cursor.take_while(|byte| byte == b'-' || byte == b'+' || byte.is_ascii_digit());
        let number = number::integer(id);
        let (Some(number), Some(b'=')) = (number, self.cursor.peek()) else {
            let rest = self.cursor.take_while(|byte| !is_space(byte));
            let word = format!("{id}{rest}");
            self.assembly.suspect(&word);
            let message = format!("`{}` is no parameter", excerpt(&word));
            let hint = format!("{FORM}; if it is the name of a blob, the counts before it are too small");
            self.about(layer, place, Severity::Error, message, &hint);
            return;
        };
        self.cursor.advance();
        let number = i64::from(number);
        let old_array = number <= OLD_ARRAY;
        let id = if old_array { OLD_ARRAY - number } else { number };
        let value = if old_array { self.old_array(layer, id) } else { self.value(layer, id) };
        match u32::try_from(id).ok().filter(|id| *id < COUNT) {
            None => {
                let message = format!("parameter {id} doesn't exist; ncnn has 0 to 31");
                self.about(layer, place, Severity::Error, message, "correct the number before the `=`");
            }
            Some(id) => match value {
                None => parameters.set_unreadable(id),
                Some(value) => {
                    if parameters.set(id, value, place) {
                        let message = format!("parameter {id} is given twice; the last one counts");
                        self.about(layer, place, Severity::Warning, message, "remove one of them");
                    }
                }
            },
        }
    }

    /// Reports something about a parameter.
    fn about(&mut self, layer: &str, place: Place, severity: Severity, message: String, hint: &str) {
        let problem = Diagnostic { severity, ..Diagnostic::error(message) }.code(Code::Parameter);
        self.assembly.problems.at(place, problem.layer(layer).hint(hint));
    }

    fn refuse<T>(&mut self, layer: &str, place: Place, message: String, hint: &str) -> Option<T> {
        self.about(layer, place, Severity::Error, message, hint);
        self.cursor.take_while(|byte| !is_space(byte));
        None
    }

    /// What follows the `=` of an id that is not an old array's.
    fn value(&mut self, layer: &str, id: i64) -> Option<Value> {
        if self.cursor.peek().is_some_and(|byte| byte == b'"' || byte.is_ascii_alphabetic()) {
            return self.string(layer, id);
        }
        let first = self.number(layer, id, Taken::ByItself)?;
        if self.cursor.peek() != Some(b',') {
            return Some(match first {
                Number::Int(value) => Value::Int(value),
                Number::Float(value) => Value::Float(value),
            });
        }
        Some(match first {
            Number::Int(_) => {
                let numbers = self.elements(layer, id, first, Taken::Int)?;
                Value::Ints(numbers.into_iter().filter_map(Number::int).collect())
            }
            Number::Float(_) => {
                let numbers = self.elements(layer, id, first, Taken::Float)?;
                Value::Floats(numbers.into_iter().map(Number::to_float).collect())
            }
        })
    }

    /// The elements of a new-style array, whose first is read already; a comma may end it.
    fn elements(&mut self, layer: &str, id: i64, first: Number, taken: Taken) -> Option<Vec<Number>> {
        let mut numbers = vec![first];
        while self.cursor.peek() == Some(b',') {
            self.cursor.advance();
            if self.cursor.at_gap() {
                break;
            }
            numbers.push(self.number(layer, id, taken)?);
        }
        Some(numbers)
    }

    /// `length,element…`; each element has its own type in ncnn's memory, so mixtures are refused.
    fn old_array(&mut self, layer: &str, id: i64) -> Option<Value> {
        let place = self.cursor.place;
        let length = self.cursor.take_while(|byte| byte != b',' && !is_space(byte));
        let Some(length) = number::integer(length).and_then(|length| usize::try_from(length).ok()) else {
            let message = format!("array {id} has the length `{}`", excerpt(length));
            return self.refuse(layer, place, message, "the first number after `=` is the number of elements");
        };
        let mut numbers = Vec::new();
        while self.cursor.peek() == Some(b',') {
            self.cursor.advance();
            numbers.push(self.number(layer, id, Taken::ByItself)?);
        }
        if numbers.len() != length {
            let message = format!("array {id} promises {length} elements but has {}", numbers.len());
            return self.refuse(layer, place, message, "correct the length, the first number after `=`");
        }
        let floats = numbers.iter().filter(|number| number.int().is_none()).count();
        if numbers.is_empty() {
            return Some(Value::Words(Vec::new()));
        }
        if floats == 0 {
            return Some(Value::Ints(numbers.into_iter().filter_map(Number::int).collect()));
        }
        // Integer 0 and float 0 have the same bits, and the last element decides how ncnn takes them all.
        let harmless = numbers.iter().all(|number| number.int().is_none_or(|value| value == 0));
        if !harmless || numbers.last().is_some_and(|last| last.int().is_some()) {
            let message = format!("array {id} mixes integers and floats, whose bits ncnn would confuse");
            return self.refuse(layer, place, message, "write every element with a `.`");
        }
        Some(Value::Floats(numbers.into_iter().map(Number::to_float).collect()))
    }

    /// One number up to a comma or blank.
    fn number(&mut self, layer: &str, id: i64, taken: Taken) -> Option<Number> {
        let place = self.cursor.place;
        let token = self.cursor.take_while(|byte| byte != b',' && !is_space(byte));
        let shown = excerpt(token);
        if token.is_empty() {
            return self.refuse(layer, place, format!("parameter {id} lacks a value"), FORM);
        }
        if token.len() > LONGEST {
            let message = format!("parameter {id} has a number of {} characters", token.len());
            return self.refuse(layer, place, message, &format!("ncnn reads at most {LONGEST}"));
        }
        let as_float = match taken {
            Taken::ByItself => number::is_float(token),
            Taken::Float => true,
            Taken::Int => false,
        };
        let read = if as_float {
            number::float(token).map(Number::Float)
        } else {
            number::integer(token).map(Number::Int).ok_or(NotAFloat::Malformed)
        };
        let hint = match (read, taken) {
            (Ok(number), _) => {
                self.check_number(layer, place, token, number);
                return Some(number);
            }
            (Err(NotAFloat::TooLarge), _) => "the largest value is 3.4028235e38",
            (Err(NotAFloat::Malformed), Taken::Int) if number::is_float(token) => {
                "the first element makes this an array of integers; write that with a `.`, too"
            }
            (Err(NotAFloat::Malformed), _) if is_not_finite(token) => NOT_FINITE,
            (Err(NotAFloat::Malformed), _) => "numbers are decimal, integers within 32 bits, floats like 0.5 or 1e-5",
        };
        self.refuse(layer, place, format!("parameter {id} has `{shown}`, which is no number ncnn can read"), hint)
    }

    /// Warns of numbers that other readers take otherwise.
    fn check_number(&mut self, layer: &str, place: Place, token: &str, number: Number) {
        if let Number::Float(value) = number
            && let Ok(nearest) = token.parse::<f32>()
            && nearest.to_bits() != value.to_bits()
        {
            let message = format!("ncnn reads `{}` as {value:?}; the nearest float is {nearest:?}", excerpt(token));
            let hint = number::literal(nearest).map_or("ncnn's value is used".into(), |text| {
                format!("ncnn's value is used; write {text} for the other")
            });
            self.about(layer, place, Severity::Warning, message, &hint);
        }
        if token.len() > LONGEST_BEFORE_2026 {
            let message = format!("`{}` has more than {LONGEST_BEFORE_2026} characters", excerpt(token));
            let hint = "ncnn before 1.0.20261020 cuts it there and misreads the rest of the line; round the number";
            self.about(layer, place, Severity::Warning, message, hint);
        }
    }

    /// A quoted or bare string.
    fn string(&mut self, layer: &str, id: i64) -> Option<Value> {
        let place = self.cursor.place;
        let quoted = self.cursor.peek() == Some(b'"');
        let text = if quoted {
            self.cursor.advance();
            let text = self.cursor.take_while(|byte| byte != b'"' && !is_line_end(byte));
            if self.cursor.peek() != Some(b'"') {
                return self.refuse(
                    layer,
                    place,
                    format!("the string of parameter {id} has no end"),
                    "close it with `\"`",
                );
            }
            self.cursor.advance();
            text
        } else {
            self.cursor.take_while(|byte| !is_space(byte))
        };
        if !self.cursor.at_gap() {
            let message = format!("something follows the closing quote of parameter {id}");
            return self.refuse(layer, place, message, "strings hold no quotes; put a blank after the closing one");
        }
        if text.len() > LONGEST_STRING {
            let message = format!("the string of parameter {id} is {} bytes long", text.len());
            return self.refuse(layer, place, message, &format!("ncnn reads at most {LONGEST_STRING}"));
        }
        if !quoted && is_not_finite(text) {
            return self.refuse(layer, place, format!("ncnn reads `{text}` of parameter {id} as a string"), NOT_FINITE);
        }
        Some(Value::String(text.into()))
    }
}

const NOT_FINITE: &str =
    "ncnn's files have no infinities or NaN; write a large number such as 3.4028235e38 or -3.4028235e38";

/// True for what other programs print for infinities and NaN.
fn is_not_finite(token: &str) -> bool {
    let token = token.strip_prefix(['+', '-']).unwrap_or(token);
    ["inf", "infinity", "nan"].iter().any(|word| token.eq_ignore_ascii_case(word))
}

impl Number {
    fn int(self) -> Option<i32> {
        match self {
            Self::Int(value) => Some(value),
            Self::Float(_) => None,
        }
    }

    fn to_float(self) -> f32 {
        match self {
            Self::Int(value) => value as f32,
            Self::Float(value) => value,
        }
    }
}
