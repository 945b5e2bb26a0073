//! The fake for workers: each stream that a worker opens is handed to the test, which plays the server on it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use semel_proto::v1::{
    auth_service_server::AuthServiceServer,
    report::Outcome,
    work_request::Kind as Up,
    work_response::Kind as Down,
    worker_service_server::{WorkerService, WorkerServiceServer},
    *,
};
use tokio::{
    sync::{Mutex, mpsc},
    task::AbortHandle,
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::{calls::Fake, header, header_with, now_ms, refusals::Refuse, soon};

type Answer = Result<WorkResponse, Status>;

/// Hands the streams of workers to a test.
#[derive(Debug)]
pub(crate) struct Desk {
    sessions: Mutex<mpsc::Receiver<Session>>,
    /// Issues the tokens of workers that ask for one.
    pub(crate) tokens: Fake,
    pub(crate) address: SocketAddr,
}

#[derive(Debug)]
struct Service(mpsc::Sender<Session>);

/// One stream of a worker, from the server's side. Heartbeats are answered behind the test's back and left out.
#[derive(Debug)]
pub(crate) struct Session {
    inbound: mpsc::Receiver<(String, Up)>,
    outbound: Outbound,
    reader: AbortHandle,
    silent: Arc<AtomicBool>,
    pub(crate) hello: Hello,
    pub(crate) bearer: Option<String>,
}

/// The way down; ended when the worker has ended its own.
#[derive(Clone, Debug)]
struct Outbound(Arc<std::sync::Mutex<Option<mpsc::Sender<Answer>>>>);

impl Outbound {
    fn new() -> (Self, mpsc::Receiver<Answer>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(Arc::new(std::sync::Mutex::new(Some(sender)))), receiver)
    }

    async fn send(&self, message: Answer) {
        let sender = self.0.lock().unwrap().clone();
        if let Some(sender) = sender {
            // A worker that has gone away reads nothing any more.
            let _ = sender.send(message).await;
        }
    }

    fn end(&self) {
        self.0.lock().unwrap().take();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.outbound.end();
        self.reader.abort();
    }
}

impl Desk {
    pub(crate) async fn start() -> Self {
        let (sessions, receiver) = mpsc::channel(16);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tokens = Fake::at(address, []);
        let server = tonic::transport::Server::builder()
            .add_service(AuthServiceServer::new(tokens.clone()))
            .add_service(WorkerServiceServer::new(Service(sessions)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { sessions: Mutex::new(receiver), tokens, address }
    }

    /// The next stream that a worker opens; `Hello` was read, `Opened` not sent.
    pub(crate) async fn accept(&self) -> Session {
        soon("a stream", async { self.sessions.lock().await.recv().await.unwrap() }).await
    }

    /// The next stream that a worker opens, opened.
    pub(crate) async fn open(&self) -> Session {
        let session = self.accept().await;
        session.open(Opened::default()).await;
        session
    }
}

#[tonic::async_trait]
impl WorkerService for Service {
    type WorkStream = ReceiverStream<Answer>;

    async fn work(&self, request: Request<Streaming<WorkRequest>>) -> Result<Response<Self::WorkStream>, Status> {
        let bearer = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|message| message.kind);
        let Some(Up::Hello(hello)) = first else { return Err(Status::invalid_argument("hello comes first")) };
        let (outbound, receiver) = Outbound::new();
        let (forward, messages) = mpsc::channel(1024);
        let silent = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn(read(inbound, forward, outbound.clone(), silent.clone())).abort_handle();
        let session = Session { inbound: messages, outbound, reader, silent, hello, bearer };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn read(
    mut inbound: Streaming<WorkRequest>,
    forward: mpsc::Sender<(String, Up)>,
    outbound: Outbound,
    silent: Arc<AtomicBool>,
) {
    while let Ok(Some(message)) = inbound.message().await {
        let id = message.header.unwrap_or_default().request_id;
        match message.kind {
            Some(Up::Heartbeat(_)) if silent.load(Ordering::SeqCst) => {}
            Some(Up::Heartbeat(_)) => {
                let kind = Some(Down::HeartbeatAck(HeartbeatAck::default()));
                outbound.send(Ok(WorkResponse { header: Some(header("", now_ms())), kind })).await;
            }
            Some(kind) => drop(forward.send((id, kind)).await),
            None => {}
        }
    }
    outbound.end();
}

impl Session {
    /// From now on heartbeats find no answer.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn send(&self, kind: Down) {
        self.send_as("", kind).await;
    }

    /// Sends without a header, as no Semel server does.
    pub(crate) async fn send_bare(&self, kind: Down) {
        self.outbound.send(Ok(WorkResponse { header: None, kind: Some(kind) })).await;
    }

    async fn send_as(&self, request_id: &str, kind: Down) {
        let response = WorkResponse { header: Some(header(request_id, now_ms())), kind: Some(kind) };
        self.outbound.send(Ok(response)).await;
    }

    pub(crate) async fn open(&self, opened: Opened) {
        self.send(Down::Opened(opened)).await;
    }

    /// Ends the stream with a refusal.
    pub(crate) async fn refuse(self, refuse: Refuse) {
        let status = refuse.to_grpc(&header_with(refuse.auth, "", now_ms()));
        self.outbound.send(Err(status)).await;
    }

    pub(crate) async fn assign(&self, run_id: &str, attempt: i64, processor: &str) {
        self.send(Down::Assignment(Assignment {
            run_id: run_id.to_owned(),
            attempt,
            app: "pay".to_owned(),
            job: "settle".to_owned(),
            processor: processor.to_owned(),
            payload: Some(Payload { data: "input".into(), content_type: "text/plain".to_owned() }),
            max_attempts: 3,
            ..Default::default()
        }))
        .await;
    }

    pub(crate) async fn cancel(&self, run_id: &str, attempt: i64, reason: cancel_attempt::Reason) {
        let cancel = CancelAttempt { run_id: run_id.to_owned(), attempt, reason: reason.into() };
        self.send(Down::CancelAttempt(cancel)).await;
    }

    pub(crate) async fn ack(&self, request_id: &str) {
        self.send_as(request_id, Down::Ack(Ack::default())).await;
    }

    pub(crate) async fn ack_refused(&self, request_id: &str, refuse: &Refuse) {
        let refused = refuse.to_rpc(&header_with(refuse.auth, request_id, now_ms()));
        self.send_as(request_id, Down::Ack(Ack { refused: Some(refused) })).await;
    }

    /// The next message, or nothing if the worker has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<(String, Up)> {
        soon("a message of the worker", self.inbound.recv()).await
    }

    /// The next message, which has to be a report.
    pub(crate) async fn report(&mut self) -> (String, AttemptRef, Outcome) {
        match self.next().await {
            Some((id, Up::Report(Report { run_id, attempt, outcome }))) => {
                (id, AttemptRef { run_id, attempt }, outcome.unwrap())
            }
            other => panic!("a report was to come, not {other:?}"),
        }
    }

    /// The next message, which has to be a piece of a log.
    pub(crate) async fn log(&mut self) -> (String, Log) {
        match self.next().await {
            Some((id, Up::Log(log))) => (id, log),
            other => panic!("a log was to come, not {other:?}"),
        }
    }
}
