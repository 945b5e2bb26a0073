//! Documents of values that know where they stand in their file. YAML and TOML are two syntaxes of one thing here, so what
//! reads it can say of each mistake on which line it is, whoever finds it. It knows nothing of jobs.

mod de;
mod toml;
mod yaml;

use std::fmt;

use serde::de::DeserializeOwned;

/// How deep values may lie within each other; a job needs six.
const DEPTH_MAX: usize = 64;
/// How many mistakes of a document are told.
const FAULTS_MAX: usize = 50;

/// The syntax of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// YAML; so many documents.
    Yaml,
    /// TOML; one document.
    Toml,
}

/// A place in a file, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: usize,
    /// The character in it.
    pub(crate) column: usize,
}

/// A mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where.
    pub(crate) place: Place,
    /// What is wrong.
    pub(crate) problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.place.line, self.place.column, self.problem)
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map, its place, and what stands under it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) key: String,
    pub(crate) node: Node,
}

/// Reads the documents of a file; those that hold nothing are left out.
///
/// # Errors
/// A text that is none of this syntax has one mistake: nobody can say how it would go on.
pub(crate) fn documents(text: &str, syntax: Syntax) -> Result<Vec<Node>, Fault> {
    match syntax {
        Syntax::Yaml => yaml::documents(text),
        Syntax::Toml => toml::document(text).map(|node| vec![node]),
    }
}

impl Node {
    /// Takes what stands under a key out of a map.
    pub(crate) fn take(&mut self, key: &str) -> Option<Entry> {
        let Value::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(at))
    }

    /// The place of a field by its path, or of what is nearest to it on the way there: parts of the path that the file does
    /// not have are passed over, because a file says in one value what may be a message in the protocol.
    pub(crate) fn place_of(&self, path: &[String]) -> Place {
        let (mut node, mut place) = (self, self.place);
        for part in path {
            match &node.value {
                Value::Map(entries) => {
                    if let Some(entry) = entries.iter().find(|entry| entry.key == *part) {
                        node = &entry.node;
                        place = entry.place;
                    }
                }
                Value::List(items) => {
                    if let Some(item) = part.parse().ok().and_then(|at: usize| items.get(at)) {
                        node = item;
                        place = item.place;
                    }
                }
                _ => break,
            }
        }
        place
    }

    /// Reads the value as a type. All mistakes that can be told apart are found: what is wrong is taken out, and the rest is
    /// read again.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<Fault>> {
        let mut rest = self.clone();
        let (mut faults, mut removed) = (Vec::new(), Vec::<Vec<String>>::new());
        while faults.len() < FAULTS_MAX {
            let wrong = match T::deserialize(&rest) {
                Ok(read) if faults.is_empty() => return Ok(read),
                Ok(_) => break,
                Err(wrong) => wrong,
            };
            let path = wrong.path();
            let missing = wrong.missing_field().map(|field| [&path[..], &[field.to_owned()]].concat());
            // A field that was taken out for a mistake of its own is not missing as well.
            if missing.is_none_or(|missing| !removed.contains(&missing)) {
                faults.push(Fault { place: wrong.place().unwrap_or(self.place), problem: wrong.to_string() });
            }
            if !rest.remove(&path) {
                break;
            }
            removed.push(path);
        }
        faults.sort_by_key(|fault| fault.place);
        Err(faults)
    }

    /// Takes a value out. The whole cannot be taken out of itself.
    fn remove(&mut self, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        match &mut self.value {
            Value::Map(entries) => {
                let Some(at) = entries.iter().position(|entry| entry.key == *first) else { return false };
                if rest.is_empty() {
                    entries.remove(at);
                    return true;
                }
                entries[at].node.remove(rest)
            }
            Value::List(items) => {
                let Some(at) = first.parse().ok().filter(|at: &usize| *at < items.len()) else { return false };
                if rest.is_empty() {
                    items.remove(at);
                    return true;
                }
                items[at].remove(rest)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
