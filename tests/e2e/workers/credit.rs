//! A worker never holds more than it asked for, and gets nothing once it drains.

use semel_client::v1::{self, RunState, work_request::Kind};

use crate::e2e::{
    crew::PayByClient,
    harness::{job, spec},
    raw_worker::{given_back, hello_again, succeeded},
    wire::{Refused, seconds},
};

async fn running_count(pay: &PayByClient) -> i32 {
    let request = v1::GetJobRequest { job: "settle".to_owned(), ..Default::default() };
    pay.client.get_job(request).await.expect("the job is there").job.expect("a job").running_count
}

#[tokio::test]
async fn a_worker_never_holds_more_than_its_credit() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 2).await;
    for _ in 0..6 {
        pay.submit("settle").await;
    }
    let mut held = vec![worker.assignment().await, worker.assignment().await];
    assert_eq!(running_count(&pay).await, 2, "six runs wait, two slots");
    assert_eq!(worker.beat().await, 4);

    // Each one that ends makes room for one.
    worker.report(succeeded(&held.remove(0), "")).await;
    held.push(worker.assignment().await);
    assert_eq!(running_count(&pay).await, 2);

    // A smaller credit takes nothing away, and a larger one is used at once.
    worker.say(Kind::Credit(v1::Credit { slots: 1 })).await;
    worker.report(succeeded(&held.remove(0), "")).await;
    worker.beat().await;
    assert_eq!(running_count(&pay).await, 1);
    worker.say(Kind::Credit(v1::Credit { slots: 3 })).await;
    held.push(worker.assignment().await);
    held.push(worker.assignment().await);
    assert_eq!(running_count(&pay).await, 3);
    assert_eq!(worker.beat().await, 1);
}

#[tokio::test]
async fn a_worker_without_slots_gets_nothing_until_it_gives_credit() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 0).await;
    let run_id = pay.submit("settle").await;
    assert!(worker.unasked().await.is_empty());
    assert_eq!(pay.run(&run_id).await.state(), RunState::Queued);
    worker.say(Kind::Credit(v1::Credit { slots: 1 })).await;
    assert_eq!(worker.assignment().await.run_id, run_id);
}

#[tokio::test]
async fn credit_that_is_out_of_bounds_ends_the_stream() {
    let pay = PayByClient::start().await;
    let mut worker = pay.worker("p", 1).await;
    worker.say(Kind::Credit(v1::Credit { slots: 10_001 })).await;
    let refused = worker.end().await.1.expect_err("refused");
    Refused::of(&refused).expect(tonic::Code::InvalidArgument, "INVALID");
}

#[tokio::test]
async fn a_draining_worker_finishes_what_it_holds_and_gets_nothing_more() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 2).await;
    let first = pay.submit("settle").await;
    let held = worker.assignment().await;
    worker.say(Kind::Drain(v1::Drain {})).await;
    worker.beat().await;
    let second = pay.submit("settle").await;
    assert!(worker.unasked().await.is_empty(), "no assignment after the drain");
    assert_eq!(pay.run(&second).await.state(), RunState::Queued);

    worker.report(succeeded(&held, "done")).await;
    assert_eq!(pay.run(&first).await.state(), RunState::Succeeded);
    assert!(worker.unasked().await.is_empty());
    assert_eq!(pay.run(&second).await.state(), RunState::Queued, "its slots are free, but it drains");

    let mut other = pay.worker("p", 1).await;
    assert_eq!(other.assignment().await.run_id, second);
}

#[tokio::test]
async fn an_attempt_that_is_given_back_goes_to_another_worker_and_does_not_count() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    let first = worker.assignment().await;
    worker.say(Kind::Drain(v1::Drain {})).await;
    worker.report(given_back(&first)).await;

    let mut other = pay.worker("p", 1).await;
    let second = other.assignment().await;
    assert_eq!((second.run_id.as_str(), second.attempt, second.max_attempts), (run_id.as_str(), 2, 1));
    other.report(succeeded(&second, "done")).await;
    let run = pay.run(&run_id).await;
    let states: Vec<_> = run.attempts.iter().map(v1::Attempt::state).collect();
    assert_eq!(states, [v1::AttemptState::Released, v1::AttemptState::Succeeded]);
    assert_eq!(run.state(), RunState::Succeeded);
}

#[tokio::test]
async fn work_goes_to_the_worker_with_most_free_slots_and_only_to_its_processors() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    job(&pay.client, "other", spec("q")).await;
    let mut small = pay.worker("p", 1).await;
    let mut large = pay.worker("p", 3).await;
    let mut stranger = pay.worker("q", 9).await;
    for _ in 0..4 {
        pay.submit("settle").await;
    }
    for _ in 0..3 {
        large.assignment().await;
    }
    small.assignment().await;
    assert!(stranger.unasked().await.is_empty());
    pay.submit("other").await;
    assert_eq!(stranger.assignment().await.processor, "q");
}

#[tokio::test]
async fn an_assignment_carries_all_that_the_work_needs() {
    let pay = PayByClient::start().await;
    let labels = |key: &str| [(key.to_owned(), "x".to_owned())].into();
    let payload = v1::Payload { data: "in".into(), content_type: "text/plain".to_owned() };
    let retry = v1::RetryPolicy { max_attempts: 4, ..Default::default() };
    let definition = v1::JobSpec {
        labels: labels("of-job"),
        payload: Some(payload.clone()),
        retry: Some(retry),
        attempt_timeout: seconds(60),
        ..spec("p")
    };
    job(&pay.client, "settle", definition).await;
    let mut worker = pay.worker_again(hello_again("01890f3e-7b8a-7cc0-9e6f-000000000001", "p", 1)).await;
    let request = v1::RunJobRequest { labels: labels("of-run"), ..crate::e2e::harness::run_job("settle") };
    let run_id = pay.submit_with(request).await;
    let work = worker.assignment().await;
    assert_eq!((work.run_id.as_str(), work.attempt, work.max_attempts), (run_id.as_str(), 1, 4));
    assert_eq!((work.app.as_str(), work.job.as_str(), work.processor.as_str()), ("pay", "settle", "p"));
    assert_eq!(work.payload, Some(payload));
    assert_eq!(work.labels.keys().map(String::as_str).collect::<Vec<_>>(), ["of-job", "of-run"]);
    let start = pay.run(&run_id).await.attempts[0].start_time.expect("a start");
    let deadline = work.attempt_deadline.expect("a deadline");
    assert_eq!((deadline.seconds - start.seconds, deadline.nanos), (60, start.nanos));
    assert_eq!(worker.beat().await, 0);
}
