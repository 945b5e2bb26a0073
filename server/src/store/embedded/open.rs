//! Opening and making the store: the directory, the lock, the format. The one place with `unsafe` in it.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::Arc,
};

use heed::{CommitOrAbort, Env, EnvFlags, EnvOpenOptions, RwTxn, WithoutTls};

use super::{
    DATA_FILE, FORMAT, Options, READERS_MAX, Shard,
    memtable::Memtable,
    pages::{self, Fault},
    record::Record,
    tables::{self, Database, Table, meta},
    trouble::Trouble,
    wal::{self, Position, Wal},
};
use crate::store::Error;

/// So often the rows of the log are flushed while it goes round once. A commit that finds it full waits for one of them.
const FLUSHES_OF_LOG: u64 = 16;

/// The largest page of the machines that we know: a map must be whole pages.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// Opens or makes all that lies in the directory, and takes what the log holds over into LMDB.
pub(super) fn open(options: &Options) -> Result<(Shard, Wal), Trouble> {
    let path = options.path.as_path();
    let shard_path = path.join("shard-0");
    fs::create_dir_all(&shard_path)?;
    let lock = Lock::take(path)?;
    check_whole(path)?;
    let env = open_env(&shard_path, options.map_size)?;
    let wal_path = shard_path.join("wal");
    let is_new = env.unnamed_database_stat().entries == 0;
    if is_new {
        // Before the tables: where there are tables, a log that is missing has been lost.
        wal::create(&wal_path, options.wal_bytes)?;
    }
    let databases = create_tables(&env, path, is_new)?;
    // LMDB syncs its file, but a file is only there after a crash if the folders above it were synced too.
    for folder in [Some(shard_path.as_path()), Some(path), path.parent().filter(|parent| *parent != Path::new(""))] {
        folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    }
    let shard =
        Shard { memtable: Memtable::default(), meter: Arc::default(), log_bytes: 0, env, databases, _lock: lock };
    recover(shard, &wal_path)
}

fn recover(shard: Shard, wal_path: &Path) -> Result<(Shard, Wal), Trouble> {
    let view = shard.view()?;
    let id = view.with(Table::Meta, meta::WAL_ID, |id| id.try_into().map_err(|_| Trouble::damaged("id of the log")))?;
    let id = id.ok_or_else(|| Trouble::damaged("id of the log"))?;
    let from = view.with(Table::Meta, meta::WAL, Position::parse)?.unwrap_or(Position::START);
    drop(view);
    let mut layers = Vec::new();
    let mut wal = Wal::open(wal_path, id, from, |record, _| {
        layers.push(Record::parse(record)?.into());
        Ok(())
    })?;
    if !layers.is_empty() {
        shard.flush(&layers, wal.head())?;
        wal.release(wal.head());
    }
    let memtable = Memtable::new(wal.head(), wal.capacity() / FLUSHES_OF_LOG);
    let (meter, log_bytes) = (wal.meter().clone(), wal.capacity());
    Ok((Shard { memtable, meter, log_bytes, ..shard }, wal))
}

/// Keeps every other process out, and every other opener in this one. The operating system lets go of it when the
/// process ends, however it ends.
pub(super) struct Lock(File);

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, Trouble> {
        let file = File::options().create(true).truncate(false).write(true).open(path.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Trouble::Known(Error::InUse { path: path.to_owned() })),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that was forked a moment ago, and has not reached its exec,
        // has the file open too. If this fails, the end of the process does it.
        drop(self.0.unlock());
    }
}

#[expect(
    unsafe_code,
    reason = "a memory map is only sound while nobody else changes the file: the lock that the caller holds keeps other \
              servers out, the folder is ours alone, and LMDB's own locking stays switched on"
)]
pub(super) fn open_env(path: &Path, map_size: usize) -> Result<Env<WithoutTls>, Trouble> {
    let map_size = map_size.max(PAGE_BYTES_MAX).next_multiple_of(PAGE_BYTES_MAX);
    let tables = u32::try_from(tables::COUNT).expect("there are few tables");
    // Read transactions are begun on tokio's threads, which come and go: tied to a thread, their slots would too.
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_size).max_dbs(tables).max_readers(READERS_MAX);
    // SAFETY: see the reason above.
    Ok(unsafe { options.open(path) }?)
}

#[expect(
    unsafe_code,
    reason = "a memory map is only sound while nobody but LMDB changes the file: the folder is the store's alone, LMDB's own \
              locking stays switched on and keeps the pages of a reader, and nothing is written through this map"
)]
pub(super) fn open_env_to_read(path: &Path) -> Result<Env<WithoutTls>, Trouble> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    // SAFETY: see the reason above.
    Ok(unsafe { options.flags(EnvFlags::READ_ONLY).open(path) }?)
}

/// Refuses a file of tables that LMDB could not read to its end.
pub(super) fn check_whole(path: &Path) -> Result<(), Trouble> {
    let file = path.join(DATA_FILE);
    match pages::check(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        checked => checked?.map_err(|fault| {
            Trouble::Known(match fault {
                Fault::Foreign => Error::Foreign { path: file },
                Fault::Cut => Error::Cut { path: file },
            })
        }),
    }
}

/// Opens all tables, or makes them, in one transaction: there is never half a store.
pub(super) fn create_tables(
    env: &Env<WithoutTls>,
    path: &Path,
    is_new: bool,
) -> Result<[Database; tables::COUNT], Trouble> {
    let unknown = |found| Trouble::Known(Error::Format { path: path.to_owned(), found, known: FORMAT });
    let txn = env.write_txn()?;
    let outcome = env.create_databases_and_commit(txn, |opener, txn| -> Result<_, Trouble> {
        let meta = opener.create_database(txn, Some(Table::Meta.name()))?;
        if is_new {
            mark_new(meta, txn)?;
        }
        let found = match meta.get(txn, meta::FORMAT)? {
            None => 0,
            Some(format) => u32::from_be_bytes(format.try_into().map_err(|_| Trouble::damaged("format"))?),
        };
        if found != FORMAT {
            return Ok(CommitOrAbort::Abort(found));
        }
        let mut databases = [meta; tables::COUNT];
        for (database, table) in databases.iter_mut().zip(Table::ALL).skip(1) {
            *database = opener.create_database(txn, Some(table.name()))?;
        }
        Ok(CommitOrAbort::Commit(databases))
    })?;
    match outcome {
        CommitOrAbort::Commit(databases) => Ok(databases),
        CommitOrAbort::Abort(found) => Err(unknown(found)),
    }
}

fn mark_new(
    meta: heed::Database<'_, heed::types::Bytes, heed::types::Bytes>,
    txn: &mut RwTxn<'_>,
) -> Result<(), Trouble> {
    let mut ids = [[0; 16]; 2];
    for id in &mut ids {
        getrandom::fill(id).map_err(|error| std::io::Error::other(error.to_string()))?;
    }
    meta.put(txn, meta::FORMAT, &FORMAT.to_be_bytes())?;
    meta.put(txn, meta::STORE_ID, &ids[0])?;
    meta.put(txn, meta::WAL_ID, &ids[1])?;
    Ok(())
}
