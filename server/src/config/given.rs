//! A setting as it was given, in a file or as text, and how it is read. Each reader says what would be right.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use semel_core::app::{AppPattern, Grant, Role};

use super::{duration::parse_duration, show_duration};
use crate::auth::Mode;

/// The word for a span of time without an end.
pub(super) const FOREVER: &str = "forever";

/// A value before it is read.
#[derive(Debug)]
pub(super) enum Given<'a> {
    /// From the environment or a flag.
    Text(&'a str),
    /// From a file.
    Toml(&'a toml::Value),
}

const ROLES: [Role; 5] = [Role::Admin, Role::Operator, Role::Submitter, Role::Worker, Role::Viewer];

impl Given<'_> {
    pub(super) fn text(&self, example: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(toml::Value::String(text)) => Ok(text),
            Self::Toml(other) => Err(format!("is {}, must be text such as {example:?}", kind(other))),
        }
    }

    pub(super) fn address(&self) -> Result<SocketAddr, String> {
        let text = self.text("127.0.0.1:7400")?;
        text.parse().map_err(|_| format!("{text:?} is no address with a port, such as 127.0.0.1:7400 or [::1]:7400"))
    }

    /// An address; an empty text means none.
    pub(super) fn address_or_none(&self) -> Result<Option<SocketAddr>, String> {
        match self.text("127.0.0.1:7401")? {
            "" => Ok(None),
            _ => self.address().map(Some),
        }
    }

    /// A path; an empty text means none.
    pub(super) fn path_or_none(&self) -> Result<Option<PathBuf>, String> {
        let text = self.text("/etc/semel/tls.crt")?;
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    pub(super) fn path(&self) -> Result<PathBuf, String> {
        match self.text("semel-data")? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(PathBuf::from(text)),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, String> {
        match self {
            Self::Toml(toml::Value::Boolean(value)) => Ok(*value),
            Self::Text("true" | "1" | "yes") => Ok(true),
            Self::Text("false" | "0" | "no") => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }

    pub(super) fn duration(&self, min: Duration, max: Duration) -> Result<Duration, String> {
        let value = parse_duration(self.text("30s")?)?;
        if value < min || value > max {
            return Err(format!("must be from {} to {}", show_duration(min), show_duration(max)));
        }
        Ok(value)
    }

    /// A span of time, or none: for ever. A span of nothing says so too.
    pub(super) fn duration_or_forever(&self, min: Duration, max: Duration) -> Result<Option<Duration>, String> {
        let text = self.text("30d")?;
        if text == FOREVER || parse_duration(text).is_ok_and(|kept| kept.is_zero()) {
            return Ok(None);
        }
        self.duration(min, max).map(Some).map_err(|problem| format!("{problem}, or {FOREVER:?}"))
    }

    pub(super) fn number(&self, min: u64, max: u64) -> Result<u64, String> {
        let value = match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml(toml::Value::Integer(value)) => u64::try_from(*value).ok(),
            Self::Toml(_) => None,
        };
        value.filter(|value| (min..=max).contains(value)).ok_or_else(|| format!("must be a number from {min} to {max}"))
    }

    pub(super) fn size(&self, min: usize, max: usize) -> Result<usize, String> {
        let number = self.number(min as u64, max as u64)?;
        usize::try_from(number).map_err(|_| format!("must be at most {max}"))
    }

    /// Grants: in a file a list of tables, as text `ROLE:APPS,ROLE:APPS`.
    pub(super) fn grants(&self) -> Result<Vec<Grant>, String> {
        let form = "must be a list such as [{ role = \"submitter\", apps = \"pay/*\" }]";
        match self {
            Self::Text(text) => text.split(',').filter(|part| !part.is_empty()).map(parse_grant).collect(),
            Self::Toml(toml::Value::Array(items)) => items.iter().map(|item| grant_table(item, form)).collect(),
            Self::Toml(_) => Err(form.to_owned()),
        }
    }

    /// A list of things that are each read from a word: in a file a list of text, as text with commas between them.
    pub(super) fn words<T>(&self, example: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
        let form = || format!("must be a list such as [{example:?}]");
        match self {
            Self::Text(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect(),
            Self::Toml(toml::Value::Array(items)) => {
                items.iter().map(|item| parse(item.as_str().ok_or_else(form)?)).collect()
            }
            Self::Toml(_) => Err(form()),
        }
    }
}

fn grant_table(item: &toml::Value, form: &str) -> Result<Grant, String> {
    let table = item.as_table().ok_or(form)?;
    if let Some(unknown) = table.keys().find(|key| !matches!(key.as_str(), "role" | "apps")) {
        return Err(format!("{unknown} is no field of a grant; it has role and apps"));
    }
    let field = |name: &str| table.get(name).and_then(toml::Value::as_str).ok_or_else(|| form.to_owned());
    grant(field("role")?, field("apps")?)
}

/// Reads a grant as people write it: `ROLE:APPS`, for instance `submitter:pay/*`.
///
/// # Errors
/// Says what is wrong with it.
pub fn parse_grant(text: &str) -> Result<Grant, String> {
    let (role, apps) = text
        .trim()
        .split_once(':')
        .ok_or_else(|| format!("{text:?} is no grant; write ROLE:APPS, as submitter:pay/*"))?;
    grant(role, apps)
}

fn grant(role: &str, apps: &str) -> Result<Grant, String> {
    let found = ROLES.into_iter().find(|known| known.as_str() == role);
    let role = found.ok_or_else(|| format!("{role:?} is no role; they are {}", ROLES.map(Role::as_str).join(", ")))?;
    let apps = AppPattern::parse(apps).map_err(|problem| format!("{apps:?} {problem}"))?;
    Ok(Grant { role, apps })
}

/// Reads a mode of treating credentials.
///
/// # Errors
/// Names the modes.
pub fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "enforce" => Ok(Mode::Enforce),
        "permissive" => Ok(Mode::Permissive),
        "off" => Ok(Mode::Off),
        _ => Err(format!("{text:?} is no mode; they are enforce, permissive and off")),
    }
}

fn kind(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "text",
        toml::Value::Integer(_) | toml::Value::Float(_) => "a number",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}
