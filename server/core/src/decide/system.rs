//! What the server does by itself. Nothing here can be refused: what is no longer so makes no events.

use super::{report, trigger};
use crate::{
    app::{App, AppPattern, Grant, Role},
    command::{Stamp, SystemCommand},
    event::Event,
    id::{AppName, AttemptNumber, RunId, WorkerId},
    limits,
    run::{AttemptOutcome, Outcome, RunState},
    state::{State, Timer},
};

/// Decides on what the server does by itself.
pub fn decide_system(state: &State, stamp: Stamp, command: &SystemCommand) -> Vec<Event> {
    match command {
        SystemCommand::Bootstrap { hash } => bootstrap(state, stamp, *hash),
        SystemCommand::Tick => {
            let due = state.due(stamp.now, limits::TICK_TIMERS_MAX);
            first_of_each_run(due).into_iter().flat_map(|timer| fire(state, stamp, timer)).collect()
        }
        SystemCommand::StartAttempt { run_id, worker_id, worker_name } => {
            start_attempt(state, stamp, *run_id, *worker_id, worker_name)
        }
        SystemCommand::ExpireLease { run_id, number } => match state.run(*run_id) {
            Some(run) if run.held().is_some_and(|held| held.number == *number) => report::lost(run),
            _ => Vec::new(),
        },
        SystemCommand::NoteWorker { app, worker_id, worker_name, standing, processors, slots } => {
            vec![Event::WorkerChanged {
                app: app.clone(),
                worker_id: *worker_id,
                worker_name: worker_name.clone(),
                standing: *standing,
                processors: processors.clone(),
                slots: *slots,
            }]
        }
        SystemCommand::FireTrigger { key } => trigger::act(state, stamp, key),
        SystemCommand::ResetWorkers => vec![Event::WorkersReset],
    }
}

fn bootstrap(state: &State, stamp: Stamp, hash: [u8; 32]) -> Vec<Event> {
    let name = AppName::system();
    if state.app(&name).is_some() {
        return Vec::new();
    }
    let grants = vec![Grant { role: Role::Admin, apps: AppPattern::All }];
    let mut app = App::new(name, "the first administrator".to_owned(), grants, hash, stamp.now);
    app.etag = stamp.revision;
    vec![Event::AppCreated { app: Box::new(app) }]
}

fn start_attempt(
    state: &State,
    stamp: Stamp,
    run_id: RunId,
    worker_id: WorkerId,
    worker_name: &std::sync::Arc<str>,
) -> Vec<Event> {
    let Some(run) = state.run(run_id) else { return Vec::new() };
    // Whoever asks saw the state before this batch: the job may have been paused or have reached its limit since.
    if !matches!(run.state, RunState::Queued { .. }) || !state.may_start(&run.job) {
        return Vec::new();
    }
    let number = AttemptNumber(run.attempt.0.max(state.limits().attempt_floor) + 1);
    let deadline = run.plan.attempt_timeout.map(|timeout| stamp.now.plus(timeout));
    vec![Event::AttemptStarted { run_id, number, worker_id, worker_name: worker_name.clone(), deadline }]
}

/// Two timers of one run may be due at once, but the first may make the second void: the others wait for the next tick.
fn first_of_each_run(due: Vec<Timer>) -> Vec<Timer> {
    let mut seen = std::collections::BTreeSet::new();
    due.into_iter().filter(|timer| run_of(timer).is_none_or(|run_id| seen.insert(run_id))).collect()
}

fn run_of(timer: &Timer) -> Option<RunId> {
    match timer {
        Timer::Queue(run_id)
        | Timer::AttemptDeadline(run_id, _)
        | Timer::RunDeadline(run_id)
        | Timer::GiveUp(run_id) => Some(*run_id),
        Timer::ReleaseKey(..) | Timer::ForgetToken(_) => None,
    }
}

fn fire(state: &State, stamp: Stamp, timer: Timer) -> Vec<Event> {
    match timer {
        Timer::Queue(run_id) => vec![Event::RunQueued { run_id }],
        Timer::AttemptDeadline(run_id, _) => state.run(run_id).map_or(Vec::new(), |run| report::timed_out(run, stamp)),
        Timer::RunDeadline(run_id) => deadline_passed(state, run_id),
        Timer::GiveUp(run_id) => {
            state.run(run_id).map_or(Vec::new(), |run| report::cancelled(run, AttemptOutcome::Cancelled))
        }
        Timer::ReleaseKey(key, unique_key) => vec![Event::UniqueKeyReleased { key, unique_key }],
        Timer::ForgetToken(token_id) => vec![Event::TokenForgotten { token_id }],
    }
}

fn deadline_passed(state: &State, run_id: RunId) -> Vec<Event> {
    let Some(run) = state.run(run_id) else { return Vec::new() };
    let reason = "its deadline passed";
    let mut events = Vec::new();
    if run.held().is_some() {
        events.push(report::ended(run, AttemptOutcome::TimedOut, reason));
    }
    events.push(report::end(run, Outcome::Expired, reason));
    events
}
