//! The definition of a job as a file has it: the field names of the protocol, spans as text, bytes as text, JSON, base64
//! or a file beside it. Reads and translates; the server judges the values.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::ValueEnum;
use semel_proto::v1::{JobSpec, LostWorkerPolicy, Payload, RetryPolicy, TriggerSpec};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    located::{self, Syntax},
    trigger_file::TriggerFile,
};
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
    /// YAML, a single document.
    Yaml,
}

impl Form {
    /// The form of a file by its name: JSON and YAML if it ends so, else TOML.
    pub(crate) fn of(path: &Path) -> Self {
        let ends = |with: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(with));
        match () {
            () if ends("json") => Self::Json,
            () if ends("yaml") || ends("yml") => Self::Yaml,
            () => Self::Toml,
        }
    }

    /// Reads what a text of this form says.
    ///
    /// # Errors
    /// Says where in the text what is wrong.
    pub(crate) fn read<T: DeserializeOwned>(self, text: &str) -> Result<T, String> {
        match self {
            Self::Toml => toml::from_str(text).map_err(|error| error.to_string()),
            Self::Json => serde_json::from_str(text).map_err(|error| error.to_string()),
            Self::Yaml => match located::documents(text, Syntax::Yaml).map_err(|fault| fault.to_string())?.as_slice() {
                [node] => {
                    node.read().map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
                }
                documents => Err(format!("needs one document and has {}; `semel apply` takes many", documents.len())),
            },
        }
    }
}

/// What is wrong with a part of a definition that was read, and which part.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// The names on the way to it, from the outside in.
    pub(crate) path: Vec<String>,
    /// What is wrong.
    pub(crate) problem: String,
}

impl Wrong {
    /// A part by its name; nothing means the whole.
    pub(crate) fn new(part: &str, problem: impl Into<String>) -> Self {
        let path = if part.is_empty() { Vec::new() } else { vec![part.to_owned()] };
        Self { path, problem: problem.into() }
    }

    /// The same, to be handed to `map_err`.
    pub(crate) fn of(part: &str) -> impl Fn(String) -> Self {
        move |problem| Self::new(part, problem)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_slice() {
            [] => out.write_str(&self.problem),
            path => write!(out, "{}: {}", path.join("."), self.problem),
        }
    }
}

/// Reads a definition. Files that it names are looked for in `folder`.
///
/// # Errors
/// Says where in the text what is wrong.
pub(crate) fn parse(text: &str, form: Form, folder: &Path) -> Result<JobSpec, String> {
    let file: SpecFile = form.read(text)?;
    file.into_spec(folder).map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
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

/// See the module.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SpecFile {
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
    /// The definition; files that it names are looked for in `folder`. All that is wrong is told.
    pub(crate) fn into_spec(self, folder: &Path) -> Result<JobSpec, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let retry = self.retry.map(|retry| {
            let mut policy =
                RetryPolicy { max_attempts: retry.max_attempts, multiplier: retry.multiplier, ..Default::default() };
            put_span(&mut policy.initial_backoff, retry.initial_backoff.map(|span| span.0));
            put_span(&mut policy.max_backoff, retry.max_backoff.map(|span| span.0));
            policy
        });
        let mut spec = JobSpec {
            processor: self.processor,
            payload: kept(self.payload.map(|payload| payload.read(folder).map_err(Wrong::of("payload"))), &mut wrong),
            retry,
            max_running: self.max_running,
            priority: self.priority,
            lost_worker: self.lost_worker.map(i32::from).unwrap_or_default(),
            labels: self.labels,
            description: self.description,
            triggers: triggers(self.triggers, folder, &mut wrong),
            ..Default::default()
        };
        put_span(&mut spec.attempt_timeout, self.attempt_timeout.map(|span| span.0));
        put_span(&mut spec.run_timeout, self.run_timeout.map(|span| span.0));
        if wrong.is_empty() { Ok(spec) } else { Err(wrong) }
    }
}

fn triggers(
    triggers: BTreeMap<String, TriggerFile>,
    folder: &Path,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<String, TriggerSpec> {
    let mut specs = BTreeMap::new();
    for (name, file) in triggers {
        let spec = file.into_spec(folder).map_err(|wrong| {
            let path = ["triggers".to_owned(), name.clone()].into_iter().chain(wrong.path).collect();
            Wrong { path, ..wrong }
        });
        specs.extend(kept(Some(spec), wrong).map(|spec| (name, spec)));
    }
    specs
}

/// What is good; what is not goes to the rest that is wrong.
fn kept<T>(read: Option<Result<T, Wrong>>, wrong: &mut Vec<Wrong>) -> Option<T> {
    read.transpose().unwrap_or_else(|problem| {
        wrong.push(problem);
        None
    })
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
