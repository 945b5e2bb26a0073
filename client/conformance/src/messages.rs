//! The messages in a body, one by one, and what is made of each. It owns gRPC's framing and knows no method.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming},
    client::conn::http2::SendRequest,
};

use crate::refusals::{Body, Error, framed};

/// A flag and a length stand before each message.
const PREFIX_BYTES: usize = 5;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// What is made of the messages that go over a relay.
pub trait Tamper: Send + Sync + 'static {
    /// What goes on in place of a message: nothing, if it is lost.
    fn message(&self, method: &str, way: Way, message: Bytes) -> Vec<Bytes>;

    /// Whether the method exists behind the relay.
    fn knows(&self, _method: &str) -> bool {
        true
    }
}

impl<F: Fn(&str, Way, Bytes) -> Vec<Bytes> + Send + Sync + 'static> Tamper for F {
    fn message(&self, method: &str, way: Way, message: Bytes) -> Vec<Bytes> {
        self(method, way, message)
    }
}

/// A body whose messages are rewritten as they pass.
pub(crate) struct Rewritten {
    inner: Incoming,
    method: String,
    way: Way,
    tamper: Option<Arc<dyn Tamper>>,
    buffer: BytesMut,
    /// Keeps the connection open for as long as the body is read.
    _sender: Option<SendRequest<Body>>,
}

impl Rewritten {
    pub(crate) fn new(inner: Incoming, method: &str, way: Way, tamper: Option<Arc<dyn Tamper>>) -> Self {
        Self { inner, method: method.to_owned(), way, tamper, buffer: BytesMut::new(), _sender: None }
    }

    pub(crate) fn holding(self, sender: SendRequest<Body>) -> Self {
        Self { _sender: Some(sender), ..self }
    }

    /// What whole messages have become of the bytes so far.
    fn take(&mut self, data: Bytes) -> Bytes {
        let Some(tamper) = &self.tamper else { return data };
        self.buffer.extend_from_slice(&data);
        let mut out = BytesMut::new();
        while self.buffer.len() >= PREFIX_BYTES {
            let length = u32::from_be_bytes([self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]]) as usize;
            if self.buffer.len() < PREFIX_BYTES + length {
                break;
            }
            let is_compressed = self.buffer[0] != 0;
            let mut whole = self.buffer.split_to(PREFIX_BYTES + length).freeze();
            if is_compressed {
                out.extend_from_slice(&whole);
                continue;
            }
            whole.advance(PREFIX_BYTES);
            for message in tamper.message(&self.method, self.way, whole) {
                out.extend_from_slice(&framed(&message));
            }
        }
        out.freeze()
    }
}

impl HttpBody for Rewritten {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else { return Poll::Ready(None) };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            };
            match frame.into_data() {
                Ok(data) => {
                    let data = self.take(data);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
    }

    /// A refusal that is headers alone must stay so: gRPC takes an empty body behind it for a broken one.
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
