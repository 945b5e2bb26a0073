//! The meter of one app. Atomics alone: many threads pass through at once, and none waits for another.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use semel_core::id::Millis;

use super::Quota;
use crate::engine::spread;

const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// What the refused are told to wait: no less, and no more.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// See the module. The rate is held by the generic cell rate algorithm (ITU-T I.371): one moment says up to when everything is
/// used, each change moves it on by its share of a second, and it may lie ahead of now by as much as a burst has.
#[derive(Debug)]
pub(super) struct Meter {
    quota: Quota,
    /// The share of one change, in nanoseconds.
    share: i64,
    /// How far ahead everything may be used, in nanoseconds.
    ahead_max: i64,
    /// Up to when everything is used, in nanoseconds of the steady clock.
    used_until: AtomicI64,
    /// Up to when the refused were told to come again, one for each share: so they come one after another.
    promised_until: AtomicI64,
    under_way: AtomicU64,
    refused: AtomicU64,
}

impl Meter {
    pub(super) fn new(quota: Quota) -> Self {
        let rate = i64::try_from(quota.mutations_per_second.max(1)).unwrap_or(i64::MAX);
        let burst = if quota.mutations_burst == 0 { quota.mutations_per_second } else { quota.mutations_burst };
        let share = (NANOS_PER_SECOND / rate).max(1);
        Self {
            quota,
            share,
            ahead_max: share.saturating_mul(i64::try_from(burst.max(1)).unwrap_or(i64::MAX)),
            used_until: AtomicI64::new(0),
            promised_until: AtomicI64::new(0),
            under_way: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What is metered.
    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Takes one change; otherwise says when to come again.
    pub(super) fn take(&self, now: Millis) -> Result<(), Millis> {
        if self.quota.mutations_per_second == 0 {
            return Ok(());
        }
        let now = now.0.saturating_mul(NANOS_PER_MILLI);
        let next = |until: i64| until.max(now) + self.share;
        let taken = |until: i64| (next(until) - now <= self.ahead_max).then(|| next(until));
        match self.used_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(_) => Ok(()),
            Err(until) => {
                let free_at = next(until) - self.ahead_max;
                let most = now + i64::try_from(WAIT_MAX.as_nanos()).unwrap_or(i64::MAX);
                let promise = |promised: i64| Some((promised.max(free_at) + self.share).min(most));
                let promised = self.promised_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, promise);
                let at = promised.unwrap_or(free_at).max(free_at);
                Err(self.wait(Duration::from_nanos(u64::try_from(at - now).unwrap_or(0))))
            }
        }
    }

    /// Gives one change back.
    pub(super) fn give_back(&self) {
        self.used_until.fetch_sub(self.share, Ordering::Relaxed);
    }

    /// A call begins, if no more than may be are under way with it; otherwise says when to come again.
    pub(super) fn enter(&self) -> Result<(), Millis> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        if before < self.quota.calls_max || self.quota.calls_max == 0 {
            return Ok(());
        }
        self.leave();
        Err(self.wait(WAIT_MIN))
    }

    /// A call has ended.
    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    fn wait(&self, wait: Duration) -> Millis {
        spread(wait.clamp(WAIT_MIN, WAIT_MAX), self.refused.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(rate: u64, burst: u64) -> Meter {
        Meter::new(Quota { mutations_per_second: rate, mutations_burst: burst, calls_max: 2 })
    }

    /// How many of so many changes are taken at this moment.
    fn taken(meter: &Meter, at: i64, of: usize) -> usize {
        (0..of).filter(|_| meter.take(Millis(at)).is_ok()).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let meter = meter(100, 20);
        assert_eq!(taken(&meter, 5000, 50), 20);
        assert_eq!(taken(&meter, 5000, 50), 0);
        assert_eq!(taken(&meter, 5100, 50), 10);
        let over_ten_seconds: usize = (0..1000).map(|step| taken(&meter, 5100 + step * 10, 7)).sum();
        assert!((999..=1000).contains(&over_ten_seconds), "{over_ten_seconds} in 10 s at 100 a second");
        assert_eq!(taken(&meter, 100_000, 50), 20, "a long pause saves up no more than a burst");
    }

    #[test]
    fn a_burst_that_is_not_given_is_a_second() {
        assert_eq!(taken(&meter(7, 0), 0, 50), 7);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let meter = meter(1, 3);
        assert_eq!(taken(&meter, 0, 5), 3);
        meter.give_back();
        meter.give_back();
        assert_eq!(taken(&meter, 0, 5), 2);
    }

    #[test]
    fn the_refused_are_told_to_come_one_after_another() {
        let meter = meter(10, 1);
        meter.take(Millis(0)).expect("there is one");
        let waits: Vec<i64> = (0..50).map(|_| meter.take(Millis(0)).expect_err("there is no more").0).collect();
        for (before, told) in waits.iter().enumerate() {
            let least = (100 * (before as i64 + 1)).min(10_000);
            assert!((least..=least * 3 / 2).contains(told), "{told} ms with {before} before it");
        }
        assert!(meter.take(Millis(100)).is_ok(), "whoever comes when it was told gets one");
    }

    #[test]
    fn what_is_not_bounded_is_not_refused() {
        let meter = Meter::new(Quota::default());
        assert_eq!(taken(&meter, 0, 1000), 1000);
        assert!((0..1000).all(|_| meter.enter().is_ok()));
    }

    #[test]
    fn calls_under_way_are_counted_up_and_down() {
        let meter = meter(0, 0);
        meter.enter().expect("none is under way");
        meter.enter().expect("one is");
        let wait = meter.enter().expect_err("two are").0;
        assert!((100..=150).contains(&wait));
        meter.leave();
        meter.enter().expect("one has left");
    }
}
