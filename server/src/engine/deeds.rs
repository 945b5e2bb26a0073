//! What the audit log is told of a batch: each wish that took effect, now or earlier, and that there are lines of. Is made before
//! the envelopes go, and told when the batch is durable.

use semel_core::{
    command::Command,
    id::{JobKey, RunId, Timestamp, TriggerKey},
};

use super::{
    answer::{Answer, Disposition, Submitted},
    envelope::Envelope,
};
use crate::logs::audit::{Audit, Deed};

/// What is told of a batch of this time, and to which log, in the order in which it took effect; `answers` has what became of each
/// envelope.
pub(super) fn of(envelopes: &[Envelope], answers: &[Submitted], time: Timestamp) -> Vec<(Audit, Deed)> {
    envelopes.iter().zip(answers).filter_map(|(envelope, answer)| deed(envelope, answer.as_ref().ok()?, time)).collect()
}

fn deed(envelope: &Envelope, answer: &Answer, time: Timestamp) -> Option<(Audit, Deed)> {
    let audited = envelope.audited.as_deref()?;
    let deed = Deed {
        time,
        principal: envelope.principal.name.clone(),
        auth_method: audited.caller.auth_method,
        address: audited.caller.address,
        method: answer.method,
        app: envelope.app().clone(),
        target: target(&envelope.command),
        request_id: envelope.request_id,
        is_replayed: answer.disposition == Disposition::Replayed,
        revision: answer.revision.0,
        execute_time: answer.execute_time,
        arrivals: answer.arrivals,
        is_recovered: false,
    };
    Some((audited.audit.clone(), deed))
}

/// What of its app a command is about; none if it is the app itself.
fn target(command: &Command) -> Option<String> {
    let of_job = |key: &JobKey| Some(key.job.to_string());
    let of_run = |id: &RunId| Some(id.to_string());
    let of_trigger = |key: &TriggerKey| Some(format!("{}/{}", key.job.job, key.name));
    match command {
        Command::CreateApp { .. }
        | Command::UpdateApp { .. }
        | Command::DeleteApp { .. }
        | Command::RotateAppSecret { .. }
        | Command::RevokeToken { .. } => None,
        Command::CreateJob { key, .. }
        | Command::UpdateJob { key, .. }
        | Command::DeleteJob { key, .. }
        | Command::PauseJob { key, .. }
        | Command::ResumeJob { key } => of_job(key),
        Command::RunJob(run) => of_job(&run.key),
        Command::CancelRun { run_id, .. } | Command::RetryRun { run_id, .. } => of_run(run_id),
        Command::ReportAttempt { attempt, .. } | Command::AppendLog { attempt, .. } => of_run(&attempt.run_id),
        Command::PauseTrigger { key, .. }
        | Command::ResumeTrigger { key }
        | Command::FireTrigger { key, .. }
        | Command::BackfillTrigger { key, .. }
        | Command::CancelBackfill { key } => of_trigger(key),
    }
}
