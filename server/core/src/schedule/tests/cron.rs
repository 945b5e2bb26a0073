//! What expressions mean, by example, in UTC.

use super::sample::{check, compile, cron};
use crate::{
    id::Timestamp,
    schedule::{HORIZON_SECS, calendar},
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
    assert_eq!(size_of::<crate::schedule::Schedule>(), 64);
}

#[test]
fn what_cannot_be_never_fires() {
    for never in ["0 0 31 2 *", "0 0 31W 4,6 ?", "0 0 0 L-30 2 ? *", "0 0 0 1 1 * 1970"] {
        let schedule = compile(&cron(never, "Europe/Berlin"));
        assert_eq!(schedule.next(Timestamp(1_700_000_000_000)), None, "{never}");
    }
}
