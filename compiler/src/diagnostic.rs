//! What can be wrong with a user's input, said so that they can mend it.
//!
//! Owns the shape of a message and its plain text. Must not know where messages come from.

mod code;

pub use code::{CODES, Code, Explanation};

use std::fmt::{self, Write};

/// A place in a file the user gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The path as the user named it.
    pub path: String,
    /// Where in it.
    pub position: Position,
}

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// Nowhere: the file itself is meant, and the message names it.
    File,
    /// In a binary file, the byte offset.
    Byte(u32),
    /// The line and the column in characters, both from 1.
    Line(u32, u32),
}

impl Location {
    /// The line, where the file has any.
    pub fn line(&self) -> Option<u32> {
        match self.position {
            Position::Line(line, _) => Some(line),
            Position::File | Position::Byte(_) => None,
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The model cannot be compiled.
    Error,
    /// It can, but the user should know.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What family it belongs to.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// Where, if it is anywhere.
    pub location: Option<Location>,
    /// The name of the layer at fault, if one is.
    pub layer: Option<String>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error with nothing but a message. Unless a code says otherwise, it is about what was asked for.
    pub fn error(message: impl Into<String>) -> Self {
        let (code, severity, message) = (Code::Request, Severity::Error, message.into());
        Self { code, severity, location: None, layer: None, message, hint: None }
    }

    /// A warning with nothing but a message.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// The same, of a family.
    pub fn code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// The same, at a place.
    pub fn at(self, location: Location) -> Self {
        Self { location: Some(location), ..self }
    }

    /// The same, about a file, unless a place is known already.
    pub fn about(self, path: impl ToString) -> Self {
        let file = || Location { path: path.to_string(), position: Position::File };
        Self { location: Some(self.location.unwrap_or_else(file)), ..self }
    }

    /// The same, about a layer.
    pub fn layer(self, layer: impl Into<String>) -> Self {
        Self { layer: Some(layer.into()), ..self }
    }

    /// The same, with advice.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(Location { path, position }) = &self.location {
            match position {
                Position::File => {}
                Position::Byte(offset) => write!(f, "{path}: byte {offset}: ")?,
                Position::Line(line, column) => write!(f, "{path}:{line}:{column}: ")?,
            }
        }
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if let Some(layer) = &self.layer {
            write!(f, "layer `{}`: ", Harmless(layer))?;
        }
        write!(f, "{}", Harmless(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  help: {}", Harmless(hint))?;
        }
        Ok(())
    }
}

/// Text that may quote a stranger's file: control characters, which could command a terminal, are shown escaped.
pub struct Harmless<'a>(pub &'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\n' => f.write_char('\n'),
            control if control.is_control() => write!(f, "{}", control.escape_default()),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_names_cannot_command_the_terminal() {
        let problem = Diagnostic::error("no layer makes `\u{1b}[2J`").layer("a\u{7}b").hint("é");
        assert_eq!(problem.to_string(), "error: layer `a\\u{7}b`: no layer makes `\\u{1b}[2J`\n  help: é");
    }
}
