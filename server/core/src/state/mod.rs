//! Everything that decisions need, in memory: apps, jobs, and the runs that are not finished. Finished runs, inputs,
//! results, logs and the dedup window lie on disk.
//!
//! The primary facts are the maps of apps, jobs, runs, keys and revoked tokens; all else is an index over them.
//! [`State::evolve`] takes a run out of every index, changes it, and puts it back, so no index can be forgotten;
//! [`State::check_invariants`] builds them anew and compares.

mod by_run;
mod changes;
mod evolve;
mod evolve_trigger;
mod index;
mod invariants;
mod queue;
mod restore;
mod timers;
mod triggers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

pub(crate) use self::triggers::{backfill_schedule, has_other_times, span_of};
pub use self::{
    changes::{Blob, BlobKind, Changes, LogRow, UniqueRow},
    queue::{Ready, Waiting},
    restore::Rows,
    timers::Timer,
    triggers::{Span, Trigger, backfill_has_room, has_room},
};
use self::{index::Index, queue::JobQueue};
use crate::{
    app::App,
    codec::Payload,
    id::{AppName, AttemptNumber, JobKey, ProcessorName, Revision, RunId, Timestamp, TokenId, TriggerKey, WorkerKey},
    job::Job,
    limits::Limits,
    run::{Phase, Run},
};

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    limits: Limits,
    apps: BTreeMap<AppName, App>,
    jobs: BTreeMap<JobKey, Job>,
    /// Each in a place of its own: when the table grows, it moves addresses and not runs.
    runs: HashMap<RunId, Arc<Run>, by_run::Hashing>,
    unique: BTreeMap<(JobKey, String), UniqueHold>,
    revoked: BTreeMap<TokenId, Timestamp>,
    triggers: BTreeMap<TriggerKey, Box<Trigger>>,
    index: Index,
    changes: Changes,
}

/// That a business key is taken.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct UniqueHold {
    /// By which run.
    #[n(0)]
    pub run_id: RunId,
    /// When that was created.
    #[n(1)]
    pub create_time: Timestamp,
    /// Until when it is held even past the run's end.
    #[n(2)]
    pub until: Option<Timestamp>,
    /// Where the run stands, or how it ended.
    #[n(3)]
    pub phase: Phase,
}

impl UniqueHold {
    /// Whether it still keeps others from the key. A hold past its time is released by the next tick, but the answer
    /// must not depend on how far the ticks have come.
    pub fn binds(&self, now: Timestamp) -> bool {
        !self.phase.is_terminal() || self.until.is_some_and(|until| until > now)
    }
}

/// How many runs a job has in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Not finished.
    pub live: u64,
    /// Held by a worker.
    pub running: u64,
    /// Waiting for one.
    pub queued: u64,
}

impl State {
    /// An empty state.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The bounds that hold.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// One app.
    pub fn app(&self, name: &AppName) -> Option<&App> {
        self.apps.get(name)
    }

    /// All apps, by name.
    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values()
    }

    /// Tokens that were taken back one by one, with the time when each ends by itself.
    pub fn revoked_tokens(&self) -> &BTreeMap<TokenId, Timestamp> {
        &self.revoked
    }

    /// One job.
    pub fn job(&self, key: &JobKey) -> Option<&Job> {
        self.jobs.get(key)
    }

    /// The jobs of an app, by name.
    pub fn jobs_of(&self, app: &AppName) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(move |job| &job.key.app == app)
    }

    /// A run that is not finished.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id).map(Arc::as_ref)
    }

    /// A run that finished in this very batch, and is not on disk as such yet.
    pub fn just_finished(&self, id: RunId) -> Option<&Run> {
        self.changes.finished.get(&id)
    }

    /// The input of a run that was made in this very batch, and is not on disk yet.
    pub fn just_given(&self, id: RunId) -> Option<&Payload> {
        let mut blobs = self.changes.blobs.iter();
        blobs.find(|blob| blob.run_id == id && blob.kind == BlobKind::Payload).map(|blob| &blob.payload)
    }

    /// How many runs are not finished.
    pub fn live_run_count(&self) -> usize {
        self.runs.len()
    }

    /// How many runs stand in this state; of those that are finished nothing is known here.
    pub fn runs_in(&self, phase: Phase) -> u64 {
        self.index.by_phase[phase as usize]
    }

    /// How many runs of an app are not finished.
    pub fn live_runs_of(&self, app: &AppName) -> u64 {
        self.index.live_by_app.get(app).copied().unwrap_or(0)
    }

    /// How many runs a job has in which state.
    pub fn counts(&self, key: &JobKey) -> JobCounts {
        self.index.queues.get(key).map(JobQueue::counts).unwrap_or_default()
    }

    /// Who holds a business key of a job.
    pub fn unique_hold(&self, key: &JobKey, unique_key: &str) -> Option<&UniqueHold> {
        self.unique.get(&(key.clone(), unique_key.to_owned()))
    }

    /// Whether a job may start another run: it is neither paused nor at its limit.
    pub fn may_start(&self, key: &JobKey) -> bool {
        self.jobs.get(key).is_some_and(|job| queue::may_start(job, self.counts(key)))
    }

    /// The runs that could be handed out, by app and processor: the jobs that are neither paused nor at their limit.
    pub fn ready(&self) -> &Ready {
        &self.index.ready
    }

    /// How many runs wait for a processor, held back or not.
    pub fn queued_for(&self, app: &AppName, processor: &ProcessorName) -> u64 {
        self.index.queued_for(app, processor)
    }

    /// The place of a queued run among those of its job: how many go first.
    pub fn ahead_in_queue(&self, run: &Run) -> u64 {
        self.index.queues.get(&run.job).map_or(0, |queue| queue.ahead_of(run))
    }

    /// The attempts that a worker holds.
    pub fn held_by(&self, worker: &WorkerKey) -> impl Iterator<Item = (RunId, AttemptNumber)> + '_ {
        self.index.holders.get(worker).into_iter().flatten().copied()
    }

    /// How many attempts a worker holds.
    pub fn held_count(&self, worker: &WorkerKey) -> usize {
        self.index.holders.get(worker).map_or(0, std::collections::BTreeSet::len)
    }

    /// All workers that hold an attempt.
    pub fn holders(&self) -> impl Iterator<Item = &WorkerKey> + '_ {
        self.index.holders.keys()
    }

    /// When [`crate::command::SystemCommand::Tick`] or a trigger has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.index.timers.next(), self.index.triggers.next()].into_iter().flatten().min()
    }

    /// What is due, at most so many.
    pub fn due(&self, now: Timestamp, max: usize) -> Vec<Timer> {
        self.index.timers.due(now, max)
    }

    /// Takes the rows that changed since the last call, for the store.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The rows behind the keys of [`Changes`]: a live run as it is now.
    pub fn live_rows<'a>(&'a self, changes: &'a Changes) -> impl Iterator<Item = &'a Run> {
        changes.runs.iter().filter_map(|id| self.run(*id))
    }

    fn require_run(&mut self, id: RunId) -> Arc<Run> {
        self.runs.remove(&id).expect("an event names a run that is not finished: decide looked")
    }

    fn require_job(&mut self, key: &JobKey) -> &mut Job {
        self.jobs.get_mut(key).expect("an event names a job that exists: decide looked")
    }

    fn touch_revision(&mut self, key: &JobKey, revision: Revision, now: Timestamp) {
        let job = self.require_job(key);
        job.etag = revision;
        job.update_time = now;
        self.changes.jobs.insert(key.clone());
    }
}
