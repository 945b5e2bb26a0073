//! What is to happen when, in order. A plain ordered set: with a million entries an insert costs a third of a
//! microsecond, far below the commit that causes it.

use std::collections::BTreeSet;

use crate::{
    id::{AttemptNumber, JobKey, RunId, Timestamp, TokenId},
    run::{Run, RunState},
};

/// Something that becomes due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A scheduled or retrying run may go on.
    Queue(RunId),
    /// An attempt has taken as long as it may.
    AttemptDeadline(RunId, AttemptNumber),
    /// A run must have ended.
    RunDeadline(RunId),
    /// A worker did not let go of a cancelled attempt in time.
    GiveUp(RunId),
    /// A business key is held no longer.
    ReleaseKey(JobKey, String),
    /// A revoked token has ended by itself.
    ForgetToken(TokenId),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(super) fn insert(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn remove(&mut self, at: Timestamp, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(super) fn due(&self, now: Timestamp, max: usize) -> Vec<Timer> {
        self.0.iter().take_while(|(at, _)| *at <= now).take(max).map(|(_, timer)| timer.clone()).collect()
    }
}

/// The timers that a run has by its state.
pub(super) fn of_run(run: &Run) -> Vec<(Timestamp, Timer)> {
    let mut timers = Vec::new();
    match run.state {
        RunState::Scheduled { until } | RunState::Retrying { until } => timers.push((until, Timer::Queue(run.id))),
        RunState::Cancelling { give_up_time } => timers.push((give_up_time, Timer::GiveUp(run.id))),
        RunState::Queued { .. } | RunState::Running | RunState::Ended { .. } => {}
    }
    if let Some((attempt, at)) = run.held().and_then(|attempt| Some((attempt, attempt.deadline?))) {
        timers.push((at, Timer::AttemptDeadline(run.id, attempt.number)));
    }
    if let (Some(at), false) = (run.deadline, run.state.phase().is_terminal()) {
        timers.push((at, Timer::RunDeadline(run.id)));
    }
    timers
}
