//! Triggers, as they stand.

mod event;
mod parse;
mod spec;

use semel_core::{
    id::{Millis, Timestamp},
    schedule::zone_data_version,
    state::Trigger,
    trigger::{Backfill, Counters, Effect, FireSource, PastFire, SkipReason},
};
use semel_proto::v1;

pub(crate) use self::{
    event::event,
    parse::{parse_backfill_overlap, parse_overlap, parse_spec, parse_triggers},
    spec::spec,
};
use super::{header::count, time};

/// How many of the next times a trigger shows.
const NEXT_TIMES: usize = 10;

/// Where a trigger stands.
pub(crate) fn state(trigger: &Trigger, now: Timestamp) -> v1::TriggerState {
    if trigger.standing().pause.is_some() {
        v1::TriggerState::Paused
    } else if trigger.has_ended(now) {
        v1::TriggerState::Ended
    } else {
        v1::TriggerState::Active
    }
}

/// A trigger as it stands, with so many of its runs unfinished.
pub(crate) fn trigger(trigger: &Trigger, live: usize, now: Timestamp) -> v1::Trigger {
    let standing = trigger.standing();
    let problem = "this server cannot make sense of what the trigger says; update its job";
    v1::Trigger {
        app: standing.key.job.app.to_string(),
        job: standing.key.job.job.to_string(),
        name: standing.key.name.to_string(),
        spec: Some(spec(trigger.spec())),
        state: state(trigger, now).into(),
        pause_note: standing.pause.as_ref().map(|pause| pause.note.clone()).unwrap_or_default(),
        pause_time: standing.pause.as_ref().map(|pause| time::timestamp(pause.time)),
        next_fire_times: next_times(trigger, now),
        create_time: Some(time::timestamp(standing.made_at)),
        settled_time: Some(time::timestamp(standing.cursor)),
        counters: Some(counters(&standing.counters)),
        failures_in_row: i32::try_from(standing.failures).unwrap_or(i32::MAX),
        live_run_count: i32::try_from(live).unwrap_or(i32::MAX),
        waiting_fire_times: standing.waiting.iter().map(|waiting| time::timestamp(waiting.scheduled_time)).collect(),
        backfill: standing.backfill.as_deref().map(backfill),
        last_fires: standing.last_fires.iter().rev().map(past_fire).collect(),
        zone_data_version: zone_data_version().to_owned(),
        problem: if trigger.schedule().is_some() { String::new() } else { problem.to_owned() },
    }
}

/// What it would do next: what is settled is behind it, and what passes while it is paused will be.
fn next_times(trigger: &Trigger, now: Timestamp) -> Vec<prost_types::Timestamp> {
    let later = |at: Timestamp| time::timestamp(at.plus(trigger.jitter()));
    if trigger.is_used_up() {
        return Vec::new();
    }
    if trigger.hangs_on_runs() {
        return trigger.next().map(later).into_iter().collect();
    }
    let Some(schedule) = trigger.schedule() else { return Vec::new() };
    let is_paused = trigger.standing().pause.is_some();
    let from = if is_paused { now.max(trigger.standing().cursor) } else { trigger.standing().cursor };
    let left = trigger.spec().max_fires.map(|max| max.saturating_sub(trigger.standing().counters.fired));
    let left = left.map_or(NEXT_TIMES, |left| usize::try_from(left).unwrap_or(NEXT_TIMES).min(NEXT_TIMES));
    schedule.upcoming(from).take(left).map(later).collect()
}

fn counters(counters: &Counters) -> v1::TriggerCounters {
    v1::TriggerCounters {
        fired: count(counters.fired),
        fired_by_hand: count(counters.by_hand),
        backfilled: count(counters.backfilled),
        skipped_overlap: count(counters.overlap),
        dropped_buffer: count(counters.buffer),
        missed: count(counters.misfire),
        missed_paused: count(counters.paused),
        skipped_quota: count(counters.quota),
        replaced: count(counters.replaced),
        late_total: Some(time::duration(counters.late_total)),
        late_max: Some(time::duration(counters.late_max)),
        late_last: Some(time::duration(counters.late_last)),
    }
}

/// A backfill, for the wire.
pub(crate) fn backfill(backfill: &Backfill) -> v1::Backfill {
    v1::Backfill {
        from_time: Some(time::timestamp(backfill.from)),
        to_time: Some(time::timestamp(backfill.to)),
        overlap: Some(spec::overlap(backfill.overlap)),
        done_time: Some(time::timestamp(backfill.cursor.max(backfill.from.minus(Millis(1))))),
        count: count(backfill.count),
        fired_count: count(backfill.fired),
        skipped_count: count(backfill.skipped),
        create_time: Some(time::timestamp(backfill.create_time)),
    }
}

fn past_fire(fire: &PastFire) -> v1::TriggerFire {
    let (effect, run_id, reason) = effect(fire.effect);
    v1::TriggerFire {
        scheduled_time: Some(time::timestamp(fire.scheduled_time)),
        time: Some(time::timestamp(fire.time)),
        effect: effect.into(),
        run_id,
        reason: reason.into(),
        count: count(fire.count),
        source: source(fire.source).into(),
    }
}

/// What became of a fire: the effect, the run that it made, and why it made none.
pub(crate) fn effect(effect: Effect) -> (v1::FireEffect, String, v1::FireReason) {
    match effect {
        Effect::Run(run_id) => (v1::FireEffect::Run, run_id.to_string(), v1::FireReason::Unspecified),
        Effect::Waits => (v1::FireEffect::Waits, String::new(), v1::FireReason::Unspecified),
        Effect::Skipped(why) => (v1::FireEffect::None, String::new(), reason(why)),
    }
}

/// Why a fire made no run, for the wire.
pub(crate) fn reason(reason: SkipReason) -> v1::FireReason {
    match reason {
        SkipReason::Overlap => v1::FireReason::Overlap,
        SkipReason::Buffer => v1::FireReason::Buffer,
        SkipReason::Misfire => v1::FireReason::Misfire,
        SkipReason::Paused => v1::FireReason::Paused,
        SkipReason::Quota => v1::FireReason::Quota,
        SkipReason::Replaced => v1::FireReason::Replaced,
    }
}

/// By what a fire came to be, for the wire.
pub(crate) fn source(source: FireSource) -> v1::FireSource {
    match source {
        FireSource::Schedule => v1::FireSource::Schedule,
        FireSource::Hand => v1::FireSource::Hand,
        FireSource::Backfill => v1::FireSource::Backfill,
    }
}
