//! A thread that writes down what others hand it. Handing something over never waits: what finds no room is counted, and the
//! count is handed to the writer as soon as it comes round again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::{sync::watch, time};

/// Entries that are written together.
const BATCH_MAX: usize = 1024;
/// How often it is looked whether there is room for the word to end.
const ROOM_LOOK: Duration = Duration::from_millis(1);

/// What a writer writes into. All of it is called by the writer's own thread.
pub(super) trait Book: Send + 'static {
    /// What is handed over.
    type Entry: Send + 'static;

    /// Writes these down, and that so many more found no room. May be handed nothing: see [`Book::idle`].
    fn write(&mut self, entries: &mut Vec<Self::Entry>, missed: u64);

    /// After how long there is something to do though nothing came; none if there is not.
    fn idle(&self) -> Option<Duration> {
        None
    }

    /// The file may have been moved away.
    fn reopen(&mut self) {}

    /// Nothing comes any more.
    fn close(&mut self) {}
}

enum Message<T> {
    Entry(T),
    /// To be told when all before it is written.
    Written(SyncSender<()>),
    Reopen,
    Close,
}

/// The way to a writer. A clone leads to the same one.
#[derive(Debug)]
pub(super) struct Writer<T>(Arc<Inner<T>>);

impl<T> Clone for Writer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Inner<T> {
    queue: SyncSender<Message<T>>,
    missed: Arc<AtomicU64>,
    /// Closes when the thread has ended.
    ended: watch::Receiver<()>,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts one; `room` entries may wait for it.
    pub(super) fn start<B: Book<Entry = T>>(name: &str, room: usize, book: B) -> Self {
        let (queue, messages) = sync_channel(room);
        let missed = Arc::new(AtomicU64::new(0));
        let counted = missed.clone();
        let (ends, ended) = watch::channel(());
        let body = move || {
            write_all(book, &messages, &counted);
            drop(ends);
        };
        thread::Builder::new().name(name.to_owned()).spawn(body).expect("the system can start a thread");
        Self(Arc::new(Inner { queue, missed, ended }))
    }

    /// Hands something over, or counts it where there is no room.
    pub(super) fn offer(&self, entry: T) {
        if self.0.queue.try_send(Message::Entry(entry)).is_err() {
            self.0.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands something over, and waits for room.
    pub(super) fn insist(&self, entry: T) {
        if self.0.queue.send(Message::Entry(entry)).is_err() {
            self.0.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was handed over is written. For a thread of its own.
    pub(super) fn settle(&self) {
        let (written, told) = sync_channel(1);
        if self.0.queue.send(Message::Written(written)).is_ok() {
            let _ = told.recv();
        }
    }

    /// The file may have been moved away. Where the queue is full somebody has to ask again.
    pub(super) fn reopen(&self) {
        let _ = self.0.queue.try_send(Message::Reopen);
    }

    /// Has all written that was handed over, and ends the thread; waits for it no longer than this. False if it did not end.
    pub(super) async fn close(&self, at_most: Duration) -> bool {
        let ended = async {
            while let Err(TrySendError::Full(_)) = self.0.queue.try_send(Message::Close) {
                time::sleep(ROOM_LOOK).await;
            }
            let mut ended = self.0.ended.clone();
            while ended.changed().await.is_ok() {}
        };
        time::timeout(at_most, ended).await.is_ok()
    }
}

fn write_all<B: Book>(mut book: B, messages: &Receiver<Message<B::Entry>>, missed: &AtomicU64) {
    let mut entries = Vec::with_capacity(BATCH_MAX);
    let mut has_ended = false;
    while !has_ended {
        let mut next = match book.idle() {
            None => match messages.recv() {
                Ok(message) => Some(message),
                Err(_) => break,
            },
            Some(wait) => match messages.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            },
        };
        let mut is_moved = false;
        let mut waiting = Vec::new();
        while let Some(message) = next.take() {
            match message {
                Message::Entry(entry) => entries.push(entry),
                Message::Written(written) => waiting.push(written),
                Message::Reopen => is_moved = true,
                Message::Close => has_ended = true,
            }
            if entries.len() < BATCH_MAX && !has_ended {
                next = messages.try_recv().ok();
            }
        }
        book.write(&mut entries, missed.swap(0, Ordering::Relaxed));
        entries.clear();
        for written in waiting {
            let _ = written.send(());
        }
        if is_moved {
            book.reopen();
        }
    }
    book.close();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A book that says what it was told, and waits before each page until it may go on.
    struct Slow {
        go_on: Receiver<()>,
        told: mpsc::Sender<(Vec<u32>, u64)>,
    }

    impl Book for Slow {
        type Entry = u32;

        fn write(&mut self, entries: &mut Vec<u32>, missed: u64) {
            let _ = self.go_on.recv();
            let _ = self.told.send((std::mem::take(entries), missed));
        }
    }

    #[test]
    fn whoever_waits_until_all_is_written_waits_for_that_and_no_longer() {
        let (go_on, held) = mpsc::channel();
        let (told, heard) = mpsc::channel();
        let writer = Writer::start("test", 4, Slow { go_on: held, told });
        (0..3).for_each(|number| writer.insist(number));
        drop(go_on);
        writer.settle();
        let written: Vec<u32> = heard.try_iter().flat_map(|(page, _)| page).collect();
        assert_eq!(written, [0, 1, 2]);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted_and_the_count_is_told() {
        let (go_on, held) = mpsc::channel();
        let (told, heard) = mpsc::channel();
        let writer = Writer::start("test", 4, Slow { go_on: held, told });
        // The first one is taken, or still in the queue; then there is room for at most four more.
        for number in 0..100 {
            writer.offer(number);
        }
        drop(go_on);
        assert!(writer.close(Duration::from_secs(20)).await, "it ends");
        let pages: Vec<(Vec<u32>, u64)> = heard.try_iter().collect();
        let (written, missed) =
            pages.iter().fold((0, 0), |(written, missed), (page, more)| (written + page.len() as u64, missed + more));
        assert_eq!(written + missed, 100, "{pages:?}");
        assert!((4..=5 + 4).contains(&written), "{pages:?}");
        writer.offer(7);
        assert!(writer.close(Duration::from_secs(20)).await, "it has ended before");
    }
}
