//! `ncnnc explain`: what a code in a message means, and what a layer type takes.

use crate::console::{Console, Done};
use crate::processors::nearest;
use crate::table::{Column, table};
use ncnnc_compiler::diagnostic::{CODES, Diagnostic, Explanation};
use ncnnc_compiler::ops::{OPERATORS, Operator, Parameter};
use serde_json::{Value, json};

/// Says what a code in a message means and what to do about it, or what blobs and parameters a layer type takes
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ncnnc explain N201\n  ncnnc explain Pooling\n  ncnnc explain             (all codes)"
)]
pub struct Arguments {
    /// The code, such as N201, or the layer type, such as Pooling; without one, all codes are listed
    #[arg(value_name = "CODE|LAYER")]
    subject: Option<String>,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let Some(subject) = &arguments.subject else {
        let rows = CODES.iter().map(|line| vec![line.text.to_string(), line.title.to_string()]);
        let columns = [Column::Words("code"), Column::Words("meaning")];
        return console.result(|| table(&columns, rows), || CODES.iter().map(value).collect());
    };
    if let Some(line) = CODES.iter().find(|line| line.text.eq_ignore_ascii_case(subject)) {
        let text = || format!("{}: {}\n\n{}\n", line.text, line.title, wrapped(line.paragraph));
        return console.result(text, || value(line));
    }
    match layer_type(subject) {
        Some(operator) => console.result(|| signature_text(operator), || signature_value(operator)),
        None => Err(unknown(subject).into()),
    }
}

/// The layer type of a name, however it is capitalised.
fn layer_type(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.kind.eq_ignore_ascii_case(name))
}

fn unknown(subject: &str) -> Diagnostic {
    let kinds: Vec<String> = OPERATORS.iter().map(|operator| operator.kind.to_lowercase()).collect();
    let meant = nearest(&subject.to_lowercase(), kinds.iter().map(String::as_str)).and_then(layer_type);
    let meant = meant.map_or(String::new(), |operator| format!("did you mean `{}`? ", operator.kind));
    let hint = format!("{meant}`ncnnc explain` lists all codes, `ncnnc targets --layers` all layer types");
    Diagnostic::error(format!("there is no code or layer type `{subject}`")).hint(hint)
}

fn value(line: &Explanation) -> Value {
    json!({ "code": line.text, "title": line.title, "explanation": line.paragraph })
}

/// How many blobs a layer of this type takes and gives, and what its parameters mean.
fn signature_text(operator: &Operator) -> String {
    let Operator { kind, signature, .. } = operator;
    let mut text = String::new();
    for (blobs, settings) in signature.forms() {
        let with = if settings.is_empty() { String::new() } else { format!(" with {}", settings.join(" or ")) };
        text += &format!("{}\n", wrapped(&format!("{kind}{with} takes {}.", blobs.text())));
    }
    text += "\n";
    if signature.parameters.is_empty() {
        return text + "It has no parameters of its own.\n";
    }
    let columns = [Column::Numbers("id"), Column::Words("parameter"), Column::Words("values"), Column::Words("given")];
    text + &table(&columns, signature.parameters.iter().map(row))
}

fn row(parameter: &Parameter) -> Vec<String> {
    let choices: Vec<String> =
        parameter.accepts.choices().iter().map(|(value, name)| format!("{value} {name}")).collect();
    let values = if choices.is_empty() { parameter.accepts.text() } else { choices.join("\n") };
    let given = match (parameter.is_required(), parameter.is_conditional()) {
        (true, true) => "always, unless others make it idle",
        (true, false) => "always",
        (false, true) => "at will, unless others make it idle",
        (false, false) => "at will",
    };
    vec![parameter.id.to_string(), parameter.name.into(), values, given.into()]
}

/// The same for programs; `null` stands for no bound.
fn signature_value(operator: &Operator) -> Value {
    let blobs = operator.signature.forms().into_iter().map(|(blobs, settings)| {
        let (fewest, most) = blobs.inputs();
        json!({ "with": settings, "fewest_inputs": fewest, "most_inputs": most, "outputs": blobs.outputs() })
    });
    let parameters = operator.signature.parameters.iter().map(|parameter| {
        let choices = parameter.accepts.choices().into_iter();
        let choices: Vec<Value> = choices.map(|(value, name)| json!({ "value": value, "name": name })).collect();
        json!({
            "id": parameter.id,
            "name": parameter.name,
            "accepts": parameter.accepts.text(),
            "choices": choices,
            "required": parameter.is_required(),
            "conditional": parameter.is_conditional(),
        })
    });
    let (blobs, parameters): (Vec<Value>, Vec<Value>) = (blobs.collect(), parameters.collect());
    json!({ "layer": operator.kind, "blobs": blobs, "parameters": parameters })
}

/// The text in lines of at most 80 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 80 => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_string()),
        }
    }
    lines.join("\n")
}
