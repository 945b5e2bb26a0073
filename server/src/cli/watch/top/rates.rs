//! How much happens in a second, by the server's clock: what comes late, after a break, counts for when it happened.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Over how many whole seconds a rate is taken.
pub(super) const SECONDS: u64 = 10;
/// Seconds that are kept.
const KEPT: usize = 60;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A run was made.
    Made,
    /// A run was handed to a worker.
    Started,
    /// A run ended.
    Ended,
}

/// Counts by second.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<u64, [u64; 3]>);

impl Rates {
    pub(super) fn count(&mut self, what: What, at: SystemTime) {
        let counts = self.0.entry(second(at)).or_default();
        counts[what as usize] += 1;
        while self.0.len() > KEPT {
            self.0.pop_first();
        }
    }

    /// How many a second, over the last whole seconds.
    pub(super) fn rate(&self, what: What, now: SystemTime) -> f64 {
        let until = second(now);
        let sum: u64 =
            self.0.range(until.saturating_sub(SECONDS)..until).map(|(_, counts)| counts[what as usize]).sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit behind the point")]
        let rate = sum as f64 / SECONDS as f64;
        rate
    }
}

fn second(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_rate_is_that_of_the_last_whole_seconds() {
        let mut rates = Rates::default();
        for second in 90..=100 {
            (0..5).for_each(|_| rates.count(What::Ended, at(second)));
        }
        assert_eq!(rates.rate(What::Ended, at(100)), 5.0, "the present second is not over");
        assert_eq!(rates.rate(What::Ended, at(105)), 3.0);
        assert_eq!((rates.rate(What::Ended, at(200)), rates.rate(What::Made, at(100))), (0.0, 0.0));
    }

    #[test]
    fn it_is_bounded() {
        let mut rates = Rates::default();
        (0..1000).for_each(|second| rates.count(What::Made, at(second)));
        assert_eq!(rates.0.len(), KEPT);
    }
}
