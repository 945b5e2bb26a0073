//! The stream to a server: making it, reading it, losing it. It owns when to try again; what the messages mean is
//! decided elsewhere.

use std::{future::Future, pin::Pin, time::Duration};

use semel_proto::v1::{Hello, Opened, RequestHeader, WorkRequest, WorkResponse, work_request, work_response};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::{
    auth::Signature,
    client::Client,
    error::Error,
    refusal::{self, Origin, Refusal},
    retry::{self, Class, RetryOptions},
};

const PATH: &str = "/semel.v1.WorkerService/Work";
/// How many messages may wait for the connection to take them.
const OUTBOUND_MAX: usize = 64;
/// How long opening a stream may take, a fresh token included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

type Dialing = Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send>>;

/// The state of the stream.
pub(crate) enum Link {
    /// There is none; one is made at this moment.
    Down(Instant),
    /// One is being made.
    Dialing(Dialing),
    /// It is open.
    Up(Box<Up>),
}

/// An open stream.
pub(crate) struct Up {
    pub(crate) tx: mpsc::Sender<WorkRequest>,
    rx: Streaming<WorkResponse>,
    /// Whether something waits for room in `tx`.
    pub(crate) blocked: bool,
    /// By which token it was opened, or reauthenticated.
    pub(crate) generation: u64,
    /// Until when the token that was sent on this stream is fresh: a server that calls it expiring before is asked to
    /// wait, or tokens that live shorter than its warning time would be renewed in a circle.
    pub(crate) fresh_until: Option<Instant>,
}

/// A stream that was just opened.
pub(crate) struct Dialled {
    pub(crate) up: Up,
    pub(crate) opened: Opened,
    /// When `Hello` was sent: the leases are good from then on.
    pub(crate) hello_at: Instant,
}

/// What happened on the stream.
pub(crate) enum LinkEvent {
    Opened(Box<Dialled>),
    DialFailed(Error),
    Message(Box<WorkResponse>),
    Ended(Option<Status>),
    /// There is room again.
    Writable,
}

impl Link {
    /// Waits for what happens next. May be dropped at any point without losing anything.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        match self {
            // The runtime knows the moment, and dials then.
            Self::Down(_) => std::future::pending().await,
            Self::Dialing(dialing) => match dialing.await {
                Ok(dialled) => LinkEvent::Opened(Box::new(dialled)),
                Err(error) => LinkEvent::DialFailed(error),
            },
            Self::Up(up) => up.next().await,
        }
    }
}

impl Up {
    async fn next(&mut self) -> LinkEvent {
        tokio::select! {
            message = self.rx.message() => match message {
                Ok(Some(message)) => LinkEvent::Message(Box::new(message)),
                Ok(None) => LinkEvent::Ended(None),
                Err(status) => LinkEvent::Ended(Some(status)),
            },
            Ok(_) = self.tx.reserve(), if self.blocked => {
                self.blocked = false;
                LinkEvent::Writable
            }
        }
    }

    /// Says that nothing more will be sent, and waits a little for the server to see it.
    pub(crate) async fn close(self, patience: Duration) {
        let Self { tx, mut rx, .. } = self;
        drop(tx);
        let _ = tokio::time::timeout(patience, async { while let Ok(Some(_)) = rx.message().await {} }).await;
    }
}

/// Opens a stream: signs, says hello, waits for the answer. Credentials that are refused are renewed once.
pub(crate) async fn dial(client: Client, hello: Hello) -> Result<Dialled, Error> {
    let core = client.core();
    let deadline = std::time::Instant::now() + OPEN_TIMEOUT;
    let mut signature = core.auth.sign(core, deadline).await?;
    let mut renewed = false;
    loop {
        let refusal = match open(&client, &hello, &signature).await {
            Ok(dialled) => return Ok(dialled),
            Err(refusal) => refusal,
        };
        refusal.header.iter().for_each(|header| core.transport.clock().learn(header));
        if renewed || retry::classify(&refusal) != Class::Credentials || !core.auth.can_refresh() {
            return Err(Error::new(refusal, "", 1));
        }
        signature = core.auth.refresh(core, signature.generation, deadline).await?;
        renewed = true;
    }
}

async fn open(client: &Client, hello: &Hello, signature: &Signature) -> Result<Dialled, Box<Refusal>> {
    let (tx, outbound) = mpsc::channel(OUTBOUND_MAX);
    let header = RequestHeader { client: Some(client.core().client_info.clone()), ..Default::default() };
    let first = WorkRequest { header: Some(header), kind: Some(work_request::Kind::Hello(hello.clone())) };
    tx.try_send(first).expect("a fresh channel has room");
    let mut request = Request::new(ReceiverStream::new(outbound));
    if let Some(bearer) = &signature.bearer {
        request.metadata_mut().insert("authorization", bearer.clone());
    }
    let hello_at = Instant::now();
    let opening = async {
        let mut grpc = client.core().transport.grpc();
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(PATH);
        let codec = ProstCodec::<WorkRequest, WorkResponse>::default();
        let mut rx = grpc.streaming(request, path, codec).await?.into_inner();
        let first = rx.message().await?;
        Ok::<_, Status>((rx, first))
    };
    let (rx, first) = tokio::time::timeout(OPEN_TIMEOUT, opening)
        .await
        .map_err(|_| Refusal::local(Code::DeadlineExceeded, "the stream did not open in time", Origin::NoAnswer))?
        .map_err(|status| Refusal::from_grpc(&status))?;
    let opened = opened(client, first)?;
    let up = Up { tx, rx, blocked: false, generation: signature.generation, fresh_until: None };
    Ok(Dialled { up, opened, hello_at })
}

/// The first message has to be `Opened`, with a header that shows that a Semel server wrote it.
fn opened(client: &Client, first: Option<WorkResponse>) -> Result<Opened, Box<Refusal>> {
    let Some(first) = first else {
        let message = "the stream ended before it was opened";
        return Err(Refusal::local(Code::Unavailable, message, Origin::Other).into());
    };
    match (first.header, first.kind) {
        (Some(header), Some(work_response::Kind::Opened(opened))) if refusal::spoke(Some(&header)) => {
            client.core().transport.clock().learn(&header);
            Ok(opened)
        }
        _ => {
            let message = "the stream does not begin as that of a Semel server; check the address";
            Err(Refusal::local(Code::Unavailable, message, Origin::Other).into())
        }
    }
}

/// How a worker comes back: more slowly than a single call, for there may be thousands of them.
pub(crate) fn reconnect_options() -> RetryOptions {
    RetryOptions {
        backoff_first: Duration::from_millis(200),
        backoff_max: Duration::from_secs(10),
        ..RetryOptions::default()
    }
}
