//! A server that only answers: `SubmitRuns` without a run being made, and nothing else. It is what gRPC alone costs a client,
//! and so the measure for what the client adds.

use std::{
    convert::Infallible,
    future::{Future, ready},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use semel_proto::v1::{self, SubmitRunsRequest, SubmitRunsResponse, submit_result::Outcome};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::Service,
    server::{Grpc, NamedService, StreamingService},
    transport::{Server, server::TcpIncoming},
};

const PATH: &str = "/semel.v1.JobService/SubmitRuns";

/// Serves until the runtime ends; gives the address.
///
/// # Panics
/// When there is no free port.
pub async fn start() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port of the loopback");
    let address = listener.local_addr().expect("a bound listener has an address");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(Server::builder().add_service(Echo).serve_with_incoming(incoming));
    address
}

/// The service, in the form in which tonic generates one.
#[derive(Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "semel.v1.JobService";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("this server only answers SubmitRuns").into_http());
            }
            let codec = tonic_prost::ProstCodec::<SubmitRunsResponse, SubmitRunsRequest>::default();
            Ok(Grpc::new(codec).streaming(Echo, request).await)
        })
    }
}

impl StreamingService<SubmitRunsRequest> for Echo {
    type Response = SubmitRunsResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<SubmitRunsResponse, Status>> + Send>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<SubmitRunsRequest>>) -> Self::Future {
        let answers = request.into_inner().map(|message| message.map(|message| answer(&message)));
        ready(Ok(Response::new(Box::pin(answers))))
    }
}

fn answer(message: &SubmitRunsRequest) -> SubmitRunsResponse {
    let result = |run: &v1::RunJobRequest| {
        let request_id = run.header.as_ref().map(|header| header.request_id.clone()).unwrap_or_default();
        let made = v1::SubmittedRun {
            run_id: "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
            state: v1::RunState::Queued as i32,
            disposition: v1::Disposition::Executed as i32,
            arrivals: 1,
            ..Default::default()
        };
        v1::SubmitResult { request_id, outcome: Some(Outcome::Run(made)) }
    };
    SubmitRunsResponse { results: message.runs.iter().map(result).collect(), ..Default::default() }
}
