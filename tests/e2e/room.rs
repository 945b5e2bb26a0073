//! What callers who were recognised may hold: how many calls are open, what their headers and requests take, how many items a
//! message becomes.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use semel_client::v1::{self, AuthStatus, RunState, work_request, work_response};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status, body::Body, codegen::http, metadata::MetadataValue, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Service as _, ServiceExt as _};

use super::{
    binary::{some_moment, until},
    harness::{TestServer, in_time, run_job, spec},
    raw_submitter::{RawSubmitter, item},
    raw_watcher::{RawWatcher, of},
    raw_worker::{RawWorker, hello, hello_again, succeeded},
    web::framed,
    wire::{PayByWire, Refused, Wire, fresh},
};

async fn watch(wire: &Wire) -> Result<RawWatcher, Status> {
    RawWatcher::open(wire, of("pay")).await
}

#[tokio::test]
async fn calls_that_are_open_have_a_bound_and_no_app_takes_all_of_them() {
    let pay = PayByWire::on(TestServer::with(|settings| settings.calls_max = 32).await).await;
    let mut held = Vec::new();
    // Half of them are anybody's, and as many more as it leaves free may be of one app.
    for _ in 0..24 {
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
    let refused = watch(&pay.admin).await.err().expect("they too leave some");
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
    let request = with_many_headers(&pay.pay, v1::RunJobRequest { header: header(&fresh()), ..run_job("settle") });
    let mut jobs = v1::job_service_client::JobServiceClient::new(pay.pay.channel.clone());
    let refused = Refused::of(&jobs.run_job(request).await.expect_err("refused"));
    refused.expect_with(Code::ResourceExhausted, "OVERLOADED", AuthStatus::Passed).says_when();
    pay.pay.served(&fresh(), run_job("settle")).await;
}

/// Some 50 KiB of them in the server's memory.
fn with_many_headers<M>(wire: &Wire, message: M) -> tonic::Request<M> {
    let mut request = wire.request(message);
    for number in 0..400 {
        let name = format!("x{number}").parse::<tonic::metadata::AsciiMetadataKey>().expect("a name");
        request.metadata_mut().insert(name, MetadataValue::from_static("1"));
    }
    request
}

#[tokio::test]
async fn an_app_whose_requests_hold_much_leaves_room_for_others_and_for_its_own_workers() {
    let server = TestServer::with(|settings| {
        settings.intake_bytes_max = 512 << 10;
        settings.message_bytes_max = 64 << 10;
    });
    let pay = PayByWire::on(server.await).await;
    let run_id = pay.pay.served(&fresh(), run_job("settle")).await.run_id;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it opens");
    let assignment = worker.assignment().await;
    // Each holds its headers until it is answered, and one that finds no room is answered at once.
    let mut waits = JoinSet::new();
    for _ in 0..20 {
        let wait = v1::WaitRunRequest { run_id: run_id.clone(), ..Default::default() };
        let request = with_many_headers(&pay.pay, wait);
        let mut runs = v1::run_service_client::RunServiceClient::new(pay.pay.channel.clone());
        waits.spawn(async move { runs.wait_run(request).await });
    }
    for _ in 0..10 {
        let refused = in_time(waits.join_next()).await.expect("one of them").expect("it ran").expect_err("no room");
        Refused::of(&refused).expect_with(Code::ResourceExhausted, "OVERLOADED", AuthStatus::Passed).says_when();
    }
    // Others have room for as much as one of these.
    let job = v1::RunJobRequest { app: "pay".to_owned(), header: header(&fresh()), ..run_job("settle") };
    let mut jobs = v1::job_service_client::JobServiceClient::new(pay.admin.channel.clone());
    jobs.run_job(with_many_headers(&pay.admin, job)).await.expect("a run");
    // And what the app's workers say comes in, be it as large as all that is left.
    worker.report(succeeded(&assignment, &"r".repeat(48 << 10))).await;
    let ends: Vec<_> = in_time(waits.join_all()).await;
    assert!(ends.iter().any(Result::is_ok), "those that had room were told");
}

/// Opens a stream, reads nothing for a while, and then reads on: as many assignments as these, or to the end of the stream.
async fn worker_that_pauses(wire: &Wire, hello: v1::Hello, pause: Duration, assignments: usize) -> Option<Status> {
    let (_up, mut down) = RawWorker::dial(wire, work_request::Kind::Hello(hello)).await.expect("it opens");
    some_moment(pause).await;
    let mut read = 0;
    while read < assignments {
        match in_time(down.message()).await {
            Ok(message) => {
                let kind = message.expect("no end without a word").kind;
                read += usize::from(matches!(kind, Some(work_response::Kind::Assignment(_))));
            }
            Err(status) => return Some(status),
        }
    }
    None
}

#[tokio::test]
async fn a_worker_that_does_not_read_gives_way_and_is_handed_all_of_it_again() {
    const RUNS: usize = 90;
    let server = TestServer::with(|settings| {
        settings.answer_bytes_max = 128 << 10;
        settings.message_bytes_max = 64 << 10;
    });
    let pay = PayByWire::on(server.await).await;
    let payload = v1::Payload { data: vec![b'x'; 3 << 10].into(), content_type: String::new() };
    for _ in 0..RUNS {
        pay.pay.served(&fresh(), v1::RunJobRequest { payload: Some(payload.clone()), ..run_job("settle") }).await;
    }
    // A connection on which a stream that is not read takes 64 KiB; the rest lies on the server.
    let endpoint =
        Endpoint::from_shared(pay.server.endpoint()).expect("an endpoint").initial_stream_window_size(65_535);
    let narrow = Wire { channel: endpoint.connect().await.expect("connects"), authorization: None }.bearer(&pay.secret);
    let hello = hello_again(&uuid::Uuid::new_v4().to_string(), "echo", RUNS as i32);
    let mut pause = Duration::from_millis(5500);
    let refused = loop {
        if let Some(status) = worker_that_pauses(&narrow, hello.clone(), pause, RUNS).await {
            break Refused::of(&status);
        }
        pause *= 2;
    };
    refused.expect_with(Code::ResourceExhausted, "OVERLOADED", AuthStatus::Passed).says_when();
    // It comes again, reads, and has what it was handed before, under the same attempts.
    let mut worker = RawWorker::open(&pay.pay, hello).await.expect("it opens");
    for _ in 0..RUNS {
        let assignment = worker.assignment().await;
        assert_eq!(assignment.attempt, 1);
        worker.report(succeeded(&assignment, "done")).await;
    }
    let runs = pay.pay.runs().await;
    assert!(runs.len() == RUNS && runs.iter().all(|run| run.state() == RunState::Succeeded));
}

/// A worker's stream on which there is a hello, and a message of so many bytes but for its last one. Gives where more can be
/// said, and the status with which the stream ends.
async fn halfway(wire: &Wire, length: u32) -> (mpsc::Sender<Bytes>, JoinHandle<Status>) {
    let (more, chunks) = mpsc::channel(4);
    let begun = [&[0][..], &length.to_be_bytes(), &vec![0; length as usize - 1]].concat();
    let first = v1::WorkRequest { kind: Some(work_request::Kind::Hello(hello("nothing", 1))), ..Default::default() };
    for chunk in [framed(&first), begun] {
        more.send(Bytes::from(chunk)).await.expect("there is room");
    }
    let chunks = ReceiverStream::new(chunks).map(|chunk| Ok::<_, Status>(Frame::data(chunk)));
    let (metadata, _, body) = wire.request(Body::new(StreamBody::new(chunks))).into_parts();
    let request = http::Request::post("/semel.v1.WorkerService/Work").header("content-type", "application/grpc");
    let mut request = request.body(body).expect("a request");
    request.headers_mut().extend(metadata.into_headers());
    let mut channel = wire.channel.clone();
    let ended = tokio::spawn(async move {
        let answer = channel.ready().await.expect("connected").call(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("its end");
        Status::from_header_map(body.trailers().unwrap_or(&head.headers)).expect("a status")
    });
    (more, ended)
}

#[tokio::test]
async fn workers_that_do_not_finish_what_they_say_leave_room_for_those_of_others() {
    // Workers' streams have room for two messages.
    let server = TestServer::with(|settings| {
        settings.intake_bytes_max = 128 << 10;
        settings.message_bytes_max = 64 << 10;
    });
    let pay = PayByWire::on(server.await).await;
    let shop = pay.nobody.bearer(&pay.server.app("shop").await);
    let create = v1::CreateJobRequest { job: "pack".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    shop.served(&fresh(), create).await;
    shop.served(&fresh(), run_job("pack")).await;
    let of_shop = v1::Hello { app: "shop".to_owned(), ..hello("echo", 1) };
    let mut worker = RawWorker::open(&shop, of_shop).await.expect("it opens");
    let assignment = worker.assignment().await;

    let mut held = Vec::new();
    let mut ends = JoinSet::new();
    for _ in 0..4 {
        let (more, ended) = halfway(&pay.pay, 40 << 10).await;
        held.push(more);
        ends.spawn(ended);
    }
    let refused = in_time(ends.join_next()).await.expect("one of them").expect("it ran").expect("no panic");
    Refused::of(&refused).expect_with(Code::ResourceExhausted, "OVERLOADED", AuthStatus::Passed).says_when();
    // What submits has room of its own, and what another app's worker says comes in.
    pay.pay.served(&fresh(), run_job("settle")).await;
    worker.report(succeeded(&assignment, &"r".repeat(8 << 10))).await;

    // What they leave is anybody's, to the largest message that there may be.
    drop(held);
    in_time(async { while ends.join_next().await.is_some() {} }).await;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("it opens");
    let assignment = worker.assignment().await;
    worker.report(succeeded(&assignment, &"r".repeat(63 << 10))).await;
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
    assert!(pay.pay.runs().await.is_empty());
}
