//! The one error of this crate. It owns what a caller can learn from a failed call and decides nothing.

use std::{collections::BTreeMap, fmt, time::Duration};

use semel_proto::v1::{AuthStatus, ResponseHeader};
use tonic::Code;

use crate::{
    refusal::{Origin, Refusal},
    retry, watch,
};

/// Why a call failed, after everything that may be tried was tried.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    refusal: Box<Refusal>,
    request_id: String,
    attempts: u32,
}

/// Who is behind an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A Semel server refused the call: see the reason.
    Refused,
    /// Somebody answered, but no Semel server: a proxy, a wrong address, a lost header. What became of the call is not
    /// known; sending it again under the same id is safe.
    NotSemel,
    /// Nobody answered: no connection, a lost one, or a time-out. What became of the call is not known; sending it again
    /// under the same id is safe.
    Transport,
    /// The call was not sent, for the way it was made is wrong.
    Usage,
}

impl Error {
    pub(crate) fn new(refusal: Box<Refusal>, request_id: impl Into<String>, attempts: u32) -> Self {
        let kind = match refusal.origin {
            Origin::Server => ErrorKind::Refused,
            Origin::Other => ErrorKind::NotSemel,
            Origin::NotSent | Origin::NoAnswer => ErrorKind::Transport,
        };
        Self(Box::new(Inner { kind, refusal, request_id: request_id.into(), attempts }))
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        let refusal = Refusal::local(Code::InvalidArgument, message, Origin::NotSent).into();
        Self(Box::new(Inner { kind: ErrorKind::Usage, refusal, request_id: String::new(), attempts: 0 }))
    }

    /// The same error, as the error of another logical call that could not go on without the failed one.
    pub(crate) fn of_call(mut self, request_id: &str) -> Self {
        request_id.clone_into(&mut self.0.request_id);
        self
    }

    /// Who is behind it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The gRPC status code.
    pub fn code(&self) -> Code {
        self.0.refusal.code
    }

    /// The message for people, as the server wrote it.
    pub fn message(&self) -> &str {
        &self.0.refusal.message
    }

    /// The reason that the server gave, for instance `REQUEST_ID_REUSED`. Nothing if no Semel server gave one.
    pub fn reason(&self) -> Option<&str> {
        self.0.refusal.reason()
    }

    /// What became of the credentials. `Unspecified` means that no Semel server spoke: it is no verdict.
    pub fn auth_status(&self) -> AuthStatus {
        self.0.refusal.auth_status()
    }

    /// The header of the refusal. Nothing if no Semel server spoke.
    pub fn header(&self) -> Option<&ResponseHeader> {
        self.0.refusal.header.as_ref()
    }

    /// What is wrong with the request: each field with what is wrong with it.
    pub fn violations(&self) -> Vec<(String, String)> {
        let violations = self.0.refusal.bad_request.iter().flat_map(|bad| &bad.field_violations);
        violations.map(|violation| (violation.field.clone(), violation.description.clone())).collect()
    }

    /// After how long the server wishes to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.refusal.retry_delay
    }

    /// Whether the same request may be sent again as it stands, under the same id, with some hope. It is false where
    /// something has to be mended first: the credentials, the id, a field.
    pub fn may_retry(&self) -> bool {
        self.0.kind != ErrorKind::Usage && retry::classify(&self.0.refusal).is_hopeful()
    }

    /// The id under which the call was made; keep it to send the call again, or to ask what became of it. Empty if the
    /// call was never made.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// What the reason adds, for instance the first field that differs.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.0.refusal.info.as_ref().map(|info| info.metadata.clone()).unwrap_or_default()
    }

    /// For `RESUME_COMPACTED`: the oldest revision that the server keeps, from which a watch can begin.
    pub fn oldest_revision(&self) -> Option<i64> {
        watch::oldest_revision(&self.0.refusal)
    }

    /// How often the call was sent.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The last refusal, whole.
    pub fn refusal(&self) -> &Refusal {
        &self.0.refusal
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, refusal, request_id, attempts } = &*self.0;
        match (kind, refusal.reason()) {
            (ErrorKind::Usage, _) => return f.write_str(&refusal.message),
            (_, Some(reason)) => write!(f, "{reason}: {}", refusal.message)?,
            (ErrorKind::NotSemel, None) => write!(f, "no Semel server answered: {}", refusal.message)?,
            (_, None) => f.write_str(&refusal.message)?,
        }
        write!(f, " ({:?}, request {request_id}, sent {attempts} times)", refusal.code)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("refusal", &self.0.refusal)
            .field("request_id", &self.0.request_id)
            .field("attempts", &self.0.attempts)
            .finish()
    }
}

impl std::error::Error for Error {}
