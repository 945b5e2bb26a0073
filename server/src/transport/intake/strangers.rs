//! Calls of those who were not recognised: how many are under way, and what one of them may send.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use prost::{Message as _, encoding};
use semel_proto::v1;
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};
use tonic::Status;

use super::{message::Messages, too_many};
use crate::transport::{asker::Asker, listen::Peer, status::Refusal};

/// Calls at a time.
const CALLS_MAX: usize = 1024;
/// What one of them may send: a secret fits in, and so does the request id that its refusal must name.
pub(super) const BYTES_MAX: usize = 64 << 10;
/// How long one of them may take to send it.
const TIME_MAX: Duration = Duration::from_secs(10);
/// What is looked at of a message that is too large, to find its request id: it stands at the beginning.
const LOOKED_AT_MAX: usize = 1 << 10;

/// Kept as long as a call of a stranger is under way.
pub(super) type Mark = Arc<()>;

/// Those that are under way, in the order of their coming; some of them may have ended.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<VecDeque<Entry>>);

#[derive(Debug)]
struct Entry {
    mark: Weak<()>,
    /// Ends the request, if it is still coming in.
    evict: oneshot::Sender<()>,
    peer: Option<Arc<Peer>>,
}

impl Entry {
    fn has_ended(&self) -> bool {
        self.mark.strong_count() == 0
    }
}

impl Strangers {
    /// Counts one more; where there are too many the oldest gives way, with its connection unless somebody on it was recognised:
    /// an answer that nobody takes can be got rid of in no other way.
    pub(super) fn enter(&self, peer: Option<Arc<Peer>>) -> (Mark, oneshot::Receiver<()>) {
        let (evict, eviction) = oneshot::channel();
        let mark = Mark::default();
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while calls.front().is_some_and(Entry::has_ended) {
            calls.pop_front();
        }
        if calls.len() >= CALLS_MAX {
            calls.retain(|call| !call.has_ended());
        }
        if calls.len() >= CALLS_MAX
            && let Some(oldest) = calls.pop_front()
        {
            let _ = oldest.evict.send(());
            if let Some(peer) = oldest.peer {
                peer.cut();
            }
        }
        calls.push_back(Entry { mark: Arc::downgrade(&mark), evict, peer });
        (mark, eviction)
    }
}

/// One of these calls.
pub(super) struct Stranger {
    _mark: Mark,
    eviction: oneshot::Receiver<()>,
    alarm: Pin<Box<Sleep>>,
    received: usize,
    /// How its first message begins.
    beginning: Vec<u8>,
}

impl Stranger {
    pub(super) fn new(mark: Mark, eviction: oneshot::Receiver<()>) -> Self {
        let alarm = Box::pin(sleep(TIME_MAX));
        Self { _mark: mark, eviction, alarm, received: 0, beginning: Vec::new() }
    }

    /// How the call ends, if it must.
    pub(super) fn must_end(&mut self, asker: &Asker, context: &mut Context<'_>) -> Option<Status> {
        let why = if let Poll::Ready(Ok(())) = Pin::new(&mut self.eviction).poll(context) {
            "there are too many calls without good credentials"
        } else if self.alarm.as_mut().poll(context).is_ready() {
            "the request took too long to come in"
        } else {
            return None;
        };
        Some(asker.refuse(too_many(why), &self.request_id()))
    }

    /// Looks at what came. Gives the refusal once it is too much: that of the credentials, to which any larger message would
    /// have come as well.
    pub(super) fn saw(&mut self, asker: &Asker, messages: &Messages, bytes: &[u8]) -> Result<(), Status> {
        self.received = self.received.saturating_add(bytes.len());
        let room = LOOKED_AT_MAX - self.beginning.len();
        self.beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let is_known = || self.beginning.len() == LOOKED_AT_MAX || !self.request_id().is_empty();
        if self.received <= BYTES_MAX && (messages.largest() <= BYTES_MAX || !is_known()) {
            return Ok(());
        }
        let refusal = Refusal::of_verdict(&asker.verdict).unwrap_or_else(|| too_many("the request is too large"));
        Err(asker.refuse(refusal, &self.request_id()))
    }

    /// The id in the header of the first message, which is the first field of every request; empty if it is not to be seen.
    fn request_id(&self) -> String {
        let header = || {
            let mut bytes = self.beginning.get(5..)?;
            let (tag, wire) = encoding::decode_key(&mut bytes).ok()?;
            let length = encoding::decode_varint(&mut bytes).ok()?;
            let is_header = tag == 1 && wire == encoding::WireType::LengthDelimited;
            let header = is_header.then(|| bytes.get(..usize::try_from(length).ok()?)).flatten()?;
            v1::RequestHeader::decode(header).ok()
        };
        header().map(|header| header.request_id).filter(|id| id.len() <= ID_BYTES_MAX).unwrap_or_default()
    }
}

/// A longer one is none, and is not shown.
const ID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_call_gives_way_to_the_next_one_too_many() {
        let strangers = Strangers::default();
        let (_first, mut first_evicted) = strangers.enter(None);
        drop(strangers.enter(None));
        let others: Vec<_> = (0..CALLS_MAX - 1).map(|_| strangers.enter(None)).collect();
        assert!(first_evicted.try_recv().is_err(), "the one that ended made room");
        let _last = strangers.enter(None);
        assert!(first_evicted.try_recv().is_ok());
        drop(others);
        drop(strangers.enter(None));
        assert!(strangers.0.lock().expect("not poisoned").len() <= CALLS_MAX);
    }

    #[tokio::test]
    async fn the_request_id_is_found_at_the_beginning_of_a_large_message() {
        let (_evict, eviction) = oneshot::channel();
        let mut stranger = Stranger::new(Mark::default(), eviction);
        let header = v1::RequestHeader { request_id: "an id".to_owned(), ..Default::default() };
        let request = v1::RunJobRequest { header: Some(header), job: "j".repeat(100), ..Default::default() };
        stranger.beginning = [vec![0; 5], request.encode_to_vec()].concat();
        assert_eq!(stranger.request_id(), "an id");
        stranger.beginning.truncate(9);
        assert_eq!(stranger.request_id(), "");
        stranger.beginning = vec![0xff; LOOKED_AT_MAX];
        assert_eq!(stranger.request_id(), "");
    }
}
