//! The body of a request that keeps to the rules of its sender.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status, body::Body};

use super::{NO_ROOM, message::Messages, strangers::Stranger, too_many};
use crate::transport::{
    asker::Asker,
    held::{self, Held},
    status::Refusal,
};

/// How long a message may take from its first byte to its last.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(60);

/// What an item of a message becomes in memory beyond its bytes.
const ITEM_BYTES: usize = held::ITEM_BYTES + held::RESULT_BYTES;
/// Far more items than a message may have. One that has them is not made: the first bytes of it are refused, in order, by
/// whoever reads the stream, and here all that would come behind them.
const ITEMS_MAX: usize = 10_000;

/// Who sends.
pub(super) enum Sender {
    /// Somebody who was not recognised.
    Stranger(Box<Stranger>),
    /// Somebody who was: the bytes are held until the answer.
    Call(Arc<Held>),
    /// The same, of a method to which callers go on sending: until more is asked for, which is when the service has dealt with
    /// what it had.
    Stream(Arc<Held>),
}

/// Where a body comes from.
pub(in crate::transport) enum Source {
    /// From a connection.
    Wire(Incoming),
    /// Through gRPC-Web.
    Web(Body),
}

impl From<Incoming> for Source {
    fn from(body: Incoming) -> Self {
        Self::Wire(body)
    }
}

impl From<Body> for Source {
    fn from(body: Body) -> Self {
        Self::Web(body)
    }
}

impl Source {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self {
            Self::Wire(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|error| Status::from_error(Box::new(error)))))
            }
            Self::Web(body) => Pin::new(body).poll_frame(context),
        }
    }
}

/// See the module.
pub(in crate::transport) struct Bounded {
    body: Source,
    sender: Sender,
    messages: Messages,
    /// Runs while a message is not whole and nothing comes.
    late: Option<Pin<Box<Sleep>>>,
    asker: Arc<Asker>,
}

impl Bounded {
    pub(super) fn new(body: Source, sender: Sender, messages: Messages, asker: Arc<Asker>) -> Self {
        Self { body, sender, messages, late: None, asker }
    }

    /// Looks at what came; gives the end of the call if it was too much.
    fn saw(&mut self, bytes: &[u8]) -> Result<(), Status> {
        let Self { sender, messages, asker, .. } = self;
        messages.saw(bytes);
        if messages.unfinished() <= bytes.len() {
            // Another message than before, or none.
            self.late = None;
        }
        let (length, max) = (messages.largest(), asker.gate.settings.message_bytes_max);
        let has_room = match sender {
            Sender::Stranger(stranger) => return stranger.saw(asker, messages, bytes),
            Sender::Call(held) => held.add(bytes.len()),
            Sender::Stream(held) => held.add(bytes.len() + messages.take_new_items() * ITEM_BYTES),
        };
        if length > max && matches!(sender, Sender::Call(_)) {
            let message = format!("the message has {length} bytes, and at most {max} are taken");
            let refusal = Refusal::new(Code::InvalidArgument, "INVALID", message).with("message_bytes_max", max);
            return Err(asker.refuse(refusal, ""));
        }
        if has_room { Ok(()) } else { Err(asker.refuse(too_many(NO_ROOM), "")) }
    }

    /// Waits for the rest of a message, but not for ever.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if self.messages.unfinished() == 0 {
            return Poll::Pending;
        }
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(MESSAGE_TIME_MAX)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(self.asker.refuse(too_many("a message took too long to come in"), ""))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { sender, asker, messages, .. } = &mut *self;
        if let Sender::Stranger(stranger) = sender
            && let Some(status) = stranger.must_end(asker, context)
        {
            return Poll::Ready(Some(Err(status)));
        }
        if let Sender::Stream(held) = sender {
            // What was whole is dealt with.
            held.set(messages.unfinished() + messages.items() * ITEM_BYTES);
            if messages.items() > ITEMS_MAX {
                return Poll::Ready(Some(Err(Status::out_of_range("it has far too many items"))));
            }
        }
        let Poll::Ready(frame) = self.body.poll_frame(context) else {
            return self.wait(context).map(|status| Some(Err(status)));
        };
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
            && let Err(status) = self.saw(bytes)
        {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Wire(body) => body.is_end_stream(),
            Source::Web(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Wire(body) => body.size_hint(),
            Source::Web(body) => body.size_hint(),
        }
    }
}
