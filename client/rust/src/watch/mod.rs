//! Watching what happens: one stream of items that outlives the streams of gRPC which it comes over.
//!
//! This file owns what a program holds. What it may ask for stands in `options`, what it is told in `item`, where it goes
//! on in `token`; `reader` keeps the streams coming, `course` knows where the watch is, `marks` what was told already.
//!
//! What it promises, on top of what the server does: no event twice and no gap, over lost connections, restarts of the
//! server, and the end of credentials; and a resume token behind *each* event, so that the same holds over a restart of
//! the program. What it cannot: tell of what the server no longer keeps. Then it ends with `RESUME_COMPACTED`, or, with
//! [`WatchOptions::bridge_gaps`], says that there is a gap and goes on from a snapshot.

mod buffer;
mod course;
mod item;
mod marks;
mod options;
mod reader;
mod reconnect;
mod session;
mod token;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    vec::IntoIter,
};

use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::Stream;

pub use item::{Item, SnapshotCause, Told};
pub use options::WatchOptions;
pub(crate) use reconnect::oldest_revision;
pub use token::ResumeToken;

use self::{buffer::Inlet, course::Course, reader::Reader, token::Position};
use crate::{client::Client, error::Error};

/// A watch: a stream of what happens, made by [`Client::watch`]. Dropping it ends it.
///
/// It reads ahead of the program, up to [`WatchOptions::buffer_bytes`] and one message. A program that is slower than what
/// happens loses nothing and holds up nobody: the stream is let go of while the buffer is full, and goes on from the last
/// token when half of it is free.
///
/// After an error it has ended. It ends only with what binds: credentials that were taken back or cannot be renewed, a
/// watch that is not allowed, a token that is not taken, events that are no longer kept; or where no stream came about at
/// all within [`Options::overall_timeout`](crate::Options::overall_timeout). Once it was open it tries for ever, unless
/// the client was told not to retry at all; [`Told::Lost`] says so.
#[derive(Debug)]
pub struct Watch {
    inlet: Inlet,
    ready: IntoIter<Item>,
    room: Option<OwnedSemaphorePermit>,
    position: Position,
}

impl Client {
    /// Watches what happens. Returns at once; must be called within a tokio runtime.
    ///
    /// ```no_run
    /// # async fn example(client: semel_client::Client) -> Result<(), semel_client::Error> {
    /// use semel_client::{WatchOptions, watch::Told};
    ///
    /// let mut watch = client.watch(WatchOptions::new().job("settle").terminal_only());
    /// while let Some(item) = watch.next().await {
    ///     let item = item?;
    ///     if let Told::Event(event) = &item.told {
    ///         println!("{}: {:?}, go on with {:?}", event.revision, event.kind(), item.resume_token());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, options: WatchOptions) -> Watch {
        let (outlet, inlet) = buffer::buffer(options.buffer_bytes);
        let course = Course::new(options);
        let position = course.position();
        tokio::spawn(Reader::new(self.clone(), course, outlet).run());
        Watch { inlet, ready: Vec::new().into_iter(), room: None, position }
    }
}

impl Watch {
    /// The next item; nothing after an error. May be dropped without losing anything.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Where to go on behind the last item that was taken; also after an error.
    pub fn resume_token(&self) -> Option<ResumeToken> {
        self.position.token()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        loop {
            if let Some(item) = self.ready.next() {
                self.position = item.position.clone();
                return Poll::Ready(Some(Ok(item)));
            }
            self.room = None;
            let Some(batch) = ready!(self.inlet.poll_recv(context)) else { return Poll::Ready(None) };
            let (told, room) = batch.open();
            match told {
                Ok(items) => (self.ready, self.room) = (items.into_iter(), room),
                Err(error) => {
                    self.inlet.close();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Stream for Watch {
    type Item = Result<Item, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}
