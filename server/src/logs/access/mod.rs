//! The access log: one line of JSON for each call, when it has ended. Off unless it is asked for (`log.access`).

mod book;

use std::{collections::HashSet, io, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;
use semel_core::trace::TraceContext;
use serde::Serialize;

use super::{audit::FORBIDDEN, text, writer::Writer};
use crate::{
    clock::Clock,
    engine::Disposition,
    observe::{CODES, Ending, Observer, code_index},
};

/// Lines that may wait to be written: at 60,000 calls a second the writer may fall behind by a quarter of a second.
const ROOM: usize = 16_384;
/// The name of all methods that there are not.
const OTHER: &str = "_OTHER";

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To standard output.
    Stdout,
    /// To standard error, between the lines of the log for people.
    Stderr,
    /// To the end of a file, which is made if it is not there, for its owner's eyes only.
    File(PathBuf),
}

/// The file of the access log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {path} to write to its end: check that its folder is there, and its rights")]
pub struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A call, when it has ended. What is not known is left out. Texts that a caller chose are cut to 256 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Line {
    /// When it ended, in UTC.
    pub time: String,
    /// `call`.
    pub kind: &'static str,
    /// The method, as `semel.v1.JobService/RunJob`; `_OTHER` for all methods that there are not.
    pub rpc_method: String,
    /// How it ended, by the code's name in gRPC; `CANCELLED` also where the caller left before the end.
    pub rpc_response_status_code: &'static str,
    /// From when its head was read to the end of its answer, in milliseconds.
    pub duration_ms: f64,
    /// `grpc` or `grpc-web`.
    pub protocol: &'static str,
    /// The address that the connection came from, which may be a proxy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_peer_address: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_peer_port: Option<u16>,
    /// What became of the credentials, as in `AuthStatus`; of a stream, the last word on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_status: Option<&'static str>,
    /// By what the caller proved who it is, as in `AuthMethod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<&'static str>,
    /// Who the caller is, if it was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The app that the call was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether it took effect, as in `Disposition`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<&'static str>,
    /// How often its id was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<u64>,
    /// Where in the log of events it took effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Why it was refused, by the reason's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What the caller's program calls itself, in the header of its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Its version, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// What its library calls itself, in the metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// How many tries of gRPC's own retry came before this one, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_attempts: Option<u32>,
    /// Which try of a proxy this is, if not its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_attempts: Option<u32>,
    /// The trace that the caller's `traceparent` named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// The access log of a server. A clone is the same.
#[derive(Clone, Debug)]
pub struct Access {
    writer: Writer<Line>,
    clock: Clock,
    /// The names of the methods that there are: a caller may ask for any other, and as long a one as it likes.
    methods: Arc<HashSet<String>>,
}

impl Access {
    /// Opens it. The methods are named as `package.Service/Method`.
    ///
    /// # Errors
    /// If its file cannot be opened.
    pub fn open(target: &Target, clock: Clock, methods: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let book = book::Lines::open(target, clock.clone())?;
        let writer = Writer::start("semel-access", ROOM, book);
        Ok(Self { writer, clock, methods: Arc::new(methods.into_iter().collect()) })
    }

    /// Opens the file anew: it may have been moved away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Has everything written; waits for it no longer than this. False if it was not all written by then.
    pub async fn close(&self, at_most: Duration) -> bool {
        self.writer.close(at_most).await
    }

    fn line(&self, Ending { head, facts, code, took }: &Ending<'_>) -> Line {
        let path = head.uri.path();
        let method = self.methods.get(path.strip_prefix('/').unwrap_or(path)).map_or(OTHER, String::as_str);
        let is_forbidden = facts.reason == Some(FORBIDDEN);
        let (name, version) = facts.client.as_ref().map_or(("", ""), |(name, version)| (name, version));
        let tries = facts.tries.unwrap_or_default();
        Line {
            time: text::time(self.clock.wall()),
            kind: "call",
            rpc_method: method.to_owned(),
            rpc_response_status_code: CODES[code_index(*code)],
            duration_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
            protocol: if head.is_web { "grpc-web" } else { "grpc" },
            network_peer_address: head.peer.map(|peer| peer.ip().to_string()),
            network_peer_port: head.peer.map(|peer| peer.port()),
            auth_status: facts.auth_status().map(|status| if is_forbidden { FORBIDDEN } else { status.as_str() }),
            auth_method: facts.verdict.as_ref().and_then(|verdict| verdict.method.as_str()),
            principal: facts.principal().map(text::cut),
            app: facts.app.as_ref().map(ToString::to_string),
            request_id: said(&facts.request_id),
            disposition: facts.disposition.map(Disposition::as_str),
            arrivals: facts.disposition.map(|_| facts.arrivals),
            revision: facts.revision.map(|revision| revision.0),
            reason: facts.reason,
            client_name: said(name),
            client_version: said(version),
            user_agent: head.user_agent.as_ref().map(|agent| text::cut(&String::from_utf8_lossy(agent.as_bytes()))),
            previous_attempts: Some(tries.previous_attempts).filter(|tries| *tries > 0),
            proxy_attempts: Some(tries.proxy_attempts).filter(|tries| *tries > 1),
            trace_id: head.traceparent.as_ref().and_then(trace_id),
        }
    }
}

impl Observer for Access {
    fn ended(&self, ending: &Ending<'_>) {
        self.writer.offer(self.line(ending));
    }
}

/// What a caller said, if it said anything.
fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text::cut(text))
}

/// The trace of a `traceparent`, if it is one.
fn trace_id(parent: &HeaderValue) -> Option<String> {
    TraceContext::parse(parent.to_str().ok()?, "").map(|context| context.trace_id_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_only_what_is_one() {
        let trace_of = |parent: &str| trace_id(&HeaderValue::try_from(parent).expect("it fits into a header"));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_of(&format!("00-{trace}-00f067aa0ba902b7-01")).as_deref(), Some(trace));
        assert_eq!(trace_of("00-x-y-z"), None);
    }
}
