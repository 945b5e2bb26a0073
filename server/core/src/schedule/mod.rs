//! When triggers fire: a pure function from what a trigger says and a moment to the next moment. No clock in here, and no
//! zone data but those that are built in, so every server and every replay comes to the same answer.
//!
//! | kind | its fires | gap and fold rules |
//! |---|---|---|
//! | [`When::Cron`] of some hours | times by the clock | hold |
//! | [`When::Cron`] of every hour | times by the clock, as time passes: both of two hours, none for one left out | do not |
//! | [`When::Rate`], [`When::Times`] | moments | do not |
//! | [`When::Daily`] | steps of time within a window by the clock | hold for the window's ends, see `daily.rs` |
//! | [`When::Delay`], [`When::After`] | none of their own: they follow runs | |
//!
//! By default a time that the clock leaves out is made up at the first moment after the gap ([`Gap::After`]), and one that it
//! shows twice fires at the first of the two ([`Fold::First`]): a daily job runs once on each day, whatever the clock does.
//!
//! Nothing fires before 1970 or from 2200 on: a search that finds nothing must end.

mod calendar;
mod cron;
mod daily;
mod error;
mod exclude;
mod jitter;
pub mod limits;
mod missed;
mod spec;
#[cfg(test)]
mod tests;
mod validate;
mod wall;
mod zone;

use self::{cron::Cron, daily::Daily, exclude::Excluded, wall::Rules, zone::Zone};
pub use self::{
    error::SpecError,
    jitter::jitter,
    missed::Missed,
    spec::{Date, Exclusion, Fold, Gap, Misfire, Overlap, TimeOfDay, TriggerSpec, Triggers, Weekdays, When},
    validate::validate,
    zone::{zone_data_version, zone_names},
};
use crate::id::Timestamp;

/// The first second of the year after [`limits::YEAR_MAX`], since 1970 in UTC.
const HORIZON_SECS: i64 = 7_258_118_400;

/// When a trigger fires, read once so that the next time is found fast: one cache line, and a box if it is limited.
#[derive(Clone, Debug)]
pub struct Schedule {
    fires: Fires,
    zone: &'static Zone,
    limits: Option<Box<Limits>>,
    gap: Gap,
    fold: Fold,
}

#[derive(Clone, Debug)]
enum Fires {
    Cron(Cron),
    Rate(Rate),
    Daily(Daily),
    Times(Box<[Timestamp]>),
    /// It follows runs, and has no times of its own.
    Never,
}

/// Even steps. The anchor itself is one of them and the first.
#[derive(Clone, Copy, Debug)]
struct Rate {
    anchor: i64,
    period: i64,
}

/// What cuts a schedule short.
#[derive(Clone, Debug)]
struct Limits {
    /// Milliseconds since 1970.
    start: i64,
    /// Milliseconds since 1970, not included.
    end: i64,
    excluded: Option<Excluded>,
}

impl Schedule {
    /// Reads what a trigger says. A rate without a start time counts its steps from `made_at`.
    ///
    /// What lies on disk was checked by [`validate`] when it came in; this checks no bounds, so that a bound that has become
    /// narrower since does not lose it.
    ///
    /// # Errors
    /// The first thing that leaves it without a meaning: an expression that cannot be read, a zone that is not known, a
    /// period that is not positive, a day that the calendar does not have.
    pub fn compile(spec: &TriggerSpec, made_at: Timestamp) -> Result<Self, SpecError> {
        let mut errors = Vec::new();
        let schedule = validate::read(spec, made_at, &mut errors);
        match errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(schedule.expect("what cannot be read is an error")),
        }
    }

    /// The first time at which it fires after this moment; none when it never fires again. Without jitter, and without
    /// regard to how often it has fired.
    ///
    /// A search takes some hundred nanoseconds, and is bounded whatever a trigger says: by the horizon, and by
    /// [`limits::EXCLUDED_FIRES_MAX`].
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let (start, end) = self.span();
        let mut after = after.0.max(start - 1);
        for _ in 0..limits::EXCLUDED_FIRES_MAX {
            let at = self.next_of_kind(after).filter(|at| *at < end)?;
            match self.excluded().and_then(|excluded| excluded.until(self.zone, at)) {
                None => return Some(Timestamp(at)),
                Some(until) => after = until - 1,
            }
        }
        None
    }

    /// The times at which it fires after this moment, in order: a preview.
    pub fn upcoming(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after), |at| self.next(*at))
    }

    /// If this moment is excluded, a later one up to which all are; what follows it may be excluded as well. For triggers
    /// that follow runs, whose times are not in here.
    pub fn excluded_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.excluded().and_then(|excluded| excluded.until(self.zone, at.0)).map(Timestamp)
    }

    /// By how much the clocks of the trigger's zone are ahead of UTC at a moment, in seconds.
    pub fn offset_secs(&self, at: Timestamp) -> i32 {
        i32::try_from(self.zone.offset(at.0.div_euclid(1000))).expect("offsets are less than a day")
    }

    fn next_of_kind(&self, after: i64) -> Option<i64> {
        match &self.fires {
            Fires::Cron(cron) => {
                let rules = if cron.is_elapsed() { Rules::ELAPSED } else { Rules { gap: self.gap, fold: self.fold } };
                let from = after.div_euclid(1000) + 1;
                wall::next(self.zone, rules, from, |local| cron.next(local)).map(|at| at * 1000)
            }
            Fires::Rate(rate) => rate.next(after),
            Fires::Daily(daily) => daily.next(self.zone, Rules { gap: self.gap, fold: self.fold }, after),
            Fires::Times(times) => times.get(times.partition_point(|at| at.0 <= after)).map(|at| at.0),
            Fires::Never => None,
        }
    }

    /// From when on and up to when, not inclusive, it can fire. Milliseconds since 1970.
    fn span(&self) -> (i64, i64) {
        let horizon = HORIZON_SECS * 1000;
        self.limits.as_ref().map_or((0, horizon), |limits| (limits.start.max(0), limits.end.min(horizon)))
    }

    fn excluded(&self) -> Option<&Excluded> {
        self.limits.as_ref()?.excluded.as_ref()
    }
}

impl Rate {
    fn next(self, after: i64) -> Option<i64> {
        if after < self.anchor {
            return Some(self.anchor);
        }
        let steps = after.checked_sub(self.anchor)? / self.period + 1;
        self.anchor.checked_add(steps.checked_mul(self.period)?)
    }
}
