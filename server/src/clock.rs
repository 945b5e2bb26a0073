//! The only place that asks what time it is. Everything else is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use semel_core::id::{Millis, Timestamp};

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time of day. May jump.
    pub wall: Timestamp,
    /// Time since the process started. Only grows; leases are judged by it, so that setting the clock loses no worker.
    pub steady: Millis,
}

/// Measures how long something took, by the machine, for those who only count it. Nothing may be decided by it: tests do not
/// move it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// It runs from now on.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has been running.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A source of time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System(Instant),
    /// A test's.
    Manual(ManualClock),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        Now { wall: self.wall(), steady: self.steady() }
    }

    /// The time of day alone, which costs half.
    pub fn wall(&self) -> Timestamp {
        match self {
            Self::System(_) => {
                let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp(millis(wall.as_millis()))
            }
            Self::Manual(clock) => Timestamp(clock.wall.load(Ordering::SeqCst)),
        }
    }

    /// The time that only grows, alone.
    pub fn steady(&self) -> Millis {
        match self {
            Self::System(start) => Millis(millis(start.elapsed().as_millis())),
            Self::Manual(clock) => Millis(clock.steady.load(Ordering::SeqCst)),
        }
    }
}

/// The present moment of the runtime's timers: for how long a call waits, never for what is decided or stored.
pub fn timer_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Between 90 and 110 parts of a hundred of a time, by chance: what began together does not go on together for ever.
pub(crate) fn around(time: Duration) -> Duration {
    let mut random = [0; 1];
    // Without random bits all of them stay together, which harms little.
    let part = getrandom::fill(&mut random).map_or(0.5, |()| f64::from(random[0]) / 255.0);
    time.mul_f64(0.9 + 0.2 * part)
}

/// The time of day by the machine, in nanoseconds since 1970, for what is only shown: the spans of calls.
pub(crate) fn wall_nanos() -> u64 {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A clock that stands still until a test moves it. Whoever waits for it must be poked after it was moved.
#[derive(Clone, Debug)]
pub struct ManualClock {
    wall: Arc<AtomicI64>,
    steady: Arc<AtomicI64>,
}

impl ManualClock {
    /// Stands at this time.
    pub fn at(wall: Timestamp) -> Self {
        Self { wall: Arc::new(AtomicI64::new(wall.0)), steady: Arc::new(AtomicI64::new(0)) }
    }

    /// Lets time pass.
    pub fn advance(&self, by: Millis) {
        self.wall.fetch_add(by.0, Ordering::SeqCst);
        self.steady.fetch_add(by.0, Ordering::SeqCst);
    }

    /// Sets the time of day, as an operator or a time server may; no time passes.
    pub fn set_wall(&self, wall: Timestamp) {
        self.wall.store(wall.0, Ordering::SeqCst);
    }
}
