//! What the user sees and what the caller gets: messages for people or as JSON lines, results, exit codes.
//!
//! Messages go to the standard error, results to the standard output. Must not know what is done.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use clap::ValueEnum;
use ncnnc_compiler::diagnostic::{Code, Diagnostic, Harmless, Location, Position, Severity};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::rc::Rc;

/// How messages and results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// A JSON object on each line.
    Json,
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// Where a terminal reads along and `NO_COLOR` isn't set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Colour {
    fn on(self, stream: &impl IsTerminal) -> bool {
        let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Auto => stream.is_terminal() && !unwanted(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Why a command didn't come to its end.
#[derive(Debug)]
pub enum Stop {
    /// Something is wrong.
    Problems(Vec<Diagnostic>),
    /// Whoever read the results has had enough.
    PipeClosed,
}

impl From<Vec<Diagnostic>> for Stop {
    fn from(problems: Vec<Diagnostic>) -> Self {
        Self::Problems(problems)
    }
}

impl From<Diagnostic> for Stop {
    fn from(problem: Diagnostic) -> Self {
        Self::Problems(vec![problem])
    }
}

/// How a command ends.
pub type Done = Result<(), Stop>;

/// Where messages and results go.
pub struct Console {
    format: Format,
    /// Whether results have colours.
    pub colour: bool,
    renderer: Renderer,
    /// Files whose lines messages can show, by the paths in their locations.
    sources: RefCell<HashMap<String, Rc<Vec<u8>>>>,
}

/// Characters of a line beyond which it isn't shown: no one could read it.
const LONGEST_LINE: usize = 4096;

impl Console {
    /// A console without files.
    pub fn new(format: Format, colour: Colour) -> Self {
        let renderer = if colour.on(&std::io::stderr()) { Renderer::styled() } else { Renderer::plain() };
        let colour = colour.on(&std::io::stdout());
        Self { format, colour, renderer, sources: RefCell::default() }
    }

    /// Whether results are wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether somebody watches, who wants to know that work goes on.
    pub fn is_watched(&self) -> bool {
        self.format == Format::Human && std::io::stderr().is_terminal()
    }

    /// Lets messages show lines of a file.
    pub fn remember(&self, path: &str, bytes: &Rc<Vec<u8>>) {
        self.sources.borrow_mut().insert(path.into(), Rc::clone(bytes));
    }

    /// Writes a result: the text, or the value where JSON is wanted.
    pub fn result(&self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> Done {
        match self.format {
            Format::Human => print(text().as_bytes()),
            Format::Json => print(format!("{}\n", value()).as_bytes()),
        }
    }

    /// Writes messages.
    pub fn report(&self, problems: &[Diagnostic]) {
        let mut text = String::new();
        for problem in problems {
            text += &match self.format {
                Format::Human => self.for_people(problem) + "\n\n",
                Format::Json => format!("{}\n", as_json(problem)),
            };
        }
        // With nobody to tell there is nothing to be done about it.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Says what went wrong, and what the exit code is.
    pub fn finish(&self, done: Done) -> ExitCode {
        match done {
            Ok(()) | Err(Stop::PipeClosed) => ExitCode::SUCCESS,
            Err(Stop::Problems(problems)) => {
                self.report(&problems);
                let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
                ExitCode::from(errors.map(|problem| exit_code(problem.code)).max().unwrap_or(REFUSED))
            }
        }
    }

    /// Has a panic, which can only be a defect, look like other messages.
    pub fn take_panics(&self) {
        let format = self.format;
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload_as_str().unwrap_or("no reason given");
            let place = panic.location().map_or(String::new(), |place| format!(" ({}:{})", place.file(), place.line()));
            let problem = Diagnostic::error(format!("defect in the compiler: {text}{place}"))
                .code(Code::Defect)
                .hint("please report it, with the param file: whatever the model is, this should not happen");
            Self::new(format, Colour::Auto).report(&[problem]);
        }));
    }

    fn for_people(&self, problem: &Diagnostic) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let layer = problem.layer.as_ref().map_or(String::new(), |layer| format!("layer `{}`: ", Harmless(layer)));
        let title = format!("{layer}{}", Harmless(&problem.message));
        let mut group = Group::with_title(level.primary_title(title).id(problem.code.text()));
        if let Some(place) = problem.location.as_ref().and_then(|location| self.place(location)) {
            group = group.element(place);
        }
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.message(Harmless(hint).to_string()));
        }
        self.renderer.render(&[group])
    }

    /// The line with a mark under the word in question, or the place alone where there is no line to show.
    fn place(&self, location: &Location) -> Option<Element<'static>> {
        let path = Harmless(&location.path).to_string();
        let (line, column) = match location.position {
            Position::File => return None,
            Position::Byte(offset) => return Some(Origin::path(format!("{path}: byte {offset}")).into()),
            Position::Line(line, column) => (line as usize, column as usize),
        };
        let sources = self.sources.borrow();
        let bytes = sources.get(&location.path).and_then(|bytes| bytes.split(|byte| *byte == b'\n').nth(line - 1));
        Some(match bytes.filter(|bytes| bytes.len() <= LONGEST_LINE) {
            None => Origin::path(path).line(line).char_column(column).into(),
            Some(bytes) => {
                let text = String::from_utf8_lossy(bytes).trim_end().to_string();
                let span = word(&text, column);
                Snippet::source(text).line_start(line).path(path).annotation(AnnotationKind::Primary.span(span)).into()
            }
        })
    }
}

/// The bytes of the word at a column, which counts characters from 1.
fn word(text: &str, column: usize) -> std::ops::Range<usize> {
    let begin = text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let length = text[begin..].find(char::is_whitespace).unwrap_or(text.len() - begin);
    let least = text[begin..].chars().next().map_or(0, char::len_utf8);
    begin..begin + length.max(least)
}

/// A message as a JSON object: `null` stands for what isn't known.
fn as_json(problem: &Diagnostic) -> Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let Diagnostic { code, severity: _, location, layer, message, hint } = problem;
    let (line, column, byte) = match location.as_ref().map(|location| location.position) {
        None | Some(Position::File) => (None, None, None),
        Some(Position::Byte(offset)) => (None, None, Some(offset)),
        Some(Position::Line(line, column)) => (Some(line), Some(column), None),
    };
    json!({
        "code": code.text(),
        "severity": severity,
        "message": message,
        "help": hint,
        "layer": layer,
        "file": location.as_ref().map(|location| &location.path),
        "line": line,
        "column": column,
        "byte": byte,
    })
}

/// The model or an input is refused.
const REFUSED: u8 = 1;

/// How a command ends with a problem of this family. The numbers are promised in `docs/command-line.md`.
fn exit_code(code: Code) -> u8 {
    match code {
        Code::Values
        | Code::Form
        | Code::Parameter
        | Code::Blob
        | Code::Weights
        | Code::UnknownLayer
        | Code::Unsupported
        | Code::Layer
        | Code::Shape
        | Code::Size => REFUSED,
        Code::Request | Code::Machine => 2,
        Code::File => 3,
        Code::Precision => 4,
        Code::Defect => 101,
    }
}

/// Writes to the standard output.
pub fn print(bytes: &[u8]) -> Done {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| not_printed(&error))
}

/// Why the standard output took nothing more.
pub fn not_printed(error: &std::io::Error) -> Stop {
    match error.kind() {
        ErrorKind::BrokenPipe => Stop::PipeClosed,
        _ => Stop::from(Diagnostic::error(format!("can't write to the standard output: {error}")).code(Code::File)),
    }
}
