//! What observers are told of each call at its end: the same that its caller was told.

use std::sync::Arc;

use semel_client::v1;
use semel_core::id::AppName;
use semel_server::{
    auth,
    engine::Disposition,
    observe::{Ending, Facts, Observer},
};
use tokio::sync::mpsc;
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::{
    harness::{TestServer, in_time, run_job},
    wire::{PayByWire, fresh, settle},
};

/// Passes on what it is told.
#[derive(Debug)]
struct Passes(mpsc::UnboundedSender<Told>);

#[derive(Debug)]
struct Told {
    path: String,
    code: Option<usize>,
    facts: Facts,
}

impl Observer for Passes {
    fn ended(&self, ending: &Ending<'_>) {
        assert!(ending.head.peer.is_some_and(|peer| peer.ip().is_loopback()), "{:?}", ending.head);
        let (path, facts) = (ending.head.uri.path().to_owned(), ending.facts.clone());
        let _ = self.0.send(Told { path, code: ending.code, facts });
    }
}

async fn observed() -> (PayByWire, mpsc::UnboundedReceiver<Told>) {
    let (sender, mut told) = mpsc::unbounded_channel();
    let server = TestServer::with(|settings| settings.observers.push(Arc::new(Passes(sender)))).await;
    let pay = PayByWire::on(server).await;
    while told.try_recv().is_ok() {}
    (pay, told)
}

#[tokio::test]
async fn of_a_mutation_they_learn_what_became_of_it_each_time() {
    let (pay, mut told) = observed().await;
    let id = fresh();
    for disposition in [Disposition::Executed, Disposition::Replayed] {
        let answer = settle(&pay.pay, &id).await.expect("it runs");
        let header = answer.header.expect("a header");
        let told = in_time(told.recv()).await.expect("a call has ended");
        assert_eq!((told.path.as_str(), told.code), ("/semel.v1.JobService/RunJob", Some(0)));
        let facts = told.facts;
        assert_eq!(facts.request_id, id);
        assert_eq!(facts.app, AppName::parse("pay").ok());
        assert_eq!(facts.principal(), Some("app:pay"));
        assert_eq!(facts.auth_status(), Some(auth::Status::Passed));
        assert_eq!(facts.disposition, Some(disposition));
        assert_eq!((facts.arrivals.cast_signed(), facts.reason), (header.arrivals, None));
        assert_eq!(facts.revision.map(|revision| revision.0.cast_signed()), Some(header.revision));
    }
}

#[tokio::test]
async fn of_a_refusal_they_learn_the_reason() {
    let (pay, mut told) = observed().await;
    let refused = pay.nobody.refused(&fresh(), run_job("settle")).await;
    let first = in_time(told.recv()).await.expect("a call has ended");
    assert_eq!((first.code, first.facts.reason), (Some(16), Some("CREDENTIALS_MISSING")));
    assert_eq!((refused.reason.as_str(), first.facts.principal()), ("CREDENTIALS_MISSING", None));
    assert_eq!(first.facts.auth_status(), Some(auth::Status::Missing));

    pay.pay.refused(&fresh(), run_job("nowhere")).await;
    let second = in_time(told.recv()).await.expect("a call has ended");
    assert_eq!((second.code, second.facts.reason), (Some(5), Some("NOT_FOUND")));
    assert_eq!((second.facts.disposition, second.facts.principal()), (None, Some("app:pay")));
}

#[tokio::test]
async fn of_what_is_refused_before_a_service_sees_it_they_learn_as_much() {
    let (pay, mut told) = observed().await;
    let data = vec![b'x'; 5 << 20].into();
    let payload = Some(v1::Payload { data, content_type: String::new() });
    pay.pay.send(&fresh(), v1::RunJobRequest { payload, ..run_job("settle") }).await.expect_err("it is too large");
    let mut grpc = Grpc::new(pay.pay.channel.clone());
    grpc.ready().await.expect("it is there");
    // As a message of ours, this would have a header that is cut.
    let (request, codec) = (pay.pay.request("\u{7f}\u{7f}".to_owned()), ProstCodec::<String, ()>::default());
    let path = PathAndQuery::from_static("/semel.v1.JobService/RunJob");
    grpc.unary(request, path, codec).await.expect_err("it cannot be read");
    for _ in 0..2 {
        let refused = in_time(told.recv()).await.expect("a call has ended");
        assert_eq!((refused.code, refused.facts.reason), (Some(3), Some("INVALID")));
        assert_eq!(
            (refused.facts.principal(), refused.facts.auth_status()),
            (Some("app:pay"), Some(auth::Status::Passed))
        );
    }
}

#[tokio::test]
async fn of_a_read_they_learn_whose_and_of_a_stream_nothing_before_its_end() {
    let (pay, mut told) = observed().await;
    let mut request = pay.pay.request(v1::WatchRequest { app: "pay".to_owned(), ..Default::default() });
    request.set_timeout(super::harness::PATIENCE);
    let mut watcher = v1::watch_service_client::WatchServiceClient::new(pay.pay.channel.clone());
    let mut stream = watcher.watch(request).await.expect("it opens").into_inner();
    assert!(in_time(stream.message()).await.expect("it is open").is_some());
    pay.pay.runs().await;
    let read = in_time(told.recv()).await.expect("a call has ended");
    assert_eq!(read.path, "/semel.v1.RunService/ListRuns");
    assert_eq!((read.facts.app, read.facts.disposition), (AppName::parse("pay").ok(), None));
    drop(stream);
    let watch = in_time(told.recv()).await.expect("the watch has ended");
    assert_eq!((watch.path.as_str(), watch.code), ("/semel.v1.WatchService/Watch", Some(1)));
    assert_eq!(watch.facts.principal(), Some("app:pay"));
}
