//! What callers who were recognised may hold: how many calls are open, what their headers and requests take, how many items a
//! message becomes.

use semel_client::v1::{self, AuthStatus};
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    binary::until,
    harness::{TestServer, run_job},
    raw_submitter::{RawSubmitter, item},
    raw_watcher::{RawWatcher, of},
    raw_worker::{RawWorker, hello},
    wire::{PayByWire, Refused, Wire, fresh},
};

async fn watch(wire: &Wire) -> Result<RawWatcher, Status> {
    RawWatcher::open(wire, of("pay")).await
}

#[tokio::test]
async fn calls_that_are_open_have_a_bound_and_no_app_takes_all_of_them() {
    let pay = PayByWire::on(TestServer::with(|settings| settings.calls_max = 16).await).await;
    let mut held = Vec::new();
    // Half of them are anybody's, and a quarter more may be of one app.
    for _ in 0..12 {
        held.push(watch(&pay.pay).await.expect("there is room"));
    }
    let id = fresh();
    let refused = Refused::of(&pay.pay.send(&id, run_job("settle")).await.expect_err("refused"));
    refused.expect_with(Code::ResourceExhausted, "OVERLOADED", AuthStatus::Passed).says_when();
    // Others are served, a worker is let in, and the health is told to everybody.
    let job = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    pay.admin.served(&fresh(), job).await;
    let _worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it is let in");
    for wire in [&pay.nobody, &pay.pay] {
        let mut health = HealthClient::new(wire.channel.clone());
        health.check(wire.request(HealthCheckRequest::default())).await.expect("it answers");
    }
    for _ in 0..3 {
        held.push(watch(&pay.admin).await.expect("there is room for others"));
    }
    let refused = watch(&pay.admin).await.err().expect("it is full");
    Refused::of(&refused).expect(Code::ResourceExhausted, "OVERLOADED").says_when();

    drop(held);
    // The streams end when the server hears of it. The call that was refused has left nothing behind.
    let answer = until(async || pay.pay.send(&id, run_job("settle")).await.ok()).await;
    assert_eq!(answer.header.expect("a header").disposition(), v1::Disposition::Executed);
}

#[tokio::test]
async fn headers_count_among_what_requests_hold() {
    let server = TestServer::with(|settings| {
        settings.intake_bytes_max = 64 << 10;
        settings.message_bytes_max = 64 << 10;
    });
    let pay = PayByWire::on(server.await).await;
    let mut request = pay.pay.request(v1::RunJobRequest { header: header(&fresh()), ..run_job("settle") });
    for number in 0..400 {
        let name = format!("x{number}").parse::<tonic::metadata::AsciiMetadataKey>().expect("a name");
        request.metadata_mut().insert(name, MetadataValue::from_static("1"));
    }
    let mut jobs = v1::job_service_client::JobServiceClient::new(pay.pay.channel.clone());
    let refused = Refused::of(&jobs.run_job(request).await.expect_err("refused"));
    refused.expect_with(Code::ResourceExhausted, "OVERLOADED", AuthStatus::Passed).says_when();
    pay.pay.served(&fresh(), run_job("settle")).await;
}

fn header(id: &str) -> Option<v1::RequestHeader> {
    Some(v1::RequestHeader { request_id: id.to_owned(), ..Default::default() })
}

#[tokio::test]
async fn a_message_of_far_too_many_items_is_not_made_and_what_came_before_it_is_answered() {
    let pay = PayByWire::start().await;
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("it opens");
    let first = fresh();
    submitter.send(vec![item(&first)]).await;
    submitter.send(vec![v1::RunJobRequest::default(); 1_000_000]).await;
    submitter.served(&first).await;
    let (rest, end) = submitter.end().await;
    assert!(rest.is_empty(), "{rest:?}");
    Refused::of(&end.expect_err("it is refused")).expect(Code::InvalidArgument, "INVALID");
    assert_eq!(pay.pay.runs().await.len(), 1);
}

#[tokio::test]
async fn a_stream_for_whose_messages_there_is_no_room_is_told_to_come_again() {
    let server = TestServer::with(|settings| settings.intake_bytes_max = 64 << 10).await;
    let pay = PayByWire::on(server).await;
    let large = v1::Payload { data: vec![b'x'; 100 << 10].into(), content_type: String::new() };
    let mut submitter = RawSubmitter::open(&pay.pay).await.expect("it opens");
    submitter.send(vec![v1::RunJobRequest { payload: Some(large.clone()), ..item(&fresh()) }]).await;
    let (_, end) = submitter.end().await;
    Refused::of(&end.expect_err("it is refused")).expect(Code::ResourceExhausted, "OVERLOADED").says_when();

    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it opens");
    let log = v1::Log { data: large.data, ..Default::default() };
    worker.say(v1::work_request::Kind::Log(log)).await;
    let end = worker.end().await.1.expect_err("it is refused");
    Refused::of(&end).expect(Code::ResourceExhausted, "OVERLOADED").says_when();
    assert!(pay.pay.runs().await.is_empty());
}
