//! Handing runs to workers. Level-triggered: after each batch the state is asked what could go where; nothing is
//! queued, so nothing can be lost or go stale.

use std::collections::{BTreeMap, BTreeSet};

use semel_core::{
    State,
    command::SystemCommand,
    event::Event,
    id::{AppName, AttemptNumber, JobName, ProcessorName, RunId, Timestamp, WorkerKey},
    job::Labels,
    run::{Cause, Run},
    trace::TraceContext,
};

use super::{
    liveness::Liveness,
    workers::{SessionId, Workers},
};

/// What a worker is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Do this.
    Assign(Box<Assignment>),
    /// Stop doing this.
    Cancel {
        /// Which run.
        run_id: RunId,
        /// Which attempt.
        number: AttemptNumber,
        /// Why.
        reason: CancelReason,
    },
    /// A newer stream of the same worker has taken over; this one ends.
    Replaced,
}

/// Work. Its input lies in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The run.
    pub run_id: RunId,
    /// The fencing token.
    pub number: AttemptNumber,
    /// The app.
    pub app: AppName,
    /// The job.
    pub job: JobName,
    /// What to do.
    pub processor: ProcessorName,
    /// Labels of the run.
    pub labels: std::sync::Arc<Labels>,
    /// When the attempt counts as timed out.
    pub deadline: Option<Timestamp>,
    /// How many attempts the run may have.
    pub max_attempts: u32,
    /// Whether there is input.
    pub has_payload: bool,
    /// The trigger that made the run.
    pub cause: Option<Box<Cause>>,
    /// Where the run stands in a trace.
    pub trace: Option<Box<TraceContext>>,
}

/// Why a worker is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// Somebody wished so.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// It is no longer the worker's.
    LeaseStale,
}

impl Assignment {
    /// The open attempt of a run.
    pub(super) fn of(run: &Run) -> Self {
        Self {
            run_id: run.id,
            number: run.attempt,
            app: run.job.app.clone(),
            job: run.job.job.clone(),
            processor: run.plan.processor.clone(),
            labels: run.labels.clone(),
            deadline: run.held().and_then(|attempt| attempt.deadline),
            max_attempts: run.plan.retry.max_attempts,
            has_payload: run.has_payload,
            cause: run.cause.clone(),
            trace: run.trace.clone(),
        }
    }
}

/// What goes next, to whom, and since when it has waited: among all that could move, the run that goes first. `closed` holds the pairs that were
/// found to have no free worker, so that each is asked once a round. Nothing goes to a worker that was not heard of
/// within its lease, though its stream is open still: what it got would be lost once more, a lease later.
pub(super) fn next_start(
    state: &State,
    workers: &Workers,
    liveness: &Liveness,
    closed: &mut BTreeSet<(AppName, ProcessorName)>,
) -> Option<(SystemCommand, SessionId, Timestamp)> {
    loop {
        let heads = state.ready().heads();
        let open = heads.filter(|(app, processor, _)| !closed.contains(&((*app).clone(), (*processor).clone())));
        let (app, processor, head) = open.min_by_key(|(_, _, head)| *head)?;
        let Some(session_id) = workers.freest(state, liveness, app, processor) else {
            closed.insert((app.clone(), processor.clone()));
            continue;
        };
        let hello = &workers.get(session_id).expect("a session that was just found").hello;
        let command = SystemCommand::StartAttempt {
            run_id: head.run_id,
            worker_id: hello.worker_id,
            worker_name: hello.worker_name.clone(),
        };
        return Some((command, session_id, head.since));
    }
}

/// What the workers that hold attempts must be told because of events that they did not report themselves. Asked before
/// the events are evolved, while the state still knows who holds what.
pub(super) fn notices(
    state: &State,
    events: &[Event],
    reporter: Option<&WorkerKey>,
) -> BTreeMap<WorkerKey, Vec<Order>> {
    let mut notices: BTreeMap<WorkerKey, Vec<Order>> = BTreeMap::new();
    for event in events {
        let (run_id, reason) = match event {
            Event::RunCancelRequested { run_id, .. } => (*run_id, CancelReason::Cancelled),
            Event::AttemptEnded { run_id, how, .. } => (*run_id, reason_of(*how)),
            _ => continue,
        };
        let Some(run) = state.run(run_id) else { continue };
        let Some(held) = run.held() else { continue };
        let holder = WorkerKey { worker_id: held.worker_id, app: run.job.app.clone() };
        if reporter != Some(&holder) {
            notices.entry(holder).or_default().push(Order::Cancel { run_id, number: held.number, reason });
        }
    }
    notices
}

fn reason_of(how: semel_core::run::AttemptOutcome) -> CancelReason {
    match how {
        semel_core::run::AttemptOutcome::TimedOut => CancelReason::TimedOut,
        _ => CancelReason::LeaseStale,
    }
}
