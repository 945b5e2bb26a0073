//! The items of one stream of a submitter, from their arrival to their answers, in order. The only file that hands them
//! to the engine. It waits for nobody: it says what it waits for.
//!
//! An item stands in the backlog until the engine takes it, then in line until its answer has come. Items that stand there
//! together are handed in together: a message more or less to the engine costs more than an item. All streams together
//! may have no more in the engine than half of what waits there at most, so that callers of single calls find room
//! however many streams there are. A stream that does not get on leaves its items in the backlog and is read no further;
//! flow control does the rest.

use std::{
    collections::VecDeque,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use semel_core::{
    id::{RequestId, Timestamp},
    trace::TraceContext,
    window::Window,
};
use semel_proto::{fingerprint::Content as _, rpc, v1};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tonic::Code;

use super::job::parse_run_job;
use crate::{
    auth::{self, Verdict},
    clock::Stopwatch,
    engine::{Disposition, Envelope, PendingAll, Refused, Submitted},
    otlp::{OwnSpan, Place},
    transport::{
        audit::{self, Asked},
        convert::{fields, reply},
        gate::{self, Gate},
        held::{Budget, Held as Kept, ITEM_BYTES, RESULT_BYTES},
        quota::Charge,
        status::Refusal,
        trace::{self, Drawn},
        turns::{Turn, Turns},
    },
};

/// Items of one stream without an answer, beyond which it is not read.
const ITEMS_MAX: usize = 4096;
/// Bytes of them and of answers that have not left, beyond which it is not read either.
const BYTES_MAX: usize = 8 << 20;
/// The same of all streams, beyond which none is read that has more than its crumb of them.
const SHARED_BYTES_MAX: usize = 128 << 20;
const CRUMB_BYTES: usize = 64 << 10;
/// Items that are handed in together at most: half of what goes into one commit, so that two streams find room in it.
const TOGETHER_MAX: usize = 256;
/// Items that are refused together where all are.
const REFUSED_TOGETHER: usize = 32;
/// Items that are forgotten together when their stream has ended.
const FORGOTTEN_TOGETHER: usize = 32;
/// When the engine is looked at again after it was full.
const FULL_LOOK: Duration = Duration::from_millis(5);
/// What is shown of an id that is none.
const ID_CHARS_MAX: usize = 64;

/// What all streams of submitters share.
#[derive(Clone)]
pub(super) struct Shared {
    turns: Turns,
    places: Arc<Semaphore>,
    bytes: Arc<Budget>,
}

impl Shared {
    /// Of all that may wait in the engine, half, and of the runtime's threads too.
    pub(super) fn new(queue_max: usize) -> Self {
        let turns = Turns::of_half_the_threads();
        let places = Arc::new(Semaphore::new(queue_max.div_ceil(2)));
        Self { turns, places, bytes: Arc::new(Budget::new(SHARED_BYTES_MAX)) }
    }

    /// Whether a stream that has so many bytes may have more. One that may not has items on their way, and asks again when
    /// these are answered.
    fn has_room(&self, own: usize) -> bool {
        own < CRUMB_BYTES || own < BYTES_MAX && !self.bytes.is_full()
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
    /// Where the stream comes from.
    address: Option<IpAddr>,
    window: Option<Window>,
    backlog: VecDeque<v1::RunJobRequest>,
    line: VecDeque<Entry>,
    held: Option<Held>,
    /// A place in the engine that was waited for.
    place: Option<OwnedSemaphorePermit>,
    /// Items in line.
    in_line: usize,
    /// Bytes of all items and their answers.
    bytes: Kept,
}

/// What stands in line.
enum Entry {
    /// Items that are in the engine, each with a place there until their answers have come.
    Taken { items: Vec<Item>, answers: PendingAll, _places: OwnedSemaphorePermit },
    /// One that never got there.
    Refused(Item, rpc::Status),
}

/// What is known of an item once its content is handed on.
struct Item {
    request_id: String,
    parsed_id: Option<RequestId>,
    bytes: usize,
    /// Its span, since when.
    drawn: Option<Box<(OwnSpan, Stopwatch)>>,
}

impl Queue {
    pub(super) fn new(gate: Arc<Gate>, shared: Shared, address: Option<IpAddr>) -> Self {
        let window = gate.window();
        let bytes = Kept::new(shared.bytes.clone(), None);
        Self {
            gate,
            shared,
            address,
            window,
            backlog: VecDeque::new(),
            line: VecDeque::new(),
            held: None,
            place: None,
            in_line: 0,
            bytes,
        }
    }

    /// Takes the items of a message over.
    pub(super) fn take(&mut self, runs: Vec<v1::RunJobRequest>) {
        self.bytes.keep(runs.iter().map(memory_of).sum());
        self.backlog.extend(runs);
    }

    /// Whether more may be waited for; `undelivered` results count as well.
    pub(super) fn has_room(&self, undelivered: usize) -> bool {
        self.is_all_in() && self.may_gather(undelivered)
    }

    /// Whether what is there already may be read too, to be handed in together.
    pub(super) fn may_gather(&self, undelivered: usize) -> bool {
        let items = self.backlog.len() + self.in_line + undelivered;
        self.backlog.len() < TOGETHER_MAX && items < ITEMS_MAX && self.shared.has_room(self.bytes.bytes())
    }

    /// Whether the engine has all that was taken over.
    pub(super) fn is_all_in(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Whether nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        self.is_all_in() && self.line.is_empty()
    }

    /// When it is time to read, and to hand in.
    pub(super) fn turns(&self) -> &Turns {
        &self.shared.turns
    }

    /// Hands in what the engine takes now, in order, until the turn is over; gives whether the engine takes no more just now. A
    /// caller who may not be served has everything refused.
    pub(super) fn admit(&mut self, verdict: &Verdict, turn: &Turn) -> bool {
        self.held = None;
        let refusal = Refusal::of_verdict(verdict);
        while !self.backlog.is_empty() && self.held.is_none() {
            match &refusal {
                Some(refusal) => self.refuse(self.backlog.len().min(REFUSED_TOGETHER), refusal, verdict),
                None => self.held = self.hand_in(verdict).err(),
            }
            if turn.is_over() {
                break;
            }
        }
        // A place that is not needed is another stream's.
        if self.held != Some(Held::Full) {
            self.place = None;
        }
        self.held.is_some()
    }

    /// Forgets what waits, and what is ready to be said, until the turn is over; gives whether that was all.
    pub(super) fn forget(&mut self, ready: &mut VecDeque<v1::SubmitResult>, turn: &Turn) -> bool {
        turn.work(|| {
            (0..FORGOTTEN_TOGETHER).any(|_| {
                ready.pop_front().is_none() && self.line.pop_front().is_none() && self.backlog.pop_front().is_none()
            })
        })
    }

    /// Hands in as many items as there are places for, up to the first that may not go in, which is refused.
    fn hand_in(&mut self, verdict: &Verdict) -> Result<(), Held> {
        let mut places = self.places(self.backlog.len().min(TOGETHER_MAX)).ok_or(Held::Crowded)?;
        let now = self.gate.now();
        let mut envelopes = Vec::with_capacity(places.num_permits());
        let (mut charges, mut drawn, mut refusal) = (Vec::new(), Vec::with_capacity(envelopes.capacity()), None);
        for item in self.backlog.iter().take(places.num_permits()) {
            match envelope(&self.gate, verdict, item, now) {
                Ok((mut envelope, charge)) => {
                    let (context, own) = placed(&self.gate, item);
                    envelope.arrive(None, context, None);
                    envelope.audit(self.gate.audit(), audit::caller(verdict, self.address));
                    drawn.push((envelope.request_id(), own.map(|own| Box::new((own, Stopwatch::start())))));
                    envelopes.push(envelope);
                    // Without a quota there is nothing to keep.
                    charges.extend(Some(charge).filter(Charge::is_real));
                }
                Err(away) => {
                    refusal = Some(away);
                    break;
                }
            }
        }
        let count = envelopes.len();
        match self.enqueue(envelopes) {
            Ok(None) => {}
            Ok(Some(answers)) => {
                let items = drawn.into_iter().map(|(id, drawn)| Item { drawn, ..self.pop(|_| Some(id)) }).collect();
                let taken = places.split(count).expect("each item has a place");
                self.line.push_back(Entry::Taken { items, answers, _places: taken });
                self.gate.served_anonymously(verdict, count);
            }
            Err(Refused::Overloaded { .. }) => {
                charges.into_iter().for_each(Charge::give_back);
                self.place = Some(places);
                return Err(Held::Full);
            }
            Err(refused) => {
                charges.into_iter().for_each(Charge::give_back);
                let refusal = Refusal::of_refused(refused, v1::RunJobRequest::leaf_name);
                self.refuse(count, &refusal, verdict);
            }
        }
        if let Some(refusal) = refusal {
            self.refuse(1, &refusal, verdict);
        }
        self.place = Some(places).filter(|places| places.num_permits() > 0);
        Ok(())
    }

    fn enqueue(&self, envelopes: Vec<Envelope>) -> Result<Option<PendingAll>, Refused> {
        if envelopes.is_empty() {
            return Ok(None);
        }
        let engine = self.gate.engine().map_err(|_| Refused::NoOwner)?;
        engine.enqueue_all(envelopes).map(Some)
    }

    /// Places in the engine for so many items, or for fewer; none if there is none.
    fn places(&mut self, wanted: usize) -> Option<OwnedSemaphorePermit> {
        let held = self.place.take();
        let missing = wanted.saturating_sub(held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let free = u32::try_from(self.shared.places.available_permits().min(missing)).unwrap_or(u32::MAX);
        let more = self.shared.places.clone().try_acquire_many_owned(free).ok().filter(|more| more.num_permits() > 0);
        match (held, more) {
            (Some(mut held), Some(more)) => {
                held.merge(more);
                Some(held)
            }
            (held, more) => held.or(more),
        }
    }

    /// Refuses the first items of the backlog.
    fn refuse(&mut self, count: usize, refusal: &Refusal, verdict: &Verdict) {
        for _ in 0..count {
            let app = self.backlog.front().map(|item| item.app.clone()).unwrap_or_default();
            let item = self.pop(fields::parse_request_id);
            self.audit(refusal, &item.request_id, &app, verdict);
            let header = self.gate.basis(&item.request_id, item.parsed_id, verdict).header();
            self.line.push_back(Entry::Refused(item, refusal.clone().into_rpc(header)));
        }
    }

    /// Moves the first item of the backlog into line, with its id as it was or is parsed.
    fn pop(&mut self, parse: impl FnOnce(&str) -> Option<RequestId>) -> Item {
        let item = self.backlog.pop_front().expect("it was there");
        let bytes = memory_of(&item);
        let request_id = item.header.map(|header| header.request_id).unwrap_or_default();
        let parsed_id = parse(&request_id);
        self.in_line += 1;
        Item { request_id: shown(request_id, parsed_id), parsed_id, bytes, drawn: None }
    }

    /// What has to come before [`Queue::admit`] is of use again; nothing is lost if it is not waited for to the end.
    pub(super) fn wait(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let (held, places) = (self.held, self.shared.places.clone());
        async move {
            match held {
                Some(Held::Crowded) => places.acquire_owned().await.ok(),
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
            let answers = match first {
                Entry::Refused(..) => None,
                Entry::Taken { answers, .. } => match Pin::new(answers).poll(context) {
                    Poll::Ready(answers) => answers,
                    Poll::Pending => break,
                },
            };
            match self.line.pop_front().expect("it was there") {
                Entry::Refused(item, status) => {
                    self.deliver(item, v1::submit_result::Outcome::Refused(status), ready);
                }
                Entry::Taken { items, .. } => {
                    let answers = answers.unwrap_or_else(|| items.iter().map(|_| Err(Refused::NoOwner)).collect());
                    for (mut item, submitted) in items.into_iter().zip(answers) {
                        if let Some(drawn) = item.drawn.take() {
                            self.draw(*drawn, &item, &submitted);
                        }
                        let outcome = self.outcome(&item, submitted, verdict);
                        self.deliver(item, outcome, ready);
                    }
                }
            }
        }
        if ready.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Tells the audit log that an item was refused.
    fn audit(&self, refusal: &Refusal, request_id: &str, app: &str, verdict: &Verdict) {
        let (message, address) = (v1::RunJobRequest::MESSAGE, self.address);
        self.gate.audit_refusal(refusal, &Asked { message, app, request_id, verdict, address });
    }

    fn deliver(&mut self, item: Item, outcome: v1::submit_result::Outcome, ready: &mut VecDeque<v1::SubmitResult>) {
        self.in_line -= 1;
        self.bytes.release(item.bytes - RESULT_BYTES);
        ready.push_back(v1::SubmitResult { request_id: item.request_id, outcome: Some(outcome) });
    }

    /// So many answers leave: what they hold, until they have.
    pub(super) fn leave(&self, answers: usize) -> Kept {
        let leaving = Kept::new(self.shared.bytes.clone(), None);
        leaving.keep(answers * RESULT_BYTES);
        self.bytes.release(answers * RESULT_BYTES);
        leaving
    }

    /// Draws an item, which is a call as good as any other.
    fn draw(&self, (own, begun): (OwnSpan, Stopwatch), item: &Item, submitted: &Submitted) {
        let mut attributes = vec![("semel.request_id", item.request_id.clone().into())];
        let mut first = None;
        let code = match submitted {
            Ok(answer) => {
                attributes.push(("semel.disposition", answer.disposition.as_str().into()));
                attributes.extend(answer.reply.run_id().map(|run_id| ("semel.run_id", run_id.to_string().into())));
                let replayed = answer.disposition == Disposition::Replayed;
                first = answer.trace.as_deref().filter(|_| replayed).cloned();
                Code::Ok
            }
            Err(refused) => Refusal::of_refused(refused.clone(), v1::RunJobRequest::leaf_name).code(),
        };
        let name = "semel.v1.JobService/SubmitRuns";
        let code = usize::try_from(i32::from(code)).unwrap_or_default();
        let drawn = Drawn { own, begun, name, method: name, code, attributes, first };
        drawn.record(&self.gate.settings.tracer);
    }

    fn outcome(&self, item: &Item, submitted: Submitted, verdict: &Verdict) -> v1::submit_result::Outcome {
        match submitted {
            Ok(answer) => {
                let safe = item.parsed_id.zip(self.window).map(|(id, window)| window.safe_retry_until(id));
                v1::submit_result::Outcome::Run(reply::submitted(&answer, safe))
            }
            Err(refused) => {
                let refusal = Refusal::of_refused(refused, v1::RunJobRequest::leaf_name);
                self.audit(&refusal, &item.request_id, "", verdict);
                let header = self.gate.basis(&item.request_id, item.parsed_id, verdict).header();
                v1::submit_result::Outcome::Refused(refusal.into_rpc(header))
            }
        }
    }
}

/// The same rules as for a call of its own: credentials, id, fields, quota. What comes out goes into the engine.
fn envelope(
    gate: &Gate,
    verdict: &Verdict,
    item: &v1::RunJobRequest,
    now: Timestamp,
) -> Result<(Envelope, Charge), Refusal> {
    let missing = || Refusal::of_verdict(&Verdict::refused(auth::Status::Missing));
    let principal = verdict.principal.as_ref();
    let principal = principal.ok_or_else(|| missing().expect("a missing credential is a refusal"))?;
    let request_id = item.header.as_ref().map(|header| header.request_id.as_str()).unwrap_or_default();
    let request_id = gate::required_id(request_id, fields::parse_request_id(request_id))?;
    let parse = |item: &v1::RunJobRequest, app, fields: &mut fields::Fields| parse_run_job(item, app, fields, now);
    let envelope = gate.envelope(principal, request_id, item, parse)?;
    let charge = gate.charge(principal, envelope.command())?;
    Ok((envelope, charge))
}

/// Where an item stands in a trace, as it says itself, goes with what it makes; gives the span that is to be drawn of it.
fn placed(gate: &Gate, item: &v1::RunJobRequest) -> (Option<Box<TraceContext>>, Option<OwnSpan>) {
    let said = item.header.as_ref().and_then(|header| trace::of_message(header.trace_context.as_ref()));
    let place = gate.settings.tracer.arrive(said, true);
    let context = place.as_ref().map(|place| Box::new(place.context().clone()));
    (context, place.and_then(Place::into_own))
}

/// What an item is in memory with the answer that it will have, in bytes. What is no text or input of its caller's is taken as
/// some few for each.
fn memory_of(item: &v1::RunJobRequest) -> usize {
    let input = item.payload.as_ref().map_or(0, |payload| payload.data.len() + payload.content_type.len());
    let labels: usize = item.labels.iter().map(|(key, value)| key.len() + value.len() + LABEL_BYTES).sum();
    let texts = item.app.len() + item.job.len() + item.unique_key.as_ref().map_or(0, |unique| unique.key.len());
    ITEM_BYTES + RESULT_BYTES + input + labels + texts
}

/// What a label is in memory beside its text.
const LABEL_BYTES: usize = 96;

/// An id as it is answered: whole if it is one, else what fits.
fn shown(request_id: String, parsed_id: Option<RequestId>) -> String {
    if parsed_id.is_some() { request_id } else { request_id.chars().take(ID_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_share_the_room_for_inputs_and_each_keeps_its_crumb() {
        let shared = Shared::new(8192);
        assert!(shared.has_room(BYTES_MAX - 1) && !shared.has_room(BYTES_MAX));
        let others = Kept::new(shared.bytes.clone(), None);
        others.keep(SHARED_BYTES_MAX);
        assert!(shared.has_room(CRUMB_BYTES - 1) && !shared.has_room(CRUMB_BYTES));
    }
}
