//! What came of batches on its way out, to callers, workers and watchers; and the one batch that is not durable yet and must
//! stay here until it is. Knows no rule.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::Ordering},
};

use semel_core::limits;
use tokio::{
    runtime,
    sync::mpsc::{self, error::TrySendError},
};
use tracing::warn;

use super::{
    answer::{Answer, Disposition},
    dispatch::Order,
    feed::FeedSender,
    handle::Parts,
    message::Sent,
    passages::PassageSender,
    replies::{self, Reply},
    step::StepOutput,
    upkeep::Forgot,
    workers::SessionId,
};
use crate::{
    clock::Stopwatch,
    metrics::{Answered, Commit, Metrics},
    store::{Error, Store},
};

/// Orders that wait for one worker to read them: more than three for each attempt that it may hold (that it begins, that it
/// stops, that it is none of its own). A worker that is further behind is cut off, and told all that still holds when it comes
/// again.
pub(super) const ORDERS_MAX: usize = 3 * limits::WORKER_SLOTS_MAX as usize + 64;

/// See the module.
pub(super) struct Desk {
    /// What waits to become durable.
    kept: Option<(StepOutput, Vec<Reply>)>,
    orders: HashMap<SessionId, mpsc::Sender<Order>>,
    /// To whoever watches; none as long as nobody ever did.
    feed: Option<FeedSender>,
    /// To whoever draws traces, if anybody does.
    passages: Option<PassageSender>,
    /// Where is counted what is handed out, if anybody wants to know.
    metrics: Option<Arc<Metrics>>,
    shared: Weak<Parts>,
    /// Where callers wait.
    runtime: runtime::Handle,
}

impl Desk {
    /// One with nothing on it.
    pub(super) fn new(
        shared: Weak<Parts>,
        runtime: runtime::Handle,
        metrics: Option<Arc<Metrics>>,
        passages: Option<PassageSender>,
    ) -> Self {
        Self { kept: None, orders: HashMap::new(), feed: None, passages, metrics, shared, runtime }
    }

    /// From now on what happens is told to this one as well.
    pub(super) fn feed(&mut self, feed: FeedSender) {
        self.feed = Some(feed);
    }

    /// A worker has come: in place of a former session, and with what it must be told again.
    pub(super) fn open(
        &mut self,
        id: SessionId,
        orders: mpsc::Sender<Order>,
        replaced: Option<SessionId>,
        resend: Vec<Order>,
    ) {
        if let Some(former) = replaced.and_then(|former| self.orders.remove(&former)) {
            let _ = former.try_send(Order::Replaced);
        }
        for order in resend {
            let _ = orders.try_send(order);
        }
        self.orders.insert(id, orders);
    }

    /// A worker has gone.
    pub(super) fn close(&mut self, id: SessionId) {
        self.orders.remove(&id);
    }

    /// A request has come, and it may be known since when it waited: then the next one is to be measured.
    pub(super) fn came(&self, sent: Sent) {
        if let (Some(sent), Some(metrics)) = (sent, &self.metrics) {
            metrics.waited(sent.elapsed());
            self.shared.upgrade().into_iter().for_each(|shared| shared.is_sampled.store(true, Ordering::Relaxed));
        }
    }

    /// Keeps what is not durable yet. There is nothing of the kind here when this is called.
    pub(super) fn keep(&mut self, output: StepOutput, replies: Vec<Reply>) {
        debug_assert!(self.kept.is_none(), "one write is under way at a time");
        self.kept = Some((output, replies));
    }

    /// Hands out what is kept if it is durable by now.
    ///
    /// # Errors
    /// When the store failed: then it never will be.
    pub(super) fn look(&mut self, store: &mut dyn Store) -> Result<(), Error> {
        if self.kept.is_some() && store.is_settled() {
            store.settle()?;
            self.hand_out_kept();
        }
        Ok(())
    }

    /// Hands out what is kept: it is durable.
    pub(super) fn hand_out_kept(&mut self) {
        if let Some((output, replies)) = self.kept.take() {
            self.hand_out(output, replies);
        }
    }

    /// Everything in here is durable.
    pub(super) fn hand_out(&mut self, mut output: StepOutput, replies: Vec<Reply>) {
        // Before anybody can know that the log of events is so far: whoever does may say that nothing is missing up to there.
        for (audit, deed) in std::mem::take(&mut output.deeds) {
            audit.did(deed);
        }
        if let Some(metrics) = &self.metrics {
            count(metrics, &output);
        }
        if let Some(shared) = self.shared.upgrade() {
            shared.committed.store(output.revision.0, Ordering::Release);
            shared.high_water.store(output.time.0, Ordering::Release);
            if let Some(directory) = output.directory {
                shared.directory.store(directory);
            }
            shared.waiters.ring(output.changed_runs.iter());
        }
        if let Some(feed) = &mut self.feed {
            feed.send(output.records);
        }
        if let Some(passages) = &self.passages {
            passages.send(output.passages);
        }
        for (session_id, order) in output.orders {
            let full = |orders: &mpsc::Sender<Order>| matches!(orders.try_send(order), Err(TrySendError::Full(_)));
            if self.orders.get(&session_id).is_some_and(full) {
                warn!(session = session_id.0, "a worker does not read what it is ordered; its stream is ended");
                self.orders.remove(&session_id);
            }
        }
        replies::send(&self.runtime, replies, output.answers);
    }
}

/// Counts a batch that is durable.
fn count(metrics: &Metrics, output: &StepOutput) {
    let answers = output.answers.iter().map(|submitted| match submitted {
        Ok(Answer { disposition: Disposition::Executed, .. }) => Answered::Executed,
        Ok(Answer { disposition: Disposition::Replayed, .. }) => Answered::Replayed,
        Err(refused) => Answered::Refused(refused.reason()),
    });
    metrics.answered(answers);
    let Forgot { requests, runs, records, is_more } = output.forgot;
    metrics.committed(&Commit {
        records: &output.records,
        revision: output.revision,
        waits: &output.waits,
        took: output.writing.map(Stopwatch::elapsed),
        forgot: [requests, runs, records],
        is_more,
    });
}
