//! The items of one stream of a submitter, from their arrival to their answers, in order. The only file that hands them
//! to the engine. It waits for nobody: it says what it waits for.
//!
//! An item stands in the backlog until the engine takes it, then in line until its answer has come. All streams together
//! may have no more in the engine than half of what waits there at most, so that callers of single calls find room
//! however many streams there are. A stream that does not get on leaves its items in the backlog and is read no further;
//! flow control does the rest.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use semel_core::{
    id::{RequestId, Timestamp},
    window::Window,
};
use semel_proto::{fingerprint::Content as _, rpc, v1};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

use super::job::parse_run_job;
use crate::{
    auth::{self, Verdict},
    engine::{Pending, Refused, Submitted},
    transport::{
        convert::{fields, reply},
        gate::{self, Gate},
        status::Refusal,
    },
};

/// Items of all streams that are in the engine at a time: half of what may wait there.
const SHARED_MAX: usize = 4096;
/// Items of one stream without an answer, beyond which it is not read.
const ITEMS_MAX: usize = 4096;
/// Bytes of their inputs, beyond which it is not read either.
const BYTES_MAX: usize = 8 << 20;
/// When the engine is looked at again after it was full.
const FULL_LOOK: Duration = Duration::from_millis(5);
/// What is shown of an id that is none.
const ID_CHARS_MAX: usize = 64;

/// What all streams of submitters share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Semaphore>);

impl Shared {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SHARED_MAX)))
    }
}

/// Why the first item of the backlog has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Streams have as much in the engine as they may.
    Crowded,
    /// The engine's queue is full.
    Full,
}

/// See the module.
pub(super) struct Queue {
    gate: Arc<Gate>,
    shared: Shared,
    window: Option<Window>,
    backlog: VecDeque<v1::RunJobRequest>,
    line: VecDeque<InLine>,
    held: Option<Held>,
    /// A place in the engine that was waited for.
    place: Option<OwnedSemaphorePermit>,
    /// Bytes of the inputs of all these items.
    bytes: usize,
}

struct InLine {
    request_id: String,
    parsed_id: Option<RequestId>,
    bytes: usize,
    fate: Fate,
}

enum Fate {
    /// It is in the engine, and holds a place there until its answer has come.
    Taken(Pin<Box<dyn Future<Output = Submitted> + Send>>),
    /// It never got there.
    Refused(rpc::Status),
}

/// Why an item does not go into the engine.
enum Turned {
    /// Not now.
    Full,
    /// Not at all.
    Away(Refusal),
}

impl Queue {
    pub(super) fn new(gate: Arc<Gate>, shared: Shared) -> Self {
        let window = gate.window();
        Self {
            gate,
            shared,
            window,
            backlog: VecDeque::new(),
            line: VecDeque::new(),
            held: None,
            place: None,
            bytes: 0,
        }
    }

    /// Takes the items of a message over.
    pub(super) fn take(&mut self, runs: Vec<v1::RunJobRequest>) {
        self.bytes += runs.iter().map(input_bytes).sum::<usize>();
        self.backlog.extend(runs);
    }

    /// Whether more may be read; `undelivered` results count as well.
    pub(super) fn has_room(&self, undelivered: usize) -> bool {
        self.backlog.is_empty() && self.line.len() + undelivered < ITEMS_MAX && self.bytes < BYTES_MAX
    }

    /// Whether nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        self.backlog.is_empty() && self.line.is_empty()
    }

    /// Hands in what the engine takes now, in order. A caller who may not be served has everything refused.
    pub(super) fn admit(&mut self, verdict: &Verdict) {
        self.held = None;
        if self.backlog.is_empty() {
            return;
        }
        let barred = Refusal::of_verdict(verdict);
        let now = self.gate.now();
        while let Some(item) = self.backlog.front() {
            let Some(place) = self.place.take().or_else(|| self.shared.0.clone().try_acquire_owned().ok()) else {
                self.held = Some(Held::Crowded);
                return;
            };
            let request_id = item.header.as_ref().map(|header| header.request_id.as_str()).unwrap_or_default();
            let parsed_id = fields::parse_request_id(request_id);
            let entered = match &barred {
                Some(refusal) => Err(Turned::Away(refusal.clone())),
                None => enter(&self.gate, verdict, item, request_id, parsed_id, now),
            };
            let fate = match entered {
                Ok(pending) => Fate::Taken(Box::pin(async move {
                    let submitted = pending.answer().await;
                    drop(place);
                    submitted
                })),
                Err(Turned::Full) => {
                    self.place = Some(place);
                    self.held = Some(Held::Full);
                    return;
                }
                Err(Turned::Away(refusal)) => {
                    self.place = Some(place);
                    Fate::Refused(refusal.into_rpc(self.gate.basis(request_id, parsed_id, verdict).header()))
                }
            };
            let bytes = input_bytes(item);
            let item = self.backlog.pop_front().expect("it was there");
            let request_id = item.header.map(|header| header.request_id).unwrap_or_default();
            let in_line = InLine { request_id: shown(request_id, parsed_id), parsed_id, bytes, fate };
            self.line.push_back(in_line);
        }
        // A place that is not needed is another stream's.
        self.place = None;
    }

    /// What has to come before [`Queue::admit`] is of use again; nothing is lost if it is not waited for to the end.
    pub(super) fn wait(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let (held, shared) = (self.held, self.shared.0.clone());
        async move {
            match held {
                Some(Held::Crowded) => shared.acquire_owned().await.ok(),
                Some(Held::Full) => {
                    time::sleep(FULL_LOOK).await;
                    None
                }
                None => std::future::pending().await,
            }
        }
    }

    /// The place that was waited for.
    pub(super) fn give(&mut self, place: Option<OwnedSemaphorePermit>) {
        self.place = self.place.take().or(place);
    }

    /// Moves the answers that have come into `ready`, in order; pending if none has come. All answers of one commit come
    /// at once, and so they leave together. They are taken whether or not the caller reads: a place in the engine is not
    /// held for a caller.
    pub(super) fn poll_answers(
        &mut self,
        context: &mut Context<'_>,
        verdict: &Verdict,
        ready: &mut VecDeque<v1::SubmitResult>,
    ) -> Poll<()> {
        let before = ready.len();
        while let Some(first) = self.line.front_mut() {
            let outcome = match &mut first.fate {
                Fate::Refused(status) => v1::submit_result::Outcome::Refused(std::mem::take(status)),
                Fate::Taken(answer) => match answer.as_mut().poll(context) {
                    Poll::Ready(submitted) => self.outcome(submitted, verdict),
                    Poll::Pending => break,
                },
            };
            let InLine { request_id, bytes, .. } = self.line.pop_front().expect("it was there");
            self.bytes -= bytes;
            ready.push_back(v1::SubmitResult { request_id, outcome: Some(outcome) });
        }
        if ready.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    fn outcome(&self, submitted: Submitted, verdict: &Verdict) -> v1::submit_result::Outcome {
        let first = self.line.front().expect("its answer has come");
        match submitted {
            Ok(answer) => {
                let safe = first.parsed_id.zip(self.window).map(|(id, window)| window.safe_retry_until(id));
                v1::submit_result::Outcome::Run(reply::submitted(&answer, safe))
            }
            Err(refused) => {
                let refusal = Refusal::of_refused(refused, v1::RunJobRequest::leaf_name);
                let header = self.gate.basis(&first.request_id, first.parsed_id, verdict).header();
                v1::submit_result::Outcome::Refused(refusal.into_rpc(header))
            }
        }
    }
}

/// The same rules as for a call of its own: credentials, id, fields; then the engine.
fn enter(
    gate: &Gate,
    verdict: &Verdict,
    item: &v1::RunJobRequest,
    request_id: &str,
    parsed_id: Option<RequestId>,
    now: Timestamp,
) -> Result<Pending, Turned> {
    let missing = || Refusal::of_verdict(&Verdict::refused(auth::Status::Missing));
    let principal = verdict.principal.as_ref();
    let principal = principal.ok_or_else(|| Turned::Away(missing().expect("a missing credential is a refusal")))?;
    let request_id = gate::required_id(request_id, parsed_id).map_err(Turned::Away)?;
    let parse = |item: &v1::RunJobRequest, app, fields: &mut fields::Fields| parse_run_job(item, app, fields, now);
    let envelope = gate.envelope(principal, request_id, item, parse).map_err(Turned::Away)?;
    let pending = gate.engine().map_err(Turned::Away)?.enqueue(envelope).map_err(|refused| match refused {
        Refused::Overloaded { .. } => Turned::Full,
        refused => Turned::Away(Refusal::of_refused(refused, v1::RunJobRequest::leaf_name)),
    })?;
    gate.served_anonymously(verdict);
    Ok(pending)
}

fn input_bytes(item: &v1::RunJobRequest) -> usize {
    item.payload.as_ref().map_or(0, |payload| payload.data.len())
}

/// An id as it is answered: whole if it is one, else what fits.
fn shown(request_id: String, parsed_id: Option<RequestId>) -> String {
    if parsed_id.is_some() { request_id } else { request_id.chars().take(ID_CHARS_MAX).collect() }
}
