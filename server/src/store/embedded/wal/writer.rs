//! The thread that writes to the log what the engine has decided, while the engine decides what comes next. It knows bytes
//! and places; one write at a time.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use bytes::Bytes;

use super::sink::Sink;
use crate::store::embedded::meter::Meter;

/// See the module. Ends when it is dropped, behind the write that is under way.
pub(super) struct Writer {
    jobs: Option<SyncSender<(Bytes, u64)>>,
    outcomes: Receiver<io::Result<()>>,
    /// What came of a write and was not asked for yet.
    outcome: Option<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it for a file of whole blocks that is there already.
    pub(super) fn start(path: &Path, meter: Arc<Meter>) -> io::Result<Self> {
        let mut sink = Sink::open(path, meter)?;
        let (jobs, taken) = sync_channel::<(Bytes, u64)>(1);
        let (done, outcomes) = sync_channel(1);
        let body = move || {
            while let Ok((bytes, offset)) = taken.recv() {
                if done.send(sink.write(&bytes, offset)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("semel-log".to_owned()).spawn(body)?;
        Ok(Self { jobs: Some(jobs), outcomes, outcome: None, thread: Some(thread) })
    }

    /// Begins to write whole blocks to a place that begins a block. The write before must be settled.
    pub(super) fn begin(&mut self, bytes: Bytes, offset: u64) -> io::Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send((bytes, offset)).map_err(|_| gone())
    }

    /// Whether the write that was begun is over, however it went.
    pub(super) fn is_over(&mut self) -> bool {
        if self.outcome.is_none() {
            self.outcome = match self.outcomes.try_recv() {
                Ok(outcome) => Some(outcome),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Err(gone())),
            };
        }
        self.outcome.is_some()
    }

    /// Waits for the write that was begun. What it wrote is durable if it went well.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.outcome.take().unwrap_or_else(|| self.outcomes.recv().unwrap_or_else(|_| Err(gone())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has nobody to tell: whoever drops it with a write under way has nothing acknowledged.
            let _ = thread.join();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that writes the log is gone")
}
