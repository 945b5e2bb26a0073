//! The state of a running worker, and its one loop. Everything that a worker knows is owned here by one task: messages,
//! processors, timers and the shutdown all come to this loop, one at a time. What each of them does stands in
//! `lifecycle` (processors), `inbound` (messages of the server) and `outbound` (what is sent).

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use semel_proto::v1::{Drain, Heartbeat, Hello, WorkRequest, work_request::Kind};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Settings, Summary, TIMEOUT_MAX,
    attempt::{AttemptKey, Held, Stop},
    context::Event,
    lease::Lease,
    link::{self, Dialled, Link, LinkEvent},
    timers::Timers,
};
use crate::{
    auth::Signature,
    client::Client,
    error::{Error, ErrorKind},
    retry::RetryOptions,
};

/// How many messages of processors may wait for the loop.
const EVENTS_MAX: usize = 1024;
/// How often a worker with nothing to do looks around all the same.
const IDLE_WAKE: Duration = Duration::from_secs(5);
/// How long a worker that has stopped its processors waits for the last acknowledgements.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it waits for the server to end the stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

type Renewing = Pin<Box<dyn Future<Output = Result<Signature, Error>> + Send>>;

pub(crate) struct Runtime {
    pub(super) client: Client,
    pub(super) settings: Settings,
    pub(super) attempts: BTreeMap<AttemptKey, Held>,
    /// How many processors run.
    pub(super) running: usize,
    /// How many of these belong to attempts that are over for the server, and so take room that it does not know of.
    pub(super) stopping: usize,
    /// What waits for which acknowledgement on the present stream.
    pub(super) acks: BTreeMap<String, AttemptKey>,
    /// The attempts that may have something to send.
    pub(super) ready: VecDeque<AttemptKey>,
    /// What is sent before all else, and is not sent again.
    pub(super) control: VecDeque<WorkRequest>,
    pub(super) timers: Timers,
    pub(super) link: Link,
    pub(super) lease: Lease,
    /// How many answers to heartbeats are to come until the server is known to have read `Drain`.
    ///
    /// The stream keeps its order, so whatever the server assigned before it read `Drain` stands before the answer to a
    /// heartbeat that was sent after it. Ending sooner would leave such an attempt to its lease.
    pub(super) drain_unread: usize,
    /// How many slots the server was told of last.
    pub(super) credit: usize,
    pub(super) phase: Phase,
    pub(super) summary: Summary,
    pub(super) reconnect: RetryOptions,
    /// How often in a row the stream could not be made, or was lost before anything came over it.
    pub(super) failures: u32,
    pub(super) renewing: Option<Renewing>,
    pub(super) renew_at: Option<Instant>,
    pub(super) events_tx: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    opened_once: bool,
}

/// How far a worker is with its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It works.
    Serving,
    /// It takes no new work; what runs may end until then.
    Draining(Instant),
    /// Everything was told to stop; reports may be acknowledged until then.
    Flushing(Instant),
}

impl Runtime {
    pub(super) fn new(client: Client, settings: Settings) -> Self {
        let (events_tx, events) = mpsc::channel(EVENTS_MAX);
        let now = Instant::now();
        Self {
            client,
            settings,
            attempts: BTreeMap::new(),
            running: 0,
            stopping: 0,
            acks: BTreeMap::new(),
            ready: VecDeque::new(),
            control: VecDeque::new(),
            timers: Timers::default(),
            link: Link::Down(now),
            lease: Lease::new(now),
            drain_unread: 0,
            credit: 0,
            phase: Phase::Serving,
            summary: Summary::default(),
            reconnect: link::reconnect_options(),
            failures: 0,
            renewing: None,
            renew_at: None,
            events_tx,
            events,
            opened_once: false,
        }
    }

    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<Summary, Error> {
        let mut shutdown = pin!(shutdown);
        loop {
            self.advance(Instant::now());
            if self.is_done() {
                break;
            }
            let wake = self.next_wake();
            tokio::select! {
                () = &mut shutdown, if self.phase == Phase::Serving => self.begin_drain(Instant::now()),
                Some(event) = self.events.recv() => self.on_event(event, Instant::now()),
                event = self.link.next() => self.on_link(event, Instant::now())?,
                signature = renewed(&mut self.renewing) => self.on_renewed(signature, Instant::now()),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        self.close().await
    }

    /// Does all that is due.
    fn advance(&mut self, now: Instant) {
        self.check_lease(now);
        while let Some(timer) = self.timers.pop(now) {
            self.on_timer(timer, now);
        }
        match (&self.link, self.phase) {
            (Link::Down(at), _) if *at <= now => self.dial(),
            (Link::Up(_), _) if self.lease.is_silent(now) => {
                tracing::warn!("the server has gone silent, reconnecting");
                self.lose_link(now, None);
            }
            (Link::Up(_), _) if self.lease.heartbeat_is_due(now) => self.heartbeat(now),
            _ => {}
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_token();
        }
        match self.phase {
            Phase::Draining(until) if until <= now => self.begin_flush(now),
            _ => {}
        }
        self.pump(now);
    }

    fn next_wake(&self) -> Instant {
        let link = match &self.link {
            Link::Down(at) => Some(*at),
            Link::Dialing(_) => None,
            Link::Up(_) => Some(self.lease.next_on_stream()),
        };
        let lease = self.lease.next_loss().filter(|_| self.running > 0);
        let phase = match self.phase {
            Phase::Serving => None,
            Phase::Draining(until) | Phase::Flushing(until) => Some(until),
        };
        let wakes = [link, lease, phase, self.renew_at, self.timers.next()];
        // Without anything to do it wakes now and then all the same, which costs nothing.
        wakes.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + IDLE_WAKE)
    }

    fn is_done(&self) -> bool {
        match self.phase {
            Phase::Serving => false,
            Phase::Draining(_) => self.attempts.is_empty() && self.has_no_more_to_come(),
            Phase::Flushing(until) => self.attempts.is_empty() || until <= Instant::now(),
        }
    }

    /// Whether no assignment can be under way to this worker any more.
    fn has_no_more_to_come(&self) -> bool {
        match &self.link {
            Link::Down(_) => true,
            // The server may have read `Hello` and given work.
            Link::Dialing(_) => false,
            Link::Up(_) => self.drain_unread == 0,
        }
    }

    fn check_lease(&mut self, now: Instant) {
        if !self.lease.just_lost(now) {
            return;
        }
        if self.running > 0 {
            tracing::warn!(running = self.running, "the leases must be presumed lost, stopping what runs");
        }
        self.stop_all(Stop::LeaseLost, now);
    }

    fn heartbeat(&mut self, now: Instant) {
        self.resend_overdue(now);
        self.send_all_progress(now);
        self.lease.sent(now);
        self.control(Kind::Heartbeat(Heartbeat {}));
    }

    /// Tells the server that no more work is wanted, with a heartbeat behind it whose answer shows that it was read.
    fn send_drain(&mut self, now: Instant) {
        if matches!(self.link, Link::Up(_)) {
            self.control(Kind::Drain(Drain {}));
            self.drain_unread = self.lease.sent(now);
            self.control(Kind::Heartbeat(Heartbeat {}));
        }
    }

    fn dial(&mut self) {
        let held = self.attempts.iter().filter(|(_, held)| held.stop != Stop::Over).map(|(key, _)| key.to_ref());
        let slots = self.wanted_credit();
        let hello = Hello {
            app: self.settings.app.clone(),
            worker_id: self.settings.worker_id.clone(),
            worker_name: self.settings.name.clone(),
            processors: self.settings.processors.keys().cloned().collect(),
            slots: i32::try_from(slots).unwrap_or(i32::MAX),
            held: held.collect(),
        };
        self.credit = slots;
        self.link = Link::Dialing(Box::pin(link::dial(self.client.clone(), hello)));
    }

    fn on_link(&mut self, event: LinkEvent, now: Instant) -> Result<(), Error> {
        match event {
            LinkEvent::Opened(dialled) => self.on_opened(*dialled, now),
            LinkEvent::DialFailed(error) => return self.on_dial_failed(error, now),
            LinkEvent::Message(message) => self.on_message(*message, now),
            LinkEvent::Ended(status) => {
                let code = status.as_ref().map(tonic::Status::code);
                let message = status.as_ref().map(tonic::Status::message);
                tracing::info!(?code, message, "the stream has ended, reconnecting");
                self.lose_link(now, None);
            }
            LinkEvent::Writable => {}
        }
        Ok(())
    }

    fn on_opened(&mut self, dialled: Dialled, now: Instant) {
        self.opened_once = true;
        let Dialled { up, opened, hello_at } = dialled;
        self.lease.opened(&opened, hello_at, now);
        tracing::info!(worker_id = %self.settings.worker_id, held = self.attempts.len(), "the stream is open");
        self.link = Link::Up(Box::new(up));
        for stale in &opened.stale {
            self.attempt_over(&AttemptKey::new(&stale.run_id, stale.attempt), now);
        }
        self.ready = self.attempts.keys().cloned().collect();
        if self.phase != Phase::Serving {
            self.send_drain(now);
        }
        self.update_credit();
    }

    /// A worker waits for a server that is not there; it gives up when a Semel server refuses it for good, or when at
    /// its very first try something answers that will never be one.
    fn on_dial_failed(&mut self, error: Error, now: Instant) -> Result<(), Error> {
        let lasting = !error.may_retry() && error.kind() != ErrorKind::Transport;
        if lasting && (error.kind() == ErrorKind::Refused || !self.opened_once) {
            return Err(error);
        }
        tracing::warn!(%error, "cannot open the stream yet");
        self.lose_link(now, error.retry_after());
        Ok(())
    }

    /// Takes note that there is no stream, and when to make the next one. What was under way on it is sent again.
    pub(super) fn lose_link(&mut self, now: Instant, at_least: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let jitter = self.reconnect.backoff(self.failures, fastrand::f64());
        self.link = Link::Down(now + at_least.unwrap_or_default().min(TIMEOUT_MAX) + jitter);
        self.control.clear();
        self.acks.clear();
        self.lease.closed();
        self.renewing = None;
        self.renew_at = None;
        for held in self.attempts.values_mut() {
            held.in_flight = false;
        }
    }

    fn begin_drain(&mut self, now: Instant) {
        tracing::info!(running = self.running, "draining");
        self.phase = Phase::Draining(now + self.settings.drain_timeout);
        self.credit = 0;
        self.send_drain(now);
    }

    fn begin_flush(&mut self, now: Instant) {
        tracing::info!(running = self.running, "the time to drain is over, giving back what runs");
        self.stop_all(Stop::Draining, now);
        self.phase = Phase::Flushing(now + self.settings.cancel_timeout + FLUSH_TIMEOUT);
    }

    async fn close(mut self) -> Result<Summary, Error> {
        self.summary.unreported = u64::try_from(self.attempts.len()).unwrap_or(u64::MAX);
        // Processors that would not stop are dropped here.
        self.attempts.clear();
        if let Link::Up(up) = self.link {
            up.close(CLOSE_TIMEOUT).await;
        }
        tracing::info!(summary = ?self.summary, "the worker has ended");
        Ok(self.summary)
    }
}

async fn renewed(renewing: &mut Option<Renewing>) -> Result<Signature, Error> {
    match renewing {
        Some(future) => {
            let signature = future.await;
            *renewing = None;
            signature
        }
        None => std::future::pending().await,
    }
}
