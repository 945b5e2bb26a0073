//! What is kept of answers whose callers do not read them. HTTP/2 lets a caller take an answer as slowly as it likes, and what
//! it has not taken stays in memory; so the bytes are counted from when they were made until they have left. Where there is
//! no room for another answer its caller is told so instead. A stream is first held for a while, before more of it is made: when
//! very many are written to at once, what they are to read leaves in moments.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use semel_core::id::AppName;
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body, codegen::BoxFuture};

use super::{
    asker::Asker,
    direct::Sent,
    held::{Budget, Held},
    intake::Place,
    status::Refusal,
    unread,
};
use crate::clock::{self, Stopwatch};

/// Smaller pieces are not counted: an answer has one at a time.
const COUNTED_BYTES_MIN: usize = 4 << 10;
/// Smaller pieces have room of their own: those of watches are such, and a watch that is ended must be begun again.
const LARGE_BYTES_MIN: usize = 64 << 10;

/// Methods that answer with a stream.
const STREAMS: [&str; 3] =
    ["/semel.v1.JobService/SubmitRuns", "/semel.v1.WatchService/Watch", "/semel.v1.WorkerService/Work"];
/// How long a stream is held for want of room, before it is tried all the same.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// How often it looks whether there is room meanwhile.
const LOOK: Duration = Duration::from_millis(10);
/// What is made of a stream at a time: a few messages, or one that is large.
const PIECE_BYTES: usize = LARGE_BYTES_MIN - 1;

/// Why an answer is none.
const NO_ROOM: &str = "answers that nobody reads have all the room there is for them, or for those of one app \
    (limits.answer_bytes_max); ask again under the same request id";

/// What all answers may hold that have not left yet.
pub(super) struct Room {
    small: Arc<Budget>,
    large: Arc<Budget>,
}

impl Room {
    /// So many bytes of small pieces, and so many of large ones.
    pub(super) fn new(bytes_max: usize) -> Self {
        let budget = || Arc::new(Budget::shared(bytes_max));
        Self { small: budget(), large: budget() }
    }

    /// Whether there is some for a piece of either kind.
    fn is_there(&self, app: Option<&AppName>) -> bool {
        self.small.has_room(app, PIECE_BYTES) && self.large.has_room(app, LARGE_BYTES_MIN)
    }
}

/// Who is answered.
pub(super) struct Caller {
    asker: Arc<Asker>,
    room: Arc<Room>,
    /// What is kept until its answer has left.
    place: Option<Place>,
    is_stream: bool,
}

/// What a service answers.
pub(super) enum Served {
    /// By the library's general way.
    General(BoxFuture<Response<Body>, Infallible>),
    /// By the short one: it has some hundred bytes whatever is asked, so nothing of it is counted.
    Direct(Pin<Box<dyn Future<Output = Response<Sent>> + Send>>),
}

/// What a service answers, before its head is there.
pub(super) struct Answer {
    served: Served,
    caller: Option<Caller>,
}

impl Caller {
    /// One who has called the method with this path.
    pub(super) fn new(path: &str, asker: Arc<Asker>, room: Arc<Room>) -> Self {
        Self { asker, room, place: None, is_stream: STREAMS.contains(&path) }
    }

    /// The same with what is to be kept.
    pub(super) fn in_place(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }
}

impl Answer {
    /// What is answered to this caller.
    pub(super) fn new(served: Served, caller: Caller) -> Self {
        Self { served, caller: Some(caller) }
    }

    /// To one who is served by nobody.
    pub(super) fn refused(status: Status) -> Self {
        let served = Served::Direct(Box::pin(std::future::ready(status.into_http())));
        Self { served, caller: None }
    }
}

impl Future for Answer {
    type Output = Result<Response<Sent>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (answer, is_small) = match &mut self.served {
            Served::General(served) => (ready!(served.as_mut().poll(context))?.map(Sent::Any), false),
            Served::Direct(served) => (ready!(served.as_mut().poll(context)), true),
        };
        Poll::Ready(Ok(match self.caller.take() {
            // One that ends with its head has no body.
            Some(caller) if answer.headers().contains_key(Status::GRPC_STATUS) => unread::told(answer, &caller.asker),
            Some(caller) if !is_small || caller.place.is_some() => {
                answer.map(|body| Sent::Any(Body::new(Kept::new(body.into_body(), caller))))
            }
            _ => answer,
        }))
    }
}

/// The body of an answer.
struct Kept {
    body: Body,
    caller: Caller,
    has_ended: bool,
    /// Since when it is held, and when it looks for room again.
    held: Option<(Stopwatch, Pin<Box<Sleep>>)>,
}

/// A piece of it, until it has left.
struct Piece {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Kept {
    fn new(body: Body, caller: Caller) -> Self {
        Self { body, caller, has_ended: false, held: None }
    }

    /// Holds a stream while there is no room for more of it, but not for long.
    fn hold(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { caller: Caller { asker, room, is_stream, .. }, held, .. } = self;
        while *is_stream && !room.is_there(asker.verdict.app()) {
            let (since, look) = held.get_or_insert_with(|| (Stopwatch::start(), Box::pin(sleep(LOOK))));
            if since.elapsed() >= HOLD_MAX {
                return Poll::Ready(());
            }
            ready!(look.as_mut().poll(context));
            look.as_mut().reset(clock::timer_now() + LOOK);
        }
        *held = None;
        Poll::Ready(())
    }

    /// The same bytes, counted; or the end of the call.
    fn count(&mut self, bytes: Bytes) -> Frame<Bytes> {
        let Caller { asker, room, .. } = &self.caller;
        let budget = if bytes.len() < LARGE_BYTES_MIN { &room.small } else { &room.large };
        let held = Held::new(budget.clone(), asker.verdict.app().cloned());
        if held.add(bytes.len()) {
            return Frame::data(Bytes::from_owner(Piece { bytes, _held: held }));
        }
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        let status = asker.refuse(Refusal::crowded(NO_ROOM), "");
        // Our own statuses are made of what headers may hold.
        let _ = status.add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        ready!(self.hold(context));
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(bytes) if bytes.len() >= COUNTED_BYTES_MIN => self.count(bytes),
            Ok(bytes) => Frame::data(bytes),
            Err(frame) => frame,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.has_ended { SizeHint::with_exact(0) } else { self.body.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_methods_that_answer_with_a_stream_are_known() {
        let set = prost_types::FileDescriptorSet::decode(semel_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
        let services = set.file.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service)));
        let mut found: Vec<String> = services
            .flat_map(|(package, service)| {
                let streams = service.method.iter().filter(|method| method.server_streaming());
                streams.map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
            })
            .collect();
        found.sort();
        assert_eq!(found, STREAMS);
    }
}
