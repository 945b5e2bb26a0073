//! One open stream: packs what waits into messages, and matches the answers, which come in order, with whoever waits for
//! them. It knows how a stream ends, and nothing of what follows from it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use semel_proto::v1::{
    ClientInfo, Reauthenticate, RequestHeader, ResponseHeader, RunJobResponse, SubmitResult, SubmitRunsRequest,
    SubmitRunsResponse, SubmittedRun, submit_result::Outcome,
};
use tokio::{
    sync::{mpsc, oneshot},
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::pipe::{Fate, Item, State};
use crate::{
    auth::Signature,
    refusal::{self, Origin, Refusal},
    transport::{Bearer, Transport},
};

const PATH: &str = "/semel.v1.JobService/SubmitRuns";
/// Runs of one message.
const MESSAGE_ITEMS_MAX: usize = 100;
/// Bytes of one message, unless a single run has more.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages that may wait for the connection to take them; while they do, what comes is put into one message.
const OUTBOUND_MAX: usize = 2;
/// Runs without an answer, beyond which nothing more is sent.
const OUTSTANDING_MAX: usize = 4096;
/// How long the stream may take to open at most.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// An unused stream is let go after this.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether the stream idles or stalls.
const LOOK: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Session {
    tx: mpsc::Sender<SubmitRunsRequest>,
    rx: Streaming<SubmitRunsResponse>,
    /// The head of the first message.
    head: Option<RequestHeader>,
    /// By which token it was opened, or reauthenticated.
    generation: u64,
    opened_at: Instant,
    outstanding: VecDeque<Outstanding>,
    /// When there was last something new to wait for, or something came.
    moved_at: Instant,
    stall: Duration,
    has_served: bool,
    /// The server is about to stop.
    is_leaving: bool,
}

struct Outstanding {
    request_id: String,
    ticket: oneshot::Sender<Fate>,
}

/// How a stream ended.
pub(super) enum Ended {
    /// Nobody is left who could send anything.
    Left,
    /// Nothing was sent for a while.
    Idle,
    /// The other side ended it, or it was lost.
    Refused(Box<Refusal>),
    /// What comes is no answer of a Semel server, or nothing comes at all.
    Broken(&'static str),
}

impl Session {
    /// Opens the stream, and waits for the server's first word: nothing is sent into a stream that leads nowhere.
    pub(super) async fn open(
        transport: &Transport,
        client_info: &ClientInfo,
        signature: &Signature,
        stall: Duration,
    ) -> Result<Self, Box<Refusal>> {
        let (tx, outbound) = mpsc::channel(OUTBOUND_MAX);
        let mut request = Request::new(ReceiverStream::new(outbound));
        if let Some(bearer) = &signature.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        let opening = async {
            let mut grpc = transport.grpc();
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let codec = ProstCodec::<SubmitRunsRequest, SubmitRunsResponse>::default();
            let mut rx = grpc.streaming(request, PathAndQuery::from_static(PATH), codec).await?.into_inner();
            let first = rx.message().await?;
            Ok::<_, Status>((rx, first))
        };
        let no_answer = |message| Box::new(Refusal::local(Code::DeadlineExceeded, message, Origin::Other));
        let opened = time::timeout(OPEN_TIMEOUT.min(stall), opening).await;
        let opened = opened.map_err(|_| no_answer("the stream did not open in time"))?;
        let (rx, first) = opened.map_err(|status| refused(&status, transport))?;
        let header = first.and_then(|first| first.header).filter(|header| refusal::spoke(Some(header)));
        let header = header.ok_or_else(|| no_answer("the stream does not begin as that of a Semel server"))?;
        transport.clock().learn(&header);
        let head = RequestHeader { client: Some(client_info.clone()), ..Default::default() };
        Ok(Self {
            tx,
            rx,
            head: Some(head),
            generation: signature.generation,
            opened_at: Instant::now(),
            outstanding: VecDeque::new(),
            moved_at: Instant::now(),
            stall,
            has_served: false,
            is_leaving: false,
        })
    }

    /// Whether any run was answered over it.
    pub(super) fn has_served(&self) -> bool {
        self.has_served
    }

    /// For how long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Those who have no answer.
    pub(super) fn into_tickets(self) -> impl Iterator<Item = oneshot::Sender<Fate>> {
        self.outstanding.into_iter().map(|outstanding| outstanding.ticket)
    }

    /// Sends what waits and what comes, until the stream ends. What was not sent stays in `waiting`.
    pub(super) async fn live(
        &mut self,
        transport: &Transport,
        state: &State,
        items: &mut mpsc::Receiver<Item>,
        waiting: &mut VecDeque<Item>,
    ) -> Ended {
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let tx = self.tx.clone();
        let mut taken = Vec::with_capacity(MESSAGE_ITEMS_MAX);
        loop {
            let takes = !self.is_leaving && waiting.len() < MESSAGE_ITEMS_MAX;
            let sends = !self.is_leaving && !waiting.is_empty() && self.outstanding.len() < OUTSTANDING_MAX;
            // What came is taken first, so that it travels together.
            tokio::select! {
                biased;
                message = self.rx.message() => match message {
                    Ok(Some(message)) => {
                        message.header.iter().for_each(|header| transport.clock().learn(header));
                        if let Err(why) = self.hear(message, state) {
                            return Ended::Broken(why);
                        }
                    }
                    Ok(None) => return Ended::Refused(ended()),
                    Err(status) => return Ended::Refused(refused(&status, transport)),
                },
                count = items.recv_many(&mut taken, MESSAGE_ITEMS_MAX), if takes => {
                    if count == 0 {
                        return Ended::Left;
                    }
                    if waiting.is_empty() && self.outstanding.is_empty() {
                        self.moved_at = Instant::now();
                    }
                    waiting.extend(taken.drain(..));
                }
                place = tx.reserve(), if sends => {
                    let Ok(place) = place else { return Ended::Refused(ended()) };
                    if let Some(message) = pack(waiting, &mut self.head, &mut self.generation, &mut self.outstanding) {
                        place.send(message);
                    }
                }
                _ = look.tick() => {
                    let still = self.moved_at.elapsed();
                    match self.outstanding.is_empty() && waiting.is_empty() {
                        true if still >= IDLE_MAX => return Ended::Idle,
                        false if still >= self.stall => return Ended::Broken("nothing comes back"),
                        _ => {}
                    }
                }
            }
        }
    }

    /// What the server says.
    fn hear(&mut self, message: SubmitRunsResponse, state: &State) -> Result<(), &'static str> {
        self.moved_at = Instant::now();
        let header = message.header.filter(|header| refusal::spoke(Some(header)));
        let header = header.ok_or("a message says nothing of the credentials")?;
        self.is_leaving |= message.going_away.is_some();
        for result in message.results {
            let first = self.outstanding.pop_front().ok_or("an answer came that nobody waits for")?;
            if !result.request_id.eq_ignore_ascii_case(&first.request_id) {
                self.outstanding.push_front(first);
                return Err("the answers come in another order");
            }
            self.has_served = true;
            state.has_answered();
            let _ = first.ticket.send(fate(result, &header));
        }
        Ok(())
    }
}

/// The next message of what waits; none if nobody waits for it any more.
fn pack(
    waiting: &mut VecDeque<Item>,
    head: &mut Option<RequestHeader>,
    generation: &mut u64,
    outstanding: &mut VecDeque<Outstanding>,
) -> Option<SubmitRunsRequest> {
    let mut message = SubmitRunsRequest::default();
    let mut bytes = 0;
    while let Some(next) = waiting.front() {
        bytes += next.bytes;
        let is_full = message.runs.len() >= MESSAGE_ITEMS_MAX || bytes > MESSAGE_BYTES_MAX;
        if is_full && !message.runs.is_empty() {
            break;
        }
        let Some(item) = waiting.pop_front().filter(|item| !item.ticket.is_closed()) else { continue };
        if item.signature.generation > *generation {
            *generation = item.signature.generation;
            message.reauthenticate = item.signature.bearer.as_ref().and_then(reauthenticate);
        }
        let request_id = item.request.header.as_ref().map(|header| header.request_id.clone()).unwrap_or_default();
        outstanding.push_back(Outstanding { request_id, ticket: item.ticket });
        message.runs.push(item.request);
    }
    message.header = head.take_if(|_| !message.runs.is_empty());
    (!message.runs.is_empty()).then_some(message)
}

fn reauthenticate(bearer: &Bearer) -> Option<Reauthenticate> {
    let token = bearer.to_str().ok()?.strip_prefix("Bearer ")?;
    Some(Reauthenticate { token: token.to_owned() })
}

/// What one result says, as the answer of `RunJob` would say it.
fn fate(result: SubmitResult, header: &ResponseHeader) -> Fate {
    match result.outcome {
        Some(Outcome::Run(run)) => Fate::Answered(Box::new(answer(result.request_id, run, header))),
        Some(Outcome::Refused(status)) => Fate::Refused(Box::new(Refusal::from_status(status))),
        None => {
            let message = "the answer says neither yes nor no; the server may be newer than this client";
            Fate::Refused(Refusal::local(Code::Ok, message, Origin::Other).into())
        }
    }
}

fn answer(request_id: String, run: SubmittedRun, header: &ResponseHeader) -> RunJobResponse {
    let header = ResponseHeader {
        request_id,
        disposition: run.disposition,
        execute_time: run.execute_time,
        safe_retry_until: run.safe_retry_until,
        arrivals: run.arrivals,
        revision: run.revision,
        ..header.clone()
    };
    RunJobResponse {
        header: Some(header),
        run_id: run.run_id,
        state: run.state,
        existing: run.existing,
        create_time: run.create_time,
    }
}

fn refused(status: &Status, transport: &Transport) -> Box<Refusal> {
    let refusal = Refusal::from_grpc(status);
    refusal.header.iter().for_each(|header| transport.clock().learn(header));
    Box::new(refusal)
}

fn ended() -> Box<Refusal> {
    Refusal::local(Code::Unavailable, "the stream ended before the answer came", Origin::NoAnswer).into()
}
