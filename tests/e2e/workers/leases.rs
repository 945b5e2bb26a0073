//! Leases: whoever is silent for too long loses its attempts, and what it says of them later is refused.

use semel_client::v1::{self, AttemptState, LostWorkerPolicy, RunState, cancel_attempt::Reason};
use semel_core::id::Millis;
use semel_server::clock::ManualClock;

use crate::e2e::{
    crew::PayByClient,
    harness::{job, run_job, spec},
    raw_worker::{RawWorker, hello_again, refers_to, succeeded},
    wire::{fresh, seconds},
};

/// Longer than the default lease, in a row of steps after each of which some workers are heard of.
async fn outlive_lease(pay: &PayByClient, clock: &ManualClock, alive: &mut [&mut RawWorker]) {
    for _ in 0..4 {
        clock.advance(Millis::from_secs(10));
        for worker in alive.iter_mut() {
            worker.beat().await;
        }
        pay.tick().await;
    }
}

#[tokio::test]
async fn a_silent_worker_loses_its_attempt_to_another_and_the_run_ends_once() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut silent = pay.worker("p", 1).await;
    assert_eq!(silent.opened.lease_duration.expect("a lease").seconds, 30);
    assert_eq!(silent.opened.heartbeat_interval.expect("an interval").seconds, 10);
    let run_id = pay.submit("settle").await;
    let first = silent.assignment().await;
    let mut other = pay.worker("p", 1).await;

    // As long as it is heard of it keeps its attempt.
    outlive_lease(&pay, &clock, &mut [&mut silent, &mut other]).await;
    assert_eq!(pay.run(&run_id).await.attempts.len(), 1);

    outlive_lease(&pay, &clock, &mut [&mut other]).await;
    let second = other.assignment().await;
    assert_eq!((second.run_id.as_str(), second.attempt), (run_id.as_str(), 2));
    let cancel = silent.cancel_order().await;
    assert_eq!((cancel.attempt, cancel.reason()), (1, Reason::LeaseStale));

    // The late report comes before and after the end: refused both times, and nothing changes.
    for _ in 0..2 {
        let refused = silent.submit(&fresh(), succeeded(&first, "late")).await.expect_err("refused");
        assert_eq!(refused.reason, "LEASE_STALE");
        let run = pay.run(&run_id).await;
        if run.state() == RunState::Running {
            other.report(succeeded(&second, "right")).await;
        }
    }
    let run = pay.run(&run_id).await;
    let states: Vec<_> = run.attempts.iter().map(v1::Attempt::state).collect();
    assert_eq!((run.state(), states), (RunState::Succeeded, vec![AttemptState::Lost, AttemptState::Succeeded]));
    assert_eq!(run.result.expect("a result").data, "right");
    assert_eq!(run.attempts[0].worker_id, silent.id);
    assert_eq!(run.attempts[1].worker_id, other.id);
}

#[tokio::test]
async fn a_lease_outlives_the_stream_and_ends_when_nobody_comes_back() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut gone = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    let first = gone.assignment().await;
    let id = gone.id.clone();
    drop(gone);
    clock.advance(Millis::from_secs(29));
    pay.tick().await;
    assert_eq!(pay.run(&run_id).await.state(), RunState::Running);

    // It comes back in time, still holds the attempt, and has a whole lease again.
    let mut back = pay.worker_again(v1::Hello { held: vec![refers_to(&first)], ..hello_again(&id, "p", 1) }).await;
    assert!(back.opened.stale.is_empty());
    assert!(back.unasked().await.is_empty(), "what it holds is not sent again");
    clock.advance(Millis::from_secs(29));
    pay.tick().await;
    back.report(succeeded(&first, "")).await;
    assert_eq!(pay.run(&run_id).await.attempts.len(), 1);
}

#[tokio::test]
async fn an_assignment_that_was_lost_with_the_stream_is_sent_again() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    let first = worker.assignment().await;

    // It says that it holds nothing: the assignment never arrived.
    let mut worker = pay.worker_again(hello_again(&worker.id, "p", 1)).await;
    assert_eq!(worker.assignment().await, first, "the same attempt, word for word");
    worker.report(succeeded(&first, "")).await;
    let run = pay.run(&run_id).await;
    assert_eq!((run.state(), run.attempts.len()), (RunState::Succeeded, 1));
}

#[tokio::test]
async fn what_a_worker_holds_and_no_longer_owns_is_told_when_it_comes_back() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut lost = pay.worker("p", 2).await;
    let (stale, own) = (pay.submit("settle").await, pay.submit("settle").await);
    let stale_work = lost.assignment().await;
    let own_work = lost.assignment().await;
    assert_eq!((&stale_work.run_id, &own_work.run_id), (&stale, &own));
    pay.cancel(&stale).await;
    clock.advance(Millis::from_secs(31));
    lost.beat().await;
    pay.tick().await;
    assert_eq!(pay.run(&stale).await.state(), RunState::Cancelled, "the grace is over");

    let unknown = v1::AttemptRef { run_id: fresh(), attempt: 7 };
    let held = vec![refers_to(&stale_work), refers_to(&own_work), unknown.clone()];
    let back = pay.worker_again(v1::Hello { held, ..hello_again(&lost.id, "p", 2) }).await;
    let mut told = back.opened.stale.clone();
    told.sort_by_key(|attempt| attempt.attempt);
    assert_eq!(told, [refers_to(&stale_work), unknown]);
    assert_eq!(pay.run(&own).await.state(), RunState::Running);
}

#[tokio::test]
async fn a_run_that_must_not_run_twice_fails_with_its_worker() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    let once = v1::JobSpec {
        lost_worker: LostWorkerPolicy::Fail.into(),
        retry: Some(v1::RetryPolicy { max_attempts: 5, ..Default::default() }),
        ..spec("p")
    };
    job(&pay.client, "settle", once).await;
    let mut silent = pay.worker("p", 1).await;
    let mut other = pay.worker("p", 0).await;
    let run_id = pay.submit("settle").await;
    let work = silent.assignment().await;
    other.say(v1::work_request::Kind::Credit(v1::Credit { slots: 1 })).await;
    outlive_lease(&pay, &clock, &mut [&mut other]).await;
    let run = pay.run(&run_id).await;
    assert_eq!((run.state(), run.attempts.len()), (RunState::Failed, 1));
    assert_eq!(run.attempts[0].state(), AttemptState::Lost);
    assert!(other.unasked().await.is_empty());
    let refused = silent.submit(&fresh(), succeeded(&work, "late")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");
    assert_eq!(pay.run(&run_id).await.state(), RunState::Failed, "a terminal state binds");
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_over_by_the_servers_clock() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    let retry = v1::RetryPolicy { max_attempts: 2, ..Default::default() };
    let timeout = seconds(20);
    job(&pay.client, "settle", v1::JobSpec { attempt_timeout: timeout, retry: Some(retry), ..spec("p") }).await;
    let mut worker = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    let first = worker.assignment().await;
    clock.advance(Millis::from_secs(19));
    worker.beat().await;
    pay.tick().await;
    assert_eq!(pay.run(&run_id).await.state(), RunState::Running);
    clock.advance(Millis::from_secs(1));
    pay.tick().await;
    assert_eq!(pay.run(&run_id).await.state(), RunState::Retrying);
    let cancel = worker.cancel_order().await;
    assert_eq!((cancel.attempt, cancel.reason()), (1, Reason::TimedOut));
    let refused = worker.submit(&fresh(), succeeded(&first, "late")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");

    // The second attempt times out as well, and none is left.
    clock.advance(Millis::from_secs(2));
    pay.tick().await;
    assert_eq!(worker.assignment().await.attempt, 2);
    clock.advance(Millis::from_secs(20));
    worker.beat().await;
    pay.tick().await;
    let run = pay.run(&run_id).await;
    assert_eq!(run.state(), RunState::Failed);
    assert!(run.attempts.iter().all(|attempt| attempt.state() == AttemptState::TimedOut));
}

#[tokio::test]
async fn a_run_expires_at_its_deadline_wherever_it_stands() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", v1::JobSpec { run_timeout: seconds(60), ..spec("p") }).await;
    let mut worker = pay.worker("p", 1).await;
    let held = pay.submit("settle").await;
    let work = worker.assignment().await;
    let waiting = pay.submit("settle").await;
    let created = pay.run(&held).await.create_time.expect("a time");
    let soon = prost_types::Timestamp { seconds: created.seconds + 30, ..created };
    let sooner = pay.submit_with(v1::RunJobRequest { deadline: Some(soon), ..run_job("settle") }).await;

    clock.advance(Millis::from_secs(31));
    worker.beat().await;
    pay.tick().await;
    let states = async |ids: [&str; 3]| {
        let mut states = Vec::new();
        for id in ids {
            states.push(pay.run(id).await.state());
        }
        states
    };
    let ids = [held.as_str(), waiting.as_str(), sooner.as_str()];
    assert_eq!(states(ids).await, [RunState::Running, RunState::Queued, RunState::Expired]);

    clock.advance(Millis::from_secs(30));
    worker.beat().await;
    pay.tick().await;
    assert_eq!(states(ids).await, [RunState::Expired; 3]);
    let cancel = worker.cancel_order().await;
    assert_eq!((cancel.run_id.as_str(), cancel.reason()), (held.as_str(), Reason::TimedOut));
    let refused = worker.submit(&fresh(), succeeded(&work, "late")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");
    assert_eq!(pay.run(&held).await.attempts[0].state(), AttemptState::TimedOut);
}
