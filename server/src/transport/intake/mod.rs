//! What callers have sent of calls that have no answer yet: how much of it is kept, and for how long.
//!
//! tonic puts a message together before any of our code sees it, for whoever sends it and however slowly it comes. So the
//! bytes are counted here as they come in, and there are two rules. *Strangers*, whose credentials were not good, may send
//! little and must be quick; of all their calls so many are under way at a time, until their answers have left, and the oldest
//! gives way to the next.
//! Those who were recognised share so many bytes of unfinished calls, by the rule of [`super::shares`], and a message of theirs
//! must not take for ever.

mod body;
mod items;
mod message;
mod strangers;

use std::sync::Arc;

use http::{HeaderMap, Request};

pub(super) use self::body::{Bounded, Source};
use self::{
    body::Sender,
    message::Messages,
    strangers::{Mark, Stranger, Strangers},
};
use super::{
    asker::Asker,
    auth_layer::Arrival,
    held::{Budget, Held},
    open::{Full, OpenCalls, Share},
    status::Refusal,
};
use crate::auth::Verdict;

/// Methods whose callers go on sending: what they sent is handed on message by message, and not kept until the answer.
const STREAMS: [&str; 2] = [SUBMIT_RUNS, WORK];
/// The one of them whose messages have items.
const SUBMIT_RUNS: &str = "/semel.v1.JobService/SubmitRuns";
/// And the one of workers, whose reports must come in whoever submits meanwhile.
const WORK: &str = "/semel.v1.WorkerService/Work";

/// See the module.
pub(super) struct Intake {
    budget: Arc<Budget>,
    /// The same for workers' streams.
    of_workers: Arc<Budget>,
    open: Arc<OpenCalls>,
    strangers: Strangers,
}

impl Intake {
    /// With so many bytes for requests, of messages that have so many at most, and a quarter of that for what workers say.
    pub(super) fn new(bytes_max: usize, message_bytes_max: usize, open: Arc<OpenCalls>) -> Self {
        let budget = Arc::new(Budget::shared(bytes_max));
        // In the half that nobody asks about there is always room for one message.
        let of_workers = Arc::new(Budget::shared((bytes_max / 4).max(message_bytes_max.saturating_mul(2))));
        Self { budget, of_workers, open, strangers: Strangers::default() }
    }

    /// The same request, with a body that keeps to the rules, and what is to be kept until the
    /// answer has left.
    ///
    /// # Errors
    /// Where there is no room for the calls of those who were recognised. Strangers make room for each other.
    pub(super) fn bound(
        &self,
        request: Request<impl Into<Source>>,
        arrival: &mut Arrival,
        asker: Arc<Asker>,
    ) -> Result<(Request<Bounded>, Option<Place>), Refusal> {
        let (sender, place) = if arrival.verdict.principal.is_none() {
            let (mark, eviction) = self.strangers.enter(arrival.brought.peer.clone());
            let stranger = Stranger::new(mark.clone(), eviction);
            (Sender::Stranger(Box::new(stranger)), Some(Place::Stranger(mark)))
        } else {
            let place = self.enter(request.uri().path(), &arrival.verdict)?.map(Place::Share);
            let budget = if request.uri().path() == WORK { &self.of_workers } else { &self.budget };
            let held = Arc::new(Held::new(budget.clone(), arrival.verdict.app().cloned()));
            if STREAMS.contains(&request.uri().path()) {
                (Sender::Stream(held), place)
            } else {
                if !held.add(memory_of(request.headers())) {
                    return Err(too_many(NO_ROOM));
                }
                arrival.held = Some(held.clone());
                (Sender::Call(held), place)
            }
        };
        let messages = if request.uri().path() == SUBMIT_RUNS { Messages::with_items() } else { Messages::default() };
        Ok((request.map(|body| Bounded::new(body.into(), sender, messages, asker)), place))
    }

    /// A place among the calls of those who were recognised.
    fn enter(&self, path: &str, verdict: &Verdict) -> Result<Option<Share>, Refusal> {
        self.open.enter(path, verdict.app()).map_err(|full| {
            too_many(match full {
                Full::Server => "there are as many calls under way as may be (limits.calls)",
                Full::App => {
                    "the app has as many calls under way as it may while there is so little room (limits.calls)"
                }
            })
        })
    }
}

/// What counts a call until its answer has left; it is only kept.
pub(super) enum Place {
    /// Among those of strangers.
    Stranger(#[expect(dead_code, reason = "it is only kept")] Mark),
    /// Among those of its app, when there are many.
    Share(#[expect(dead_code, reason = "it is only kept")] Share),
}

/// Why a call is refused that finds the budget used up.
const NO_ROOM: &str =
    "requests under way have all the room there is for them, or for those of one app (limits.intake_bytes_max)";

/// There was no room, or no more patience; nothing was done.
fn too_many(why: &str) -> Refusal {
    Refusal::crowded(format!("{why}; nothing was done, send the call again under the same request id"))
}

/// What headers hold in memory, in bytes: many small ones hold several times what they have on the wire.
fn memory_of(headers: &HeaderMap) -> usize {
    let text: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    text + headers.capacity() * HEADER_BYTES
}

/// What a map has for each header that it could take: a name, a value, where they stand.
const HEADER_BYTES: usize = 120;

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
