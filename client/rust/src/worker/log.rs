//! The log of an attempt between its processor and the stream: bounded, batched, in order. It sends nothing itself.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use semel_proto::v1::LogStream;
use tokio::sync::Semaphore;

/// A chunk is sent when it has grown to this, or when it is 200 ms old: half of what a server takes at most.
pub(crate) const CHUNK_BYTES: usize = 32 * 1024;
/// How much of an attempt's log may wait for its acknowledgement; then the writer waits too.
const ROOM: usize = 256 * 1024;
/// What a write costs beside its bytes, so that many tiny chunks are bounded as well.
const WRITE_COST: usize = 64;

/// What a write asks of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Nothing: it knows already.
    No,
    /// To come for the log before long.
    Soon,
    /// To come for the log now.
    Now,
}

/// A piece of a log, ready to be sent.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) stream: LogStream,
    pub(crate) data: Bytes,
    cost: usize,
}

/// The log of one attempt.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    room: Semaphore,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    full: VecDeque<Chunk>,
    last: Option<(LogStream, BytesMut, usize)>,
    gathered: usize,
    woken: bool,
    hurried: bool,
}

impl LogBuffer {
    pub(crate) fn new() -> Self {
        Self { room: Semaphore::new(ROOM), open: Mutex::default() }
    }

    /// Waits until there is room for `bytes` more. False if the log is of no use any more.
    pub(crate) async fn reserve(&self, bytes: usize) -> bool {
        let cost = u32::try_from(bytes + WRITE_COST).unwrap_or(u32::MAX);
        match self.room.acquire_many(cost).await {
            Ok(room) => {
                // The room is given back when the chunk is acknowledged.
                room.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Adds what room was reserved for: at most a chunk at a time.
    pub(crate) fn write(&self, stream: LogStream, data: &[u8]) -> Wake {
        let mut open = self.open();
        let fits = |(last, bytes, _): &(LogStream, BytesMut, usize)| {
            *last == stream && bytes.len() + data.len() <= CHUNK_BYTES
        };
        if !open.last.as_ref().is_some_and(fits) {
            open.close_last();
        }
        let (_, bytes, cost) = open.last.get_or_insert_with(|| (stream, BytesMut::new(), 0));
        bytes.extend_from_slice(data);
        *cost += data.len() + WRITE_COST;
        open.gathered += data.len();
        let hurry = open.gathered >= CHUNK_BYTES;
        let wake = match (hurry, open.woken, open.hurried) {
            (true, _, false) => Wake::Now,
            (false, false, _) => Wake::Soon,
            _ => Wake::No,
        };
        open.woken = true;
        open.hurried |= hurry;
        wake
    }

    /// Takes all there is.
    pub(crate) fn take(&self) -> VecDeque<Chunk> {
        let mut open = self.open();
        open.close_last();
        open.gathered = 0;
        open.woken = false;
        open.hurried = false;
        std::mem::take(&mut open.full)
    }

    /// Gives back the room of a chunk that is dealt with.
    pub(crate) fn release(&self, chunk: &Chunk) {
        self.room.add_permits(chunk.cost);
    }

    /// From now on what is written is lost: nobody would take it. Writers that wait for room go on.
    pub(crate) fn close(&self) {
        self.room.close();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn close_last(&mut self) {
        if let Some((stream, bytes, cost)) = self.last.take() {
            self.full.push_back(Chunk { stream, data: bytes.freeze(), cost });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_writes_become_one_chunk_and_another_stream_begins_a_new_one() {
        let log = LogBuffer::new();
        assert!(log.reserve(3).await);
        assert_eq!(log.write(LogStream::Stdout, b"one"), Wake::Soon);
        assert_eq!(log.write(LogStream::Stdout, b"two"), Wake::No);
        assert_eq!(log.write(LogStream::Stderr, b"bad"), Wake::No);
        let chunks: Vec<_> = log.take().into_iter().map(|chunk| (chunk.stream, chunk.data)).collect();
        let expected: Vec<(LogStream, Bytes)> =
            vec![(LogStream::Stdout, "onetwo".into()), (LogStream::Stderr, "bad".into())];
        assert_eq!(chunks, expected);
        assert!(log.take().is_empty());
        assert_eq!(log.write(LogStream::Stdout, b"again"), Wake::Soon);
    }

    #[tokio::test]
    async fn a_full_chunk_is_sent_at_once() {
        let log = LogBuffer::new();
        assert_eq!(log.write(LogStream::Stdout, &vec![0; CHUNK_BYTES]), Wake::Now);
        assert_eq!(log.write(LogStream::Stdout, b"more"), Wake::No);
        assert_eq!(log.take().len(), 2);
    }

    #[tokio::test]
    async fn a_writer_waits_for_room_and_goes_on_when_the_log_is_closed() {
        let log = std::sync::Arc::new(LogBuffer::new());
        let mut written = 0;
        while log.room.available_permits() >= CHUNK_BYTES + WRITE_COST {
            assert!(log.reserve(CHUNK_BYTES).await);
            log.write(LogStream::Stdout, &vec![0; CHUNK_BYTES]);
            written += 1;
        }
        let writer = tokio::spawn({
            let log = log.clone();
            async move { log.reserve(CHUNK_BYTES).await }
        });
        tokio::task::yield_now().await;
        assert!(!writer.is_finished(), "it should wait after {written} chunks");
        let chunks = log.take();
        log.release(&chunks[0]);
        assert!(writer.await.expect("it does not panic"), "it has room now");
        let writer = tokio::spawn({
            let log = log.clone();
            async move { log.reserve(CHUNK_BYTES).await }
        });
        tokio::task::yield_now().await;
        log.close();
        assert!(!writer.await.expect("it does not panic"), "nobody takes the log any more");
    }
}
