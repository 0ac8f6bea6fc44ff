//! What can be said of a layer by itself, whatever its inputs hold: how many blobs its type takes and gives, what its
//! numbered parameters mean, and which values they can have.
//!
//! All of it is checked at once, for every layer, so that an operator that lowers a layer finds parameters that its
//! signature allows. Must not know shapes, arrays or other layers.

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::ncnn::{Layer, OF_EVERY_LAYER, Parameters, Value};
use std::ops::Range;

/// What a layer type takes, gives and understands.
pub struct Signature {
    blobs: fn(&Parameters) -> Blobs,
    /// Its parameters by ascending id.
    pub parameters: &'static [Parameter],
    rules: &'static [Rule],
    caches: fn(&Parameters, usize) -> Range<usize>,
}

/// What several parameters of a layer must be together.
pub type Rule = fn(&Layer) -> Result<(), Diagnostic>;

/// How many blobs a layer reads and makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blobs {
    fewest: usize,
    most: Option<usize>,
    /// Any number when it is none.
    outputs: Option<usize>,
}

/// No input, one output.
pub const NONE_TO_ONE: fn(&Parameters) -> Blobs = |_| Blobs::new(0, 1);

/// One input, one output: what ncnn calls `one_blob_only`.
pub const ONE_TO_ONE: fn(&Parameters) -> Blobs = |_| Blobs::new(1, 1);

/// Two inputs, one output.
pub const TWO_TO_ONE: fn(&Parameters) -> Blobs = |_| Blobs::new(2, 1);

/// One or more inputs, one output.
pub const SOME_TO_ONE: fn(&Parameters) -> Blobs = |_| Blobs { fewest: 1, most: None, outputs: Some(1) };

/// One input, any number of outputs.
pub const ONE_TO_SOME: fn(&Parameters) -> Blobs = |_| Blobs { fewest: 1, most: Some(1), outputs: None };

/// Any number of inputs and of outputs.
pub const ANY_TO_ANY: fn(&Parameters) -> Blobs = |_| Blobs { fewest: 0, most: None, outputs: None };

/// A numbered parameter.
#[derive(Clone, Copy)]
pub struct Parameter {
    /// Its number in ncnn's files.
    pub id: u32,
    /// What it is, such as `kernel width`.
    pub name: &'static str,
    /// Which values it can have.
    pub accepts: Accepts,
    required: bool,
    applies: Option<fn(&Parameters) -> bool>,
}

/// The axes of a blob.
pub const MOST_AXES: usize = 4;

/// The numbers of axes, in a blob of as many as there can be.
pub const AXES: (i32, i32) = (-(MOST_AXES as i32), MOST_AXES as i32 - 1);

/// The values a parameter can have.
#[derive(Clone, Copy)]
pub enum Accepts {
    /// Any integer.
    Integer,
    /// An integer: 0 for no, another for yes.
    Flag,
    /// An integer no smaller than this one.
    AtLeast(i32),
    /// An integer from the first to the second one.
    Between(i32, i32),
    /// One of these integers, with what it stands for.
    OneOf(&'static [(i32, &'static str)]),
    /// The number of a row, from 0, of a table with these names.
    RowOf(fn() -> Vec<&'static str>),
    /// Any float.
    Float,
    /// A list of integers.
    Integers,
    /// A list of axes, of which a blob has at most [`MOST_AXES`]; negative numbers count from the last one.
    Axes,
    /// A list of floats.
    Floats,
    /// A word, which in text files may stand in quotes.
    Text,
}

impl Blobs {
    /// Exactly so many.
    pub const fn new(inputs: usize, outputs: usize) -> Self {
        Self { fewest: inputs, most: Some(inputs), outputs: Some(outputs) }
    }

    /// From `fewest` to `most` inputs.
    pub const fn between(fewest: usize, most: usize, outputs: usize) -> Self {
        Self { fewest, most: Some(most), outputs: Some(outputs) }
    }

    /// At least so many inputs.
    pub const fn at_least(fewest: usize, outputs: usize) -> Self {
        Self { fewest, most: None, outputs: Some(outputs) }
    }

    /// The numbers of inputs: from one on and, if there is a bound, up to another.
    pub fn inputs(self) -> (usize, Option<usize>) {
        (self.fewest, self.most)
    }

    /// So many outputs, or any number of them.
    pub fn outputs(self) -> Option<usize> {
        self.outputs
    }

    fn allow(self, layer: &Layer) -> bool {
        let inputs = layer.inputs.len();
        let outputs = layer.outputs.len();
        inputs >= self.fewest
            && self.most.is_none_or(|most| inputs <= most)
            && self.outputs.is_none_or(|wanted| wanted == outputs)
    }

    /// `2 inputs and gives 1 output`.
    pub fn text(self) -> String {
        let inputs = match (self.fewest, self.most) {
            (0, Some(0)) => "no inputs".into(),
            (fewest, Some(most)) if fewest == most => counted(fewest, "input"),
            (fewest, Some(most)) => format!("{fewest} to {most} inputs"),
            (1, None) => "1 or more inputs".into(),
            (0, None) => "any number of inputs".into(),
            (fewest, None) => format!("at least {fewest} inputs"),
        };
        match self.outputs {
            None => format!("{inputs} and gives any number of outputs"),
            Some(outputs) => format!("{inputs} and gives {}", counted(outputs, "output")),
        }
    }
}

/// `1 input`, `2 inputs`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The parameters of several lists in one, by ascending id; there are `N` of them.
pub const fn joined<const N: usize>(lists: &[&[Parameter]]) -> [Parameter; N] {
    let mut all = [lists[0][0]; N];
    let (mut list, mut count) = (0, 0);
    while list < lists.len() {
        let mut at = 0;
        while at < lists[list].len() {
            let parameter = lists[list][at];
            let mut place = count;
            while place > 0 && all[place - 1].id > parameter.id {
                all[place] = all[place - 1];
                place -= 1;
            }
            all[place] = parameter;
            at += 1;
            count += 1;
        }
        list += 1;
    }
    assert!(count == N, "as many as there are");
    all
}

impl Parameter {
    /// A parameter that may be left out.
    pub const fn new(id: u32, name: &'static str, accepts: Accepts) -> Self {
        Self { id, name, accepts, required: false, applies: None }
    }

    /// The same, but without it there is no layer.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same, but its value matters only where `applies` holds.
    pub const fn when(self, applies: fn(&Parameters) -> bool) -> Self {
        Self { applies: Some(applies), ..self }
    }

    /// Whether there is no layer without it, where it matters.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Whether its value matters only beside some values of others.
    pub fn is_conditional(&self) -> bool {
        self.applies.is_some()
    }

    /// Whether its value matters beside these others.
    pub fn applies(&self, parameters: &Parameters) -> bool {
        self.applies.is_none_or(|applies| applies(parameters))
    }

    /// What is wrong with a layer's value of it.
    fn problem(&self, layer: &Layer) -> Option<Diagnostic> {
        let parameters = &layer.parameters;
        let Self { id, name, .. } = self;
        if parameters.unreadable().contains(id) {
            return None;
        }
        let value = parameters.value(*id);
        if !self.applies(parameters) {
            // Even where it doesn't look at it, ncnn refuses what is no list in the place of one.
            let wrong = value.filter(|value| self.accepts.is_list() && !self.accepts.understands(value));
            return wrong.map(|value| self.of_another_type(layer, value));
        }
        let Some(value) = value else {
            let verb = if self.accepts.is_list() { "are" } else { "is" };
            let hint = format!("add `{id}={}` or another value", self.accepts.example());
            return self.required.then(|| layer.error_in(*id, format!("the {name} {verb} missing")).hint(hint));
        };
        if !self.accepts.understands(value) {
            return Some(self.of_another_type(layer, value));
        }
        let number = parameters.int(*id, 0);
        match &self.accepts {
            Accepts::Between(least, most) if !(*least..=*most).contains(&number) => Some(
                layer
                    .error_in(*id, format!("the {name} is {number}, but must be from {least} to {most}"))
                    .hint(format!("parameter {id} gives it")),
            ),
            Accepts::AtLeast(least) if number < *least => Some(
                layer
                    .error_in(*id, format!("the {name} is {number}, but must be at least {least}"))
                    .hint(format!("parameter {id} gives it")),
            ),
            Accepts::OneOf(_) | Accepts::RowOf(_) => {
                let choices = self.accepts.choices();
                let known = choices.iter().any(|(value, _)| *value == number);
                (!known).then(|| {
                    let message = format!("there is no {name} {number}");
                    layer.error_in(*id, message).hint(self.accepts.text())
                })
            }
            Accepts::Integers | Accepts::Axes if matches!(value, Value::Floats(_)) => Some(
                layer
                    .error_in(*id, format!("the {name} are floats, whose bits ncnn would take for integers"))
                    .hint(format!("parameter {id} is a list of integers: write it without `.` and exponents")),
            ),
            Accepts::Axes => {
                let axes = parameters.ints(*id);
                let out = axes.iter().find(|axis| !(AXES.0..=AXES.1).contains(axis));
                let message = match out {
                    Some(axis) => format!("among the {name} is {axis}, which no blob has"),
                    None if axes.len() > MOST_AXES => format!("there are {} {name}", axes.len()),
                    None => return None,
                };
                let hint =
                    format!("a blob has at most {MOST_AXES} axes: 0 to {}, or {} to -1 from the end", AXES.1, AXES.0);
                Some(layer.error_in(*id, message).hint(hint))
            }
            Accepts::AtLeast(_)
            | Accepts::Between(..)
            | Accepts::Integer
            | Accepts::Flag
            | Accepts::Float
            | Accepts::Integers
            | Accepts::Floats
            | Accepts::Text => None,
        }
    }

    /// That a value is of another type. ncnn takes it for none, which is no more than a warning where none is needed; in the
    /// place of a list ncnn refuses it.
    fn of_another_type(&self, layer: &Layer, value: &Value) -> Diagnostic {
        let Self { id, name, .. } = self;
        let have = match value {
            Value::Int(_) | Value::Word(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Ints(_) | Value::Floats(_) | Value::Words(_) => "a list",
            Value::String(_) => "a word",
        };
        let message = format!("parameter {id}, the {name}, is {have} where {} is due", self.accepts.noun());
        let example = self.accepts.example();
        if self.accepts.is_list() {
            let one = example.split_once(',').map_or("1", |(first, _)| first);
            let hint = format!("write `{id}={example}`; a list of one number ends with a comma, as `{id}={one},` does");
            return layer.error_in(*id, message).hint(hint);
        }
        if self.required {
            return layer.error_in(*id, message).hint(format!("write `{id}={example}`"));
        }
        let message = format!("{message}; as in ncnn, it is as if it were left out");
        warning(layer, *id, message).hint(format!("write `{id}={example}`, or leave it out"))
    }
}

impl Accepts {
    /// The integers it is one of, with what they stand for; none where it isn't a choice.
    pub fn choices(&self) -> Vec<(i32, &'static str)> {
        match self {
            Self::OneOf(values) => values.to_vec(),
            Self::RowOf(names) => (0..).zip(names()).collect(),
            Self::Integer
            | Self::Flag
            | Self::AtLeast(_)
            | Self::Between(..)
            | Self::Float
            | Self::Integers
            | Self::Axes
            | Self::Floats
            | Self::Text => Vec::new(),
        }
    }

    /// The values in words.
    pub fn text(&self) -> String {
        match self {
            Self::OneOf(_) | Self::RowOf(_) => {
                let choices: Vec<String> =
                    self.choices().iter().map(|(value, name)| format!("{value} {name}")).collect();
                choices.join(", ")
            }
            Self::Integer => "an integer".into(),
            Self::Flag => "0 no, others yes".into(),
            Self::AtLeast(least) => format!("an integer from {least} on"),
            Self::Between(least, most) => format!("an integer from {least} to {most}"),
            Self::Float => "a number".into(),
            Self::Integers => "a list of integers".into(),
            Self::Axes => format!("a list of axes from {} to {}", AXES.0, AXES.1),
            Self::Floats => "a list of numbers".into(),
            Self::Text => "a string".into(),
        }
    }

    fn is_list(&self) -> bool {
        matches!(self, Self::Integers | Self::Axes | Self::Floats)
    }

    /// Whether a value is of the right type, as ncnn converts values.
    fn understands(&self, value: &Value) -> bool {
        match self {
            Self::Integer | Self::Flag | Self::AtLeast(_) | Self::Between(..) | Self::OneOf(_) | Self::RowOf(_) => {
                matches!(value, Value::Int(_) | Value::Word(_))
            }
            Self::Float => matches!(value, Value::Float(_) | Value::Int(_) | Value::Word(_)),
            Self::Integers | Self::Axes | Self::Floats => {
                matches!(value, Value::Ints(_) | Value::Floats(_) | Value::Words(_))
            }
            Self::Text => matches!(value, Value::String(_)),
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Integer | Self::Flag | Self::AtLeast(_) | Self::Between(..) | Self::OneOf(_) | Self::RowOf(_) => {
                "an integer"
            }
            Self::Float => "a number",
            Self::Integers | Self::Axes | Self::Floats => "a list",
            Self::Text => "a string",
        }
    }

    /// Values that can make a difference to the number of blobs; -233 is what ncnn has for values that come from an input.
    fn samples(&self) -> Vec<Value> {
        match self {
            Self::Integer | Self::Flag | Self::AtLeast(_) | Self::Between(..) => vec![Value::Int(1), Value::Int(-233)],
            Self::OneOf(_) | Self::RowOf(_) => self.choices().iter().map(|(value, _)| Value::Int(*value)).collect(),
            Self::Integers | Self::Axes => vec![Value::Ints(vec![1])],
            Self::Text => vec![Value::String("1w".into())],
            Self::Float | Self::Floats => Vec::new(),
        }
    }

    /// A value as it may be written.
    fn example(&self) -> String {
        match self {
            Self::Integer | Self::Flag => "1".into(),
            Self::AtLeast(least) => (*least).max(1).to_string(),
            Self::Between(least, most) => (*least).max(0).min(*most).to_string(),
            Self::OneOf(values) => values.first().map_or(0, |(value, _)| *value).to_string(),
            Self::RowOf(_) => "0".into(),
            Self::Float => "1.0".into(),
            Self::Integers | Self::Axes => "1,2".into(),
            Self::Floats => "1.0,2.0".into(),
            Self::Text => "\"...\"".into(),
        }
    }
}

impl Signature {
    /// A layer type without rules that bind several parameters. `parameters` are sorted by id.
    pub const fn new(blobs: fn(&Parameters) -> Blobs, parameters: &'static [Parameter]) -> Self {
        Self { blobs, parameters, rules: &[], caches: |_, _| 0..0 }
    }

    /// The same with inputs that are caches; which ones follows from the parameters and the number of inputs.
    pub const fn with_caches(self, caches: fn(&Parameters, usize) -> Range<usize>) -> Self {
        Self { caches, ..self }
    }

    /// The same with such rules. Each is asked only of layers whose parameters are right one by one.
    pub const fn rules(self, rules: &'static [Rule]) -> Self {
        Self { rules, ..self }
    }

    /// How many blobs a layer with these parameters takes and gives.
    pub fn blobs(&self, parameters: &Parameters) -> Blobs {
        (self.blobs)(parameters)
    }

    /// Which of a layer's inputs are caches. Only they can be empty, as they are at first.
    pub fn caches(&self, layer: &Layer) -> Range<usize> {
        (self.caches)(&layer.parameters, layer.inputs.len())
    }

    /// How many blobs a layer without parameters takes and gives, and how many others do with one: each with the
    /// parameters, such as `1=1`, any of which makes it so.
    pub fn forms(&self) -> Vec<(Blobs, Vec<String>)> {
        let mut forms = vec![(self.blobs(&Parameters::of(&[])), Vec::new())];
        for Parameter { id, accepts, .. } in self.parameters {
            for value in accepts.samples() {
                let blobs = self.blobs(&Parameters::of(&[(*id, value.clone())]));
                if blobs == forms[0].0 {
                    continue;
                }
                let setting = format!("{id}={}", written(&value));
                match forms.iter_mut().find(|(others, _)| *others == blobs) {
                    Some((_, settings)) => settings.push(setting),
                    None => forms.push((blobs, vec![setting])),
                }
                break;
            }
        }
        forms
    }

    /// Everything that is wrong with a layer of this type, and what the user should know of it.
    pub fn problems(&self, layer: &Layer) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let blobs = self.blobs(&layer.parameters);
        // What can't be read might have made all of it right.
        let is_read = layer.parameters.unreadable().is_empty();
        if is_read && !blobs.allow(layer) {
            let (kind, have, give) = (&layer.kind, layer.inputs.len(), layer.outputs.len());
            let message = format!("{kind} takes {}, but this one has {have} and {give}", blobs.text());
            problems.push(layer.error(message).hint("both numbers stand behind the layer's name, then the blobs"));
        }
        problems.extend(self.parameters.iter().filter_map(|parameter| parameter.problem(layer)));
        let strangers =
            layer.parameters.iter().map(|(id, _)| id).filter(|id| {
                !OF_EVERY_LAYER.contains(id) && self.parameters.iter().all(|parameter| parameter.id != *id)
            });
        problems.extend(strangers.map(|id| {
            let message = format!("parameter {id} means nothing to {}; as in ncnn, it is passed over", layer.kind);
            warning(layer, id, message).hint("leave it out if it isn't a slip for another one")
        }));
        if is_read && !has_errors(&problems) {
            problems.extend(self.rules.iter().filter_map(|rule| rule(layer).err()));
        }
        problems
    }
}

/// A sample as a text file has it.
fn written(value: &Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Ints(values) => values.iter().map(|value| format!("{value},")).collect(),
        Value::String(text) => format!("{text:?}"),
        Value::Float(_) | Value::Word(_) | Value::Floats(_) | Value::Words(_) => "...".into(),
    }
}

/// Whether any of them keeps a layer from being lowered.
pub fn has_errors(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// A warning about a parameter of a layer, where that is written.
pub fn warning(layer: &Layer, id: u32, message: String) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..layer.error_in(id, message) }.code(Code::Parameter)
}

#[cfg(test)]
mod tests;
