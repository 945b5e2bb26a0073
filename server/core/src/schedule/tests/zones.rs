//! Schedules against the model, around the moments at which clocks are moved.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{
    expression::{Expression, Item, daily_expressions, expressions},
    model::Walk,
    sample,
};
use crate::{
    id::{Millis, Timestamp},
    schedule::{Date, Exclusion, Fold, Gap, TimeOfDay, TriggerSpec, Weekdays, When, zone_names},
};

const HOUR: i64 = 3600;
const FOLDS: [Fold; 4] = [Fold::First, Fold::Second, Fold::Both, Fold::Skip];
const GAPS: [Gap; 2] = [Gap::After, Gap::Skip];

/// When a zone's clocks are moved, 1970 to 2037; seconds since 1970, with by how much.
fn moves(zone: &TimeZone) -> Vec<(i64, i64)> {
    let offset = |at: i64| i64::from(zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds());
    let from = jiff::Timestamp::from_second(3 * 86_400).unwrap();
    let changes = zone.following(from).map(|change| change.timestamp().as_second());
    let by = changes.take_while(|at| *at < 2_145_916_800).map(|at| (at, offset(at) - offset(at - 1)));
    by.filter(|(_, by)| *by != 0).collect()
}

/// Each zone with its moves; of those with the same moves the first.
fn zones_with_moves() -> Vec<(&'static str, Vec<(i64, i64)>)> {
    let mut zones: Vec<(&str, Vec<(i64, i64)>)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for name in zone_names() {
        let moves = moves(&sample::zone(name));
        if !moves.is_empty() && seen.insert(moves.clone()) {
            zones.push((name, moves));
        }
    }
    zones
}

/// What fires after `from` and up to `to` is what the model says.
pub(super) fn check(spec: &TriggerSpec, expression: Option<&Expression>, walk: &Walk, from: i64, to: i64) {
    let expected: Vec<i64> = walk.fires(spec, expression).into_iter().filter(|at| from < *at && *at <= to).collect();
    let schedule = sample::compile(spec);
    let fires = schedule.upcoming(Timestamp(from * 1000)).take_while(|at| at.0 <= to * 1000);
    let fires: Vec<i64> = fires.map(|at| at.0 / 1000).collect();
    let shown = |at: i64| sample::shown(Timestamp(at * 1000), &sample::zone(&spec.zone));
    let show = |fires: &[i64], others: &[i64]| -> Vec<String> {
        fires.iter().filter(|at| !others.contains(at)).take(5).map(|at| shown(*at)).collect()
    };
    assert!(
        fires == expected,
        "{spec:?}\nafter {}: only the schedule has {:#?}, only the model has {:#?}",
        shown(from),
        show(&fires, &expected),
        show(&expected, &fires)
    );
    let missed = schedule.missed_between(Timestamp(from * 1000), Timestamp(to * 1000), u64::MAX);
    assert_eq!(missed.count, fires.len() as u64);
    assert_eq!(missed.last.map(|at| at.0 / 1000), fires.last().copied());
}

fn values(values: &[u32]) -> Vec<Item> {
    values.iter().map(|value| Item::Range(*value, *value, 1)).collect()
}

pub(super) fn of_day(minutes: &[u32], hours: Vec<Item>) -> Expression {
    let every = || vec![Item::Every(1)];
    Expression { fields: [values(&[0]), values(minutes), hours, every(), every(), every()], years: None }
}

#[test]
fn fires_are_those_of_the_model_at_each_move_of_each_zone() {
    let expressions = [
        of_day(&[0, 15, 30, 45], vec![Item::Every(1)]),
        of_day(&[0, 30, 45], (0..23).map(|hour| Item::Range(hour, hour, 1)).collect()),
    ];
    let mut count = 0;
    for (name, moves) in zones_with_moves() {
        let zone = sample::zone(name);
        for (number, (at, by)) in moves.into_iter().enumerate() {
            // Most clocks are moved by and at whole quarters of an hour. Where these or the offsets have seconds, steps of a
            // minute would pass by what clocks show: that is left to the properties below.
            let offset = i64::from(zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds());
            let whole = |step: i64| at % step == 0 && by % step == 0 && offset % step == 0;
            let Some(step) = [900, 60].into_iter().find(|step| whole(*step)) else { continue };
            let around = by.abs() + HOUR;
            let walk = Walk::new(zone.clone(), at - 2 * around, at + 2 * around, step);
            for expression in &expressions {
                let mut spec = sample::cron(&expression.to_string(), name);
                spec.gap = GAPS[number % 2];
                spec.fold = FOLDS[number / 2 % 4];
                check(&spec, Some(expression), &walk, at - around, at + around);
                count += 1;
            }
        }
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn it_makes_no_difference_how_long_before_it_is_asked() {
    for (name, moves) in zones_with_moves() {
        let zone = sample::zone(name);
        for (number, (at, by)) in moves.into_iter().enumerate() {
            let before = i64::from(zone.to_offset(jiff::Timestamp::from_second(at - 1).unwrap()).seconds());
            // By the clock: before the move, within what it leaves out or shows twice, and after.
            let locals = [-HOUR, by / 2, by.abs() + HOUR].map(|from_move| at + before + from_move);
            for local in locals {
                let shown = jiff::Timestamp::from_second(local).unwrap().to_zoned(TimeZone::UTC);
                let expression = shown.strftime("%S %M %H %d %m ? %Y").to_string();
                let fold = FOLDS[number % 3];
                let schedule = sample::compile(&TriggerSpec { fold, ..sample::cron(&expression, name) });
                let soon = schedule.next(Timestamp((at - 30 * HOUR) * 1000));
                assert!(soon.is_some(), "{expression} in {name}");
                let long_before = schedule.next(Timestamp((at - 30 * HOUR) * 1000 / 2));
                assert_eq!(long_before, soon, "{expression} in {name}, {fold:?}");
            }
        }
    }
}

/// A zone, and one of its moves.
fn places() -> impl Strategy<Value = (&'static str, i64, i64)> {
    let zones = zones_with_moves();
    (any::<prop::sample::Index>(), any::<prop::sample::Index>()).prop_map(move |(zone, number)| {
        let (name, moves) = zone.get(&zones);
        let (at, by) = *number.get(moves);
        (*name, at, by)
    })
}

fn rules() -> impl Strategy<Value = (Gap, Fold)> {
    (prop::sample::select(&GAPS[..]), prop::sample::select(&FOLDS[..]))
}

fn times_of_day(step: u32) -> impl Strategy<Value = TimeOfDay> {
    (0..86_400 / step).prop_map(move |number| TimeOfDay(number * step))
}

/// Exclusions that are likely to matter around a moment.
fn exclusions(near: i64) -> impl Strategy<Value = Vec<Exclusion>> {
    let date = move |days: i64| {
        let date = jiff::Timestamp::from_second(near + days * 86_400).unwrap().to_zoned(TimeZone::UTC).date();
        Date { year: date.year(), month: date.month().unsigned_abs(), day: date.day().unsigned_abs() }
    };
    let moment = move |minutes: i64| Timestamp((near + minutes * 60) * 1000);
    let one = prop_oneof![
        (-2..2_i64).prop_map(move |day| Exclusion::Dates { dates: vec![date(day)] }),
        (-2..2_i64).prop_map(move |day| Exclusion::Yearly { days: vec![(date(day).month, date(day).day)] }),
        (1..0x7f_u8).prop_map(|days| Exclusion::Weekdays { days: Weekdays(days) }),
        (-3..2_i64, 0..2_i64).prop_map(move |(day, more)| Exclusion::Days { from: date(day), to: date(day + more) }),
        (-600..600_i64, 1..900_i64)
            .prop_map(move |(from, more)| Exclusion::Range { from: moment(from), to: moment(from + more) }),
        (times_of_day(60), times_of_day(60))
            .prop_filter("it is not empty", |(from, to)| from != to)
            .prop_map(|(from, to)| Exclusion::Hours { from, to }),
    ];
    prop::collection::vec(one, 0..3)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn fires_of_each_second_are_those_of_the_model(
        (name, at, by) in places(),
        expression in expressions(true),
        (gap, fold) in rules(),
    ) {
        let around = by.abs().min(3 * HOUR) + 1800;
        let walk = Walk::new(sample::zone(name), at - 2 * around, at + 2 * around, 1);
        let spec = TriggerSpec { gap, fold, ..sample::cron(&expression.to_string(), name) };
        check(&spec, Some(&expression), &walk, at - around, at + around);
    }

    #[test]
    fn fires_of_days_with_exclusions_are_those_of_the_model(
        ((name, at, by), exclude) in places().prop_flat_map(|place| (Just(place), exclusions(place.1))),
        expression in daily_expressions(),
        (gap, fold) in rules(),
    ) {
        prop_assume!(by % 60 == 0 && at % 60 == 0);
        let walk = Walk::new(sample::zone(name), at - 80 * HOUR, at + 80 * HOUR, 60);
        let spec = TriggerSpec { gap, fold, exclude, ..sample::cron(&expression.to_string(), name) };
        check(&spec, Some(&expression), &walk, at - 50 * HOUR, at + 50 * HOUR);
    }

    #[test]
    fn windows_are_those_of_the_model(
        ((name, at, by), exclude) in places().prop_flat_map(|place| (Just(place), exclusions(place.1))),
        (from, to) in (times_of_day(900), times_of_day(900)),
        every in prop_oneof![Just(900), Just(420), Just(3600), Just(5400), 60..20_000_i64],
        days in prop_oneof![Just(Weekdays::ALL), (1..0x7f_u8).prop_map(Weekdays)],
        (gap, fold) in rules(),
    ) {
        prop_assume!(by % 60 == 0 && at % 60 == 0);
        let walk = Walk::new(sample::zone(name), at - 130 * HOUR, at + 130 * HOUR, 60);
        let when = When::Daily { from, to, every: Millis::from_secs(every), days };
        let spec = TriggerSpec { gap, fold, exclude, ..sample::spec(when, name) };
        check(&spec, None, &walk, at - 50 * HOUR, at + 50 * HOUR);
    }

    #[test]
    fn rates_are_those_of_the_model(
        ((name, at, _), exclude) in places().prop_flat_map(|place| (Just(place), exclusions(place.1))),
        (period, start, end) in (1..200_i64, -60..60_i64, 1..120_i64),
    ) {
        let at = at / 60 * 60;
        let walk = Walk::new(sample::zone(name), at - 60 * HOUR, at + 60 * HOUR, 60);
        let start_time = Some(Timestamp((at + start * HOUR) * 1000));
        let end_time = Some(Timestamp((at + (start + end) * HOUR) * 1000));
        let when = When::Rate { period: Millis::from_secs(60 * period) };
        let spec = TriggerSpec { exclude, start_time, end_time, ..sample::spec(when, name) };
        check(&spec, None, &walk, at - 50 * HOUR, at + 50 * HOUR);
    }
}
