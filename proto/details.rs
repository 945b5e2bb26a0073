//! The standard details of a gRPC error (`google.rpc`), written out by hand: four small messages are no reason to depend
//! on a crate for them. Wire shapes only, nothing is decided here. Server and client both use these.

use std::collections::BTreeMap;

use prost::{Message, Name};
use prost_types::Any;

/// Why a call was refused, for programs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ErrorInfo {
    /// The reason, for instance `REQUEST_ID_REUSED`.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Whose list of reasons this is; `semel.v1` for those of a Semel server.
    #[prost(string, tag = "2")]
    pub domain: String,
    /// What the reason adds, for instance the field that differs.
    #[prost(btree_map = "string, string", tag = "3")]
    pub metadata: BTreeMap<String, String>,
}

/// When the call may be sent again.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RetryInfo {
    /// The wait before that.
    #[prost(message, optional, tag = "1")]
    pub retry_delay: Option<prost_types::Duration>,
}

/// What is wrong with a request, all at once.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BadRequest {
    /// One entry for each fault.
    #[prost(message, repeated, tag = "1")]
    pub field_violations: Vec<FieldViolation>,
}

/// What is wrong with one field.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FieldViolation {
    /// The path of the field, for instance `spec.processor`.
    #[prost(string, tag = "1")]
    pub field: String,
    /// What is wrong with it.
    #[prost(string, tag = "2")]
    pub description: String,
}

macro_rules! google_rpc_name {
    ($($message:ident),*) => {$(
        impl Name for $message {
            const PACKAGE: &'static str = "google.rpc";
            const NAME: &'static str = stringify!($message);

            fn type_url() -> String {
                crate::type_url(&Self::full_name())
            }
        }
    )*};
}
google_rpc_name!(ErrorInfo, RetryInfo, BadRequest);

/// Puts a message into a detail.
pub fn encode<M: Message>(message: &M, full_name: &str) -> Any {
    Any { type_url: crate::type_url(full_name), value: message.encode_to_vec() }
}

/// Reads a message out of a detail if it is of that type, whatever stands before the last slash of its type URL. A
/// detail that cannot be decoded counts as absent: it must not hide the status that it came with.
pub fn decode<M: Message + Default>(detail: &Any, full_name: &str) -> Option<M> {
    let name = detail.type_url.rsplit('/').next()?;
    if name != full_name {
        return None;
    }
    M::decode(detail.value.as_slice()).ok()
}
