//! Messages that could not be read. The library refuses them before any of our code is asked, with a bare INTERNAL that says
//! nothing of the caller's credentials and that some retry; here it becomes a refusal like all others.

use http::Response;
use tonic::{Code, Status};

use super::{asker::Asker, direct::Sent, status::Refusal};

/// The answer as it was, or the refusal that it should have been.
pub(super) fn told(answer: Response<Sent>, asker: &Asker) -> Response<Sent> {
    let headers = answer.headers();
    let is_bare = headers.contains_key(Status::GRPC_STATUS) && !headers.contains_key(Status::GRPC_STATUS_DETAILS);
    // All of ours have details; of others none that is served here says INTERNAL.
    let Some(status) = is_bare.then(|| Status::from_header_map(headers)).flatten() else { return answer };
    if status.code() != Code::Internal {
        return answer;
    }
    let refusal = Refusal::of_verdict(&asker.verdict).unwrap_or_else(|| {
        let message = format!("the message could not be read: {}", status.message());
        Refusal::new(Code::InvalidArgument, "INVALID", message)
    });
    asker.refuse(refusal, "").into_http()
}
