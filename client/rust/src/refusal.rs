//! What a refused call says. This file reads a gRPC status, or its like in a stream, into one value; whether to send the
//! call again is decided in `retry`.

use std::{error::Error as StdError, time::Duration};

use prost::{Message, Name};
use semel_proto::{
    ERROR_DOMAIN,
    details::{self, BadRequest, ErrorInfo, RetryInfo},
    rpc,
    v1::{AuthStatus, ResponseHeader},
};
use tonic::Code;

use crate::causes;

/// A refusal, decoded: from the status of a call, or from an item of a stream.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The gRPC status code.
    pub code: Code,
    /// The message for people.
    pub message: String,
    /// The reason and what it adds, if the status carried one.
    pub info: Option<ErrorInfo>,
    /// The header. Only kept when it says what became of the credentials, for otherwise no Semel server wrote it.
    pub header: Option<ResponseHeader>,
    /// After how long the server wishes to be asked again.
    pub retry_delay: Option<Duration>,
    /// What is wrong with the fields of the request.
    pub bad_request: Option<BadRequest>,
    /// What gRPC's own push-back says, if it was there.
    pub pushback: Option<Pushback>,
    /// Who spoke.
    pub origin: Origin,
}

/// gRPC's push-back, from the metadata `grpc-retry-pushback-ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// Send again after this.
    After(Duration),
    /// Do not send again.
    Never,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Semel server.
    Server,
    /// Somebody on the way: a proxy, or a server that is no Semel.
    Other,
    /// Nobody: the connection could not be made, so nothing was sent.
    NotSent,
    /// Nobody: the connection was lost, or no answer came in time.
    NoAnswer,
}

const PUSHBACK: &str = "grpc-retry-pushback-ms";

impl Refusal {
    /// Reads the refusal of an item in a stream, for instance `Ack.refused`.
    pub fn from_status(status: rpc::Status) -> Self {
        let mut refusal = Self::bare(Code::from(status.code), status.message);
        for detail in &status.details {
            refusal.take_detail(detail);
        }
        refusal
    }

    /// Reads the status of a call.
    pub fn from_grpc(status: &tonic::Status) -> Self {
        let mut refusal = Self::bare(status.code(), status.message().to_owned());
        if let Ok(decoded) = rpc::Status::decode(status.details()) {
            for detail in &decoded.details {
                refusal.take_detail(detail);
            }
        }
        refusal.pushback = status.metadata().get(PUSHBACK).map(|value| {
            let after = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
            after.map_or(Pushback::Never, |ms| Pushback::After(Duration::from_millis(ms)))
        });
        if refusal.header.is_none() {
            refusal.take_local_cause(status);
        }
        refusal
    }

    /// A refusal that nobody sent.
    pub(crate) fn local(code: Code, message: impl Into<String>, origin: Origin) -> Self {
        Self { origin, ..Self::bare(code, message.into()) }
    }

    fn bare(code: Code, message: String) -> Self {
        Self {
            code,
            message,
            info: None,
            header: None,
            retry_delay: None,
            bad_request: None,
            pushback: None,
            origin: Origin::Other,
        }
    }

    fn take_detail(&mut self, detail: &prost_types::Any) {
        if let Some(info) = details::decode::<ErrorInfo>(detail, &ErrorInfo::full_name()) {
            self.info.get_or_insert(info);
        } else if let Some(header) = details::decode::<ResponseHeader>(detail, "semel.v1.ResponseHeader") {
            if spoke(Some(&header)) {
                self.origin = Origin::Server;
                self.header.get_or_insert(header);
            }
        } else if let Some(retry) = details::decode::<RetryInfo>(detail, &RetryInfo::full_name()) {
            self.retry_delay = retry.retry_delay.and_then(|delay| Duration::try_from(delay).ok());
        } else if let Some(bad) = details::decode::<BadRequest>(detail, &BadRequest::full_name()) {
            self.bad_request.get_or_insert(bad);
        }
    }

    /// A status that this side's own transport made bears the cause as its source; one that came over the wire has none.
    ///
    /// The transport's own code and words go by how far its parts had come when the connection went: one cut is CANCELLED,
    /// UNKNOWN "transport error" or INTERNAL. Here all of them are UNAVAILABLE, with the innermost cause.
    fn take_local_cause(&mut self, status: &tonic::Status) {
        let Some(cause) = StdError::source(status) else { return };
        let has_cause = |is: fn(&(dyn StdError + 'static)) -> bool| causes::of(cause).any(is);
        if has_cause(|cause| cause.is::<tonic::TimeoutExpired>()) {
            self.origin = Origin::NoAnswer;
            self.code = Code::DeadlineExceeded;
            self.message = "no answer came within the request timeout".to_owned();
            return;
        }
        self.code = Code::Unavailable;
        (self.origin, self.message) = if has_cause(|cause| cause.is::<tonic::ConnectError>()) {
            (Origin::NotSent, format!("cannot connect: {}", causes::root(cause)))
        } else {
            (Origin::NoAnswer, format!("no answer came: {}", causes::root(cause)))
        };
    }

    /// The reason, if a Semel server gave one, for instance `REQUEST_ID_REUSED`.
    pub fn reason(&self) -> Option<&str> {
        self.info.as_ref().filter(|info| info.domain == ERROR_DOMAIN).map(|info| info.reason.as_str())
    }

    /// What became of the credentials; `Unspecified` if no Semel server spoke.
    pub fn auth_status(&self) -> AuthStatus {
        auth_status(self.header.as_ref())
    }

    /// Whether it is certain that the call took no effect: a Semel server said no, or nothing was sent. A time-out, a
    /// lost connection and a proxy's word leave it open.
    pub fn nothing_happened(&self) -> bool {
        match self.origin {
            Origin::NotSent => true,
            Origin::NoAnswer | Origin::Other => false,
            Origin::Server => {
                !matches!(self.code, Code::DeadlineExceeded | Code::Cancelled | Code::Internal | Code::Unknown)
            }
        }
    }
}

/// What a header says of the credentials; `Unspecified` for an absent one.
pub(crate) fn auth_status(header: Option<&ResponseHeader>) -> AuthStatus {
    header.and_then(|header| header.auth.as_ref()).map_or(AuthStatus::Unspecified, |auth| auth.status())
}

/// Whether a header shows that a Semel server spoke. A verdict that this client does not know yet counts.
pub(crate) fn spoke(header: Option<&ResponseHeader>) -> bool {
    header.and_then(|header| header.auth.as_ref()).is_some_and(|auth| auth.status != 0)
}
