//! Triggers: what becomes of a time that has come. One command settles one fire, or one slice of times that come to
//! nothing; each is a record of its own, because a revision makes at most one run.

mod fire;
mod wish;

use self::fire::Fire;
pub(super) use self::wish::{
    backfill, cancel_backfill, fire_now, pause, replaced, resume, stop_backfills, unlike_itself,
};
use crate::{
    command::Stamp,
    event::Event,
    id::{Millis, Timestamp, TriggerKey},
    limits,
    schedule::Misfire,
    state::{Span, State, Trigger, has_room},
    trigger::{Backfill, FireSource, SkipReason},
};

/// What a trigger has to do now, the first of it. Names events whenever [`State::due_trigger`] names the trigger, so that
/// asking again comes to an end.
pub(super) fn act(state: &State, stamp: Stamp, key: &TriggerKey) -> Vec<Event> {
    let Some(trigger) = state.trigger(key) else { return Vec::new() };
    let standing = trigger.standing();
    if trigger.must_pause() {
        let note = format!("{} runs failed in a row", standing.failures);
        return vec![Event::TriggerPaused { key: key.clone(), note, by_itself: true }];
    }
    if standing.pause.is_some() {
        return Vec::new();
    }
    let live = state.live_count_of_trigger(key);
    if let Some(first) = standing.waiting.first()
        && has_room(trigger.spec().overlap, live)
    {
        let fire = Fire { source: first.source, scheduled_time: first.scheduled_time, waited: true };
        return fire::make_or_skip(state, stamp, trigger, fire);
    }
    if let Some(backfill) = &standing.backfill
        && crate::state::backfill_has_room(backfill, live)
    {
        return fill(state, stamp, trigger, backfill, live);
    }
    scheduled(state, stamp, trigger)
}

/// The next time of a backfill.
fn fill(state: &State, stamp: Stamp, trigger: &Trigger, backfill: &Backfill, live: usize) -> Vec<Event> {
    let key = trigger.standing().key.clone();
    let Some(scheduled_time) = trigger.backfill_next(backfill) else {
        return vec![Event::BackfillEnded { key, done: true }];
    };
    let fire = Fire { source: FireSource::Backfill, scheduled_time, waited: false };
    // Whoever skips goes on though there is no room; the others wait until there is.
    if has_room(backfill.overlap, live) {
        return fire::make_or_skip(state, stamp, trigger, fire);
    }
    vec![fire::skipped(&key, fire, SkipReason::Overlap)]
}

/// The next time of the schedule, if it has come.
fn scheduled(state: &State, stamp: Stamp, trigger: &Trigger) -> Vec<Event> {
    let Some(next) = trigger.next() else { return Vec::new() };
    let standing = trigger.standing();
    if let Some(until) = standing.paused_until.filter(|until| next <= *until) {
        return slice(trigger, until, SkipReason::Paused);
    }
    let late = Millis(stamp.now.0.saturating_sub(next.plus(trigger.jitter()).0));
    if late < Millis(0) {
        return Vec::new();
    }
    let fire = Fire { source: FireSource::Schedule, scheduled_time: next, waited: false };
    if late <= limits::MISFIRE_AFTER {
        return fire::by_rule(state, stamp, trigger, fire, trigger.spec().overlap);
    }
    misfired(state, stamp, trigger, fire)
}

/// A time that passed while nobody could fire it, and all others that have come by now.
fn misfired(state: &State, stamp: Stamp, trigger: &Trigger, fire: Fire) -> Vec<Event> {
    let spec = trigger.spec();
    // What lies before this has come, and what lies before the horizon is too old to be caught up.
    let edge = stamp.now.minus(trigger.jitter());
    let horizon = edge.minus(spec.catch_up.max(limits::MISFIRE_AFTER));
    if fire.scheduled_time < horizon {
        return slice(trigger, horizon.minus(Millis(1)), SkipReason::Misfire);
    }
    match spec.misfire {
        Misfire::Skip => slice(trigger, edge.minus(limits::MISFIRE_AFTER).minus(Millis(1)), SkipReason::Misfire),
        Misfire::FireAll => fire::by_rule(state, stamp, trigger, fire, spec.overlap),
        Misfire::FireOnce => match trigger.span(edge, limits::SETTLE_SLICE) {
            Some(Span { count, .. }) if count > 1 => but_the_last(trigger, edge, count),
            _ => fire::by_rule(state, stamp, trigger, fire, spec.overlap),
        },
    }
}

/// All times up to this one come to nothing, or a slice of them.
fn slice(trigger: &Trigger, until: Timestamp, reason: SkipReason) -> Vec<Event> {
    passed(trigger, until, limits::SETTLE_SLICE, reason)
}

/// The last one is left for the next command: it fires, unless still later ones have come.
fn but_the_last(trigger: &Trigger, until: Timestamp, count: u64) -> Vec<Event> {
    passed(trigger, until, count - 1, SkipReason::Misfire)
}

fn passed(trigger: &Trigger, until: Timestamp, max: u64, reason: SkipReason) -> Vec<Event> {
    let Some(span) = trigger.span(until, max) else { return Vec::new() };
    vec![Event::TriggerSkipped {
        key: trigger.standing().key.clone(),
        source: FireSource::Schedule,
        waited: false,
        reason,
        count: span.count,
        from: span.first,
        to: span.last,
    }]
}
