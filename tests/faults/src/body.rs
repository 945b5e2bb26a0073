//! Bodies on their way through: whole ones, which can be sent again, and what goes wrong with any. It owns their forms
//! and decides nothing.

use std::io;

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};

/// What went wrong on the way, or is made to. hyper looks for a code of HTTP/2 in its sources.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot connect to the server")]
    Connect(#[from] io::Error),
    #[error("the exchange broke off")]
    Exchange(#[from] hyper::Error),
    #[error("the stream is reset as planned")]
    Reset(#[from] h2::Error),
}

/// A body as it is sent on.
pub(crate) type Body = UnsyncBoxBody<Bytes, Error>;

/// A body that was taken in whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) data: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Whole {
    /// Waits for all of it.
    pub(crate) async fn of(incoming: Incoming) -> Result<Self, hyper::Error> {
        let collected = incoming.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Self { data: collected.to_bytes(), trailers })
    }

    /// To be sent.
    pub(crate) fn body(self) -> Body {
        let mut frames = Vec::new();
        if !self.data.is_empty() {
            frames.push(Ok(Frame::data(self.data)));
        }
        frames.extend(self.trailers.map(Frame::trailers).map(Ok));
        if frames.is_empty() {
            return Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
        StreamBody::new(tokio_stream::iter(frames)).boxed_unsync()
    }

    /// To be sent, but for its trailers: the stream is reset in their place.
    pub(crate) fn reset_within(self, reason: Reason) -> Body {
        let frames = [Ok(Frame::data(self.data)), Err(reset(reason))];
        StreamBody::new(tokio_stream::iter(frames)).boxed_unsync()
    }
}

/// An error that hyper makes this reset of.
pub(crate) fn reset(reason: Reason) -> Error {
    h2::Error::from(reason).into()
}
