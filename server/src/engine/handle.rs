//! How the rest of the server speaks to the engine's thread. Cheap to clone.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use semel_core::{
    id::{AttemptNumber, Millis, Revision, RunId, Timestamp},
    window::Window,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    admission::{self, Admission, Amount, Class, Load},
    answer::{Refused, Submitted},
    desk,
    directory::Directory,
    envelope::Envelope,
    feed::{self, Feed},
    in_flight::InFlight,
    lane::{Inlet, Unsent},
    liveness::{Progress, Pulse},
    message::{Handed, Look, Message, Sent, WorkerMessage},
    step::{Engine, History},
    waiters::Waiters,
    worker_stream::WorkerStream,
    workers::{Connected, Crew, Hello, SessionId},
};
use crate::{
    clock::{Clock, Now, Stopwatch},
    store::{DedupKey, Reader},
};

/// See the module.
#[derive(Clone)]
pub struct Handle(Arc<Parts>);

/// What the handle and the thread share.
pub struct Parts {
    pub(super) queue: Inlet,
    pub(super) admission: Arc<Admission>,
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
    /// It is to be measured how long the next request waits.
    pub(super) is_sampled: AtomicBool,
    pub(super) sessions: AtomicU64,
    pub(super) in_flight: Arc<InFlight>,
    /// The position of the last commit.
    pub(super) committed: AtomicU64,
    pub(super) history: History,
}

impl Parts {
    /// Since when a request waits that is handed in now, if it is the one to be measured. One at a time is: the first that
    /// comes after the last one was taken. So it costs the others a look at a flag, and nobody a clock.
    fn stamp(&self) -> Sent {
        let is_the_one = self.is_sampled.load(Ordering::Relaxed) && self.is_sampled.swap(false, Ordering::Relaxed);
        is_the_one.then(Stopwatch::start)
    }

    /// The refusal of what could not be handed in, and no longer counts.
    fn unsent(&self, unsent: Unsent, amount: Amount) -> Refused {
        self.admission.taken(amount);
        self.admission.done(amount);
        match unsent {
            Unsent::Full => self.admission.refuse(Class::Wish),
            Unsent::Gone => Refused::NoOwner,
        }
    }
}

/// Why the engine does not run any more.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// It was asked to stop.
    Asked,
    /// The store failed: what it says, with its sources.
    Failed(String),
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
        self.enqueue(envelope)?.await
    }

    /// Hands a wish in at once, behind all that callers have handed in before.
    ///
    /// # Errors
    /// [`Refused::Draining`], [`Refused::Overloaded`] and [`Refused::NoOwner`].
    pub fn enqueue(&self, envelope: Envelope) -> Result<Pending, Refused> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Err(Refused::Draining);
        }
        let amount = Amount::of(std::slice::from_ref(&envelope));
        self.0.admission.wish(amount)?;
        let guard = InFlight::enter(&self.0.in_flight, envelope.key());
        let (reply, answer) = oneshot::channel();
        let handed = Handed::One { envelope: Box::new(envelope), reply, guard, sent: self.0.stamp() };
        self.0.queue.call(Message::Call(handed)).map_err(|unsent| self.0.unsent(unsent, amount))?;
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
        let amount = Amount::of(&envelopes);
        self.0.admission.wish(amount)?;
        let guard = InFlight::enter_all(&self.0.in_flight, envelopes.iter().map(Envelope::key));
        let (reply, answers) = oneshot::channel();
        let handed = Handed::Many { envelopes, reply, guard, sent: self.0.stamp() };
        self.0.queue.call(Message::Call(handed)).map_err(|unsent| self.0.unsent(unsent, amount))?;
        Ok(PendingAll(answers))
    }

    /// Hands in what a worker reports, before all that callers want, and also while the server drains: it is work that was
    /// done. Waits for room, and is never told that there is none.
    ///
    /// # Errors
    /// [`Refused::NoOwner`].
    pub async fn enqueue_report(&self, envelope: Envelope) -> Result<Pending, Refused> {
        let place = self.0.queue.place(admission::bytes(&envelope.command)).await?;
        let guard = InFlight::enter(&self.0.in_flight, envelope.key());
        let (reply, answer) = oneshot::channel();
        self.0.queue.tell(Message::Report(Box::new(envelope), reply, guard), Some(place))?;
        Ok(Pending(answer))
    }

    /// Looks at the state between two batches.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] and [`Refused::NoOwner`].
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        self.0.admission.look()?;
        let (reply, answer) = oneshot::channel();
        let look: Look = Box::new(move |view| {
            let _ = reply.send(look(view));
        });
        self.0.queue.call(Message::Read(look)).map_err(|unsent| {
            self.0.admission.looked(1);
            self.0.unsent(unsent, Amount::default())
        })?;
        answer.await.map_err(|_| Refused::NoOwner)
    }

    /// The same before all that callers want, and never refused for want of room: for workers, and for those who watch over
    /// the server, who ask seldom.
    ///
    /// # Errors
    /// [`Refused::NoOwner`].
    pub(crate) async fn read_first<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let place = self.0.queue.place(0).await?;
        let (reply, answer) = oneshot::channel();
        let message = Message::ReadFor(Box::new(move |view| {
            let _ = reply.send(look(view));
        }));
        self.0.queue.tell(message, Some(place))?;
        answer.await.map_err(|_| Refused::NoOwner)
    }

    /// Whether what only reads the store may go on: it uses what wishes need too.
    ///
    /// # Errors
    /// [`Refused::Overloaded`].
    pub fn admit_list(&self) -> Result<(), Refused> {
        self.0.admission.list()
    }

    /// The refusal of a list that would have to wait too long for others. Counted with those of [`Handle::admit_list`].
    pub fn shed_list(&self) -> Refused {
        self.0.admission.refuse(Class::Look)
    }

    /// How much waits, and how much was refused.
    pub fn load(&self) -> Load {
        Load { worker_places: self.0.queue.places_taken(), ..self.0.admission.load() }
    }

    /// Opens the stream of a worker. Gives the stream and the attempts that are no longer the worker's.
    ///
    /// # Errors
    /// [`Refused::Draining`] and [`Refused::NoOwner`].
    pub async fn open_worker(&self, hello: Hello) -> Result<(WorkerStream, Vec<(RunId, AttemptNumber)>), Refused> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Err(Refused::Draining);
        }
        let place = self.0.queue.place(0).await?;
        let id = SessionId(self.0.sessions.fetch_add(1, Ordering::Relaxed));
        let (orders_in, orders) = mpsc::channel(desk::ORDERS_MAX);
        let (reply, stale) = oneshot::channel();
        let pulse = Pulse::default();
        let opened = WorkerMessage::Open { hello, pulse: pulse.clone(), orders: orders_in, reply };
        self.0.queue.tell(Message::Worker(id, opened), Some(place))?;
        let stream = WorkerStream::new(self.clone(), id, pulse, orders);
        let stale = stale.await.map_err(|_| Refused::NoOwner)?;
        Ok((stream, stale))
    }

    /// Hands in what a worker says, once there is room.
    pub(super) async fn tell(&self, id: SessionId, message: WorkerMessage) {
        if let Ok(place) = self.0.queue.place(0).await {
            let _ = self.0.queue.tell(Message::Worker(id, message), Some(place));
        }
    }

    /// Hands in what there is one of at most for a stream: that it was heard of, or that it has ended.
    pub(super) fn tell_once(&self, id: SessionId, message: WorkerMessage) {
        let _ = self.0.queue.tell(Message::Worker(id, message), None);
    }

    /// Everything that is committed from now on, whole and in order, with the position after which it begins. There is one
    /// feed: a new one ends the former.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] and [`Refused::NoOwner`].
    pub async fn feed(&self) -> Result<(Feed, Revision), Refused> {
        let (sender, feed) = feed::channel();
        let (reply, begin) = oneshot::channel();
        let message = Message::Feed(sender, reply);
        self.0.queue.call(message).map_err(|unsent| self.0.unsent(unsent, Amount::default()))?;
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
        let _ = self.0.queue.call(Message::Poke);
    }

    /// Ends the engine once what is in the queue is done, and waits for it.
    pub async fn stop(&self) -> Stopped {
        self.drain();
        while self.0.queue.call(Message::Stop) == Err(Unsent::Full) {
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
}

/// A wish that is in the queue.
pub struct Pending(oneshot::Receiver<Submitted>);

impl Future for Pending {
    /// What becomes of it; see [`Refused`].
    type Output = Submitted;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(Refused::NoOwner)))
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
