//! A definition as a file says it, as a tree: what `semel job export` writes and what `semel apply` compares. The way back is
//! `job_file`, and both know the same names.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use semel_proto::v1::{
    DayOfWeek, Exclusion, JobSpec, LostWorkerPolicy, Overlap, Payload, RetryPolicy, TriggerSpec, exclusion,
    trigger_spec::When,
};
use serde_json::Value;

use super::tree::Tree;
use crate::{
    cli::{job_file::content_type, trigger_file::name_of},
    config::show_duration,
};

/// All of a definition, in the order in which people read it. What is absent has no entry.
pub(crate) fn job(spec: &JobSpec) -> Tree {
    let lost = if spec.lost_worker() == LostWorkerPolicy::Fail { "fail" } else { "retry" };
    map([
        ("processor", text(&spec.processor)),
        ("description", text(&spec.description)),
        ("labels", texts(&spec.labels)),
        ("payload", spec.payload.as_ref().map(payload)),
        ("retry", spec.retry.as_ref().map(retry)),
        ("attempt_timeout", span(spec.attempt_timeout)),
        ("run_timeout", span(spec.run_timeout)),
        ("max_running", number(spec.max_running)),
        ("priority", number(spec.priority)),
        ("lost_worker", text(lost)),
        ("triggers", named(spec.triggers.iter().map(|(name, spec)| (name.clone(), trigger(spec))).collect())),
    ])
}

fn retry(retry: &RetryPolicy) -> Tree {
    map([
        ("max_attempts", number(retry.max_attempts)),
        ("initial_backoff", span(retry.initial_backoff)),
        ("multiplier", number(retry.multiplier)),
        ("max_backoff", span(retry.max_backoff)),
    ])
}

/// Bytes come back as they are: JSON is written as such only if it is read back to the same.
fn payload(payload: &Payload) -> Tree {
    let given = std::str::from_utf8(&payload.data).ok();
    let json = given.filter(|_| payload.content_type == "application/json").and_then(|text| {
        serde_json::from_str::<Value>(text).ok().filter(|value| is_written_so(value, text) && fits(value))
    });
    let is_known = json.is_some() || payload.content_type == content_type(&payload.data);
    let data = match (json, given) {
        (Some(json), _) => ("json", Some(Tree::Json(json))),
        (None, Some(given)) => ("text", Some(Tree::Text(given.to_owned()))),
        (None, None) => ("base64", Some(Tree::Text(STANDARD.encode(&payload.data)))),
    };
    let content_type = (!is_known).then(|| Tree::Text(payload.content_type.clone()));
    map([data, ("content_type", content_type)])
}

fn is_written_so(value: &Value, text: &str) -> bool {
    serde_json::to_string(value).is_ok_and(|written| written == text)
}

/// Whether all numbers are such that a file may hold.
fn fits(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_f64(),
        Value::Array(items) => items.iter().all(fits),
        Value::Object(fields) => fields.values().all(fits),
        _ => true,
    }
}

fn trigger(spec: &TriggerSpec) -> Tree {
    let rule = |prefix, number| name_of(prefix, number).map(Tree::Text);
    let exclude: Vec<Tree> = spec.exclude.iter().map(exclusion).collect();
    let fires = (spec.max_fires != 0).then(|| Tree::Number(spec.max_fires.to_string()));
    map([
        spec.when.as_ref().map_or(("when", None), when),
        ("zone", text(&spec.zone)),
        ("gap", rule("GAP_RULE_", spec.gap)),
        ("fold", rule("FOLD_RULE_", spec.fold)),
        ("exclude", (!exclude.is_empty()).then_some(Tree::List(exclude))),
        ("start_time", moment(spec.start_time)),
        ("end_time", moment(spec.end_time)),
        ("max_fires", fires),
        ("jitter", span(spec.jitter)),
        ("overlap", spec.overlap.as_ref().and_then(overlap)),
        ("misfire", rule("MISFIRE_RULE_", spec.misfire)),
        ("catch_up", span(spec.catch_up)),
        ("pause_after_failures", number(spec.pause_after_failures)),
        ("payload", spec.payload.as_ref().map(payload)),
        ("labels", texts(&spec.labels)),
    ])
}

fn when(when: &When) -> (&'static str, Option<Tree>) {
    match when {
        When::Cron(cron) => ("cron", text(&cron.expression)),
        When::Rate(rate) => ("rate", span(rate.period)),
        When::Delay(delay) => ("delay", span(delay.delay)),
        When::Daily(daily) => {
            let days = (!daily.days.is_empty()).then(|| days(&daily.days));
            let window =
                [("from", text(&daily.from)), ("to", text(&daily.to)), ("every", span(daily.every)), ("days", days)];
            ("daily", Some(map(window)))
        }
        When::Times(list) => {
            ("times", Some(Tree::List(list.times.iter().map(|at| Tree::Text(at.to_string())).collect())))
        }
        When::After(after) => {
            let states = after.states.iter().filter_map(|state| name_of("RUN_STATE_", *state)).map(Tree::Text);
            ("after", Some(map([("job", text(&after.job)), ("states", Some(Tree::List(states.collect())))])))
        }
    }
}

fn exclusion(excluded: &Exclusion) -> Tree {
    let list = |dates: &[String]| Some(Tree::List(dates.iter().cloned().map(Tree::Text).collect()));
    let from_to = |from, to| Some(map([("from", text(from)), ("to", text(to))]));
    map([match &excluded.kind {
        Some(exclusion::Kind::Dates(excluded)) => ("dates", list(&excluded.dates)),
        Some(exclusion::Kind::Yearly(excluded)) => ("yearly", list(&excluded.dates)),
        Some(exclusion::Kind::Weekdays(excluded)) => ("weekdays", Some(days(&excluded.days))),
        Some(exclusion::Kind::Days(excluded)) => ("days", from_to(&excluded.from, &excluded.to)),
        Some(exclusion::Kind::Hours(excluded)) => ("hours", from_to(&excluded.from, &excluded.to)),
        Some(exclusion::Kind::Range(range)) => {
            ("range", Some(map([("start_time", moment(range.start_time)), ("end_time", moment(range.end_time))])))
        }
        None => ("none", None),
    }])
}

fn overlap(overlap: &Overlap) -> Option<Tree> {
    let rule = name_of("OVERLAP_RULE_", overlap.rule)?;
    Some(match overlap.max {
        0 => Tree::Text(rule),
        max => map([("rule", Some(Tree::Text(rule))), ("max", number(max))]),
    })
}

fn days(numbers: &[i32]) -> Tree {
    let name = |number: &i32| {
        let name = DayOfWeek::try_from(*number).map_or("", |day| day.as_str_name());
        Tree::Text(name.trim_start_matches("DAY_OF_WEEK_").chars().take(3).collect::<String>().to_lowercase())
    };
    Tree::List(numbers.iter().map(name).collect())
}

fn map<const N: usize>(fields: [(&str, Option<Tree>); N]) -> Tree {
    Tree::Map(fields.into_iter().filter_map(|(name, tree)| Some((name.to_owned(), tree?))).collect())
}

fn named(fields: Vec<(String, Tree)>) -> Option<Tree> {
    (!fields.is_empty()).then_some(Tree::Map(fields))
}

fn texts(labels: &std::collections::BTreeMap<String, String>) -> Option<Tree> {
    named(labels.iter().map(|(key, value)| (key.clone(), Tree::Text(value.clone()))).collect())
}

fn text(text: &str) -> Option<Tree> {
    (!text.is_empty()).then(|| Tree::Text(text.to_owned()))
}

fn number<N: ToString + Default + PartialEq>(number: N) -> Option<Tree> {
    (number != N::default()).then(|| Tree::Number(number.to_string()))
}

fn moment(at: Option<impl ToString>) -> Option<Tree> {
    at.map(|at| Tree::Text(at.to_string()))
}

fn span(span: Option<impl TryInto<Duration>>) -> Option<Tree> {
    span?.try_into().ok().map(|span| Tree::Text(show_duration(span)))
}
