//! Runs, attempts, logs and payloads.

use semel_core::{
    codec::Payload,
    id::Timestamp,
    run::{Attempt, AttemptOutcome, Cause, LogStream, Phase, Run, RunState},
    state::LogRow,
};
use semel_proto::v1;

use super::time;
use crate::{
    engine::{Explanation, ExplanationKind, Progress},
    transport::trace,
};

pub(crate) fn payload(payload: &Payload) -> v1::Payload {
    v1::Payload { data: payload.data.clone(), content_type: payload.content_type.clone() }
}

/// A run without input, result and progress.
pub(crate) fn run(run: &Run) -> v1::Run {
    let (retry_time, end_time) = match run.state {
        RunState::Retrying { until } => (Some(until), None),
        RunState::Ended { time, .. } => (None, Some(time)),
        _ => (None, None),
    };
    let optional = |at: Option<Timestamp>| at.map(time::timestamp);
    v1::Run {
        run_id: run.id.to_string(),
        app: run.job.app.to_string(),
        job: run.job.job.to_string(),
        state: phase(run.state.phase()).into(),
        labels: (*run.labels).clone(),
        priority: run.priority,
        create_time: Some(time::timestamp(run.create_time)),
        start_time: optional(run.start_time),
        deadline: optional(run.deadline),
        end_time: optional(end_time),
        attempts: run.attempts.iter().map(attempt).collect(),
        max_attempts: i32::try_from(run.plan.retry.max_attempts).unwrap_or(i32::MAX),
        retry_time: optional(retry_time),
        reason: run.reason.clone(),
        result: None,
        payload: None,
        processor: run.plan.processor.to_string(),
        unique_key: run.unique_key.clone().unwrap_or_default(),
        retry_of: run.retry_of.map(|id| id.to_string()).unwrap_or_default(),
        request_id: run.request_id.map(|id| id.to_string()).unwrap_or_default(),
        progress: None,
        revision: i64::try_from(run.revision.0).unwrap_or(i64::MAX),
        trigger: trigger(run.cause.as_deref()),
        scheduled_time: scheduled_time(run.cause.as_deref()),
        trace_context: run.trace.as_deref().map(trace::message),
    }
}

/// The name of the trigger that made a run.
pub(super) fn trigger(cause: Option<&Cause>) -> String {
    cause.map(|cause| cause.trigger.to_string()).unwrap_or_default()
}

/// The time that a run was made for.
pub(super) fn scheduled_time(cause: Option<&Cause>) -> Option<prost_types::Timestamp> {
    cause.map(|cause| time::timestamp(cause.scheduled_time))
}

pub(crate) fn progress(progress: &Progress) -> v1::Progress {
    v1::Progress {
        fraction: progress.fraction,
        message: progress.message.clone(),
        update_time: Some(time::timestamp(progress.time)),
    }
}

pub(super) fn attempt(attempt: &Attempt) -> v1::Attempt {
    let state = attempt.end.as_ref().map_or(v1::AttemptState::Running, |end| match end.how {
        AttemptOutcome::Succeeded => v1::AttemptState::Succeeded,
        AttemptOutcome::Failed => v1::AttemptState::Failed,
        AttemptOutcome::Cancelled => v1::AttemptState::Cancelled,
        AttemptOutcome::TimedOut => v1::AttemptState::TimedOut,
        AttemptOutcome::Lost => v1::AttemptState::Lost,
        AttemptOutcome::Released => v1::AttemptState::Released,
    });
    v1::Attempt {
        attempt: i64::from(attempt.number.0),
        state: state.into(),
        worker_id: attempt.worker_id.to_string(),
        worker_name: attempt.worker_name.to_string(),
        start_time: Some(time::timestamp(attempt.start_time)),
        end_time: attempt.end.as_ref().map(|end| time::timestamp(end.time)),
        error: attempt.end.as_ref().map(|end| end.error.clone()).unwrap_or_default(),
    }
}

pub(crate) fn phase(phase: Phase) -> v1::RunState {
    match phase {
        Phase::Scheduled => v1::RunState::Scheduled,
        Phase::Queued => v1::RunState::Queued,
        Phase::Running => v1::RunState::Running,
        Phase::Retrying => v1::RunState::Retrying,
        Phase::Cancelling => v1::RunState::Cancelling,
        Phase::Succeeded => v1::RunState::Succeeded,
        Phase::Failed => v1::RunState::Failed,
        Phase::Cancelled => v1::RunState::Cancelled,
        Phase::Expired => v1::RunState::Expired,
    }
}

/// None for a state that this server does not know.
pub(crate) fn parse_phase(number: i32) -> Option<Phase> {
    Phase::ALL.into_iter().find(|candidate| i32::from(phase(*candidate)) == number)
}

pub(crate) fn log_chunk(row: &LogRow) -> v1::LogChunk {
    let stream = match row.stream {
        LogStream::Stdout => v1::LogStream::Stdout,
        LogStream::Stderr => v1::LogStream::Stderr,
        LogStream::System => v1::LogStream::System,
    };
    v1::LogChunk {
        attempt: i64::from(row.number.0),
        stream: stream.into(),
        time: Some(time::timestamp(row.time)),
        data: row.data.clone(),
    }
}

pub(crate) fn explanation(explanation: &Explanation) -> v1::RunExplanation {
    use v1::run_explanation::Kind;
    let kind = match explanation.kind {
        ExplanationKind::Running => Kind::Running,
        ExplanationKind::StartTime => Kind::StartTime,
        ExplanationKind::Backoff => Kind::Backoff,
        ExplanationKind::JobPaused => Kind::JobPaused,
        ExplanationKind::ConcurrencyLimit => Kind::ConcurrencyLimit,
        ExplanationKind::NoWorker => Kind::NoWorker,
        ExplanationKind::NoFreeSlot => Kind::NoFreeSlot,
        ExplanationKind::BehindOthers => Kind::BehindOthers,
        ExplanationKind::Cancelling => Kind::Cancelling,
        ExplanationKind::AboutToStart => Kind::AboutToStart,
    };
    v1::RunExplanation {
        kind: kind.into(),
        message: explanation.message.clone(),
        until: explanation.until.map(time::timestamp),
    }
}

/// Why a run that has ended is where it is.
pub(crate) fn finished_explanation(run: &Run) -> v1::RunExplanation {
    let state = run.state.phase().as_str();
    let message =
        if run.reason.is_empty() { format!("it is {state}") } else { format!("it is {state}: {}", run.reason) };
    v1::RunExplanation { kind: v1::run_explanation::Kind::Finished.into(), message, until: None }
}
