//! The way of what is committed to those who watch. Costs the engine a move of what it has anyway, and nothing as long as
//! nobody ever watched. It is no queue of promises: what is too much for it is passed over, the receiver is told up to
//! where, and reads that from the store.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use semel_core::{
    event::{Event, Record},
    id::Revision,
};
use tokio::sync::mpsc;

/// Records that wait for the receiver. More than a few commits only wait when it cannot keep up, and then the store
/// serves as well.
const WAITING_MAX: usize = 1 << 16;

/// What was committed.
#[derive(Debug)]
pub enum Fed {
    /// These records, which follow on what came before.
    Records(Vec<Record>),
    /// Everything up to this position lies in the store, and only there.
    Passed(Revision),
}

/// The receiving end.
pub struct Feed {
    fed: mpsc::UnboundedReceiver<Waiting>,
    waiting: Arc<AtomicUsize>,
}

/// What waits for the receiver.
enum Waiting {
    Records(Vec<Record>),
    /// Up to where was passed over. The sender moves it on until it is taken: however long the receiver is away, one is enough.
    Passed(Arc<AtomicU64>),
}

/// Where a mark stands that was taken.
const TAKEN: u64 = u64::MAX;

/// The engine's end.
pub(super) struct FeedSender {
    sender: mpsc::UnboundedSender<Waiting>,
    waiting: Arc<AtomicUsize>,
    /// The mark that was sent last, if nothing was sent after it.
    passed: Option<Arc<AtomicU64>>,
}

pub(super) fn channel() -> (FeedSender, Feed) {
    let (sender, fed) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (FeedSender { sender, waiting: waiting.clone(), passed: None }, Feed { fed, waiting })
}

impl FeedSender {
    /// Hands records on that are durable.
    pub(super) fn send(&mut self, mut records: Vec<Record>) {
        let Some(last) = records.last().map(|record| record.revision) else { return };
        let count = records.len();
        if self.waiting.fetch_add(count, Ordering::Relaxed) + count > WAITING_MAX {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            self.pass(last);
        } else {
            records.iter_mut().flat_map(|record| &mut record.events).for_each(let_go_of_bytes);
            self.passed = None;
            let _ = self.sender.send(Waiting::Records(records));
        }
    }

    fn pass(&mut self, last: Revision) {
        let moved = |mark: &Arc<AtomicU64>| {
            let move_on = |at| (at != TAKEN).then_some(last.0);
            mark.fetch_update(Ordering::AcqRel, Ordering::Acquire, move_on).is_ok()
        };
        if !self.passed.as_ref().is_some_and(moved) {
            let mark = Arc::new(AtomicU64::new(last.0));
            self.passed = Some(mark.clone());
            let _ = self.sender.send(Waiting::Passed(mark));
        }
    }
}

/// Inputs, results and logs lie in the store, and no watcher is told of them.
fn let_go_of_bytes(event: &mut Event) {
    match event {
        Event::RunCreated { payload, .. } => *payload = None,
        Event::AttemptEnded { result, .. } => *result = None,
        Event::LogAppended { data, .. } => data.clear(),
        _ => {}
    }
}

impl Feed {
    /// What was committed next; none when the engine has gone.
    pub async fn next(&mut self) -> Option<Fed> {
        Some(match self.fed.recv().await? {
            Waiting::Records(records) => {
                self.waiting.fetch_sub(records.len(), Ordering::Relaxed);
                Fed::Records(records)
            }
            Waiting::Passed(mark) => Fed::Passed(Revision(mark.swap(TAKEN, Ordering::AcqRel))),
        })
    }
}

#[cfg(test)]
mod tests {
    use semel_core::id::Timestamp;

    use super::*;

    fn records(revisions: std::ops::Range<u64>) -> Vec<Record> {
        let record = |revision| Record {
            revision: Revision(revision),
            time: Timestamp(0),
            request_id: None,
            principal: "".into(),
            events: Vec::new(),
            facts: Vec::new(),
        };
        revisions.map(record).collect()
    }

    #[tokio::test]
    async fn what_is_too_much_is_passed_over_and_said_so() {
        let (mut sender, mut feed) = channel();
        let most = WAITING_MAX as u64;
        sender.send(records(1..most + 1));
        sender.send(records(most + 1..most + 2));
        sender.send(records(most + 2..most + 3));
        assert_eq!(feed.fed.len(), 2, "one mark, however much is passed over");
        assert!(matches!(feed.next().await, Some(Fed::Records(records)) if records.len() == WAITING_MAX));
        assert!(matches!(feed.next().await, Some(Fed::Passed(last)) if last == Revision(most + 2)));
        sender.send(records(most + 3..2 * most + 4));
        assert!(
            matches!(feed.next().await, Some(Fed::Passed(last)) if last == Revision(2 * most + 3)),
            "a mark of its own"
        );
        sender.send(records(2 * most + 4..2 * most + 5));
        assert!(matches!(feed.next().await, Some(Fed::Records(records)) if records.len() == 1));
        sender.send(Vec::new());
        drop(sender);
        assert!(feed.next().await.is_none());
    }
}
