//! What a server that was killed had not written yet: found in the log of events, from where the audit log says that nothing is
//! missing, and written by the next start. What had changed nothing is not found, and neither are replays and refusals.

use semel_core::{
    command::Method,
    event::{Event, Record},
    facts::{self, Facts},
    id::{AppName, Revision},
};

use super::{Audit, Before, Deed, Events};
use crate::store::{DedupKey, Error, Reader};

/// Records that are looked through at the most.
const RECORDS_MAX: u64 = 1 << 20;
/// Records that are read at a time.
const PAGE: usize = 512;

/// Writes what is missing up to this position; gives how many lines that were. Takes as long as it takes: for a thread of its own.
///
/// # Errors
/// When the store cannot be read.
pub fn recover(audit: &Audit, before: &Before, reader: &dyn Reader, committed: Revision) -> Result<u64, Error> {
    let mut written = 0;
    if let Some(stands) = before.0.revision
        && stands < committed.0
    {
        let wanted = stands + 1;
        let oldest = reader.oldest_revision()?.0.max(committed.0.saturating_sub(RECORDS_MAX));
        if oldest > wanted {
            audit.insist_on_gap(wanted, oldest - 1);
        }
        let mut next = oldest.max(wanted);
        while next <= committed.0 {
            let records = reader.records(Revision(next), PAGE)?;
            let Some(last) = records.last() else { break };
            next = last.revision.0 + 1;
            for record in records.iter().filter(|record| record.revision <= committed) {
                if let Some(deed) = deed(reader, record, audit.events())? {
                    audit.insist(deed);
                    written += 1;
                }
            }
        }
    }
    audit.mark(committed.0);
    audit.settle();
    Ok(written)
}

/// What a caller did, if it is a caller's and there are lines of it.
fn deed(reader: &dyn Reader, record: &Record, events: Events) -> Result<Option<Deed>, Error> {
    let Some(request_id) = record.request_id else { return Ok(None) };
    let Some(app) = app(record).filter(|_| events == Events::All || !is_of_a_run(record)) else { return Ok(None) };
    // Requests about apps are remembered under the app of the system.
    for scope in [app.clone(), AppName::system()] {
        let Some(request) = reader.request(&DedupKey { request_id, app: scope })? else { continue };
        if request.revision != record.revision || !events.wants(request.method) {
            continue;
        }
        return Ok(Some(Deed {
            time: request.execute_time,
            principal: request.principal,
            auth_method: None,
            address: None,
            method: request.method,
            app: app.clone(),
            target: target(record, request.method),
            request_id,
            is_replayed: false,
            revision: record.revision.0,
            execute_time: request.execute_time,
            arrivals: 1,
            is_recovered: true,
        }));
    }
    Ok(None)
}

/// What of the app a record is about: the same that is told of the wish that caused it.
fn target(record: &Record, method: Method) -> Option<String> {
    record.events.iter().find_map(|event| match event {
        Event::JobCreated { job } => Some(job.key.job.to_string()),
        Event::RunCreated { run, .. } if method == Method::RunJob => Some(run.job.job.to_string()),
        Event::RunCreated { run, .. } if method == Method::RetryRun => run.retry_of.map(|id| id.to_string()),
        Event::AttemptEnded { run_id, .. } | Event::LogAppended { run_id, .. } => Some(run_id.to_string()),
        event => {
            let of_a_trigger = facts::trigger(event).map(|key| format!("{}/{}", key.job.job, key.name));
            let of_a_job = || facts::changed_job(event).map(|key| key.job.to_string());
            of_a_trigger.or_else(of_a_job).or_else(|| facts::stepped(event).map(|id| id.to_string()))
        }
    })
}

/// Whether all of it is about single runs: most records are, and need not be looked up.
fn is_of_a_run(record: &Record) -> bool {
    let is_of_a_run = |event: &Event| {
        facts::stepped(event).is_some()
            || matches!(event, Event::RunCreated { .. } | Event::AttemptEnded { .. } | Event::LogAppended { .. })
    };
    record.events.iter().all(is_of_a_run)
}

/// The app that a record is about.
fn app(record: &Record) -> Option<&AppName> {
    let of_an_event = record.events.iter().find_map(|event| match event {
        Event::AppCreated { app } | Event::AppUpdated { app } => Some(&app.name),
        Event::AppDeleted { app } | Event::TokenRevoked { app, .. } => Some(app),
        Event::JobCreated { job } => Some(&job.key.app),
        Event::RunCreated { run, .. } => Some(&run.job.app),
        event => {
            let job = facts::changed_job(event).or_else(|| facts::trigger(event).map(|trigger| &trigger.job));
            job.map(|job| &job.app)
        }
    });
    of_an_event.or_else(|| {
        record.facts.iter().find_map(|fact| match fact {
            Facts::Run(run) => Some(&run.job.app),
            Facts::Job(_) | Facts::Trigger(_) => None,
        })
    })
}
