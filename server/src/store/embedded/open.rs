//! Opening and making the store: the directory, the lock, the format. The one place with `unsafe` in it.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use heed::{CommitOrAbort, Env, EnvOpenOptions, RwTxn, WithoutTls};

use super::{
    FORMAT, Options, READERS_MAX, Shard,
    tables::{self, NAMES, Table, meta},
    trouble::Trouble,
};
use crate::store::Error;

/// The largest page of the machines that we know: a map must be whole pages.
const PAGE_BYTES_MAX: usize = 64 << 10;

pub(super) fn open(options: &Options) -> Result<Shard, Trouble> {
    let path = options.path.as_path();
    let shard_path = path.join("shard-0");
    fs::create_dir_all(&shard_path)?;
    let lock = Lock::take(path)?;
    let env = open_env(&shard_path, options.map_size)?;
    let tables = create_tables(&env, path)?.into();
    // LMDB syncs its file, but a file is only there after a crash if the folders above it were synced too.
    for folder in [Some(shard_path.as_path()), Some(path), path.parent().filter(|parent| *parent != Path::new(""))] {
        folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    }
    Ok(Shard { env, tables, _lock: lock })
}

/// Keeps every other process out, and every other opener in this one. The operating system lets go of it when the
/// process ends, however it ends.
pub(super) struct Lock(File);

impl Lock {
    fn take(path: &Path) -> Result<Self, Trouble> {
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
fn open_env(path: &Path, map_size: usize) -> Result<Env<WithoutTls>, Trouble> {
    let map_size = map_size.max(PAGE_BYTES_MAX).next_multiple_of(PAGE_BYTES_MAX);
    let tables = u32::try_from(tables::COUNT).expect("they are few");
    // Read transactions are begun on tokio's threads, which come and go: tied to a thread, their slots would too.
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(map_size).max_dbs(tables).max_readers(READERS_MAX);
    // SAFETY: see the reason above.
    Ok(unsafe { options.open(path) }?)
}

/// Opens all tables, or makes them, in one transaction: there is never half a store.
fn create_tables(env: &Env<WithoutTls>, path: &Path) -> Result<[Table; tables::COUNT], Trouble> {
    let is_new = env.unnamed_database_stat().entries == 0;
    let unknown = |found| Trouble::Known(Error::Format { path: path.to_owned(), found, known: FORMAT });
    let txn = env.write_txn()?;
    let outcome = env.create_databases_and_commit(txn, |opener, txn| -> Result<_, Trouble> {
        let meta = opener.create_database(txn, Some(NAMES[0]))?;
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
        let mut tables = [meta; tables::COUNT];
        for (table, name) in tables.iter_mut().zip(NAMES).skip(1) {
            *table = opener.create_database(txn, Some(name))?;
        }
        Ok(CommitOrAbort::Commit(tables))
    })?;
    match outcome {
        CommitOrAbort::Commit(tables) => Ok(tables),
        CommitOrAbort::Abort(found) => Err(unknown(found)),
    }
}

fn mark_new(
    meta: heed::Database<'_, heed::types::Bytes, heed::types::Bytes>,
    txn: &mut RwTxn<'_>,
) -> Result<(), Trouble> {
    let mut store_id = [0; 16];
    getrandom::fill(&mut store_id).map_err(|error| std::io::Error::other(error.to_string()))?;
    meta.put(txn, meta::FORMAT, &FORMAT.to_be_bytes())?;
    meta.put(txn, meta::STORE_ID, &store_id)?;
    Ok(())
}
