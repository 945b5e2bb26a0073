//! Running a run again. A terminal state binds, so what has ended is repeated by a new run that names the old one.

use super::{Cold, Decision, finished_run, job, live_run, no_such_run, run};
use crate::{
    command::{Origin, Stamp},
    event::Event,
    id::{AppName, RunId, Timestamp},
    rejection::Rejection,
    reply::Reply,
    run::{Phase, Run, RunState},
    state::State,
};

pub(super) fn retry(
    state: &State,
    cold: &Cold,
    stamp: Stamp,
    origin: &Origin,
    app: &AppName,
    run_id: RunId,
) -> Decision {
    if let Some(run) = live_run(state, app, run_id) {
        return match run.state {
            RunState::Retrying { .. } => {
                let reply = Reply::Retried { run_id, created: false, phase: Phase::Queued };
                Ok((vec![Event::RunQueued { run_id }], reply))
            }
            _ => Err(Rejection::RunNotRetryable { phase: run.state.phase() }),
        };
    }
    let (old, payload) = finished_run(state, cold, app, run_id).ok_or_else(|| no_such_run(run_id))?;
    let job = job::find(state, &old.job, None)?;
    let mut again = run::new_run(state, stamp, Some(origin), job, payload.is_some())?;
    again.labels.clone_from(&old.labels);
    again.priority = old.priority;
    again.retry_of = Some(old.id);
    again.unique_key.clone_from(&old.unique_key);
    let unique_until = take_over_key(state, stamp, old)?;
    let reply = Reply::Retried { run_id: again.id, created: true, phase: again.state.phase() };
    let (events, _) = run::created(again, unique_until, payload.cloned());
    Ok((events, reply))
}

/// The business key goes on with the new run, as long as it was held for the old one. If another run has it by now, that
/// one is the repetition, and a second must not be made.
fn take_over_key(state: &State, stamp: Stamp, old: &Run) -> Result<Option<Timestamp>, Rejection> {
    let Some(unique_key) = &old.unique_key else { return Ok(None) };
    match state.unique_hold(&old.job, unique_key) {
        Some(hold) if hold.run_id == old.id => Ok(hold.until),
        Some(hold) if hold.binds(stamp.now) => {
            Err(Rejection::AlreadyExists { what: "run with the unique key", name: unique_key.clone() })
        }
        Some(_) | None => Ok(None),
    }
}
