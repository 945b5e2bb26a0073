//! How many fires lie between two moments, counted in bounded slices.

use super::{Fires, Rate, Schedule};
use crate::id::Timestamp;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many fires were counted.
    pub count: u64,
    /// The last one that was counted.
    pub last: Option<Timestamp>,
    /// All fires up to here, inclusive, are counted. The end that was asked for, unless there were more fires than might be
    /// counted: then the last one, from where the next slice goes on.
    pub counted_to: Timestamp,
}

impl Schedule {
    /// Counts the fires after one moment and up to another, that one inclusive; `max` of them at most. A rate without
    /// exclusions is counted by arithmetic, whatever its number; others take one [`Schedule::next`] for each fire.
    pub fn missed_between(&self, after: Timestamp, until: Timestamp, max: u64) -> Missed {
        if let (Fires::Rate(rate), None) = (&self.fires, self.excluded()) {
            return self.missed_of_rate(*rate, after, until, max);
        }
        let mut missed = Missed { count: 0, last: None, counted_to: after.min(until) };
        while missed.count < max {
            match self.next(missed.counted_to) {
                Some(at) if at <= until => {
                    missed = Missed { count: missed.count + 1, last: Some(at), counted_to: at };
                }
                _ => return Missed { counted_to: until, ..missed },
            }
        }
        missed
    }

    fn missed_of_rate(&self, rate: Rate, after: Timestamp, until: Timestamp, max: u64) -> Missed {
        let (_, end) = self.span();
        let last_moment = until.0.min(end.saturating_sub(1));
        let first = self.next(after).filter(|first| first.0 <= last_moment);
        let Some(first) = first.filter(|_| max > 0) else {
            let counted_to = if max > 0 { until } else { after.min(until) };
            return Missed { count: 0, last: None, counted_to };
        };
        let all = (last_moment - first.0) / rate.period + 1;
        let count = all.min(i64::try_from(max).unwrap_or(i64::MAX));
        let last = Timestamp(first.0 + (count - 1) * rate.period);
        let counted_to = if count == all { until } else { last };
        Missed { count: count.unsigned_abs(), last: Some(last), counted_to }
    }
}
