//! What is known only while the process lives: when each worker was last heard of, and how far attempts say they are.
//! None of it is written. After a restart every lease gets one fresh time of grace.

use std::collections::{BTreeMap, HashMap};

use semel_core::{
    State,
    id::{AttemptNumber, Millis, RunId, Timestamp, WorkerId},
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

#[derive(Debug, Default)]
pub(super) struct Liveness {
    heard: BTreeMap<WorkerId, Millis>,
    progress: HashMap<RunId, Progress>,
}

impl Liveness {
    /// A worker was heard of.
    pub(super) fn heard(&mut self, worker_id: WorkerId, now: Millis) {
        self.heard.insert(worker_id, now);
    }

    /// The workers that hold attempts and were silent for longer than a lease. A holder that was never heard of by this
    /// process gets a lease from now on.
    pub(super) fn lost(&mut self, state: &State, now: Millis, lease: Millis) -> Vec<WorkerId> {
        let holders: Vec<WorkerId> = state.holders().collect();
        holders
            .into_iter()
            .filter(|worker_id| self.heard.entry(*worker_id).or_insert(now).0 + lease.0 <= now.0)
            .collect()
    }

    /// Whether a worker was heard of within its lease.
    pub(super) fn is_heard(&self, worker_id: WorkerId, now: Millis, lease: Millis) -> bool {
        self.heard.get(&worker_id).is_some_and(|heard| heard.0 + lease.0 > now.0)
    }

    /// When the next holder would be lost if nothing were heard of it.
    pub(super) fn next_loss(&self, state: &State, lease: Millis) -> Option<Millis> {
        state.holders().map(|worker_id| Millis(self.heard.get(&worker_id).map_or(0, |heard| heard.0) + lease.0)).min()
    }

    /// Forgets workers that hold nothing and were silent for long.
    pub(super) fn sweep(&mut self, state: &State, now: Millis, lease: Millis) {
        self.heard.retain(|worker_id, heard| heard.0 + lease.0 > now.0 || state.held_count(*worker_id) > 0);
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
