//! What retry layers tell of their tries, and what becomes of calls that nobody waits for any more.

use std::time::Duration;

use semel_client::v1::{self, Disposition, RequestState};
use tonic::Code;

use super::still;
use crate::e2e::{
    harness::run_job,
    valve::{Valve, Which},
    wire::{PayByWire, Refused, Wire, arrival, fresh, settle},
};

/// `RunJob` with this metadata.
async fn told(wire: &Wire, id: &str, metadata: &[(&'static str, &'static str)]) -> v1::RunJobResponse {
    let mut stub = v1::job_service_client::JobServiceClient::new(wire.channel.clone());
    let mut message = run_job("settle");
    message.header.get_or_insert_default().request_id = id.to_owned();
    let mut request = wire.request(message);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().expect("visible characters"));
    }
    stub.run_job(request).await.expect("it is served").into_inner()
}

#[tokio::test]
async fn retries_that_are_told_of_stand_with_the_request() {
    let (pay, clock) = still().await;
    let tries = |record: &v1::RequestRecord| (record.arrivals, record.previous_attempts, record.proxy_attempts);
    let id = fresh();
    told(&pay.pay, &id, &[("grpc-previous-rpc-attempts", "2")]).await;
    let record = pay.pay.look_up(&id).await.request.expect("a record");
    assert_eq!(tries(&record), (1, 2, 0), "it took effect at the third try, and was seen once");

    // Others send it again; what they tell is written with the next commit.
    told(&pay.pay, &id, &[("x-envoy-attempt-count", "3"), ("grpc-previous-rpc-attempts", "1")]).await;
    told(&pay.pay, &id, &[("x-envoy-attempt-count", "-9"), ("grpc-previous-rpc-attempts", "9999999")]).await;
    let plain = fresh();
    let again = told(&pay.pay, &id, &[]).await;
    assert_eq!(arrival(again.header.as_ref()), (Disposition::Replayed, 4));
    told(&pay.pay, &plain, &[("x-envoy-attempt-count", "1")]).await;
    super::pass(&pay, &clock, semel_core::id::Millis(1)).await;
    let record = pay.pay.look_up(&id).await.request.expect("a record");
    assert_eq!(tries(&record), (4, 2, 3), "of each the highest; garbage is nothing");
    let record = pay.pay.look_up(&plain).await.request.expect("a record");
    assert_eq!(tries(&record), (1, 0, 0), "a first try tells nothing");
}

#[tokio::test]
async fn d9_what_nobody_waits_for_any_more_is_not_begun() {
    let (server, valve) = Valve::server(|_| {}).await;
    let pay = PayByWire::on(server).await;
    let known = fresh();
    let first = settle(&pay.pay, &known).await.expect("a run");
    valve.shut(Which::Requests);
    let (wire, holding) = (pay.pay.clone(), fresh());
    let held = tokio::spawn(async move { settle(&wire, &holding).await });
    valve.holds().await;

    // Both wait behind it until their deadlines are over: one that is new, and one that took effect before.
    let (late, short) = (fresh(), Duration::from_millis(100));
    for id in [&late, &known] {
        let status = pay.pay.send_within(id, run_job("settle"), short).await.expect_err("it is too late");
        Refused::of(&status).expect(Code::DeadlineExceeded, "OUTCOME_UNKNOWN");
    }
    valve.open();
    held.await.expect("no panic").expect("what had begun goes on");
    settle(&pay.pay, &fresh()).await.expect("one behind both");
    let record = pay.pay.look_up(&late).await.request.expect("a record");
    assert_eq!(record.state(), RequestState::Unknown, "nothing was applied");
    assert_eq!(pay.pay.runs().await.len(), 3);

    let again = settle(&pay.pay, &late).await.expect("it may be sent again under its id");
    assert_eq!(arrival(again.header.as_ref()), (Disposition::Executed, 1));
    let replayed = settle(&pay.pay, &known).await.expect("and what had taken effect is told");
    assert_eq!((arrival(replayed.header.as_ref()), replayed.run_id), ((Disposition::Replayed, 3), first.run_id));
}
