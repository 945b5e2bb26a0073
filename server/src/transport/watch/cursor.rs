//! Where a watcher is, and what comes next for it. Synchronous and without a clock: the stream around it only waits and
//! sends, and a test can drive it step by step.
//!
//! The position is the last revision that was told or passed over. It moves by whole records only, and never back: so
//! events are in order, none comes twice, none is left out, and a token for the position resumes exactly behind it.

use std::sync::Arc;

use bytes::Bytes;
use semel_core::{id::Revision, policy::Principal};

use super::{filter::Filter, hub::Shared, ring::Entry, slots::Slot};
use crate::store::{Error, Reader};

/// Events of one message; more only where one revision has more.
pub(crate) const EVENTS_MAX: usize = 64;
/// Bytes of one message, about: clients take 4 MiB by default. A revision with more goes in several.
const MESSAGE_BYTES_MAX: usize = if cfg!(test) { 2 << 10 } else { 1 << 20 };
/// Records that one turn looks at: a watcher that lets little through must not hold the others up.
const SCAN_MAX: usize = 2048;
/// Records of one page from the store.
const PAGE_MAX: usize = 512;

/// Events that go out in one message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Each as it stands in a `WatchEvents`.
    pub(crate) events: Vec<Bytes>,
    /// The last revision goes on in the next message.
    pub(crate) more: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Say this.
    Tell(Batch),
    /// Something was passed over; look again, after others had their turn.
    Again,
    /// Read [`Cursor::page`] from the store, and give it to [`Cursor::take_page`].
    Read,
    /// There is nothing just now.
    Idle,
}

/// A page of the log as the store gives it.
#[derive(Debug)]
pub(crate) enum Page {
    /// The records that follow on the position; none if there are none yet.
    Entries(Vec<Arc<Entry>>),
    /// What follows was forgotten: this is the oldest that is kept.
    Compacted(Revision),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cursor {
    filter: Arc<Filter>,
    slot: Arc<Slot>,
    position: Revision,
    /// What is left of a record that is larger than a message.
    rest: Vec<Bytes>,
    /// The record that the rest is of: the position once it is told.
    rest_of: Revision,
}

impl Cursor {
    /// Behind this position. The slot is in the hub already.
    pub(crate) fn new(filter: Arc<Filter>, slot: Arc<Slot>, position: Revision) -> Self {
        // Nothing is known yet of what lies between the position and what is published from now on.
        slot.mark(position.next());
        Self { filter, slot, position, rest: Vec::new(), rest_of: position }
    }

    /// Everything up to here was told, or is none of the watcher's.
    pub(crate) fn position(&self) -> Revision {
        self.position
    }

    /// Takes the next step.
    pub(crate) fn turn(&mut self, shared: &Shared, principal: &Principal) -> Turn {
        if !self.rest.is_empty() {
            return Turn::Tell(self.tell_rest());
        }
        // First up to where marks are set, then the mark: what lies before both holds nothing for this watcher.
        let marked = shared.marked();
        let Some(mark) = self.slot.take_mark() else {
            self.position = self.position.max(marked);
            return Turn::Idle;
        };
        self.position = self.position.max(marked.min(Revision(mark.0.saturating_sub(1))));
        let ring = shared.ring();
        if self.position.next() < ring.begin() {
            self.slot.mark(self.position.next());
            return Turn::Read;
        }
        if self.position >= ring.end() {
            return Turn::Idle;
        }
        let entries = ring.from(self.position.next());
        let (batch, looked) = self.scan(entries.take(SCAN_MAX), principal);
        let is_all = self.position >= ring.end();
        drop(ring);
        self.after(batch, looked, is_all)
    }

    /// Reads what follows on a position from the store. Blocks: not for a thread that others wait for.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn page(reader: &dyn Reader, position: Revision) -> Result<Page, Error> {
        let from = position.next();
        let records = reader.records(from, PAGE_MAX)?;
        if records.first().is_none_or(|record| record.revision != from) {
            let oldest = reader.oldest_revision()?;
            if oldest > from {
                return Ok(Page::Compacted(oldest));
            }
        }
        // A run that cannot be read is as good as none: the record itself was read.
        let recall = |run_id| reader.run(run_id).ok().flatten();
        Ok(Page::Entries(records.iter().map(|record| Arc::new(Entry::of(record, recall))).collect()))
    }

    /// Goes through a page that follows on the position.
    pub(crate) fn take_page(&mut self, entries: &[Arc<Entry>], principal: &Principal) -> Turn {
        let (batch, looked) = self.scan(entries.iter(), principal);
        // Whether there is more behind the page, the next look at the ring tells.
        self.after(batch, looked, entries.is_empty())
    }

    fn after(&mut self, batch: Batch, looked: usize, is_all: bool) -> Turn {
        if !is_all && self.rest.is_empty() {
            self.slot.mark(self.position.next());
        }
        match (batch.events.is_empty(), looked) {
            (false, _) => Turn::Tell(batch),
            (true, 0) => Turn::Idle,
            (true, _) => Turn::Again,
        }
    }

    /// Collects what is let through of these records, up to a message full, and moves the position behind what was looked
    /// at.
    fn scan<'e>(&mut self, entries: impl Iterator<Item = &'e Arc<Entry>>, principal: &Principal) -> (Batch, usize) {
        let mut batch = Batch::default();
        let (mut bytes, mut looked) = (0, 0);
        for entry in entries {
            let events = entry.events.iter().filter(|event| self.filter.lets_through(&event.told, principal));
            let mut events: Vec<Bytes> = events.map(|event| event.bytes.clone()).collect();
            let added: usize = events.iter().map(Bytes::len).sum();
            let is_first = batch.events.is_empty();
            if !is_first && (batch.events.len() + events.len() > EVENTS_MAX || bytes + added > MESSAGE_BYTES_MAX) {
                break;
            }
            looked += 1;
            if bytes + added > MESSAGE_BYTES_MAX {
                events.reverse();
                (self.rest, self.rest_of) = (events, entry.revision);
                return (self.tell_rest(), looked);
            }
            bytes += added;
            batch.events.append(&mut events);
            self.position = entry.revision;
        }
        (batch, looked)
    }

    /// A message full of what is left of a record. The position stays before it until all of it is told.
    fn tell_rest(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while let Some(next) = self.rest.last() {
            bytes += next.len();
            if bytes > MESSAGE_BYTES_MAX && !batch.events.is_empty() {
                batch.more = true;
                return batch;
            }
            batch.events.extend(self.rest.pop());
        }
        self.position = self.rest_of;
        self.slot.mark(self.position.next());
        batch
    }
}
