//! The only place that makes a gRPC status, and the only list of reasons (DESIGN 2.2). What the rules refuse bears the reason
//! that they give it.

use std::collections::BTreeMap;

use prost::{Message as _, Name as _};
use semel_core::{id::Millis, rejection::Rejection, window::Difference};
use semel_proto::{
    ERROR_DOMAIN,
    details::{self, BadRequest, ErrorInfo, FieldViolation, RetryInfo},
    rpc,
    v1::{AuthStatus, ResponseHeader},
};
use tonic::{Code, Status, metadata::MetadataMap};

use super::convert::time;
use crate::{
    auth::{self, Verdict},
    engine::Refused,
    observe::Slot,
};

/// Proxies drop larger details.
const DETAILS_BYTES_MAX: usize = 2000;
/// When to come again where there was no room.
const CROWDED_WAIT: Millis = Millis(1000);
/// Messages are for people; what a program needs stands in the details.
const MESSAGE_CHARS_MAX: usize = 400;

/// The reasons for which a call is refused before the engine has looked at it, or by a read.
const OURS: [&str; 16] = [
    "CREDENTIALS_MISSING",
    "CREDENTIALS_MALFORMED",
    "CREDENTIALS_INVALID",
    "CREDENTIALS_EXPIRED",
    "CREDENTIALS_REVOKED",
    "AUTH_THROTTLED",
    "AUTH_UNAVAILABLE",
    "REQUEST_ID_MISSING",
    "REQUEST_ID_MALFORMED",
    "INVALID",
    "RESUME_COMPACTED",
    "OVERLOADED",
    "DRAINING",
    "NO_OWNER",
    "INTERNAL",
    // Also by the engine, which is too late then.
    "OUTCOME_UNKNOWN",
];

/// All reasons that there are, each once: what `ErrorInfo.reason` can be.
pub(crate) fn reasons() -> impl Iterator<Item = &'static str> {
    Rejection::REASONS.into_iter().chain(OURS)
}

/// Why a call is refused, before it is put into a status.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: BTreeMap<String, String>,
    retry_after: Option<Millis>,
    violations: Vec<(String, String)>,
    /// Set where the refusal is itself a verdict on the caller.
    auth_status: Option<AuthStatus>,
}

/// See [`Refusal::why`].
pub(super) struct Why<'a> {
    /// The number of the gRPC code.
    pub(super) code: usize,
    pub(super) reason: &'static str,
    /// The app to which something was not allowed.
    pub(super) app: Option<&'a str>,
    /// What is not there, or is there already, or has changed.
    pub(super) target: Option<&'a str>,
}

impl Refusal {
    /// The reason is one of [`reasons`].
    pub(crate) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(reasons().any(|known| known == reason), "{reason} is missing in the list of reasons");
        Self {
            code,
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            retry_after: None,
            violations: Vec::new(),
            auth_status: None,
        }
    }

    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// When the call may be sent again.
    pub(crate) fn after(mut self, wait: Millis) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn verdict(mut self, status: AuthStatus) -> Self {
        self.auth_status = Some(status);
        self
    }

    /// In short, for logs.
    pub(super) fn why(&self) -> Why<'_> {
        let code = usize::try_from(i32::from(self.code)).unwrap_or_default();
        let said = |key| self.metadata.get(key).map(String::as_str);
        Why { code, reason: self.reason, app: said("app"), target: said("name") }
    }

    /// The code of its status.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Tells why the call was refused.
    pub(crate) fn tell(&self, slot: &Slot) {
        slot.tell(|facts| facts.reason = Some(self.reason));
    }

    /// The refusal that a verdict is; none if the caller may be served.
    pub(crate) fn of_verdict(verdict: &Verdict) -> Option<Self> {
        let unauthenticated = |reason, message: &str| Some(Self::new(Code::Unauthenticated, reason, message));
        let wait = verdict.retry_after.unwrap_or(Millis(1000));
        match verdict.status {
            auth::Status::Passed | auth::Status::NotRequired => None,
            auth::Status::Missing => unauthenticated(
                "CREDENTIALS_MISSING",
                "no credentials were sent; send an app secret or a token as authorization: Bearer",
            ),
            auth::Status::Malformed => {
                unauthenticated("CREDENTIALS_MALFORMED", "the credentials could not be read; check how they are sent")
            }
            auth::Status::Invalid => {
                unauthenticated("CREDENTIALS_INVALID", "the credentials are not known here, or wrongly signed")
            }
            auth::Status::Expired => unauthenticated(
                "CREDENTIALS_EXPIRED",
                "the credentials have ended; refresh them and send the call again under the same request id",
            ),
            auth::Status::Revoked => unauthenticated("CREDENTIALS_REVOKED", "the credentials were taken back"),
            auth::Status::Throttled => Some(
                Self::new(Code::ResourceExhausted, "AUTH_THROTTLED", "too many failed attempts; wait, then try again")
                    .after(wait),
            ),
            auth::Status::Unavailable => Some(
                Self::new(
                    Code::Unavailable,
                    "AUTH_UNAVAILABLE",
                    "the credentials could not be checked just now; send the call again under the same request id",
                )
                .after(wait),
            ),
        }
    }

    /// There is no room for what a caller sends, or for what it does not read.
    pub(crate) fn crowded(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, "OVERLOADED", message).after(CROWDED_WAIT)
    }

    /// All that is wrong with the fields of a request.
    pub(crate) fn invalid(violations: Vec<(String, String)>) -> Self {
        let first = violations.first().map(|(field, problem)| format!("{field} {problem}")).unwrap_or_default();
        let others = violations.len().saturating_sub(1);
        let message = if others == 0 { first } else { format!("{first} (and {others} more; see the details)") };
        let mut refusal = Self::new(Code::InvalidArgument, "INVALID", message);
        refusal.violations = violations;
        refusal
    }

    /// The deadline came before the answer.
    pub(crate) fn outcome_unknown() -> Self {
        let message = "the deadline passed while the call was under way; send it again under the same request id to \
                       learn what became of it";
        Self::new(Code::DeadlineExceeded, "OUTCOME_UNKNOWN", message)
    }

    /// A fault of ours in reading what is stored.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a read from the store failed");
        Self::new(Code::Internal, "INTERNAL", "the server could not read its store; its log says why")
    }

    /// What the engine says. `leaf_name` names the field behind a difference.
    pub(crate) fn of_refused(refused: Refused, leaf_name: fn(u16) -> &'static str) -> Self {
        let (message, reason) = (refused.to_string(), refused.reason());
        match refused {
            Refused::Rejected(rejection) => Self::of_rejection(rejection, leaf_name),
            Refused::Overloaded { retry_after } => {
                Self::new(Code::ResourceExhausted, reason, message).after(retry_after)
            }
            Refused::TooLate => Self::new(Code::DeadlineExceeded, reason, message),
            Refused::Draining | Refused::NoOwner => Self::new(Code::Unavailable, reason, message),
        }
    }

    pub(crate) fn of_rejection(rejection: Rejection, leaf_name: fn(u16) -> &'static str) -> Self {
        let (message, reason) = (rejection.to_string(), rejection.reason());
        match rejection {
            Rejection::Forbidden { principal, needs, app } => Self::new(Code::PermissionDenied, reason, message)
                .verdict(AuthStatus::Forbidden)
                .with("principal", principal)
                .with("role", needs.as_str())
                .with("app", app),
            Rejection::RequestIdReused { difference } => {
                let field = match difference {
                    Difference::Method => "method",
                    Difference::Principal => "principal",
                    Difference::Content(leaf) => leaf_name(leaf),
                };
                Self::new(Code::FailedPrecondition, reason, format!("{message} (differs in: {field})"))
                    .with("field", field)
            }
            Rejection::RequestIdExpired { window, minted_at } => Self::new(Code::FailedPrecondition, reason, message)
                .with("window_ms", window.0)
                .with("minted_at_ms", minted_at.0),
            Rejection::RequestIdBeforeRestore { restored_at, minted_at } => {
                Self::new(Code::FailedPrecondition, reason, message)
                    .with("restored_at_ms", restored_at.0)
                    .with("minted_at_ms", minted_at.0)
            }
            Rejection::RequestIdInFuture { ahead } => {
                Self::new(Code::InvalidArgument, reason, message).with("ahead_ms", ahead.0)
            }
            Rejection::QuotaExceeded { app, what, limit } => Self::new(Code::ResourceExhausted, reason, message)
                .after(Millis(5000))
                .with("app", app)
                .with("what", what)
                .with("limit", limit),
            Rejection::NotFound { what, name } => {
                Self::new(Code::NotFound, reason, message).with("what", what).with("name", name)
            }
            Rejection::AlreadyExists { what, name } => {
                Self::new(Code::FailedPrecondition, reason, message).with("what", what).with("name", name)
            }
            Rejection::EtagMismatch { what, name, current } => Self::new(Code::Aborted, reason, message)
                .with("what", what)
                .with("name", name)
                .with("current", current.0),
            Rejection::RunFinished { phase } => {
                Self::new(Code::FailedPrecondition, reason, message).with("state", phase.as_str())
            }
            Rejection::RunNotRetryable { phase } => {
                Self::new(Code::FailedPrecondition, reason, message).with("state", phase.as_str())
            }
            Rejection::JobHasLiveRuns { count } => {
                Self::new(Code::FailedPrecondition, reason, message).with("count", count)
            }
            Rejection::AppNotEmpty { count } => {
                Self::new(Code::FailedPrecondition, reason, message).with("count", count)
            }
            Rejection::TriggerCycle { .. } | Rejection::BackfillUnderWay { .. } | Rejection::BackfillUnfit { .. } => {
                Self::new(Code::FailedPrecondition, reason, message)
            }
            Rejection::LeaseStale { why } => Self::new(Code::FailedPrecondition, reason, message).with("why", why),
        }
    }

    /// The refusal as it travels inside a message: for one item of a stream.
    pub(crate) fn into_rpc(mut self, mut header: ResponseHeader) -> rpc::Status {
        if let (Some(status), Some(auth)) = (self.auth_status, header.auth.as_mut()) {
            auth.status = status.into();
        }
        let mut status = rpc::Status {
            code: self.code as i32,
            message: self.message.chars().take(MESSAGE_CHARS_MAX).collect(),
            details: Vec::new(),
        };
        for value in self.metadata.values_mut() {
            *value = value.chars().take(200).collect();
        }
        loop {
            status.details = self.details(&header);
            if status.encoded_len() <= DETAILS_BYTES_MAX || self.violations.is_empty() {
                return status;
            }
            // What does not fit is cut from the end: the first faults are the ones to mend first.
            self.violations.truncate(self.violations.len() / 2);
        }
    }

    /// The refusal as the end of a call.
    pub(crate) fn into_status(self, header: ResponseHeader) -> Status {
        let code = self.code;
        let retry_after = self.retry_after;
        let rpc = self.into_rpc(header);
        let mut metadata = MetadataMap::new();
        if let Some(wait) = retry_after
            && let Ok(value) = wait.0.to_string().parse()
        {
            // What gRPC's own retry policy reads; RetryInfo says the same to everybody else.
            metadata.insert("grpc-retry-pushback-ms", value);
        }
        Status::with_details_and_metadata(code, rpc.message.clone(), rpc.encode_to_vec().into(), metadata)
    }

    fn details(&self, header: &ResponseHeader) -> Vec<prost_types::Any> {
        let info = ErrorInfo {
            reason: self.reason.to_owned(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: self.metadata.clone(),
        };
        let mut all =
            vec![details::encode(&info, &ErrorInfo::full_name()), details::encode(header, "semel.v1.ResponseHeader")];
        if let Some(wait) = self.retry_after {
            let retry = RetryInfo { retry_delay: Some(time::duration(wait)) };
            all.push(details::encode(&retry, &RetryInfo::full_name()));
        }
        if !self.violations.is_empty() {
            let violations = self.violations.iter();
            let field_violations = violations
                .map(|(field, description)| FieldViolation { field: field.clone(), description: description.clone() });
            let bad = BadRequest { field_violations: field_violations.collect() };
            all.push(details::encode(&bad, &BadRequest::full_name()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_stay_within_what_proxies_carry() {
        let violations = (0..500).map(|number| (format!("spec.labels[{number}]"), "is too long".repeat(20))).collect();
        let status = Refusal::invalid(violations).into_status(ResponseHeader::default());
        assert!(status.details().len() <= DETAILS_BYTES_MAX, "{}", status.details().len());
        let rpc = rpc::Status::decode(status.details()).expect("a google.rpc.Status");
        assert!(rpc.details.iter().any(|detail| detail.type_url.ends_with("google.rpc.BadRequest")));
    }
}
