//! What callers have sent of calls that have no answer yet: how much of it is kept, and for how long.
//!
//! tonic puts a message together before any of our code sees it, for whoever sends it and however slowly it comes. So the
//! bytes are counted here as they come in, and there are two rules. *Strangers*, whose credentials were not good, may send
//! little and must be quick; of all their calls so many are under way at a time, until their answers have left, and the oldest
//! gives way to the next.
//! Those who were recognised share so many bytes of unfinished calls, and a message of theirs must not take for ever.

mod body;
mod message;
mod strangers;

use std::sync::Arc;

use http::Request;
use tonic::{Status, body::Body};

pub(super) use self::strangers::Mark;
use self::{
    body::{Bounded, Sender},
    strangers::{Stranger, Strangers},
};
use super::{
    auth_layer::Arrival,
    gate::Gate,
    held::{Budget, Held},
    status::Refusal,
};
use crate::auth::Verdict;

/// Methods whose callers go on sending: what they sent is handed on message by message, and not kept until the answer.
const STREAMS: [&str; 2] = ["/semel.v1.JobService/SubmitRuns", "/semel.v1.WorkerService/Work"];

/// See the module.
pub(super) struct Intake {
    gate: Arc<Gate>,
    budget: Arc<Budget>,
    strangers: Strangers,
}

impl Intake {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        let budget = Arc::new(Budget::new(gate.settings.intake_bytes_max));
        Self { gate, budget, strangers: Strangers::default() }
    }

    /// The same request of a caller who was judged so, with a body that keeps to the rules. With that of a stranger comes its
    /// mark, which is to be kept until the answer has left.
    pub(super) fn bound(&self, request: Request<Body>, arrival: &mut Arrival) -> (Request<Body>, Option<Mark>) {
        let mut stranger = None;
        let sender = if arrival.verdict.principal.is_none() {
            let (mark, eviction) = self.strangers.enter(arrival.brought.peer.clone());
            stranger = Some(mark.clone());
            Sender::Stranger(Box::new(Stranger::new(mark, eviction)))
        } else {
            let held = Arc::new(Held::new(self.budget.clone()));
            if STREAMS.contains(&request.uri().path()) {
                Sender::Stream(held)
            } else {
                arrival.held = Some(held.clone());
                Sender::Call(held)
            }
        };
        let (gate, verdict) = (self.gate.clone(), arrival.verdict.clone());
        (request.map(|body| Body::new(Bounded::new(body, sender, verdict, gate))), stranger)
    }
}

/// There was no room, or no more patience; nothing was done.
fn crowded(gate: &Gate, why: &str, request_id: &str, verdict: &Verdict) -> Status {
    let message = format!("{why}; nothing was done, send the call again under the same request id");
    Refusal::crowded(message).into_status(gate.basis(request_id, None, verdict).header())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_methods_to_which_callers_go_on_sending_are_known() {
        let set = prost_types::FileDescriptorSet::decode(semel_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
        let mut found = Vec::new();
        for file in set.file {
            for service in &file.service {
                let streams = service.method.iter().filter(|method| method.client_streaming());
                found.extend(streams.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
            }
        }
        found.sort();
        assert_eq!(found, STREAMS);
    }
}
