//! The store of a single server: LMDB through heed, in a directory of its own.
//!
//! Context: one writer, many readers, a small set of hot rows at the right edge of each tree. Choice: LMDB, by
//! measurement (DESIGN, sections 3 and 6): one writer and lock-free readers is our own shape, recovery takes no time, and
//! nothing compacts in the background. Consequences, all kept here: keys are in time order; a read transaction lives no
//! longer than the call that began it and is never handed out; the map is large and sparse, and when it is full the
//! error says so; a second process is kept out by a lock on a file, not by LMDB.
//!
//! ```text
//! <path>/lock               held as long as the store is open
//! <path>/shard-0/data.mdb   all tables
//! <path>/shard-0/lock.mdb   LMDB's own
//! ```

mod forget;
mod load;
mod open;
mod read;
mod tables;
#[cfg(test)]
mod tests;
mod trouble;
mod write;

use std::{path::PathBuf, sync::Arc};

use heed::{Env, RoTxn, WithoutTls};
use minicbor::Decode;
use semel_core::codec;

use self::{
    tables::{Table, Tables},
    trouble::Trouble,
};
use super::{Batch, Committed, Epoch, Error, Fetched, Loaded, Reader, Store, Wanted};

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// The default of [`Options::map_size`]. Takes up address space, not memory and not disk.
pub const MAP_SIZE_DEFAULT: usize = 64 << 30;

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
}

impl Options {
    /// The defaults, at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), map_size: MAP_SIZE_DEFAULT }
    }
}

/// See the module. Closed when it and all of its readers are dropped; until then nobody else can open it.
pub struct Embedded {
    shard: Arc<Shard>,
}

/// One LMDB environment. Fields are dropped in this order: the lock goes last.
struct Shard {
    env: Env<WithoutTls>,
    tables: Tables,
    _lock: open::Lock,
}

impl Embedded {
    /// Opens the store, and makes it if it is not there.
    ///
    /// # Errors
    /// [`Error::InUse`] when somebody has it open, this process included; [`Error::Format`] when it is not a store that
    /// this server knows; otherwise when the disk or LMDB fails.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let shard = open::open(options).map_err(|trouble| trouble.at("open"))?;
        Ok(Self { shard: Arc::new(shard) })
    }
}

impl Store for Embedded {
    fn load(&mut self) -> Result<Loaded, Error> {
        self.shard.load().map_err(|trouble| trouble.at("load"))
    }

    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error> {
        self.shard.prefetch(wanted).map_err(|trouble| trouble.at("read"))
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        self.shard.write(epoch, batch).map_err(|trouble| trouble.at("commit"))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.shard.clone()
    }
}

/// A row, if it is there.
fn row<T: for<'b> Decode<'b, ()>>(table: Table, txn: &RoTxn<'_>, key: &[u8]) -> Result<Option<T>, Trouble> {
    Ok(table.get(txn, key)?.map(codec::decode).transpose()?)
}

/// A row that another row says is there.
fn required<T: for<'b> Decode<'b, ()>>(
    table: Table,
    txn: &RoTxn<'_>,
    key: &[u8],
    what: &'static str,
) -> Result<T, Trouble> {
    row(table, txn, key)?.ok_or_else(|| Trouble::damaged(what))
}

/// A number of `meta`; 0 if it is not there yet.
fn meta_number(tables: Tables, txn: &RoTxn<'_>, key: &[u8]) -> Result<u64, Trouble> {
    tables.meta.get(txn, key)?.map_or(Ok(0), tables::number)
}
