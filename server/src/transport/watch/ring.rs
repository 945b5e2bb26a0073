//! The recent events, each encoded once, for all watchers together. A cache over the log of the store and nothing more: what
//! is no longer in here is read from there, so it may be cleared at any time and nothing is lost.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use semel_core::{
    event::Record,
    id::{Revision, RunId},
    run::Run,
};

use crate::transport::convert::event::{self, Told};

/// Records in the ring: some seconds of a busy server.
pub(crate) const RECORDS_MAX: usize = 1 << 16;
/// Bytes of their events, about; each of them weighs some hundred bytes more.
const BYTES_MAX: usize = 32 << 20;
/// The key of `WatchEvents.events`, field 1 with a length.
const EVENTS_KEY: u8 = 0x0a;

/// A record as watchers are told of it. Shared by all of them.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) revision: Revision,
    pub(crate) events: Vec<Encoded>,
}

/// One event: what filters must know of it, and the bytes that stand for it in a `WatchEvents`.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Without its message, which is in `bytes`.
    pub(crate) told: Told,
    pub(crate) bytes: Bytes,
}

impl Entry {
    /// Encodes what is told of a record.
    pub(crate) fn of(record: &Record, recall: impl Fn(RunId) -> Option<Run>) -> Self {
        let events = event::told(record, recall).into_iter().map(Encoded::of).collect();
        Self { revision: record.revision, events }
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.bytes.len()).sum()
    }
}

impl Encoded {
    fn of(mut told: Told) -> Self {
        let event = std::mem::take(&mut told.event);
        let length = event.encoded_len();
        let mut bytes = Vec::with_capacity(length + 6);
        bytes.push(EVENTS_KEY);
        prost::encoding::encode_varint(length as u64, &mut bytes);
        event.encode_raw(&mut bytes);
        Self { told, bytes: bytes.into() }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    records_max: usize,
    /// Everything up to here was published, be it here still or not.
    end: Revision,
}

impl Ring {
    /// An empty one, behind this position.
    pub(crate) fn new(end: Revision, records_max: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, records_max, end }
    }

    /// Everything up to here was published.
    pub(crate) fn end(&self) -> Revision {
        self.end
    }

    /// The first position that can be read here; the one behind the end if there is none.
    pub(crate) fn begin(&self) -> Revision {
        self.entries.front().map_or_else(|| self.end.next(), |entry| entry.revision)
    }

    /// Takes the next record in. One that does not follow on the last leaves a gap that only the store can fill.
    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        if entry.revision != self.end.next() {
            self.pass(self.end);
        }
        self.end = entry.revision;
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.entries.len() > self.records_max || self.bytes > BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    /// Everything up to here lies in the store, and only there.
    pub(crate) fn pass(&mut self, end: Revision) {
        self.entries.clear();
        self.bytes = 0;
        self.end = self.end.max(end);
    }

    /// The records from here on, if they are here.
    pub(crate) fn from(&self, from: Revision) -> impl Iterator<Item = &Arc<Entry>> {
        let skipped = from.0.saturating_sub(self.begin().0);
        self.entries.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: u64) -> Arc<Entry> {
        Arc::new(Entry { revision: Revision(revision), events: Vec::new() })
    }

    fn revisions(ring: &Ring, from: u64) -> Vec<u64> {
        ring.from(Revision(from)).map(|entry| entry.revision.0).collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_rest_can_be_read_from_anywhere() {
        let mut ring = Ring::new(Revision(4), 3);
        assert_eq!((ring.begin(), ring.end()), (Revision(5), Revision(4)));
        (5..10).for_each(|revision| ring.push(entry(revision)));
        assert_eq!((ring.begin(), ring.end()), (Revision(7), Revision(9)));
        assert_eq!(revisions(&ring, 7), [7, 8, 9]);
        assert_eq!(revisions(&ring, 9), [9]);
        assert!(revisions(&ring, 10).is_empty() && revisions(&ring, u64::MAX).is_empty());
    }

    #[test]
    fn a_gap_empties_the_ring() {
        let mut ring = Ring::new(Revision(0), 10);
        ring.push(entry(1));
        ring.push(entry(3));
        assert_eq!((ring.begin(), ring.end()), (Revision(3), Revision(3)));
        ring.pass(Revision(7));
        assert_eq!((ring.begin(), ring.end()), (Revision(8), Revision(7)));
        ring.push(entry(8));
        assert_eq!(revisions(&ring, 8), [8]);
    }
}
