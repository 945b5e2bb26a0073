//! How answers and errors are written, and how fields of commands are read.

use std::time::Duration;

use semel_client::{Code, Error, ErrorKind};
use serde_json::{Value, json};

/// How a command ends that does not end well.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By the client's error.
    Error(Value),
    /// The command cannot be read.
    Fault(String),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Error(of_error(&error))
    }
}

impl From<String> for Ended {
    fn from(what: String) -> Self {
        Self::Fault(what)
    }
}

/// A mistake in a command.
pub(crate) fn fault(what: impl Into<String>) -> Ended {
    Ended::Fault(what.into())
}

/// The client's error.
pub(crate) fn of_error(error: &Error) -> Value {
    let kind = match error.kind() {
        ErrorKind::Refused => "refused",
        ErrorKind::NotSemel => "not_semel",
        ErrorKind::Transport => "transport",
        ErrorKind::Usage => "usage",
    };
    let auth = error.header().and_then(|header| header.auth.as_ref()).map_or(0, |auth| auth.status);
    let auth_status =
        semel_client::v1::AuthStatus::try_from(auth).map_or(json!(auth), |status| json!(status.as_str_name()));
    json!({
        "kind": kind, "code": code(error.code()), "reason": error.reason().unwrap_or_default(),
        "auth_status": auth_status, "may_retry": error.may_retry(), "request_id": error.request_id(),
        "attempts": error.attempts(), "message": error.message(), "violations": error.violations(),
        "metadata": error.metadata(), "oldest_revision": error.oldest_revision(),
    })
}

/// The error of a call that was dropped: in Rust that is how a caller gives up, and it hears nothing more.
pub(crate) fn cancelled(request_id: &str) -> Value {
    json!({
        "kind": "cancelled", "code": "CANCELLED", "reason": "", "auth_status": "AUTH_STATUS_UNSPECIFIED",
        "may_retry": true, "request_id": request_id, "attempts": 0, "message": "the caller gave up",
        "violations": [], "metadata": {}, "oldest_revision": null,
    })
}

/// A code as gRPC writes it.
fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A text that must be there.
pub(crate) fn text<'a>(command: &'a Value, field: &str) -> Result<&'a str, Ended> {
    command[field].as_str().ok_or_else(|| fault(format!("{field} must be a text")))
}

/// A number that must be there.
pub(crate) fn number(command: &Value, field: &str) -> Result<u64, Ended> {
    command[field].as_u64().ok_or_else(|| fault(format!("{field} must be a number")))
}

/// A span in milliseconds, if there is one.
pub(crate) fn span(command: &Value, field: &str) -> Option<Duration> {
    command[field].as_u64().map(Duration::from_millis)
}
