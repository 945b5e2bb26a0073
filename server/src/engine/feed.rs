//! The way of what is committed to those who watch. Costs the engine a move of what it has anyway, and nothing as long as
//! nobody ever watched. It is no queue of promises: what is too much for it is passed over, the receiver is told up to
//! where, and reads that from the store.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
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
    fed: mpsc::UnboundedReceiver<Fed>,
    waiting: Arc<AtomicUsize>,
}

/// The engine's end.
pub(super) struct FeedSender {
    sender: mpsc::UnboundedSender<Fed>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn channel() -> (FeedSender, Feed) {
    let (sender, fed) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (FeedSender { sender, waiting: waiting.clone() }, Feed { fed, waiting })
}

impl FeedSender {
    /// Hands records on that are durable.
    pub(super) fn send(&self, mut records: Vec<Record>) {
        let Some(last) = records.last().map(|record| record.revision) else { return };
        let count = records.len();
        let fed = if self.waiting.fetch_add(count, Ordering::Relaxed) + count > WAITING_MAX {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            Fed::Passed(last)
        } else {
            records.iter_mut().flat_map(|record| &mut record.events).for_each(let_go_of_bytes);
            Fed::Records(records)
        };
        let _ = self.sender.send(fed);
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
        let fed = self.fed.recv().await?;
        if let Fed::Records(records) = &fed {
            self.waiting.fetch_sub(records.len(), Ordering::Relaxed);
        }
        Some(fed)
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
        let (sender, mut feed) = channel();
        let most = WAITING_MAX as u64;
        sender.send(records(1..most + 1));
        sender.send(records(most + 1..most + 3));
        assert!(matches!(feed.next().await, Some(Fed::Records(records)) if records.len() == WAITING_MAX));
        assert!(matches!(feed.next().await, Some(Fed::Passed(last)) if last == Revision(most + 2)));
        sender.send(records(most + 3..most + 4));
        assert!(matches!(feed.next().await, Some(Fed::Records(records)) if records.len() == 1));
        sender.send(Vec::new());
        drop(sender);
        assert!(feed.next().await.is_none());
    }
}
