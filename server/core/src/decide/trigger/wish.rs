//! What callers wish of triggers, and what a change of a job means for those that it has.

use std::collections::BTreeSet;

use super::fire::{self, Fire};
use crate::{
    command::{BackfillRange, Origin, Stamp},
    decide::{Decision, job},
    event::Event,
    id::{JobKey, JobName, Millis, TriggerKey},
    job::JobSpec,
    limits,
    rejection::Rejection,
    reply::Reply,
    schedule::{Overlap, When},
    state::{State, Trigger, backfill_schedule, has_other_times, has_room, span_of},
    trigger::{Backfill, Effect, FireSource, SkipReason},
};

pub(in crate::decide) fn pause(state: &State, key: &TriggerKey, note: &str) -> Decision {
    find(state, key)?;
    Ok((vec![Event::TriggerPaused { key: key.clone(), note: note.to_owned(), by_itself: false }], Reply::Done))
}

pub(in crate::decide) fn resume(state: &State, key: &TriggerKey) -> Decision {
    let is_paused = find(state, key)?.standing().pause.is_some();
    let resumed = is_paused.then(|| Event::TriggerResumed { key: key.clone() });
    Ok((resumed.into_iter().collect(), Reply::Done))
}

pub(in crate::decide) fn fire_now(
    state: &State,
    stamp: Stamp,
    origin: &Origin,
    key: &TriggerKey,
    overlap: Option<Overlap>,
) -> Decision {
    let trigger = find(state, key)?;
    let overlap = overlap.unwrap_or(trigger.spec().overlap);
    let fire = Fire { source: FireSource::Hand, scheduled_time: stamp.now, waited: false };
    let is_free = has_room(overlap, state.live_count_of_trigger(key)) && trigger.standing().waiting.is_empty();
    let events = if is_free {
        fire::make(state, stamp, trigger, fire, Some(origin))?
    } else {
        fire::by_rule(state, stamp, trigger, fire, overlap)
    };
    let effect = events.iter().rev().find_map(effect_of).unwrap_or(Effect::Waits);
    if effect == Effect::Skipped(SkipReason::Quota) {
        let limit = state.limits().live_runs_per_app_max;
        return Err(Rejection::QuotaExceeded { app: key.job.app.clone(), what: "unfinished runs", limit });
    }
    Ok((events, Reply::TriggerFired(effect)))
}

fn effect_of(event: &Event) -> Option<Effect> {
    match event {
        Event::TriggerFired { run_id, .. } => Some(run_id.map_or(Effect::Waits, Effect::Run)),
        Event::TriggerSkipped { reason, .. } => Some(Effect::Skipped(*reason)),
        _ => None,
    }
}

pub(in crate::decide) fn backfill(state: &State, stamp: Stamp, key: &TriggerKey, range: BackfillRange) -> Decision {
    let trigger = find(state, key)?;
    if trigger.standing().backfill.is_some() {
        return Err(Rejection::BackfillUnderWay { trigger: key.to_string() });
    }
    let bad = |problem: String| Err(Rejection::BackfillUnfit { problem });
    if trigger.hangs_on_runs() {
        return bad("the trigger hangs on the end of a run: it has no times to make up for".to_owned());
    }
    let to = range.to.unwrap_or(stamp.now);
    if to > stamp.now {
        return bad("the range lies ahead: it may end now at the latest".to_owned());
    }
    if range.from >= to {
        return bad("the range is empty: it must begin before it ends".to_owned());
    }
    let schedule = backfill_schedule(trigger.spec(), trigger.standing().made_at, range.from);
    let before = range.from.minus(Millis(1));
    let span =
        schedule.and_then(|schedule| span_of(&schedule, before, to.minus(Millis(1)), limits::BACKFILL_TIMES_MAX + 1));
    let Some(span) = span else { return Ok((Vec::new(), Reply::Backfill(0))) };
    if span.count > limits::BACKFILL_TIMES_MAX {
        return bad(format!("the range has more than {} times; take it in parts", limits::BACKFILL_TIMES_MAX));
    }
    let backfill = Box::new(Backfill {
        from: range.from,
        to,
        overlap: range.overlap,
        cursor: before,
        count: span.count,
        fired: 0,
        skipped: 0,
        create_time: stamp.now,
    });
    Ok((vec![Event::BackfillStarted { key: key.clone(), backfill }], Reply::Backfill(span.count)))
}

pub(in crate::decide) fn cancel_backfill(state: &State, key: &TriggerKey) -> Decision {
    let is_under_way = find(state, key)?.standing().backfill.is_some();
    let ended = is_under_way.then(|| Event::BackfillEnded { key: key.clone(), done: false });
    Ok((ended.into_iter().collect(), Reply::Done))
}

/// Refuses a job whose triggers would follow its own runs, by whatever way round: it would run for ever.
///
/// # Errors
/// [`Rejection::TriggerCycle`].
pub(in crate::decide) fn unlike_itself(state: &State, key: &JobKey, spec: &JobSpec) -> Result<(), Rejection> {
    let mut seen: BTreeSet<JobName> = BTreeSet::new();
    let mut ahead: Vec<JobName> = follows(spec).cloned().collect();
    while let Some(job) = ahead.pop() {
        if job == key.job {
            return Err(Rejection::TriggerCycle { job: key.to_string() });
        }
        let of = JobKey { app: key.app.clone(), job: job.clone() };
        if seen.insert(job)
            && let Some(job) = state.job(&of)
        {
            ahead.extend(follows(&job.spec).cloned());
        }
    }
    Ok(())
}

fn follows(spec: &JobSpec) -> impl Iterator<Item = &JobName> {
    spec.triggers.values().filter_map(|trigger| match &trigger.when {
        When::After { job, .. } => Some(job),
        _ => None,
    })
}

/// What has come and is not settled of the triggers whose times an update replaces: nobody would ever know of it.
pub(in crate::decide) fn replaced(state: &State, stamp: Stamp, key: &JobKey, spec: &JobSpec) -> Vec<Event> {
    let changed = state.triggers_of_job(key.clone()).filter(|trigger| is_replaced(trigger, spec));
    let unsettled = changed.flat_map(|trigger| {
        let reason = if trigger.standing().pause.is_some() { SkipReason::Paused } else { SkipReason::Replaced };
        super::slice(trigger, stamp.now.minus(trigger.jitter()), reason)
    });
    unsettled.collect()
}

/// The backfills that end because the times of their triggers are others now.
pub(in crate::decide) fn stop_backfills(state: &State, key: &JobKey, spec: &JobSpec) -> Vec<Event> {
    let changed = state.triggers_of_job(key.clone()).filter(|trigger| is_replaced(trigger, spec));
    let with_backfill = changed.filter(|trigger| trigger.standing().backfill.is_some());
    with_backfill.map(|trigger| Event::BackfillEnded { key: trigger.standing().key.clone(), done: false }).collect()
}

fn is_replaced(trigger: &Trigger, spec: &JobSpec) -> bool {
    let now = spec.triggers.get(&trigger.standing().key.name);
    now.is_some_and(|now| has_other_times(trigger.spec(), now))
}

fn find<'a>(state: &'a State, key: &TriggerKey) -> Result<&'a Trigger, Rejection> {
    job::find(state, &key.job, None)?;
    state.trigger(key).ok_or_else(|| Rejection::NotFound { what: "trigger", name: key.to_string() })
}
