//! Refusals as a Semel server makes them: a code, an `ErrorInfo`, a header, and what the reason adds.

use std::time::Duration;

use prost::{Message, Name};
use prost_types::Any;
use semel_client::Code;
use semel_proto::{
    ERROR_DOMAIN,
    details::{BadRequest, ErrorInfo, FieldViolation, RetryInfo},
    rpc,
    v1::{AuthStatus, ResponseHeader},
};

/// What a refusal says.
#[derive(Clone, Debug)]
pub(crate) struct Refuse {
    pub(crate) code: Code,
    pub(crate) reason: &'static str,
    pub(crate) auth: AuthStatus,
    pub(crate) retry_delay: Option<Duration>,
    pub(crate) metadata: Vec<(&'static str, &'static str)>,
    pub(crate) violations: Vec<(&'static str, &'static str)>,
    pub(crate) pushback: Option<&'static str>,
}

impl Refuse {
    pub(crate) fn new(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            reason,
            auth: AuthStatus::Passed,
            retry_delay: None,
            metadata: Vec::new(),
            violations: Vec::new(),
            pushback: None,
        }
    }

    pub(crate) fn auth(mut self, auth: AuthStatus) -> Self {
        self.auth = auth;
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    pub(crate) fn pushback(mut self, value: &'static str) -> Self {
        self.pushback = Some(value);
        self
    }

    pub(crate) fn adding(mut self, key: &'static str, value: &'static str) -> Self {
        self.metadata.push((key, value));
        self
    }

    pub(crate) fn violation(mut self, field: &'static str, description: &'static str) -> Self {
        self.violations.push((field, description));
        self
    }

    /// As an item of a stream carries it.
    pub(crate) fn to_rpc(&self, header: &ResponseHeader) -> rpc::Status {
        let info = ErrorInfo {
            reason: self.reason.to_owned(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: self.metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let mut details = vec![any(&info, &ErrorInfo::full_name()), any(header, "semel.v1.ResponseHeader")];
        if let Some(delay) = self.retry_delay {
            let retry = RetryInfo { retry_delay: delay.try_into().ok() };
            details.push(any(&retry, &RetryInfo::full_name()));
        }
        if !self.violations.is_empty() {
            let violation = |(field, description): &(&str, &str)| FieldViolation {
                field: (*field).to_owned(),
                description: (*description).to_owned(),
            };
            let bad = BadRequest { field_violations: self.violations.iter().map(violation).collect() };
            details.push(any(&bad, &BadRequest::full_name()));
        }
        rpc::Status { code: self.code.into(), message: format!("refused with {}", self.reason), details }
    }

    /// As a call carries it.
    pub(crate) fn to_grpc(&self, header: &ResponseHeader) -> tonic::Status {
        let status = self.to_rpc(header);
        let bytes = status.encode_to_vec().into();
        let mut status = tonic::Status::with_details(self.code, status.message, bytes);
        if let Some(pushback) = self.pushback {
            status.metadata_mut().insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
        }
        status
    }
}

fn any(message: &impl Message, name: &str) -> Any {
    Any { type_url: semel_proto::type_url(name), value: message.encode_to_vec() }
}
