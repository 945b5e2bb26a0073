//! One line of a file of runs: a JSON object with the field names of the protocol, and spans, moments and inputs as the
//! flags and the files of jobs have them. It reads and translates; the server judges the values.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime},
};

use semel_client::RequestId;
use semel_proto::v1::{RunJobRequest, UniqueKey};
use serde::Deserialize;

use crate::cli::{
    ids,
    job_file::{PayloadFile, Span},
    parse,
    session::moment,
};

/// A line that is good as far as this program can tell.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u32,
    /// How much memory it takes, about.
    pub(super) bytes: usize,
    request_id: Option<RequestId>,
    /// Without what depends on the moment.
    request: RunJobRequest,
    start: When,
    deadline: When,
}

/// A moment, or a span from that of the request id.
#[derive(Clone, Copy, Debug)]
struct When(Option<SystemTime>, Option<Duration>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineFile {
    job: Option<String>,
    payload: Option<PayloadFile>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    priority: Option<i32>,
    start_time: Option<Moment>,
    start_in: Option<Span>,
    deadline: Option<Moment>,
    deadline_in: Option<Span>,
    unique_key: Option<String>,
    hold: Option<Span>,
    request_id: Option<Id>,
}

/// A moment, as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Moment(SystemTime);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse::time(&text).map(Self)
    }
}

/// A request id, as text.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Id(RequestId);

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let id: Option<RequestId> = text.parse().ok();
        let id = id.filter(|id| id.as_uuid().get_version_num() == 7);
        id.map(Self).ok_or_else(|| format!("{text:?} is no request id; one is a UUIDv7 in its 36 character form"))
    }
}

impl Line {
    /// Reads a line. Files that it names are looked for in `folder`; `job` is the job of lines that name none.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &[u8], number: u32, job: Option<&str>, folder: &Path) -> Result<Self, String> {
        let file: LineFile = serde_json::from_slice(text).map_err(|error| in_words(&error))?;
        let job = file.job.or_else(|| job.map(str::to_owned));
        let job = job.ok_or("job is missing, and the command names none for lines without one")?;
        for (both, names) in [
            (file.start_time.is_some() && file.start_in.is_some(), "start_time and start_in"),
            (file.deadline.is_some() && file.deadline_in.is_some(), "deadline and deadline_in"),
        ] {
            if both {
                return Err(format!("{names} contradict each other"));
            }
        }
        if file.hold.is_some() && file.unique_key.is_none() {
            return Err("hold says nothing without unique_key".to_owned());
        }
        let hold = file.hold.and_then(|hold| hold.0.try_into().ok());
        let payload = file.payload.map(|payload| payload.read(folder)).transpose()?;
        let bytes = text.len() + payload.as_ref().map_or(0, |payload| payload.data.len());
        let request = RunJobRequest {
            job,
            payload,
            labels: file.labels,
            priority: file.priority,
            unique_key: file.unique_key.map(|key| UniqueKey { key, hold }),
            ..Default::default()
        };
        Ok(Self {
            number,
            bytes,
            request_id: file.request_id.map(|id| id.0),
            request,
            start: When(file.start_time.map(|time| time.0), file.start_in.map(|span| span.0)),
            deadline: When(file.deadline.map(|time| time.0), file.deadline_in.map(|span| span.0)),
        })
    }

    /// Its request id: its own, or that which comes from the file's.
    pub(super) fn id(&self, file: RequestId) -> RequestId {
        self.request_id.unwrap_or_else(|| ids::of_part(ids::LINES, file, self.number))
    }

    /// The request. Whatever is relative in it counts from the moment at which its id was minted.
    pub(super) fn request(self, id: RequestId) -> RunJobRequest {
        let base = id.time().unwrap_or(SystemTime::UNIX_EPOCH);
        let at = |when: When| moment(when.0, when.1, base).map(Into::into);
        RunJobRequest { start_time: at(self.start), deadline: at(self.deadline), ..self.request }
    }
}

/// What is wrong with a JSON text of one line; the number of the line is known better by whoever asks.
fn in_words(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01980000-0000-7abc-8def-0123456789ab";

    fn line(text: &str) -> Result<Line, String> {
        Line::parse(text.as_bytes(), 7, None, Path::new(""))
    }

    #[test]
    fn a_line_holds_all_that_the_flags_can_say() {
        let text = r#"{"job": "settle", "payload": {"json": {"a": 1}}, "labels": {"env": "prod"}, "priority": -5,
            "start_in": "5m", "deadline": "2026-01-31T08:00:00Z", "unique_key": "invoice-7", "hold": "1h"}"#;
        let line = line(text).expect("a good line");
        let file: RequestId = ID.parse().expect("an id");
        let id = line.id(file);
        assert_eq!(id, ids::of_part(ids::LINES, file, 7));
        let request = line.request(id);
        assert_eq!(
            (request.job.as_str(), request.priority, request.labels["env"].as_str()),
            ("settle", Some(-5), "prod")
        );
        assert_eq!(request.payload.expect("an input").content_type, "application/json");
        assert_eq!(request.start_time, file.time().map(|time| (time + Duration::from_secs(300)).into()));
        assert_eq!(request.deadline.map(|time| time.to_string()).as_deref(), Some("2026-01-31T08:00:00Z"));
        let key = request.unique_key.expect("a key");
        assert_eq!((key.key.as_str(), key.hold.map(|hold| hold.to_string()).as_deref()), ("invoice-7", Some("3600s")));
    }

    #[test]
    fn an_id_of_its_own_goes_over_that_of_the_file_and_so_does_its_job() {
        let own = "01980000-1111-7abc-8def-0123456789ab";
        let text = format!(r#"{{"job": "settle", "request_id": "{own}"}}"#);
        let line = Line::parse(text.as_bytes(), 1, Some("other"), Path::new("")).expect("good");
        let id = line.id(ID.parse().expect("an id"));
        assert_eq!((id.to_string().as_str(), line.request(id).job.as_str()), (own, "settle"));
        let without = Line::parse(b"{}", 1, Some("other"), Path::new("")).expect("good");
        assert_eq!(without.request(id), RunJobRequest { job: "other".to_owned(), ..Default::default() });
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (text, part) in [
            ("{}", "job is missing"),
            (r#"{"job": "a", "prio": 1}"#, "prio"),
            (r#"{"job": "a", "priority": "high"}"#, "at column"),
            (r#"{"job": "a""#, "at column 11"),
            (r#"["a"]"#, "invalid"),
            (r#"{"job": "a", "start_in": "5 parsecs"}"#, "is no span"),
            (r#"{"job": "a", "deadline": "tomorrow"}"#, "is no moment"),
            (r#"{"job": "a", "start_in": "5m", "start_time": "2026-01-31T08:00:00Z"}"#, "start_time and start_in"),
            (r#"{"job": "a", "hold": "5m"}"#, "unique_key"),
            (r#"{"job": "a", "payload": {"text": "a", "json": 1}}"#, "exactly one"),
            (r#"{"job": "a", "payload": {"file": "there-is-no-such-file"}}"#, "cannot read"),
            (r#"{"job": "a", "request_id": "b7b5d6a2-7a53-4f36-9c5e-6a9a4a3b2c1d"}"#, "is no request id"),
            (r#"{"job": "a"} {"job": "b"}"#, "trailing"),
        ] {
            let message = line(text).expect_err("it is wrong");
            assert!(message.contains(part) && !message.contains("line 1"), "{text}: {message}");
        }
    }
}
