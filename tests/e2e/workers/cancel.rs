//! Cancelling a run that a worker holds: who lets go, who does not, and who was faster.

use semel_client::v1::{self, AttemptState, RunState, cancel_attempt::Reason};
use semel_core::id::Millis;

use crate::e2e::{
    crew::PayByClient,
    harness::{job, spec},
    raw_worker::{RawWorker, failed_plainly, given_back, hello_again, let_go, refers_to, succeeded},
    wire::fresh,
};

/// A run that a worker holds and that was asked to stop.
async fn cancelling(pay: &PayByClient) -> (RawWorker, v1::Assignment) {
    let retry = v1::RetryPolicy { max_attempts: 3, ..Default::default() };
    job(&pay.client, "settle", v1::JobSpec { retry: Some(retry), ..spec("p") }).await;
    let mut worker = pay.worker("p", 1).await;
    pay.submit("settle").await;
    let work = worker.assignment().await;
    assert_eq!(pay.cancel(&work.run_id).await, RunState::Cancelling);
    (worker, work)
}

async fn assert_ended(pay: &PayByClient, run_id: &str, state: RunState, attempt: AttemptState) {
    let run = pay.run(run_id).await;
    assert_eq!((run.state(), run.attempts.len(), run.attempts[0].state()), (state, 1, attempt));
}

#[tokio::test]
async fn a_worker_that_lets_go_ends_the_run_as_cancelled() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = cancelling(&pay).await;
    let order = worker.cancel_order().await;
    assert_eq!((order.run_id.as_str(), order.attempt, order.reason()), (work.run_id.as_str(), 1, Reason::Cancelled));
    assert_eq!(pay.run(&work.run_id).await.state(), RunState::Cancelling);
    // To ask twice changes nothing.
    assert_eq!(pay.cancel(&work.run_id).await, RunState::Cancelling);
    worker.report(let_go(&work)).await;
    assert_ended(&pay, &work.run_id, RunState::Cancelled, AttemptState::Cancelled).await;
    let request = v1::CancelRunRequest { run_id: work.run_id, ..Default::default() };
    let refused = pay.client.cancel_run(request).await.expect_err("it has ended");
    assert_eq!(refused.reason(), Some("RUN_FINISHED"));
}

#[tokio::test]
async fn a_failure_or_a_return_of_a_cancelled_attempt_ends_the_run_without_another() {
    for (report, attempt) in [
        (failed_plainly as fn(&v1::Assignment) -> v1::Report, AttemptState::Failed),
        (given_back, AttemptState::Released),
    ] {
        let pay = PayByClient::start().await;
        let (mut worker, work) = cancelling(&pay).await;
        worker.report(report(&work)).await;
        assert_ended(&pay, &work.run_id, RunState::Cancelled, attempt).await;
    }
}

#[tokio::test]
async fn a_worker_that_succeeds_all_the_same_is_believed() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = cancelling(&pay).await;
    worker.report(succeeded(&work, "done")).await;
    assert_ended(&pay, &work.run_id, RunState::Succeeded, AttemptState::Succeeded).await;
}

#[tokio::test]
async fn a_worker_that_ignores_it_is_not_waited_for() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    let (mut worker, work) = cancelling(&pay).await;
    clock.advance(Millis::from_secs(29));
    worker.beat().await;
    pay.tick().await;
    assert_eq!(pay.run(&work.run_id).await.state(), RunState::Cancelling);
    clock.advance(Millis::from_secs(1));
    pay.tick().await;
    assert_ended(&pay, &work.run_id, RunState::Cancelled, AttemptState::Cancelled).await;
    let refused = worker.submit(&fresh(), succeeded(&work, "late")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");
    assert_ended(&pay, &work.run_id, RunState::Cancelled, AttemptState::Cancelled).await;
    assert_eq!(worker.cancel_order().await.reason(), Reason::Cancelled);
    assert_eq!(worker.cancel_order().await.reason(), Reason::LeaseStale, "it is told that it is over");
}

#[tokio::test]
async fn a_worker_that_was_away_is_told_to_stop_when_it_comes_back() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut gone = pay.worker("p", 2).await;
    let (known, unknown) = (pay.submit("settle").await, pay.submit("settle").await);
    let (work, _lost) = (gone.assignment().await, gone.assignment().await);
    let id = gone.id.clone();
    drop(gone);
    for run_id in [&known, &unknown] {
        assert_eq!(pay.cancel(run_id).await, RunState::Cancelling);
    }

    // It holds one of them, and never heard of the other.
    let mut back = pay.worker_again(v1::Hello { held: vec![refers_to(&work)], ..hello_again(&id, "p", 2) }).await;
    let again = back.assignment().await;
    assert_eq!((again.run_id.as_str(), again.attempt), (unknown.as_str(), 1));
    let mut told = [back.cancel_order().await, back.cancel_order().await];
    told.sort_by(|left, right| left.run_id.cmp(&right.run_id));
    let mut wanted = [known, unknown];
    wanted.sort();
    for (order, run_id) in told.iter().zip(wanted) {
        assert_eq!((&order.run_id, order.attempt, order.reason()), (&run_id, 1, Reason::Cancelled));
    }
}
