//! Watching: from what is committed to the streams of those who watch.
//!
//! ```text
//! engine ─▶ feed ─▶ hub: encodes once ─▶ ring ◀─ cursor ◀─ stream ─▶ caller
//!                     └─▶ slots: a mark and a waker each ──▶ ┘ │
//!                                    store ◀── a page at a time ┘  when the cursor is behind the ring
//! ```
//!
//! What bounds it: the ring (records and bytes), the watchers (of the server and of an app), what one turn of one watcher
//! looks at, the reads from the store at a time. A watcher has no queue: one that does not read costs its few kilobytes,
//! nothing grows by it, and when it reads again it goes on where it was.

mod cursor;
mod filter;
mod frame;
mod hub;
mod request;
mod ring;
mod slots;
mod snapshot;
mod stream;
#[cfg(test)]
mod tests;
mod token;

pub(super) use self::{
    frame::{Frame, WatchCodec},
    hub::{Hub, Seat},
    request::{Start, Wish},
    slots::{Full, WATCHERS_PER_APP_MAX},
    stream::{Opening, Watch, compacted, forbidden},
    token::Scope,
};
