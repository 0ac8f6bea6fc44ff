//! Collects what is wrong with one file. Must not know what is in it.

use crate::diagnostic::{Code, Diagnostic, Location, Position, Severity};

/// More problems than this are counted, not kept: a hostile file of a gigabyte must not become as many messages.
const MOST_KEPT: usize = 500;

/// A place in the file at hand: line and column from 1; in binary files, line 0 and the byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    /// The place in the file of this name.
    pub fn in_file(self, path: &str) -> Location {
        let position = match self.line {
            0 => Position::Byte(self.column),
            line => Position::Line(line, self.column),
        };
        Location { path: path.into(), position }
    }
}

/// The problems of one file so far.
#[derive(Debug)]
pub(super) struct Problems {
    path: String,
    found: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
}

impl Problems {
    /// None yet, in a file of this name.
    pub fn new(path: &str) -> Self {
        Self { path: path.into(), found: Vec::new(), errors: 0, left_out: 0 }
    }

    /// A place as a location.
    pub fn location(&self, place: Place) -> Location {
        place.in_file(&self.path)
    }

    /// Adds a problem; unless it belongs to another family, it is about how the file is written.
    pub fn push(&mut self, problem: Diagnostic) {
        let code = if problem.code == Code::Request { Code::Form } else { problem.code };
        let problem = problem.code(code);
        self.errors += usize::from(problem.severity == Severity::Error);
        if self.found.len() < MOST_KEPT {
            self.found.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    /// Adds a problem at a place.
    pub fn at(&mut self, place: Place, problem: Diagnostic) {
        let location = self.location(place);
        self.push(problem.at(location));
    }

    /// How much so far cannot be compiled.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Everything, in file order.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| a.location.cmp(&b.location));
        if self.left_out > 0 {
            let message = format!("{} more problems in `{}` are not shown", self.left_out, self.path);
            let rest = Diagnostic::error(message).code(Code::Form).about(&self.path);
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            self.found.push(Diagnostic { severity, ..rest });
        }
        self.found
    }
}

/// At most 40 characters of what a file holds, for use within a message.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 40;
    let mut shown: String = text.chars().take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
