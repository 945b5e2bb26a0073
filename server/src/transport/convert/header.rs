//! The head of every response.

use semel_core::{
    id::{RequestId, Timestamp},
    window::Window,
};
use semel_proto::v1;

use super::time;
use crate::{
    auth::{self, Verdict},
    engine::{Answer, Disposition},
};

/// The result of a verdict, for the wire.
pub(crate) fn auth_result(verdict: &Verdict) -> v1::AuthResult {
    v1::AuthResult {
        status: auth_status(verdict.status).into(),
        principal: verdict.principal.as_ref().map(|principal| principal.name.to_string()).unwrap_or_default(),
        method: auth_method(verdict.method).into(),
        expire_time: verdict.expire_time.map(time::timestamp),
    }
}

fn auth_status(status: auth::Status) -> v1::AuthStatus {
    match status {
        auth::Status::Passed => v1::AuthStatus::Passed,
        auth::Status::NotRequired => v1::AuthStatus::NotRequired,
        auth::Status::Missing => v1::AuthStatus::Missing,
        auth::Status::Malformed => v1::AuthStatus::Malformed,
        auth::Status::Invalid => v1::AuthStatus::Invalid,
        auth::Status::Expired => v1::AuthStatus::Expired,
        auth::Status::Revoked => v1::AuthStatus::Revoked,
        auth::Status::Throttled => v1::AuthStatus::Throttled,
        auth::Status::Unavailable => v1::AuthStatus::Unavailable,
    }
}

fn auth_method(method: auth::Method) -> v1::AuthMethod {
    match method {
        auth::Method::None => v1::AuthMethod::Unspecified,
        auth::Method::AppSecret => v1::AuthMethod::AppSecret,
        auth::Method::Token => v1::AuthMethod::Token,
        auth::Method::ClientCertificate => v1::AuthMethod::ClientCertificate,
        auth::Method::ForwardedCertificate => v1::AuthMethod::ForwardedCertificate,
        auth::Method::OutsideToken => v1::AuthMethod::OutsideToken,
        auth::Method::Anonymous => v1::AuthMethod::Anonymous,
    }
}

/// How credentials are treated, for the wire.
pub(crate) fn auth_mode(mode: auth::Mode) -> v1::AuthMode {
    match mode {
        auth::Mode::Enforce => v1::AuthMode::Enforce,
        auth::Mode::Permissive => v1::AuthMode::Permissive,
        auth::Mode::Off => v1::AuthMode::Off,
    }
}

/// What every header says, whatever becomes of the call.
pub(crate) struct Basis<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) parsed_id: Option<RequestId>,
    pub(crate) verdict: &'a Verdict,
    pub(crate) window: Option<Window>,
    pub(crate) now: Timestamp,
    pub(crate) server_id: &'a str,
}

impl Basis<'_> {
    /// The header of a refusal: no effect, so no disposition.
    pub(crate) fn header(&self) -> v1::ResponseHeader {
        let safe = self.parsed_id.zip(self.window).map(|(id, window)| window.safe_retry_until(id));
        v1::ResponseHeader {
            request_id: shortened(self.request_id).to_owned(),
            auth: Some(auth_result(self.verdict)),
            safe_retry_until: safe.map(time::timestamp),
            server_time: Some(time::timestamp(self.now)),
            server_id: self.server_id.to_owned(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..v1::ResponseHeader::default()
        }
    }

    /// The header of a read.
    pub(crate) fn read(&self) -> v1::ResponseHeader {
        v1::ResponseHeader { disposition: v1::Disposition::ReadOnly.into(), ..self.header() }
    }

    /// The header of a call that took effect.
    pub(crate) fn answered(&self, answer: &Answer) -> v1::ResponseHeader {
        v1::ResponseHeader {
            disposition: disposition(answer.disposition).into(),
            execute_time: Some(time::timestamp(answer.execute_time)),
            arrivals: count(answer.arrivals),
            revision: count(answer.revision.0),
            ..self.header()
        }
    }
}

/// What is shown of an id that a caller sent, which may be no id at all.
fn shortened(request_id: &str) -> &str {
    &request_id[..request_id.floor_char_boundary(64)]
}

/// Whether a call took effect now or earlier, for the wire.
pub(super) fn disposition(disposition: Disposition) -> v1::Disposition {
    match disposition {
        Disposition::Executed => v1::Disposition::Executed,
        Disposition::Replayed => v1::Disposition::Replayed,
    }
}

/// A count for the wire.
pub(crate) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
