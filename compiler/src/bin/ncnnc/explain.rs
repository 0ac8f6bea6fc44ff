//! `ncnnc explain`: what a code in a message means.

use crate::console::{Console, Done};
use crate::table::{Column, table};
use ncnnc_compiler::diagnostic::{CODES, Diagnostic, Explanation};
use serde_json::{Value, json};

/// Says what a code in a message means and what to do about it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ncnnc explain N201\n  ncnnc explain             (all codes)")]
pub struct Arguments {
    /// The code, such as N201; without one, all codes are listed
    code: Option<String>,
}

pub fn run(arguments: &Arguments, console: &Console) -> Done {
    let Some(code) = &arguments.code else {
        let rows = CODES.iter().map(|line| vec![line.text.to_string(), line.title.to_string()]);
        let columns = [Column::Words("code"), Column::Words("meaning")];
        return console.result(|| table(&columns, rows), || CODES.iter().map(value).collect());
    };
    let Some(line) = CODES.iter().find(|line| line.text.eq_ignore_ascii_case(code)) else {
        let problem = Diagnostic::error(format!("there is no code `{code}`"));
        return Err(problem.hint("`ncnnc explain` lists all codes").into());
    };
    let text = || format!("{}: {}\n\n{}\n", line.text, line.title, wrapped(line.paragraph));
    console.result(text, || value(line))
}

fn value(line: &Explanation) -> Value {
    json!({ "code": line.text, "title": line.title, "explanation": line.paragraph })
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
