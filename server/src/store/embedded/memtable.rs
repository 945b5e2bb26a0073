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
    /// The oldest first.
    closed: Vec<Arc<Layer>>,
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

/// What is to be flushed.
pub(super) struct Work {
    /// The oldest first.
    pub(super) layers: Vec<Arc<Layer>>,
    /// Where the log goes on behind them.
    pub(super) end: Position,
    held: u64,
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
        } else {
            inner.close_layer();
            inner.push(rows.into());
        }
        inner.end = end;
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
        inner.closed.iter().rev().cloned().collect()
    }

    /// The closed layers only, the newest first, and how many there ever were: for the writer, which asks
    /// [`Memtable::newest`] for the rest.
    pub(super) fn closed_layers(&self) -> (Vec<Arc<Layer>>, u64) {
        let inner = self.lock();
        (inner.closed.iter().rev().cloned().collect(), inner.closed_count)
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
        layers.filter_map(|layer| layer.get(table, key)).next().map(|found| found.map(Bytes::copy_from_slice))
    }

    /// Up to where everything is in LMDB.
    ///
    /// # Errors
    /// When a flush has failed. Nothing is lost by that, but nothing must be added any more.
    pub(super) fn flushed(&self) -> Result<Position, Error> {
        self.lock().result()
    }

    /// Has everything flushed that is in here, and waits for it.
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
            self.push(Arc::new(Layer::Gathered(rows)));
        }
    }

    fn push(&mut self, layer: Arc<Layer>) {
        self.closed.push(layer);
        self.closed_count += 1;
    }

    fn take_work(&mut self) -> Work {
        self.close_layer();
        self.pressed = false;
        Work { layers: self.closed.clone(), end: self.end, held: self.held }
    }

    fn result(&self) -> Result<Position, Error> {
        self.failure.as_ref().map_or(Ok(self.flushed), |failure| Err(failure.again()))
    }
}
