//! What is wrong with what a trigger says: where, and what to write instead.

use std::fmt;

/// One thing that is wrong with a trigger's specification. The caller's mistake, never a fault of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The field, from the specification on, such as `when.cron.expression` or `exclude[2].dates.dates[0]`.
    pub field: String,
    /// Where in the field's text, in bytes from 0; none when it is no text, or the whole of it is meant.
    pub offset: Option<usize>,
    /// What is wrong and what to do about it: lower case, no full stop.
    pub problem: String,
}

impl SpecError {
    /// A field that is wrong as a whole.
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), offset: None, problem: problem.into() }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if let Some(offset) = self.offset {
            write!(f, " at {offset}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for SpecError {}
