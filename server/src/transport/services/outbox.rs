//! What is said to a worker until it reads it, and what all workers together have been handed and have not read.
//!
//! One worker has a few messages waiting, and of large inputs one; but there may be very many workers, so the bytes of what they are
//! handed are counted. Where they are too many, the next one waits, for most workers read within milliseconds; but what has lain
//! unread for seconds gives way, so that a worker that does not read holds up no other. When that one reads on, its stream ends at
//! this place, and what it was assigned is sent to it again, or goes to another once its lease has run out.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use semel_proto::v1::WorkResponse;
use tokio::{sync::mpsc, time};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;

use crate::{
    clock::Stopwatch,
    transport::{asker::Asker, status::Refusal},
};

/// Messages to a worker that wait for it to read. When it reads nothing, nothing of what it says is heard either, and
/// its leases run out: a worker that cannot receive never looks healthy.
const MESSAGES_MAX: usize = 64;
/// What an assignment has beside its input, in bytes.
const ASSIGNMENT_BYTES: usize = 1 << 10;
/// How long an assignment may lie unread while others wait for its room.
const LAIN_MAX: Duration = Duration::from_secs(5);
/// How often those look whether there is room.
const LOOK: Duration = Duration::from_millis(10);
/// So many places in line are not looked through for those that were read.
const LINE_MIN: usize = 64;

/// Why a stream ends at an assignment that gave way.
const GAVE_WAY: &str = "what this worker was handed lay unread until others needed the room; it is sent again when the worker \
                        connects again";

/// What is said to one worker.
pub(super) struct Outbox {
    messages: mpsc::Sender<Said>,
    shelf: Arc<Shelf>,
}

/// One thing that is said.
pub(super) enum Said {
    /// A message, or the end.
    Plain(Box<Result<WorkResponse, Status>>),
    /// An assignment.
    Handed(Arc<Parcel>),
}

/// The worker has gone.
pub(super) struct Gone;

impl Outbox {
    /// One for a worker, and the answers of its stream.
    pub(super) fn open(
        shelf: Arc<Shelf>,
        asker: Asker,
    ) -> (Self, impl Stream<Item = Result<WorkResponse, Status>> + Send) {
        let (messages, outgoing) = mpsc::channel(MESSAGES_MAX);
        let read = move |said| match said {
            Said::Plain(message) => *message,
            Said::Handed(parcel) => parcel.read().ok_or_else(|| asker.refuse(Refusal::crowded(GAVE_WAY), "")),
        };
        (Self { messages, shelf }, ReceiverStream::new(outgoing).map(read))
    }

    /// Says something, once there is room for it.
    pub(super) async fn say(&self, message: Result<WorkResponse, Status>) -> Result<(), Gone> {
        self.messages.send(Said::Plain(Box::new(message))).await.map_err(|_| Gone)
    }

    /// Hands an assignment out, with an input of so many bytes. False if there is no room for it now, and then nothing is said.
    pub(super) async fn hand(&self, message: WorkResponse, input_bytes: usize) -> Result<bool, Gone> {
        let place = self.messages.reserve().await.map_err(|_| Gone)?;
        let parcel = self.shelf.put(message, ASSIGNMENT_BYTES + input_bytes);
        Ok(parcel.map(|parcel| place.send(Said::Handed(parcel))).is_some())
    }

    /// Waits until there is room for an assignment with such an input; another may be faster.
    pub(super) async fn until_room(&self, input_bytes: usize) -> Result<(), Gone> {
        while !self.shelf.has_room(ASSIGNMENT_BYTES + input_bytes) {
            if self.messages.is_closed() {
                return Err(Gone);
            }
            time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Whether the worker has read all that was said to it.
    pub(super) fn is_read(&self) -> bool {
        self.messages.capacity() == MESSAGES_MAX
    }

    /// Waits until the worker has read all that was said to it.
    pub(super) async fn until_read(&self) -> Result<(), Gone> {
        self.messages.reserve_many(MESSAGES_MAX).await.map(drop).map_err(|_| Gone)
    }
}

/// What all workers have been handed and have not read.
pub(super) struct Shelf {
    max: usize,
    lain_max: Duration,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// Of all that is unread.
    bytes: usize,
    /// In the order in which they were handed out; some of them were read.
    parcels: VecDeque<Weak<Parcel>>,
    /// When it is so long, those that were read are taken out.
    clear_at: usize,
}

/// An assignment until it is read.
pub(super) struct Parcel {
    bytes: usize,
    since: Stopwatch,
    /// Absent once it was read, or has given way.
    message: Mutex<Option<WorkResponse>>,
    shelf: Arc<Shelf>,
}

impl Shelf {
    /// With room for so many bytes.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Self::with(max, LAIN_MAX)
    }

    fn with(max: usize, lain_max: Duration) -> Arc<Self> {
        Arc::new(Self { max, lain_max, line: Mutex::default() })
    }

    /// Takes it, if there is room.
    fn put(self: &Arc<Self>, message: WorkResponse, bytes: usize) -> Option<Arc<Parcel>> {
        let mut line = self.make_room(bytes)?;
        line.bytes += bytes;
        let (since, content) = (Stopwatch::start(), Mutex::new(Some(message)));
        let parcel = Arc::new(Parcel { bytes, since, message: content, shelf: self.clone() });
        line.parcels.push_back(Arc::downgrade(&parcel));
        if line.parcels.len() > line.clear_at {
            line.parcels.retain(|parcel| parcel.strong_count() > 0);
            line.clear_at = (line.parcels.len() * 2).max(LINE_MIN);
        }
        Some(parcel)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.make_room(bytes).is_some()
    }

    /// The line with room for so much, if there is or can be.
    fn make_room(&self, bytes: usize) -> Option<MutexGuard<'_, Line>> {
        let lock = || self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = lock();
        while line.bytes > 0 && line.bytes.saturating_add(bytes) > self.max {
            let Some(oldest) = line.parcels.front().map(Weak::upgrade) else { break };
            let is_due = oldest.as_ref().is_none_or(|oldest| oldest.is_due(self.lain_max));
            if is_due {
                line.parcels.pop_front();
            }
            // Whatever is dropped here may ask for the line, or be large.
            drop(line);
            if !is_due {
                return None;
            }
            if oldest.and_then(|oldest| oldest.read()).is_some() {
                tracing::warn!("an assignment that its worker does not read gave way to others");
            }
            line = lock();
        }
        Some(line)
    }

    fn went(&self, bytes: usize) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).bytes -= bytes;
    }
}

impl Parcel {
    /// Its message, unless it was taken before.
    fn read(&self) -> Option<WorkResponse> {
        let message = mem::take(&mut *self.message.lock().unwrap_or_else(PoisonError::into_inner));
        if message.is_some() {
            self.shelf.went(self.bytes);
        }
        message
    }

    /// Whether it was read, or has lain for so long.
    fn is_due(&self, lain_max: Duration) -> bool {
        self.since.elapsed() >= lain_max || self.message.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Drop for Parcel {
    /// With the stream that it lay on.
    fn drop(&mut self) {
        if self.message.get_mut().unwrap_or_else(PoisonError::into_inner).is_some() {
            self.shelf.went(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(shelf: &Shelf) -> usize {
        shelf.line.lock().expect("sound").bytes
    }

    fn put(shelf: &Arc<Shelf>, bytes: usize) -> Option<Arc<Parcel>> {
        shelf.put(WorkResponse::default(), bytes)
    }

    #[test]
    fn what_has_lain_unread_for_long_gives_way_the_oldest_first() {
        let shelf = Shelf::with(100, Duration::ZERO);
        let [first, second, third] = [40, 40, 20].map(|bytes| put(&shelf, bytes).expect("there is room"));
        assert!(first.read().is_some() && first.read().is_none(), "it is read once");
        let fourth = put(&shelf, 40).expect("there is room");
        assert_eq!(bytes(&shelf), 100);
        let fifth = put(&shelf, 1).expect("room is made");
        assert!(second.read().is_none(), "it gave way");
        assert!([&third, &fourth, &fifth].into_iter().all(|parcel| parcel.read().is_some()));
        assert_eq!(bytes(&shelf), 0);
        let huge = put(&shelf, 1000).expect("what is larger than all the room goes alone");
        assert!(huge.read().is_some());
    }

    #[test]
    fn what_was_just_handed_out_does_not_give_way() {
        let shelf = Shelf::with(100, Duration::from_secs(3600));
        let [first, second] = [60, 40].map(|bytes| put(&shelf, bytes).expect("there is room"));
        assert!(put(&shelf, 1).is_none(), "the next one waits");
        assert!(second.read().is_some());
        assert!(put(&shelf, 41).is_none() && put(&shelf, 40).is_some());
        drop(first);
        assert!(put(&shelf, 100).is_some(), "what goes with its stream makes room");
    }

    #[test]
    fn what_was_read_leaves_nothing_in_the_line() {
        let shelf = Shelf::new(usize::MAX);
        let _first = put(&shelf, 1);
        for _ in 0..10_000 {
            put(&shelf, 1).and_then(|parcel| parcel.read()).expect("it is there");
        }
        let line = shelf.line.lock().expect("sound");
        assert!(line.bytes == 1 && line.parcels.len() <= LINE_MIN + 1, "{}", line.parcels.len());
    }
}
