//! Making a run.

use std::sync::Arc;

use super::{Decision, job};
use crate::{
    codec::Payload,
    command::{Origin, RunJob, Stamp},
    event::Event,
    id::{AttemptNumber, RunId, Timestamp},
    job::Job,
    rejection::Rejection,
    reply::Reply,
    run::{Run, RunState},
    state::State,
};

pub(super) fn run_job(state: &State, stamp: Stamp, origin: &Origin, wish: &RunJob) -> Decision {
    let job = job::find(state, &wish.key, None)?;
    if let Some(unique_key) = &wish.unique_key
        && let Some(hold) = state.unique_hold(&wish.key, &unique_key.key)
        && hold.binds(stamp.now)
    {
        let phase = state.run(hold.run_id).map_or(hold.phase, |run| run.state.phase());
        let reply = Reply::Run { run_id: hold.run_id, phase, existing: true, create_time: hold.create_time };
        return Ok((Vec::new(), reply));
    }
    let payload = wish.payload.clone().or_else(|| job.spec.payload.clone());
    let mut run = new_run(state, stamp, Some(origin), job, payload.is_some())?;
    if !wish.labels.is_empty() {
        Arc::make_mut(&mut run.labels).extend(wish.labels.clone());
    }
    run.priority = wish.priority.unwrap_or(run.priority);
    run.start_time = wish.start_time.filter(|start_time| *start_time > stamp.now);
    if let Some(until) = run.start_time {
        run.state = RunState::Scheduled { until };
    }
    run.deadline = wish.deadline.or(run.deadline);
    run.unique_key = wish.unique_key.as_ref().map(|unique_key| unique_key.key.clone());
    let unique_until = wish.unique_key.as_ref().and_then(|unique_key| unique_key.hold).map(|hold| stamp.now.plus(hold));
    Ok(created(run, unique_until, payload))
}

/// A run of a job as the job wants it, not scheduled for later.
pub(super) fn new_run(
    state: &State,
    stamp: Stamp,
    origin: Option<&Origin>,
    job: &Job,
    has_payload: bool,
) -> Result<Run, Rejection> {
    let limit = state.limits().live_runs_per_app_max;
    if state.live_runs_of(&job.key.app) >= limit {
        return Err(Rejection::QuotaExceeded { app: job.key.app.clone(), what: "unfinished runs", limit });
    }
    Ok(Run {
        id: RunId::new(stamp.now, stamp.revision, stamp.entropy),
        job: job.key.clone(),
        plan: job.spec.plan.clone(),
        state: RunState::Queued { since: stamp.now },
        labels: job.spec.labels.clone(),
        priority: job.spec.priority,
        create_time: stamp.now,
        start_time: None,
        deadline: job.spec.run_timeout.map(|timeout| stamp.now.plus(timeout)),
        attempts: Vec::new(),
        attempt: AttemptNumber(0),
        failed_count: 0,
        lost_count: 0,
        reason: String::new(),
        unique_key: None,
        retry_of: None,
        request_id: origin.map(|origin| origin.request_id),
        revision: stamp.revision,
        log_bytes: 0,
        log_chunks: 0,
        has_payload,
        has_result: false,
        cause: None,
        trace: origin.and_then(|origin| origin.trace.clone()),
    })
}

pub(super) fn created(run: Run, unique_until: Option<Timestamp>, payload: Option<Payload>) -> (Vec<Event>, Reply) {
    let phase = run.state.phase();
    let reply = Reply::Run { run_id: run.id, phase, existing: false, create_time: run.create_time };
    (vec![Event::RunCreated { run: Arc::new(run), unique_until, payload }], reply)
}
