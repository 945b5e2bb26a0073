//! What is wrong with a setting, and where it was set. Words only, nothing is decided here.

use std::fmt;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file, by its name.
    File(String),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) | Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path of the setting, for instance `engine.lease`; empty if a file cannot be read at all.
    pub path: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Fault {
    /// A fault of one setting.
    pub fn new(path: impl Into<String>, origin: Origin, problem: impl Into<String>) -> Self {
        Self { path: path.into(), origin, problem: problem.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}: {}", self.origin, self.problem),
            path => write!(f, "{}: {path}: {}", self.origin, self.problem),
        }
    }
}
