//! From a wish to events, or to a refusal. Pure: the same state, stamp and command always give the same decision.
//! A `decide` may read the state and name events; it never writes.

mod app;
mod cancel;
mod job;
mod report;
mod retry;
mod run;
mod system;
#[cfg(test)]
mod tests;
mod trigger;

use std::collections::HashMap;

pub use self::system::decide_system;
use crate::{
    codec::Payload,
    command::{Command, Origin, Stamp},
    event::Event,
    id::{AppName, RunId},
    rejection::Rejection,
    reply::Reply,
    run::Run,
    state::State,
};

/// What a command makes happen, and what it answers.
pub type Decision = Result<(Vec<Event>, Reply), Rejection>;

/// The runs on disk that the commands of a batch name, fetched before. Those that are not finished stand in the state
/// too, and there they are newer.
#[derive(Debug, Default)]
pub struct Cold {
    runs: HashMap<RunId, (Run, Option<Payload>)>,
}

impl Cold {
    /// Adds a run with its input.
    pub fn insert(&mut self, run: Run, payload: Option<Payload>) {
        self.runs.insert(run.id, (run, payload));
    }
}

/// Decides on the wish of a caller who may have it.
///
/// # Errors
/// The rejection that the caller is to be given. Nothing happens then.
pub fn decide(state: &State, cold: &Cold, stamp: Stamp, origin: &Origin, command: &Command) -> Decision {
    match command {
        Command::CreateApp { app, description, grants, secret } => {
            app::create(state, stamp, app, description, grants, secret)
        }
        Command::UpdateApp { app, etag, description, grants } => {
            app::update(state, stamp, app, *etag, description, grants)
        }
        Command::DeleteApp { app, etag } => app::delete(state, app, *etag),
        Command::RotateAppSecret { app, grace, secret } => app::rotate_secret(state, stamp, app, *grace, secret),
        Command::RevokeToken { app, target } => app::revoke_token(state, stamp, app, *target),
        Command::CreateJob { key, spec } => job::create(state, stamp, key, spec),
        Command::UpdateJob { key, etag, spec } => job::update(state, stamp, key, *etag, spec),
        Command::DeleteJob { key, etag } => job::delete(state, key, *etag),
        Command::PauseJob { key, note } => job::pause(state, stamp, key, note),
        Command::ResumeJob { key } => job::resume(state, stamp, key),
        Command::RunJob(run_job) => run::run_job(state, stamp, origin, run_job),
        Command::CancelRun { app, run_id, reason } => cancel::cancel(state, cold, stamp, app, *run_id, reason),
        Command::RetryRun { app, run_id } => retry::retry(state, cold, stamp, origin, app, *run_id),
        Command::ReportAttempt { attempt, report } => report::report(state, cold, stamp, attempt, report),
        Command::PauseTrigger { key, note } => trigger::pause(state, key, note),
        Command::ResumeTrigger { key } => trigger::resume(state, key),
        Command::FireTrigger { key, overlap } => trigger::fire_now(state, stamp, origin, key, *overlap),
        Command::BackfillTrigger { key, range } => trigger::backfill(state, stamp, key, *range),
        Command::CancelBackfill { key } => trigger::cancel_backfill(state, key),
        Command::AppendLog { attempt, stream, data } => report::append_log(state, cold, attempt, *stream, data),
    }
}

fn live_run<'a>(state: &'a State, app: &AppName, id: RunId) -> Option<&'a Run> {
    state.run(id).filter(|run| &run.job.app == app)
}

/// A run of this app that has ended, with its input: in this very batch, or before.
fn finished_run<'a>(
    state: &'a State,
    cold: &'a Cold,
    app: &AppName,
    id: RunId,
) -> Option<(&'a Run, Option<&'a Payload>)> {
    let fetched = cold.runs.get(&id);
    let run = state.just_finished(id).or(fetched.map(|(run, _)| run))?;
    let payload = match fetched {
        Some((_, payload)) => payload.as_ref(),
        None => state.just_given(id),
    };
    (&run.job.app == app).then_some((run, payload))
}

fn no_such_run(id: RunId) -> Rejection {
    Rejection::NotFound { what: "run", name: id.to_string() }
}
