//! What is wrong with a file: where, what and what to do, in one line, without any value that was written.

use std::fmt;

/// One thing that is wrong, or, among warnings, one thing that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File and line, when it came from a text.
    pub place: Option<Place>,
    /// Path of the field: `models.fast.targets[0].provider`; empty for the whole file.
    pub field: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As the user named it.
    pub file: String,
    /// From 1.
    pub line: usize,
}

// === impl Problem ===

impl Problem {
    /// A problem of a field, with no line.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: None, field: field.into(), reason: reason.into() }
    }

    pub(crate) fn at(mut self, file: &str, line: usize) -> Self {
        self.place = Some(Place { file: file.to_owned(), line });
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}: ", place.file, place.line)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Problem {}
