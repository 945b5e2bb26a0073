//! Cancelling a run, from each of its states.

use super::{Cold, Decision, finished_run, live_run, no_such_run};
use crate::{
    command::Stamp,
    event::Event,
    id::{AppName, RunId},
    rejection::Rejection,
    reply::Reply,
    run::{Outcome, Phase, Run, RunState},
    state::State,
};

pub(super) fn cancel(state: &State, cold: &Cold, stamp: Stamp, app: &AppName, run_id: RunId, reason: &str) -> Decision {
    let Some(run) = live_run(state, app, run_id) else {
        let (run, _) = finished_run(state, cold, app, run_id).ok_or_else(|| no_such_run(run_id))?;
        return Err(Rejection::RunFinished { phase: run.state.phase() });
    };
    let reason = if reason.is_empty() { "cancelled by request" } else { reason };
    let phase = match run.state {
        RunState::Running | RunState::Cancelling { .. } => Phase::Cancelling,
        RunState::Scheduled { .. } | RunState::Queued { .. } | RunState::Retrying { .. } => Phase::Cancelled,
        RunState::Ended { .. } => return Err(Rejection::RunFinished { phase: run.state.phase() }),
    };
    Ok((stop(state, stamp, run, reason).into_iter().collect(), Reply::RunPhase(phase)))
}

/// A run is to stop: it ends at once, or whoever holds it is asked to let go.
pub(super) fn stop(state: &State, stamp: Stamp, run: &Run, reason: &str) -> Option<Event> {
    let (run_id, reason) = (run.id, reason.to_owned());
    match run.state {
        RunState::Scheduled { .. } | RunState::Queued { .. } | RunState::Retrying { .. } => {
            Some(Event::RunEnded { run_id, outcome: Outcome::Cancelled, reason })
        }
        RunState::Running => {
            let give_up_time = stamp.now.plus(state.limits().cancel_grace);
            Some(Event::RunCancelRequested { run_id, reason, give_up_time })
        }
        // Asked before: the first wish stands, with its time of grace.
        RunState::Cancelling { .. } | RunState::Ended { .. } => None,
    }
}
