//! Places in traces on the wire: in the headers of calls, and in messages where headers cannot say them. What does not keep
//! to W3C Trace Context is as good as nothing.

use http::{HeaderMap, HeaderName, HeaderValue};
use semel_core::trace::TraceContext;
use semel_proto::v1;

use crate::{
    clock::{self, Stopwatch},
    otlp::{self, OwnSpan, Span, Tracer, Value},
};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// What a call says in its headers. More than one `traceparent` is none; several `tracestate` are one, in their order.
pub(super) fn of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(PARENT).iter();
    let parent = parents.next()?.to_str().ok()?;
    if parents.next().is_some() {
        return None;
    }
    let states = headers.get_all(STATE).iter().map(HeaderValue::to_str);
    let states: Result<Vec<&str>, _> = states.collect();
    TraceContext::parse(parent, &states.unwrap_or_default().join(","))
}

/// What a message says.
pub(super) fn of_message(context: Option<&v1::TraceContext>) -> Option<TraceContext> {
    let context = context?;
    TraceContext::parse(&context.traceparent, &context.tracestate)
}

/// A place in a trace, for the wire.
pub(super) fn message(context: &TraceContext) -> v1::TraceContext {
    v1::TraceContext { traceparent: context.parent(), tracestate: context.state.clone() }
}

/// What is to be drawn of a message within a stream, which is a call as good as any other.
pub(super) struct Drawn {
    pub(super) own: OwnSpan,
    pub(super) begun: Stopwatch,
    pub(super) name: &'static str,
    /// That of the stream.
    pub(super) method: &'static str,
    /// The code that a call of its own would have had.
    pub(super) code: usize,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// The message that took effect, if this one repeats it.
    pub(super) first: Option<TraceContext>,
}

impl Drawn {
    /// Hands it over: the message has been answered now.
    pub(super) fn record(self, tracer: &Tracer) {
        let now = clock::wall_nanos();
        let took = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut attributes = otlp::rpc(self.method, Some(self.code));
        attributes.extend(self.attributes);
        tracer.record(Span {
            attributes,
            link: self.first,
            error: otlp::fault(Some(self.code), None),
            ..otlp::served(&self.own, self.name.to_owned(), now.saturating_sub(took), now)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("it is ASCII"));
        }
        headers
    }

    #[test]
    fn one_parent_is_read_with_all_its_states() {
        let context = of(&headers(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]));
        assert_eq!(context.as_ref().map(|context| context.state.as_str()), Some("a=1,b=2"));
        assert_eq!(message(&context.expect("it is one")).traceparent, PARENT);
        assert_eq!(of(&headers(&[("tracestate", "a=1")])), None);
        assert_eq!(of(&headers(&[("traceparent", PARENT), ("traceparent", PARENT)])), None);
        assert_eq!(of(&headers(&[("traceparent", "00-1-2-3")])), None);
    }
}
