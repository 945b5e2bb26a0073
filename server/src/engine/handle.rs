//! How the rest of the server speaks to the engine's thread. Cheap to clone.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use semel_core::{
    command::Command,
    id::{AttemptNumber, Millis, Revision, RunId, Timestamp},
    window::Window,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    answer::{Refused, Submitted},
    directory::Directory,
    dispatch::Order,
    envelope::Envelope,
    feed::{self, Feed, FeedSender},
    in_flight::{Guard, GuardOfAll, InFlight},
    liveness::Progress,
    step::{Engine, History},
    waiters::Waiters,
    workers::{Connected, Crew, Hello, SessionId},
};
use crate::{
    clock::{Clock, Now},
    store::{DedupKey, Reader},
};

/// How many messages may wait for the engine. Beyond it callers are told to come again.
pub(super) const QUEUE_MAX: usize = 8192;

/// What callers are told to wait when the queue is full.
const OVERLOAD_RETRY: Millis = Millis(200);

/// See the module.
#[derive(Clone)]
pub struct Handle(Arc<Parts>);

/// What the handle and the thread share.
pub struct Parts {
    pub(super) queue: SyncSender<Message>,
    pub(super) clock: Clock,
    pub(super) directory: ArcSwap<Directory>,
    pub(super) waiters: Waiters,
    pub(super) reader: Arc<dyn Reader>,
    pub(super) window: Window,
    pub(super) window_floor: Timestamp,
    pub(super) lease: Millis,
    pub(super) high_water: std::sync::atomic::AtomicI64,
    pub(super) stopped: watch::Receiver<Option<Stopped>>,
    pub(super) draining: AtomicBool,
    pub(super) sessions: AtomicU64,
    pub(super) in_flight: Arc<InFlight>,
    /// The position of the last commit.
    pub(super) committed: AtomicU64,
    pub(super) history: History,
}

/// Why the engine does not run any more.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// It was asked to stop.
    Asked,
    /// The store failed: what it says, with its sources.
    Failed(String),
}

/// A look at the state from outside.
pub(super) type Look = Box<dyn FnOnce(&View<'_>) + Send>;

pub(super) enum Message {
    Submit(Handed),
    Read(Look),
    Worker(SessionId, WorkerMessage),
    Feed(FeedSender, oneshot::Sender<Revision>),
    Poke,
    Stop,
}

/// Wishes that are in the queue, with where their answers go and that they are under way.
pub(super) enum Handed {
    One { envelope: Box<Envelope>, reply: oneshot::Sender<Submitted>, guard: Guard },
    Many { envelopes: Vec<Envelope>, reply: oneshot::Sender<Vec<Submitted>>, guard: GuardOfAll },
}

pub(super) enum WorkerMessage {
    Open { hello: Hello, orders: mpsc::UnboundedSender<Order>, reply: oneshot::Sender<Vec<(RunId, AttemptNumber)>> },
    Close,
    Heard,
    Credit(u32),
    Drain,
    Progress(RunId, Progress),
}

/// What a reader in the engine's thread sees: the state as of the last commit, and what is volatile.
pub struct View<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The time.
    pub now: Timestamp,
}

impl View<'_> {
    /// How far the open attempt of a run says that it is.
    pub fn progress(&self, run_id: RunId) -> Option<&Progress> {
        self.engine.liveness.progress(run_id)
    }

    /// How many workers are connected.
    pub fn worker_count(&self) -> usize {
        self.engine.workers.len()
    }

    /// The workers that are connected.
    pub fn connected(&self) -> impl Iterator<Item = Connected> + '_ {
        self.engine.workers.connected()
    }

    /// How those stand that are connected, and what they take.
    pub fn crew(&self) -> Crew {
        self.engine.workers.crew(self.engine.state())
    }

    /// How many requests are remembered.
    pub fn window_total(&self) -> u64 {
        self.engine.dedup.total()
    }
}

impl Handle {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// For the thread, which must not keep its own queue open.
    pub(super) fn parts(&self) -> std::sync::Weak<Parts> {
        Arc::downgrade(&self.0)
    }

    /// Hands a wish in and waits for what becomes of it. Dropping the future does not take the wish back: once it is in
    /// the queue it runs to its end under its id (promise D9).
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn submit(&self, envelope: Envelope) -> Submitted {
        self.enqueue(envelope)?.answer().await
    }

    /// Hands a wish in at once, behind all that was handed in before.
    ///
    /// # Errors
    /// [`Refused::Draining`], [`Refused::Overloaded`] and [`Refused::NoOwner`].
    pub fn enqueue(&self, envelope: Envelope) -> Result<Pending, Refused> {
        // While the server drains, nothing new begins; but what workers have done is still taken.
        let is_report = matches!(envelope.command, Command::ReportAttempt { .. } | Command::AppendLog { .. });
        if self.0.draining.load(Ordering::Relaxed) && !is_report {
            return Err(Refused::Draining);
        }
        let guard = InFlight::enter(&self.0.in_flight, envelope.key());
        let (reply, answer) = oneshot::channel();
        self.send(Message::Submit(Handed::One { envelope: Box::new(envelope), reply, guard }))?;
        Ok(Pending(answer))
    }

    /// Hands wishes in together: they go into one commit, in their order, and are answered together. It costs what one
    /// costs, but for the work itself.
    ///
    /// # Errors
    /// As [`Handle::enqueue`]; none was taken then.
    pub fn enqueue_all(&self, envelopes: Vec<Envelope>) -> Result<PendingAll, Refused> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Err(Refused::Draining);
        }
        let guard = InFlight::enter_all(&self.0.in_flight, envelopes.iter().map(Envelope::key));
        let (reply, answers) = oneshot::channel();
        self.send(Message::Submit(Handed::Many { envelopes, reply, guard }))?;
        Ok(PendingAll(answers))
    }

    /// Looks at the state between two batches.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] and [`Refused::NoOwner`].
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Read(Box::new(move |view| {
            let _ = reply.send(look(view));
        })))?;
        answer.await.map_err(|_| Refused::NoOwner)
    }

    /// Opens the stream of a worker. Gives the stream and the attempts that are no longer the worker's.
    ///
    /// # Errors
    /// [`Refused::Draining`], [`Refused::Overloaded`] and [`Refused::NoOwner`].
    pub async fn open_worker(&self, hello: Hello) -> Result<(WorkerStream, Vec<(RunId, AttemptNumber)>), Refused> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Err(Refused::Draining);
        }
        let id = SessionId(self.0.sessions.fetch_add(1, Ordering::Relaxed));
        let (orders_in, orders) = mpsc::unbounded_channel();
        let (reply, stale) = oneshot::channel();
        self.send(Message::Worker(id, WorkerMessage::Open { hello, orders: orders_in, reply }))?;
        let stale = stale.await.map_err(|_| Refused::NoOwner)?;
        Ok((WorkerStream { handle: self.clone(), id, orders }, stale))
    }

    /// Everything that is committed from now on, whole and in order, with the position after which it begins. There is one
    /// feed: a new one ends the former.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] and [`Refused::NoOwner`].
    pub async fn feed(&self) -> Result<(Feed, Revision), Refused> {
        let (sender, feed) = feed::channel();
        let (reply, begin) = oneshot::channel();
        self.send(Message::Feed(sender, reply))?;
        let begin = begin.await.map_err(|_| Refused::NoOwner)?;
        Ok((feed, begin))
    }

    /// The position of the last commit: at least that of every answer that was given.
    pub fn committed(&self) -> Revision {
        Revision(self.0.committed.load(Ordering::Acquire))
    }

    /// Which log positions are of.
    pub fn history(&self) -> History {
        self.0.history
    }

    /// All credentials, as of the last commit that changed one.
    pub fn directory(&self) -> Arc<Directory> {
        self.0.directory.load_full()
    }

    /// Reads what is committed.
    pub fn reader(&self) -> &Arc<dyn Reader> {
        &self.0.reader
    }

    /// Who waits for changes of runs.
    pub fn waiters(&self) -> &Waiters {
        &self.0.waiters
    }

    /// The window's rules.
    pub fn window(&self) -> &Window {
        &self.0.window
    }

    /// Of ids that were minted before this and are not remembered nobody can say whether they took effect: they are past
    /// the window, or the store was restored from a backup since.
    pub fn forgotten_before(&self, now: Timestamp) -> Timestamp {
        self.0.window.oldest(now).max(self.0.window_floor)
    }

    /// After how long a silence a worker counts as lost.
    pub fn lease(&self) -> Millis {
        self.0.lease
    }

    /// What time it is, by the machine.
    pub fn now(&self) -> Now {
        self.0.clock.now()
    }

    /// The server's time, which never goes back behind a commit.
    pub fn time(&self) -> Timestamp {
        Timestamp(self.0.high_water.load(Ordering::Acquire)).max(self.0.clock.wall())
    }

    /// Whether a request is being worked on just now.
    pub fn is_under_way(&self, key: &DedupKey) -> bool {
        self.0.in_flight.contains(key)
    }

    /// From now on nothing new is taken.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Wakes the engine, after a test has moved its clock.
    pub fn poke(&self) {
        let _ = self.send(Message::Poke);
    }

    /// Ends the engine once what is in the queue is done, and waits for it.
    pub async fn stop(&self) -> Stopped {
        self.drain();
        while let Err(Refused::Overloaded { .. }) = self.send(Message::Stop) {
            tokio::task::yield_now().await;
        }
        self.stopped().await
    }

    /// Waits until the engine does not run any more, and says why.
    pub async fn stopped(&self) -> Stopped {
        let mut stopped = self.0.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Stopped::Asked),
            Err(_) => Stopped::Failed("the engine's thread has died".to_owned()),
        }
    }

    /// Whether others hold the engine too: its reading half keeps the store open.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn send(&self, message: Message) -> Result<(), Refused> {
        self.0.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => Refused::Overloaded { retry_after: OVERLOAD_RETRY },
            TrySendError::Disconnected(_) => Refused::NoOwner,
        })
    }
}

/// A wish that is in the queue.
pub struct Pending(oneshot::Receiver<Submitted>);

impl Pending {
    /// What becomes of it.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn answer(self) -> Submitted {
        self.0.await.unwrap_or(Err(Refused::NoOwner))
    }
}

/// Wishes that are in the queue together.
pub struct PendingAll(oneshot::Receiver<Vec<Submitted>>);

impl Future for PendingAll {
    /// What becomes of them, in their order; none if nobody serves the shard any more.
    type Output = Option<Vec<Submitted>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

/// The engine's end of a worker's stream. Dropping it says that the stream has ended; leases go on.
pub struct WorkerStream {
    handle: Handle,
    id: SessionId,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl WorkerStream {
    /// The next thing that the worker must be told; none when the engine has gone.
    pub async fn order(&mut self) -> Option<Order> {
        self.orders.recv().await
    }

    /// The next thing that the worker must be told, if there is one already.
    pub fn order_at_hand(&mut self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// The worker said something.
    pub fn heard(&self) {
        self.tell(WorkerMessage::Heard);
    }

    /// The worker takes so many attempts at a time from now on.
    pub fn credit(&self, slots: u32) {
        self.tell(WorkerMessage::Credit(slots));
    }

    /// The worker wants no further work.
    pub fn drain(&self) {
        self.tell(WorkerMessage::Drain);
    }

    /// The worker says how far an attempt is.
    pub fn progress(&self, run_id: RunId, progress: Progress) {
        self.tell(WorkerMessage::Progress(run_id, progress));
    }

    /// How many runs wait for what the worker can do.
    ///
    /// # Errors
    /// As [`Handle::read`].
    pub async fn queued_count(&self) -> Result<u64, Refused> {
        let id = self.id;
        self.handle.read(move |view| view.engine.queued_for_worker(id)).await
    }

    /// What is said here may be lost when the engine is overloaded: the worker says it again with its next heartbeat.
    fn tell(&self, message: WorkerMessage) {
        let _ = self.handle.send(Message::Worker(self.id, message));
    }
}

impl Drop for WorkerStream {
    fn drop(&mut self) {
        let (handle, id) = (self.handle.clone(), self.id);
        if let Err(Refused::Overloaded { .. }) = handle.send(Message::Worker(id, WorkerMessage::Close)) {
            // The engine must learn of it: a session that is taken for open would be handed work.
            tokio::spawn(async move {
                while let Err(Refused::Overloaded { .. }) = handle.send(Message::Worker(id, WorkerMessage::Close)) {
                    tokio::task::yield_now().await;
                }
            });
        }
    }
}
