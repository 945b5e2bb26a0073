//! Jobs, shown.

use semel_proto::v1::{
    CreateJobResponse, DeleteJobResponse, GetJobResponse, Job, JobSpec, ListJobsResponse, LostWorkerPolicy,
    PauseJobResponse, ResumeJobResponse, RetryPolicy, UpdateJobResponse,
};
use serde_json::{Map, Value, json};

use super::{
    Show, enum_name, fields, header_json, labels_cell, list, page_json, payload_cell, payload_json, span_cell, string,
    time_cell, trigger,
};
use crate::cli::out;

pub(super) fn job_json(job: &Job) -> Value {
    json!({
        "app": job.app,
        "name": job.name,
        "spec": job.spec.as_ref().map(spec_json),
        "etag": job.etag,
        "paused": job.paused,
        "pause_note": job.pause_note,
        "create_time": string(job.create_time.as_ref()),
        "update_time": string(job.update_time.as_ref()),
        "running_count": job.running_count,
        "queued_count": job.queued_count,
    })
}

pub(super) fn spec_json(spec: &JobSpec) -> Value {
    json!({
        "processor": spec.processor,
        "payload": payload_json(spec.payload.as_ref()),
        "retry": spec.retry.as_ref().map(retry_json),
        "attempt_timeout": string(spec.attempt_timeout.as_ref()),
        "run_timeout": string(spec.run_timeout.as_ref()),
        "max_running": spec.max_running,
        "priority": spec.priority,
        "lost_worker": enum_name!(LostWorkerPolicy, "LOST_WORKER_POLICY_", spec.lost_worker),
        "labels": spec.labels,
        "description": spec.description,
        "triggers": triggers_json(spec),
    })
}

fn triggers_json(spec: &JobSpec) -> Value {
    spec.triggers.iter().map(|(name, spec)| (name.clone(), trigger::spec_json(spec))).collect::<Map<_, _>>().into()
}

pub(super) fn retry_json(retry: &RetryPolicy) -> Value {
    json!({
        "max_attempts": retry.max_attempts,
        "initial_backoff": string(retry.initial_backoff.as_ref()),
        "multiplier": retry.multiplier,
        "max_backoff": string(retry.max_backoff.as_ref()),
    })
}

/// A job for people. How many of its runs there are just now, only a read knows.
fn job_text(job: Option<&Job>, is_read: bool) -> String {
    let Some(job) = job else { return String::new() };
    let state = if job.paused { format!("paused {}", out::clean(&job.pause_note)) } else { "active".to_owned() };
    let runs = format!("{} running, {} queued", job.running_count, job.queued_count);
    let mut rows = vec![("job", out::cell(&job.name)), ("app", out::cell(&job.app)), ("state", state)];
    rows.extend(job.spec.iter().flat_map(spec_fields));
    rows.extend([
        ("runs", if is_read { runs } else { String::new() }),
        ("etag", out::cell(&job.etag)),
        ("created", time_cell(job.create_time.as_ref())),
        ("changed", time_cell(job.update_time.as_ref())),
    ]);
    fields(rows)
}

fn spec_fields(spec: &JobSpec) -> Vec<(&'static str, String)> {
    let number = |number: i32| if number == 0 { String::new() } else { number.to_string() };
    let lost = match spec.lost_worker() {
        LostWorkerPolicy::Fail => "fail",
        _ => "retry",
    };
    vec![
        ("description", out::clean(&spec.description)),
        ("processor", out::cell(&spec.processor)),
        ("payload", payload_cell(spec.payload.as_ref())),
        ("attempts", spec.retry.as_ref().map(retry_text).unwrap_or_default()),
        ("attempt timeout", span_cell(spec.attempt_timeout.as_ref())),
        ("run timeout", span_cell(spec.run_timeout.as_ref())),
        ("max running", number(spec.max_running)),
        ("priority", number(spec.priority)),
        ("lost worker", lost.to_owned()),
        ("labels", labels_cell(&spec.labels)),
        ("triggers", triggers_cell(spec)),
    ]
}

/// A line for each trigger: its name, and when it fires.
fn triggers_cell(spec: &JobSpec) -> String {
    let line = |(name, spec): (&String, _)| format!("{}: {}", out::cell(name), trigger::when(spec));
    spec.triggers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn retry_text(retry: &RetryPolicy) -> String {
    let mut text = format!("up to {}", retry.max_attempts.max(1));
    if retry.max_attempts > 1 {
        let or = |given: String, default: &str| if given.is_empty() { default.to_owned() } else { given };
        let multiplier = if retry.multiplier > 0.0 { retry.multiplier } else { 2.0 };
        let first = or(span_cell(retry.initial_backoff.as_ref()), "1s");
        let longest = or(span_cell(retry.max_backoff.as_ref()), "10m");
        text.push_str(&format!(", {first} apart, times {multiplier} each, at most {longest}"));
    }
    text
}

/// Answers that hold a job.
macro_rules! show_job {
    ($($answer:ty: $is_read:literal),*) => {$(
        impl Show for $answer {
            fn json(&self) -> Value {
                json!({ "header": header_json(self.header.as_ref()), "job": self.job.as_ref().map(job_json) })
            }

            fn text(&self) -> String {
                job_text(self.job.as_ref(), $is_read)
            }
        }
    )*};
}
show_job!(
    GetJobResponse: true,
    CreateJobResponse: false,
    UpdateJobResponse: false,
    PauseJobResponse: false,
    ResumeJobResponse: false
);

impl Show for ListJobsResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "jobs": self.jobs.iter().map(job_json).collect::<Vec<_>>(),
            "page": page_json(self.page.as_ref()),
        })
    }

    fn text(&self) -> String {
        let row = |job: &Job| {
            let spec = job.spec.clone().unwrap_or_default();
            vec![
                out::cell(&job.name),
                out::cell(&spec.processor),
                if job.paused { "paused" } else { "active" }.to_owned(),
                job.running_count.to_string(),
                job.queued_count.to_string(),
                labels_cell(&spec.labels),
                out::cell(&spec.description),
            ]
        };
        let head = ["JOB", "PROCESSOR", "STATE", "RUNNING", "QUEUED", "LABELS", "DESCRIPTION"];
        list(&head, self.jobs.iter().map(row).collect())
    }
}

impl Show for DeleteJobResponse {
    fn json(&self) -> Value {
        json!({ "header": header_json(self.header.as_ref()) })
    }

    fn text(&self) -> String {
        "deleted".to_owned()
    }
}
