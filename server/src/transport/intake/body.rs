//! The body of a request that keeps to the rules of its sender.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status, body::Body};

use super::{crowded, message::Messages, strangers::Stranger};
use crate::{
    auth::Verdict,
    transport::{gate::Gate, held::Held, status::Refusal},
};

/// How long a message may take from its first byte to its last.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(60);

/// Who sends.
pub(super) enum Sender {
    /// Somebody who was not recognised.
    Stranger(Box<Stranger>),
    /// Somebody who was: the bytes are held until the answer.
    Call(Arc<Held>),
    /// The same, of a method to which callers go on sending: until the message is whole.
    Stream(Arc<Held>),
}

/// See the module.
pub(super) struct Bounded {
    body: Body,
    sender: Sender,
    verdict: Verdict,
    messages: Messages,
    /// Runs while a message is not whole and nothing comes.
    late: Option<Pin<Box<Sleep>>>,
    gate: Arc<Gate>,
}

impl Bounded {
    pub(super) fn new(body: Body, sender: Sender, verdict: Verdict, gate: Arc<Gate>) -> Self {
        Self { body, sender, verdict, messages: Messages::default(), late: None, gate }
    }

    /// Looks at what came; gives the end of the call if it was too much.
    fn saw(&mut self, bytes: &[u8]) -> Result<(), Status> {
        let Self { sender, verdict, messages, gate, .. } = self;
        messages.saw(bytes);
        if messages.unfinished() <= bytes.len() {
            // Another message than before, or none.
            self.late = None;
        }
        let has_room = match sender {
            Sender::Stranger(stranger) => return stranger.saw(gate, verdict, messages, bytes),
            Sender::Call(held) => held.add(bytes.len()),
            Sender::Stream(held) => held.set(messages.unfinished()),
        };
        let (length, max) = (messages.largest(), gate.settings.message_bytes_max);
        if length > max {
            let message = format!("the message has {length} bytes, and at most {max} are taken");
            let refusal = Refusal::new(Code::InvalidArgument, "INVALID", message).with("message_bytes_max", max);
            return Err(refusal.into_status(gate.basis("", None, verdict).header()));
        }
        if has_room {
            Ok(())
        } else {
            Err(crowded(gate, "calls under way have all the room there is for requests", "", verdict))
        }
    }

    /// Waits for the rest of a message, but not for ever.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if self.messages.unfinished() == 0 {
            return Poll::Pending;
        }
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(MESSAGE_TIME_MAX)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(crowded(&self.gate, "a message took too long to come in", "", &self.verdict))
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { sender, verdict, gate, .. } = &mut *self;
        if let Sender::Stranger(stranger) = sender
            && let Some(status) = stranger.must_end(gate, verdict, context)
        {
            return Poll::Ready(Some(Err(status)));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
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
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
