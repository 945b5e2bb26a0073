//! Windows of the day, with steps in them.
//!
//! A window begins and ends by the clock, and its steps are counted in time that passes from the moment at which it begins.
//! So on a day on which the clock is put forward within it there are fewer of them, and on one on which it is put back
//! there are more, and the distance from one to the next is what was asked for.
//!
//! | | begins, when the clock leaves `from` out | begins, when it shows it twice |
//! |---|---|---|
//! | by default | at the first moment after the gap | at the first of the two |
//! | `Gap::Skip`, `Fold::Skip` | not on that day | not on that day |
//! | `Fold::Second`, `Fold::Both` | | at the second; at the first |
//!
//! | | ends, when the clock leaves `to` out | ends, when it shows it twice |
//! |---|---|---|
//! | by default | at the first moment after the gap, inclusive | at the first of the two |
//! | `Gap::Skip`, `Fold::Skip` | before the gap | at the first |
//! | `Fold::Second`, `Fold::Both` | | at the second |

use super::{
    Fold, Gap, HORIZON_SECS, Weekdays, calendar,
    calendar::DAY_SECS,
    wall::{self, Moments, Rules},
    zone::Zone,
};

/// A daily window.
#[derive(Clone, Debug)]
pub(super) struct Daily {
    /// Seconds of the day.
    pub(super) from: u32,
    /// Seconds of the day; earlier than `from` is on the next day.
    pub(super) to: u32,
    /// Milliseconds, at least one.
    pub(super) every: i64,
    /// On which days windows begin.
    pub(super) days: Weekdays,
}

impl Daily {
    /// The first fire after a moment; both in milliseconds since 1970.
    pub(super) fn next(&self, zone: &Zone, rules: Rules, after: i64) -> Option<i64> {
        let second = after.div_euclid(1000);
        let today = (second + zone.offset(second)).div_euclid(DAY_SECS);
        let mut best: Option<i64> = None;
        // A window may last into the next day; and where a whole day was left out, that is two days later.
        for day in today - 2..=HORIZON_SECS / DAY_SECS {
            if self.days.0 >> calendar::weekday(day) & 1 == 0 {
                continue;
            }
            let Some((begin, end)) = self.window(zone, rules, day) else { continue };
            if best.is_some_and(|best| best <= begin) {
                break;
            }
            let steps = if after < begin { 0 } else { (after - begin) / self.every + 1 };
            let at = begin.saturating_add(steps.saturating_mul(self.every));
            if at <= end {
                best = Some(best.map_or(at, |best| best.min(at)));
            }
        }
        best
    }

    /// The first and the last moment of the window of a day.
    fn window(&self, zone: &Zone, rules: Rules, day: i64) -> Option<(i64, i64)> {
        let begin = match wall::moments(zone, day * DAY_SECS + i64::from(self.from)) {
            Moments::One(at) => at,
            Moments::LeftOut(after) => Some(after).filter(|_| rules.gap == Gap::After)?,
            Moments::Twice(first, second) => match rules.fold {
                Fold::First | Fold::Both => first,
                Fold::Second => second,
                Fold::Skip => return None,
            },
        };
        let last_day = day + i64::from(self.to < self.from);
        let end = match wall::moments(zone, last_day * DAY_SECS + i64::from(self.to)) {
            Moments::One(at) => at,
            Moments::LeftOut(after) if rules.gap == Gap::After => after,
            Moments::LeftOut(after) => after - 1,
            Moments::Twice(first, second) => match rules.fold {
                Fold::First | Fold::Skip => first,
                Fold::Second | Fold::Both => second,
            },
        };
        Some((begin * 1000, end * 1000))
    }
}
