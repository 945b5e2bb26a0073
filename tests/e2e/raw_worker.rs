//! The one worker of these tests that does only what a test tells it: no heartbeat, no lease of its own, no second try.
//! What it says is made here as well. It checks that every message says what became of the credentials, and nothing else.

use std::collections::VecDeque;

use bytes::Bytes;
use semel_client::v1::{
    self, AuthStatus, WorkRequest, WorkResponse, report::Outcome, work_request, work_response::Kind,
    worker_service_client::WorkerServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{
    harness::in_time,
    wire::{Refused, Wire, auth_status, fresh},
};

/// What goes down a stream is larger than other messages where payloads are.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// See the module. Dropping it ends its stream.
pub(crate) struct RawWorker {
    pub(crate) id: String,
    /// The first answer, and its header.
    pub(crate) opened: v1::Opened,
    pub(crate) opened_header: v1::ResponseHeader,
    up: mpsc::Sender<WorkRequest>,
    down: Down,
}

/// What comes down a stream.
struct Down {
    messages: Streaming<WorkResponse>,
    /// Messages that came while something else was waited for.
    kept: VecDeque<WorkResponse>,
    expected: AuthStatus,
}

impl RawWorker {
    /// Opens the stream.
    pub(crate) async fn open(wire: &Wire, hello: v1::Hello) -> Result<Self, Status> {
        Self::open_as(wire, hello, AuthStatus::Passed).await
    }

    /// The same where the server is to say something else of the credentials.
    pub(crate) async fn open_as(wire: &Wire, hello: v1::Hello, expected: AuthStatus) -> Result<Self, Status> {
        let id = hello.worker_id.clone();
        let (up, messages) = Self::dial(wire, work_request::Kind::Hello(hello)).await?;
        let mut down = Down { messages, kept: VecDeque::new(), expected };
        let first = down.hear().await?.expect("a first message");
        let Some(Kind::Opened(opened)) = first.kind else { panic!("the first message down is Opened, not {first:?}") };
        Ok(Self { id, opened, opened_header: first.header.expect("a header"), up, down })
    }

    /// Opens a stream with this, whatever it is, and looks at nothing that comes back.
    pub(crate) async fn dial(
        wire: &Wire,
        first: work_request::Kind,
    ) -> Result<(mpsc::Sender<WorkRequest>, Streaming<WorkResponse>), Status> {
        let (up, outgoing) = mpsc::channel(64);
        up.send(message("", first)).await.expect("there is room");
        let client = WorkerServiceClient::new(wire.channel.clone());
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let down = in_time(client.work(wire.request(ReceiverStream::new(outgoing)))).await?;
        Ok((up, down.into_inner()))
    }

    /// From now on the server is to say this of the credentials.
    pub(crate) fn expect(&mut self, status: AuthStatus) {
        self.down.expected = status;
    }

    /// Says something under no id.
    pub(crate) async fn say(&self, kind: work_request::Kind) {
        self.say_as("", kind).await;
    }

    /// Says something under an id, and waits for nothing.
    pub(crate) async fn say_as(&self, id: &str, kind: work_request::Kind) {
        in_time(self.up.send(message(id, kind))).await.expect("the stream is open");
    }

    /// Hands in what changes something, and waits for what became of it.
    pub(crate) async fn submit(
        &mut self,
        id: &str,
        submission: impl Into<Submission>,
    ) -> Result<v1::ResponseHeader, Box<Refused>> {
        self.say_as(id, submission.into().0).await;
        self.acknowledged(id).await
    }

    /// Hands it in under a fresh id; it must be taken.
    pub(crate) async fn report(&mut self, submission: impl Into<Submission>) -> v1::ResponseHeader {
        self.submit(&fresh(), submission).await.expect("it is taken")
    }

    /// Hands it in from a span of the worker's own; it must be taken.
    pub(crate) async fn report_under(&mut self, traceparent: &str, submission: impl Into<Submission>) {
        let id = fresh();
        let mut message = message(&id, submission.into().0);
        let context = v1::TraceContext { traceparent: traceparent.to_owned(), ..Default::default() };
        message.header.get_or_insert_default().trace_context = Some(context);
        in_time(self.up.send(message)).await.expect("the stream is open");
        self.acknowledged(&id).await.expect("it is taken");
    }

    /// What became of what was said under this id.
    pub(crate) async fn acknowledged(&mut self, id: &str) -> Result<v1::ResponseHeader, Box<Refused>> {
        let wanted = |message: &WorkResponse| {
            let header = message.header.clone().expect("every message has a header");
            match &message.kind {
                Some(Kind::Ack(ack)) if header.request_id == id => Some((header, ack.refused.clone())),
                _ => None,
            }
        };
        let (header, refused) = self.down.find(wanted).await;
        let Some(refused) = refused else { return Ok(header) };
        let refused = Refused::of_rpc(&refused);
        assert_eq!(refused.header.request_id, id, "the refusal names the request");
        Err(Box::new(refused))
    }

    /// The next assignment.
    pub(crate) async fn assignment(&mut self) -> v1::Assignment {
        let wanted = |message: &WorkResponse| match &message.kind {
            Some(Kind::Assignment(assignment)) => Some(assignment.clone()),
            _ => None,
        };
        self.down.find(wanted).await
    }

    /// The next order to stop.
    pub(crate) async fn cancel_order(&mut self) -> v1::CancelAttempt {
        let wanted = |message: &WorkResponse| match &message.kind {
            Some(Kind::CancelAttempt(cancel)) => Some(cancel.clone()),
            _ => None,
        };
        self.down.find(wanted).await
    }

    /// The next verdict on the credentials that was not asked for.
    pub(crate) async fn notice(&mut self) -> v1::AuthResult {
        let wanted = |message: &WorkResponse| match &message.kind {
            Some(Kind::AuthNotice(notice)) => Some(notice.auth.clone().expect("a verdict")),
            _ => None,
        };
        self.down.find(wanted).await
    }

    /// Waits until the server says that it will end.
    pub(crate) async fn going_away(&mut self) {
        self.down.find(|message| matches!(message.kind, Some(Kind::GoingAway(_))).then_some(())).await;
    }

    /// Sends a heartbeat; gives how many runs are said to wait.
    pub(crate) async fn beat(&mut self) -> i64 {
        self.say(work_request::Kind::Heartbeat(v1::Heartbeat {})).await;
        let wanted = |message: &WorkResponse| match &message.kind {
            Some(Kind::HeartbeatAck(ack)) => Some(ack.queued_count),
            _ => None,
        };
        self.down.find(wanted).await
    }

    /// What came and was not asked for, as of an answer that the server gave after it.
    pub(crate) async fn unasked(&mut self) -> Vec<Kind> {
        self.beat().await;
        self.down.kept.drain(..).filter_map(|message| message.kind).collect()
    }

    /// The end of the stream: the last messages, and the status.
    pub(crate) async fn end(&mut self) -> (Vec<Kind>, Result<(), Status>) {
        let mut last: Vec<Kind> = self.down.kept.drain(..).filter_map(|message| message.kind).collect();
        loop {
            match self.down.hear().await {
                Ok(Some(message)) => last.extend(message.kind),
                Ok(None) => return (last, Ok(())),
                Err(status) => return (last, Err(status)),
            }
        }
    }
}

impl Down {
    /// The next message, none once the stream has ended well. Every one says what became of the credentials.
    async fn hear(&mut self) -> Result<Option<WorkResponse>, Status> {
        let message = in_time(self.messages.message()).await?;
        if let Some(message) = &message {
            assert_eq!(auth_status(message.header.as_ref()), self.expected, "{message:?}");
        }
        Ok(message)
    }

    /// The next message that is wanted; others are kept.
    async fn find<T>(&mut self, wanted: impl Fn(&WorkResponse) -> Option<T>) -> T {
        let kept = self.kept.iter().enumerate();
        if let Some((at, found)) = kept.filter_map(|(at, message)| Some((at, wanted(message)?))).next() {
            self.kept.remove(at);
            return found;
        }
        loop {
            let message = self.hear().await.expect("the stream goes on").expect("the stream goes on");
            match wanted(&message) {
                Some(found) => return found,
                None => self.kept.push_back(message),
            }
        }
    }
}

/// A message under an id, or under none.
fn message(id: &str, kind: work_request::Kind) -> WorkRequest {
    let header = (!id.is_empty()).then(|| v1::RequestHeader { request_id: id.to_owned(), ..Default::default() });
    WorkRequest { header, kind: Some(kind) }
}

/// How a worker of `pay` introduces itself: a new process, with one processor.
pub(crate) fn hello(processor: &str, slots: i32) -> v1::Hello {
    hello_again(&Uuid::new_v4().to_string(), processor, slots)
}

/// The same of a process that was here before, and holds nothing.
pub(crate) fn hello_again(worker_id: &str, processor: &str, slots: i32) -> v1::Hello {
    v1::Hello {
        app: "pay".to_owned(),
        worker_id: worker_id.to_owned(),
        worker_name: "raw".to_owned(),
        processors: vec![processor.to_owned()],
        slots,
        held: Vec::new(),
    }
}

/// What a worker says and that changes something.
pub(crate) struct Submission(work_request::Kind);

impl Submission {
    /// What is sent, for those who send it by themselves.
    pub(crate) fn kind(submission: impl Into<Self>) -> work_request::Kind {
        submission.into().0
    }
}

impl From<v1::Report> for Submission {
    fn from(report: v1::Report) -> Self {
        Self(work_request::Kind::Report(report))
    }
}

impl From<v1::Log> for Submission {
    fn from(log: v1::Log) -> Self {
        Self(work_request::Kind::Log(log))
    }
}

pub(crate) fn succeeded(assignment: &v1::Assignment, result: &str) -> v1::Report {
    let result = v1::Payload { data: result.to_owned().into(), content_type: "text/plain".to_owned() };
    report(assignment, Outcome::Succeeded(v1::report::Succeeded { result: Some(result) }))
}

pub(crate) fn failed(assignment: &v1::Assignment, failed: v1::report::Failed) -> v1::Report {
    report(assignment, Outcome::Failed(failed))
}

/// It has failed, and may be tried again.
pub(crate) fn failed_plainly(assignment: &v1::Assignment) -> v1::Report {
    failed(assignment, v1::report::Failed { error: "no luck".to_owned(), ..Default::default() })
}

pub(crate) fn let_go(assignment: &v1::Assignment) -> v1::Report {
    report(assignment, Outcome::Cancelled(v1::report::Cancelled {}))
}

pub(crate) fn given_back(assignment: &v1::Assignment) -> v1::Report {
    report(assignment, Outcome::Released(v1::report::Released { reason: "not now".to_owned() }))
}

fn report(assignment: &v1::Assignment, outcome: Outcome) -> v1::Report {
    v1::Report { run_id: assignment.run_id.clone(), attempt: assignment.attempt, outcome: Some(outcome) }
}

/// A piece of log.
pub(crate) fn log(assignment: &v1::Assignment, data: impl Into<Bytes>) -> v1::Log {
    v1::Log {
        run_id: assignment.run_id.clone(),
        attempt: assignment.attempt,
        stream: v1::LogStream::Stdout.into(),
        data: data.into(),
    }
}

pub(crate) fn refers_to(assignment: &v1::Assignment) -> v1::AttemptRef {
    v1::AttemptRef { run_id: assignment.run_id.clone(), attempt: assignment.attempt }
}
