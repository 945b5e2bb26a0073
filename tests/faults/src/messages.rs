//! The messages of a stream on their way, one after the other: each is cut out of the body and passed on, or not, as is
//! said for it. It owns the form of a message on the wire (gRPC's five bytes before each) and decides nothing.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::Reason;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming};
use tokio::time::Sleep;

use crate::{body, headers};

/// One byte that says whether the message is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What becomes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Pass,
    Drop,
    Twice,
    /// Passed on after so long, and all that follows behind it.
    Late(Duration),
    /// Not passed on, and nothing that follows it either; the stream stays open.
    Never,
    /// The stream is reset in its place.
    Reset(Reason),
}

/// What becomes of the trailers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tail {
    Kept,
    Stripped,
    Dropped,
}

/// A stream whose messages are passed on as `judge` says for each.
pub(crate) struct Messages<F> {
    incoming: Incoming,
    judge: F,
    tail: Tail,
    /// What has come and is no whole message yet.
    arrived: BytesMut,
    /// What is to go on, behind `late` if that is set.
    ready: VecDeque<Frame<Bytes>>,
    late: Option<Pin<Box<Sleep>>>,
    rest: Rest,
}

/// What is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// More may come.
    Open,
    /// Nothing more.
    Ended,
    /// Nothing goes on any more, and no end is seen.
    Stalled,
}

impl<F: FnMut() -> Fate + Send + Unpin> Messages<F> {
    pub(crate) fn of(incoming: Incoming, tail: Tail, judge: F) -> Self {
        Self { incoming, judge, tail, arrived: BytesMut::new(), ready: VecDeque::new(), late: None, rest: Rest::Open }
    }

    /// The next whole message, if it is there.
    fn message(&mut self) -> Option<Bytes> {
        let mut prefix = self.arrived.get(..PREFIX_BYTES)?;
        prefix.advance(1);
        let whole = PREFIX_BYTES.saturating_add(usize::try_from(prefix.get_u32()).ok()?);
        (self.arrived.len() >= whole).then(|| self.arrived.split_to(whole).freeze())
    }

    /// Does to a message what is said for it.
    fn take(&mut self, message: Bytes) -> Result<(), body::Error> {
        match (self.judge)() {
            Fate::Pass => self.ready.push_back(Frame::data(message)),
            Fate::Drop => {}
            Fate::Twice => self.ready.extend([Frame::data(message.clone()), Frame::data(message)]),
            Fate::Late(span) => {
                self.late = Some(Box::pin(tokio::time::sleep(span)));
                self.ready.push_back(Frame::data(message));
            }
            Fate::Never => self.rest = Rest::Stalled,
            Fate::Reset(reason) => {
                self.rest = Rest::Ended;
                return Err(body::reset(reason));
            }
        }
        Ok(())
    }

    /// Takes what comes behind the messages; whatever is left of one goes on as it is.
    fn end(&mut self, trailers: Option<HeaderMap>) {
        self.rest = Rest::Ended;
        if !self.arrived.is_empty() {
            self.ready.push_back(Frame::data(self.arrived.split().freeze()));
        }
        let Some(mut trailers) = trailers else { return };
        match self.tail {
            Tail::Dropped => return,
            Tail::Stripped => headers::strip(&mut trailers),
            Tail::Kept => {}
        }
        self.ready.push_back(Frame::trailers(trailers));
    }
}

impl<F: FnMut() -> Fate + Send + Unpin> Body for Messages<F> {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        loop {
            if let Some(late) = &mut self.late {
                std::task::ready!(late.as_mut().poll(cx));
                self.late = None;
            }
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            match self.rest {
                Rest::Ended => return Poll::Ready(None),
                // Whoever waits is let go when either side ends the stream.
                Rest::Stalled => return Poll::Pending,
                Rest::Open => {}
            }
            if let Some(message) = self.message() {
                if let Err(reset) = self.take(message) {
                    return Poll::Ready(Some(Err(reset)));
                }
                continue;
            }
            match std::task::ready!(pin!(&mut self.incoming).poll_frame(cx)) {
                None => self.end(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.arrived.extend_from_slice(&data),
                    Err(frame) => self.end(frame.into_trailers().ok()),
                },
            }
        }
    }
}
