//! Jobs.

use std::sync::Arc;

use semel_core::{
    id::{Millis, ProcessorName},
    job::{Job, JobSpec, LostWorker, Plan, RetryPolicy},
    limits,
    state::JobCounts,
};
use semel_proto::v1;

use super::{fields::Fields, time, trigger};

pub(crate) fn job(job: &Job, counts: JobCounts) -> v1::Job {
    let pause_note = job.pause.as_ref().map(|pause| pause.note.clone()).unwrap_or_default();
    v1::Job {
        app: job.key.app.to_string(),
        name: job.key.job.to_string(),
        spec: Some(spec(&job.spec)),
        etag: job.etag.0.to_string(),
        paused: job.pause.is_some(),
        pause_note,
        create_time: Some(time::timestamp(job.create_time)),
        update_time: Some(time::timestamp(job.update_time)),
        running_count: i32::try_from(counts.running).unwrap_or(i32::MAX),
        queued_count: i32::try_from(counts.queued).unwrap_or(i32::MAX),
    }
}

fn spec(spec: &JobSpec) -> v1::JobSpec {
    let retry = &spec.plan.retry;
    v1::JobSpec {
        processor: spec.plan.processor.to_string(),
        payload: spec.payload.as_ref().map(super::run::payload),
        retry: Some(v1::RetryPolicy {
            max_attempts: i32::try_from(retry.max_attempts).unwrap_or(i32::MAX),
            initial_backoff: Some(time::duration(retry.initial_backoff)),
            multiplier: retry.multiplier,
            max_backoff: Some(time::duration(retry.max_backoff)),
        }),
        attempt_timeout: spec.plan.attempt_timeout.map(time::duration),
        run_timeout: spec.run_timeout.map(time::duration),
        max_running: spec.max_running.map_or(0, |max| i32::try_from(max).unwrap_or(i32::MAX)),
        priority: spec.priority,
        lost_worker: match spec.plan.lost_worker {
            LostWorker::Retry => v1::LostWorkerPolicy::Retry.into(),
            LostWorker::Fail => v1::LostWorkerPolicy::Fail.into(),
        },
        labels: (*spec.labels).clone(),
        description: spec.description.clone(),
        triggers: spec.triggers.iter().map(|(name, spec)| (name.to_string(), trigger::spec(spec))).collect(),
    }
}

/// A definition as this version of the server would keep and show it, every default written out; or all that is wrong with
/// it, by field. So a command can compare a file with what is there before it sends anything; the server judges again.
pub(crate) fn settled(given: &v1::JobSpec) -> Result<v1::JobSpec, Vec<(String, String)>> {
    // How large a payload may be is a setting of the server.
    let mut fields = Fields::new(usize::MAX);
    match parse_spec(&mut fields, Some(given)) {
        Some(parsed) if fields.is_clean() => Ok(spec(&parsed)),
        _ => Err(fields.violations()),
    }
}

pub(crate) fn parse_spec(fields: &mut Fields, spec: Option<&v1::JobSpec>) -> Option<Arc<JobSpec>> {
    let Some(spec) = spec else {
        fields.note("spec", "must be given");
        return None;
    };
    let processor = fields.take("spec.processor", ProcessorName::parse(&spec.processor));
    let attempt_timeout = fields.span(
        "spec.attempt_timeout",
        spec.attempt_timeout.as_ref(),
        limits::ATTEMPT_TIMEOUT_MIN,
        limits::ATTEMPT_TIMEOUT_MAX,
    );
    let run_timeout = fields.span("spec.run_timeout", spec.run_timeout.as_ref(), Millis(1), limits::RUN_TIMEOUT_MAX);
    let running_max = i32::try_from(limits::RUNNING_MAX).expect("a million fits");
    let max_running = fields.bounded("spec.max_running", spec.max_running, 0, running_max);
    let lost_worker = parse_lost_worker(fields, spec.lost_worker);
    let retry = parse_retry(fields, spec.retry.as_ref());
    let payload = fields.payload("spec.payload", spec.payload.as_ref());
    let priority = fields.priority("spec.priority", spec.priority);
    let labels = fields.labels("spec.labels", &spec.labels);
    let description = fields.text("spec.description", &spec.description, limits::NOTE_CHARS_MAX);
    let triggers = trigger::parse_triggers(fields, &spec.triggers);
    let plan = Plan { processor: processor?, retry, attempt_timeout, lost_worker };
    Some(Arc::new(JobSpec {
        plan: Arc::new(plan),
        payload,
        run_timeout,
        max_running: u32::try_from(max_running?).ok().filter(|max| *max > 0),
        priority,
        labels: labels.into(),
        description: description?,
        triggers,
    }))
}

fn parse_lost_worker(fields: &mut Fields, number: i32) -> LostWorker {
    match v1::LostWorkerPolicy::try_from(number) {
        Ok(v1::LostWorkerPolicy::Unspecified | v1::LostWorkerPolicy::Retry) => LostWorker::Retry,
        Ok(v1::LostWorkerPolicy::Fail) => LostWorker::Fail,
        Err(_) => {
            // A policy that a newer client knows must not be taken for another one.
            fields.note("spec.lost_worker", "is a policy that this server does not know");
            LostWorker::Fail
        }
    }
}

fn parse_retry(fields: &mut Fields, retry: Option<&v1::RetryPolicy>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(retry) = retry else { return default };
    let attempts_max = i32::try_from(limits::ATTEMPTS_MAX).expect("a hundred fits");
    let max_attempts = fields.bounded("spec.retry.max_attempts", retry.max_attempts, 0, attempts_max).unwrap_or(1);
    let initial = retry.initial_backoff.as_ref();
    let initial = fields.span("spec.retry.initial_backoff", initial, Millis(0), limits::BACKOFF_MAX);
    let longest = retry.max_backoff.as_ref();
    let longest = fields.span("spec.retry.max_backoff", longest, Millis(0), limits::BACKOFF_MAX);
    let multiplier = if retry.multiplier == 0.0 { default.multiplier } else { retry.multiplier };
    let multiplier = fields.bounded("spec.retry.multiplier", multiplier, 1.0, 100.0);
    RetryPolicy {
        max_attempts: u32::try_from(max_attempts.max(1)).unwrap_or(1),
        initial_backoff: initial.unwrap_or(default.initial_backoff),
        multiplier: multiplier.unwrap_or(default.multiplier),
        max_backoff: longest.unwrap_or(default.max_backoff),
    }
}
