//! The write-ahead log: a ring in one file of fixed size that is filled with zeros when it is made, so that a commit is one
//! write and one flush of blocks that are there already.
//!
//! Context: a commit of LMDB writes some twenty pages and flushes twice, which is most of what a call waits for when few
//! are under way. Choice: a commit is durable once its record is in here; LMDB gets the rows later, many commits at a
//! time, in one transaction that also says where the log goes on ([`Position`]). LMDB itself is never unsynced, so recovery
//! is: open it, read the log from there on, put the rows in. Consequences: each record is flushed before the next one is
//! written, so only the last can be torn, and a torn record was never acknowledged; a record begins at a block of its own,
//! so that no write touches what was acknowledged before.
//!
//! A record never lies across the end of the ring: one that does not fit there lies at the beginning.
//!
//! Who has something else to do while a record is written hands it to a thread ([`Wal::begin`]) and asks for it later
//! ([`Wal::settle`]). The next record is not begun before that: the rule above holds for both ways.

mod sink;
mod writer;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use self::{sink::Sink, writer::Writer};
use super::{
    layer::Whole,
    meter::Meter,
    record::{HEAD_BYTES, Head, Record},
    trouble::Trouble,
};

/// What a record is rounded up to.
pub(super) const BLOCK: u64 = 4096;

/// Where the log goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The number of the next record; the first is 1.
    pub(super) sequence: u64,
    /// Where it lies, unless it does not fit there.
    pub(super) offset: u64,
}

impl Position {
    /// Where a new log begins.
    pub(super) const START: Self = Self { sequence: 1, offset: 0 };

    /// As it stands in `meta`.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    /// From `meta`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Trouble> {
        let (sequence, offset) = bytes.split_first_chunk().ok_or_else(|| Trouble::damaged("place in the log"))?;
        let offset = offset.try_into().map_err(|_| Trouble::damaged("place in the log"))?;
        Ok(Self { sequence: u64::from_be_bytes(*sequence), offset: u64::from_be_bytes(offset) })
    }
}

/// See the module.
pub(super) struct Wal {
    /// To read, and only while nothing is written.
    file: File,
    path: PathBuf,
    sink: Sink,
    /// Started when something is begun for the first time.
    writer: Option<Writer>,
    capacity: u64,
    wal_id: [u8; 16],
    head: Position,
    /// From where on records are still needed.
    tail: Position,
    /// What the last write has put on disk is not known: it has failed, or it is under way.
    uncertain: bool,
    meter: Arc<Meter>,
}

/// A record that was given to the log.
pub(super) struct Logged {
    /// Its rows, to be looked up.
    pub(super) rows: Whole,
    /// Where the log goes on behind it.
    pub(super) end: Position,
    /// The bytes that it takes there.
    pub(super) taken: u64,
}

/// Where a record can go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There.
    At(u64),
    /// Nowhere until older records are not needed any more.
    Later,
    /// Nowhere ever: it is larger than the log.
    Never,
}

/// Makes the file, filled with zeros and durable, if it is not there.
pub(super) fn create(path: &Path, bytes: u64) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let capacity = round_up(bytes.max(BLOCK));
    let unfinished = path.with_extension("new");
    let mut file = File::create(&unfinished)?;
    let zeros = vec![0; 1 << 20];
    let mut left = capacity;
    while left > 0 {
        let now = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(now).expect("at most a MiB")])?;
        left -= now;
    }
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

impl Wal {
    /// Opens the file, and gives each record from a place on to `replay`, in order.
    ///
    /// # Errors
    /// When the file cannot be read, and [`Trouble::Damaged`] when a record is missing before one that is there.
    pub(super) fn open(
        path: &Path,
        wal_id: [u8; 16],
        from: Position,
        replay: impl FnMut(Bytes, Position) -> Result<(), Trouble>,
    ) -> Result<Self, Trouble> {
        let wal = Self::open_moving(path, wal_id, from, replay)?;
        wal.check_that_nothing_follows()?;
        wal.forget_pages()?;
        Ok(wal)
    }

    /// The same of a copy that was made while somebody went on writing: what lies behind the last record is not asked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn open_moving(
        path: &Path,
        wal_id: [u8; 16],
        from: Position,
        mut replay: impl FnMut(Bytes, Position) -> Result<(), Trouble>,
    ) -> Result<Self, Trouble> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Trouble::damaged("write-ahead log: the file is missing"));
            }
            opened => opened?,
        };
        let capacity = file.metadata()?.len() / BLOCK * BLOCK;
        let meter = Arc::<Meter>::default();
        let sink = Sink::open(path, meter.clone())?;
        let (writer, path, uncertain) = (None, path.to_owned(), false);
        let mut wal = Self { file, path, sink, writer, capacity, wal_id, head: from, tail: from, uncertain, meter };
        if from.offset > capacity {
            return Err(Trouble::damaged("write-ahead log: it is shorter than it was"));
        }
        while let Some((offset, record)) = wal.next_record()? {
            let end = Position { sequence: wal.head.sequence + 1, offset: offset + round_up(record.len() as u64) };
            replay(record, end)?;
            wal.head = end;
        }
        Ok(wal)
    }

    /// Takes the file out of the system's cache. What was read or written there in large pieces lies in large pages, and a
    /// commit of one block would have the whole page written again: a megabyte instead of 4 KiB, where it was seen. What
    /// is not in the cache comes back block by block.
    fn forget_pages(&self) -> Result<(), Trouble> {
        self.file.sync_data()?;
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed).map_err(io::Error::from)?;
        Ok(())
    }

    /// Where the log goes on.
    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// How large it is, in bytes.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What is measured of it.
    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Records before this are not needed any more.
    pub(super) fn release(&mut self, tail: Position) {
        self.tail = tail;
    }

    /// Where a record of so many bytes can go.
    pub(super) fn room(&self, length: usize) -> Room {
        let length = round_up(length as u64);
        if length > self.capacity {
            return Room::Never;
        }
        let (head, tail) = (self.head.offset, self.tail.offset);
        if self.head.sequence == self.tail.sequence {
            return Room::At(if head + length <= self.capacity { head } else { 0 });
        }
        // Head and tail never meet while something lies between them: so equal offsets cannot mean two things.
        let is_wrapped = head <= tail;
        match is_wrapped {
            false if head + length <= self.capacity => Room::At(head),
            false if length < tail => Room::At(0),
            true if head + length < tail => Room::At(head),
            _ => Room::Later,
        }
    }

    /// Writes a record where there is room for it. It is durable once this has returned.
    ///
    /// # Errors
    /// When it is not certain that the record is durable. Nothing can be appended after that.
    pub(super) fn append(&mut self, record: Record, offset: u64) -> Result<Logged, Trouble> {
        let logged = self.seal(record, offset)?;
        self.sink.write(logged.rows.bytes(), offset)?;
        self.uncertain = false;
        Ok(logged)
    }

    /// Begins to write a record where there is room for it. It is durable once [`Wal::settle`] has returned.
    ///
    /// # Errors
    /// When an earlier one is not known to be durable.
    pub(super) fn begin(&mut self, record: Record, offset: u64) -> Result<Logged, Trouble> {
        let logged = self.seal(record, offset)?;
        if self.writer.is_none() {
            self.writer = Some(Writer::start(&self.path, self.meter.clone())?);
        }
        let writer = self.writer.as_mut().expect("it was just started");
        writer.begin(logged.rows.bytes().clone(), offset)?;
        Ok(logged)
    }

    /// Whether [`Wal::settle`] has nothing to wait for.
    pub(super) fn is_over(&mut self) -> bool {
        self.writer.as_mut().is_none_or(Writer::is_over)
    }

    /// Waits for the record that was begun.
    ///
    /// # Errors
    /// When it is not certain that the record is durable. Nothing can be appended after that.
    pub(super) fn settle(&mut self) -> Result<(), Trouble> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.settle()?;
        self.uncertain = false;
        Ok(())
    }

    /// Makes a record ready for its place. From here on until it is known to be durable nothing is certain.
    fn seal(&mut self, mut record: Record, offset: u64) -> Result<Logged, Trouble> {
        if self.uncertain {
            return Err(io::Error::other("what an earlier write to the log has done is not known").into());
        }
        self.uncertain = true;
        let taken = record.seal(self.head.sequence, self.wal_id, BLOCK as usize).len() as u64;
        self.head = Position { sequence: self.head.sequence + 1, offset: offset + taken };
        Ok(Logged { rows: record.into_rows(), end: self.head, taken })
    }

    /// The record at the head, which lies there or at the beginning.
    fn next_record(&self) -> Result<Option<(u64, Bytes)>, Trouble> {
        for offset in [self.head.offset, 0] {
            let Some(head) = self.head_at(offset)? else { continue };
            if head.sequence == self.head.sequence
                && let Some(record) = self.record_at(offset, head)?
            {
                return Ok(Some((offset, record)));
            }
        }
        Ok(None)
    }

    /// Whatever lies in the log behind the last record must be older than it: a newer one says that one between them is
    /// damaged, which was acknowledged.
    fn check_that_nothing_follows(&self) -> Result<(), Trouble> {
        let mut offset = 0;
        while offset < self.capacity {
            let newer = self.head_at(offset)?.filter(|head| head.sequence > self.head.sequence);
            if let Some(head) = newer
                && self.record_at(offset, head)?.is_some()
            {
                return Err(Trouble::damaged("record of the write-ahead log"));
            }
            offset += BLOCK;
        }
        Ok(())
    }

    fn head_at(&self, offset: u64) -> Result<Option<Head>, Trouble> {
        if offset + BLOCK > self.capacity {
            return Ok(None);
        }
        let mut bytes = [0; HEAD_BYTES];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(Head::parse(&bytes).filter(|head| head.wal_id == self.wal_id))
    }

    fn record_at(&self, offset: u64, head: Head) -> Result<Option<Bytes>, Trouble> {
        if offset + head.length as u64 > self.capacity {
            return Ok(None);
        }
        let mut bytes = vec![0; head.length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(head.is_whole(&bytes).then(|| bytes.into()))
    }
}

fn round_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests;
