//! The definition of a job as a file has it: the field names of the protocol, spans as text, bytes as text, JSON, base64
//! or a file beside it. Reads and translates; the server judges the values.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use semel_proto::v1::{JobSpec, LostWorkerPolicy, Payload, RetryPolicy, TriggerSpec};
use serde::Deserialize;

use super::trigger_file::TriggerFile;
use crate::config;

/// How much of a file is read as a payload: the largest message that a client sends.
const PAYLOAD_BYTES_MAX: u64 = 8 << 20;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

/// Reads a definition. Files that it names are looked for in `folder`.
///
/// # Errors
/// Says where in the text what is wrong.
pub(crate) fn parse(text: &str, form: Form, folder: &Path) -> Result<JobSpec, String> {
    let file: SpecFile = match form {
        Form::Toml => toml::from_str(text).map_err(|error| error.to_string())?,
        Form::Json => serde_json::from_str(text).map_err(|error| error.to_string())?,
    };
    file.into_spec(folder)
}

/// What bytes are, by their looks. A bare number or word is valid JSON, but meant as text.
pub(crate) fn content_type(data: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(data) else { return "application/octet-stream" };
    let structured = text.trim_start().starts_with(['{', '[']);
    if structured && serde_json::from_str::<serde_json::Value>(text).is_ok() {
        "application/json"
    } else {
        "text/plain"
    }
}

/// What a lost worker means.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnLost {
    /// Another attempt.
    Retry,
    /// The run fails.
    Fail,
}

impl From<OnLost> for i32 {
    fn from(on_lost: OnLost) -> Self {
        match on_lost {
            OnLost::Retry => LostWorkerPolicy::Retry.into(),
            OnLost::Fail => LostWorkerPolicy::Fail.into(),
        }
    }
}

/// Puts a span into a field of the protocol.
pub(crate) fn put_span<D>(field: &mut Option<D>, given: Option<Duration>)
where
    Duration: TryInto<D>,
{
    if let Some(span) = given.and_then(|given| given.try_into().ok()) {
        *field = Some(span);
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SpecFile {
    processor: String,
    payload: Option<PayloadFile>,
    retry: Option<RetryFile>,
    attempt_timeout: Option<Span>,
    run_timeout: Option<Span>,
    max_running: i32,
    priority: i32,
    lost_worker: Option<OnLost>,
    labels: BTreeMap<String, String>,
    description: String,
    triggers: BTreeMap<String, TriggerFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetryFile {
    max_attempts: i32,
    initial_backoff: Option<Span>,
    multiplier: f64,
    max_backoff: Option<Span>,
}

/// A span of time, as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        config::parse_duration(&text).map(Self)
    }
}

impl SpecFile {
    /// Files that it names are looked for beside it.
    fn into_spec(self, folder: &Path) -> Result<JobSpec, String> {
        let retry = self.retry.map(|retry| {
            let mut policy =
                RetryPolicy { max_attempts: retry.max_attempts, multiplier: retry.multiplier, ..Default::default() };
            put_span(&mut policy.initial_backoff, retry.initial_backoff.map(|span| span.0));
            put_span(&mut policy.max_backoff, retry.max_backoff.map(|span| span.0));
            policy
        });
        let mut spec = JobSpec {
            processor: self.processor,
            payload: self.payload.map(|payload| payload.read(folder)).transpose()?,
            retry,
            max_running: self.max_running,
            priority: self.priority,
            lost_worker: self.lost_worker.map(i32::from).unwrap_or_default(),
            labels: self.labels,
            description: self.description,
            triggers: triggers(self.triggers, folder)?,
            ..Default::default()
        };
        put_span(&mut spec.attempt_timeout, self.attempt_timeout.map(|span| span.0));
        put_span(&mut spec.run_timeout, self.run_timeout.map(|span| span.0));
        Ok(spec)
    }
}

fn triggers(triggers: BTreeMap<String, TriggerFile>, folder: &Path) -> Result<BTreeMap<String, TriggerSpec>, String> {
    let spec = |(name, file): (String, TriggerFile)| match file.into_spec(folder) {
        Ok(spec) => Ok((name, spec)),
        Err(problem) => Err(format!("triggers.{name}: {problem}")),
    };
    triggers.into_iter().map(spec).collect()
}

/// An input as a file has it: exactly one of these, and its media type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PayloadFile {
    text: Option<String>,
    json: Option<serde_json::Value>,
    base64: Option<String>,
    file: Option<PathBuf>,
    content_type: Option<String>,
}

impl PayloadFile {
    /// The input. A file is looked for in `folder`.
    pub(crate) fn read(self, folder: &Path) -> Result<Payload, String> {
        let (data, known) = match (self.text, self.json, self.base64, self.file) {
            (Some(text), None, None, None) => (text.into_bytes(), None),
            (None, Some(json), None, None) => (json.to_string().into_bytes(), Some("application/json")),
            (None, None, Some(base64), None) => {
                let bytes = STANDARD.decode(base64.trim());
                (bytes.map_err(|error| format!("payload.base64 is none: {error}"))?, None)
            }
            (None, None, None, Some(file)) => (read(&folder.join(file))?, None),
            _ => return Err("payload needs exactly one of text, json, base64 and file".to_owned()),
        };
        let content_type = self.content_type.unwrap_or_else(|| known.unwrap_or(content_type(&data)).to_owned());
        Ok(Payload { data: data.into(), content_type })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
        return Err(format!("{} is larger than 8 MiB, more than any message may hold", path.display()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Result<JobSpec, String> {
        parse(text, Form::Toml, Path::new(""))
    }

    fn text(span: Option<impl ToString>) -> String {
        span.map(|span| span.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_file_holds_all_of_a_definition() {
        let spec = toml(
            r#"
            processor = "exec"
            attempt_timeout = "5m"
            run_timeout = "1d"
            max_running = 2
            priority = -3
            lost_worker = "fail"
            description = "checksums"
            labels = { team = "pay" }
            [payload]
            json = { argv = ["sha256sum", "a"] }
            [retry]
            max_attempts = 3
            initial_backoff = "500ms"
            multiplier = 1.5
            max_backoff = "1h30m"
            "#,
        );
        let spec = spec.expect("a good file");
        assert_eq!((spec.processor.as_str(), spec.max_running, spec.priority), ("exec", 2, -3));
        assert_eq!((spec.lost_worker(), spec.labels["team"].as_str()), (LostWorkerPolicy::Fail, "pay"));
        assert_eq!((text(spec.attempt_timeout), text(spec.run_timeout)), ("300s".to_owned(), "86400s".to_owned()));
        let payload = spec.payload.expect("a payload");
        assert_eq!(
            (payload.content_type.as_str(), &payload.data[..]),
            ("application/json", &br#"{"argv":["sha256sum","a"]}"#[..])
        );
        let retry = spec.retry.expect("a policy");
        assert_eq!(
            (retry.max_attempts, text(retry.initial_backoff), text(retry.max_backoff)),
            (3, "0.500s".to_owned(), "5400s".to_owned())
        );
    }

    #[test]
    fn triggers_stand_under_their_names() {
        let text = "processor = \"exec\"\n[triggers.nightly]\ncron = \"0 2 * * *\"\nzone = \"Europe/Berlin\"";
        assert_eq!(toml(text).expect("a good file").triggers["nightly"].zone, "Europe/Berlin");
        let wrong = toml("processor = \"exec\"\n[triggers.nightly]\nzone = \"UTC\"").expect_err("no time");
        assert!(wrong.contains("triggers.nightly"), "{wrong}");
    }

    #[test]
    fn an_input_is_said_in_one_way() {
        let payload = |text: &str| {
            toml(&format!("processor = \"a\"\n[payload]\n{text}")).map(|spec| spec.payload.expect("there"))
        };
        assert_eq!(&payload("base64 = \"/w==\"").expect("good").data[..], [0xff]);
        assert_eq!(payload("text = \"hello\"").expect("good").content_type, "text/plain");
        assert_eq!(payload("text = \"<a/>\"\ncontent_type = \"a/b\"").expect("good").content_type, "a/b");
        assert!(payload("text = \"a\"\nbase64 = \"/w==\"").is_err());
        assert!(payload("content_type = \"a/b\"").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (text, part) in [
            ("processor = \"a\"\nmax_attempts = 3", "max_attempts"),
            ("processor = \"a\"\nattempt_timeout = \"5 parsecs\"", "is no span"),
            ("processor = \"a\"\nlost_worker = \"ignore\"", "ignore"),
        ] {
            let message = toml(text).expect_err("it is wrong");
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn bytes_are_taken_for_what_they_look_like() {
        assert_eq!(content_type(b"{\"a\": 1}"), "application/json");
        assert_eq!(content_type(b" [1, 2]\n"), "application/json");
        assert_eq!(content_type(b"{not json"), "text/plain");
        assert_eq!(content_type(b"42"), "text/plain");
        assert_eq!(content_type(&[0xff, 0xfe]), "application/octet-stream");
    }
}
