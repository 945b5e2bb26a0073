//! What a worker says of an attempt, fenced by its number, and what follows from the end of an attempt.

use super::{Cold, Decision, finished_run, live_run};
use crate::{
    command::{AttemptRef, Report, Stamp},
    event::Event,
    id::Millis,
    job::LostWorker,
    limits,
    rejection::Rejection,
    reply::Reply,
    run::{AttemptOutcome, LogStream, Outcome, Run, RunState},
    state::State,
};

pub(super) fn report(state: &State, cold: &Cold, stamp: Stamp, attempt: &AttemptRef, report: &Report) -> Decision {
    let run = held(state, cold, attempt)?;
    let events = match report {
        Report::Succeeded { result } => {
            let mut events = vec![ended(run, AttemptOutcome::Succeeded, "")];
            if let Some(Event::AttemptEnded { result: slot, .. }) = events.first_mut() {
                slot.clone_from(result);
            }
            events.push(end(run, Outcome::Succeeded, ""));
            events
        }
        Report::Failed { error, permanent, retry_after } => {
            failed(run, stamp, AttemptOutcome::Failed, error, *permanent, *retry_after)
        }
        Report::Cancelled if is_cancelling(run) => cancelled(run, AttemptOutcome::Cancelled),
        Report::Cancelled => failed(run, stamp, AttemptOutcome::Failed, "the worker cancelled it unasked", false, None),
        Report::Released { .. } if is_cancelling(run) => cancelled(run, AttemptOutcome::Released),
        Report::Released { reason } => {
            vec![ended(run, AttemptOutcome::Released, reason), Event::RunQueued { run_id: run.id }]
        }
    };
    Ok((events, Reply::Done))
}

pub(super) fn append_log(
    state: &State,
    cold: &Cold,
    attempt: &AttemptRef,
    stream: LogStream,
    data: &bytes::Bytes,
) -> Decision {
    let run = held(state, cold, attempt)?;
    // Nothing was written, and without bytes no bound would ever be reached.
    if data.is_empty() {
        return Ok((Vec::new(), Reply::Done));
    }
    let max = state.limits().log_bytes_max;
    let (stream, data) = match run.log_bytes.checked_add(data.len() as u64) {
        // Only the notice may fill the log up: a full log that does not say so would be cut in silence.
        Some(total) if total < max => (stream, data.clone()),
        // The bound was reached before and the log says so already.
        _ if run.log_bytes >= max => return Ok((Vec::new(), Reply::Done)),
        _ => (LogStream::System, cut_notice(run.log_bytes, max)),
    };
    let event = Event::LogAppended { run_id: run.id, number: attempt.number, stream, data };
    Ok((vec![event], Reply::Done))
}

/// The last piece of a log that is too long. As long as what is left, so that the bound counts as reached.
fn cut_notice(so_far: u64, max: u64) -> bytes::Bytes {
    let left = usize::try_from(max - so_far).unwrap_or(usize::MAX).min(limits::LOG_CHUNK_BYTES_MAX);
    let mut notice = format!("\n[log cut: it has reached its bound of {max} bytes]\n").into_bytes();
    notice.resize(left.max(notice.len()), b' ');
    notice.into()
}

/// An attempt took longer than it may.
pub(super) fn timed_out(run: &Run, stamp: Stamp) -> Vec<Event> {
    failed(run, stamp, AttemptOutcome::TimedOut, "the attempt took longer than its time-out", false, None)
}

/// The worker of an attempt was lost.
pub(super) fn lost(run: &Run) -> Vec<Event> {
    let error = "the worker was lost: it was not heard of for longer than its lease";
    if is_cancelling(run) {
        return cancelled(run, AttemptOutcome::Lost);
    }
    let attempt_ended = ended(run, AttemptOutcome::Lost, error);
    if run.plan.lost_worker == LostWorker::Fail {
        return vec![attempt_ended, end(run, Outcome::Failed, error)];
    }
    if run.lost_count + 1 >= limits::LOST_ATTEMPTS_MAX {
        let reason = format!("{} workers were lost over it", run.lost_count + 1);
        return vec![attempt_ended, end(run, Outcome::Failed, &reason)];
    }
    vec![attempt_ended, Event::RunQueued { run_id: run.id }]
}

/// The attempt of a cancelled run is over, one way or another.
pub(super) fn cancelled(run: &Run, how: AttemptOutcome) -> Vec<Event> {
    vec![ended(run, how, ""), end(run, Outcome::Cancelled, &run.reason)]
}

fn failed(
    run: &Run,
    stamp: Stamp,
    how: AttemptOutcome,
    error: &str,
    permanent: bool,
    retry_after: Option<Millis>,
) -> Vec<Event> {
    if is_cancelling(run) {
        return cancelled(run, how);
    }
    let failed_count = run.failed_count + 1;
    let attempt_ended = ended(run, how, error);
    if permanent || failed_count >= run.plan.retry.max_attempts {
        return vec![attempt_ended, end(run, Outcome::Failed, error)];
    }
    let wait = retry_after.unwrap_or_else(|| run.plan.retry.backoff(failed_count));
    vec![attempt_ended, Event::RunRetrying { run_id: run.id, until: stamp.now.plus(wait) }]
}

/// The run, if this attempt of it is held by this worker now.
fn held<'a>(state: &'a State, cold: &Cold, attempt: &AttemptRef) -> Result<&'a Run, Rejection> {
    let stale = |why: String| Err(Rejection::LeaseStale { why });
    let Some(run) = live_run(state, &attempt.app, attempt.run_id) else {
        return match finished_run(state, cold, &attempt.app, attempt.run_id) {
            Some((run, _)) => stale(format!("the run is {}", run.state.phase().as_str())),
            None => stale("there is no such run".to_owned()),
        };
    };
    match run.held() {
        Some(held) if held.number != attempt.number => {
            stale(format!("attempt {} has taken the place of attempt {}", held.number.0, attempt.number.0))
        }
        Some(held) if held.worker_id != attempt.worker_id => stale("it belongs to another worker".to_owned()),
        Some(_) => Ok(run),
        None => stale(format!("the run is {} and no attempt is open", run.state.phase().as_str())),
    }
}

fn is_cancelling(run: &Run) -> bool {
    matches!(run.state, RunState::Cancelling { .. })
}

pub(super) fn ended(run: &Run, how: AttemptOutcome, error: &str) -> Event {
    Event::AttemptEnded { run_id: run.id, number: run.attempt, how, error: error.to_owned(), result: None }
}

pub(super) fn end(run: &Run, outcome: Outcome, reason: &str) -> Event {
    Event::RunEnded { run_id: run.id, outcome, reason: reason.to_owned() }
}
