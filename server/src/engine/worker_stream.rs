//! The engine's end of a worker's stream. Nothing that is said here is lost or refused: it waits for room, and who says it
//! waits with it.

use semel_core::id::RunId;
use tokio::sync::mpsc;

use super::{
    answer::Refused,
    dispatch::Order,
    handle::Handle,
    liveness::{Progress, Pulse},
    message::WorkerMessage,
    workers::SessionId,
};

/// See the module. Dropping it says that the stream has ended; leases go on.
pub struct WorkerStream {
    handle: Handle,
    id: SessionId,
    pulse: Pulse,
    orders: mpsc::Receiver<Order>,
}

impl WorkerStream {
    pub(super) fn new(handle: Handle, id: SessionId, pulse: Pulse, orders: mpsc::Receiver<Order>) -> Self {
        Self { handle, id, pulse, orders }
    }

    /// The next thing that the worker must be told; none when the engine has gone, or more waits than it could ever need: it
    /// is told anew when it comes again.
    pub async fn order(&mut self) -> Option<Order> {
        self.orders.recv().await
    }

    /// The next thing that the worker must be told, if there is one already.
    pub fn order_at_hand(&mut self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// The worker said something. Said once until the engine knows, however often it is called.
    pub fn heard(&self) {
        if self.pulse.beat() {
            self.handle.tell_once(self.id, WorkerMessage::Heard);
        }
    }

    /// The worker takes so many attempts at a time from now on.
    pub async fn credit(&self, slots: u32) {
        self.handle.tell(self.id, WorkerMessage::Credit(slots)).await;
    }

    /// The worker wants no further work.
    pub async fn drain(&self) {
        self.handle.tell(self.id, WorkerMessage::Drain).await;
    }

    /// The worker says how far an attempt is.
    pub async fn progress(&self, run_id: RunId, progress: Progress) {
        self.handle.tell(self.id, WorkerMessage::Progress(run_id, progress)).await;
    }

    /// How many runs wait for what the worker can do.
    ///
    /// # Errors
    /// [`Refused::NoOwner`].
    pub async fn queued_count(&self) -> Result<u64, Refused> {
        let id = self.id;
        self.handle.read_for_worker(move |view| view.engine.queued_for_worker(id)).await
    }
}

impl Drop for WorkerStream {
    fn drop(&mut self) {
        self.handle.tell_once(self.id, WorkerMessage::Close);
    }
}
