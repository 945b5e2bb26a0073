//! When a trigger does not fire, in the form in which a long stretch of excluded time is left in one jump.
//!
//! An exclusion is about the moment at which a fire would come: one that is made up after a gap is judged by where it has
//! come to, not by the time that the clock left out.

use super::{
    Exclusion, HORIZON_SECS, calendar,
    calendar::DAY_SECS,
    zone::{Stretch, Zone},
};

/// All exclusions of a trigger as one. Lists are sorted, and what overlaps is one entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Excluded {
    /// Bit 0 is Monday.
    weekdays: u8,
    /// For each month its days.
    yearly: [u32; 12],
    /// Numbers of days, each from one to another, the second not included.
    days: Box<[(i64, i64)]>,
    /// Milliseconds since 1970, each from one to another, the second not included.
    moments: Box<[(i64, i64)]>,
    /// Seconds of the day, each from one to another, the second not included.
    hours: Box<[(i64, i64)]>,
}

impl Excluded {
    /// All of these as one.
    pub(super) fn new(exclusions: &[Exclusion]) -> Self {
        let mut all = Self::default();
        let (mut days, mut moments, mut hours) = (Vec::new(), Vec::new(), Vec::new());
        for exclusion in exclusions {
            match exclusion {
                Exclusion::Dates { dates } => days.extend(dates.iter().map(|date| (date.number(), date.number() + 1))),
                Exclusion::Yearly { days } => days.iter().for_each(|&(month, day)| all.exclude_yearly(month, day)),
                Exclusion::Weekdays { days } => all.weekdays |= days.0,
                Exclusion::Days { from, to } => days.push((from.number(), to.number() + 1)),
                Exclusion::Range { from, to } => moments.push((from.0, to.0)),
                Exclusion::Hours { from, to } if from < to => hours.push((from.0.into(), to.0.into())),
                Exclusion::Hours { from, to } => hours.extend([(from.0.into(), DAY_SECS), (0, to.0.into())]),
            }
        }
        all.days = merge(days);
        all.moments = merge(moments);
        all.hours = merge(hours);
        all
    }

    fn exclude_yearly(&mut self, month: u8, day: u8) {
        if let Some(days) = self.yearly.get_mut(usize::from(month).wrapping_sub(1)) {
            *days |= 1_u32.checked_shl(day.into()).unwrap_or(0);
        }
    }

    /// If this moment is excluded, a later one up to which all are. Both in milliseconds since 1970. What follows it may
    /// be excluded as well.
    pub(super) fn until(&self, zone: &Zone, at: i64) -> Option<i64> {
        if let Some(end) = end_of(&self.moments, at) {
            return Some(end);
        }
        let stretch = zone.stretch(at.div_euclid(1000));
        let local = at.div_euclid(1000) + stretch.offset;
        let (day, second) = (local.div_euclid(DAY_SECS), local.rem_euclid(DAY_SECS));
        let local_until = if self.excludes(day) {
            self.first_free_day(day, &stretch) * DAY_SECS
        } else {
            day * DAY_SECS + end_of(&self.hours, second)?
        };
        Some((local_until - stretch.offset).min(stretch.end).saturating_mul(1000))
    }

    fn excludes(&self, day: i64) -> bool {
        let (_, month, day_of_month) = calendar::year_month_day(day);
        self.weekdays >> calendar::weekday(day) & 1 == 1
            || self.yearly[usize::from(month - 1)] >> day_of_month & 1 == 1
            || end_of(&self.days, day).is_some()
    }

    /// The first day after this one that is not excluded, or one that this stretch does not reach.
    fn first_free_day(&self, day: i64, stretch: &Stretch) -> i64 {
        let last = stretch.end.min(HORIZON_SECS).saturating_add(stretch.offset).div_euclid(DAY_SECS) + 1;
        let mut free = day + 1;
        while free <= last && self.excludes(free) {
            free = end_of(&self.days, free).unwrap_or(free + 1);
        }
        free
    }
}

/// Sorts them and makes one of those that overlap or touch. Empty ones are left out.
fn merge(mut spans: Vec<(i64, i64)>) -> Box<[(i64, i64)]> {
    spans.retain(|(from, to)| from < to);
    spans.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged.into()
}

/// Where the span ends that this value lies in.
fn end_of(spans: &[(i64, i64)], value: i64) -> Option<i64> {
    let index = spans.partition_point(|(from, _)| *from <= value).checked_sub(1)?;
    Some(spans[index].1).filter(|end| value < *end)
}
