//! Cron expressions, in the form in which the next time is found by looking at bits. Knows no zone: times are as a clock
//! shows them.
//!
//! | fields | meaning |
//! |---|---|
//! | 5 | minute, hour, day of month, month, day of week |
//! | 6 | second, and these five |
//! | 7 | second, these five, and year |
//!
//! | field | values | beside `*`, `a`, `a-b`, `a,b`, `*/n`, `a-b/n`, and `a/n` for "from a on, each n-th" |
//! |---|---|---|
//! | second, minute | 0-59 | |
//! | hour | 0-23 | |
//! | day of month | 1-31 | `?` as `*`; `L` the last day, `L-3` three before it, `15W` the weekday nearest to the 15th within the month, `LW` the last weekday |
//! | month | 1-12, JAN-DEC | |
//! | day of week | 0-7, SUN-SAT | `?` as `*`; 0 and 7 are Sunday; `5L` or `FRIL` the last Friday, `MON#2` the second Monday |
//! | year | 1970-2199 | |
//!
//! `@yearly` and `@annually`, `@monthly`, `@weekly` (Sunday), `@daily` and `@midnight`, and `@hourly` stand for their
//! expressions. Letters may be small or capital. Days of the week count as in crontab, so 1 is Monday (Quartz begins with 1
//! for Sunday; names say the same to both). A range may run over the end (`22-2`, `FRI-MON`), but for days of month and years.
//!
//! **Which day.** If a field of days begins with `*` or `?`, a day must match both; if neither does, one of them is enough:
//! `0 0 13 * FRI` is each 13th and each Friday. That is what crontab(5) says and what cron does.
//!
//! **By time that passes.** An expression that names every hour (`*`, `*/1`, `0-23`) is one about minutes, not about the
//! time of day: it fires in both hours that a clock shows twice, and has nothing to make up for an hour that is left out. All
//! others name times of the day, and gap and fold rules hold for them. It is the distinction that Vixie cron makes, and why
//! "each 5 minutes" does not stop for an hour in October.

mod days;
mod parse;

use super::{
    HORIZON_SECS, calendar,
    calendar::DAY_SECS,
    limits::{YEAR_MAX, YEAR_MIN},
};
use days::MovingDays;

/// A parsed expression. Bit n of a set stands for the value n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u32,
    /// Days of the month.
    month_days: u32,
    months: u16,
    /// Days of the week; bit 0 is Monday.
    weekdays: u8,
    /// Whether a day must be in both sets of days; in either of them else.
    both: bool,
    /// What few expressions have.
    rare: Option<Box<Rare>>,
}

/// Moving days, and years.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rare {
    moving: MovingDays,
    years: Years,
}

/// Bit n stands for the year 1970 + n.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Years([u64; 4]);

impl Cron {
    /// Whether every hour is named, so that it goes by time that passes.
    pub(super) fn is_elapsed(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    /// The first time by the clock, this one or later, that the expression names; seconds since 1970 by the clock.
    pub(super) fn next(&self, from: i64) -> Option<i64> {
        let from = from.max(0);
        let (day, second) = (from.div_euclid(DAY_SECS), from.rem_euclid(DAY_SECS));
        let found = self.next_day(day)?;
        if found > day {
            return Some(found * DAY_SECS + self.first_second());
        }
        if let Some(second) = self.next_second(u32::try_from(second).expect("a day has fewer seconds")) {
            return Some(day * DAY_SECS + second);
        }
        Some(self.next_day(day + 1)? * DAY_SECS + self.first_second())
    }

    fn first_second(&self) -> i64 {
        let first =
            self.hours.trailing_zeros() * 3600 + self.minutes.trailing_zeros() * 60 + self.seconds.trailing_zeros();
        i64::from(first)
    }

    /// The first second of the day, this one or later, whose hour, minute and second are named.
    fn next_second(&self, from: u32) -> Option<i64> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let at = |hour, minute, second| Some(i64::from(hour * 3600 + minute * 60 + second));
        let hours = u64::from(self.hours);
        let (first_minute, first_second) = (self.minutes.trailing_zeros(), self.seconds.trailing_zeros());
        if has(hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = at_least(self.seconds, second)
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = at_least(self.minutes, minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(at_least(hours, hour + 1)?, first_minute, first_second)
    }

    /// The number of the first day, this one or later, that is named. At most one look at each month up to the horizon.
    fn next_day(&self, from: i64) -> Option<i64> {
        if from >= HORIZON_SECS / DAY_SECS {
            return None;
        }
        let (mut year, mut month, mut day) = calendar::year_month_day(from);
        while year <= i64::from(YEAR_MAX) {
            let named = self.rare.as_ref().is_none_or(|rare| rare.years.has(year));
            match at_least(self.months.into(), month.into()).filter(|_| named) {
                None => (year, month, day) = (year + 1, 1, 1),
                Some(found) => {
                    let found = u8::try_from(found).expect("a month is small");
                    if found > month {
                        (month, day) = (found, 1);
                    }
                    if let Some(day) = at_least(self.days_of(year, month).into(), day.into()) {
                        let day = u8::try_from(day).expect("a day of a month is small");
                        return Some(calendar::day_number(year, month, day));
                    }
                    (month, day) = (month + 1, 1);
                }
            }
        }
        None
    }
}

impl Years {
    fn has(&self, year: i64) -> bool {
        usize::try_from(year - i64::from(YEAR_MIN)).is_ok_and(|bit| self.0[bit / 64] >> (bit % 64) & 1 == 1)
    }

    fn insert(&mut self, year: u32) {
        let bit = usize::try_from(i64::from(year) - i64::from(YEAR_MIN)).expect("the field begins there");
        self.0[bit / 64] |= 1 << (bit % 64);
    }
}

fn has(set: u64, value: u32) -> bool {
    value < 64 && set >> value & 1 == 1
}

/// The smallest value of the set that is not below this one.
fn at_least(set: u64, value: u32) -> Option<u32> {
    let rest = set.checked_shr(value)?;
    (rest != 0).then(|| value + rest.trailing_zeros())
}
