//! The fake for watches: each stream that a client opens is handed to the test, which plays the server on it.

use std::net::SocketAddr;

use semel_proto::v1::{
    auth_service_server::AuthServiceServer,
    watch_response::Kind,
    watch_service_server::{WatchService, WatchServiceServer},
    *,
};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

use super::{calls::Fake, header, header_with, now_ms, refusals::Refuse, soon};

type Answer = Result<WatchResponse, Status>;

/// Hands the streams of watches to a test.
#[derive(Debug)]
pub(crate) struct Tower {
    streams: Mutex<mpsc::Receiver<Post>>,
    /// Issues the tokens of clients that ask for one.
    pub(crate) tokens: Fake,
    pub(crate) address: SocketAddr,
}

#[derive(Debug)]
struct Service(mpsc::Sender<Post>);

/// One stream, from the server's side. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Post {
    down: mpsc::Sender<Answer>,
    pub(crate) request: WatchRequest,
    pub(crate) bearer: Option<String>,
}

impl Tower {
    pub(crate) async fn start() -> Self {
        let (streams, receiver) = mpsc::channel(16);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tokens = Fake::at(address, []);
        let server = tonic::transport::Server::builder()
            .add_service(AuthServiceServer::new(tokens.clone()))
            .add_service(run_service_server::RunServiceServer::new(tokens.clone()))
            .add_service(WatchServiceServer::new(Service(streams)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { streams: Mutex::new(receiver), tokens, address }
    }

    /// The next stream that a client asks for; nothing was said on it yet.
    pub(crate) async fn accept(&self) -> Post {
        soon("a stream", async { self.streams.lock().await.recv().await.unwrap() }).await
    }

    /// The next stream that a client asks for, opened with this token.
    pub(crate) async fn open(&self, token: &str) -> Post {
        let post = self.accept().await;
        post.say(token, Kind::Opened(WatchOpened { revision: 5, oldest_revision: 1, ..WatchOpened::default() })).await;
        post
    }
}

#[tonic::async_trait]
impl WatchService for Service {
    type WatchStream = ReceiverStream<Answer>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let bearer = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let (down, receiver) = mpsc::channel(4);
        let post = Post { down, request: request.into_inner(), bearer };
        self.0.send(post).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Post {
    /// How the client wants to begin.
    pub(crate) fn start(&self) -> Option<watch_request::Start> {
        self.request.start.clone()
    }

    /// Sends a message; whether anybody still reads.
    pub(crate) async fn say(&self, token: &str, kind: Kind) -> bool {
        let header = Some(header("", now_ms()));
        self.say_raw(WatchResponse { header, resume_token: token.to_owned(), kind: Some(kind) }).await
    }

    pub(crate) async fn say_raw(&self, message: WatchResponse) -> bool {
        soon("room on the stream", self.down.send(Ok(message))).await.is_ok()
    }

    /// Sends the events of these revisions of the app `pay`. Without a token they are not the whole of the last one.
    pub(crate) async fn events(&self, token: &str, revisions: &[i64]) -> bool {
        let events = revisions.iter().map(|revision| event(*revision)).collect();
        self.say(token, Kind::Events(WatchEvents { events, more: token.is_empty() })).await
    }

    /// Sends rows of a snapshot.
    pub(crate) async fn rows(&self, ids: &[&str]) -> bool {
        let run = |id: &&str| Run { run_id: (*id).to_owned(), ..Run::default() };
        let runs = ids.iter().map(run).collect();
        self.say("", Kind::Snapshot(WatchSnapshot { runs, ..WatchSnapshot::default() })).await
    }

    /// Says something of the credentials.
    pub(crate) async fn notice(&self, token: &str, status: AuthStatus) -> bool {
        let auth = AuthResult { status: status.into(), ..Default::default() };
        self.say(token, Kind::AuthNotice(AuthNotice { auth: Some(auth) })).await
    }

    /// Ends the stream with a refusal.
    pub(crate) async fn refuse(self, refuse: Refuse) {
        let status = refuse.to_grpc(&header_with(refuse.auth, "", now_ms()));
        self.fail(status).await;
    }

    /// Ends the stream with a bare status, as a proxy or a reset does.
    pub(crate) async fn fail(self, status: Status) {
        let _ = self.down.send(Err(status)).await;
    }

    /// Waits until the client has let go of the stream.
    pub(crate) async fn left(&self) {
        soon("the client to let go", self.down.closed()).await;
    }
}

/// An event of the app `pay`.
pub(crate) fn event(revision: i64) -> Event {
    let run = RunEvent { run_id: format!("run-{revision}"), job: "settle".to_owned(), ..RunEvent::default() };
    Event {
        revision,
        app: "pay".to_owned(),
        kind: EventKind::RunSucceeded.into(),
        subject: Some(event::Subject::Run(run)),
        ..Event::default()
    }
}
