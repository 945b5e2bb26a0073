//! How a stream opens and ends: what may be said first, who speaks for a worker, and what a stream answers by itself.

use semel_client::{
    Refusal,
    v1::{self, AuthStatus, RunState, work_request::Kind},
};
use tonic::Code;

use crate::e2e::{
    crew::{Pay, RawWorker, fresh_id, hello, in_time, message, reason, refers_to, succeeded},
    harness::{TestServer, job, spec},
};

async fn refusal_of(server: &TestServer, bearer: &str, first: v1::WorkRequest) -> tonic::Status {
    match RawWorker::dial(&server.endpoint(), bearer, vec![first]).await {
        Err(status) => status,
        Ok((_, mut down)) => in_time(down.message()).await.expect_err("the stream is refused"),
    }
}

#[tokio::test]
async fn the_first_answer_says_who_was_recognised_and_how_long_a_silence_may_last() {
    let pay = Pay::with(|settings| settings.engine.lease = semel_core::id::Millis::from_secs(9)).await;
    let worker = pay.worker("p", 1).await;
    let auth = worker.opened_header.auth.as_ref().expect("a verdict");
    assert_eq!((auth.status(), auth.method()), (AuthStatus::Passed, v1::AuthMethod::AppSecret));
    assert!(auth.principal.contains("pay"), "{}", auth.principal);
    assert_eq!(worker.opened.lease_duration.expect("a lease").seconds, 9);
    assert_eq!(worker.opened.heartbeat_interval.expect("an interval").seconds, 3);
}

#[tokio::test]
async fn all_faults_of_a_hello_are_told_at_once() {
    let pay = Pay::start().await;
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
        let refused = refusal_of(&pay.server, &pay.secret, message("", Kind::Hello(hello))).await;
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID"));
        let violations = Refusal::from_grpc(&refused).bad_request.expect("details").field_violations;
        let told: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        for field in fields {
            assert!(told.contains(&field), "{field} is missing in {told:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_hello_and_has_no_second_one() {
    let pay = Pay::start().await;
    let refused = refusal_of(&pay.server, &pay.secret, message("", Kind::Heartbeat(v1::Heartbeat {}))).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID"));
    assert!(refused.message().contains("hello"), "{}", refused.message());

    let mut worker = pay.worker("p", 1).await;
    worker.say(Kind::Hello(hello(&worker.id, "p", 1))).await;
    let refused = worker.end().await.1.expect_err("refused");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID"));
    let refusal = Refusal::from_grpc(&refused);
    assert_eq!(refusal.auth_status(), AuthStatus::Passed);
}

#[tokio::test]
async fn a_caller_that_ends_before_it_introduced_itself_is_refused() {
    let pay = Pay::start().await;
    let dialled = {
        let (up, down) = tokio::sync::mpsc::channel::<v1::WorkRequest>(1);
        drop(up);
        let endpoint = tonic::transport::Endpoint::from_shared(pay.server.endpoint()).expect("an address");
        let mut client = v1::worker_service_client::WorkerServiceClient::new(endpoint.connect_lazy());
        let mut request = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(down));
        request.metadata_mut().insert("authorization", format!("Bearer {}", pay.secret).parse().expect("a token"));
        in_time(client.work(request)).await
    };
    let refused = dialled.map(|_| ()).expect_err("refused");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID"));
}

#[tokio::test]
async fn nobody_and_whoever_may_not_work_gets_no_stream() {
    let pay = Pay::start().await;
    let first = || message("", Kind::Hello(hello(&uuid::Uuid::new_v4().to_string(), "p", 1)));
    let nobody = refusal_of(&pay.server, "", first()).await;
    assert_eq!((nobody.code(), reason(&nobody).as_str()), (Code::Unauthenticated, "CREDENTIALS_MISSING"));
    assert_eq!(Refusal::from_grpc(&nobody).auth_status(), AuthStatus::Missing);

    let request = v1::IssueTokenRequest {
        app: "pay".to_owned(),
        secret: pay.secret.clone(),
        roles: vec![v1::Role::Submitter.into()],
        ..Default::default()
    };
    let narrow = pay.client.issue_token(request).await.expect("a token").token;
    let other_app = pay.server.app("other").await;
    let foreign = v1::Hello { app: "pay".to_owned(), ..hello(&uuid::Uuid::new_v4().to_string(), "p", 1) };
    for (bearer, first) in [(narrow, first()), (other_app, message("", Kind::Hello(foreign)))] {
        let refused = refusal_of(&pay.server, &bearer, first).await;
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "FORBIDDEN"));
        assert_eq!(Refusal::from_grpc(&refused).auth_status(), AuthStatus::Forbidden);
    }
}

#[tokio::test]
async fn the_newest_stream_speaks_for_a_worker() {
    let pay = Pay::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut old = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    let work = old.assignment().await;
    let held = vec![refers_to(&work)];
    let mut new = pay.worker_again(v1::Hello { held, ..hello(&old.id, "p", 2) }).await;
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
    let pay = Pay::start().await;
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
    let pay = Pay::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let worker = pay.worker("p", 1).await;
    let id = worker.id.clone();
    drop(worker);
    let run_id = pay.submit("settle").await;
    let mut back = pay.worker_again(hello(&id, "p", 1)).await;
    let work = back.assignment().await;
    assert_eq!(work.run_id, run_id);
    let (_, outcome) = back.report_as(&fresh_id(), succeeded(&work, "")).await;
    outcome.expect("taken");
}
