//! What a commit forgets besides requests: finished runs and records that are past their time, in slices that are
//! bounded by rows and by bytes. Every store counts by the one [`Budget`], so their slices end at the same row.

use semel_core::id::Timestamp;

/// What a commit is to forget, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget {
    /// Runs that ended before this, with inputs, results and logs; none to keep them all. Runs that are not finished
    /// are never touched.
    pub ended_before: Option<Timestamp>,
    /// At most so many rows of runs: of one with a long log they may be many, and it then goes in several commits. It
    /// cannot be read any more after the first.
    pub run_rows_max: usize,
    /// Records of before this; none to keep them all.
    pub recorded_before: Option<Timestamp>,
    /// At most so many records.
    pub records_max: usize,
    /// At most about so many bytes of values, of runs and of records each.
    pub bytes_max: usize,
}

/// What a commit forgot of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Runs of which nothing is left.
    pub runs: u64,
    /// Records.
    pub records: u64,
    /// There is more to forget, and the slice was full.
    pub is_more: bool,
}

/// What is left of a slice.
#[derive(Debug)]
pub(super) struct Budget {
    rows: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn of_runs(forget: &Forget) -> Self {
        Self { rows: forget.run_rows_max, bytes: forget.bytes_max }
    }

    pub(super) fn of_records(forget: &Forget) -> Self {
        Self { rows: forget.records_max, bytes: forget.bytes_max }
    }

    /// Whether a row with a value of so many bytes still goes into the slice. The last one may be larger than what is
    /// left, so that a large row does not stay for ever.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        if self.rows == 0 || self.bytes == 0 {
            return false;
        }
        self.rows -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_by_rows_or_by_bytes_and_takes_one_large_row() {
        let mut by_rows = Budget { rows: 2, bytes: 100 };
        assert!(by_rows.take(1) && by_rows.take(1) && !by_rows.take(1));
        let mut by_bytes = Budget { rows: 9, bytes: 10 };
        assert!(by_bytes.take(9) && by_bytes.take(1_000) && !by_bytes.take(0));
    }
}
