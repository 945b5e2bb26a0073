//! A stream on its way. While it opens it meets with what a call may meet with, as far as that makes sense; then each of
//! its messages, in both directions, with what is planned for messages.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::{
    body::{self, Body},
    call::Answered,
    fault::{Fault, Way},
    headers,
    messages::{Fate, Messages, Tail},
    plan::Draw,
    proxy::Shared,
    server::Lane,
    substitute,
};

/// Passes a stream on as planned. What makes no sense for a stream that opens is not done, and not counted.
pub(crate) async fn pass(
    shared: &Arc<Shared>,
    cut: &Arc<Notify>,
    number: u64,
    mut request: Request<Incoming>,
) -> Answered {
    let stream = shared.counters.streams.fetch_add(1, Ordering::Relaxed);
    let opening = shared.plan.draw(number).filter(|draw| draw.fault.is_of_openings());
    if let Some(Draw { fault, dice }) = opening {
        tracing::info!(number, path = request.uri().path(), fault = fault.name(), "fault to a stream that opens");
        let did = || shared.counters.did_to_opening(fault);
        match fault {
            Fault::Refuse => {
                did();
                return Ok(substitute::answer(dice));
            }
            Fault::ResetBefore => {
                did();
                return Err(body::reset(substitute::reason(dice)));
            }
            Fault::CutBefore => {
                did();
                cut.notify_one();
                return std::future::pending().await;
            }
            Fault::StripRequest => headers::strip(request.headers_mut()),
            Fault::StripCredentials => {
                request.headers_mut().remove(http::header::AUTHORIZATION);
            }
            _ => {}
        }
    }
    shared.counters.sent.fetch_add(1, Ordering::Relaxed);
    match opened(shared, cut, stream, request).await {
        Ok((answer, down)) => Ok(answered(answer, shared, opening, down)),
        Err(error) => {
            shared.counters.unreachable.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%error, "the server opened no stream");
            Ok(substitute::unreachable())
        }
    }
}

/// Sends the stream on; gives what comes back, and the way down.
async fn opened(
    shared: &Arc<Shared>,
    cut: &Arc<Notify>,
    stream: u64,
    request: Request<Incoming>,
) -> Result<(Response<Incoming>, Passage), body::Error> {
    let mut lane = shared.server.lane().await?;
    let up = Passage {
        shared: Arc::clone(shared),
        caller: Arc::clone(cut),
        lane: lane.clone(),
        stalled: Arc::default(),
        way: Way::Up,
        stream,
        next: 0,
    };
    let down = Passage { way: Way::Down, ..up.clone() };
    let request = request.map(|body| up.over(body, Tail::Kept));
    Ok((lane.send(request).await?, down))
}

fn answered(mut answer: Response<Incoming>, shared: &Shared, opening: Option<Draw>, down: Passage) -> Response<Body> {
    if let Some(Draw { fault, .. }) = opening {
        shared.counters.did_to_opening(fault);
    }
    let tail = match opening.map(|draw| draw.fault) {
        Some(Fault::StripAnswer) => {
            headers::strip(answer.headers_mut());
            Tail::Stripped
        }
        Some(Fault::StripTrailers) => Tail::Dropped,
        _ => Tail::Kept,
    };
    answer.map(|body| down.over(body, tail))
}

/// One direction of a stream.
#[derive(Clone)]
struct Passage {
    shared: Arc<Shared>,
    /// The caller's connection, to be cut.
    caller: Arc<Notify>,
    /// That to the server.
    lane: Lane,
    /// Whether nothing goes on any more, in either direction.
    stalled: Arc<AtomicBool>,
    way: Way,
    /// Which stream this is, and which message comes next.
    stream: u64,
    next: u64,
}

impl Passage {
    fn over(mut self, body: Incoming, tail: Tail) -> Body {
        Messages::of(body, tail, move || self.judge()).boxed_unsync()
    }

    /// What becomes of the next message.
    fn judge(&mut self) -> Fate {
        if self.stalled.load(Ordering::Relaxed) {
            return Fate::Never;
        }
        let message = self.next;
        self.next += 1;
        self.shared.counters.messages.fetch_add(1, Ordering::Relaxed);
        let Some(Draw { fault, dice }) = self.shared.plan.draw_message(self.way, self.stream, message) else {
            return Fate::Pass;
        };
        tracing::info!(stream = self.stream, message, fault = fault.name(), "fault to a message");
        self.shared.counters.did(fault);
        match fault {
            Fault::DropMessage | Fault::DropAnswer => Fate::Drop,
            Fault::RepeatMessage | Fault::RepeatAnswer => Fate::Twice,
            Fault::HoldMessage | Fault::HoldAnswer => Fate::Late(self.shared.plan.held_for()),
            Fault::CutServerWithin => {
                self.lane.cut();
                Fate::Never
            }
            Fault::CutWithin => {
                self.caller.notify_one();
                Fate::Never
            }
            Fault::ResetStream => Fate::Reset(substitute::reason(dice)),
            _ => {
                self.stalled.store(true, Ordering::Relaxed);
                Fate::Never
            }
        }
    }
}
