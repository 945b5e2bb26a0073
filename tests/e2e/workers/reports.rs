//! Reports: acknowledged once, replayed after, fenced by worker and attempt, and bound by the rules of every mutation.

use semel_client::v1::{self, AuthStatus, Disposition, RunState, work_request::Kind};
use tonic::Code;

use crate::e2e::{
    crew::PayByClient,
    harness::{job, spec},
    raw_worker::{RawWorker, failed_plainly, given_back, hello_again, let_go, log, succeeded},
    wire::fresh,
};

/// A run that a worker holds.
async fn held(pay: &PayByClient) -> (RawWorker, v1::Assignment) {
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    pay.submit("settle").await;
    let assignment = worker.assignment().await;
    (worker, assignment)
}

fn hello_of(worker: &RawWorker) -> v1::Hello {
    hello_again(&worker.id, "p", 0)
}

#[tokio::test]
async fn a_report_is_acknowledged_and_replayed_after_a_reconnect() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay).await;
    let id = fresh();
    let first = worker.submit(&id, succeeded(&work, "42")).await.expect("taken");
    assert_eq!((first.request_id.as_str(), first.disposition()), (id.as_str(), Disposition::Executed));
    assert_eq!(first.auth.as_ref().expect("a verdict").status(), AuthStatus::Passed);

    // On the same stream, and on the next one: nothing happens again.
    for arrival in 2..4 {
        let again = worker.submit(&id, succeeded(&work, "42")).await.expect("the same answer");
        assert_eq!((again.disposition(), again.arrivals), (Disposition::Replayed, arrival));
        assert_eq!((again.execute_time, again.revision), (first.execute_time, first.revision));
        worker = pay.worker_again(hello_of(&worker)).await;
    }
    let run = pay.run(&work.run_id).await;
    assert_eq!((run.state(), run.attempts.len()), (RunState::Succeeded, 1));
    assert_eq!(run.result.expect("a result").data, "42");
}

#[tokio::test]
async fn another_report_under_the_same_id_is_a_bug_and_is_told_so() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay).await;
    let id = fresh();
    worker.submit(&id, succeeded(&work, "42")).await.expect("taken");
    for other in [succeeded(&work, "43"), failed_plainly(&work)] {
        let refused = worker.submit(&id, other).await.expect_err("refused");
        assert_eq!((refused.reason.as_str(), refused.code), ("REQUEST_ID_REUSED", Code::FailedPrecondition));
        assert!(!refused.metadata.is_empty(), "it names what differs");
    }
    // A log under the id of a report differs in the method.
    let refused = worker.submit(&id, log(&work, "x")).await.expect_err("refused");
    assert_eq!(refused.reason, "REQUEST_ID_REUSED");
    assert_eq!(pay.run(&work.run_id).await.result.expect("a result").data, "42");
}

#[tokio::test]
async fn a_report_needs_an_id_and_faultless_fields_and_the_stream_goes_on_without() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay).await;
    let mut cases = vec![
        ("", succeeded(&work, ""), "REQUEST_ID_MISSING"),
        ("not-a-uuid", succeeded(&work, ""), "REQUEST_ID_MALFORMED"),
        ("9b2f1c7e-3c56-4d0e-8f6a-1d2c3b4a5968", succeeded(&work, ""), "REQUEST_ID_MALFORMED"),
        ("00000000-0000-7000-8000-000000000001", succeeded(&work, ""), "REQUEST_ID_EXPIRED"),
        ("fffffff0-0000-7000-8000-000000000001", succeeded(&work, ""), "REQUEST_ID_IN_FUTURE"),
    ];
    let good = fresh();
    cases.push((&good, v1::Report { run_id: "x".to_owned(), attempt: -1, outcome: None }, "INVALID"));
    for (id, report, reason) in cases {
        let refused = worker.submit(id, report).await.expect_err("refused");
        assert_eq!(refused.reason, reason, "{id}");
        assert_eq!(pay.run(&work.run_id).await.state(), RunState::Running);
    }
    // A refusal has recorded nothing: the same id serves for the right report.
    worker.submit(&good, succeeded(&work, "")).await.expect("taken");
}

#[tokio::test]
async fn all_faults_of_a_report_are_told_at_once() {
    let pay = PayByClient::start().await;
    let mut worker = pay.worker("p", 1).await;
    let faulty = v1::Report { run_id: "x".to_owned(), attempt: -1, outcome: None };
    let refused = worker.submit(&fresh(), faulty).await.expect_err("refused");
    let mut fields: Vec<_> = refused.violations.iter().map(|(field, _)| field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["attempt", "outcome", "run_id"]);
}

#[tokio::test]
async fn whoever_does_not_hold_the_attempt_changes_nothing() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay).await;
    let mut stranger = pay.worker("q", 1).await;
    let elsewhere = v1::Assignment { run_id: fresh(), ..work.clone() };
    let too_new = v1::Assignment { attempt: 2, ..work.clone() };
    for (by_stranger, report) in
        [(true, succeeded(&work, "x")), (false, succeeded(&too_new, "x")), (false, succeeded(&elsewhere, "x"))]
    {
        let speaker = if by_stranger { &mut stranger } else { &mut worker };
        let refused = speaker.submit(&fresh(), report).await.expect_err("refused");
        assert_eq!((refused.reason.as_str(), refused.code), ("LEASE_STALE", Code::FailedPrecondition));
        assert_eq!(refused.auth(), AuthStatus::Passed, "the credentials are not what is wrong");
    }
    let run = pay.run(&work.run_id).await;
    assert_eq!((run.state(), run.attempts.len()), (RunState::Running, 1));

    // Given back and taken again: the number of the first attempt is stale from then on, also for its own worker.
    worker.report(given_back(&work)).await;
    let second = worker.assignment().await;
    assert_eq!(second.attempt, 2);
    for late in [succeeded(&work, "late"), failed_plainly(&work), let_go(&work), given_back(&work)] {
        let refused = worker.submit(&fresh(), late).await.expect_err("refused");
        assert_eq!(refused.reason, "LEASE_STALE");
    }
    worker.report(succeeded(&second, "right")).await;
    assert_eq!(pay.run(&work.run_id).await.result.expect("a result").data, "right");
    // A terminal state binds.
    for late in [succeeded(&second, "late"), failed_plainly(&second)] {
        let refused = worker.submit(&fresh(), late).await.expect_err("refused");
        assert_eq!(refused.reason, "LEASE_STALE");
    }
    assert_eq!(pay.run(&work.run_id).await.state(), RunState::Succeeded);
}

#[tokio::test]
async fn a_worker_of_another_app_touches_nothing_even_under_the_id_of_the_holder() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay).await;
    let secret = pay.server.app("spy").await;
    let hello = v1::Hello { app: "spy".to_owned(), ..hello_again(&worker.id, "p", 5) };
    let mut spy = pay.worker_with(&secret, hello).await;
    assert!(spy.unasked().await.is_empty(), "the work of another app is none of its business");
    let refused = spy.submit(&fresh(), succeeded(&work, "stolen")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");
    assert_eq!(pay.run(&work.run_id).await.state(), RunState::Running);

    // The stream of the holder goes on as if nothing were.
    worker.beat().await;
    worker.report(succeeded(&work, "right")).await;
    assert_eq!(pay.run(&work.run_id).await.result.expect("a result").data, "right");
    let next = pay.submit("settle").await;
    assert_eq!(worker.assignment().await.run_id, next);
    assert!(spy.unasked().await.is_empty());
}

#[tokio::test]
async fn many_reports_on_one_stream_are_each_acknowledged_under_their_own_id() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 50).await;
    for _ in 0..50 {
        pay.submit("settle").await;
    }
    let mut work = Vec::new();
    for _ in 0..50 {
        work.push(worker.assignment().await);
    }
    let mut sent = Vec::new();
    for work in &work {
        let id = fresh();
        worker.say_as(&id, Kind::Report(succeeded(work, ""))).await;
        sent.push(id);
    }
    for id in &sent {
        worker.acknowledged(id).await.expect("taken");
    }
    assert!(worker.unasked().await.is_empty(), "each id is answered once");
    for work in &work {
        assert_eq!(pay.run(&work.run_id).await.state(), RunState::Succeeded);
    }
}
