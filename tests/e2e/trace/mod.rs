//! Traces and metrics, as a collector gets them: from the caller's span to the worker's and back.

mod collector;
mod counted;
mod metrics;
mod runs;
mod sdk;
mod streams;
mod trouble;

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use semel_client::v1::{self, job_service_client::JobServiceClient};
use semel_server::{
    otlp::{CollectorUrl, Headers, Settings},
    server,
};
use tonic::{Request, Status};

use self::collector::{Collector, said};
pub(crate) use self::counted::spans_are_counted;
use super::{
    harness::{TestServer, run_job},
    wire::{PayByWire, Wire},
};

/// The trace and the span of a caller in these tests.
const TRACE_ID: [u8; 16] = [0xa1; 16];
const CALLER: [u8; 8] = [0xb2; 8];

/// What a caller says who records, in a trace of this number.
fn parent(number: u8) -> String {
    format!("00-{}{number:02x}-{}-01", "a1".repeat(15), "b2".repeat(8))
}

/// The same as it is stored.
fn trace_id(number: u8) -> Vec<u8> {
    let mut id = TRACE_ID.to_vec();
    id[15] = number;
    id
}

/// Where such a collector is, for a server that tells it soon.
fn telling(endpoint: &str) -> Settings {
    Settings {
        endpoint: CollectorUrl::parse(endpoint).expect("an address"),
        headers: Headers::parse([("x-api-key", "hunter2")]).expect("a header"),
        ca: None,
        sample_ratio: 0.0,
        interval: Duration::from_millis(50),
    }
}

/// A collector, and a server that tells it, with an app `pay` and its job `settle`.
async fn traced(change: impl FnOnce(&mut server::Settings)) -> (PayByWire, Collector) {
    let collector = Collector::start().await;
    let server = TestServer::with(|settings| {
        settings.otlp = Some(telling(&format!("http://{}", collector.address)));
        change(settings);
    });
    (PayByWire::on(server.await).await, collector)
}

/// A request with these headers.
fn with<T>(wire: &Wire, message: T, headers: &[(&'static str, &str)]) -> Request<T> {
    let mut request = wire.request(message);
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse().expect("ASCII"));
    }
    request
}

/// Runs `settle` under this id, with these headers.
async fn run(wire: &Wire, id: &str, headers: &[(&'static str, &str)]) -> Result<v1::RunJobResponse, Status> {
    let mut message = run_job("settle");
    message.header = Some(v1::RequestHeader { request_id: id.to_owned(), ..Default::default() });
    let mut client = JobServiceClient::new(wire.channel.clone());
    client.run_job(with(wire, message, headers)).await.map(tonic::Response::into_inner)
}

/// The trace and the span that a `traceparent` names.
fn named(context: Option<&v1::TraceContext>) -> (Vec<u8>, Vec<u8>) {
    let parent = &context.expect("a place in a trace").traceparent;
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
    };
    (bytes(&parent[3..35]), bytes(&parent[36..52]))
}

/// The one span of this name.
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let [span] = found.as_slice() else { panic!("{} spans are called {name}: {spans:#?}", found.len()) };
    span
}

/// What a span says under this key.
fn says(span: &Span, key: &str) -> String {
    said(&span.attributes, key)
}
