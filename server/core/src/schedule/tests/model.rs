//! The brute-force model: goes through time step by step, looks at the clock at each, and asks of each whether it is one that
//! was meant. Shares nothing with what it is compared to but the data of triggers; calendar and zones are those of jiff.

use jiff::{civil, tz::TimeZone};

use super::expression::Expression;
use crate::schedule::{Exclusion, Fold, Gap, TriggerSpec, When};

/// A stretch of time in a zone, gone through step by step.
pub(super) struct Walk {
    zone: TimeZone,
    step: i64,
    /// Each step's moment, and what the clock shows then; seconds since 1970.
    points: Vec<(i64, i64)>,
    /// All offsets that the zone has in that time.
    offsets: Vec<i64>,
}

impl Walk {
    /// From one moment to another, both inclusive, in steps of so many seconds.
    pub(super) fn new(zone: TimeZone, from: i64, to: i64, step: i64) -> Self {
        let from = from.div_euclid(step) * step;
        let mut points = Vec::new();
        let mut offsets = Vec::new();
        for at in (from..=to).step_by(usize::try_from(step).unwrap()) {
            let offset = offset(&zone, at);
            if !offsets.contains(&offset) {
                offsets.push(offset);
            }
            points.push((at, at + offset));
        }
        Self { zone, step, points, offsets }
    }

    /// When such a trigger fires, in seconds since 1970.
    pub(super) fn fires(&self, spec: &TriggerSpec, expression: Option<&Expression>) -> Vec<i64> {
        let mut fires = match &spec.when {
            When::Cron { .. } => self.cron(spec, expression.expect("an expression comes with its parts")),
            When::Daily { .. } => self.daily(spec),
            When::Rate { period } => {
                let anchor = spec.start_time.map_or(0, |at| at.0);
                let moments = self.points.iter().map(|point| point.0);
                moments.filter(|at| (at * 1000 - anchor) % period.0 == 0).collect()
            }
            When::Times { times } => times.iter().map(|at| at.0 / 1000).collect(),
            When::Delay { .. } | When::After { .. } => Vec::new(),
        };
        fires.retain(|at| spec.start_time.is_none_or(|start| start.0 <= at * 1000));
        fires.retain(|at| spec.end_time.is_none_or(|end| at * 1000 < end.0));
        fires.retain(|at| !spec.exclude.iter().any(|exclusion| self.excludes(exclusion, *at)));
        fires
    }

    fn cron(&self, spec: &TriggerSpec, expression: &Expression) -> Vec<i64> {
        let mut fires = Vec::new();
        let mut named = Named { expression, day: None };
        let mut before: Option<i64> = None;
        for &(at, local) in &self.points {
            let left_out = before.map_or(local, |before| before + self.step)..local;
            before = Some(local);
            let hit = if expression.every_hour() {
                named.has(local)
            } else {
                let made_up = spec.gap == Gap::After
                    && left_out.step_by(usize::try_from(self.step).unwrap()).any(|local| named.has(local));
                made_up || named.has(local) && self.counts(at, local, spec.fold)
            };
            if hit {
                fires.push(at);
            }
        }
        fires
    }

    /// Whether of all moments at which the clock shows this, this one is taken.
    fn counts(&self, at: i64, local: i64, fold: Fold) -> bool {
        let moments = self.moments(local);
        match fold {
            _ if moments.len() == 1 => true,
            Fold::First => moments.first() == Some(&at),
            Fold::Second => moments.last() == Some(&at),
            Fold::Both => true,
            Fold::Skip => false,
        }
    }

    /// All moments at which the clock shows this.
    fn moments(&self, local: i64) -> Vec<i64> {
        let mut moments: Vec<i64> = self
            .offsets
            .iter()
            .filter(|expected| offset(&self.zone, local - **expected) == **expected)
            .map(|offset| local - offset)
            .collect();
        moments.sort_unstable();
        moments
    }

    fn daily(&self, spec: &TriggerSpec) -> Vec<i64> {
        let When::Daily { from, to, every, days } = &spec.when else { unreachable!("it was looked at") };
        let every = every.0 / 1000;
        let (first, last) = (self.points[0].1, self.points[self.points.len() - 1].1);
        let mut fires = std::collections::BTreeSet::new();
        for day in first.div_euclid(86_400) - 2..=last.div_euclid(86_400) + 1 {
            let weekday = date(day).weekday().to_monday_zero_offset();
            let begins = self.moments(day * 86_400 + i64::from(from.0));
            let begin = match (begins.len(), spec.gap, spec.fold) {
                _ if days.0 >> weekday & 1 == 0 => continue,
                (0, Gap::Skip, _) | (2.., _, Fold::Skip) => continue,
                (0, Gap::After, _) => self.first_after(day * 86_400 + i64::from(from.0)),
                (_, _, Fold::Second) => begins.last().copied(),
                _ => begins.first().copied(),
            };
            let ends_on = if to < from { day + 1 } else { day };
            let to = ends_on * 86_400 + i64::from(to.0);
            let ends = self.moments(to);
            let end = match (ends.len(), spec.gap, spec.fold) {
                (0, Gap::After, _) => self.first_after(to),
                (0, Gap::Skip, _) => self.first_after(to).map(|at| at - 1),
                (_, _, Fold::Second | Fold::Both) => ends.last().copied(),
                _ => ends.first().copied(),
            };
            if let (Some(begin), Some(end)) = (begin, end) {
                fires.extend((begin..=end).step_by(usize::try_from(every).unwrap()));
            }
        }
        fires.into_iter().collect()
    }

    /// The first moment at which the clock is beyond this.
    fn first_after(&self, local: i64) -> Option<i64> {
        self.points.iter().find(|point| point.1 > local && point.1 - local < 2 * 86_400).map(|point| point.0)
    }

    fn excludes(&self, exclusion: &Exclusion, at: i64) -> bool {
        let local = at + offset(&self.zone, at);
        let date = date(local.div_euclid(86_400));
        let number = |date: &crate::schedule::Date| {
            civil::date(date.year, i8::try_from(date.month).unwrap(), i8::try_from(date.day).unwrap())
        };
        let second = u32::try_from(local.rem_euclid(86_400)).unwrap();
        match exclusion {
            Exclusion::Dates { dates } => dates.iter().any(|excluded| number(excluded) == date),
            Exclusion::Yearly { days } => days
                .iter()
                .any(|&(month, day)| (date.month().cast_unsigned(), date.day().cast_unsigned()) == (month, day)),
            Exclusion::Weekdays { days } => days.0 >> date.weekday().to_monday_zero_offset() & 1 == 1,
            Exclusion::Days { from, to } => number(from) <= date && date <= number(to),
            Exclusion::Range { from, to } => from.0 <= at * 1000 && at * 1000 < to.0,
            Exclusion::Hours { from, to } if from < to => from.0 <= second && second < to.0,
            Exclusion::Hours { from, to } => from.0 <= second || second < to.0,
        }
    }
}

/// What an expression names; the day that was asked for last is kept, because most questions are about the same one.
struct Named<'a> {
    expression: &'a Expression,
    day: Option<(i64, bool)>,
}

impl Named<'_> {
    fn has(&mut self, local: i64) -> bool {
        let second = u32::try_from(local.rem_euclid(86_400)).unwrap();
        if !self.expression.names_time(second / 3600, second / 60 % 60, second % 60) {
            return false;
        }
        let day = local.div_euclid(86_400);
        match self.day {
            Some((known, named)) if known == day => named,
            _ => {
                let named = self.expression.names_day(date(day));
                self.day = Some((day, named));
                named
            }
        }
    }
}

fn date(number: i64) -> civil::Date {
    civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(number)).unwrap()
}

fn offset(zone: &TimeZone, at: i64) -> i64 {
    i64::from(zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds())
}
