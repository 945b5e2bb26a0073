//! What a watch tells a program.

use semel_proto::v1::{Event, Job, Run, Worker};

use super::token::{Position, ResumeToken};
use crate::error::Error;

/// One thing that a watch tells, and where to go on behind it.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it tells.
    pub told: Told,
    pub(super) position: Position,
}

/// What a watch tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Told {
    /// The stream is open: for the first time, or again after [`Told::Lost`].
    Opened {
        /// The revision after which the events begin.
        revision: i64,
        /// The oldest revision that the server keeps.
        oldest_revision: i64,
    },
    /// A snapshot begins: rows follow, then [`Told::SnapshotEnd`]. Whatever an earlier snapshot told is void, for it was
    /// not whole or is of before a gap. What changes while the rows are read is not among them: its events tell of it,
    /// so the first word of a run may be an event that leads from a state which nobody told.
    SnapshotBegin(SnapshotCause),
    /// A run, as the snapshot has it.
    Run(Box<Run>),
    /// A job, as the snapshot has it.
    Job(Box<Job>),
    /// A worker, as the snapshot has it.
    Worker(Box<Worker>),
    /// The snapshot is whole; the events that follow are those after this revision.
    SnapshotEnd {
        /// The revision.
        revision: i64,
    },
    /// Something happened. Its kind and its subject may be of a later version than this client.
    Event(Box<Event>),
    /// Nothing else happened up to here.
    Progress {
        /// Up to this revision everything was told.
        revision: i64,
    },
    /// The credentials end soon, and this client cannot renew them: the watch will end with `CREDENTIALS_EXPIRED`. Where
    /// it can, they are renewed without a word.
    CredentialsExpiring {
        /// When they end.
        expire_time: Option<prost_types::Timestamp>,
    },
    /// The stream was lost, for this reason. It is made again by itself and goes on without a gap; nothing has to be
    /// done.
    Lost(Error),
}

/// Why a snapshot is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotCause {
    /// It was asked for.
    Asked,
    /// The one before broke off.
    BrokenOff,
    /// Events that come next are no longer kept; see
    /// [`WatchOptions::bridge_gaps`](super::WatchOptions::bridge_gaps).
    Gap {
        /// The oldest revision that is kept, where that is the reason; nothing where the log is another one.
        oldest_revision: Option<i64>,
    },
}

impl Item {
    /// Where to go on behind this item, also after a restart of the program; see
    /// [`WatchOptions::resume`](super::WatchOptions::resume). Nothing before the end of a snapshot: a snapshot is
    /// begun again.
    pub fn resume_token(&self) -> Option<ResumeToken> {
        self.position.token()
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&Event> {
        match &self.told {
            Told::Event(event) => Some(event),
            _ => None,
        }
    }
}
