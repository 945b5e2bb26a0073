//! The thread around the engine: receives, steps, has it handed out. Decides nothing.
//!
//! Context: while a batch is written to the disk the engine has nothing to do, and under load that was a fifth of its time.
//! Choice: where more has come meanwhile, the next batch is decided while this one is written; one write is under way at a
//! time, and what it leads to stays on the [`Desk`] until it is durable. Consequences: the state runs ahead of the disk by at
//! most one batch, so whoever looks at it ([`Message::Read`], a worker that connects, a watcher) waits until the two meet; and
//! a batch that fails takes the one that was decided after it along, unanswered. Rejected: several writes at a time, which
//! would make recovery and the order of answers a matter of care, for less than was gained by the first.

use std::{
    sync::{Arc, mpsc::RecvTimeoutError},
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime,
    sync::{oneshot, watch},
};
use tracing::{error, info};

use super::{
    admission::{Admission, Amount, LOOKS_MAX, Pace},
    commit::Way,
    deeds,
    desk::Desk,
    directory::Directory,
    envelope::Envelope,
    handle::{Handle, Parts, Stopped, View},
    in_flight::InFlight,
    lane::{self, Outlet},
    message::{Handed, Look, Message, WorkerMessage},
    passages::PassageSender,
    replies::Reply,
    step::{Engine, Options},
    waiters::Waiters,
    workers::SessionId,
};
use crate::{
    causes::with_causes,
    clock::{Clock, Stopwatch},
    metrics::Metrics,
    store::{Error, Store},
};

/// Envelopes of one commit. Half of what a stream has outstanding: while one half is decided and written, the other is on its
/// way to its caller and back. With all of it in one commit each side waits for the other; with less, the disk is waited for
/// more often. Measured with 1024, 512 (and half of that handed in together) and 256: SubmitRuns 274k, 305k and 272k a second.
pub(super) const BATCH_MAX: usize = 512;

/// Of these, reports of workers take no more while callers wait: they go first, but they do not keep callers out for ever.
const REPORTS_MAX: usize = BATCH_MAX * 3 / 4;

/// Messages of one step. Most are envelopes; what is none must not hold a commit back for ever.
const MESSAGES_MAX: usize = 8192;

/// How often the engine lets other threads have its core before it commits. Where cores are free this takes microseconds
/// and brings nothing; where they are not, it brings the calls that those threads were about to hand in, and a commit of
/// many costs little more than one of few. Measured on two full cores, 512 calls in flight: 50.1k a second without, 55.7k
/// with.
const YIELDS: usize = 16;
/// How long it goes on with that. A thread that has its core by then keeps it for milliseconds if it has so much to do.
const YIELDS_LAST: Duration = Duration::from_micros(500);
/// So few are not kept waiting for others: they are nobody's throughput, and somebody's latency.
const FEW: usize = 8;

/// Loads the store in a thread of its own, and goes on there as the engine. Gives the handle and whether this was the
/// first start on this store. What is committed from then on is counted, and what of runs has ended is told, if there is
/// something to count it with and somebody to tell it to.
///
/// # Errors
/// When the store cannot be loaded.
pub async fn start(
    store: Box<dyn Store>,
    options: Options,
    clock: Clock,
    seed: u64,
    bootstrap: Option<[u8; 32]>,
    metrics: Option<Arc<Metrics>>,
    passages: Option<PassageSender>,
) -> Result<(Handle, bool), Error> {
    let (ready, started) = oneshot::channel();
    let (stopped_in, stopped) = watch::channel(None);
    let runtime = runtime::Handle::current();
    let body = move || {
        let opened = Engine::open(store, options, clock.now(), seed, bootstrap);
        let (mut engine, first_start) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let (queue, messages) = lane::queue(options.bounds.queue_max + LOOKS_MAX);
        let admission = Arc::new(Admission::new(options.bounds));
        let handle = Handle::new(Parts {
            queue,
            admission: admission.clone(),
            directory: ArcSwap::from_pointee(Directory::of(engine.state())),
            waiters: Waiters::default(),
            reader: engine.reader(),
            window: options.window,
            window_floor: engine.window_floor(),
            lease: options.lease,
            high_water: engine.time(clock.now()).0.into(),
            stopped,
            draining: false.into(),
            is_sampled: metrics.is_some().into(),
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
        if let Some(metrics) = &metrics {
            // Where the log stands, until the first commit says so.
            metrics.stands_at(engine.revision());
        }
        if passages.is_some() {
            engine.tell_passages();
        }
        let desk = Desk::new(shared, runtime, metrics, passages);
        let (pace, since) = (Pace::default(), Stopwatch::start());
        let room = Vec::with_capacity(BATCH_MAX);
        let mut thread = Thread { engine, messages, next: None, room, desk, clock, admission, pace, since };
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
    messages: Outlet,
    /// Taken from the queue, and for the next batch.
    next: Option<Message>,
    /// For the envelopes of the next batch: memory that would be asked of the system anew each time.
    room: Vec<Envelope>,
    desk: Desk,
    clock: Clock,
    admission: Arc<Admission>,
    pace: Pace,
    /// Runs since the end of the last turn.
    since: Stopwatch,
}

/// What was taken from the queue for one step.
#[derive(Default)]
struct Taken {
    envelopes: Vec<Envelope>,
    replies: Vec<Reply>,
    /// What the envelopes of callers come to.
    amount: Amount,
    /// How many envelopes are reports of workers.
    reports: usize,
    reads: Vec<Look>,
    /// How many of these are callers'.
    looks: usize,
    stop: bool,
}

impl Thread {
    fn run(&mut self) -> Stopped {
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return Stopped::Asked,
                Err(error) => {
                    // Replies are dropped unanswered: whether their calls took effect is for the next owner to say.
                    let text = with_causes(&error);
                    error!(error = text, "the store failed; the engine stops, restart the server when it is mended");
                    return Stopped::Failed(text);
                }
            }
        }
    }

    /// One batch. False when it was the last.
    fn turn(&mut self) -> Result<bool, Error> {
        let mut taken = Taken { envelopes: std::mem::take(&mut self.room), ..Taken::default() };
        if !self.take(&mut taken)? {
            return Ok(false);
        }
        let (took, amount, looks, wishes) = (Stopwatch::start(), taken.amount, taken.looks, taken.envelopes.len());
        self.admission.taken(amount);
        let goes_on = self.serve(&mut taken)?;
        taken.envelopes.clear();
        self.room = taken.envelopes;
        self.admission.done(amount);
        self.admission.looked(looks);
        self.messages.release();
        self.pace.turned(&self.admission, wishes, took.elapsed(), self.since.elapsed());
        self.since = Stopwatch::start();
        Ok(goes_on)
    }

    /// Does what was taken. False when nothing is to follow.
    fn serve(&mut self, taken: &mut Taken) -> Result<bool, Error> {
        let now = self.clock.now();
        let desk = &mut self.desk;
        let work = self.engine.prepare(now, &taken.envelopes, |store| desk.look(store))?;
        self.settle()?;
        let is_full = taken.envelopes.len() >= BATCH_MAX;
        if is_full && !taken.stop && taken.reads.is_empty() && self.has_more() {
            let mut output = self.engine.commit(now, work, Way::Ahead)?;
            output.deeds = deeds::of(&taken.envelopes, &output.answers, output.time);
            self.desk.keep(output, std::mem::take(&mut taken.replies));
            return Ok(true);
        }
        let mut output = self.engine.commit(now, work, Way::Waiting)?;
        output.deeds = deeds::of(&taken.envelopes, &output.answers, output.time);
        self.desk.hand_out(output, std::mem::take(&mut taken.replies));
        let view = View { engine: &self.engine, now: self.engine.time(now) };
        for read in taken.reads.drain(..) {
            read(&view);
        }
        if taken.stop {
            info!(revision = self.engine.revision().0, "the engine has stopped");
        }
        Ok(!taken.stop)
    }

    /// Whether something waits for the next batch already.
    fn has_more(&mut self) -> bool {
        self.has_more_after(0)
    }

    /// The same once so many reports of workers were taken for this batch: when they have had their share, callers go first.
    fn has_more_after(&mut self, reports: usize) -> bool {
        let messages = &mut self.messages;
        if self.next.is_none() {
            self.next = if reports < REPORTS_MAX {
                messages.of_worker().or_else(|| messages.of_caller())
            } else {
                messages.of_caller().or_else(|| messages.of_worker())
            };
        }
        self.next.is_some()
    }

    /// Waits until the state is as the disk has it.
    fn settle(&mut self) -> Result<(), Error> {
        self.engine.settle()?;
        self.desk.hand_out_kept();
        Ok(())
    }

    /// Waits for something to do and takes all that is there. False when nobody can send any more.
    fn take(&mut self, taken: &mut Taken) -> Result<bool, Error> {
        if !self.has_more() {
            self.settle()?;
            let sleep = self.engine.sleep_max(self.clock.now());
            match self.messages.sleep(Duration::from_millis(u64::try_from(sleep.0).unwrap_or(0))) {
                Ok(message) => self.next = Some(message),
                Err(RecvTimeoutError::Timeout) => return Ok(true),
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
        self.gather(taken)?;
        let waited = Stopwatch::start();
        for _ in 0..YIELDS {
            if !(FEW..BATCH_MAX).contains(&taken.envelopes.len()) || waited.elapsed() > YIELDS_LAST {
                break;
            }
            thread::yield_now();
            self.desk.look(&mut *self.engine.store)?;
            self.gather(taken)?;
        }
        Ok(true)
    }

    /// Takes all that is there, bounded whatever arrives: looks at the state must not hold a commit back for ever.
    fn gather(&mut self, taken: &mut Taken) -> Result<(), Error> {
        for _ in 0..MESSAGES_MAX {
            if taken.envelopes.len() >= BATCH_MAX || !self.has_more_after(taken.reports) {
                break;
            }
            if let Some(message) = self.next.take() {
                self.receive(taken, message)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, taken: &mut Taken, message: Message) -> Result<(), Error> {
        match message {
            Message::Call(Handed::One { envelope, reply, guard, sent }) => {
                self.desk.came(sent);
                taken.amount.add(Amount::of(std::slice::from_ref(&*envelope)));
                taken.envelopes.push(*envelope);
                taken.replies.push(Reply::One(reply, guard));
            }
            Message::Call(Handed::Many { envelopes, reply, guard, sent }) => {
                self.desk.came(sent);
                taken.amount.add(Amount::of(&envelopes));
                taken.envelopes.extend(envelopes);
                taken.replies.push(Reply::Many(reply, guard));
            }
            Message::Report(envelope, reply, guard) => {
                taken.reports += 1;
                taken.envelopes.push(*envelope);
                taken.replies.push(Reply::One(reply, guard));
            }
            Message::Read(read) => {
                taken.looks += 1;
                taken.reads.push(read);
            }
            Message::ReadFor(read) => taken.reads.push(read),
            Message::Worker(id, message) => self.worker(id, message)?,
            Message::Feed(feed, reply) => {
                self.settle()?;
                self.desk.feed(feed);
                let _ = reply.send(self.engine.revision());
            }
            Message::Poke => {}
            Message::Stop => {
                taken.stop = true;
                // Nothing that workers have said is left behind.
                while let Some(message) = self.messages.of_worker() {
                    self.receive(taken, message)?;
                }
            }
        }
        Ok(())
    }

    fn worker(&mut self, id: SessionId, message: WorkerMessage) -> Result<(), Error> {
        let now = self.clock.now();
        match message {
            WorkerMessage::Open { hello, pulse, orders, reply } => {
                // It is told what it holds.
                self.settle()?;
                let opened = self.engine.worker_opened(now, id, hello);
                self.engine.workers.listen(id, pulse);
                self.desk.open(id, orders, opened.replaced, opened.resend);
                let _ = reply.send(opened.stale);
            }
            WorkerMessage::Close => {
                self.engine.worker_closed(id);
                self.desk.close(id);
            }
            WorkerMessage::Heard => self.engine.worker_heard(now, id),
            WorkerMessage::Credit(slots) => self.engine.worker_credit(id, slots),
            WorkerMessage::Drain => self.engine.worker_drains(id),
            WorkerMessage::Progress(run_id, progress) => self.engine.worker_progress(id, run_id, progress),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
