//! A job in a file: the TOML of `examples/`. It owns the form of that text and makes a job's definition of it; whether
//! the definition is a valid one is the server's to say.
//!
//! | key | what it is |
//! |---|---|
//! | `name` | the job's name; left out, it is what the file is called |
//! | `processor` | what a worker must offer; required |
//! | `description` | what it is for |
//! | `payload` | the input of a run that brings none: text, or anything else, which becomes JSON |
//! | `content_type` | of the payload; left out, `text/plain` for text and `application/json` for the rest |
//! | `labels` | a table of texts |
//! | `max_attempts`, `initial_backoff`, `multiplier`, `max_backoff` | what happens when an attempt fails |
//! | `attempt_timeout`, `run_timeout` | spans such as `30s`, `5m`, `1h30m` |
//! | `max_running`, `priority` | numbers |
//! | `lost_worker` | `retry` or `fail` |

use std::{collections::BTreeMap, time::Duration};

use semel_proto::v1::{JobSpec, LostWorkerPolicy, Payload, RetryPolicy};
use serde::{Deserialize, Deserializer, de::Error as _};

/// A job, as a file states it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobFile {
    /// Its name, if the file holds one.
    pub name: Option<String>,
    /// What is run, and how.
    pub spec: JobSpec,
}

/// Why a file is no job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not the TOML of a job.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// Its payload has no form in JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    Payload(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    name: Option<String>,
    processor: String,
    #[serde(default)]
    description: String,
    payload: Option<toml::Value>,
    content_type: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    max_attempts: i32,
    initial_backoff: Option<Span>,
    #[serde(default)]
    multiplier: f64,
    max_backoff: Option<Span>,
    attempt_timeout: Option<Span>,
    run_timeout: Option<Span>,
    #[serde(default)]
    max_running: i32,
    #[serde(default)]
    priority: i32,
    lost_worker: Option<LostWorker>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LostWorker {
    Retry,
    Fail,
}

/// Reads a file.
///
/// # Errors
/// See [`Error`]; a TOML error says where in the text it is.
pub fn parse(text: &str) -> Result<JobFile, Error> {
    let stated: Stated = toml::from_str(text)?;
    let lost_worker = match stated.lost_worker {
        None => LostWorkerPolicy::Unspecified,
        Some(LostWorker::Retry) => LostWorkerPolicy::Retry,
        Some(LostWorker::Fail) => LostWorkerPolicy::Fail,
    };
    let retry = RetryPolicy {
        max_attempts: stated.max_attempts,
        initial_backoff: stated.initial_backoff.and_then(|Span(span)| span.try_into().ok()),
        multiplier: stated.multiplier,
        max_backoff: stated.max_backoff.and_then(|Span(span)| span.try_into().ok()),
    };
    let spec = JobSpec {
        processor: stated.processor,
        payload: stated.payload.map(|value| payload(value, stated.content_type)).transpose()?,
        retry: Some(retry),
        attempt_timeout: stated.attempt_timeout.and_then(|Span(span)| span.try_into().ok()),
        run_timeout: stated.run_timeout.and_then(|Span(span)| span.try_into().ok()),
        max_running: stated.max_running,
        priority: stated.priority,
        lost_worker: lost_worker.into(),
        labels: stated.labels,
        description: stated.description,
    };
    Ok(JobFile { name: stated.name, spec })
}

fn payload(value: toml::Value, content_type: Option<String>) -> Result<Payload, Error> {
    let (data, usual) = match value {
        toml::Value::String(text) => (text.into_bytes(), "text/plain"),
        value => (serde_json::to_vec(&value)?, "application/json"),
    };
    Ok(Payload { data: data.into(), content_type: content_type.unwrap_or_else(|| usual.to_owned()) })
}

/// A span of time, such as `1h30m`.
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        span(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no span; write it like 30s, 5m or 1h30m")))
    }
}

fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..unit_at].parse().ok()?;
        let unit_end = rest[unit_at..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| unit_at + length);
        let unit_ms: u64 = match &rest[unit_at..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole() {
        let text = r#"
            name = "settle"
            processor = "exec"
            description = "pays"
            payload = { argv = ["/bin/true"] }
            labels = { team = "pay" }
            max_attempts = 3
            initial_backoff = "500ms"
            multiplier = 1.5
            max_backoff = "1h30m"
            attempt_timeout = "2m"
            run_timeout = "1d"
            max_running = 2
            priority = -5
            lost_worker = "fail"
        "#;
        let JobFile { name, spec } = parse(text).unwrap();
        assert_eq!((name.as_deref(), spec.processor.as_str()), (Some("settle"), "exec"));
        let payload = spec.payload.clone().unwrap();
        assert_eq!(
            (&payload.data[..], payload.content_type.as_str()),
            (&br#"{"argv":["/bin/true"]}"#[..], "application/json")
        );
        let seconds = |span: Option<_>| span.map(|span| Duration::try_from(span).unwrap().as_secs_f64());
        let retry = spec.retry.unwrap();
        assert_eq!((retry.max_attempts, seconds(retry.initial_backoff), retry.multiplier), (3, Some(0.5), 1.5));
        assert_eq!(seconds(retry.max_backoff), Some(5400.0));
        assert_eq!((seconds(spec.attempt_timeout), seconds(spec.run_timeout)), (Some(120.0), Some(86_400.0)));
        assert_eq!((spec.max_running, spec.priority), (2, -5));
        assert_eq!(spec.lost_worker(), LostWorkerPolicy::Fail);
    }

    #[test]
    fn a_text_stays_a_text() {
        let payload = parse("processor = \"a\"\npayload = \"hello\"").unwrap().spec.payload.unwrap();
        assert_eq!((&payload.data[..], payload.content_type.as_str()), (&b"hello"[..], "text/plain"));
        let text = "processor = \"a\"\npayload = \"<a/>\"\ncontent_type = \"application/xml\"";
        assert_eq!(parse(text).unwrap().spec.payload.unwrap().content_type, "application/xml");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (text, part) in [
            ("description = \"a\"", "processor"),
            ("processor = \"a\"\nmax_attempt = 3", "max_attempt"),
            ("processor = \"a\"\nattempt_timeout = \"5 parsecs\"", "is no span"),
            ("processor = \"a\"\nattempt_timeout = \"5\"", "is no span"),
            ("processor = \"a\"\nlost_worker = \"ignore\"", "ignore"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
