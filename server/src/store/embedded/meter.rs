//! What is measured of the disk: by whoever writes, for whoever asks. Atomics alone.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Shard, tables::Table, trouble::Trouble};
use crate::{
    durations::{Durations, SECONDS},
    store::DiskStatus,
};

/// See the module.
pub(super) struct Meter {
    log_writes: Durations<{ SECONDS.len() }>,
    log_written_bytes: AtomicU64,
    flushes: Durations<{ SECONDS.len() }>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            log_writes: Durations::new(&SECONDS),
            log_written_bytes: AtomicU64::new(0),
            flushes: Durations::new(&SECONDS),
        }
    }
}

impl Meter {
    /// So many bytes of the log have become durable, after so long.
    pub(super) fn logged(&self, bytes: usize, took: Duration) {
        self.log_writes.observe(took);
        self.log_written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Commits were taken over into the tables.
    pub(super) fn flushed(&self, took: Duration) {
        self.flushes.observe(took);
    }
}

impl Shard {
    /// How the disk is doing now.
    pub(super) fn disk_status(&self) -> Result<DiskStatus, Trouble> {
        let txn = self.env.read_txn()?;
        let mut used_bytes = 0;
        let mut page_bytes = 0;
        for table in Table::ALL {
            let stat = self.databases[table as usize].stat(&txn)?;
            page_bytes = u64::from(stat.page_size);
            used_bytes += stat.non_free_page_size() as u64;
        }
        let map = self.env.info();
        let held = self.memtable.held();
        Ok(DiskStatus {
            log_writes: self.meter.log_writes.read(),
            log_written_bytes: self.meter.log_written_bytes.load(Ordering::Relaxed),
            log_held_bytes: held.bytes,
            log_held_commits: held.commits,
            log_bytes: self.log_bytes,
            flushes: self.meter.flushes.read(),
            used_bytes,
            file_bytes: (map.last_page_number as u64 + 1) * page_bytes,
            map_bytes: map.map_size as u64,
        })
    }
}
