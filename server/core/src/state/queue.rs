//! Who goes next. Each job has a queue for each processor that its runs need; the heads of the queues of jobs that may
//! start something stand in [`Ready`], by app and processor.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::JobCounts;
use crate::{
    id::{AppName, JobKey, ProcessorName, RunId, Timestamp},
    job::Job,
    run::{Phase, Run, RunState},
};

/// A run's place in the order: higher priority first, then who waits longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Higher goes first.
    pub priority: Reverse<i32>,
    /// Since when it waits.
    pub since: Timestamp,
    /// Which run.
    pub run_id: RunId,
}

/// The heads of all queues that may move.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ready(BTreeMap<(AppName, ProcessorName), BTreeSet<Waiting>>);

impl Ready {
    /// The run of an app that goes next to a worker with this processor.
    pub fn first(&self, app: &AppName, processor: &ProcessorName) -> Option<Waiting> {
        self.0.get(&(app.clone(), processor.clone()))?.first().copied()
    }

    /// All apps and processors with something to do, with what goes next.
    pub fn heads(&self) -> impl Iterator<Item = (&AppName, &ProcessorName, Waiting)> {
        self.0.iter().filter_map(|((app, processor), heads)| Some((app, processor, *heads.first()?)))
    }

    /// Since when the one has waited that waits longest among the next of each job; of so many jobs at most, so that asking
    /// costs little however many there are.
    pub fn oldest(&self, jobs_max: usize) -> Option<Timestamp> {
        self.0.values().flatten().take(jobs_max).map(|head| head.since).min()
    }

    fn insert(&mut self, app: &AppName, processor: &ProcessorName, head: Waiting) {
        self.0.entry((app.clone(), processor.clone())).or_default().insert(head);
    }

    fn remove(&mut self, app: &AppName, processor: &ProcessorName, head: &Waiting) {
        let key = (app.clone(), processor.clone());
        if let Some(heads) = self.0.get_mut(&key) {
            heads.remove(head);
            if heads.is_empty() {
                self.0.remove(&key);
            }
        }
    }
}

/// The runs of one job.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct JobQueue {
    counts: JobCounts,
    waiting: BTreeMap<ProcessorName, BTreeSet<Waiting>>,
    /// What stands in [`Ready`] for this job.
    heads: BTreeMap<ProcessorName, Waiting>,
}

impl JobQueue {
    pub(super) fn counts(&self) -> JobCounts {
        self.counts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts == JobCounts::default()
    }

    pub(super) fn queued_for(&self, processor: &ProcessorName) -> u64 {
        self.waiting.get(processor).map_or(0, |waiting| waiting.len() as u64)
    }

    pub(super) fn ahead_of(&self, run: &Run) -> u64 {
        let (Some(waiting), Some(place)) = (self.waiting.get(&run.plan.processor), place(run)) else { return 0 };
        waiting.range(..place).count() as u64
    }

    /// Gives whether another run may be the next now, or a next one may no longer start: then it is to be published.
    pub(super) fn insert(&mut self, run: &Run) -> bool {
        self.counts.live += 1;
        match run.state.phase() {
            Phase::Queued => self.counts.queued += 1,
            Phase::Running | Phase::Cancelling => self.counts.running += 1,
            _ => {}
        }
        let Some(place) = place(run) else { return run.held().is_some() };
        let processor = &run.plan.processor;
        match self.waiting.get_mut(processor) {
            Some(waiting) => drop(waiting.insert(place)),
            None => drop(self.waiting.insert(processor.clone(), BTreeSet::from([place]))),
        }
        self.heads.get(processor).is_none_or(|head| place < *head)
    }

    /// Gives the same as [`JobQueue::insert`].
    pub(super) fn remove(&mut self, run: &Run) -> bool {
        self.counts.live -= 1;
        match run.state.phase() {
            Phase::Queued => self.counts.queued -= 1,
            Phase::Running | Phase::Cancelling => self.counts.running -= 1,
            _ => {}
        }
        let Some(place) = place(run) else { return run.held().is_some() };
        let processor = &run.plan.processor;
        if let Some(waiting) = self.waiting.get_mut(processor) {
            waiting.remove(&place);
            if waiting.is_empty() {
                self.waiting.remove(processor);
            }
        }
        self.heads.get(processor) == Some(&place)
    }

    /// Puts into `ready` what may be handed out of this job now, and takes out what may not.
    pub(super) fn publish(&mut self, key: &JobKey, job: Option<&Job>, ready: &mut Ready) {
        let Self { counts, waiting, heads } = self;
        let may_start = job.is_some_and(|job| may_start(job, *counts));
        heads.retain(|processor, head| {
            let now = waiting.get(processor).and_then(BTreeSet::first).filter(|_| may_start);
            if now == Some(head) {
                return true;
            }
            ready.remove(&key.app, processor, head);
            if let Some(now) = now {
                ready.insert(&key.app, processor, *now);
                *head = *now;
            }
            now.is_some()
        });
        if !may_start || heads.len() == waiting.len() {
            return;
        }
        for (processor, waiting) in waiting {
            if !heads.contains_key(processor) {
                let head = *waiting.first().expect("an empty queue is removed");
                ready.insert(&key.app, processor, head);
                heads.insert(processor.clone(), head);
            }
        }
    }
}

/// Whether a job may start another run.
pub(super) fn may_start(job: &Job, counts: JobCounts) -> bool {
    job.pause.is_none() && job.spec.max_running.is_none_or(|max| counts.running < u64::from(max))
}

fn place(run: &Run) -> Option<Waiting> {
    match run.state {
        RunState::Queued { since } => Some(Waiting { priority: Reverse(run.priority), since, run_id: run.id }),
        _ => None,
    }
}
