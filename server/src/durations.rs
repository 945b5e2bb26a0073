//! How long things took, counted by size. Counts with atomics alone: nothing is locked and nothing is allocated for one.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Up to so many seconds: what OpenTelemetry advises for calls, and below it what is short here.
pub const SECONDS: [f64; 18] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// See the module. The bounds ascend.
#[derive(Debug)]
pub struct Durations<const N: usize> {
    bounds: &'static [f64; N],
    /// How many took at most what the bound of the same place says, and more than the one before.
    counts: [AtomicU64; N],
    /// How many took longer.
    above: AtomicU64,
    nanos: AtomicU64,
}

/// What was counted, as it stood at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How many took at most so many seconds and more than the bound before; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were in all.
    pub count: u64,
    /// How long all of them took together, in seconds.
    pub seconds: f64,
}

impl<const N: usize> Durations<N> {
    /// Nothing as yet, by these bounds.
    pub const fn new(bounds: &'static [f64; N]) -> Self {
        Self { bounds, counts: [const { AtomicU64::new(0) }; N], above: AtomicU64::new(0), nanos: AtomicU64::new(0) }
    }

    /// One took so long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = self.bounds.iter().position(|bound| seconds <= *bound);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        at.map_or(&self.above, |at| &self.counts[at]).fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let mut buckets: Vec<_> = self.bounds.iter().copied().zip(counts).collect();
        buckets.push((f64::INFINITY, self.above.load(Ordering::Relaxed)));
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64();
        Distribution { buckets, count, seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_at_the_least_bound_that_holds_it() {
        let durations = Durations::new(&[0.001, 0.01]);
        for micros in [1, 1000, 1001, 10_000, 10_001] {
            durations.observe(Duration::from_micros(micros));
        }
        let read = durations.read();
        assert_eq!(read.buckets, vec![(0.001, 2), (0.01, 2), (f64::INFINITY, 1)]);
        assert_eq!((read.count, (read.seconds * 1e6).round()), (5, 22_003.0));
    }
}
