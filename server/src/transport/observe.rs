//! Follows every call that is served, from its head to the end of its answer, which is where its status stands, and tells
//! the observers of it. Lies inside gRPC-Web, so a call of a browser is followed as any other. Refuses nothing.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use prost::Message as _;
use tonic::{Status, body::Body};

use super::{auth_layer::Arrival, direct::Sent, web::ThroughWeb};
use crate::{
    clock::Stopwatch,
    observe::{Ending, Head, Observers, Slot},
};

/// The code of a call that its caller left before its end.
const CANCELLED: usize = 1;

/// The names of all methods that are served here, ours and those of health and reflection, as `package.Service/Method`.
pub(crate) fn methods() -> Vec<String> {
    let sets = [
        semel_proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut names = Vec::new();
    for set in sets {
        let set = prost_types::FileDescriptorSet::decode(set).expect("our own descriptors are whole");
        for file in &set.file {
            for service in &file.service {
                let prefix = format!("{}.{}", file.package(), service.name());
                names.extend(service.method.iter().map(|method| format!("{prefix}/{}", method.name())));
            }
        }
    }
    names
}

/// A call under way; told of when it is dropped, which happens at its end and when its caller leaves.
#[derive(Debug)]
pub(super) struct Followed {
    observers: Observers,
    head: Head,
    slot: Slot,
    begun: Stopwatch,
    code: Option<usize>,
}

impl Followed {
    /// Begins to follow a call if anybody wants to know of it, and leaves with it where facts of it are told.
    pub(super) fn begin<B>(observers: &Observers, request: &Request<B>, arrival: &mut Arrival) -> Option<Box<Self>> {
        if observers.is_empty() {
            return None;
        }
        let header = |name: &header::HeaderName| request.headers().get(name).cloned();
        let head = Head {
            uri: request.uri().clone(),
            version: request.version(),
            is_web: request.extensions().get::<ThroughWeb>().is_some(),
            peer: arrival.brought.peer.as_ref().map(|peer| peer.address),
            user_agent: header(&header::USER_AGENT),
            traceparent: request.headers().get("traceparent").cloned(),
            tracestate: request.headers().get("tracestate").cloned(),
        };
        observers.begun(&head);
        let slot = Slot::new();
        arrival.slot = slot.clone();
        let (observers, begun) = (observers.clone(), Stopwatch::start());
        Some(Box::new(Self { observers, head, slot, begun, code: Some(CANCELLED) }))
    }

    /// The status has come, in the head or behind the body.
    fn take_status(&mut self, headers: &HeaderMap) -> bool {
        let Some(status) = headers.get("grpc-status") else { return false };
        self.code = status.to_str().ok().and_then(|code| code.parse().ok());
        true
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let facts = self.slot.facts();
        let ending = Ending { head: &self.head, facts: &facts, code: self.code, took: self.begun.elapsed() };
        self.observers.ended(&ending);
    }
}

pin_project! {
    /// What comes back, before its head is there.
    pub(super) struct Answer<F> {
        #[pin]
        answer: F,
        call: Option<Box<Followed>>,
    }
}

impl<F> Answer<F> {
    /// The same answer, followed to its end if anybody wants to know of it.
    pub(super) fn new(answer: F, call: Option<Box<Followed>>) -> Self {
        Self { answer, call }
    }
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Sent>, E>>,
{
    type Output = Result<Response<Sent>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context))?;
        let mut call = this.call.take();
        if call.as_mut().is_some_and(|call| call.take_status(answer.headers())) {
            // There is nothing behind it.
            call = None;
        }
        Poll::Ready(Ok(match call {
            None => answer,
            Some(call) => answer.map(|body| Sent::Any(Body::new(Measured { body, call: Some(call) }))),
        }))
    }
}

/// A body, and the call that ends with it.
struct Measured {
    body: Sent,
    call: Option<Box<Followed>>,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let has_ended = match (&frame, self.call.as_mut()) {
            (Some(Ok(frame)), Some(call)) => frame.trailers_ref().is_some_and(|trailers| call.take_status(trailers)),
            (None | Some(Err(_)), Some(call)) => {
                call.code = None;
                true
            }
            (_, None) => false,
        };
        if has_ended {
            self.call = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
