//! Measures every call, whatever its service: from its head to the end of its answer, which is where its status stands. Lies
//! inside gRPC-Web, so a call of a browser is measured as any other. Does nothing if nobody wants to know; refuses nothing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use prost::Message as _;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    clock::Stopwatch,
    metrics::{Calls, MethodIndex, Metrics},
};

/// The code of a call that its caller left before its end.
const CANCELLED: usize = 1;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct ObserveLayer(Option<Calls>);

impl ObserveLayer {
    /// Measures for these; without any it measures nothing.
    pub(super) fn new(metrics: Option<&Arc<Metrics>>) -> Self {
        let calls = metrics.map(|metrics| metrics.calls().clone());
        if let Some(calls) = &calls {
            calls.name_methods(methods());
        }
        Self(calls)
    }
}

/// All that are served here: ours, and those of health and reflection.
fn methods() -> Vec<String> {
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

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, calls: self.0.clone() }
    }
}

/// A service that is measured.
#[derive(Clone, Debug)]
pub(super) struct Observe<S> {
    inner: S,
    calls: Option<Calls>,
}

impl<S, A> Service<Request<A>> for Observe<S>
where
    S: Service<Request<A>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let call = self.calls.as_ref().map(|calls| Call {
            calls: calls.clone(),
            method: calls.method(request.uri().path()),
            begun: Stopwatch::start(),
            code: Some(CANCELLED),
        });
        Answer { answer: self.inner.call(request), call }
    }
}

/// A call under way; counted when it is dropped, which happens at its end and when its caller leaves.
#[derive(Debug)]
struct Call {
    calls: Calls,
    method: MethodIndex,
    begun: Stopwatch,
    code: Option<usize>,
}

impl Call {
    /// The status has come, in the head or behind the body.
    fn take_status(&mut self, headers: &HeaderMap) -> bool {
        let Some(status) = headers.get("grpc-status") else { return false };
        self.code = status.to_str().ok().and_then(|code| code.parse().ok());
        true
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.ended(self.method, self.code, self.begun.elapsed());
    }
}

pin_project! {
    /// What comes back, before its head is there.
    pub(super) struct Answer<F> {
        #[pin]
        answer: F,
        call: Option<Call>,
    }
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

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
            Some(call) => answer.map(|body| Body::new(Measured { body, call: Some(call) })),
        }))
    }
}

/// A body, and the call that ends with it.
struct Measured {
    body: Body,
    call: Option<Call>,
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
