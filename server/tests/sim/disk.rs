//! The disk of the simulated server: the memory store behind a wrapper that can be broken on purpose. With
//! [`Breakage::None`] it adds nothing. Breaking is done out here, so that the engine has no hooks for tests.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use semel_core::id::{Millis, Timestamp};
use semel_server::store::{Batch, Committed, Epoch, Error, Fault, Fetched, Loaded, Memory, Reader, Store, Wanted};

use crate::{archive::Archive, unsynced::OwnedBatch};

/// In what way the store is broken. Each way is a fault that a real store could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakage {
    /// Not at all.
    None,
    /// What is remembered of requests is not found; a second record replaces the first without a word.
    ForgetsOnPrefetch,
    /// The same, but the store still refuses to remember a request twice.
    ForgetsOnPrefetchAndChecks,
    /// The effect is written, the record of the request never is.
    DropsRecords,
    /// A crash in the middle of a commit leaves the effect without the record.
    TearsOffRecords,
    /// A crash in the middle of a commit leaves the record without the effect.
    TearsOffEffects,
    /// Requests are forgotten before their window is over.
    ForgetsEarly,
    /// A commit says that it is durable and is not yet: what was not synced is gone after a crash.
    SkipsSync,
    /// The latest time that was seen is not kept.
    ForgetsTime,
    /// A former owner of the shard may still write.
    IgnoresEpoch,
    /// A trigger's row stays as it was when the trigger was made.
    ForgetsCursors,
}

/// See the module. What is in it outlives a crash.
pub(crate) struct Disk {
    breakage: Breakage,
    memory: Memory,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The next commit is torn.
    torn: AtomicBool,
    epoch: AtomicU64,
    /// What retention took.
    archive: Mutex<Archive>,
    /// For [`Breakage::SkipsSync`]: what is durable, and what only seems so.
    synced: Mutex<Vec<OwnedBatch>>,
    unsynced: Mutex<Vec<OwnedBatch>>,
    /// How often the memory has lost what was not synced.
    losses: AtomicU64,
}

/// So many commits share one sync under [`Breakage::SkipsSync`].
const COMMITS_PER_SYNC: usize = 4;

impl Disk {
    pub(crate) fn new(breakage: Breakage) -> Self {
        Self { breakage, memory: Memory::new(), shared: Arc::default() }
    }

    /// The store for the next engine. The former one may still hold its own.
    pub(crate) fn open(&mut self) -> Box<dyn Store> {
        if self.breakage == Breakage::SkipsSync {
            self.lose_what_was_not_synced();
        }
        self.memory.clear_faults();
        self.shared.torn.store(false, Ordering::SeqCst);
        let nr = self.shared.losses.load(Ordering::SeqCst);
        let broken = Broken { breakage: self.breakage, inner: self.memory.reopen(), shared: self.shared.clone(), nr };
        Box::new(broken)
    }

    pub(crate) fn reader(&self) -> Arc<dyn Reader> {
        self.memory.reader()
    }

    /// What retention has taken out of it.
    pub(crate) fn archive(&self) -> Archive {
        std::mem::take(&mut *lock(&self.shared.archive))
    }

    /// The next commit fails; `applied` says whether the batch is there all the same.
    pub(crate) fn fail_next_commit(&self, applied: bool) {
        if matches!(self.breakage, Breakage::TearsOffEffects | Breakage::TearsOffRecords) {
            self.shared.torn.store(true, Ordering::SeqCst);
        } else {
            self.memory.inject(Fault::FailNextCommit { applied });
        }
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.memory.inject(fault);
    }

    pub(crate) fn clear_faults(&self) {
        self.shared.torn.store(false, Ordering::SeqCst);
        self.memory.clear_faults();
    }

    fn lose_what_was_not_synced(&mut self) {
        lock(&self.shared.unsynced).clear();
        self.shared.losses.fetch_add(1, Ordering::SeqCst);
        let mut memory = Memory::new();
        let epoch = memory.load().expect("an empty store without faults loads").epoch;
        for batch in lock(&self.shared.synced).iter() {
            memory.commit(epoch, &batch.borrow()).expect("what was taken once is taken again");
        }
        self.memory = memory;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Broken {
    breakage: Breakage,
    inner: Memory,
    shared: Arc<Shared>,
    /// How often the memory had lost something when it was opened.
    nr: u64,
}

impl Store for Broken {
    fn load(&mut self) -> Result<Loaded, Error> {
        let mut loaded = self.inner.load()?;
        self.shared.epoch.store(loaded.epoch.0, Ordering::SeqCst);
        if self.breakage == Breakage::ForgetsTime {
            loaded.high_water = Timestamp(0);
        }
        Ok(loaded)
    }

    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error> {
        let mut fetched = self.inner.prefetch(wanted)?;
        if matches!(self.breakage, Breakage::ForgetsOnPrefetch | Breakage::ForgetsOnPrefetchAndChecks) {
            fetched.requests.clear();
        }
        Ok(fetched)
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        lock(&self.shared.archive).before(self.inner.reader().as_ref(), batch);
        match self.breakage {
            Breakage::None | Breakage::ForgetsOnPrefetchAndChecks | Breakage::ForgetsTime => {
                self.inner.commit(epoch, batch)
            }
            Breakage::ForgetsOnPrefetch => self.commit_without_check(epoch, batch),
            Breakage::DropsRecords => self.inner.commit(epoch, &Batch { requests: Vec::new(), ..copy(batch) }),
            Breakage::TearsOffRecords | Breakage::TearsOffEffects => self.commit_or_tear(epoch, batch),
            Breakage::ForgetsEarly => {
                // A tenth of what a window lasts at least in the simulation.
                let expire = batch.expire.map(|(before, max)| (before.plus(Millis::from_secs(540)), max));
                self.inner.commit(epoch, &Batch { expire, ..copy(batch) })
            }
            Breakage::ForgetsCursors => {
                let mut broken = copy(batch);
                broken.triggers.retain(|(_, row)| row.is_none_or(|row| row.cursor == row.made_at));
                self.inner.commit(epoch, &broken)
            }
            Breakage::SkipsSync => self.commit_without_sync(epoch, batch),
            Breakage::IgnoresEpoch => self.commit_whoever_asks(batch),
        }
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.inner.reader()
    }
}

impl Broken {
    fn commit_without_check(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        let reader = self.inner.reader();
        let mut broken = copy(batch);
        broken.requests.retain(|(key, _)| !matches!(reader.request(key), Ok(Some(_))));
        self.inner.commit(epoch, &broken)
    }

    fn commit_or_tear(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        if !self.shared.torn.swap(false, Ordering::SeqCst) {
            return self.inner.commit(epoch, batch);
        }
        let torn = if self.breakage == Breakage::TearsOffRecords {
            Batch { requests: Vec::new(), arrivals: Vec::new(), ..copy(batch) }
        } else {
            Batch { now: batch.now, revision: batch.revision, requests: batch.requests.clone(), ..Batch::default() }
        };
        self.inner.commit(epoch, &torn)?;
        Err(Error::Injected("commit, and half of the batch is there"))
    }

    fn commit_without_sync(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        let committed = self.inner.commit(epoch, batch)?;
        // A former owner that was paused over the loss writes to what is there no more.
        if self.nr != self.shared.losses.load(Ordering::SeqCst) {
            return Ok(committed);
        }
        let mut unsynced = lock(&self.shared.unsynced);
        unsynced.push(OwnedBatch::of(batch));
        if unsynced.len() >= COMMITS_PER_SYNC {
            lock(&self.shared.synced).append(&mut unsynced);
        }
        Ok(committed)
    }

    /// A former owner knows neither what the present one wrote, nor that it is there; what the two write is mixed.
    fn commit_whoever_asks(&mut self, batch: &Batch<'_>) -> Result<Committed, Error> {
        let epoch = Epoch(self.shared.epoch.load(Ordering::SeqCst));
        self.inner.commit(epoch, batch)
    }
}

/// The same batch once more.
pub(crate) fn copy<'a>(batch: &Batch<'a>) -> Batch<'a> {
    Batch {
        now: batch.now,
        revision: batch.revision,
        requests: batch.requests.clone(),
        arrivals: batch.arrivals.clone(),
        records: batch.records.clone(),
        apps: batch.apps.clone(),
        tokens: batch.tokens.clone(),
        jobs: batch.jobs.clone(),
        triggers: batch.triggers.clone(),
        live: batch.live.clone(),
        finished: batch.finished.clone(),
        unique: batch.unique.clone(),
        blobs: batch.blobs.clone(),
        logs: batch.logs.clone(),
        expire: batch.expire,
        forget: batch.forget,
    }
}
