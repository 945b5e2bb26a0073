//! One call with one answer on its way: what is done to it, and in which order. It owns the meaning of every fault for
//! such calls; whether and which is the plan's.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use http::{Request, Response, request, response};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};

use crate::{
    body::{self, Body, Whole},
    fault::Fault,
    headers,
    plan::Draw,
    proxy::Shared,
    substitute,
};

/// A caller that never gives up is let go after this.
const SWALLOWED_FOR: Duration = Duration::from_secs(120);

/// What a service gives hyper: an answer, or a reset.
pub(crate) type Answered = Result<Response<Body>, body::Error>;

/// A call, whole, so that it can be sent more than once.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    head: request::Parts,
    body: Whole,
}

/// The answer of the server, whole.
#[derive(Debug)]
struct Answer {
    head: response::Parts,
    body: Whole,
}

/// Passes a call on as planned. `cut` cuts the caller's connection.
pub(crate) async fn pass(
    shared: &Arc<Shared>,
    cut: &Notify,
    number: u64,
    request: Request<hyper::body::Incoming>,
) -> Answered {
    let (head, body) = request.into_parts();
    let call = Call { head, body: Whole::of(body).await? };
    let Some(draw) = shared.plan.draw(number) else {
        return Ok(given(call.send(shared).await));
    };
    tracing::info!(number, path = call.head.uri.path(), fault = draw.fault.name(), "fault");
    let did = || shared.counters.did(draw.fault);
    match draw.fault {
        Fault::Refuse => {
            did();
            Ok(substitute::answer(draw.dice))
        }
        Fault::ResetBefore => {
            did();
            Err(body::reset(substitute::reason(draw.dice)))
        }
        Fault::CutBefore => {
            did();
            cut.notify_one();
            std::future::pending().await
        }
        Fault::ResetDuring => {
            did();
            call.send_to_its_end(shared);
            // Once around, so that the call is on its way.
            tokio::task::yield_now().await;
            Err(body::reset(substitute::reason(draw.dice)))
        }
        Fault::StripRequest | Fault::StripCredentials | Fault::Respell | Fault::StripAnswer | Fault::StripTrailers => {
            Ok(given(tampered(call, shared, draw.fault).await))
        }
        Fault::CutServer => {
            did();
            Ok(given(Answer::of(shared, shared.server.send_and_cut(call.request()).await).await))
        }
        Fault::TwiceAtOnce | Fault::TwiceAfter | Fault::TwiceLater => {
            Ok(given(repeated(call, shared, draw.fault, number).await))
        }
        _ => lost(call, shared, cut, draw).await,
    }
}

/// Executed, whatever the caller does meanwhile; and then something happens to the answer.
async fn lost(call: Call, shared: &Arc<Shared>, cut: &Notify, draw: Draw) -> Answered {
    let begun = Instant::now();
    let timeout = headers::timeout(&call.head.headers);
    let Some(answer) = joined(call.send_to_its_end(shared)).await else {
        return Ok(substitute::unreachable());
    };
    shared.counters.did(draw.fault);
    match draw.fault {
        Fault::Delay => {
            tokio::time::sleep_until(begun + shared.plan.delay(timeout)).await;
            Ok(answer.response())
        }
        Fault::Swallow => {
            tokio::time::sleep(SWALLOWED_FOR).await;
            Ok(substitute::unreachable())
        }
        Fault::ResetAfter => Err(body::reset(substitute::reason(draw.dice))),
        Fault::ResetWithin => {
            Ok(Response::from_parts(answer.head, answer.body.reset_within(substitute::reason(draw.dice))))
        }
        Fault::CutAfter => {
            cut.notify_one();
            std::future::pending().await
        }
        _ => Ok(substitute::answer(draw.dice)),
    }
}

/// Sent once, with something taken from it or from its answer.
async fn tampered(mut call: Call, shared: &Arc<Shared>, fault: Fault) -> Option<Answer> {
    match fault {
        Fault::StripRequest => headers::strip(&mut call.head.headers),
        Fault::StripCredentials => {
            call.head.headers.remove(http::header::AUTHORIZATION);
        }
        _ => {}
    }
    let mut answer = call.send(shared).await?;
    shared.counters.did(fault);
    match fault {
        Fault::StripAnswer => {
            headers::strip(&mut answer.head.headers);
            answer.body.trailers.iter_mut().for_each(headers::strip);
        }
        Fault::StripTrailers => answer.body.trailers = None,
        Fault::Respell => {
            headers::respell(&mut answer.head.headers);
            if answer.head.headers.contains_key("grpc-status") {
                answer.body.trailers = Some(headers::split_trailers(&mut answer.head.headers));
            }
        }
        _ => {}
    }
    Some(answer)
}

async fn repeated(call: Call, shared: &Arc<Shared>, fault: Fault, number: u64) -> Option<Answer> {
    match fault {
        Fault::TwiceAtOnce => {
            let (mut one, mut other) = (call.send_to_its_end(shared), call.send_to_its_end(shared));
            shared.counters.did(fault);
            let first = tokio::select! {
                answer = joined(&mut one) => (answer, other),
                answer = joined(&mut other) => (answer, one),
            };
            match first {
                (Some(answer), _) => Some(answer),
                (None, second) => joined(second).await,
            }
        }
        Fault::TwiceAfter => {
            let first = joined(call.send_to_its_end(shared)).await;
            shared.counters.did(fault);
            joined(call.send_to_its_end(shared)).await.or(first)
        }
        _ => {
            let answer = call.send(shared).await;
            if let Some(early) = shared.later.keep(number + shared.plan.kept_for(), call) {
                early.send_late(shared);
            }
            answer
        }
    }
}

/// What a caller hears.
fn given(answer: Option<Answer>) -> Response<Body> {
    answer.map_or_else(substitute::unreachable, Answer::response)
}

async fn joined(sending: impl Future<Output = Result<Option<Answer>, tokio::task::JoinError>>) -> Option<Answer> {
    sending.await.ok().flatten()
}

impl Call {
    fn request(&self) -> Request<Body> {
        Request::from_parts(self.head.clone(), self.body.clone().body())
    }

    /// Sends it for as long as the caller waits.
    async fn send(&self, shared: &Shared) -> Option<Answer> {
        Answer::of(shared, shared.server.send(self.request()).await).await
    }

    /// Sends it, even if the caller goes away.
    fn send_to_its_end(&self, shared: &Arc<Shared>) -> JoinHandle<Option<Answer>> {
        let (call, shared) = (self.clone(), Arc::clone(shared));
        tokio::spawn(async move { call.send(&shared).await })
    }

    /// Sends it once more after all others; nobody waits for the answer.
    pub(crate) fn send_late(self, shared: &Arc<Shared>) -> JoinHandle<()> {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            if self.send(&shared).await.is_some() {
                shared.counters.did(Fault::TwiceLater);
            }
        })
    }
}

impl Answer {
    /// Takes an answer in; nothing if there is none.
    async fn of(shared: &Shared, sent: Result<Response<hyper::body::Incoming>, body::Error>) -> Option<Self> {
        shared.counters.sent.fetch_add(1, Ordering::Relaxed);
        let whole = match sent {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Whole::of(body).await.map(|body| Self { head, body }).map_err(Into::into)
            }
            Err(error) => Err(error),
        };
        whole
            .inspect_err(|error: &body::Error| {
                shared.counters.unreachable.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%error, "the server gave no answer");
            })
            .ok()
    }

    fn response(self) -> Response<Body> {
        Response::from_parts(self.head, self.body.body())
    }
}
