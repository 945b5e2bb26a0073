//! The indexes over the primary facts. Whoever changes a run takes it out first and puts it back after.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    UniqueHold,
    queue::{JobQueue, Ready},
    timers::{self, Timer, Timers},
    triggers::TriggerIndex,
};
use crate::{
    id::{AppName, AttemptNumber, JobKey, ProcessorName, RunId, Timestamp, TokenId, WorkerKey},
    job::Job,
    run::{Attempt, Phase, Run},
};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) queues: BTreeMap<JobKey, JobQueue>,
    pub(super) ready: Ready,
    pub(super) timers: Timers,
    pub(super) holders: BTreeMap<WorkerKey, BTreeSet<(RunId, AttemptNumber)>>,
    pub(super) live_by_app: BTreeMap<AppName, u64>,
    /// How many runs stand in each state, in the order of [`Phase::ALL`].
    pub(super) by_phase: [u64; Phase::ALL.len()],
    pub(super) triggers: TriggerIndex,
}

impl Index {
    pub(super) fn insert_run(&mut self, run: &Run, job: Option<&Job>) {
        let queue = match self.queues.get_mut(&run.job) {
            Some(queue) => queue,
            None => self.queues.entry(run.job.clone()).or_default(),
        };
        // Most runs go to the end of a queue, and change nothing for those before.
        if queue.insert(run) {
            queue.publish(&run.job, job, &mut self.ready);
        }
        for (at, timer) in timers::of_run(run) {
            self.timers.insert(at, timer);
        }
        if let Some(attempt) = run.held() {
            self.holders.entry(holder_of(run, attempt)).or_default().insert((run.id, attempt.number));
        }
        match self.live_by_app.get_mut(&run.job.app) {
            Some(live) => *live += 1,
            None => drop(self.live_by_app.insert(run.job.app.clone(), 1)),
        }
        self.by_phase[run.state.phase() as usize] += 1;
    }

    pub(super) fn remove_run(&mut self, run: &Run, job: Option<&Job>) {
        if let Some(queue) = self.queues.get_mut(&run.job) {
            if queue.remove(run) {
                queue.publish(&run.job, job, &mut self.ready);
            }
            if queue.is_empty() {
                self.queues.remove(&run.job);
            }
        }
        for (at, timer) in timers::of_run(run) {
            self.timers.remove(at, timer);
        }
        if let Some(attempt) = run.held()
            && let Some(held) = self.holders.get_mut(&holder_of(run, attempt))
        {
            held.remove(&(run.id, attempt.number));
            if held.is_empty() {
                self.holders.remove(&holder_of(run, attempt));
            }
        }
        if let Some(live) = self.live_by_app.get_mut(&run.job.app) {
            *live -= 1;
            if *live == 0 {
                self.live_by_app.remove(&run.job.app);
            }
        }
        self.by_phase[run.state.phase() as usize] -= 1;
    }

    /// After a job itself changed.
    pub(super) fn publish_job(&mut self, key: &JobKey, job: Option<&Job>) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.publish(key, job, &mut self.ready);
        }
    }

    pub(super) fn insert_hold(&mut self, key: &(JobKey, String), hold: &UniqueHold) {
        if let Some((at, timer)) = hold_timer(key, hold) {
            self.timers.insert(at, timer);
        }
    }

    pub(super) fn remove_hold(&mut self, key: &(JobKey, String), hold: &UniqueHold) {
        if let Some((at, timer)) = hold_timer(key, hold) {
            self.timers.remove(at, timer);
        }
    }

    pub(super) fn insert_token(&mut self, token_id: TokenId, expire_time: Timestamp) {
        self.timers.insert(expire_time, Timer::ForgetToken(token_id));
    }

    pub(super) fn remove_token(&mut self, token_id: TokenId, expire_time: Timestamp) {
        self.timers.remove(expire_time, Timer::ForgetToken(token_id));
    }

    pub(super) fn queued_for(&self, app: &AppName, processor: &ProcessorName) -> u64 {
        let of_app = self.queues.iter().filter(|(key, _)| &key.app == app);
        of_app.map(|(_, queue)| queue.queued_for(processor)).sum()
    }
}

/// A key is released by time only once its run has ended; while it lives, the run's end releases it.
fn hold_timer(key: &(JobKey, String), hold: &UniqueHold) -> Option<(Timestamp, Timer)> {
    let until = hold.until.filter(|_| hold.phase.is_terminal())?;
    Some((until, Timer::ReleaseKey(key.0.clone(), key.1.clone())))
}

fn holder_of(run: &Run, attempt: &Attempt) -> WorkerKey {
    WorkerKey { worker_id: attempt.worker_id, app: run.job.app.clone() }
}
