//! What is forgotten, and when: requests past the window, finished runs and events past their retention. A little of it
//! goes with a commit, at first at intervals, and with every commit as long as there is more: callers come in between
//! two slices, and none waits for more than one of them.

use semel_core::{
    id::{Millis, Timestamp},
    state::Changes,
};

use super::step::Options;
use crate::store::{Committed, Forget};

/// How long things are kept, and how much of it goes with one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long finished runs are kept after their end, with inputs, results and logs; none means for ever.
    pub runs: Option<Millis>,
    /// How long events are kept; none means for ever.
    pub events: Option<Millis>,
    /// How often it is looked for what is past its time.
    pub interval: Millis,
    /// How many rows of a kind go with one commit. It may be more where more is written: see [`Upkeep::slice`].
    pub rows_max: usize,
    /// How many bytes of a kind go with one commit, in the same way.
    pub bytes_max: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            runs: Some(Millis::from_secs(30 * 24 * 3600)),
            events: Some(Millis::from_secs(7 * 24 * 3600)),
            interval: Millis::from_secs(10),
            rows_max: 1000,
            bytes_max: 4 << 20,
        }
    }
}

/// How much a commit writes, of what will have to be forgotten one day.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) requests: usize,
    pub(super) records: usize,
    run_rows: usize,
    bytes: usize,
}

impl Written {
    pub(super) fn of(requests: usize, records: usize, changes: &Changes) -> Self {
        let blobs = changes.blobs.iter().map(|blob| blob.payload.data.len());
        let logs = changes.logs.iter().map(|row| row.data.len());
        Self {
            requests,
            records,
            run_rows: changes.finished.len() + changes.blobs.len() + changes.logs.len(),
            bytes: blobs.chain(logs).sum(),
        }
    }
}

/// What goes with one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) expire: (Timestamp, usize),
    pub(super) forget: Forget,
}

/// What went with one commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgot {
    /// Requests that are past the window.
    pub requests: u64,
    /// Runs of which nothing is left.
    pub runs: u64,
    /// Records of the log.
    pub records: u64,
    /// More is past its time than went.
    pub is_more: bool,
}

/// When the next slice is due.
#[derive(Debug)]
pub(super) struct Upkeep {
    retention: Retention,
    due_at: Millis,
}

impl Upkeep {
    pub(super) fn new(options: &Options, steady: Millis) -> Self {
        Self { retention: options.retention, due_at: steady }
    }

    /// By the clock that only grows.
    pub(super) fn due_at(&self) -> Millis {
        self.due_at
    }

    pub(super) fn is_due(&self, steady: Millis) -> bool {
        steady >= self.due_at
    }

    /// The next slice. It takes twice as much as is written with it: so the store shrinks to what is to be kept under
    /// any load.
    pub(super) fn slice(&self, now: Timestamp, window_begin: Timestamp, written: Written) -> Slice {
        let of = |bound: usize, written: usize| bound.max(2 * written);
        let retention = self.retention;
        Slice {
            expire: (window_begin, of(retention.rows_max, written.requests)),
            forget: Forget {
                ended_before: retention.runs.map(|kept| now.minus(kept)),
                run_rows_max: of(retention.rows_max, written.run_rows),
                recorded_before: retention.events.map(|kept| now.minus(kept)),
                records_max: of(retention.rows_max, written.records),
                bytes_max: of(retention.bytes_max, written.bytes),
            },
        }
    }

    /// Takes note of what a slice has done, and tells it: if it was full, the next one goes with the next commit.
    pub(super) fn done(&mut self, steady: Millis, slice: &Slice, committed: &Committed) -> Forgot {
        let Committed { expired, forgotten } = committed;
        let requests = expired.values().sum::<u64>();
        let is_more = forgotten.is_more || requests >= slice.expire.1 as u64;
        self.due_at = if is_more { steady } else { Millis(steady.0 + self.retention.interval.0) };
        Forgot { requests, runs: forgotten.runs, records: forgotten.records, is_more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upkeep(retention: Retention) -> Upkeep {
        Upkeep::new(&Options { retention, ..Options::default() }, Millis(5))
    }

    #[test]
    fn a_slice_takes_twice_what_is_written_and_never_less_than_its_bound() {
        let upkeep = upkeep(Retention { rows_max: 100, bytes_max: 1000, ..Retention::default() });
        let written = Written { requests: 400, records: 10, run_rows: 51, bytes: 501 };
        let slice = upkeep.slice(Timestamp(1 << 40), Timestamp(7), written);
        assert_eq!(slice.expire, (Timestamp(7), 800));
        assert_eq!((slice.forget.records_max, slice.forget.run_rows_max, slice.forget.bytes_max), (100, 102, 1002));
    }

    #[test]
    fn what_is_kept_for_ever_has_no_bound_in_time() {
        let upkeep = upkeep(Retention { runs: None, events: Some(Millis(10)), ..Retention::default() });
        let forget = upkeep.slice(Timestamp(100), Timestamp(0), Written::default()).forget;
        assert_eq!((forget.ended_before, forget.recorded_before), (None, Some(Timestamp(90))));
    }

    #[test]
    fn a_full_slice_is_followed_at_once_and_any_other_after_the_interval() {
        let mut upkeep = upkeep(Retention::default());
        assert!(upkeep.is_due(Millis(5)));
        let slice = upkeep.slice(Timestamp(0), Timestamp(0), Written::default());
        let mut committed = Committed::default();
        committed.forgotten.is_more = true;
        assert!(upkeep.done(Millis(7), &slice, &committed).is_more);
        assert!(upkeep.is_due(Millis(7)));
        assert_eq!(upkeep.done(Millis(8), &slice, &Committed::default()), Forgot::default());
        assert_eq!(upkeep.due_at(), Millis(8 + 10_000));
    }
}
