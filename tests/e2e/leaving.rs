//! How a server goes, and a connection that is old: who is told, and that nobody is cut who can go by himself.

use std::time::Duration;

use semel_client::v1::{self, watch_response::Kind};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    harness::{PATIENCE, TestServer, in_time},
    wire::{PayByWire, Wire, fresh, settle},
};

async fn watch(pay: &Wire) -> tonic::Streaming<v1::WatchResponse> {
    let progress = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let message = v1::WatchRequest { app: "pay".to_owned(), progress_interval: progress, ..Default::default() };
    let mut request = pay.request(message);
    request.set_timeout(PATIENCE);
    let mut watcher = v1::watch_service_client::WatchServiceClient::new(pay.channel.clone());
    watcher.watch(request).await.expect("it opens").into_inner()
}

async fn last_of(mut stream: tonic::Streaming<v1::WatchResponse>) -> Option<Kind> {
    let mut last = None;
    while let Some(message) = in_time(stream.message()).await.expect("it ends well") {
        last = message.kind;
    }
    last
}

#[tokio::test]
async fn streams_on_a_connection_that_is_old_are_told_to_go_and_calls_go_on() {
    let young = TestServer::with(|settings| settings.connection_age = Some(Duration::from_millis(300))).await;
    let pay = PayByWire::on(young).await;
    let fresh_wire = pay.connect_again().await;
    let told = last_of(watch(&fresh_wire).await).await;
    assert!(matches!(told, Some(Kind::GoingAway(_))), "{told:?}");
    // The connection takes no new call; the channel makes another one.
    for _ in 0..5 {
        let id = fresh();
        while settle(&fresh_wire, &id).await.is_err() {}
    }
    assert_eq!(pay.connect_again().await.runs().await.len(), 5, "and none is doubled");
}

#[tokio::test]
async fn health_is_told_of_each_service() {
    let pay = PayByWire::start().await;
    let ask = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = in_time(HealthClient::new(pay.nobody.channel.clone()).check(request)).await;
        answer.map(|answer| answer.into_inner().status)
    };
    for service in ["", "semel.v1.JobService", "semel.v1.WatchService", "semel.v1.WorkerService"] {
        assert_eq!(ask(service).await.expect("it is known"), 1, "{service}");
    }
    assert_eq!(ask("semel.v1.NoService").await.expect_err("it is not known").code(), tonic::Code::NotFound);
    pay.server.running().drain().await;
    for service in ["", "semel.v1.JobService"] {
        assert_eq!(ask(service).await.expect("it is known"), 2, "{service}");
    }
}

#[tokio::test]
async fn a_server_that_says_that_it_goes_still_serves_for_a_while() {
    let slow = TestServer::with(|settings| settings.drain_delay = Duration::from_secs(2)).await;
    let mut pay = PayByWire::on(slow).await;
    let mut health = HealthClient::new(pay.nobody.channel.clone());
    let mut told = health.watch(HealthCheckRequest::default()).await.expect("it opens").into_inner();
    assert_eq!(in_time(told.message()).await.expect("open").map(|answer| answer.status), Some(1));
    let running = pay.server.running.take().expect("it runs");
    let ending = tokio::spawn(running.shutdown());
    assert_eq!(in_time(told.message()).await.expect("open").map(|answer| answer.status), Some(2));
    settle(&pay.pay, &fresh()).await.expect("it is served as before");
    in_time(ending).await.expect("it ends").expect("it ends well");
    assert!(settle(&pay.pay, &fresh()).await.is_err(), "nobody listens any more");
}
