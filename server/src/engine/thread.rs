//! The thread around the engine: receives, steps, hands out. Decides nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
};
use tracing::{error, info};

use super::{
    directory::Directory,
    dispatch::Order,
    envelope::Envelope,
    feed::FeedSender,
    handle::{Handed, Handle, Look, Message, Parts, QUEUE_MAX, Stopped, View, WorkerMessage},
    in_flight::InFlight,
    replies::{self, Reply},
    step::{Engine, Options, StepOutput},
    waiters::Waiters,
    workers::SessionId,
};
use crate::{
    clock::Clock,
    store::{Error, Store},
};

/// Envelopes of one commit. Larger batches gain little and cost latency.
const BATCH_MAX: usize = 1024;

/// How often the engine lets other threads have its core before it commits. Where cores are free this takes microseconds
/// and brings nothing; where they are not, it brings the calls that those threads were about to hand in, and a commit of
/// many costs little more than one of few. Measured on two full cores, 512 calls in flight: 50.1k a second without, 55.7k
/// with.
const YIELDS: usize = 16;

/// Loads the store in a thread of its own, and goes on there as the engine. Gives the handle and whether this was the
/// first start on this store.
///
/// # Errors
/// When the store cannot be loaded.
pub async fn start(
    store: Box<dyn Store>,
    options: Options,
    clock: Clock,
    seed: u64,
    bootstrap: Option<[u8; 32]>,
) -> Result<(Handle, bool), Error> {
    let (ready, started) = oneshot::channel();
    let (stopped_in, stopped) = watch::channel(None);
    let runtime = runtime::Handle::current();
    let body = move || {
        let opened = Engine::open(store, options, clock.now(), seed, bootstrap);
        let (engine, first_start) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let (queue, messages) = sync_channel(QUEUE_MAX);
        let handle = Handle::new(Parts {
            queue,
            directory: ArcSwap::from_pointee(Directory::of(engine.state())),
            waiters: Waiters::default(),
            reader: engine.reader(),
            window: options.window,
            window_floor: engine.window_floor(),
            lease: options.lease,
            high_water: engine.time(clock.now()).0.into(),
            stopped,
            draining: false.into(),
            sessions: 1.into(),
            in_flight: Arc::new(InFlight::default()),
            clock: clock.clone(),
            committed: engine.revision().0.into(),
            history: engine.history(),
        });
        let shared = handle.parts();
        if ready.send(Ok((handle, first_start))).is_err() {
            return;
        }
        let mut thread = Thread { engine, messages, orders: HashMap::new(), feed: None, clock, shared, runtime };
        let reason = thread.run();
        // The queue and the store are let go before anybody is told: whoever waits may open the store again.
        drop(thread);
        stopped_in.send_replace(Some(reason));
    };
    thread::Builder::new().name("semel-engine".to_owned()).spawn(body).expect("the system can start a thread");
    started.await.expect("the engine's thread answers before it ends")
}

struct Thread {
    engine: Engine,
    messages: Receiver<Message>,
    orders: HashMap<SessionId, mpsc::UnboundedSender<Order>>,
    /// To whoever watches; none as long as nobody ever did.
    feed: Option<FeedSender>,
    clock: Clock,
    shared: std::sync::Weak<Parts>,
    /// Where callers wait.
    runtime: runtime::Handle,
}

/// What was taken from the queue for one step.
#[derive(Default)]
struct Taken {
    envelopes: Vec<Envelope>,
    replies: Vec<Reply>,
    reads: Vec<Look>,
    stop: bool,
}

impl Thread {
    fn run(&mut self) -> Stopped {
        loop {
            let mut taken = Taken::default();
            if !self.take(&mut taken) {
                return Stopped::Asked;
            }
            let now = self.clock.now();
            let output = match self.engine.step(now, &taken.envelopes) {
                Ok(output) => output,
                Err(error) => {
                    // Replies are dropped unanswered: whether their calls took effect is for the next owner to say.
                    let text = with_sources(&error);
                    error!(error = text, "the store failed; the engine stops, restart the server when it is mended");
                    return Stopped::Failed(text);
                }
            };
            self.hand_out(output, taken.replies);
            let view = View { engine: &self.engine, now: self.engine.time(now) };
            for read in taken.reads {
                read(&view);
            }
            if taken.stop {
                info!(revision = self.engine.revision().0, "the engine has stopped");
                return Stopped::Asked;
            }
        }
    }

    /// Waits for something to do and takes all that is there. False when nobody can send any more.
    fn take(&mut self, taken: &mut Taken) -> bool {
        let sleep = self.engine.sleep_max(self.clock.now());
        let first = self.messages.recv_timeout(Duration::from_millis(u64::try_from(sleep.0).unwrap_or(0)));
        match first {
            Ok(message) => self.receive(taken, message),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        self.gather(taken);
        for _ in 0..YIELDS {
            // A caller that is alone is not kept waiting.
            if taken.envelopes.len() < 2 || taken.envelopes.len() >= BATCH_MAX {
                break;
            }
            thread::yield_now();
            self.gather(taken);
        }
        true
    }

    /// Takes all that is there, bounded whatever arrives: looks at the state must not hold a commit back for ever.
    fn gather(&mut self, taken: &mut Taken) {
        for _ in 0..QUEUE_MAX {
            if taken.envelopes.len() >= BATCH_MAX {
                break;
            }
            let Ok(message) = self.messages.try_recv() else { break };
            self.receive(taken, message);
        }
    }

    fn receive(&mut self, taken: &mut Taken, message: Message) {
        match message {
            Message::Submit(Handed::One { envelope, reply, guard }) => {
                taken.envelopes.push(*envelope);
                taken.replies.push(Reply::One(reply, guard));
            }
            Message::Submit(Handed::Many { envelopes, reply, guards }) => {
                taken.envelopes.extend(envelopes);
                taken.replies.push(Reply::Many(reply, guards));
            }
            Message::Read(read) => taken.reads.push(read),
            Message::Worker(id, message) => self.worker(id, message),
            Message::Feed(feed, reply) => {
                self.feed = Some(feed);
                let _ = reply.send(self.engine.revision());
            }
            Message::Poke => {}
            Message::Stop => taken.stop = true,
        }
    }

    fn worker(&mut self, id: SessionId, message: WorkerMessage) {
        let now = self.clock.now();
        match message {
            WorkerMessage::Open { hello, orders, reply } => {
                let opened = self.engine.worker_opened(now, id, hello);
                if let Some(former) = opened.replaced.and_then(|former| self.orders.remove(&former)) {
                    let _ = former.send(Order::Replaced);
                }
                for order in opened.resend {
                    let _ = orders.send(order);
                }
                self.orders.insert(id, orders);
                let _ = reply.send(opened.stale);
            }
            WorkerMessage::Close => {
                self.engine.worker_closed(id);
                self.orders.remove(&id);
            }
            WorkerMessage::Heard => self.engine.worker_heard(now, id),
            WorkerMessage::Credit(slots) => self.engine.worker_credit(id, slots),
            WorkerMessage::Drain => self.engine.worker_drains(id),
            WorkerMessage::Progress(run_id, progress) => self.engine.worker_progress(id, run_id, progress),
        }
    }

    /// Everything in here is durable.
    fn hand_out(&mut self, output: StepOutput, replies: Vec<Reply>) {
        if let Some(shared) = self.shared.upgrade() {
            shared.committed.store(self.engine.revision().0, Ordering::Release);
            shared.high_water.store(self.engine.time(self.clock.now()).0, Ordering::Release);
            if let Some(directory) = output.directory {
                shared.directory.store(directory);
            }
            shared.waiters.ring(output.changed_runs.iter());
        }
        if let Some(feed) = &self.feed {
            feed.send(output.records);
        }
        for (session_id, order) in output.orders {
            if let Some(orders) = self.orders.get(&session_id) {
                let _ = orders.send(order);
            }
        }
        replies::send(&self.runtime, replies, output.answers);
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
