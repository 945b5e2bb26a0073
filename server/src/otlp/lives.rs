//! What becomes of runs, drawn: from what the engine tells of them to spans.

use semel_core::{
    id::Timestamp,
    run::{AttemptOutcome, Outcome, Phase},
    trace::TraceContext,
};

use super::{
    ids,
    span::{Kind, Span, Value},
    tracer::Tracer,
};
use crate::engine::{Passage, PassageKind};

/// The span of a stretch of a run's life; none if the run is not recorded.
pub(super) fn span(tracer: &Tracer, passage: Passage) -> Option<Span> {
    let Passage { run_id, job, trace, from, to, kind } = passage;
    let place = tracer.of_run(run_id, trace.as_deref(), true)?;
    if !place.is_sampled() {
        return None;
    }
    let mut attributes: Vec<(&'static str, Value)> = vec![
        ("semel.run_id", run_id.to_string().into()),
        ("semel.app", job.app.to_string().into()),
        ("semel.job", job.job.to_string().into()),
    ];
    let drawn = match kind {
        PassageKind::Wait { queued, number, ended } => {
            attributes.push(("semel.attempt", i64::from(number.0).into()));
            attributes.extend(ended.map(|outcome| ("semel.state", outcome_name(outcome).into())));
            let queued = queued.filter(|queued| *queued > from).map(|queued| ("queued", nanos(queued)));
            let events = queued.into_iter().collect();
            Drawn { events, ..Drawn::below(&place, ids::of_wait(run_id, number), "wait", Kind::Internal) }
        }
        PassageKind::Attempt { number, worker_id, worker_name, how, error } => {
            attributes.push(("semel.attempt", i64::from(number.0).into()));
            attributes.push(("semel.attempt_state", attempt_name(how).into()));
            attributes.push(("semel.worker_id", worker_id.to_string().into()));
            attributes.push(("semel.worker_name", worker_name.to_string().into()));
            let error = has_failed(how).then_some(error);
            Drawn { error, ..Drawn::below(&place, ids::of_attempt(run_id, number), "attempt", Kind::Producer) }
        }
        PassageKind::Whole { outcome, reason } => {
            attributes.push(("semel.state", outcome_name(outcome).into()));
            let error = matches!(outcome, Outcome::Failed | Outcome::Expired).then_some(reason);
            Drawn { context: place, parent: None, name: "run", kind: Kind::Internal, events: Vec::new(), error }
        }
    };
    Some(Span {
        context: drawn.context,
        parent: drawn.parent,
        is_parent_remote: false,
        name: drawn.name.into(),
        kind: drawn.kind,
        from: nanos(from),
        to: nanos(to),
        attributes,
        events: drawn.events,
        link: None,
        error: drawn.error,
    })
}

/// What differs between the kinds.
struct Drawn {
    context: TraceContext,
    parent: Option<[u8; 8]>,
    name: &'static str,
    kind: Kind,
    events: Vec<(&'static str, u64)>,
    error: Option<String>,
}

impl Drawn {
    fn below(place: &TraceContext, span_id: [u8; 8], name: &'static str, kind: Kind) -> Self {
        Self { context: place.at(span_id), parent: Some(place.span_id), name, kind, events: Vec::new(), error: None }
    }
}

/// What the server itself ended has failed as well; what was given back or stopped as wished has not.
fn has_failed(how: AttemptOutcome) -> bool {
    matches!(how, AttemptOutcome::Failed | AttemptOutcome::TimedOut | AttemptOutcome::Lost)
}

fn attempt_name(how: AttemptOutcome) -> &'static str {
    match how {
        AttemptOutcome::Succeeded => "SUCCEEDED",
        AttemptOutcome::Failed => "FAILED",
        AttemptOutcome::Cancelled => "CANCELLED",
        AttemptOutcome::TimedOut => "TIMED_OUT",
        AttemptOutcome::Lost => "LOST",
        AttemptOutcome::Released => "RELEASED",
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    Phase::from(outcome).as_str()
}

/// Whole milliseconds, as the log has them.
fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.0).unwrap_or(0).saturating_mul(1_000_000)
}
