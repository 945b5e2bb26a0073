//! A worker that does only what a test tells it: no heartbeat, no lease of its own, no second try.

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
    harness::PATIENCE,
    wire::{Refused, Wire, auth_status},
};

/// See the module. Dropping it ends its stream.
pub(crate) struct RawWorker {
    out: mpsc::Sender<WorkRequest>,
    inbox: Streaming<WorkResponse>,
    /// Messages that came while something else was waited for.
    kept: Vec<WorkResponse>,
    expected: AuthStatus,
}

/// How a worker introduces itself: a new process, with one processor.
pub(crate) fn hello(processor: &str, slots: i32) -> v1::Hello {
    v1::Hello {
        app: "pay".to_owned(),
        worker_id: Uuid::new_v4().to_string(),
        worker_name: "raw".to_owned(),
        processors: vec![processor.to_owned()],
        slots,
        held: Vec::new(),
    }
}

impl RawWorker {
    /// Opens the stream.
    pub(crate) async fn open(wire: &Wire, hello: v1::Hello) -> Result<(Self, v1::Opened), Status> {
        Self::open_as(wire, hello, AuthStatus::Passed).await
    }

    /// The same where the server is to say something else of the credentials.
    pub(crate) async fn open_as(
        wire: &Wire,
        hello: v1::Hello,
        expected: AuthStatus,
    ) -> Result<(Self, v1::Opened), Status> {
        let (out, outgoing) = mpsc::channel(64);
        let first = WorkRequest { header: None, kind: Some(work_request::Kind::Hello(hello)) };
        out.send(first).await.expect("there is room");
        let mut client = WorkerServiceClient::new(wire.channel.clone());
        let inbox = client.work(wire.request(ReceiverStream::new(outgoing))).await?.into_inner();
        let mut worker = Self { out, inbox, kept: Vec::new(), expected };
        match worker.next().await?.kind {
            Some(Kind::Opened(opened)) => Ok((worker, opened)),
            other => panic!("the first message down is Opened, not {other:?}"),
        }
    }

    /// From now on the server is to say this of the credentials.
    pub(crate) fn expect(&mut self, status: AuthStatus) {
        self.expected = status;
    }

    /// Says something, under an id or under none.
    pub(crate) async fn say(&self, id: &str, kind: work_request::Kind) {
        let header = (!id.is_empty()).then(|| v1::RequestHeader { request_id: id.to_owned(), client: None });
        self.out.send(WorkRequest { header, kind: Some(kind) }).await.expect("the stream is open");
    }

    /// The next message. Every one says what became of the credentials.
    pub(crate) async fn next(&mut self) -> Result<WorkResponse, Status> {
        let next = tokio::time::timeout(PATIENCE, self.inbox.message()).await.expect("a message in time");
        let message = next?.ok_or_else(|| Status::cancelled("the stream has ended"))?;
        assert_eq!(auth_status(message.header.as_ref()), self.expected, "{message:?}");
        Ok(message)
    }

    /// The next message that is wanted; others are kept.
    pub(crate) async fn find<T>(&mut self, wanted: impl Fn(&WorkResponse) -> Option<T>) -> T {
        if let Some((at, found)) =
            self.kept.iter().enumerate().find_map(|(at, message)| wanted(message).map(|found| (at, found)))
        {
            self.kept.remove(at);
            return found;
        }
        loop {
            let message = self.next().await.expect("the stream goes on");
            match wanted(&message) {
                Some(found) => return found,
                None => self.kept.push(message),
            }
        }
    }

    /// The next assignment.
    pub(crate) async fn assignment(&mut self) -> v1::Assignment {
        let wanted = |message: &WorkResponse| match &message.kind {
            Some(Kind::Assignment(assignment)) => Some(assignment.clone()),
            _ => None,
        };
        self.find(wanted).await
    }

    /// Whether an assignment has come that nobody asked for yet, as of an answer that the server gave after it.
    pub(crate) async fn has_assignment(&mut self) -> bool {
        self.say("", work_request::Kind::Heartbeat(v1::Heartbeat {})).await;
        self.find(|message| matches!(message.kind, Some(Kind::HeartbeatAck(_))).then_some(())).await;
        self.kept.iter().any(|message| matches!(message.kind, Some(Kind::Assignment(_))))
    }

    /// The next order to stop.
    pub(crate) async fn cancel(&mut self) -> v1::CancelAttempt {
        let wanted = |message: &WorkResponse| match &message.kind {
            Some(Kind::CancelAttempt(cancel)) => Some(cancel.clone()),
            _ => None,
        };
        self.find(wanted).await
    }

    /// Hands in what changes something, and waits for what became of it.
    pub(crate) async fn submit(
        &mut self,
        id: &str,
        kind: impl Into<Submission>,
    ) -> Result<v1::ResponseHeader, Box<Refused>> {
        self.say(id, kind.into().0).await;
        self.acknowledged(id).await
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
        match self.find(wanted).await {
            (header, None) => Ok(header),
            (_, Some(refused)) => Err(Box::new(Refused::of_rpc(&refused))),
        }
    }

    /// The report that an attempt has succeeded.
    pub(crate) fn succeeded(assignment: &v1::Assignment) -> v1::Report {
        Self::report(assignment, Outcome::Succeeded(v1::report::Succeeded { result: None }))
    }

    /// The report that an attempt has failed, and may be tried again.
    pub(crate) fn failed(assignment: &v1::Assignment) -> v1::Report {
        let error = "no luck".to_owned();
        Self::report(assignment, Outcome::Failed(v1::report::Failed { error, ..Default::default() }))
    }

    /// A report.
    pub(crate) fn report(assignment: &v1::Assignment, outcome: Outcome) -> v1::Report {
        v1::Report { run_id: assignment.run_id.clone(), attempt: assignment.attempt, outcome: Some(outcome) }
    }

    /// A piece of log.
    pub(crate) fn log(assignment: &v1::Assignment, text: &'static str) -> v1::Log {
        v1::Log {
            run_id: assignment.run_id.clone(),
            attempt: assignment.attempt,
            stream: v1::LogStream::Stdout.into(),
            data: Bytes::from_static(text.as_bytes()),
        }
    }
}

/// What a worker says and that changes something.
pub(crate) struct Submission(work_request::Kind);

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
