//! What lies ready between the stream and the program, bounded by its bytes. It never drops anything; what to do when
//! there is no room, the reader decides.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::item::Item;
use crate::error::Error;

/// What a message counts for at least, so that their number is bounded as well.
const MESSAGE_BYTES_MIN: usize = 256;

/// What one message told, or how the watch ended; it holds its room until the program has taken all of it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) told: Result<Vec<Item>, Error>,
    room: Option<OwnedSemaphorePermit>,
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Outlet {
    /// Unbounded in itself: nothing is put in without room.
    tx: mpsc::UnboundedSender<Batch>,
    room: Arc<Semaphore>,
    bytes_max: u32,
}

/// The program's end.
pub(super) type Inlet = mpsc::UnboundedReceiver<Batch>;

/// A buffer for so many bytes.
pub(super) fn buffer(bytes: usize) -> (Outlet, Inlet) {
    let (tx, inlet) = mpsc::unbounded_channel();
    let bytes_max = u32::try_from(bytes).unwrap_or(u32::MAX);
    (Outlet { tx, room: Arc::new(Semaphore::new(bytes_max as usize)), bytes_max }, inlet)
}

impl Outlet {
    /// Puts in what a message of so many bytes told, if there is room.
    pub(super) fn try_put(&self, items: Vec<Item>, bytes: usize) -> Result<(), Vec<Item>> {
        match self.room.clone().try_acquire_many_owned(self.weight(bytes)) {
            Ok(room) => {
                self.send(Ok(items), Some(room));
                Ok(())
            }
            Err(_) => Err(items),
        }
    }

    /// Waits for room, then puts it in.
    pub(super) async fn put(&self, items: Vec<Item>, bytes: usize) {
        let room = self.room.clone().acquire_many_owned(self.weight(bytes)).await.ok();
        self.send(Ok(items), room);
    }

    /// Waits until half of the buffer is free, then puts it in: who goes on at once would soon stand here again.
    pub(super) async fn put_late(&self, items: Vec<Item>, bytes: usize) {
        let weight = self.weight(bytes);
        let mut room = self.room.clone().acquire_many_owned(weight.max(self.bytes_max / 2)).await.ok();
        let kept = room.as_mut().and_then(|room| room.split(weight as usize));
        self.send(Ok(items), kept);
    }

    /// Says how the watch ended.
    pub(super) fn end(&self, error: Error) {
        self.send(Err(error), None);
    }

    /// Waits until the program wants no more.
    pub(super) async fn closed(&self) {
        self.tx.closed().await;
    }

    fn weight(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.max(MESSAGE_BYTES_MIN)).unwrap_or(u32::MAX).min(self.bytes_max)
    }

    /// That nobody takes it any more is noticed by `closed`.
    fn send(&self, told: Result<Vec<Item>, Error>, room: Option<OwnedSemaphorePermit>) {
        let _ = self.tx.send(Batch { told, room });
    }
}

impl Batch {
    /// What was told, and the room that it takes.
    pub(super) fn open(self) -> (Result<Vec<Item>, Error>, Option<OwnedSemaphorePermit>) {
        (self.told, self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_takes_what_there_is_room_for_and_no_more() {
        let (outlet, mut inlet) = buffer(1024);
        assert!(outlet.try_put(Vec::new(), 512).is_ok());
        assert!(outlet.try_put(Vec::new(), 256).is_ok());
        assert!(outlet.try_put(Vec::new(), 512).is_err());
        let late = outlet.put_late(Vec::new(), 1);
        tokio::pin!(late);
        tokio::select! {
            biased;
            () = &mut late => panic!("half of it is not free"),
            first = inlet.recv() => drop(first),
        }
        late.await;
        assert!(outlet.try_put(Vec::new(), 512).is_ok(), "what is put in late takes no more than its own room");
    }

    #[tokio::test]
    async fn a_message_larger_than_all_of_it_takes_all_of_it() {
        let (outlet, _inlet) = buffer(1024);
        assert!(outlet.try_put(Vec::new(), 1 << 20).is_ok());
        assert!(outlet.try_put(Vec::new(), 0).is_err());
    }
}
