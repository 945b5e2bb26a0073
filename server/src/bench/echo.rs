//! The bare tonic echo that Semel is measured against: a unary method and a stream, with messages about as large as
//! those of `RunJob`, over HTTP/2 with the same limits. It has no credentials, no layer, no engine, and never will: it is
//! what gRPC alone costs on a machine. Its messages are no part of `semel.v1`.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client, server,
    server::{NamedService, StreamingService, UnaryService},
    transport::{Channel, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use super::eyes::Sink;
use crate::transport::http2;

const UNARY: &str = "/semel.bench.Echo/Unary";
const STREAM: &str = "/semel.bench.Echo/Stream";

/// About as many bytes as a `RunJobRequest` has here: id, app, job, a small payload.
static QUESTION: [u8; 96] = [7; 96];
/// About as many as its answer has: header, run, times.
static ANSWER: [u8; 192] = [7; 192];

/// What goes to the echo and comes back: opaque items.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Batch {
    /// One for a unary call.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) items: Vec<Bytes>,
}

/// A message of this many items.
pub(super) fn questions(count: usize) -> Batch {
    Batch { items: vec![Bytes::from_static(&QUESTION); count] }
}

fn answers(batch: &Batch) -> Batch {
    Batch { items: vec![Bytes::from_static(&ANSWER); batch.items.len()] }
}

/// Serves the echo until the process ends, and takes what servers under test send to a collector.
///
/// # Errors
/// If the transport fails.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = http2().add_service(Echo).add_service(Sink::<false>).add_service(Sink::<true>);
    server.serve_with_incoming(incoming).await
}

/// A caller of the echo, over one connection.
#[derive(Clone)]
pub(super) struct EchoClient(client::Grpc<Channel>);

impl EchoClient {
    pub(super) fn new(channel: Channel) -> Self {
        Self(client::Grpc::new(channel))
    }

    /// Says one thing and hears it.
    pub(super) async fn unary(&mut self) -> Result<(), Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(UNARY);
        let answer: Response<Batch> = self.0.unary(Request::new(questions(1)), path, ProstCodec::default()).await?;
        match answer.get_ref().items.len() {
            1 => Ok(()),
            count => Err(Status::data_loss(format!("one item was sent, and {count} came back"))),
        }
    }

    /// Opens a stream.
    pub(super) async fn stream(
        &mut self,
        batches: impl Stream<Item = Batch> + Send + 'static,
    ) -> Result<Streaming<Batch>, Status> {
        self.ready().await?;
        let codec = ProstCodec::<Batch, Batch>::default();
        let answer = self.0.streaming(Request::new(batches), PathAndQuery::from_static(STREAM), codec).await?;
        Ok(answer.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(format!("the echo cannot be reached: {error}")))
    }
}

/// What a service gives.
pub(super) type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// The service, in the form in which tonic generates one.
#[derive(Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "semel.bench.Echo";
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let is_stream = request.uri().path() == STREAM;
        Box::pin(async move {
            let mut grpc = server::Grpc::new(ProstCodec::<Batch, Batch>::default());
            Ok(if is_stream { grpc.streaming(Echo, request).await } else { grpc.unary(Echo, request).await })
        })
    }
}

impl UnaryService<Batch> for Echo {
    type Response = Batch;
    type Future = std::future::Ready<Result<Response<Batch>, Status>>;

    fn call(&mut self, request: Request<Batch>) -> Self::Future {
        ready(Ok(Response::new(answers(request.get_ref()))))
    }
}

impl StreamingService<Batch> for Echo {
    type Response = Batch;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Batch, Status>> + Send>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Batch>>) -> Self::Future {
        let echo = request.into_inner().map(|batch| batch.map(|batch| answers(&batch)));
        ready(Ok(Response::new(Box::pin(echo))))
    }
}
