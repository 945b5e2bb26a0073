//! A store in memory, for tests and simulation: the same semantics as on disk, nothing durable, and faults on demand.
//!
//! A [`Memory`] is a handle to a disk that others may hold too. To crash a server, drop its engine; to start it again,
//! give the next one a handle from [`Memory::reopen`]. Rows are kept as bytes, so each goes through the codec as it does
//! on disk. Everything is ordered, so that a run with the same seed is the same run.

mod forget;
mod read;
mod tables;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use semel_core::{codec, id::Timestamp};

use self::tables::Tables;
use super::{Batch, Committed, Epoch, Error, Fetched, Loaded, Reader, Store, Wanted};

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "each says when it strikes: at the next such call")]
pub enum Fault {
    /// The next commit fails.
    FailNextCommit {
        /// Whether the batch is there all the same, as when only the acknowledgement was lost.
        applied: bool,
    },
    /// The next load fails.
    FailNextLoad,
    /// The next prefetch fails.
    FailNextPrefetch,
}

/// See the module.
#[derive(Clone, Default)]
pub struct Memory {
    disk: Arc<Disk>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

/// What outlives a crash.
#[derive(Default)]
struct Disk {
    tables: RwLock<Tables>,
    faults: Mutex<VecDeque<Fault>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another handle to the same disk, for the next engine or for the test itself.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { disk: self.disk.clone() }
    }

    /// What restoring a backup leaves behind.
    ///
    /// # Panics
    /// If a test panicked while it held the store.
    pub fn mark_restored(&self, floor: Timestamp, attempt_floor: u32) {
        let mut tables = self.disk.tables.write().expect(APPLY_IS_INFALLIBLE);
        (tables.window_floor, tables.attempt_floor) = (floor, attempt_floor);
    }

    /// Lets something go wrong, once. Faults of one kind come in the order in which they were asked for.
    pub fn inject(&self, fault: Fault) {
        self.disk.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Forgets the faults that were asked for and have not come.
    pub fn clear_faults(&self) {
        self.disk.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Disk {
    /// The first fault that is of the asked kind, taken out.
    fn take_fault(&self, is_kind: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().position(is_kind).and_then(|index| faults.remove(index))
    }

    fn with<T>(&self, read: impl FnOnce(&Tables) -> Result<T, codec::Error>) -> Result<T, Error> {
        Ok(read(&self.tables.read().expect(APPLY_IS_INFALLIBLE))?)
    }
}

const APPLY_IS_INFALLIBLE: &str = "a batch is checked before it is applied, so no writer dies halfway";

impl Store for Memory {
    fn load(&mut self) -> Result<Loaded, Error> {
        if self.disk.take_fault(|fault| *fault == Fault::FailNextLoad).is_some() {
            return Err(Error::Injected("load"));
        }
        let mut tables = self.disk.tables.write().expect(APPLY_IS_INFALLIBLE);
        let mut loaded = tables.load()?;
        tables.epoch += 1;
        loaded.epoch = Epoch(tables.epoch);
        Ok(loaded)
    }

    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error> {
        if self.disk.take_fault(|fault| *fault == Fault::FailNextPrefetch).is_some() {
            return Err(Error::Injected("prefetch"));
        }
        self.disk.with(|tables| tables.prefetch(wanted))
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        let fault = self.disk.take_fault(|fault| matches!(fault, Fault::FailNextCommit { .. }));
        if fault == Some(Fault::FailNextCommit { applied: false }) {
            return Err(Error::Injected("commit, and the batch is lost"));
        }
        let mut tables = self.disk.tables.write().expect(APPLY_IS_INFALLIBLE);
        let current = Epoch(tables.epoch);
        if epoch != current {
            return Err(Error::Fenced { held: epoch, current });
        }
        tables.check(batch)?;
        let committed = tables.apply(batch)?;
        match fault {
            Some(_) => Err(Error::Injected("commit, though the batch is there")),
            None => Ok(committed),
        }
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.disk.clone()
    }
}
