//! What expressions mean, in UTC: by example, and for their days against the plain question to each day of some years.

use jiff::civil;
use proptest::prelude::*;

use super::{
    expression::{Item, expressions},
    sample::{check, compile, cron},
};
use crate::{
    id::Timestamp,
    schedule::{HORIZON_SECS, Schedule, calendar},
};

/// The first three fires after the beginning of a year.
fn check_cron(expression: &str, year: u16, expected: [&str; 3]) {
    check(&cron(expression, "UTC"), &format!("{:04}-12-31T23:59:59Z", year - 1), &expected);
}

#[test]
fn fields_say_when() {
    check_cron("* * * * *", 2024, ["2024-01-01 Mon 00:00:00", "2024-01-01 Mon 00:01:00", "2024-01-01 Mon 00:02:00"]);
    check_cron("*/20 9-10 * * *", 2024, ["2024-01-01 Mon 09:00", "2024-01-01 Mon 09:20", "2024-01-01 Mon 09:40"]);
    check_cron("5/25 22-1 * * *", 2024, ["2024-01-01 Mon 00:05", "2024-01-01 Mon 00:30", "2024-01-01 Mon 00:55"]);
    check_cron("0 0 1,15 * *", 2024, ["2024-01-01", "2024-01-15", "2024-02-01"]);
    check_cron("0 12 * mar-may sun", 2024, ["2024-03-03 Sun 12:00", "2024-03-10", "2024-03-17"]);
    check_cron("0 0 * * 7", 2024, ["2024-01-07 Sun", "2024-01-14 Sun", "2024-01-21 Sun"]);
    check_cron("0 0 * * FRI-MON", 2024, ["2024-01-01 Mon", "2024-01-05 Fri", "2024-01-06 Sat"]);
    check_cron("0 0 1 NOV-JAN *", 2024, ["2024-01-01", "2024-11-01", "2024-12-01"]);
    check_cron("30 15 10 ? * *", 2024, ["2024-01-01 Mon 10:15:30", "2024-01-02 Tue 10:15:30", "2024-01-03"]);
    check_cron("59 59 23 31 12 ? 2025/2", 2024, ["2025-12-31 Wed 23:59:59", "2027-12-31", "2029-12-31"]);
}

#[test]
fn a_horizon_is_the_end_of_a_year() {
    assert_eq!(calendar::day_number(2200, 1, 1) * calendar::DAY_SECS, HORIZON_SECS);
}

#[test]
fn a_schedule_is_small() {
    assert_eq!(size_of::<Schedule>(), 64);
}

#[test]
fn what_cannot_be_never_fires() {
    for never in ["0 0 31 2 *", "0 0 31W 4,6 ?", "0 0 0 L-30 2 ? *", "0 0 0 1 1 * 1970"] {
        let schedule = compile(&cron(never, "Europe/Berlin"));
        assert_eq!(schedule.next(Timestamp(1_700_000_000_000)), None, "{never}");
    }
}

#[test]
fn moving_days_are_found_in_each_month() {
    check_cron("0 0 L * *", 2024, ["2024-01-31", "2024-02-29", "2024-03-31"]);
    check_cron("0 0 L-3 2 *", 2023, ["2023-02-25", "2024-02-26", "2025-02-25"]);
    check_cron("0 0 LW * *", 2024, ["2024-01-31 Wed", "2024-02-29 Thu", "2024-03-29 Fri"]);
    check_cron("0 0 1W * *", 2025, ["2025-01-01 Wed", "2025-02-03 Mon", "2025-03-03 Mon"]);
    check_cron("0 0 15W * ?", 2024, ["2024-01-15 Mon", "2024-02-15 Thu", "2024-03-15 Fri"]);
    check_cron("0 0 31W * ?", 2025, ["2025-01-31 Fri", "2025-03-31 Mon", "2025-05-30 Fri"]);
    check_cron("0 0 ? * FRIL", 2024, ["2024-01-26 Fri", "2024-02-23 Fri", "2024-03-29 Fri"]);
    check_cron("0 0 ? * 0#5,7L", 2024, ["2024-01-28 Sun", "2024-02-25 Sun", "2024-03-31 Sun"]);
    check_cron("0 0 29 2 *", 2025, ["2028-02-29", "2032-02-29", "2036-02-29"]);
    check_cron("0 0 29 2 *", 2097, ["2104-02-29", "2108-02-29", "2112-02-29"]);
}

#[test]
fn of_two_fields_of_days_one_is_enough_unless_one_begins_with_a_star() {
    check_cron("0 0 13 * FRI", 2024, ["2024-01-05 Fri", "2024-01-12 Fri", "2024-01-13 Sat"]);
    check_cron("0 0 */12 * MON", 2024, ["2024-01-01 Mon", "2024-03-25 Mon", "2024-04-01 Mon"]);
    check_cron("0 0 1-7 * */6", 2024, ["2024-01-06 Sat", "2024-01-07 Sun", "2024-02-03 Sat"]);
    check_cron("0 0 ? * FRI", 2024, ["2024-01-05 Fri", "2024-01-12 Fri", "2024-01-19 Fri"]);
}

#[test]
fn nicknames_stand_for_expressions() {
    check_cron("@yearly", 2024, ["2024-01-01 Mon 00:00:00", "2025-01-01", "2026-01-01"]);
    check_cron("@Annually", 2024, ["2024-01-01 Mon 00:00:00", "2025-01-01", "2026-01-01"]);
    check_cron("@monthly", 2024, ["2024-01-01 Mon 00:00:00", "2024-02-01", "2024-03-01"]);
    check_cron("@weekly", 2024, ["2024-01-07 Sun 00:00:00", "2024-01-14", "2024-01-21"]);
    check_cron("@daily", 2024, ["2024-01-01 Mon 00:00:00", "2024-01-02", "2024-01-03"]);
    check_cron(" @midnight ", 2024, ["2024-01-01 Mon 00:00:00", "2024-01-02", "2024-01-03"]);
    check_cron("@hourly", 2024, ["2024-01-01 Mon 00:00:00", "2024-01-01 Mon 01:00:00", "2024-01-01 Mon 02:00:00"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn days_are_those_that_are_named(mut expression in expressions(false), year in 1970..2195_i16) {
        expression.fields[..3].fill(vec![Item::Range(12, 12, 1)]);
        if let Some(years) = &mut expression.years {
            // Some that can be met.
            years.push(Item::Range(year.unsigned_abs().into(), u32::from(year.unsigned_abs()) + 2, 2));
        }
        let schedule = compile(&cron(&expression.to_string(), "UTC"));
        let first = civil::date(year, 1, 1);
        let days = first.series(jiff::Span::new().days(1)).take_while(|date| date.year() < year + 4);
        let named = days.filter(|date| expression.names_day(*date));
        let moment = |date: civil::Date, hour| date.at(hour, 12, 12, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
        let named: Vec<i64> = named.map(|date| moment(date, 12)).collect();
        let end = moment(civil::date(year + 4, 1, 1), 0);
        let fires = schedule.upcoming(Timestamp(moment(first, 0))).map(|at| at.0).take_while(|at| *at < end);
        prop_assert_eq!(fires.collect::<Vec<i64>>(), named, "{}", expression);
    }

    #[test]
    fn no_text_does_harm(text in "[0-9*?/,LW# @a-fA-F-]{0,20}( [0-9*?/,LW#-]{1,4}){0,6}", after in any::<i64>()) {
        if let Ok(schedule) = Schedule::compile(&cron(&text, "Europe/Berlin"), Timestamp(0)) {
            let next = schedule.next(Timestamp(after));
            prop_assert!(next.is_none_or(|at| at.0 > after), "{}", text);
        }
    }
}
