//! Small values as people write them on a command line: spans, moments, labels, grants, roles. Pure, but for relative
//! times, which take the moment that they count from.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use semel_core::trace::TraceContext;
use semel_proto::v1::{Grant, Role};

use crate::config;

/// A span of time, such as `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text)
}

/// A moment, such as `2026-01-31T08:00:00Z`.
pub(crate) fn time(text: &str) -> Result<SystemTime, String> {
    let wrong = || format!("{text:?} is no moment; write it like 2026-01-31T08:00:00Z or 2026-01-31T08:00:00+01:00");
    let timestamp: Timestamp = text.parse().map_err(|_| wrong())?;
    Ok(SystemTime::from(timestamp))
}

/// A moment in the past: itself, or a span before now.
pub(crate) fn past(text: &str) -> Result<SystemTime, String> {
    let before =
        |span: Duration| SystemTime::now().checked_sub(span).ok_or_else(|| format!("{text:?} is too long ago"));
    duration(text).map_or_else(|_| time(text).map_err(|problem| format!("{problem}, or a span such as 2h")), before)
}

/// A place in a trace, as W3C Trace Context writes it.
pub(crate) fn traceparent(text: &str) -> Result<String, String> {
    match TraceContext::parse(text, "") {
        Some(_) => Ok(text.to_owned()),
        None => Err("is no traceparent; it is 00-<trace id>-<span id>-<flags>, in small hexadecimal digits".to_owned()),
    }
}

/// A label, `KEY=VALUE`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no label; write KEY=VALUE")),
    }
}

/// Labels, of which the last one with a key counts.
pub(crate) fn labels(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    pairs.iter().cloned().collect()
}

/// A role, by its name.
pub(crate) fn role(text: &str) -> Result<Role, String> {
    let name = format!("ROLE_{}", text.to_uppercase());
    let role = Role::from_str_name(&name).filter(|role| *role != Role::Unspecified);
    role.ok_or_else(|| format!("{text:?} is no role; they are admin, operator, submitter, worker, viewer"))
}

/// A grant, `ROLE:APPS`.
pub(crate) fn grant(text: &str) -> Result<Grant, String> {
    config::parse_grant(text)?;
    let (role_name, apps) = text.trim().split_once(':').unwrap_or_default();
    Ok(Grant { role: role(role_name)?.into(), apps: apps.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_split_at_its_first_sign() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(label("env=prod"), pair("env", "prod"));
        assert_eq!(label("query=a=b"), pair("query", "a=b"));
        assert_eq!(label("empty="), pair("empty", ""));
        assert!(label("env").is_err() && label("=prod").is_err());
    }

    #[test]
    fn a_moment_needs_its_offset() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_846_400);
        assert_eq!(time("2026-01-31T08:00:00Z"), Ok(expected));
        assert_eq!(time("2026-01-31T09:00:00+01:00"), Ok(expected));
        assert!(time("2026-01-31T08:00:00").is_err() && time("tomorrow").is_err());
    }

    #[test]
    fn a_grant_names_a_role_and_apps() {
        let expected = Grant { role: Role::Submitter.into(), apps: "pay/*".to_owned() };
        assert_eq!(grant("submitter:pay/*"), Ok(expected));
        assert!(grant("king:*").is_err() && grant("viewer").is_err() && grant("viewer:PAY").is_err());
        assert_eq!(role("worker"), Ok(Role::Worker));
        assert!(role("unspecified").is_err());
    }
}
