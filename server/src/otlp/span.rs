//! A span as it is made here, and as OTLP has it. Holds words, decides nothing.

use std::borrow::Cow;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{self as proto, Status, status::StatusCode},
};
use semel_core::trace::TraceContext;

/// Bytes of one value: what is longer is cut.
const VALUE_BYTES_MAX: usize = 1024;
/// The lowest byte of a span's flags is that of its context; this says that it is known whether its parent is elsewhere.
const REMOTE_IS_KNOWN: u32 = 0x100;
/// And this that it is.
const IS_REMOTE: u32 = 0x200;

/// What part of a conversation a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Work of the server for itself.
    Internal,
    /// A call that was served.
    Server,
    /// Work that was handed to somebody else.
    Producer,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A span that has ended. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    /// Where it stands.
    pub(crate) context: TraceContext,
    /// Under which span of the same trace; none at the top.
    pub(crate) parent: Option<[u8; 8]>,
    /// Whether that one was made elsewhere.
    pub(crate) is_parent_remote: bool,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    /// What happened within it, and when.
    pub(crate) events: Vec<(&'static str, u64)>,
    /// Another span, that has to do with it.
    pub(crate) link: Option<TraceContext>,
    /// Why it failed; none if it did not.
    pub(crate) error: Option<String>,
}

impl Span {
    /// As OTLP has it.
    pub(super) fn message(self) -> proto::Span {
        let kind = match self.kind {
            Kind::Internal => proto::span::SpanKind::Internal,
            Kind::Server => proto::span::SpanKind::Server,
            Kind::Producer => proto::span::SpanKind::Producer,
        };
        let remote = if self.is_parent_remote { IS_REMOTE } else { 0 };
        let status = self.error.map(|message| Status { message: cut(message), code: StatusCode::Error.into() });
        let event = |(name, time_unix_nano): (&str, u64)| proto::span::Event {
            time_unix_nano,
            name: name.to_owned(),
            ..Default::default()
        };
        proto::Span {
            trace_id: self.context.trace_id.to_vec(),
            span_id: self.context.span_id.to_vec(),
            flags: u32::from(self.context.flags) | REMOTE_IS_KNOWN | remote,
            trace_state: self.context.state,
            parent_span_id: self.parent.map(|id| id.to_vec()).unwrap_or_default(),
            name: self.name.into_owned(),
            kind: kind.into(),
            start_time_unix_nano: self.from.min(self.to),
            end_time_unix_nano: self.to,
            attributes: self.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
            events: self.events.into_iter().map(event).collect(),
            links: self.link.into_iter().map(link).collect(),
            status,
            ..Default::default()
        }
    }
}

fn link(to: TraceContext) -> proto::span::Link {
    proto::span::Link {
        trace_id: to.trace_id.to_vec(),
        span_id: to.span_id.to_vec(),
        flags: to.flags.into(),
        trace_state: to.state,
        ..Default::default()
    }
}

/// An attribute as OTLP has it.
pub(super) fn attribute(key: impl Into<String>, value: impl Into<Value>) -> KeyValue {
    let value = match value.into() {
        Value::Text(text) => any_value::Value::StringValue(cut(text.into_owned())),
        Value::Number(number) => any_value::Value::IntValue(number),
    };
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
    text
}
