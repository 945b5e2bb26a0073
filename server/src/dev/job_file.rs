//! A job in a file: the TOML of `examples/`, in the form that `semel job create --file` takes. It owns what dev needs of
//! that form and makes a job's definition of it; whether the definition is a valid one is the server's to say.
//!
//! | key | what it is |
//! |---|---|
//! | `processor` | what a worker must offer; required |
//! | `description` | what it is for |
//! | `payload.json`, `payload.text` | the input of a run that brings none, in one of the two ways |
//! | `payload.content_type` | left out, `application/json` or `text/plain` |
//! | `retry.max_attempts`, `.initial_backoff`, `.multiplier`, `.max_backoff` | what happens when an attempt fails |
//! | `attempt_timeout`, `run_timeout` | spans such as `30s`, `5m`, `1h30m` |
//! | `max_running`, `priority` | numbers |
//! | `lost_worker` | `retry` or `fail` |
//! | `labels` | a table of texts |

use std::{collections::BTreeMap, time::Duration};

use semel_proto::v1::{JobSpec, LostWorkerPolicy, Payload, RetryPolicy};
use serde::{Deserialize, Deserializer, de::Error as _};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    processor: String,
    #[serde(default)]
    description: String,
    payload: Option<StatedPayload>,
    #[serde(default)]
    retry: Option<StatedRetry>,
    attempt_timeout: Option<Span>,
    run_timeout: Option<Span>,
    #[serde(default)]
    max_running: i32,
    #[serde(default)]
    priority: i32,
    lost_worker: Option<LostWorker>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedPayload {
    json: Option<serde_json::Value>,
    text: Option<String>,
    content_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StatedRetry {
    max_attempts: i32,
    initial_backoff: Option<Span>,
    multiplier: f64,
    max_backoff: Option<Span>,
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
/// Says where in the text what is wrong.
pub(super) fn parse(text: &str) -> Result<JobSpec, toml::de::Error> {
    let stated: Stated = toml::from_str(text)?;
    let lost_worker = match stated.lost_worker {
        None => LostWorkerPolicy::Unspecified,
        Some(LostWorker::Retry) => LostWorkerPolicy::Retry,
        Some(LostWorker::Fail) => LostWorkerPolicy::Fail,
    };
    let retry = stated.retry.map(|retry| RetryPolicy {
        max_attempts: retry.max_attempts,
        initial_backoff: retry.initial_backoff.and_then(|Span(span)| span.try_into().ok()),
        multiplier: retry.multiplier,
        max_backoff: retry.max_backoff.and_then(|Span(span)| span.try_into().ok()),
    });
    Ok(JobSpec {
        processor: stated.processor,
        payload: stated.payload.map(StatedPayload::read).transpose()?,
        retry,
        attempt_timeout: stated.attempt_timeout.and_then(|Span(span)| span.try_into().ok()),
        run_timeout: stated.run_timeout.and_then(|Span(span)| span.try_into().ok()),
        max_running: stated.max_running,
        priority: stated.priority,
        lost_worker: lost_worker.into(),
        labels: stated.labels,
        description: stated.description,
    })
}

impl StatedPayload {
    fn read(self) -> Result<Payload, toml::de::Error> {
        let (data, usual) = match (self.json, self.text) {
            (Some(json), None) => (json.to_string(), "application/json"),
            (None, Some(text)) => (text, "text/plain"),
            _ => return Err(toml::de::Error::custom("`payload` needs exactly one of `json` and `text`")),
        };
        let content_type = self.content_type.unwrap_or_else(|| usual.to_owned());
        Ok(Payload { data: data.into(), content_type })
    }
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
            processor = "exec"
            description = "pays"
            attempt_timeout = "2m"
            run_timeout = "1d"
            max_running = 2
            priority = -5
            lost_worker = "fail"
            labels = { team = "pay" }
            [payload]
            json = { argv = ["/bin/true"] }
            [retry]
            max_attempts = 3
            initial_backoff = "500ms"
            multiplier = 1.5
            max_backoff = "1h30m"
        "#;
        let spec = parse(text).unwrap();
        let payload = spec.payload.clone().unwrap();
        assert_eq!(&payload.data[..], br#"{"argv":["/bin/true"]}"#);
        assert_eq!((spec.processor.as_str(), payload.content_type.as_str()), ("exec", "application/json"));
        let seconds = |span: Option<_>| span.map(|span| Duration::try_from(span).unwrap().as_secs_f64());
        let retry = spec.retry.unwrap();
        assert_eq!((retry.max_attempts, seconds(retry.initial_backoff), retry.multiplier), (3, Some(0.5), 1.5));
        assert_eq!(seconds(retry.max_backoff), Some(5400.0));
        assert_eq!((seconds(spec.attempt_timeout), seconds(spec.run_timeout)), (Some(120.0), Some(86_400.0)));
        assert_eq!((spec.max_running, spec.priority), (2, -5));
        assert_eq!((spec.lost_worker(), spec.labels["team"].as_str()), (LostWorkerPolicy::Fail, "pay"));
    }

    #[test]
    fn a_text_stays_a_text() {
        let payload = |text| parse(text).unwrap().payload.unwrap();
        let plain = payload("processor = \"a\"\npayload.text = \"hello\"");
        assert_eq!((&plain.data[..], plain.content_type.as_str()), (&b"hello"[..], "text/plain"));
        let xml = payload("processor = \"a\"\npayload = { text = \"<a/>\", content_type = \"application/xml\" }");
        assert_eq!(xml.content_type, "application/xml");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (text, part) in [
            ("description = \"a\"", "processor"),
            ("processor = \"a\"\nmax_attempts = 3", "max_attempts"),
            ("processor = \"a\"\nattempt_timeout = \"5 parsecs\"", "is no span"),
            ("processor = \"a\"\nattempt_timeout = \"5\"", "is no span"),
            ("processor = \"a\"\nlost_worker = \"ignore\"", "ignore"),
            ("processor = \"a\"\npayload = { text = \"a\", json = 1 }", "exactly one"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
