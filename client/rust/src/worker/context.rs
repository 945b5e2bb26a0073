//! What a processor sees of its attempt, and the little it may say while it works. It decides nothing: cancelling,
//! sending and reporting are the runtime's.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use semel_proto::v1::{Assignment, LogStream, Payload, TraceContext};
use tokio::sync::{mpsc, watch};

use super::{
    attempt::AttemptKey,
    log::{CHUNK_BYTES, LogBuffer, Wake},
    processor::Outcome,
};
use crate::client::Client;

/// One attempt, as its processor sees it. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Shared>);

/// What a processor and the runtime share.
pub(crate) struct Shared {
    pub(crate) key: AttemptKey,
    pub(crate) assignment: Assignment,
    pub(crate) log: LogBuffer,
    pub(crate) cancelled: watch::Sender<bool>,
    pub(crate) events: mpsc::Sender<Event>,
    progress: Mutex<Option<(f64, String)>>,
    client: Client,
}

/// What a processor says to the runtime.
#[derive(Debug)]
pub(crate) enum Event {
    /// There is log to be sent, now or soon.
    Log(AttemptKey, Wake),
    /// There is progress to be sent.
    Progress(AttemptKey),
    /// It has ended.
    Ended(AttemptKey, Ended),
}

/// How a processor's task ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Returned(Outcome),
    Panicked(String),
    Aborted,
}

impl Shared {
    pub(crate) fn new(key: AttemptKey, assignment: Assignment, events: mpsc::Sender<Event>, client: Client) -> Self {
        let cancelled = watch::Sender::new(false);
        Self { key, assignment, log: LogBuffer::new(), cancelled, events, progress: Mutex::default(), client }
    }

    pub(crate) fn context(self: &Arc<Self>) -> Context {
        Context(self.clone())
    }

    /// Takes the progress that was set last, if it was not taken yet.
    pub(crate) fn take_progress(&self) -> Option<(f64, String)> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Context {
    /// The run.
    pub fn run_id(&self) -> &str {
        &self.0.assignment.run_id
    }

    /// The number of the attempt, from 1 on. It is also the fencing token: it only grows, so whatever this processor
    /// changes should refuse a smaller one than it has seen.
    pub fn attempt(&self) -> i64 {
        self.0.assignment.attempt
    }

    /// Run and attempt in one word, `<run id>/<attempt>`: the key under which to make effects idempotent per attempt.
    pub fn attempt_id(&self) -> String {
        format!("{}/{}", self.run_id(), self.attempt())
    }

    /// How many attempts the run may have.
    pub fn max_attempts(&self) -> i32 {
        self.0.assignment.max_attempts
    }

    /// The trigger of the job that made the run; empty if none did.
    pub fn trigger(&self) -> &str {
        &self.0.assignment.trigger
    }

    /// The time that the run was made for, by the schedule of its trigger: the same however late it runs, and over all
    /// attempts. What a nightly run works on hangs on this, and not on the clock.
    pub fn scheduled_time(&self) -> Option<SystemTime> {
        self.0.assignment.scheduled_time.and_then(|time| SystemTime::try_from(time).ok())
    }

    /// The span of this attempt in the trace of the run: let that of the work be its child. Nothing if the run is in no
    /// trace.
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.0.assignment.trace_context.as_ref()
    }

    /// The app.
    pub fn app(&self) -> &str {
        &self.0.assignment.app
    }

    /// The job.
    pub fn job(&self) -> &str {
        &self.0.assignment.job
    }

    /// The name under which this processor was asked for.
    pub fn processor(&self) -> &str {
        &self.0.assignment.processor
    }

    /// The input; empty if the run has none.
    pub fn payload(&self) -> &Payload {
        static EMPTY: Payload = Payload { data: bytes::Bytes::new(), content_type: String::new() };
        self.0.assignment.payload.as_ref().unwrap_or(&EMPTY)
    }

    /// The labels of the run.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.0.assignment.labels
    }

    /// When the attempt counts as timed out, by the server's clock; nothing if never. See [`Context::time_left`].
    pub fn deadline(&self) -> Option<SystemTime> {
        self.0.assignment.attempt_deadline.and_then(|deadline| SystemTime::try_from(deadline).ok())
    }

    /// How long the attempt may still take, as far as this client knows the server's clock; nothing if for ever.
    pub fn time_left(&self) -> Option<Duration> {
        let now = self.0.client.core().transport.clock().now();
        self.deadline().map(|deadline| deadline.duration_since(now).unwrap_or(Duration::ZERO))
    }

    /// Ready when the processor is to stop: the run was cancelled or timed out, the worker is shutting down, or the lease
    /// is lost and another worker may have the run by now.
    pub async fn cancelled(&self) {
        let mut cancelled = self.0.cancelled.subscribe();
        // The sender stands beside the receiver, so waiting cannot fail.
        let _ = cancelled.wait_for(|cancelled| *cancelled).await;
    }

    /// Whether the processor is to stop.
    pub fn is_cancelled(&self) -> bool {
        *self.0.cancelled.borrow()
    }

    /// Says how far the attempt is: from 0 to 1, and at what. Volatile: only the last one counts, and only now and then
    /// is one sent.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        let mut progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let news = progress.replace((fraction.clamp(0.0, 1.0), cut(message.into(), 255))).is_none();
        drop(progress);
        if news {
            // If the queue is full this one is picked up with the next heartbeat.
            let _ = self.0.events.try_send(Event::Progress(self.0.key.clone()));
        }
    }

    /// Writes to the log of the run. Waits while too much of it is not acknowledged yet. What is written after the
    /// attempt was lost goes nowhere.
    pub async fn log(&self, stream: LogStream, bytes: impl AsRef<[u8]>) {
        for piece in bytes.as_ref().chunks(CHUNK_BYTES) {
            if !self.0.log.reserve(piece.len()).await {
                return;
            }
            let wake = self.0.log.write(stream, piece);
            if wake != Wake::No {
                // This fails only when the worker is gone, and the log with it.
                let _ = self.0.events.send(Event::Log(self.0.key.clone(), wake)).await;
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("attempt", &self.attempt_id()).field("job", &self.job()).finish_non_exhaustive()
    }
}

/// Cuts a text to so many characters.
pub(crate) fn cut(mut text: String, characters_max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters_max) {
        text.truncate(end);
    }
    text
}
