//! One stream of a watch: opening it, reading it, and getting fresh credentials while it is read. It knows how a stream
//! ends, and nothing of what follows from it.

use std::{future::Future, pin::Pin, time::Duration};

use semel_proto::v1::{RequestHeader, WatchOpened, WatchRequest, WatchResponse, watch_response::Kind};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Status, Streaming, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::{
    auth::Signature,
    call::Core,
    client::Client,
    error::Error,
    id::RequestId,
    refusal::{self, Origin, Refusal},
};

const PATH: &str = "/semel.v1.WatchService/Watch";
/// How long a stream may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream that says nothing for so many of its own intervals is dead, whatever the connection looks like.
const SILENT_INTERVALS: u32 = 3;
/// The interval of a server that does not tell it.
const INTERVAL_UNSTATED: Duration = Duration::from_secs(30);
/// The longest that a server may be silent, so that moments can be added up without care.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long getting fresh credentials may take, and how long to wait before it is tried again.
const RENEW_TIMEOUT: Duration = Duration::from_secs(20);
const RENEW_AGAIN: Duration = Duration::from_secs(2);

/// A stream that was just opened.
pub(super) struct Session {
    pub(super) opened: WatchOpened,
    pub(super) resume_token: String,
    pub(super) stream: Stream,
    pub(super) renewal: Renewal,
}

/// The way down.
pub(super) struct Stream {
    client: Client,
    rx: Streaming<WatchResponse>,
    silence: Duration,
}

/// Why there is no stream.
pub(super) enum NoStream {
    /// There is no token to be had.
    Unsigned(Error),
    /// It was refused, or lost.
    Refused {
        refusal: Box<Refusal>,
        request_id: String,
        /// That of the credentials.
        generation: u64,
    },
}

impl Session {
    /// Opens a stream and waits for the server's first word. `refused` names the credentials that are not to be used
    /// again.
    pub(super) async fn open(client: &Client, request: WatchRequest, refused: Option<u64>) -> Result<Self, NoStream> {
        let core = client.core();
        let deadline = std::time::Instant::now() + OPEN_TIMEOUT;
        let signature = match refused {
            Some(generation) => core.auth.refresh(core, generation, deadline).await,
            None => core.auth.sign(core, deadline).await,
        };
        let signature = signature.map_err(NoStream::Unsigned)?;
        let request_id = RequestId::mint(core.transport.clock().now()).to_string();
        let request = complete(core, request, &request_id);
        let opened = match timeout(OPEN_TIMEOUT, exchange(core, request, &signature)).await {
            Ok(Ok((rx, first))) => first_word(core, first).map(|(opened, token)| (rx, opened, token)),
            Ok(Err(status)) => Err(refused_by(core, &status)),
            Err(_) => {
                let message = "the stream did not open in time";
                Err(Refusal::local(Code::DeadlineExceeded, message, Origin::NoAnswer).into())
            }
        };
        let renewal = Renewal::new(client.clone(), request_id, &signature);
        let (rx, opened, resume_token) = opened.map_err(|refusal| renewal.ended(refusal))?;
        let stream = Stream { client: client.clone(), rx, silence: silence(&opened) };
        Ok(Self { opened, resume_token, stream, renewal })
    }
}

impl Stream {
    /// The next message. May be dropped without losing anything.
    pub(super) async fn next(&mut self) -> Result<WatchResponse, Box<Refusal>> {
        let core = self.client.core();
        match timeout(self.silence, self.rx.message()).await {
            Ok(Ok(Some(message))) => {
                message.header.iter().for_each(|header| core.transport.clock().learn(header));
                Ok(message)
            }
            Ok(Ok(None)) => Err(lost("the stream has ended without a word")),
            Ok(Err(status)) => Err(refused_by(core, &status)),
            Err(_) => Err(lost("the stream has gone silent")),
        }
    }
}

/// Puts in what is not of the filter.
fn complete(core: &Core, mut request: WatchRequest, request_id: &str) -> WatchRequest {
    let header = RequestHeader {
        request_id: request_id.to_owned(),
        client: Some(core.client_info.clone()),
        ..Default::default()
    };
    request.header = Some(header);
    if request.app.is_empty() && request.apps.is_empty() {
        request.app.clone_from(&core.app);
    }
    request
}

/// For how long a stream may say nothing before it counts as dead.
fn silence(opened: &WatchOpened) -> Duration {
    let interval = opened.progress_interval.and_then(|interval| Duration::try_from(interval).ok());
    interval.filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL_UNSTATED).min(INTERVAL_MAX) * SILENT_INTERVALS
}

/// The moment at which fresh credentials are needed, and getting them while the stream goes on: a stream whose only way is
/// down cannot take them, so another one is opened when they are there.
pub(super) struct Renewal {
    client: Client,
    request_id: String,
    /// That of the credentials by which the stream was opened.
    generation: u64,
    /// When the credentials should be renewed by their own age.
    due: Option<Instant>,
    at: Option<Instant>,
    under_way: Option<Renewing>,
}

type Renewing = Pin<Box<dyn Future<Output = Result<Signature, Error>> + Send>>;

impl Renewal {
    fn new(client: Client, request_id: String, signature: &Signature) -> Self {
        let due = signature.renew_at.map(Instant::from_std);
        Self { client, request_id, generation: signature.generation, due, at: due, under_way: None }
    }

    /// The stream has ended so.
    pub(super) fn ended(&self, refusal: Box<Refusal>) -> NoStream {
        NoStream::Refused { refusal, request_id: self.request_id.clone(), generation: self.generation }
    }

    /// The server says that the credentials end soon. Those that live shorter than its warning time are renewed in their
    /// own time, or it would be done in a circle. False if they cannot be renewed.
    pub(super) fn hurry(&mut self) -> bool {
        let now = Instant::now();
        if self.at.is_some() {
            self.at = Some(self.due.filter(|due| *due > now).unwrap_or(now));
        }
        self.client.core().auth.can_refresh()
    }

    /// Waits until there are fresh credentials; for ever if there will be none. May be dropped and called again.
    pub(super) async fn fresh(&mut self) {
        loop {
            if let Some(renewing) = &mut self.under_way {
                let renewed = renewing.await;
                self.under_way = None;
                match renewed {
                    Ok(_) => {
                        self.at = None;
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot renew the token of the watch yet");
                        self.at = Some(Instant::now() + RENEW_AGAIN);
                    }
                }
            }
            let Some(at) = self.at else { return std::future::pending().await };
            tokio::time::sleep_until(at).await;
            let (client, generation) = (self.client.clone(), self.generation);
            self.under_way = Some(Box::pin(async move {
                let core = client.core();
                core.auth.refresh(core, generation, std::time::Instant::now() + RENEW_TIMEOUT).await
            }));
        }
    }
}

async fn exchange(
    core: &Core,
    request: WatchRequest,
    signature: &Signature,
) -> Result<(Streaming<WatchResponse>, Option<WatchResponse>), Status> {
    let mut request = Request::new(request);
    if let Some(bearer) = &signature.bearer {
        request.metadata_mut().insert("authorization", bearer.clone());
    }
    let mut grpc = core.transport.grpc();
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
    let mut rx = grpc.server_streaming(request, PathAndQuery::from_static(PATH), codec).await?.into_inner();
    let first = rx.message().await?;
    Ok((rx, first))
}

/// The first message has to be `opened`, with a header that shows that a Semel server wrote it.
fn first_word(core: &Core, first: Option<WatchResponse>) -> Result<(WatchOpened, String), Box<Refusal>> {
    let Some(WatchResponse { header, resume_token, kind }) = first else {
        return Err(lost("the stream has ended before it was opened"));
    };
    match (header, kind) {
        (Some(header), Some(Kind::Opened(opened))) if refusal::spoke(Some(&header)) => {
            core.transport.clock().learn(&header);
            Ok((opened, resume_token))
        }
        _ => {
            let message = "the stream does not begin as that of a Semel server; check the address";
            Err(Refusal::local(Code::Ok, message, Origin::Other).into())
        }
    }
}

fn refused_by(core: &Core, status: &Status) -> Box<Refusal> {
    let refusal = Refusal::from_grpc(status);
    refusal.header.iter().for_each(|header| core.transport.clock().learn(header));
    Box::new(refusal)
}

fn lost(message: &str) -> Box<Refusal> {
    Refusal::local(Code::Unavailable, message, Origin::NoAnswer).into()
}
