//! What can be said of a layer by itself, whatever its inputs hold: how many blobs its type takes and gives, what its
//! numbered parameters mean, and which values they can have.
//!
//! All of it is checked at once, for every layer, so that an operator that lowers a layer finds parameters that its
//! signature allows. Must not know shapes, arrays or other layers.

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::ncnn::{Layer, OF_EVERY_LAYER, Parameters, Value};

/// What a layer type takes, gives and understands.
pub struct Signature {
    blobs: fn(&Parameters) -> Blobs,
    /// Its parameters by ascending id.
    pub parameters: &'static [Parameter],
    rules: &'static [Rule],
    /// Whether inputs may be empty, as caches are at first.
    pub takes_empty: bool,
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

/// One input, one output.
pub const ONE_TO_ONE: fn(&Parameters) -> Blobs = |_| Blobs::new(1, 1);

/// One or more inputs, one output.
pub const SOME_TO_ONE: fn(&Parameters) -> Blobs = |_| Blobs { fewest: 1, most: None, outputs: Some(1) };

/// One input, any number of outputs.
pub const ONE_TO_SOME: fn(&Parameters) -> Blobs = |_| Blobs { fewest: 1, most: Some(1), outputs: None };

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

/// The values a parameter can have.
#[derive(Clone, Copy)]
pub enum Accepts {
    /// Any integer.
    Integer,
    /// An integer: 0 for no, another for yes.
    Flag,
    /// An integer no smaller than this one.
    AtLeast(i32),
    /// One of these integers, with what it stands for.
    OneOf(&'static [(i32, &'static str)]),
    /// The number of a row, from 0, of a table with these names.
    RowOf(fn() -> Vec<&'static str>),
    /// Any float.
    Float,
    /// A list of integers.
    Integers,
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

    fn allow(self, layer: &Layer) -> bool {
        let inputs = layer.inputs.len();
        let outputs = layer.outputs.len();
        inputs >= self.fewest
            && self.most.is_none_or(|most| inputs <= most)
            && self.outputs.is_none_or(|wanted| wanted == outputs)
    }

    /// `2 inputs and gives 1`.
    fn text(self) -> String {
        let inputs = match (self.fewest, self.most) {
            (0, Some(0)) => "no inputs".into(),
            (1, Some(1)) => "1 input".into(),
            (fewest, Some(most)) if fewest == most => format!("{fewest} inputs"),
            (fewest, Some(most)) => format!("{fewest} to {most} inputs"),
            (1, None) => "1 or more inputs".into(),
            (fewest, None) => format!("at least {fewest} inputs"),
        };
        match self.outputs {
            None => inputs,
            Some(1) => format!("{inputs} and gives 1 output"),
            Some(outputs) => format!("{inputs} and gives {outputs} outputs"),
        }
    }
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

    /// What is wrong with a layer's value of it.
    fn problem(&self, layer: &Layer) -> Option<Diagnostic> {
        let parameters = &layer.parameters;
        if self.applies.is_some_and(|applies| !applies(parameters)) {
            return None;
        }
        let Self { id, name, .. } = self;
        let Some(value) = parameters.value(*id).filter(|value| self.accepts.understands(value)) else {
            return match self.passed_over(layer) {
                passed_over if !self.required => passed_over,
                Some(warning) => Some(Diagnostic { severity: Severity::Error, ..warning }),
                None => {
                    let verb = if matches!(self.accepts, Accepts::Integers | Accepts::Floats) { "are" } else { "is" };
                    let hint = format!("add `{id}={}` or another value", self.accepts.example());
                    Some(layer.error_in(*id, format!("the {name} {verb} missing")).hint(hint))
                }
            };
        };
        let number = parameters.int(*id, 0);
        match &self.accepts {
            Accepts::AtLeast(least) if number < *least => Some(
                layer
                    .error_in(*id, format!("the {name} is {number}, but must be at least {least}"))
                    .hint(format!("parameter {id} gives it")),
            ),
            Accepts::OneOf(values) if values.iter().all(|(value, _)| *value != number) => {
                Some(self.no_such(layer, number, values))
            }
            Accepts::RowOf(names) => {
                let names = names();
                let known = usize::try_from(number).is_ok_and(|number| number < names.len());
                let values: Vec<(i32, &str)> = (0..).zip(names).collect();
                (!known).then(|| self.no_such(layer, number, &values))
            }
            Accepts::Integers if matches!(value, Value::Floats(_)) => Some(
                layer
                    .error_in(*id, format!("the {name} are floats, whose bits ncnn would take for integers"))
                    .hint(format!("parameter {id} is a list of integers: write it without `.` and exponents")),
            ),
            Accepts::AtLeast(_)
            | Accepts::OneOf(_)
            | Accepts::Integer
            | Accepts::Flag
            | Accepts::Float
            | Accepts::Integers
            | Accepts::Floats
            | Accepts::Text => None,
        }
    }

    fn no_such(&self, layer: &Layer, number: i32, values: &[(i32, &str)]) -> Diagnostic {
        let values: Vec<String> = values.iter().map(|(value, name)| format!("{value} {name}")).collect();
        layer.error_in(self.id, format!("there is no {} {number}", self.name)).hint(values.join(", "))
    }

    /// A warning of a value of another type, which ncnn takes for none.
    fn passed_over(&self, layer: &Layer) -> Option<Diagnostic> {
        let Self { id, name, .. } = self;
        let have = match layer.parameters.value(*id)? {
            Value::Int(_) | Value::Word(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Ints(_) | Value::Floats(_) | Value::Words(_) => "a list",
            Value::String(_) => "a word",
        };
        let due = self.accepts.noun();
        let message = format!(
            "parameter {id}, the {name}, is {have} where {due} is due; as in ncnn, it is as if it were left out"
        );
        let hint = format!("write it as in `{id}={}`", self.accepts.example());
        Some(warning(layer, *id, message).hint(if self.required { hint } else { hint + ", or leave it out" }))
    }
}

impl Accepts {
    /// Whether a value is of the right type, as ncnn converts values.
    fn understands(&self, value: &Value) -> bool {
        match self {
            Self::Integer | Self::Flag | Self::AtLeast(_) | Self::OneOf(_) | Self::RowOf(_) => {
                matches!(value, Value::Int(_) | Value::Word(_))
            }
            Self::Float => matches!(value, Value::Float(_) | Value::Int(_) | Value::Word(_)),
            Self::Integers | Self::Floats => matches!(value, Value::Ints(_) | Value::Floats(_) | Value::Words(_)),
            Self::Text => matches!(value, Value::String(_)),
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Integer | Self::Flag | Self::AtLeast(_) | Self::OneOf(_) | Self::RowOf(_) => "an integer",
            Self::Float => "a number",
            Self::Integers | Self::Floats => "a list",
            Self::Text => "a string",
        }
    }

    /// A value as it may be written.
    fn example(&self) -> String {
        match self {
            Self::Integer | Self::Flag => "1".into(),
            Self::AtLeast(least) => (*least).max(1).to_string(),
            Self::OneOf(values) => values.first().map_or(0, |(value, _)| *value).to_string(),
            Self::RowOf(_) => "0".into(),
            Self::Float => "1.0".into(),
            Self::Integers => "1,2".into(),
            Self::Floats => "1.0,2.0".into(),
            Self::Text => "\"...\"".into(),
        }
    }
}

impl Signature {
    /// A layer type without rules that bind several parameters. `parameters` are sorted by id.
    pub const fn new(blobs: fn(&Parameters) -> Blobs, parameters: &'static [Parameter]) -> Self {
        Self { blobs, parameters, rules: &[], takes_empty: false }
    }

    /// The same with inputs that may be empty.
    pub const fn taking_empty(self) -> Self {
        Self { takes_empty: true, ..self }
    }

    /// The same with such rules. Each is asked only of layers whose parameters are right one by one.
    pub const fn rules(self, rules: &'static [Rule]) -> Self {
        Self { rules, ..self }
    }

    /// Everything that is wrong with a layer of this type, and what the user should know of it.
    pub fn problems(&self, layer: &Layer) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let blobs = (self.blobs)(&layer.parameters);
        if !blobs.allow(layer) {
            let (kind, have, give) = (&layer.kind, layer.inputs.len(), layer.outputs.len());
            let message = format!("{kind} takes {}, but this one has {have} and {give}", blobs.text());
            problems.push(layer.error(message).hint("both numbers stand behind the layer's name, then the blobs"));
        }
        problems.extend(self.parameters.iter().filter_map(|parameter| parameter.problem(layer)));
        if std::ptr::eq(self, &raw const OPEN) {
            return problems;
        }
        let strangers =
            layer.parameters.iter().map(|(id, _)| id).filter(|id| {
                !OF_EVERY_LAYER.contains(id) && self.parameters.iter().all(|parameter| parameter.id != *id)
            });
        problems.extend(strangers.map(|id| {
            let message = format!("parameter {id} means nothing to {}; as in ncnn, it is passed over", layer.kind);
            warning(layer, id, message).hint("leave it out if it isn't a slip for another one")
        }));
        if !has_errors(&problems) {
            problems.extend(self.rules.iter().filter_map(|rule| rule(layer).err()));
        }
        problems
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

/// Of a type whose signature isn't written yet.
pub static OPEN: Signature = Signature::new(|_| Blobs { fewest: 0, most: None, outputs: None }, &[]);
