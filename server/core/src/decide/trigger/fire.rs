//! One fire: a run, a place among those that wait, or a reason why not.

use std::sync::Arc;

use crate::{
    command::{Origin, Stamp},
    decide::{cancel, run},
    event::Event,
    id::{Millis, Timestamp, TriggerKey},
    limits,
    rejection::Rejection,
    run::{Cause, RunState},
    schedule::Overlap,
    state::{State, Trigger, has_room},
    trigger::{FireSource, SkipReason},
};

/// What fires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fire {
    /// By what.
    pub(super) source: FireSource,
    /// For which time.
    pub(super) scheduled_time: Timestamp,
    /// Whether it is the first of those that waited.
    pub(super) waited: bool,
}

/// What the overlap rule makes of a fire whose time has come.
pub(super) fn by_rule(state: &State, stamp: Stamp, trigger: &Trigger, fire: Fire, overlap: Overlap) -> Vec<Event> {
    let standing = trigger.standing();
    let key = &standing.key;
    let live = state.live_count_of_trigger(key);
    let stands_in_line = !standing.waiting.is_empty() && buffers(overlap);
    if has_room(overlap, live) && !stands_in_line {
        return make_or_skip(state, stamp, trigger, fire);
    }
    match overlap {
        Overlap::Skip | Overlap::Parallel { .. } => vec![skipped(key, fire, SkipReason::Overlap)],
        Overlap::BufferOne => wait_or_drop(trigger, stamp, fire, 1),
        Overlap::BufferAll { max } => wait_or_drop(trigger, stamp, fire, max.min(limits::BUFFER_MAX) as usize),
        Overlap::CancelOther => cancel_others(state, stamp, trigger, fire),
    }
}

fn buffers(overlap: Overlap) -> bool {
    matches!(overlap, Overlap::BufferOne | Overlap::BufferAll { .. } | Overlap::CancelOther)
}

fn wait_or_drop(trigger: &Trigger, stamp: Stamp, fire: Fire, max: usize) -> Vec<Event> {
    let standing = trigger.standing();
    if standing.waiting.len() < max {
        return vec![waits(trigger, stamp, fire)];
    }
    vec![skipped(&standing.key, fire, SkipReason::Buffer)]
}

/// Whoever waits gives way, and who runs is asked to stop. If nobody holds any of the runs, they end at once, and the fire
/// makes its run in the same record.
fn cancel_others(state: &State, stamp: Stamp, trigger: &Trigger, fire: Fire) -> Vec<Event> {
    let key = &trigger.standing().key;
    let mut events: Vec<Event> = Vec::new();
    for waiting in &trigger.standing().waiting {
        let former = Fire { source: waiting.source, scheduled_time: waiting.scheduled_time, waited: true };
        events.push(skipped(key, former, SkipReason::Buffer));
    }
    let mut is_held = false;
    for run in state.live_runs_of_trigger(key).filter_map(|id| state.run(id)) {
        is_held |= matches!(run.state, RunState::Running | RunState::Cancelling { .. });
        events.extend(cancel::stop(state, stamp, run, "a later fire of its trigger takes its place"));
    }
    if is_held {
        events.push(waits(trigger, stamp, fire));
    } else {
        events.extend(make_or_skip(state, stamp, trigger, fire));
    }
    events
}

/// Makes the run, or says that there may be no more.
pub(super) fn make_or_skip(state: &State, stamp: Stamp, trigger: &Trigger, fire: Fire) -> Vec<Event> {
    make(state, stamp, trigger, fire, None)
        .unwrap_or_else(|_| vec![skipped(&trigger.standing().key, fire, SkipReason::Quota)])
}

/// Makes the run.
///
/// # Errors
/// [`Rejection::QuotaExceeded`].
pub(super) fn make(
    state: &State,
    stamp: Stamp,
    trigger: &Trigger,
    fire: Fire,
    origin: Option<&Origin>,
) -> Result<Vec<Event>, Rejection> {
    let key = &trigger.standing().key;
    let Some(job) = state.job(&key.job) else { return Ok(Vec::new()) };
    let spec = trigger.spec();
    let payload = spec.payload.clone().or_else(|| job.spec.payload.clone());
    let mut run = run::new_run(state, stamp, origin, job, payload.is_some())?;
    if !spec.labels.is_empty() {
        Arc::make_mut(&mut run.labels).extend(spec.labels.clone());
    }
    run.cause =
        Some(Box::new(Cause { trigger: key.name.clone(), scheduled_time: fire.scheduled_time, source: fire.source }));
    let fired = Event::TriggerFired {
        key: key.clone(),
        source: fire.source,
        scheduled_time: fire.scheduled_time,
        waited: fire.waited,
        late: late(trigger, stamp, fire),
        run_id: Some(run.id),
    };
    let (created, _) = run::created(run, None, payload);
    Ok(std::iter::once(fired).chain(created).collect())
}

fn waits(trigger: &Trigger, stamp: Stamp, fire: Fire) -> Event {
    Event::TriggerFired {
        key: trigger.standing().key.clone(),
        source: fire.source,
        scheduled_time: fire.scheduled_time,
        waited: fire.waited,
        late: late(trigger, stamp, fire),
        run_id: None,
    }
}

/// By how much it comes later than the schedule says. What is not of the schedule is never late.
fn late(trigger: &Trigger, stamp: Stamp, fire: Fire) -> Millis {
    match fire.source {
        FireSource::Schedule => Millis(stamp.now.0.saturating_sub(fire.scheduled_time.plus(trigger.jitter()).0).max(0)),
        FireSource::Hand | FireSource::Backfill => Millis(0),
    }
}

/// One fire that comes to nothing.
pub(super) fn skipped(key: &TriggerKey, fire: Fire, reason: SkipReason) -> Event {
    Event::TriggerSkipped {
        key: key.clone(),
        source: fire.source,
        waited: fire.waited,
        reason,
        count: 1,
        from: fire.scheduled_time,
        to: fire.scheduled_time,
    }
}
