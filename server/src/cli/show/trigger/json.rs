//! Triggers for programs: the field names of the protocol.

use std::fmt::Display;

use semel_proto::v1::{
    Backfill, DayOfWeek, Exclusion, FireSource, FoldRule, GapRule, MisfireRule, Overlap, OverlapRule, Trigger,
    TriggerCounters, TriggerFire, TriggerSpec, TriggerState, exclusion, trigger_spec::When,
};
use serde_json::{Value, json};

use super::{fire_effect, fire_reason};
use crate::cli::show::{enum_name, payload_json, run_state, string};

pub(super) fn source(source: i32) -> String {
    enum_name!(FireSource, "FIRE_SOURCE_", source)
}

pub(super) fn trigger_json(trigger: &Trigger) -> Value {
    json!({
        "app": trigger.app,
        "job": trigger.job,
        "name": trigger.name,
        "spec": trigger.spec.as_ref().map(spec_json),
        "state": enum_name!(TriggerState, "TRIGGER_STATE_", trigger.state),
        "pause_note": trigger.pause_note,
        "pause_time": string(trigger.pause_time.as_ref()),
        "next_fire_times": times(&trigger.next_fire_times),
        "create_time": string(trigger.create_time.as_ref()),
        "settled_time": string(trigger.settled_time.as_ref()),
        "counters": trigger.counters.as_ref().map(counters_json),
        "failures_in_row": trigger.failures_in_row,
        "live_run_count": trigger.live_run_count,
        "waiting_fire_times": times(&trigger.waiting_fire_times),
        "backfill": trigger.backfill.as_ref().map(backfill_json),
        "last_fires": trigger.last_fires.iter().map(fire_json).collect::<Vec<_>>(),
        "zone_data_version": trigger.zone_data_version,
        "problem": trigger.problem,
    })
}

fn counters_json(counters: &TriggerCounters) -> Value {
    json!({
        "fired": counters.fired,
        "fired_by_hand": counters.fired_by_hand,
        "backfilled": counters.backfilled,
        "skipped_overlap": counters.skipped_overlap,
        "dropped_buffer": counters.dropped_buffer,
        "missed": counters.missed,
        "missed_paused": counters.missed_paused,
        "skipped_quota": counters.skipped_quota,
        "replaced": counters.replaced,
        "late_total": string(counters.late_total.as_ref()),
        "late_max": string(counters.late_max.as_ref()),
        "late_last": string(counters.late_last.as_ref()),
    })
}

fn fire_json(fire: &TriggerFire) -> Value {
    json!({
        "scheduled_time": string(fire.scheduled_time.as_ref()),
        "time": string(fire.time.as_ref()),
        "effect": fire_effect(fire.effect),
        "run_id": fire.run_id,
        "reason": fire_reason(fire.reason),
        "count": fire.count,
        "source": source(fire.source),
    })
}

fn backfill_json(backfill: &Backfill) -> Value {
    json!({
        "from_time": string(backfill.from_time.as_ref()),
        "to_time": string(backfill.to_time.as_ref()),
        "overlap": backfill.overlap.as_ref().map(overlap_json),
        "done_time": string(backfill.done_time.as_ref()),
        "count": backfill.count,
        "fired_count": backfill.fired_count,
        "skipped_count": backfill.skipped_count,
        "create_time": string(backfill.create_time.as_ref()),
    })
}

fn times(times: &[impl Display]) -> Vec<String> {
    times.iter().map(ToString::to_string).collect()
}

/// What a trigger says.
pub(in crate::cli::show) fn spec_json(spec: &TriggerSpec) -> Value {
    let mut object = json!({
        "zone": spec.zone,
        "gap": enum_name!(GapRule, "GAP_RULE_", spec.gap),
        "fold": enum_name!(FoldRule, "FOLD_RULE_", spec.fold),
        "exclude": spec.exclude.iter().map(exclusion_json).collect::<Vec<_>>(),
        "start_time": string(spec.start_time.as_ref()),
        "end_time": string(spec.end_time.as_ref()),
        "max_fires": spec.max_fires,
        "jitter": string(spec.jitter.as_ref()),
        "overlap": spec.overlap.as_ref().map(overlap_json),
        "misfire": enum_name!(MisfireRule, "MISFIRE_RULE_", spec.misfire),
        "catch_up": string(spec.catch_up.as_ref()),
        "pause_after_failures": spec.pause_after_failures,
        "payload": payload_json(spec.payload.as_ref()),
        "labels": spec.labels,
    });
    let (name, when) = match &spec.when {
        Some(When::Cron(cron)) => ("cron", json!({ "expression": cron.expression })),
        Some(When::Rate(rate)) => ("rate", json!({ "period": string(rate.period.as_ref()) })),
        Some(When::Delay(delay)) => ("delay", json!({ "delay": string(delay.delay.as_ref()) })),
        Some(When::Daily(daily)) => {
            let every = string(daily.every.as_ref());
            ("daily", json!({ "from": daily.from, "to": daily.to, "every": every, "days": days(&daily.days) }))
        }
        Some(When::Times(list)) => {
            ("times", json!({ "times": list.times.iter().map(ToString::to_string).collect::<Vec<_>>() }))
        }
        Some(When::After(after)) => {
            let states: Vec<String> = after.states.iter().map(|state| run_state(*state)).collect();
            ("after", json!({ "job": after.job, "states": states }))
        }
        None => return object,
    };
    object[name] = when;
    object
}

fn overlap_json(overlap: &Overlap) -> Value {
    json!({ "rule": enum_name!(OverlapRule, "OVERLAP_RULE_", overlap.rule), "max": overlap.max })
}

fn exclusion_json(exclusion: &Exclusion) -> Value {
    match &exclusion.kind {
        Some(exclusion::Kind::Dates(days)) => json!({ "dates": { "dates": days.dates } }),
        Some(exclusion::Kind::Yearly(days)) => json!({ "yearly": { "dates": days.dates } }),
        Some(exclusion::Kind::Weekdays(weekdays)) => json!({ "weekdays": { "days": days(&weekdays.days) } }),
        Some(exclusion::Kind::Days(span)) => json!({ "days": { "from": span.from, "to": span.to } }),
        Some(exclusion::Kind::Range(range)) => json!({ "range": {
            "start_time": string(range.start_time.as_ref()),
            "end_time": string(range.end_time.as_ref()),
        } }),
        Some(exclusion::Kind::Hours(hours)) => json!({ "hours": { "from": hours.from, "to": hours.to } }),
        None => json!({}),
    }
}

fn days(days: &[i32]) -> Vec<String> {
    days.iter().map(|day| enum_name!(DayOfWeek, "DAY_OF_WEEK_", *day)).collect()
}
