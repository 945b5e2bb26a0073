//! Moments at which a worker has something to do. A timer that has lost its sense is not taken out: whoever it wakes
//! looks again before acting.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::attempt::AttemptKey;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The log that an attempt has gathered is to be sent.
    FlushLog(AttemptKey),
    /// The progress of an attempt is to be sent.
    Progress(AttemptKey),
    /// The first message in an attempt's queue may be sent again.
    Resend(AttemptKey),
    /// A processor that was told to stop has had its time.
    Abort(AttemptKey),
}

/// All that is to come, the next one first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Instant, u64), Timer>,
    count: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.count += 1;
        self.due.insert((at, self.count), timer);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes out one that is due, if any is.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
