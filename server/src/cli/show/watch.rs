//! What a watch tells, as JSON: one object for each item, with its type, its revision, and where to go on behind it.

use semel_client::watch::{Item, SnapshotCause, Told};
use semel_proto::v1::{Event, EventKind, JobEvent, RunEvent, Worker, WorkerState, event::Subject};
use serde_json::{Value, json};

use super::{
    enum_name, job,
    run::{attempt_json, run_json, run_state},
    string, trigger,
};

/// The kind of an event, by its name.
pub(crate) fn event_kind(kind: i32) -> String {
    enum_name!(EventKind, "EVENT_KIND_", kind)
}

/// The state of a worker, by its name.
pub(crate) fn worker_state(state: i32) -> String {
    enum_name!(WorkerState, "WORKER_STATE_", state)
}

/// One item, for programs.
pub(crate) fn item_json(item: &Item) -> Value {
    let (name, revision, (field, content)) = match &item.told {
        Told::Opened { revision, oldest_revision } => {
            ("OPENED", Some(*revision), ("oldest_revision", json!(oldest_revision)))
        }
        Told::SnapshotBegin(cause) => ("SNAPSHOT_BEGIN", None, ("cause", cause_json(*cause))),
        Told::Run(run) => ("RUN", Some(run.revision), ("run", run_json(run))),
        Told::Job(job) => ("JOB", None, ("job", job::job_json(job))),
        Told::Worker(worker) => ("WORKER", Some(worker.revision), ("worker", worker_json(worker))),
        Told::SnapshotEnd { revision } => ("SNAPSHOT_END", Some(*revision), ("", Value::Null)),
        Told::Event(event) => ("EVENT", Some(event.revision), ("event", event_json(event))),
        Told::Progress { revision } => ("PROGRESS", Some(*revision), ("", Value::Null)),
        Told::CredentialsExpiring { expire_time } => {
            ("CREDENTIALS_EXPIRING", None, ("expire_time", string(expire_time.as_ref())))
        }
        Told::Lost(error) => ("LOST", None, ("message", json!(error.to_string()))),
        // What a later client tells is not known here.
        _ => ("UNKNOWN", None, ("", Value::Null)),
    };
    let token = item.resume_token().map(|token| token.to_string());
    let mut object = json!({ "type": name, "revision": revision, "resume_token": token });
    if !field.is_empty() {
        object[field] = content;
    }
    object
}

fn cause_json(cause: SnapshotCause) -> Value {
    match cause {
        SnapshotCause::Asked => json!("ASKED"),
        SnapshotCause::BrokenOff => json!("BROKEN_OFF"),
        _ => json!("GAP"),
    }
}

pub(super) fn event_json(event: &Event) -> Value {
    let mut object = json!({
        "revision": event.revision,
        "time": string(event.time.as_ref()),
        "kind": event_kind(event.kind),
        "app": event.app,
        "request_id": event.request_id,
        "principal": event.principal,
    });
    match &event.subject {
        Some(Subject::Run(run)) => object["run"] = run_event_json(run),
        Some(Subject::Job(job)) => object["job"] = job_event_json(job),
        Some(Subject::Worker(worker)) => object["worker"] = worker_json(worker),
        Some(Subject::Trigger(trigger)) => object["trigger"] = trigger::event_json(trigger),
        None => {}
    }
    object
}

pub(super) fn run_event_json(run: &RunEvent) -> Value {
    json!({
        "run_id": run.run_id,
        "job": run.job,
        "from_state": run_state(run.from_state),
        "to_state": run_state(run.to_state),
        "attempt": run.attempt.as_ref().map(attempt_json),
        "reason": run.reason,
        "labels": run.labels,
        "create_time": string(run.create_time.as_ref()),
        "end_time": string(run.end_time.as_ref()),
        "retry_time": string(run.retry_time.as_ref()),
        "start_time": string(run.start_time.as_ref()),
        "deadline": string(run.deadline.as_ref()),
        "processor": run.processor,
        "priority": run.priority,
        "max_attempts": run.max_attempts,
        "unique_key": run.unique_key,
        "retry_of": run.retry_of,
        "trigger": run.trigger,
        "scheduled_time": string(run.scheduled_time.as_ref()),
    })
}

pub(super) fn job_event_json(job: &JobEvent) -> Value {
    json!({
        "job": job.job,
        "etag": job.etag,
        "paused": job.paused,
        "pause_note": job.pause_note,
        "processor": job.processor,
        "labels": job.labels,
        "create_time": string(job.create_time.as_ref()),
    })
}

pub(super) fn worker_json(worker: &Worker) -> Value {
    json!({
        "worker_id": worker.worker_id,
        "app": worker.app,
        "worker_name": worker.worker_name,
        "state": worker_state(worker.state),
        "processors": worker.processors,
        "slots": worker.slots,
        "revision": worker.revision,
    })
}
