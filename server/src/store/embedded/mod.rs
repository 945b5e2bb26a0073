//! The store of a single server: LMDB through heed, in a directory of its own.
//!
//! Context: one writer, many readers, a small set of hot rows at the right edge of each tree. Choice: LMDB, by
//! measurement (DESIGN, sections 3 and 6): one writer and lock-free readers is our own shape, recovery takes no time, and
//! nothing compacts in the background. Consequences, all kept here: keys are in time order; a read transaction lives no
//! longer than the call that began it and is never handed out; the map is large and sparse, and when it is full the
//! error says so; a second process is kept out by a lock on a file, not by LMDB.
//!
//! A commit is durable once it stands in the write-ahead log ([`wal`]); LMDB gets the rows later, many commits at a time
//! ([`flush`]), and until then they lie in memory ([`memtable`]). Who reads sees both as one ([`view`]).
//!
//! ```text
//! <path>/lock               held as long as the store is open
//! <path>/shard-0/wal        the write-ahead log
//! <path>/shard-0/data.mdb   all tables
//! <path>/shard-0/lock.mdb   LMDB's own
//! ```

mod copy;
mod flush;
mod forget;
mod layer;
mod ledger;
mod load;
mod memtable;
mod meter;
mod open;
mod pages;
mod read;
mod record;
mod tables;
#[cfg(test)]
mod tests;
mod trouble;
mod view;
mod wal;
mod write;

use std::{path::PathBuf, sync::Arc};

use heed::{Env, WithoutTls};

pub use self::copy::{DATA_FILE, Description, adopt, begin_restore, copy, end_restore};
use self::{
    flush::Flusher,
    ledger::Ledger,
    memtable::Memtable,
    meter::Meter,
    tables::{COUNT, Database},
    wal::{Logged, Wal},
    write::Way,
};
use super::{Batch, Committed, Epoch, Error, Fetched, Loaded, Reader, Store, Wanted};

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 2;

/// The default of [`Options::map_size`]. Takes up address space, not memory and not disk.
pub const MAP_SIZE_DEFAULT: usize = 64 << 30;

/// The default of [`Options::wal_bytes`].
const WAL_BYTES_DEFAULT: u64 = 64 << 20;

/// How many read transactions may be open at a time: each lives within one call, so this is a bound on the threads that
/// read at once. Tokio's blocking pool has 512.
const READERS_MAX: u32 = 1024;

/// How to open.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory. Made if it is not there. Nothing else may lie in it, and it must be on a local file system.
    pub path: PathBuf,
    /// How large the store may grow, in bytes; rounded up to whole pages. May be raised at any start.
    pub map_size: usize,
    /// How large the write-ahead log is made, in bytes, when the store is made.
    pub wal_bytes: u64,
}

impl Options {
    /// The defaults, at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), map_size: MAP_SIZE_DEFAULT, wal_bytes: WAL_BYTES_DEFAULT }
    }
}

/// See the module. Closed when it and all of its readers are dropped; until then nobody else can open it.
pub struct Embedded {
    /// Ends first: it flushes what is left.
    _flusher: Flusher,
    shard: Arc<Shard>,
    wal: Wal,
    ledger: Ledger,
    /// What was begun and is not known to be durable.
    begun: Option<Logged>,
}

/// What the writer, the flusher and the readers share. Fields are dropped in this order: the lock goes last.
struct Shard {
    memtable: Memtable,
    meter: Arc<Meter>,
    /// How large the log is.
    log_bytes: u64,
    env: Env<WithoutTls>,
    databases: [Database; COUNT],
    _lock: open::Lock,
}

impl Embedded {
    /// Opens the store, and makes it if it is not there.
    ///
    /// # Errors
    /// [`Error::HalfRestored`] when the directory was being restored into and that did not end; [`Error::Cut`] when a file
    /// is shorter than it must be; [`Error::InUse`] when somebody has it open, this process included; [`Error::Format`] when it is not a store that
    /// this server knows; otherwise when the disk or LMDB fails.
    pub fn open(options: &Options) -> Result<Self, Error> {
        if options.path.join(copy::UNFINISHED_FILE).exists() {
            return Err(Error::HalfRestored { path: options.path.clone() });
        }
        let (shard, wal) = open::open(options).map_err(|trouble| trouble.at("open"))?;
        let ledger = Ledger::read(&shard).map_err(|trouble| trouble.at("open"))?;
        let shard = Arc::new(shard);
        Ok(Self { _flusher: Flusher::start(shard.clone()), shard, wal, ledger, begun: None })
    }
}

impl Store for Embedded {
    fn load(&mut self) -> Result<Loaded, Error> {
        self.take_over().map_err(|trouble| trouble.at("load"))
    }

    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error> {
        self.fetch(wanted).map_err(|trouble| trouble.at("read"))
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        self.write(epoch, batch, Way::Waiting).map_err(|trouble| trouble.at("commit"))
    }

    fn begin(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        self.write(epoch, batch, Way::Ahead).map_err(|trouble| trouble.at("commit"))
    }

    fn is_settled(&mut self) -> bool {
        self.begun.is_none() || self.wal.is_over()
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.wait_for_log().map_err(|trouble| trouble.at("commit"))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.shard.clone()
    }
}
