//! What is known only while the process lives: when each worker was last heard of, and how far attempts say they are.
//! None of it is written. After a restart every lease gets one fresh time of grace.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use semel_core::{
    State,
    id::{AttemptNumber, Millis, RunId, Timestamp, WorkerKey},
};

/// How far an attempt says that it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Which attempt.
    pub attempt: AttemptNumber,
    /// From 0 to 1.
    pub fraction: f64,
    /// What it is at.
    pub message: String,
    /// When it said so.
    pub time: Timestamp,
}

/// That a session was heard of and the engine does not know it yet. Set where its stream is read: if the engine is late, this
/// still says that the worker was not silent.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse(Arc<AtomicBool>);

impl Pulse {
    /// It was heard of. True if the engine must be told.
    pub(super) fn beat(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::AcqRel)
    }

    /// The engine knows.
    pub(super) fn known(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether there is something that the engine does not know yet.
    pub(super) fn is_news(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
pub(super) struct Liveness {
    heard: BTreeMap<WorkerKey, Millis>,
    progress: HashMap<RunId, Progress>,
    /// Who was last heard of then, or earlier, is silent: a lease ago, as of the last look.
    silent_until: Millis,
}

impl Liveness {
    /// A worker was heard of.
    pub(super) fn heard(&mut self, worker: WorkerKey, now: Millis) {
        self.heard.insert(worker, now);
    }

    /// The workers that hold attempts and were silent for longer than a lease. A holder that was never heard of by this
    /// process gets a lease from now on.
    pub(super) fn lost(&mut self, state: &State, now: Millis, lease: Millis) -> Vec<WorkerKey> {
        self.silent_until = Millis(now.0 - lease.0);
        let mut lost = Vec::new();
        for worker in state.holders() {
            match self.heard.get(worker) {
                Some(heard) if heard.0 + lease.0 <= now.0 => lost.push(worker.clone()),
                Some(_) => {}
                None => self.heard(worker.clone(), now),
            }
        }
        lost
    }

    /// Whether a worker was heard of within its lease. One that was not gets no work, although its stream may still
    /// stand: the work would be lost with it at once.
    pub(super) fn is_awake(&self, worker: &WorkerKey) -> bool {
        self.heard.get(worker).is_some_and(|heard| *heard > self.silent_until)
    }

    /// When the next holder would be lost if nothing were heard of it.
    pub(super) fn next_loss(&self, state: &State, lease: Millis) -> Option<Millis> {
        state.holders().map(|worker| Millis(self.heard.get(worker).map_or(0, |heard| heard.0) + lease.0)).min()
    }

    /// Forgets workers that hold nothing and were silent for long.
    pub(super) fn sweep(&mut self, state: &State, now: Millis, lease: Millis) {
        self.heard.retain(|worker, heard| heard.0 + lease.0 > now.0 || state.held_count(worker) > 0);
    }

    pub(super) fn set_progress(&mut self, run_id: RunId, progress: Progress) {
        self.progress.insert(run_id, progress);
    }

    pub(super) fn progress(&self, run_id: RunId) -> Option<&Progress> {
        self.progress.get(&run_id)
    }

    pub(super) fn forget_progress(&mut self, run_id: RunId) {
        self.progress.remove(&run_id);
    }
}
