//! The way to the shared stream, as calls see it: whether it is to be had, and what came back. It decides when the
//! stream is worth it; it never sends anything itself.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prost::Message as _;
use semel_proto::v1::{ClientInfo, RunJobRequest, RunJobResponse};
use tokio::sync::{mpsc, oneshot};
use tonic::Code;

use super::driver::Driver;
use crate::{
    auth::Signature,
    refusal::{Origin, Refusal},
    transport::Transport,
};

/// So many runs under way at a time make the stream worth it.
const LOAD: usize = 16;
/// Runs that may wait for the stream to take them.
const QUEUE_MAX: usize = 8192;
/// How long calls do without a stream that broke in a way that calls do not: so long for the first time, and twice as long
/// for each further one, up to a bound. Something on the way may have hiccuped, or may never let a stream live.
const OFF_FIRST: Duration = Duration::from_millis(250);
/// The bound; and a stream that has lived so long was a good one.
pub(super) const OFF_MAX: Duration = Duration::from_secs(30);
/// A larger run goes by a call of its own: its neighbours should not wait for it.
const ITEM_BYTES_MAX: usize = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pipe {
    under_load: bool,
    transport: Arc<Transport>,
    client_info: ClientInfo,
    stall: Duration,
    queue: Mutex<Option<mpsc::Sender<Item>>>,
    state: Arc<State>,
}

/// What the pipe and its driver share.
#[derive(Debug, Default)]
pub(crate) struct State {
    under_way: AtomicUsize,
    answered: AtomicU64,
    off: Mutex<Off>,
}

/// Since when, and how often, the stream is not to be had.
#[derive(Debug, Default)]
struct Off {
    until: Option<Instant>,
    times: u32,
}

/// One attempt of one run that waits for the stream.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) request: RunJobRequest,
    pub(super) bytes: usize,
    pub(super) signature: Signature,
    pub(super) ticket: oneshot::Sender<Fate>,
}

/// What became of an attempt over the stream.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Answered(Box<RunJobResponse>),
    Refused(Box<Refusal>),
    /// The stream is not to be had: a call of its own is to be made instead.
    NotHad,
}

/// Holds the place of an attempt over the stream.
#[derive(Debug)]
pub(crate) struct Ticket(oneshot::Receiver<Fate>);

/// Counts a run as under way for as long as it is held.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<State>);

impl Pipe {
    /// `stall` is for how long nothing may come back before the stream counts as broken.
    pub(crate) fn new(transport: Arc<Transport>, client_info: ClientInfo, under_load: bool, stall: Duration) -> Self {
        Self { under_load, transport, client_info, stall, queue: Mutex::default(), state: Arc::default() }
    }

    /// Counts a run as under way.
    pub(crate) fn enter(&self) -> UnderWay {
        self.state.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.state.clone())
    }

    /// Whether there are so many runs under way that they are to share the stream.
    pub(crate) fn is_worth_it(&self) -> bool {
        self.under_load && self.state.under_way.load(Ordering::Relaxed) > LOAD
    }

    /// How many runs the stream has answered so far, with a run or a refusal.
    pub(crate) fn answered(&self) -> u64 {
        self.state.answered.load(Ordering::Relaxed)
    }

    /// Puts an attempt in line; none if the stream is not to be had for it.
    pub(crate) fn offer(&self, request: &RunJobRequest, signature: &Signature) -> Option<Ticket> {
        let bytes = request.encoded_len();
        if bytes > ITEM_BYTES_MAX || self.state.is_off() {
            return None;
        }
        let (ticket, fate) = oneshot::channel();
        let mut request = request.clone();
        // The stream says once who sends.
        request.header.as_mut()?.client = None;
        let item = Item { request, bytes, signature: signature.clone(), ticket };
        self.queue().try_send(item).ok()?;
        Some(Ticket(fate))
    }

    /// The queue to the driver, which is started when there is none: the runtime of the former may have ended.
    fn queue(&self) -> mpsc::Sender<Item> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = queue.as_ref().filter(|queue| !queue.is_closed()) {
            return open.clone();
        }
        let (sender, items) = mpsc::channel(QUEUE_MAX);
        let driver = Driver {
            transport: self.transport.clone(),
            client_info: self.client_info.clone(),
            stall: self.stall,
            state: self.state.clone(),
            items,
        };
        tokio::spawn(driver.run());
        *queue = Some(sender.clone());
        sender
    }
}

impl State {
    /// Calls are to do without the stream, for longer each time.
    pub(super) fn switch_off(&self) {
        let mut off = self.off();
        off.until = Some(Instant::now() + off.span());
        off.times = off.times.saturating_add(1);
    }

    /// Calls are to do without the stream for so long.
    pub(super) fn switch_off_for(&self, span: Duration) {
        self.off().until = Some(Instant::now() + span);
    }

    /// What went wrong before counts no longer.
    pub(super) fn forgive(&self) {
        self.off().times = 0;
    }

    fn is_off(&self) -> bool {
        self.off().until.is_some_and(|until| Instant::now() < until)
    }

    fn off(&self) -> MutexGuard<'_, Off> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Off {
    fn span(&self) -> Duration {
        OFF_FIRST.saturating_mul(1_u32.checked_shl(self.times).unwrap_or(u32::MAX)).min(OFF_MAX)
    }
}

impl Ticket {
    /// What became of the attempt; none if a call of its own is to be made instead.
    pub(crate) async fn answer(self, timeout: Duration) -> Option<Result<RunJobResponse, Box<Refusal>>> {
        match tokio::time::timeout(timeout, self.0).await {
            Ok(Ok(Fate::Answered(answer))) => Some(Ok(*answer)),
            Ok(Ok(Fate::Refused(refusal))) => Some(Err(refusal)),
            Ok(Ok(Fate::NotHad)) | Ok(Err(_)) => None,
            Err(_) => {
                let message = "no answer came within the request timeout";
                Some(Err(Refusal::local(Code::DeadlineExceeded, message, Origin::NoAnswer).into()))
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_breaks_again_and_again_is_done_without_for_longer_each_time() {
        let state = State::default();
        assert!(!state.is_off());
        let mut spans = Vec::new();
        for _ in 0..40 {
            spans.push(state.off().span());
            state.switch_off();
        }
        assert!(state.is_off());
        assert_eq!(spans[..3], [OFF_FIRST, OFF_FIRST * 2, OFF_FIRST * 4]);
        assert_eq!((spans[39], spans.is_sorted()), (OFF_MAX, true));
        state.forgive();
        assert_eq!(state.off().span(), OFF_FIRST);
        assert!(state.is_off(), "what was said holds");
    }
}
