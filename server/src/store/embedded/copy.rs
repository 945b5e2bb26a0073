//! Copying a store that may be in use, and making a store of a copy.
//!
//! Context: what is acknowledged lies in the write-ahead log and comes to LMDB later, and both go on while they are copied.
//! Choice: first the log is copied, then LMDB, as it is at one moment (its own snapshot, which holds up no writer). A record
//! of the copied log that is missing or overwritten there was taken over into LMDB before, and so is in the snapshot; all
//! others from the snapshot's place on are put into the copy. Consequences: all that was acknowledged before the copy was
//! begun is in it; while it is made LMDB keeps the pages that it looks at, so the store grows by what is written meanwhile.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use heed::CompactionOption;
use semel_core::id::{Revision, Timestamp};

use super::{
    FORMAT, MAP_SIZE_DEFAULT, Shard, WAL_BYTES_DEFAULT,
    memtable::Memtable,
    open::{self, Lock},
    record::Record,
    tables::{Table, meta},
    trouble::Trouble,
    wal::{self, Position, Wal},
};
use crate::store::{Epoch, Error};

/// The file of a store that a copy consists of, in the store's directory.
pub const DATA_FILE: &str = "shard-0/data.mdb";
const WAL_FILE: &str = "shard-0/wal";
/// Lies in a directory as long as it is not wholly restored.
pub(super) const UNFINISHED_FILE: &str = "restore-unfinished";
/// How often it is told how far a copy is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// So far ahead of what the copy knows a restored store goes on, to the next round number: what the lost server gave out
/// after the copy was made is not given out again for something else.
const REVISION_STEP: u64 = 1_000_000_000;
const EPOCH_STEP: u64 = 1_000_000;
const ATTEMPT_STEP: u64 = 100_000;

/// What a store says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Of what format it is.
    pub format: u32,
    /// Its id.
    pub store_id: [u8; 16],
    /// Its last owner.
    pub epoch: Epoch,
    /// The last committed position.
    pub revision: Revision,
    /// The latest time that any commit bore.
    pub high_water: Timestamp,
}

/// Copies the store in a directory, whether a server runs on it or not, into a directory that has none. `progress` is told
/// the bytes so far, every now and then.
///
/// # Errors
/// [`Error::Absent`] when there is no store, [`Error::Format`] when it is of another format, [`Error::Damaged`] when a part
/// of it cannot be read; otherwise when a disk or LMDB fails. What is there of the copy is no store then.
pub fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<Description, Error> {
    let copied = copy_files(from, to, progress).and_then(|is_still| settle(to, is_still));
    copied.map_err(|trouble| trouble.at("copy"))
}

/// Makes the copy in a directory a store that a server may go on with from this time on, and says what it was. What the
/// copy does not know of, and what was minted before, is refused by it.
///
/// # Errors
/// As [`copy`].
pub fn adopt(path: &Path, restored_at: Timestamp) -> Result<Description, Error> {
    let adopted = || {
        wal::create(&path.join(WAL_FILE), WAL_BYTES_DEFAULT)?;
        let shard = open_copy(path)?;
        let description = describe(&shard)?;
        mark_restored(&shard, &description, restored_at)?;
        drop(shard);
        sync_folders(path)?;
        Ok(description)
    };
    adopted().map_err(|trouble: Trouble| trouble.at("take over"))
}

/// Says that a directory is being restored into: no server opens it.
///
/// # Errors
/// When the disk fails.
pub fn begin_restore(path: &Path) -> io::Result<()> {
    File::create_new(path.join(UNFINISHED_FILE))?.sync_all()?;
    File::open(path)?.sync_all()
}

/// Says that a directory is wholly restored.
///
/// # Errors
/// When the disk fails.
pub fn end_restore(path: &Path) -> io::Result<()> {
    sync_folders(path)?;
    fs::remove_file(path.join(UNFINISHED_FILE))?;
    File::open(path)?.sync_all()
}

fn sync_folders(path: &Path) -> io::Result<()> {
    for folder in [path.join("shard-0"), path.to_owned()] {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Copies log and tables as they are. Says whether nobody wrote meanwhile.
fn copy_files(from: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<bool, Trouble> {
    let absent = || Trouble::Known(Error::Absent { path: from.to_owned() });
    if !from.join(DATA_FILE).is_file() {
        return Err(absent());
    }
    fs::create_dir_all(to.join("shard-0"))?;
    // Held only while the log is copied: a server that starts then is told to come again.
    let lock = match Lock::take(from) {
        Ok(lock) => Some(lock),
        Err(Trouble::Known(Error::InUse { .. })) => None,
        Err(trouble) => return Err(trouble),
    };
    let is_still = lock.is_some();
    if is_still {
        open::check_whole(from)?;
    }
    match fs::copy(from.join(WAL_FILE), to.join(WAL_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Trouble::damaged("write-ahead log: the file is missing"));
        }
        copied => copied?,
    };
    drop(lock);
    let env = open::open_env_to_read(&from.join("shard-0"))?;
    if env.unnamed_database_stat().entries == 0 {
        return Err(absent());
    }
    let path = to.join(DATA_FILE);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let copied = std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        let copying = scope.spawn(move || {
            let copied = env.copy_to_file(&mut file, CompactionOption::Enabled).map_err(Trouble::from);
            let synced = copied.and_then(|()| Ok(file.sync_all()?));
            drop(done);
            synced
        });
        while is_done.recv_timeout(PROGRESS_INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
            progress(fs::metadata(&path).map_or(0, |found| found.len()));
        }
        copying.join().unwrap_or_else(|_| Err(io::Error::other("the copying thread has died").into()))
    });
    copied.map(|()| is_still)
}

/// Puts what the copied log holds into the copied tables, and leaves nothing but these.
fn settle(path: &Path, is_still: bool) -> Result<Description, Trouble> {
    let shard = open_copy(path)?;
    let view = shard.view()?;
    let id = view.with(Table::Meta, meta::WAL_ID, |id| id.try_into().map_err(|_| Trouble::damaged("id of the log")))?;
    let from = view.with(Table::Meta, meta::WAL, Position::parse)?.unwrap_or(Position::START);
    drop(view);
    let mut layers = Vec::new();
    let replay = |record, _| {
        layers.push(Record::parse(record)?.into());
        Ok(())
    };
    let (file, id) = (path.join(WAL_FILE), id.ok_or_else(|| Trouble::damaged("id of the log"))?);
    // Where somebody wrote meanwhile a newer record may stand behind one that was not there yet when its place was read.
    let head = if is_still { Wal::open(&file, id, from, replay) } else { Wal::open_moving(&file, id, from, replay) };
    let head = head?.head();
    if !layers.is_empty() {
        shard.flush(&layers, head)?;
    }
    let description = describe(&shard)?;
    drop(shard);
    for left in [file, path.join("shard-0/lock.mdb"), path.join("lock")] {
        fs::remove_file(left)?;
    }
    sync_folders(path)?;
    Ok(description)
}

/// Opens a copy, which has no log of its own, for writing.
fn open_copy(path: &Path) -> Result<Shard, Trouble> {
    let shard_path = path.join("shard-0");
    let lock = Lock::take(path)?;
    open::check_whole(path)?;
    let bytes = usize::try_from(fs::metadata(path.join(DATA_FILE))?.len()).unwrap_or(usize::MAX);
    let map_size = MAP_SIZE_DEFAULT.max(bytes.saturating_mul(2));
    let env = open::open_env(&shard_path, map_size)?;
    if env.unnamed_database_stat().entries == 0 {
        return Err(Trouble::Known(Error::Absent { path: path.to_owned() }));
    }
    let databases = open::create_tables(&env, path, false)?;
    Ok(Shard { memtable: Memtable::default(), meter: Arc::default(), log_bytes: 0, env, databases, _lock: lock })
}

fn describe(shard: &Shard) -> Result<Description, Trouble> {
    let view = shard.view()?;
    Ok(Description {
        format: FORMAT,
        store_id: view.store_id()?,
        epoch: Epoch(view.meta_number(meta::EPOCH)?),
        revision: Revision(view.meta_number(meta::REVISION)?),
        high_water: Timestamp(view.meta_number(meta::HIGH_WATER)?.cast_signed()),
    })
}

fn mark_restored(shard: &Shard, was: &Description, restored_at: Timestamp) -> Result<(), Trouble> {
    let floor = restored_at.max(was.high_water);
    let attempt_floor = shard.view()?.meta_number(meta::ATTEMPT_FLOOR)? + ATTEMPT_STEP;
    let mut wal_id = [0; 16];
    getrandom::fill(&mut wal_id).map_err(|error| io::Error::other(error.to_string()))?;
    let numbers = [
        (meta::WINDOW_FLOOR, floor.0.cast_unsigned()),
        (meta::HIGH_WATER, floor.0.cast_unsigned()),
        (meta::EPOCH, was.epoch.0 + EPOCH_STEP),
        (meta::REVISION, (was.revision.0 / REVISION_STEP + 2) * REVISION_STEP),
        (meta::ATTEMPT_FLOOR, attempt_floor),
    ];
    let mut txn = shard.env.write_txn()?;
    let table = shard.databases[Table::Meta as usize];
    for (key, number) in numbers {
        table.put(&mut txn, key, &number.to_be_bytes())?;
    }
    table.put(&mut txn, meta::WAL_ID, &wal_id)?;
    table.put(&mut txn, meta::WAL, &Position::START.to_bytes())?;
    Ok(txn.commit()?)
}
