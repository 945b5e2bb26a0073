//! Triggers for people: what they say in one line, how they stand, and what became of their times.

use semel_proto::v1::{
    Overlap, OverlapRule, Trigger, TriggerCounters, TriggerFire, TriggerSpec, TriggerState, trigger_spec::When,
};

use super::{fire_effect, reason_words};
use crate::cli::{
    out,
    show::{enum_name, fields, labels_cell, list, payload_cell, run_state, span_cell, time_cell},
};

/// The head of a list.
pub(super) const HEAD: [&str; 8] = ["JOB", "TRIGGER", "WHEN", "STATE", "NEXT", "FIRED", "SKIPPED", "MISSED"];

/// A line of a list.
pub(super) fn row(trigger: &Trigger) -> Vec<String> {
    let counters = trigger.counters.unwrap_or_default();
    let skipped = counters.skipped_overlap + counters.dropped_buffer + counters.skipped_quota + counters.replaced;
    vec![
        out::cell(&trigger.job),
        out::cell(&trigger.name),
        trigger.spec.as_ref().map(when).unwrap_or_default(),
        state(trigger),
        next(trigger),
        (counters.fired + counters.fired_by_hand + counters.backfilled).to_string(),
        skipped.to_string(),
        (counters.missed + counters.missed_paused).to_string(),
    ]
}

fn state(trigger: &Trigger) -> String {
    enum_name!(TriggerState, "TRIGGER_STATE_", trigger.state).to_lowercase()
}

fn next(trigger: &Trigger) -> String {
    if trigger.state() == TriggerState::Paused { String::new() } else { time_cell(trigger.next_fire_times.first()) }
}

/// When a trigger fires, in one line.
pub(in crate::cli::show) fn when(spec: &TriggerSpec) -> String {
    let zone = if spec.zone.is_empty() || spec.zone == "UTC" { String::new() } else { format!(" {}", spec.zone) };
    match &spec.when {
        Some(When::Cron(cron)) => format!("{}{}", out::cell(&cron.expression), out::cell(&zone)),
        Some(When::Rate(rate)) => format!("every {}", span_cell(rate.period.as_ref())),
        Some(When::Delay(delay)) => format!("{} after its last run", span_cell(delay.delay.as_ref())),
        Some(When::Daily(daily)) => {
            let every = span_cell(daily.every.as_ref());
            format!("{} to {} every {every}{}", out::cell(&daily.from), out::cell(&daily.to), out::cell(&zone))
        }
        Some(When::Times(list)) if list.times.len() == 1 => format!("once at {}", time_cell(list.times.first())),
        Some(When::Times(list)) => format!("{} times", list.times.len()),
        Some(When::After(after)) => {
            let states: Vec<String> = after.states.iter().map(|state| run_state(*state).to_lowercase()).collect();
            format!("after {} {}", out::cell(&after.job), states.join(" or "))
        }
        None => String::new(),
    }
}

/// All of a trigger.
pub(super) fn trigger(trigger: &Trigger) -> String {
    let spec = trigger.spec.clone().unwrap_or_default();
    let paused = trigger.pause_time.is_some();
    let since = format!("{} since {}", state(trigger), time_cell(trigger.pause_time.as_ref()));
    let mut rows = vec![
        ("trigger", out::cell(&trigger.name)),
        ("job", out::cell(&trigger.job)),
        ("app", out::cell(&trigger.app)),
        ("when", when(&spec)),
        ("state", if paused { since } else { state(trigger) }),
        ("why", out::clean(&trigger.pause_note)),
        ("problem", out::clean(&trigger.problem)),
        ("next", trigger.next_fire_times.iter().take(3).map(|at| time_cell(Some(at))).collect::<Vec<_>>().join(", ")),
    ];
    rows.extend(spec_rows(&spec));
    rows.extend(counter_rows(&trigger.counters.unwrap_or_default()));
    rows.extend([
        ("failures in a row", number(trigger.failures_in_row.into())),
        ("unfinished runs", number(trigger.live_run_count.into())),
        ("waiting", waiting(trigger)),
        ("backfill", backfill(trigger)),
        ("settled until", time_cell(trigger.settled_time.as_ref())),
        ("zone data", out::cell(&trigger.zone_data_version)),
    ]);
    let fires = list(&["SCHEDULED", "TIME", "EFFECT", "RUN"], trigger.last_fires.iter().map(fire_row).collect());
    format!("{}\n\nlast fires\n{fires}", fields(rows))
}

fn number(number: i64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

fn spec_rows(spec: &TriggerSpec) -> Vec<(&'static str, String)> {
    vec![
        ("from", time_cell(spec.start_time.as_ref())),
        ("until", time_cell(spec.end_time.as_ref())),
        ("fires at most", number(spec.max_fires)),
        ("exclusions", number(i64::try_from(spec.exclude.len()).unwrap_or(i64::MAX))),
        ("jitter up to", span_cell(spec.jitter.as_ref())),
        ("overlap", spec.overlap.as_ref().map(overlap).unwrap_or_default()),
        ("misfire", misfire(spec)),
        ("pauses after", number(spec.pause_after_failures.into())),
        ("payload", payload_cell(spec.payload.as_ref())),
        ("labels", labels_cell(&spec.labels)),
    ]
}

fn overlap(overlap: &Overlap) -> String {
    let rule = enum_name!(OverlapRule, "OVERLAP_RULE_", overlap.rule).to_lowercase().replace('_', " ");
    if overlap.max > 0 { format!("{rule}, up to {}", overlap.max) } else { rule }
}

fn misfire(spec: &TriggerSpec) -> String {
    let rule = spec.misfire().as_str_name().trim_start_matches("MISFIRE_RULE_").to_lowercase().replace('_', " ");
    format!("{rule}, within {}", span_cell(spec.catch_up.as_ref()))
}

fn counter_rows(counters: &TriggerCounters) -> Vec<(&'static str, String)> {
    vec![
        ("fired", counters.fired.to_string()),
        ("late at most", span_cell(counters.late_max.as_ref())),
        ("by hand", number(counters.fired_by_hand)),
        ("backfilled", number(counters.backfilled)),
        ("skipped: overlap", number(counters.skipped_overlap)),
        ("skipped: buffer", number(counters.dropped_buffer)),
        ("skipped: quota", number(counters.skipped_quota)),
        ("skipped: replaced", number(counters.replaced)),
        ("missed", number(counters.missed)),
        ("missed: paused", number(counters.missed_paused)),
    ]
}

fn waiting(trigger: &Trigger) -> String {
    match trigger.waiting_fire_times.as_slice() {
        [] => String::new(),
        [first, ..] => format!("{}, the first for {}", trigger.waiting_fire_times.len(), time_cell(Some(first))),
    }
}

fn backfill(trigger: &Trigger) -> String {
    let Some(backfill) = &trigger.backfill else { return String::new() };
    let done = backfill.fired_count + backfill.skipped_count;
    let (from, to) = (time_cell(backfill.from_time.as_ref()), time_cell(backfill.to_time.as_ref()));
    format!("{done} of {} done, {from} to {to}", backfill.count)
}

fn fire_row(fire: &TriggerFire) -> Vec<String> {
    let effect = match reason_words(fire.reason) {
        "" => fire_effect(fire.effect).to_lowercase(),
        words if fire.count > 1 => format!("{} times {words}", fire.count),
        words => words.to_owned(),
    };
    vec![time_cell(fire.scheduled_time.as_ref()), time_cell(fire.time.as_ref()), effect, out::cell(&fire.run_id)]
}
