//! What a worker's operator lets submitters start. This file owns the comparison of an argv with the allow-list; it
//! never looks at the disk, so that what is allowed does not depend on what lies there.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

/// The first arguments of a command, the program first: what begins with them is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Vec<String>);

/// Why a prefix or an argv is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A prefix without a program.
    #[error("an entry of the allow-list is empty: give at least a program, as an absolute path")]
    Empty,
    /// A program that is looked for, or that is named in a roundabout way.
    #[error("the program {0:?} must be an absolute path without `.`, `..` or doubled slashes")]
    Program(String),
    /// A prefix in brackets that is no list.
    #[error("an entry that begins with `[` must be a JSON list of strings: {0}")]
    List(String),
    /// An argv that begins with no prefix.
    #[error("{argv} is not allowed on this worker; it allows what begins with {allowed}")]
    NotAllowed {
        /// What was asked for, as a JSON list.
        argv: String,
        /// All prefixes.
        allowed: String,
    },
}

impl Prefix {
    /// A prefix of these arguments.
    pub fn new(arguments: Vec<String>) -> Result<Self, Error> {
        let program = arguments.first().ok_or(Error::Empty)?;
        let rest = program.strip_prefix('/').ok_or_else(|| Error::Program(program.clone()))?;
        if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::Program(program.clone()));
        }
        Ok(Self(arguments))
    }

    fn allows(&self, argv: &[String]) -> bool {
        argv.starts_with(&self.0)
    }
}

/// Words between white space, or a JSON list where an argument holds white space itself. There are no quotes.
impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.trim_start().starts_with('[') {
            return Self::new(serde_json::from_str(text).map_err(|error| Error::List(error.to_string()))?);
        }
        Self::new(text.split_whitespace().map(str::to_owned).collect())
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// Passes an argv that begins with one of the prefixes. Arguments are compared as they stand, the program included: two
/// ways to name one file are two programs here.
pub(super) fn check(allowed: &[Prefix], argv: &[String]) -> Result<(), Error> {
    if allowed.iter().any(|prefix| prefix.allows(argv)) {
        return Ok(());
    }
    let allowed: Vec<String> = allowed.iter().map(Prefix::to_string).collect();
    Err(Error::NotAllowed { argv: cut(shown(argv)), allowed: cut(allowed.join(", ")) })
}

fn shown(arguments: &[String]) -> String {
    serde_json::to_string(arguments).unwrap_or_default()
}

/// An error text is for people: a long command or a long list is cut.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(1024) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn allowed(list: &[&str], words: &[&str]) -> bool {
        let list: Vec<Prefix> = list.iter().map(|text| text.parse().unwrap()).collect();
        check(&list, &argv(words)).is_ok()
    }

    #[test]
    fn what_begins_with_an_entry_is_allowed_and_nothing_else() {
        let list = ["/usr/bin/git fetch --all", "/usr/bin/wc", r#"["/opt/my tool/run","--safe mode"]"#];
        assert!(allowed(&list, &["/usr/bin/wc"]));
        assert!(allowed(&list, &["/usr/bin/wc", "-l", "a b"]));
        assert!(allowed(&list, &["/usr/bin/git", "fetch", "--all", "origin"]));
        assert!(allowed(&list, &["/opt/my tool/run", "--safe mode", "x"]));
        for refused in [
            &["wc"][..],
            &["usr/bin/wc"],
            &["./wc"],
            &["/usr/bin/../bin/wc"],
            &["/usr/bin//wc"],
            &["/usr/bin/wc "],
            &["/usr/bin/wc2"],
            &["/usr/bin/WC"],
            &["/bin/sh", "-c", "/usr/bin/wc"],
            &["/usr/bin/git"],
            &["/usr/bin/git", "fetch"],
            &["/usr/bin/git", "-c", "core.sshCommand=x", "fetch", "--all"],
            &["/usr/bin/git", "fetch --all"],
            &["/usr/bin/git fetch --all"],
            &["/opt/my", "tool/run", "--safe", "mode"],
            &[""],
            &[],
        ] {
            assert!(!allowed(&list, refused), "{refused:?}");
        }
        assert!(!allowed(&[], &["/usr/bin/wc"]));
    }

    #[test]
    fn a_refusal_names_what_is_allowed() {
        let list = ["/usr/bin/wc".parse().unwrap(), "/bin/gzip -9".parse().unwrap()];
        let message = check(&list, &argv(&["/bin/sh", "-c", "id"])).unwrap_err().to_string();
        let expected = r#"["/bin/sh","-c","id"] is not allowed on this worker; it allows what begins with ["/usr/bin/wc"], ["/bin/gzip","-9"]"#;
        assert_eq!(message, expected);
    }

    #[test]
    fn an_entry_names_its_program_by_a_plain_absolute_path() {
        for text in ["wc -l", "./wc", "/usr/bin/../bin/wc", "/usr/./bin/wc", "/usr//bin/wc", "/usr/bin/", "/"] {
            assert!(matches!(text.parse::<Prefix>(), Err(Error::Program(_))), "{text}");
        }
        assert_eq!(" ".parse::<Prefix>(), Err(Error::Empty));
        assert_eq!("[]".parse::<Prefix>(), Err(Error::Empty));
        assert!(matches!("[1]".parse::<Prefix>(), Err(Error::List(_))));
    }
}
