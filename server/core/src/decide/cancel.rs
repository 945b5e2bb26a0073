//! Cancelling a run, from each of its states.

use super::{Cold, Decision, finished_run, live_run, no_such_run};
use crate::{
    command::Stamp,
    event::Event,
    id::{AppName, RunId},
    rejection::Rejection,
    reply::Reply,
    run::{Outcome, Phase, RunState},
    state::State,
};

pub(super) fn cancel(state: &State, cold: &Cold, stamp: Stamp, app: &AppName, run_id: RunId, reason: &str) -> Decision {
    let Some(run) = live_run(state, app, run_id) else {
        let (run, _) = finished_run(state, cold, app, run_id).ok_or_else(|| no_such_run(run_id))?;
        return Err(Rejection::RunFinished { phase: run.state.phase() });
    };
    let reason = if reason.is_empty() { "cancelled by request" } else { reason }.to_owned();
    match run.state {
        RunState::Scheduled { .. } | RunState::Queued { .. } | RunState::Retrying { .. } => {
            let event = Event::RunEnded { run_id, outcome: Outcome::Cancelled, reason };
            Ok((vec![event], Reply::RunPhase(Phase::Cancelled)))
        }
        RunState::Running => {
            let give_up_time = stamp.now.plus(state.limits().cancel_grace);
            let event = Event::RunCancelRequested { run_id, reason, give_up_time };
            Ok((vec![event], Reply::RunPhase(Phase::Cancelling)))
        }
        // Asked before: the first wish stands, with its time of grace.
        RunState::Cancelling { .. } => Ok((Vec::new(), Reply::RunPhase(Phase::Cancelling))),
        RunState::Ended { .. } => Err(Rejection::RunFinished { phase: run.state.phase() }),
    }
}
