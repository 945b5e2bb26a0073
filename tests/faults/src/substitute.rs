//! What a proxy says in the server's stead. It owns the forms of that and knows no call.

use h2::Reason;
use http::{Response, StatusCode};

use crate::body::{Body, Whole};

/// The codes with which streams are reset on the way. Some say that nothing was done; that is not to be believed.
const REASONS: &[Reason] = &[
    Reason::INTERNAL_ERROR,
    Reason::CANCEL,
    Reason::REFUSED_STREAM,
    Reason::NO_ERROR,
    Reason::ENHANCE_YOUR_CALM,
    Reason::STREAM_CLOSED,
];
/// The statuses of gateways; after these, by the dice, comes a gRPC status.
const STATUSES: &[StatusCode] =
    &[StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];

/// A code for a reset.
pub(crate) fn reason(dice: u32) -> Reason {
    REASONS[dice as usize % REASONS.len()]
}

/// An answer: 502, 503, 504 or UNAVAILABLE.
pub(crate) fn answer(dice: u32) -> Response<Body> {
    let mut answer = Response::new(Whole::default().body());
    match STATUSES.get(dice as usize % (STATUSES.len() + 1)) {
        Some(status) => *answer.status_mut() = *status,
        None => {
            for (name, value) in
                [("content-type", "application/grpc"), ("grpc-status", "14"), ("grpc-message", "no healthy upstream")]
            {
                answer.headers_mut().insert(name, http::HeaderValue::from_static(value));
            }
        }
    }
    answer
}

/// What the caller hears when the server is not there, or breaks off.
pub(crate) fn unreachable() -> Response<Body> {
    answer(1)
}
