//! What goes over the stream of a worker.

use semel_core::{
    codec::Payload,
    command::{AttemptRef, Command, Report},
    id::{AppName, AttemptNumber, Millis, ProcessorName, RunId, WorkerId},
    limits,
    run::LogStream,
    trace::TraceContext,
};
use semel_proto::v1;

use super::{fields::Fields, run, time};
use crate::{
    engine::{Assignment, CancelReason, Hello},
    transport::trace,
};

pub(crate) fn parse_hello(fields: &mut Fields, hello: &v1::Hello, app: Option<AppName>) -> Option<Hello> {
    let worker_id = uuid::Uuid::try_parse(&hello.worker_id).ok().map(|id| WorkerId(id.into_bytes()));
    if worker_id.is_none() {
        fields.note("hello.worker_id", "must be a UUID that the worker process keeps");
    }
    let worker_name = fields.text("hello.worker_name", &hello.worker_name, 255);
    if !(1..=limits::WORKER_PROCESSORS_MAX).contains(&hello.processors.len()) {
        fields.note("hello.processors", format!("must be 1 to {}", limits::WORKER_PROCESSORS_MAX));
    }
    let mut processors = std::collections::BTreeSet::new();
    for (index, name) in hello.processors.iter().enumerate() {
        processors.extend(fields.take(&format!("hello.processors[{index}]"), ProcessorName::parse(name)));
    }
    let slots = parse_slots(fields, "hello.slots", hello.slots);
    let mut held = Vec::new();
    for attempt in &hello.held {
        held.extend(fields.run_id(&attempt.run_id).zip(parse_number(fields, "hello.held.attempt", attempt.attempt)));
    }
    Some(Hello {
        app: app?,
        worker_id: worker_id?,
        worker_name: worker_name?.as_str().into(),
        processors,
        slots: slots?,
        held,
    })
}

pub(crate) fn parse_slots(fields: &mut Fields, field: &str, slots: i32) -> Option<u32> {
    let max = i32::try_from(limits::WORKER_SLOTS_MAX).expect("ten thousand fits");
    fields.bounded(field, slots, 0, max).and_then(|slots| u32::try_from(slots).ok())
}

fn parse_number(fields: &mut Fields, field: &str, number: i64) -> Option<AttemptNumber> {
    let parsed = u32::try_from(number).ok().map(AttemptNumber);
    if parsed.is_none() {
        fields.note(field, "must be the number of an attempt");
    }
    parsed
}

/// The worker that speaks, and for which app.
pub(crate) struct Speaker {
    pub(crate) app: AppName,
    pub(crate) worker_id: WorkerId,
}

impl Speaker {
    fn attempt(&self, fields: &mut Fields, run_id: &str, number: i64) -> Option<AttemptRef> {
        let run_id = fields.run_id(run_id);
        let number = parse_number(fields, "attempt", number);
        Some(AttemptRef { app: self.app.clone(), worker_id: self.worker_id, run_id: run_id?, number: number? })
    }

    pub(crate) fn report(&self, fields: &mut Fields, message: &v1::Report) -> Option<Command> {
        let attempt = self.attempt(fields, &message.run_id, message.attempt);
        let report = match &message.outcome {
            None => {
                fields.note("outcome", "must be given");
                return None;
            }
            Some(v1::report::Outcome::Succeeded(succeeded)) => {
                let result = fields.payload("succeeded.result", succeeded.result.as_ref());
                Report::Succeeded { result: result.filter(|result| *result != Payload::default()) }
            }
            Some(v1::report::Outcome::Failed(failed)) => {
                let retry_after = failed.retry_after.as_ref();
                Report::Failed {
                    error: failed.error.chars().take(limits::ERROR_CHARS_MAX).collect(),
                    permanent: failed.permanent,
                    retry_after: fields.span("failed.retry_after", retry_after, Millis(0), limits::BACKOFF_MAX),
                }
            }
            Some(v1::report::Outcome::Cancelled(_)) => Report::Cancelled,
            Some(v1::report::Outcome::Released(released)) => {
                Report::Released { reason: released.reason.chars().take(limits::NOTE_CHARS_MAX).collect() }
            }
        };
        Some(Command::ReportAttempt { attempt: attempt?, report })
    }

    pub(crate) fn log(&self, fields: &mut Fields, message: &v1::Log) -> Option<Command> {
        let attempt = self.attempt(fields, &message.run_id, message.attempt);
        if message.data.len() > limits::LOG_CHUNK_BYTES_MAX {
            fields.note("data", format!("must have at most {} bytes", limits::LOG_CHUNK_BYTES_MAX));
        }
        let stream = match v1::LogStream::try_from(message.stream) {
            Ok(v1::LogStream::Stdout) => LogStream::Stdout,
            Ok(v1::LogStream::Stderr) => LogStream::Stderr,
            Ok(v1::LogStream::System) => LogStream::System,
            Ok(v1::LogStream::Unspecified) | Err(_) => {
                fields.note("stream", "must be one of the streams");
                return None;
            }
        };
        Some(Command::AppendLog { attempt: attempt?, stream, data: message.data.clone() })
    }
}

pub(crate) fn attempt_ref((run_id, number): (RunId, AttemptNumber)) -> v1::AttemptRef {
    v1::AttemptRef { run_id: run_id.to_string(), attempt: i64::from(number.0) }
}

/// Work, with its input and its own place in a trace.
pub(crate) fn assignment(
    assignment: &Assignment,
    payload: Option<&Payload>,
    place: Option<&TraceContext>,
) -> v1::Assignment {
    v1::Assignment {
        run_id: assignment.run_id.to_string(),
        attempt: i64::from(assignment.number.0),
        app: assignment.app.to_string(),
        job: assignment.job.to_string(),
        processor: assignment.processor.to_string(),
        payload: payload.map(run::payload),
        labels: (*assignment.labels).clone(),
        attempt_deadline: assignment.deadline.map(time::timestamp),
        max_attempts: i32::try_from(assignment.max_attempts).unwrap_or(i32::MAX),
        trigger: run::trigger(assignment.cause.as_deref()),
        scheduled_time: run::scheduled_time(assignment.cause.as_deref()),
        trace_context: place.map(trace::message),
    }
}

pub(crate) fn cancel_attempt(run_id: RunId, number: AttemptNumber, reason: CancelReason) -> v1::CancelAttempt {
    use v1::cancel_attempt::Reason;
    let reason = match reason {
        CancelReason::Cancelled => Reason::Cancelled,
        CancelReason::TimedOut => Reason::TimedOut,
        CancelReason::LeaseStale => Reason::LeaseStale,
    };
    v1::CancelAttempt { run_id: run_id.to_string(), attempt: i64::from(number.0), reason: reason.into() }
}
