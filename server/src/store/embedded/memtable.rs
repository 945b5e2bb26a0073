//! The rows that are durable in the write-ahead log and not in LMDB yet. One writer, many readers.
//!
//! Small commits gather in one layer; a reader closes that layer before it looks, so that what it sees never changes under
//! it, and the next commit begins a new one. A large commit is a layer of its own. Layers are flushed from the oldest on.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::{
    layer::{Gathered, Layer, Whole},
    tables::Table,
    wal::Position,
};
use crate::store::Error;

/// Commits with more rows than this are not copied into the open layer.
const SMALL_ROWS: usize = 256;
/// With so many closed layers readers would look in too many places: they are flushed.
const LAYERS_MAX: usize = 16;
/// After so long without a commit what is left is flushed.
const IDLE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Memtable {
    inner: Mutex<Inner>,
    /// The flusher waits here for work, the writer for room.
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    open: Gathered,
    /// Bytes of the log that are held by the open layer.
    open_held: u64,
    /// The oldest first.
    closed: Vec<Closed>,
    /// How many layers were ever closed.
    closed_count: u64,
    /// Where the log goes on behind the last commit in here.
    end: Position,
    /// Bytes of the log that are held by what is in here.
    held: u64,
    /// From how many such bytes on there is a flush.
    flush_at: u64,
    /// Up to where everything is in LMDB.
    flushed: Position,
    commits: u64,
    pressed: bool,
    closing: bool,
    failure: Option<Error>,
}

/// A layer to which nothing is added any more.
struct Closed {
    layer: Arc<Layer>,
    /// Where the log goes on behind it.
    end: Position,
    /// Bytes of the log that it holds.
    held: u64,
}

/// What is to be flushed.
pub(super) struct Work {
    /// The oldest first.
    pub(super) layers: Vec<Arc<Layer>>,
    /// Where the log goes on behind them.
    pub(super) end: Position,
    held: u64,
}

/// How much is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) commits: u64,
    /// Of the log.
    pub(super) bytes: u64,
}

impl Memtable {
    /// An empty one, beside a log that goes on at this place and is flushed whenever it holds so many bytes.
    pub(super) fn new(start: Position, flush_at: u64) -> Self {
        let inner = Inner { end: start, flushed: start, flush_at, ..Inner::default() };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// Takes a commit in that is durable, with the place where the log goes on and the bytes that it takes there.
    pub(super) fn insert(&self, rows: Whole, end: Position, held: u64) {
        let mut inner = self.lock();
        if rows.rows() <= SMALL_ROWS {
            inner.open.absorb(&rows);
            inner.open_held += held;
            inner.end = end;
        } else {
            inner.close_layer();
            inner.end = end;
            inner.push(rows.into(), held);
        }
        inner.held += held;
        inner.commits += 1;
        if inner.is_due() {
            self.changed.notify_all();
        }
    }

    /// All that is in here, the newest first; it will not change any more.
    pub(super) fn layers(&self) -> Vec<Arc<Layer>> {
        let mut inner = self.lock();
        inner.close_layer();
        inner.layers()
    }

    /// The closed layers only, the newest first, and how many there ever were: for the writer, which asks
    /// [`Memtable::newest`] for the rest.
    pub(super) fn closed_layers(&self) -> (Vec<Arc<Layer>>, u64) {
        let inner = self.lock();
        (inner.layers(), inner.closed_count)
    }

    /// What a row has become by what was not closed yet when so many layers were; none if nothing is known of it there.
    /// A reader may have closed it since.
    pub(super) fn newest(&self, table: Table, key: &[u8], closed_count: u64) -> Option<Option<Bytes>> {
        let inner = self.lock();
        if let Some(found) = inner.open.newest(table, key) {
            return Some(found);
        }
        let since = usize::try_from(inner.closed_count - closed_count).unwrap_or(usize::MAX);
        let layers = inner.closed.iter().rev().take(since);
        layers.filter_map(|closed| closed.layer.get(table, key)).next().map(|found| found.map(Bytes::copy_from_slice))
    }

    /// What is in here and not in LMDB: how many commits, and how many bytes of the log they hold.
    pub(super) fn held(&self) -> Held {
        let inner = self.lock();
        Held { commits: inner.end.sequence.saturating_sub(inner.flushed.sequence), bytes: inner.held }
    }

    /// Up to where everything is in LMDB.
    ///
    /// # Errors
    /// When a flush has failed. Nothing is lost by that, but nothing must be added any more.
    pub(super) fn flushed(&self) -> Result<Position, Error> {
        self.lock().result()
    }

    /// Has something flushed of what is in here, and waits for it.
    ///
    /// # Errors
    /// As [`Memtable::flushed`].
    pub(super) fn press(&self) -> Result<Position, Error> {
        let mut inner = self.lock();
        let before = inner.flushed;
        while inner.failure.is_none() && inner.flushed == before && !inner.is_empty() {
            inner.pressed = true;
            self.changed.notify_all();
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.result()
    }

    /// Asks for a last flush, after which [`Memtable::next_work`] ends.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to flush. None when that was all.
    pub(super) fn next_work(&self) -> Option<Work> {
        let mut inner = self.lock();
        loop {
            if inner.failure.is_some() || (inner.closing && inner.is_empty()) {
                return None;
            }
            if inner.is_due() || (inner.closing && !inner.is_empty()) {
                return Some(inner.take_work());
            }
            let commits = inner.commits;
            let (woken, timeout) = self.changed.wait_timeout(inner, IDLE).unwrap_or_else(PoisonError::into_inner);
            inner = woken;
            if timeout.timed_out() && inner.commits == commits && !inner.is_empty() {
                return Some(inner.take_work());
            }
        }
    }

    /// Says what came of a flush.
    pub(super) fn done(&self, work: &Work, outcome: Result<(), Error>) {
        let mut inner = self.lock();
        match outcome {
            Ok(()) => {
                inner.closed.drain(..work.layers.len());
                inner.held -= work.held;
                inner.flushed = work.end;
            }
            Err(error) => inner.failure = Some(error),
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.open.is_empty() && self.closed.is_empty()
    }

    fn is_due(&self) -> bool {
        let is_much = self.held >= self.flush_at || self.closed.len() >= LAYERS_MAX;
        !self.is_empty() && (is_much || self.pressed)
    }

    fn close_layer(&mut self) {
        if !self.open.is_empty() {
            let rows = std::mem::take(&mut self.open);
            let held = std::mem::take(&mut self.open_held);
            self.push(Arc::new(Layer::Gathered(rows)), held);
        }
    }

    fn push(&mut self, layer: Arc<Layer>, held: u64) {
        self.closed.push(Closed { layer, end: self.end, held });
        self.closed_count += 1;
    }

    /// The closed layers, the newest first.
    fn layers(&self) -> Vec<Arc<Layer>> {
        self.closed.iter().rev().map(|closed| closed.layer.clone()).collect()
    }

    /// The oldest layers, up to so much as a flush is due for: where commits come faster than they are flushed, the log is
    /// freed in pieces, and a commit that has to wait for room waits for one of them only.
    fn take_work(&mut self) -> Work {
        self.close_layer();
        self.pressed = false;
        let mut work = Work { layers: Vec::new(), end: self.flushed, held: 0 };
        for closed in &self.closed {
            if work.held >= self.flush_at {
                break;
            }
            work.layers.push(closed.layer.clone());
            work.end = closed.end;
            work.held += closed.held;
        }
        work
    }

    fn result(&self) -> Result<Position, Error> {
        self.failure.as_ref().map_or(Ok(self.flushed), |failure| Err(failure.again()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::record::Record;

    /// A commit that is too large for the open layer.
    fn large() -> Whole {
        let mut record = Record::with_capacity(0);
        (0..=SMALL_ROWS as u64).for_each(|row| record.put_bytes(Table::Runs, &row.to_be_bytes(), b"run"));
        record.into_rows()
    }

    fn behind(sequence: u64) -> Position {
        Position { sequence, offset: 0 }
    }

    #[test]
    fn what_has_piled_up_is_flushed_in_pieces_and_the_log_is_free_behind_each() {
        let memtable = Memtable::new(Position::START, 100);
        for sequence in 2..=6 {
            memtable.insert(large(), behind(sequence), 60);
        }
        assert_eq!(memtable.held(), Held { commits: 5, bytes: 300 });
        for (layers, end) in [(2, behind(3)), (2, behind(5))] {
            let work = memtable.next_work().expect("there is much");
            assert_eq!((work.layers.len(), work.end), (layers, end));
            memtable.done(&work, Ok(()));
            assert_eq!(memtable.flushed().ok(), Some(end));
        }
        memtable.close();
        let last = memtable.next_work().expect("what is left is flushed at the end");
        assert_eq!((last.layers.len(), last.end), (1, behind(6)));
        memtable.done(&last, Ok(()));
        assert_eq!(memtable.held(), Held { commits: 0, bytes: 0 });
        assert!(memtable.next_work().is_none());
    }
}
