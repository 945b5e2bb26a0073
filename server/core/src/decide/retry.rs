//! Running a run again. A terminal state binds, so what has ended is repeated by a new run that names the old one.

use super::{Cold, Decision, finished_run, job, live_run, no_such_run, run};
use crate::{
    command::{Origin, Stamp},
    event::Event,
    id::{AppName, RunId},
    rejection::Rejection,
    reply::Reply,
    run::{Phase, RunState},
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
    let mut again = run::new_run(state, stamp, origin, job, payload.is_some())?;
    again.labels.clone_from(&old.labels);
    again.priority = old.priority;
    again.retry_of = Some(old.id);
    let reply = Reply::Retried { run_id: again.id, created: true, phase: again.state.phase() };
    let (events, _) = run::created(again, None, payload.cloned());
    Ok((events, reply))
}
