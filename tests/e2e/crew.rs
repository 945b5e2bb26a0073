//! What several of these tests need of the wire: a worker that says exactly what a test wants it to say, refusals taken
//! apart, and an app with its server. Holds no assertion about behaviour beyond "this came in time".

use std::{collections::VecDeque, future::Future};

use semel_client::{Client, Refusal, v1};
use semel_proto::v1::{
    WorkRequest, WorkResponse, work_request, work_response, worker_service_client::WorkerServiceClient,
};
use semel_server::{clock::ManualClock, server::Settings};
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use super::harness::{PATIENCE, TestServer};

/// Bounds whatever is awaited.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    time::timeout(PATIENCE, future).await.expect("in time")
}

/// A server with the app `pay`, and a client of it.
pub(crate) struct Pay {
    pub(crate) server: TestServer,
    pub(crate) secret: String,
    pub(crate) client: Client,
}

impl Pay {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(TestServer::with(change).await).await
    }

    pub(crate) async fn with_manual_clock(change: impl FnOnce(&mut Settings)) -> (Self, ManualClock) {
        let (server, clock) = TestServer::with_manual_clock(change).await;
        (Self::on(server).await, clock)
    }

    async fn on(server: TestServer) -> Self {
        let secret = server.app("pay").await;
        let client = server.client("pay", &secret).await;
        Self { server, secret, client }
    }

    /// A worker `w` of this app that says hello and nothing else.
    pub(crate) async fn worker(&self, processor: &str, slots: i32) -> RawWorker {
        self.worker_again(hello(&uuid::Uuid::new_v4().to_string(), processor, slots)).await
    }

    pub(crate) async fn worker_again(&self, hello: v1::Hello) -> RawWorker {
        RawWorker::open(&self.server, &self.secret, hello).await.expect("the stream opens")
    }

    /// Submits a run; gives its id.
    pub(crate) async fn submit(&self, job: &str) -> String {
        self.submit_with(super::harness::run_job(job)).await
    }

    pub(crate) async fn submit_with(&self, request: v1::RunJobRequest) -> String {
        self.client.run_job(request).await.expect("the run is made").run_id
    }

    pub(crate) async fn run(&self, run_id: &str) -> v1::Run {
        let request = v1::GetRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.get_run(request).await.expect("the run is there").run.expect("a run")
    }

    pub(crate) async fn finished(&self, run_id: &str) -> v1::Run {
        in_time(self.client.wait_until_finished("pay", run_id)).await.expect("the run is there")
    }

    pub(crate) async fn cancel(&self, run_id: &str) -> v1::RunState {
        let request = v1::CancelRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.cancel_run(request).await.expect("it is cancelled").state()
    }

    pub(crate) async fn retry(&self, run_id: &str) -> v1::RetryRunResponse {
        let request = v1::RetryRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.retry_run(request).await.expect("it is retried")
    }

    /// Everything that holds a run back, the first thing first.
    pub(crate) async fn explain(&self, run_id: &str) -> Vec<v1::RunExplanation> {
        let request = v1::ExplainRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.explain_run(request).await.expect("it is explained").explanations
    }

    /// The whole log of a run, one line of text for each of its pieces' streams.
    pub(crate) async fn log(&self, run_id: &str) -> String {
        let request = v1::GetRunLogsRequest { run_id: run_id.to_owned(), ..Default::default() };
        let answer = self.client.get_run_logs(request).await.expect("the log is there");
        String::from_utf8(answer.chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect()).expect("text")
    }

    /// Comes back once the engine has seen all that was handed to it before, and has looked at its clock.
    pub(crate) async fn tick(&self) {
        let engine = self.server.running().engine();
        engine.poke();
        engine.read(|_| ()).await.expect("the engine runs");
    }
}

pub(crate) fn hello(worker_id: &str, processor: &str, slots: i32) -> v1::Hello {
    v1::Hello {
        worker_id: worker_id.to_owned(),
        worker_name: "w".to_owned(),
        processors: vec![processor.to_owned()],
        slots,
        ..Default::default()
    }
}

/// A fresh request id.
pub(crate) fn fresh_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The reason of a refusal.
pub(crate) fn reason(refused: &Status) -> String {
    Refusal::from_grpc(refused).reason().unwrap_or("none").to_owned()
}

/// A worker that says what it is told to say, and shows what it hears.
pub(crate) struct RawWorker {
    pub(crate) id: String,
    pub(crate) opened: v1::Opened,
    pub(crate) opened_header: v1::ResponseHeader,
    up: mpsc::Sender<WorkRequest>,
    down: Streaming<WorkResponse>,
    /// What came while the test waited for something else.
    kept: VecDeque<WorkResponse>,
}

impl RawWorker {
    /// Opens a stream with these messages, whatever they are, and gives what comes back first.
    pub(crate) async fn dial(
        endpoint: &str,
        bearer: &str,
        first: Vec<WorkRequest>,
    ) -> Result<(mpsc::Sender<WorkRequest>, Streaming<WorkResponse>), Status> {
        let channel = tonic::transport::Endpoint::from_shared(endpoint.to_owned()).expect("an address").connect_lazy();
        let (up, messages) = mpsc::channel(64);
        for message in first {
            up.send(message).await.expect("there is room");
        }
        let mut request = Request::new(ReceiverStream::new(messages));
        if !bearer.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {bearer}").parse().expect("a token"));
        }
        let mut client = WorkerServiceClient::new(channel).max_decoding_message_size(8 << 20);
        Ok((up, in_time(client.work(request)).await?.into_inner()))
    }

    pub(crate) async fn open(server: &TestServer, bearer: &str, hello: v1::Hello) -> Result<Self, Status> {
        Self::open_at(&server.endpoint(), bearer, hello).await
    }

    pub(crate) async fn open_at(endpoint: &str, bearer: &str, hello: v1::Hello) -> Result<Self, Status> {
        let id = hello.worker_id.clone();
        let (up, mut down) = Self::dial(endpoint, bearer, vec![message("", work_request::Kind::Hello(hello))]).await?;
        let first = in_time(down.message()).await?.expect("a first message");
        let Some(work_response::Kind::Opened(opened)) = first.kind else { panic!("not opened: {first:?}") };
        Ok(Self { id, opened, opened_header: first.header.expect("a header"), up, down, kept: VecDeque::new() })
    }

    pub(crate) async fn say(&self, kind: work_request::Kind) {
        self.say_as("", kind).await;
    }

    /// Says something under a request id.
    pub(crate) async fn say_as(&self, request_id: &str, kind: work_request::Kind) {
        in_time(self.up.send(message(request_id, kind))).await.expect("the stream is open");
    }

    /// What the server says next; nothing once the stream has ended well.
    pub(crate) async fn next(&mut self) -> Result<Option<WorkResponse>, Status> {
        match self.kept.pop_front() {
            Some(message) => Ok(Some(message)),
            None => in_time(self.down.message()).await,
        }
    }

    /// The next message for which `wanted` holds; others stay where they are.
    async fn wait_for(&mut self, wanted: impl Fn(&work_response::Kind) -> bool) -> WorkResponse {
        let is_wanted = |message: &WorkResponse| message.kind.as_ref().is_some_and(&wanted);
        if let Some(at) = self.kept.iter().position(is_wanted) {
            return self.kept.remove(at).expect("it was just found");
        }
        loop {
            let message = in_time(self.down.message()).await.expect("the stream goes on").expect("the stream goes on");
            if is_wanted(&message) {
                return message;
            }
            self.kept.push_back(message);
        }
    }

    pub(crate) async fn assignment(&mut self) -> v1::Assignment {
        match self.wait_for(|kind| matches!(kind, work_response::Kind::Assignment(_))).await.kind {
            Some(work_response::Kind::Assignment(assignment)) => assignment,
            other => panic!("no assignment: {other:?}"),
        }
    }

    pub(crate) async fn cancel_order(&mut self) -> v1::CancelAttempt {
        match self.wait_for(|kind| matches!(kind, work_response::Kind::CancelAttempt(_))).await.kind {
            Some(work_response::Kind::CancelAttempt(cancel)) => cancel,
            other => panic!("no order to cancel: {other:?}"),
        }
    }

    pub(crate) async fn notice(&mut self) -> v1::AuthResult {
        match self.wait_for(|kind| matches!(kind, work_response::Kind::AuthNotice(_))).await.kind {
            Some(work_response::Kind::AuthNotice(notice)) => notice.auth.expect("a verdict"),
            other => panic!("no notice: {other:?}"),
        }
    }

    /// The next acknowledgement with its header.
    pub(crate) async fn ack(&mut self) -> (v1::ResponseHeader, Result<(), Refusal>) {
        let message = self.wait_for(|kind| matches!(kind, work_response::Kind::Ack(_))).await;
        let Some(work_response::Kind::Ack(ack)) = message.kind else { panic!("no acknowledgement") };
        let refused = match ack.refused {
            Some(status) => Err(Refusal::from_status(status)),
            None => Ok(()),
        };
        (message.header.expect("a header"), refused)
    }

    /// Reports under an id, and gives what became of it.
    pub(crate) async fn report_as(
        &mut self,
        id: &str,
        report: v1::Report,
    ) -> (v1::ResponseHeader, Result<(), Refusal>) {
        self.say_as(id, work_request::Kind::Report(report)).await;
        self.ack().await
    }

    /// Reports under a fresh id, which must be taken.
    pub(crate) async fn report(&mut self, report: v1::Report) -> v1::ResponseHeader {
        let (header, outcome) = self.report_as(&fresh_id(), report).await;
        outcome.expect("the report is taken");
        header
    }

    /// Sends a heartbeat; gives how many runs are said to wait.
    pub(crate) async fn beat(&mut self) -> i64 {
        self.say(work_request::Kind::Heartbeat(v1::Heartbeat {})).await;
        let answer = self.wait_for(|kind| matches!(kind, work_response::Kind::HeartbeatAck(_))).await;
        match answer.kind {
            Some(work_response::Kind::HeartbeatAck(ack)) => ack.queued_count,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// What came and was not asked for, by the time that a heartbeat is answered.
    pub(crate) async fn unasked(&mut self) -> Vec<work_response::Kind> {
        self.beat().await;
        self.kept.drain(..).filter_map(|message| message.kind).collect()
    }

    /// The end of the stream: the last messages, and the status.
    pub(crate) async fn end(&mut self) -> (Vec<work_response::Kind>, Result<(), Status>) {
        let mut last = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(message)) => last.extend(message.kind),
                Ok(None) => return (last, Ok(())),
                Err(status) => return (last, Err(status)),
            }
        }
    }
}

/// A message under a request id, which may be empty.
pub(crate) fn message(request_id: &str, kind: work_request::Kind) -> WorkRequest {
    let header = v1::RequestHeader { request_id: request_id.to_owned(), ..Default::default() };
    WorkRequest { header: Some(header), kind: Some(kind) }
}

fn report(run_id: &str, attempt: i64, outcome: v1::report::Outcome) -> v1::Report {
    v1::Report { run_id: run_id.to_owned(), attempt, outcome: Some(outcome) }
}

pub(crate) fn succeeded(assignment: &v1::Assignment, result: &str) -> v1::Report {
    let result = v1::Payload { data: result.to_owned().into(), content_type: "text/plain".to_owned() };
    let succeeded = v1::report::Succeeded { result: Some(result) };
    report(&assignment.run_id, assignment.attempt, v1::report::Outcome::Succeeded(succeeded))
}

pub(crate) fn failed(assignment: &v1::Assignment, failed: v1::report::Failed) -> v1::Report {
    report(&assignment.run_id, assignment.attempt, v1::report::Outcome::Failed(failed))
}

pub(crate) fn failed_plainly(assignment: &v1::Assignment) -> v1::Report {
    failed(assignment, v1::report::Failed { error: "no luck".to_owned(), ..Default::default() })
}

pub(crate) fn let_go(assignment: &v1::Assignment) -> v1::Report {
    report(&assignment.run_id, assignment.attempt, v1::report::Outcome::Cancelled(v1::report::Cancelled {}))
}

pub(crate) fn given_back(assignment: &v1::Assignment) -> v1::Report {
    let released = v1::report::Released { reason: "not now".to_owned() };
    report(&assignment.run_id, assignment.attempt, v1::report::Outcome::Released(released))
}

pub(crate) fn refers_to(assignment: &v1::Assignment) -> v1::AttemptRef {
    v1::AttemptRef { run_id: assignment.run_id.clone(), attempt: assignment.attempt }
}

pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}
