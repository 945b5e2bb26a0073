//! What is wrong with a specification is said all at once, with its place.

use super::sample::{cron, spec};
use crate::{
    id::{Millis, Timestamp},
    schedule::{Date, Exclusion, Overlap, Schedule, TimeOfDay, TriggerSpec, Weekdays, When, validate},
};

/// The expression is wrong at these places, with words like these.
fn check_cron(expression: &str, expected: &[(usize, &str)]) {
    let errors = validate(&cron(expression, "UTC"));
    let found: Vec<(usize, &str)> =
        errors.iter().map(|error| (error.offset.unwrap(), error.problem.as_str())).collect();
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.0 == expected.0 && found.1.contains(expected.1));
    assert!(same, "{expression}: {found:#?}");
    assert!(errors.iter().all(|error| error.field == "when.cron.expression"));
    assert_eq!(Schedule::compile(&cron(expression, "UTC"), Timestamp(0)).err().as_ref(), errors.first());
}

#[test]
fn mistakes_in_expressions_have_a_place() {
    check_cron("", &[(0, "has 0 fields")]);
    check_cron("* * * *", &[(0, "write 5")]);
    check_cron("* * * * * * * *", &[(0, "has 8 fields")]);
    check_cron("60 * * * *", &[(0, "minute must be 0 to 59")]);
    check_cron(
        "0  24 * 13 FOO",
        &[(3, "hour must be 0 to 23"), (8, "month must be 1 to 12 or JAN to DEC"), (11, "SUN to SAT")],
    );
    check_cron("0,1,x * * * *", &[(4, "minute")]);
    check_cron("*/0 * * * *", &[(2, "a step in minute must be 1 to 59")]);
    check_cron("0 */24 * * *", &[(4, "for longer ones write a rate")]);
    check_cron("0 0 20-10 * *", &[(4, "must not end before it begins")]);
    check_cron("? 0 * * *", &[(0, "? stands for days only")]);
    check_cron("0 0 * * L", &[(8, "write FRIL")]);
    check_cron("0 0 * * 1#6", &[(10, "1 to 5")]);
    check_cron("0 0 L-31 * *", &[(6, "L-0 to L-30")]);
    check_cron("0 0 32W * *", &[(4, "day of month must be 1 to 31")]);
    check_cron("0 0 0 1 1 ? 1969", &[(12, "year must be 1970 to 2199")]);
    check_cron("@reboot", &[(0, "@hourly")]);
    check_cron("0 0 \u{e9} * *", &[(4, "day of month")]);
    check_cron("1- * * * *", &[(2, "minute")]);
    check_cron(&"0,".repeat(300), &[(0, "512 bytes")]);
    for mark in
        ["-", "/", ",", "#", "L", "W", "*", "?", "@", "L-", "-L", "*-", "1-2-3", "1/2/3", "*5", "5*", "\u{1F600}"]
    {
        assert!(!validate(&cron(&format!("{mark} {mark} {mark}x {mark} {mark}x"), "UTC")).is_empty(), "{mark}");
    }
}

#[test]
fn an_expression_that_names_no_day_is_refused_and_yet_read_from_the_disk() {
    for never in ["0 0 31 2 *", "0 0 31W 4,6 ?", "0 0 0 L-30 2 ? *", "0 0 0 29 2 ? 2023"] {
        let spec = cron(never, "UTC");
        check(&spec, &["when.cron.expression"]);
        assert!(validate(&spec)[0].problem.starts_with("never fires"), "{never}");
        assert!(Schedule::compile(&spec, Timestamp(0)).is_ok(), "{never}");
    }
    for rare in ["0 0 29 2 *", "0 0 31 2 MON", "0 0 ? * MON#5", "0 0 0 31 12 ? 2199"] {
        check(&cron(rare, "UTC"), &[]);
    }
}

/// The fields that are wrong.
fn check(spec: &TriggerSpec, expected: &[&str]) {
    let errors = validate(spec);
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, expected, "{errors:#?}");
    for error in errors {
        let sentence = error.to_string();
        assert!(!sentence.ends_with('.') && sentence.contains(&error.problem), "{sentence}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let day = |month, day| Date { year: 2024, month, day };
    let wrong = TriggerSpec {
        exclude: vec![
            Exclusion::Dates { dates: vec![day(2, 29), day(2, 30)] },
            Exclusion::Yearly { days: vec![(2, 29), (4, 31)] },
            Exclusion::Weekdays { days: Weekdays(0) },
            Exclusion::Days { from: day(2, 2), to: day(2, 1) },
            Exclusion::Range { from: Timestamp(5), to: Timestamp(5) },
            Exclusion::Hours { from: TimeOfDay(5), to: TimeOfDay(86_400) },
            Exclusion::Hours { from: TimeOfDay(5), to: TimeOfDay(5) },
        ],
        start_time: Some(Timestamp(10)),
        end_time: Some(Timestamp(10)),
        max_fires: Some(0),
        jitter: Millis(-1),
        overlap: Overlap::Parallel { max: 0 },
        catch_up: Millis(i64::MAX),
        pause_after_failures: Some(0),
        ..spec(When::Rate { period: Millis(99) }, "Berlin")
    };
    let fields = [
        "zone",
        "exclude[0].dates.dates[1]",
        "exclude[5].hours.to",
        "when.rate.period",
        "exclude[1].yearly.days[1]",
        "exclude[2].weekdays.days",
        "exclude[3].days.to",
        "exclude[4].range.to",
        "exclude[6].hours.to",
        "end_time",
        "jitter",
        "catch_up",
        "max_fires",
        "pause_after_failures",
        "overlap.parallel.max",
    ];
    check(&wrong, &fields);
}

#[test]
fn each_kind_has_its_bounds() {
    let times = |times: &[i64]| spec(When::Times { times: times.iter().copied().map(Timestamp).collect() }, "UTC");
    check(
        &times(&[1, 2, 2, 1, -5]),
        &["when.times.times[2]", "when.times.times[3]", "when.times.times[4]", "when.times.times[4]"],
    );
    check(&times(&[]), &["when.times.times"]);
    check(&times(&[0; 1001]), &["when.times.times"]);
    let daily = |from, every, days| {
        let (from, to) = (TimeOfDay(from), TimeOfDay(0));
        spec(When::Daily { from, to, every: Millis(every), days: Weekdays(days) }, "UTC")
    };
    check(&daily(0, 1000, 1), &[]);
    check(&daily(86_400, 999, 0), &["when.daily.from", "when.daily.every", "when.daily.days"]);
    check(&daily(0, 0, 0x80), &["when.daily.every", "when.daily.days"]);
    check(&spec(When::Rate { period: Millis(0) }, "UTC"), &["when.rate.period"]);
    check(&spec(When::Delay { delay: Millis(-1) }, "UTC"), &["when.delay.delay"]);
    let weekdays = |days| Exclusion::Weekdays { days: Weekdays(days) };
    check(&TriggerSpec { exclude: vec![weekdays(0x0f), weekdays(0x70)], ..cron("@daily", "UTC") }, &["exclude"]);
    check(&TriggerSpec { exclude: vec![weekdays(1); 65], ..cron("@daily", "UTC") }, &["exclude"]);
}
