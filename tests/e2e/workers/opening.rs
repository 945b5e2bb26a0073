//! How a stream opens and ends: what may be said first, who speaks for a worker, and what a stream answers by itself.

use semel_client::v1::{self, AuthStatus, RunState, work_request::Kind};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::e2e::{
    crew::PayByClient,
    harness::{in_time, job, spec},
    raw_worker::{RawWorker, hello, hello_again, refers_to, succeeded},
    wire::{Refused, Wire},
};

async fn refusal_of(wire: &Wire, first: Kind) -> Refused {
    let status = match RawWorker::dial(wire, first).await {
        Err(status) => status,
        Ok((_, mut down)) => in_time(down.message()).await.expect_err("the stream is refused"),
    };
    Refused::of(&status)
}

#[tokio::test]
async fn the_first_answer_says_who_was_recognised_and_how_long_a_silence_may_last() {
    let pay = PayByClient::with(|settings| settings.engine.lease = semel_core::id::Millis::from_secs(9)).await;
    // No app is named: it is the one of the credentials.
    let worker = pay.worker_again(v1::Hello { app: String::new(), ..hello("p", 1) }).await;
    let auth = worker.opened_header.auth.as_ref().expect("a verdict");
    assert_eq!((auth.status(), auth.method()), (AuthStatus::Passed, v1::AuthMethod::AppSecret));
    assert!(auth.principal.contains("pay"), "{}", auth.principal);
    assert_eq!(worker.opened.lease_duration.expect("a lease").seconds, 9);
    assert_eq!(worker.opened.heartbeat_interval.expect("an interval").seconds, 3);
}

#[tokio::test]
async fn all_faults_of_a_hello_are_told_at_once() {
    let pay = PayByClient::start().await;
    let faulty = v1::Hello {
        app: "No App".to_owned(),
        worker_id: "me".to_owned(),
        worker_name: "x".repeat(256),
        processors: vec!["Not A Name".to_owned()],
        slots: -1,
        held: vec![v1::AttemptRef { run_id: "x".to_owned(), attempt: -1 }],
    };
    let named = v1::Hello { app: "pay".to_owned(), ..faulty.clone() };
    let none = v1::Hello { processors: Vec::new(), ..named.clone() };
    for (hello, fields) in [
        (named, vec!["hello.worker_id", "hello.worker_name", "hello.processors[0]", "hello.slots"]),
        (none, vec!["hello.worker_id", "hello.processors", "hello.slots"]),
        (faulty, vec!["hello.app", "hello.worker_id", "hello.processors[0]", "hello.slots"]),
    ] {
        let refused = refusal_of(&pay.wire().await, Kind::Hello(hello)).await;
        refused.expect(Code::InvalidArgument, "INVALID");
        let told: Vec<_> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
        for field in fields {
            assert!(told.contains(&field), "{field} is missing in {told:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_hello_and_has_no_second_one() {
    let pay = PayByClient::start().await;
    let refused = refusal_of(&pay.wire().await, Kind::Heartbeat(v1::Heartbeat {})).await;
    refused.expect(Code::InvalidArgument, "INVALID");
    assert!(refused.violations.iter().any(|(field, _)| field.contains("hello")), "{refused:?}");

    let mut worker = pay.worker("p", 1).await;
    worker.say(Kind::Hello(hello_again(&worker.id, "p", 1))).await;
    let refused = worker.end().await.1.expect_err("refused");
    Refused::of(&refused).expect(Code::InvalidArgument, "INVALID");
}

#[tokio::test]
async fn a_caller_that_ends_before_it_introduced_itself_is_refused() {
    let pay = PayByClient::start().await;
    let (up, outgoing) = tokio::sync::mpsc::channel::<v1::WorkRequest>(1);
    drop(up);
    let wire = pay.wire().await;
    let mut client = v1::worker_service_client::WorkerServiceClient::new(wire.channel.clone());
    let refused = in_time(client.work(wire.request(ReceiverStream::new(outgoing)))).await.expect_err("refused");
    Refused::of(&refused).expect(Code::InvalidArgument, "INVALID");
}

#[tokio::test]
async fn nobody_and_whoever_may_not_work_gets_no_stream() {
    let pay = PayByClient::start().await;
    let wire = pay.wire().await;
    let first = || Kind::Hello(hello("p", 1));
    let nobody = refusal_of(&wire.nobody(), first()).await;
    nobody.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);

    let request = v1::IssueTokenRequest {
        app: "pay".to_owned(),
        secret: pay.secret.clone(),
        roles: vec![v1::Role::Submitter.into()],
        ..Default::default()
    };
    let narrow = pay.client.issue_token(request).await.expect("a token").token;
    let other_app = pay.server.app("other").await;
    for bearer in [narrow, other_app] {
        let refused = refusal_of(&wire.bearer(&bearer), first()).await;
        refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    }
}

#[tokio::test]
async fn the_newest_stream_speaks_for_a_worker() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut old = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    let work = old.assignment().await;
    let held = vec![refers_to(&work)];
    let mut new = pay.worker_again(v1::Hello { held, ..hello_again(&old.id, "p", 2) }).await;
    assert!(new.opened.stale.is_empty());
    let (_, ended) = old.end().await;
    assert!(ended.is_ok(), "the old one ends, and no fault is told: {ended:?}");

    // The end of the old stream takes nothing from the new one.
    let second = pay.submit("settle").await;
    let second_work = new.assignment().await;
    assert_eq!(second_work.run_id, second);
    new.report(succeeded(&work, "")).await;
    new.report(succeeded(&second_work, "")).await;
    assert_eq!(pay.run(&run_id).await.state(), RunState::Succeeded);
}

#[tokio::test]
async fn heartbeats_are_answered_with_what_waits_for_this_worker() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    job(&pay.client, "other", spec("q")).await;
    let mut worker = pay.worker("p", 0).await;
    assert_eq!(worker.beat().await, 0);
    pay.submit("settle").await;
    pay.submit("settle").await;
    pay.submit("other").await;
    assert_eq!(worker.beat().await, 2);
}

#[tokio::test]
async fn a_stream_is_closed_by_the_worker_and_its_place_is_free_at_once() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let worker = pay.worker("p", 1).await;
    let id = worker.id.clone();
    drop(worker);
    let run_id = pay.submit("settle").await;
    let mut back = pay.worker_again(hello_again(&id, "p", 1)).await;
    let work = back.assignment().await;
    assert_eq!(work.run_id, run_id);
    back.report(succeeded(&work, "")).await;
}
