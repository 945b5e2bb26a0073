//! What becomes of times that a clock leaves out or shows twice, by example; and of limits and exclusions.

use super::sample::{at, check, compile, cron, spec};
use crate::{
    id::{Millis, Timestamp},
    schedule::{Date, Exclusion, Fold, Gap, Missed, TimeOfDay, TriggerSpec, Weekdays, When},
};

const BERLIN: &str = "Europe/Berlin";
/// The day before the clocks are put forward there, from 02:00 to 03:00, and the one before they are put back.
const SPRING: &str = "2024-03-30T03:00:00Z";
const AUTUMN: &str = "2024-10-26T03:00:00Z";

fn ruled(expression: &str, gap: Gap, fold: Fold) -> TriggerSpec {
    TriggerSpec { gap, fold, ..cron(expression, BERLIN) }
}

#[test]
fn a_time_that_is_left_out_is_made_up_once_or_not_at_all() {
    let after = |expression| ruled(expression, Gap::After, Fold::First);
    let made_up = "2024-03-31 Sun 03:00:00+02:00";
    check(&after("30 2 * * *"), SPRING, &[made_up, "2024-04-01 Mon 02:30", "2024-04-02"]);
    check(&after("0,20,40 2 * * *"), SPRING, &[made_up, "2024-04-01 Mon 02:00", "2024-04-01 Mon 02:20"]);
    check(&after("0 2,3 * * *"), SPRING, &[made_up, "2024-04-01 Mon 02:00", "2024-04-01 Mon 03:00"]);
    check(&after("0 2 31 3 * "), SPRING, &[made_up, "2025-03-31 Mon 02:00", "2026-03-31"]);
    let skip = |expression| ruled(expression, Gap::Skip, Fold::First);
    check(&skip("30 2 * * *"), SPRING, &["2024-04-01 Mon 02:30", "2024-04-02", "2024-04-03"]);
    check(&skip("0 2,3 * * *"), SPRING, &[made_up, "2024-04-01 Mon 02:00", "2024-04-01 Mon 03:00"]);
}

#[test]
fn a_time_that_is_shown_twice_fires_as_was_chosen() {
    let folded = |fold| ruled("30 2 * * *", Gap::After, fold);
    let (first, second) = ("2024-10-27 Sun 02:30:00+02:00", "2024-10-27 Sun 02:30:00+01:00");
    let next = "2024-10-28 Mon 02:30:00+01:00";
    check(&folded(Fold::First), AUTUMN, &[first, next, "2024-10-29"]);
    check(&folded(Fold::Second), AUTUMN, &[second, next, "2024-10-29"]);
    check(&folded(Fold::Both), AUTUMN, &[first, second, next]);
    check(&folded(Fold::Skip), AUTUMN, &[next, "2024-10-29", "2024-10-30"]);
}

#[test]
fn an_expression_of_every_hour_goes_by_time_that_passes() {
    for expression in ["30 * * * *", "30 0-23 * * *", "30 */1 * * *", "0 30 * * * *"] {
        let spec = ruled(expression, Gap::After, Fold::First);
        check(
            &spec,
            "2024-03-31T00:00:00Z",
            &["2024-03-31 Sun 01:30:00+01:00", "2024-03-31 Sun 03:30", "2024-03-31 Sun 04:30"],
        );
        let both = ["2024-10-27 Sun 02:30:00+02:00", "2024-10-27 Sun 02:30:00+01:00", "2024-10-27 Sun 03:30"];
        check(&spec, "2024-10-27T00:00:00Z", &both);
    }
}

#[test]
fn a_lost_day_is_made_up_as_the_next_one_begins() {
    let spec = cron("0 9 * * *", "Pacific/Apia");
    let made_up = ["2011-12-29 Thu 09:00:00-10:00", "2011-12-31 Sat 00:00:00+14:00", "2011-12-31 Sat 09:00"];
    check(&spec, "2011-12-29T12:00:00Z", &made_up);
    let spec = TriggerSpec { gap: Gap::Skip, ..spec };
    check(&spec, "2011-12-29T12:00:00Z", &["2011-12-29 Thu 09:00", "2011-12-31 Sat 09:00", "2012-01-01 Sun 09:00"]);
}

fn window(from: u32, to: u32, every: i64) -> When {
    let (from, to) = (TimeOfDay(from * 60), TimeOfDay(to * 60));
    When::Daily { from, to, every: Millis::from_secs(every * 60), days: Weekdays::ALL }
}

#[test]
fn steps_of_a_window_are_counted_in_time_that_passes() {
    let hourly = spec(window(60, 4 * 60, 60), BERLIN);
    check(&hourly, "2024-03-31T00:00:00Z", &["2024-03-31 Sun 03:00", "2024-03-31 Sun 04:00", "2024-04-01 Mon 01:00"]);
    let autumn = ["2024-10-27 Sun 02:00:00+02:00", "2024-10-27 Sun 02:00:00+01:00", "2024-10-27 Sun 03:00"];
    check(&hourly, "2024-10-26T23:00:00Z", &autumn);
    let night = spec(window(23 * 60, 30, 45), "UTC");
    check(
        &night,
        "2024-01-01T12:00:00Z",
        &["2024-01-01 Mon 23:00", "2024-01-01 Mon 23:45", "2024-01-02 Tue 00:30", "2024-01-02 Tue 23:00"],
    );
}

#[test]
fn a_rate_counts_from_its_start() {
    let rate = |period| spec(When::Rate { period: Millis(period) }, "UTC");
    let made = TriggerSpec { start_time: Some(Timestamp(1_000)), end_time: Some(Timestamp(1_300)), ..rate(100) };
    let fires = |after| compile(&made).upcoming(Timestamp(after)).map(|at| at.0).collect::<Vec<_>>();
    assert_eq!((fires(0), fires(1_000), fires(1_200)), (vec![1_000, 1_100, 1_200], vec![1_100, 1_200], vec![]));
    let schedule = crate::schedule::Schedule::compile(&rate(300), Timestamp(50)).unwrap();
    assert_eq!(
        (schedule.next(Timestamp(50)), schedule.next(Timestamp(49))),
        (Some(Timestamp(350)), Some(Timestamp(50)))
    );
}

#[test]
fn what_follows_runs_has_no_times_of_its_own() {
    assert_eq!(compile(&spec(When::Delay { delay: Millis(5) }, "UTC")).next(Timestamp(0)), None);
}

#[test]
fn missed_fires_are_counted_in_slices() {
    let rate = compile(&spec(When::Rate { period: Millis(100) }, "UTC"));
    let count = |after, until, max| rate.missed_between(Timestamp(after), Timestamp(until), max);
    let missed = |count, last: Option<i64>, counted_to| Missed {
        count,
        last: last.map(Timestamp),
        counted_to: Timestamp(counted_to),
    };
    assert_eq!(count(0, 1_000, 99), missed(10, Some(1_000), 1_000));
    assert_eq!(count(0, 1_050, 10), missed(10, Some(1_000), 1_050));
    assert_eq!(count(0, 1_050, 4), missed(4, Some(400), 400));
    assert_eq!(count(0, 50, 4), missed(0, None, 50));
    assert_eq!(count(0, 50, 0), missed(0, None, 0));
    assert_eq!(count(0, i64::MAX, u64::MAX).count, 72_581_183_999);
    let minutes = compile(&cron("* * * * *", "UTC"));
    let (mut after, mut all) = (Timestamp(0), 0);
    loop {
        let slice = minutes.missed_between(after, Timestamp(3_600_500), 7);
        (after, all) = (slice.counted_to, all + slice.count);
        if after == Timestamp(3_600_500) {
            break;
        }
    }
    assert_eq!(all, 60);
}

#[test]
fn a_long_excluded_time_is_left_in_one_jump() {
    let year = |year| Date { year, month: 1, day: 1 };
    let exclude = vec![
        Exclusion::Days { from: year(2024), to: year(2034) },
        Exclusion::Range { from: at("2034-01-02T00:00:00Z"), to: at("2044-06-01T00:00:00.050Z") },
    ];
    let rate = TriggerSpec { exclude, ..spec(When::Rate { period: Millis(100) }, BERLIN) };
    assert_eq!(compile(&rate).next(at("2024-01-05T00:00:00Z")), Some(at("2034-01-01T23:00:00Z")));
    assert_eq!(compile(&rate).next(at("2034-01-01T23:59:59.900Z")), Some(at("2044-06-01T00:00:00.100Z")));
}

#[test]
fn what_is_always_excluded_never_fires() {
    let hours = |from, to| Exclusion::Hours { from: TimeOfDay(from), to: TimeOfDay(to) };
    let all = [
        vec![Exclusion::Weekdays { days: Weekdays::ALL }],
        vec![hours(0, 40_000), hours(40_000, 0)],
        vec![Exclusion::Yearly { days: (1..=12).flat_map(|month| (1..=31).map(move |day| (month, day))).collect() }],
        vec![Exclusion::Range { from: Timestamp(i64::MIN), to: Timestamp(i64::MAX) }],
        (0..24).map(|hour| hours(hour * 3600, hour * 3600 + 1)).collect(),
    ];
    for exclude in all {
        for when in [When::Rate { period: Millis::from_secs(3600) }, window(0, 23 * 60, 60)] {
            let spec = TriggerSpec { exclude: exclude.clone(), ..spec(when, BERLIN) };
            assert_eq!(compile(&spec).next(at("2024-01-05T00:00:00Z")), None, "{exclude:?}");
        }
    }
}

#[test]
fn no_moment_is_too_early_or_too_late_to_ask_about() {
    let whens = [When::Rate { period: Millis(100) }, window(0, 23 * 60, 60), When::Times { times: vec![Timestamp(7)] }];
    let mut specs: Vec<TriggerSpec> = whens.into_iter().map(|when| spec(when, BERLIN)).collect();
    specs.push(cron("0 0 * * *", BERLIN));
    let endless = Millis(i64::MAX);
    let (from, to) = (TimeOfDay(0), TimeOfDay(86_399));
    specs.push(spec(When::Daily { from, to, every: endless, days: Weekdays::ALL }, BERLIN));
    for spec in specs {
        let hostile = [(i64::MIN, i64::MIN), (i64::MAX, i64::MIN), (i64::MAX, i64::MAX), (i64::MIN, i64::MAX)];
        for (start, end) in hostile.map(|(start, end)| (Some(Timestamp(start)), Some(Timestamp(end)))) {
            let schedule = compile(&TriggerSpec { start_time: start, end_time: end, ..spec.clone() });
            let missed = schedule.missed_between(Timestamp(i64::MIN), Timestamp(i64::MAX), 3);
            assert_eq!(missed.count == 0, schedule.next(Timestamp(i64::MIN)).is_none(), "{spec:?}");
        }
        let schedule = compile(&spec);
        assert!(schedule.next(Timestamp(i64::MIN)).is_some_and(|at| at.0 >= 0), "{spec:?}");
        assert_eq!(schedule.next(Timestamp(i64::MAX)), None, "{spec:?}");
        assert_eq!(schedule.next(at("2199-12-31T23:59:59.999Z")), None, "{spec:?}");
    }
}
