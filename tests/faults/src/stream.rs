//! A stream on its way. It is passed on as it comes, in both directions, and at most broken off: it cannot be repeated,
//! for nobody has the whole of it.

use std::sync::{Arc, atomic::Ordering};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tokio::sync::Notify;

use crate::{body, call::Answered, fault::Fault, headers, plan::Draw, proxy::Shared, substitute};

/// A stream is broken off after so many frames of the server at most.
const FRAMES_MAX: u32 = 64;

/// Passes a stream on as planned. What makes no sense for a stream is not done, and not counted.
pub(crate) async fn pass(
    shared: &Arc<Shared>,
    cut: &Arc<Notify>,
    number: u64,
    mut request: Request<Incoming>,
) -> Answered {
    let draw = shared.plan.draw(number);
    if let Some(draw) = draw {
        tracing::info!(number, path = request.uri().path(), fault = draw.fault.name(), "fault to a stream");
        let never = matches!(draw.fault, Fault::Refuse | Fault::ResetBefore | Fault::CutBefore);
        if never {
            shared.counters.did(draw.fault);
        }
        match draw.fault {
            Fault::Refuse => return Ok(substitute::answer(draw.dice)),
            Fault::ResetBefore => return Err(body::reset(substitute::reason(draw.dice))),
            Fault::CutBefore => {
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
    match shared.server.send(request.map(body::passed)).await {
        Ok(answer) => Ok(answered(answer, shared, cut, draw)),
        Err(error) => {
            shared.counters.unreachable.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%error, "the server opened no stream");
            Ok(substitute::unreachable())
        }
    }
}

fn answered(
    mut answer: Response<Incoming>,
    shared: &Arc<Shared>,
    cut: &Arc<Notify>,
    draw: Option<Draw>,
) -> Response<body::Body> {
    let Some(Draw { fault, dice }) = draw else { return answer.map(body::passed) };
    match fault {
        Fault::StripRequest | Fault::StripCredentials => shared.counters.did(fault),
        Fault::StripAnswer => {
            shared.counters.did(fault);
            headers::strip(answer.headers_mut());
            return answer.map(|body| body.map_frame(stripped).map_err(Into::into).boxed_unsync());
        }
        Fault::LoseAnswer | Fault::ResetAfter | Fault::ResetWithin | Fault::ResetDuring | Fault::CutAfter => {
            let (shared, cut) = (Arc::clone(shared), Arc::clone(cut));
            let then = move || {
                shared.counters.did(fault);
                if fault == Fault::CutAfter {
                    cut.notify_one();
                }
            };
            return answer.map(|body| body::broken_off(body, 1 + dice % FRAMES_MAX, substitute::reason(dice), then));
        }
        _ => {}
    }
    answer.map(body::passed)
}

fn stripped(frame: Frame<bytes::Bytes>) -> Frame<bytes::Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::strip(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
