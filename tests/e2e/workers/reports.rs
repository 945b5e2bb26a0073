//! Reports: acknowledged once, replayed after, fenced by worker and attempt, and bound by the rules of every mutation.

use semel_client::v1::{self, AuthStatus, Disposition, RunState, work_request::Kind};
use tonic::Code;

use crate::e2e::{
    crew::{Pay, RawWorker, failed_plainly, fresh_id, given_back, hello, let_go, succeeded},
    harness::{job, spec},
};

/// A run that a worker holds.
async fn held(pay: &Pay) -> (RawWorker, v1::Assignment) {
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    pay.submit("settle").await;
    let assignment = worker.assignment().await;
    (worker, assignment)
}

fn hello_of(worker: &RawWorker) -> v1::Hello {
    hello(&worker.id, "p", 0)
}

#[tokio::test]
async fn a_report_is_acknowledged_and_replayed_after_a_reconnect() {
    let pay = Pay::start().await;
    let (mut worker, work) = held(&pay).await;
    let id = fresh_id();
    let (first, outcome) = worker.report_as(&id, succeeded(&work, "42")).await;
    outcome.expect("taken");
    assert_eq!((first.request_id.as_str(), first.disposition()), (id.as_str(), Disposition::Executed));
    assert_eq!(first.auth.as_ref().expect("a verdict").status(), AuthStatus::Passed);

    // On the same stream, and on the next one: nothing happens again.
    for arrival in 2..4 {
        let (again, outcome) = worker.report_as(&id, succeeded(&work, "42")).await;
        outcome.expect("the same answer");
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
    let pay = Pay::start().await;
    let (mut worker, work) = held(&pay).await;
    let id = fresh_id();
    worker.report_as(&id, succeeded(&work, "42")).await.1.expect("taken");
    for other in [succeeded(&work, "43"), failed_plainly(&work)] {
        let (header, outcome) = worker.report_as(&id, other).await;
        let refused = outcome.expect_err("refused");
        assert_eq!((refused.reason(), refused.code), (Some("REQUEST_ID_REUSED"), Code::FailedPrecondition));
        assert_eq!(header.request_id, id);
        assert_eq!(refused.header.expect("a header").request_id, id);
        assert!(!refused.info.expect("details").metadata.is_empty(), "it names what differs");
    }
    // A log under the id of a report differs in the method.
    let log = v1::Log {
        run_id: work.run_id.clone(),
        attempt: work.attempt,
        stream: v1::LogStream::Stdout.into(),
        data: "x".into(),
    };
    worker.say_as(&id, Kind::Log(log)).await;
    assert_eq!(worker.ack().await.1.expect_err("refused").reason(), Some("REQUEST_ID_REUSED"));
    assert_eq!(pay.run(&work.run_id).await.result.expect("a result").data, "42");
}

#[tokio::test]
async fn a_report_needs_an_id_and_faultless_fields_and_the_stream_goes_on_without() {
    let pay = Pay::start().await;
    let (mut worker, work) = held(&pay).await;
    let mut cases = vec![
        ("", succeeded(&work, ""), "REQUEST_ID_MISSING"),
        ("not-a-uuid", succeeded(&work, ""), "REQUEST_ID_MALFORMED"),
        ("9b2f1c7e-3c56-4d0e-8f6a-1d2c3b4a5968", succeeded(&work, ""), "REQUEST_ID_MALFORMED"),
        ("00000000-0000-7000-8000-000000000001", succeeded(&work, ""), "REQUEST_ID_EXPIRED"),
        ("fffffff0-0000-7000-8000-000000000001", succeeded(&work, ""), "REQUEST_ID_IN_FUTURE"),
    ];
    let fresh = fresh_id();
    cases.push((&fresh, v1::Report { run_id: "x".to_owned(), attempt: -1, outcome: None }, "INVALID"));
    for (id, report, reason) in cases {
        let (header, outcome) = worker.report_as(id, report).await;
        assert_eq!(outcome.expect_err("refused").reason(), Some(reason), "{id}");
        assert_eq!(header.request_id, id);
        assert_eq!(pay.run(&work.run_id).await.state(), RunState::Running);
    }
    // A refusal has recorded nothing: the same id serves for the right report.
    worker.report_as(&fresh, succeeded(&work, "")).await.1.expect("taken");
}

#[tokio::test]
async fn all_faults_of_a_report_are_told_at_once() {
    let pay = Pay::start().await;
    let mut worker = pay.worker("p", 1).await;
    let (_, outcome) =
        worker.report_as(&fresh_id(), v1::Report { run_id: "x".to_owned(), attempt: -1, outcome: None }).await;
    let refused = outcome.expect_err("refused");
    let violations = refused.bad_request.expect("details").field_violations;
    let mut fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["attempt", "outcome", "run_id"]);
}

#[tokio::test]
async fn whoever_does_not_hold_the_attempt_changes_nothing() {
    let pay = Pay::start().await;
    let (mut worker, work) = held(&pay).await;
    let mut stranger = pay.worker("q", 1).await;
    let elsewhere = v1::Assignment { run_id: uuid::Uuid::now_v7().to_string(), ..work.clone() };
    let too_new = v1::Assignment { attempt: 2, ..work.clone() };
    for (by_stranger, report) in
        [(true, succeeded(&work, "x")), (false, succeeded(&too_new, "x")), (false, succeeded(&elsewhere, "x"))]
    {
        let speaker = if by_stranger { &mut stranger } else { &mut worker };
        let (_, outcome) = speaker.report_as(&fresh_id(), report).await;
        let refused = outcome.expect_err("refused");
        assert_eq!((refused.reason(), refused.code), (Some("LEASE_STALE"), Code::FailedPrecondition));
        assert_eq!(refused.auth_status(), AuthStatus::Passed, "the credentials are not what is wrong");
    }
    let run = pay.run(&work.run_id).await;
    assert_eq!((run.state(), run.attempts.len()), (RunState::Running, 1));

    // Given back and taken again: the number of the first attempt is stale from then on, also for its own worker.
    worker.report(given_back(&work)).await;
    let second = worker.assignment().await;
    assert_eq!(second.attempt, 2);
    for late in [succeeded(&work, "late"), failed_plainly(&work), let_go(&work), given_back(&work)] {
        let (_, outcome) = worker.report_as(&fresh_id(), late).await;
        assert_eq!(outcome.expect_err("refused").reason(), Some("LEASE_STALE"));
    }
    worker.report(succeeded(&second, "right")).await;
    assert_eq!(pay.run(&work.run_id).await.result.expect("a result").data, "right");
    // A terminal state binds.
    for late in [succeeded(&second, "late"), failed_plainly(&second)] {
        let (_, outcome) = worker.report_as(&fresh_id(), late).await;
        assert_eq!(outcome.expect_err("refused").reason(), Some("LEASE_STALE"));
    }
    assert_eq!(pay.run(&work.run_id).await.state(), RunState::Succeeded);
}

#[tokio::test]
async fn a_worker_of_another_app_touches_nothing_even_under_the_id_of_the_holder() {
    let pay = Pay::start().await;
    let (mut worker, work) = held(&pay).await;
    let secret = pay.server.app("spy").await;
    let mut spy = RawWorker::open(&pay.server, &secret, hello(&worker.id, "p", 5)).await.expect("opens");
    assert!(spy.unasked().await.is_empty(), "the work of another app is none of its business");
    let (_, outcome) = spy.report_as(&fresh_id(), succeeded(&work, "stolen")).await;
    assert_eq!(outcome.expect_err("refused").reason(), Some("LEASE_STALE"));
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
    let pay = Pay::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 50).await;
    for _ in 0..50 {
        pay.submit("settle").await;
    }
    let mut work = Vec::new();
    for _ in 0..50 {
        work.push(worker.assignment().await);
    }
    let mut sent = std::collections::BTreeSet::new();
    for work in &work {
        let id = fresh_id();
        worker.say_as(&id, Kind::Report(succeeded(work, ""))).await;
        assert!(sent.insert(id));
    }
    for _ in 0..50 {
        let (header, outcome) = worker.ack().await;
        outcome.expect("taken");
        assert!(sent.remove(&header.request_id), "each id is answered once");
    }
    for work in &work {
        assert_eq!(pay.run(&work.run_id).await.state(), RunState::Succeeded);
    }
}
