//! What becomes of a run between its submission and its end: when it starts, what holds it back, what follows a failure,
//! and what is said of all that.

use std::time::Duration;

use semel_client::{
    RetryOptions,
    v1::{self, AttemptState, RunState, run_explanation::Kind as Why},
};
use semel_core::id::Millis;

use super::{
    crew::PayByClient,
    harness::{in_time, job, run_job, spec},
    raw_worker::{failed, failed_plainly, let_go, succeeded},
    wire::{fresh, seconds},
};

fn after(time: Option<prost_types::Timestamp>, seconds: i64) -> Option<prost_types::Timestamp> {
    time.map(|time| prost_types::Timestamp { seconds: time.seconds + seconds, ..time })
}

/// The time by the server's clock.
async fn server_time(pay: &PayByClient) -> Option<prost_types::Timestamp> {
    let info = pay.client.get_server_info(v1::GetServerInfoRequest::default()).await.expect("an answer");
    info.header.expect("a header").server_time
}

async fn kinds(pay: &PayByClient, run_id: &str) -> Vec<Why> {
    pay.explain(run_id).await.iter().map(v1::RunExplanation::kind).collect()
}

fn retrying(max_attempts: i32) -> v1::JobSpec {
    let retry =
        v1::RetryPolicy { max_attempts, initial_backoff: seconds(10), multiplier: 3.0, max_backoff: seconds(60) };
    v1::JobSpec { retry: Some(retry), ..spec("p") }
}

#[tokio::test]
async fn a_run_waits_for_its_start_time() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    let start_time = after(server_time(&pay).await, 20);
    let answer = pay.client.run_job(v1::RunJobRequest { start_time, ..run_job("settle") }).await.expect("made");
    assert_eq!(answer.state(), RunState::Scheduled);
    let explained = pay.explain(&answer.run_id).await;
    assert_eq!((explained[0].kind(), explained[0].until), (Why::StartTime, start_time));
    clock.advance(Millis::from_secs(19));
    worker.beat().await;
    pay.tick().await;
    assert_eq!(pay.run(&answer.run_id).await.state(), RunState::Scheduled);
    clock.advance(Millis::from_secs(1));
    pay.tick().await;
    assert_eq!(worker.assignment().await.run_id, answer.run_id);

    // A start time in the past is no start time.
    worker.say(v1::work_request::Kind::Credit(v1::Credit { slots: 0 })).await;
    let past = v1::RunJobRequest { start_time: after(start_time, -3600), ..run_job("settle") };
    assert_eq!(pay.client.run_job(past).await.expect("made").state(), RunState::Queued);
}

#[tokio::test]
async fn a_higher_priority_goes_first_and_equals_keep_their_order() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", v1::JobSpec { priority: 5, ..spec("p") }).await;
    job(&pay.client, "other", spec("p")).await;
    let with = |name: &str, priority| v1::RunJobRequest { priority, ..run_job(name) };
    let mut wanted = Vec::new();
    for (place, request) in [
        (4, with("settle", Some(-1))),
        (1, with("settle", None)),
        (0, with("other", Some(6))),
        (3, with("other", None)),
        (2, with("other", Some(5))),
    ] {
        wanted.push((place, pay.submit_with(request).await));
    }
    wanted.sort();
    let mut worker = pay.worker("p", 1).await;
    for (place, run_id) in &wanted {
        let work = worker.assignment().await;
        assert_eq!(&work.run_id, run_id, "place {place}");
        worker.report(succeeded(&work, "")).await;
    }
}

#[tokio::test]
async fn a_job_has_no_more_runs_going_than_it_may_and_the_others_wait() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", v1::JobSpec { max_running: 2, ..spec("p") }).await;
    job(&pay.client, "other", spec("p")).await;
    let mut worker = pay.worker("p", 9).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(pay.submit("settle").await);
    }
    let mut held = vec![worker.assignment().await, worker.assignment().await];
    let other = pay.submit("other").await;
    assert_eq!(worker.assignment().await.run_id, other, "the limit of one job holds no other back");
    assert_eq!(kinds(&pay, &runs[2]).await, [Why::ConcurrencyLimit]);
    assert_eq!(kinds(&pay, &runs[3]).await, [Why::ConcurrencyLimit, Why::BehindOthers]);
    let request = v1::GetJobRequest { job: "settle".to_owned(), ..Default::default() };
    let counted = pay.client.get_job(request).await.expect("the job is there").job.expect("a job");
    assert_eq!((counted.running_count, counted.queued_count), (2, 2));
    for expected in &runs[2..] {
        worker.report(succeeded(&held.remove(0), "")).await;
        let work = worker.assignment().await;
        assert_eq!(&work.run_id, expected);
        held.push(work);
    }
    assert!(worker.unasked().await.is_empty());
}

#[tokio::test]
async fn a_paused_job_takes_runs_and_starts_none() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 2).await;
    let before = pay.submit("settle").await;
    let held = worker.assignment().await;
    let pause =
        v1::PauseJobRequest { job: "settle".to_owned(), note: "the bank is shut".to_owned(), ..Default::default() };
    let paused = pay.client.pause_job(pause).await.expect("paused").job.expect("a job");
    assert_eq!((paused.paused, paused.pause_note.as_str()), (true, "the bank is shut"));
    let during = pay.submit("settle").await;
    assert_eq!(kinds(&pay, &during).await, [Why::JobPaused]);
    assert!(pay.explain(&during).await[0].message.contains("the bank is shut"));
    // What runs already goes on to its end.
    worker.report(succeeded(&held, "")).await;
    assert_eq!(pay.run(&before).await.state(), RunState::Succeeded);
    assert!(worker.unasked().await.is_empty());
    let resume = v1::ResumeJobRequest { job: "settle".to_owned(), ..Default::default() };
    assert!(!pay.client.resume_job(resume).await.expect("resumed").job.expect("a job").paused);
    assert_eq!(worker.assignment().await.run_id, during);
}

#[tokio::test]
async fn failures_are_tried_again_after_a_growing_wait_until_no_attempt_is_left() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", retrying(4)).await;
    let mut worker = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    for (attempt, wait) in [(1, 10), (2, 30), (3, 60)] {
        let work = worker.assignment().await;
        assert_eq!((work.attempt, work.max_attempts), (attempt, 4));
        worker.report(failed_plainly(&work)).await;
        let run = pay.run(&run_id).await;
        let ended = run.attempts.last().expect("an attempt").end_time;
        assert_eq!((run.state(), run.retry_time), (RunState::Retrying, after(ended, wait)));
        let explained = pay.explain(&run_id).await;
        assert_eq!((explained[0].kind(), explained[0].until), (Why::Backoff, run.retry_time));
        assert!(explained[0].message.contains("no luck"), "{}", explained[0].message);
        clock.advance(Millis(wait * 1000 - 1));
        worker.beat().await;
        pay.tick().await;
        assert_eq!(pay.run(&run_id).await.state(), RunState::Retrying);
        clock.advance(Millis(1));
        pay.tick().await;
    }
    let last = worker.assignment().await;
    worker.report(failed_plainly(&last)).await;
    let run = pay.run(&run_id).await;
    assert_eq!((run.state(), run.reason.as_str(), run.attempts.len()), (RunState::Failed, "no luck", 4));
    assert!(run.attempts.iter().all(|attempt| attempt.state() == AttemptState::Failed && attempt.error == "no luck"));
    assert!(run.end_time.is_some() && run.retry_time.is_none());
}

#[tokio::test]
async fn a_worker_says_that_trying_again_is_of_no_use_or_when() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", retrying(5)).await;
    let mut worker = pay.worker("p", 1).await;
    let run_id = pay.submit("settle").await;
    let work = worker.assignment().await;
    let later = v1::report::Failed { error: "busy".to_owned(), retry_after: seconds(2), permanent: false };
    worker.report(failed(&work, later)).await;
    clock.advance(Millis::from_secs(2));
    pay.tick().await;
    let work = worker.assignment().await;
    assert_eq!(work.attempt, 2, "after 2 s and not after 10");
    let never = v1::report::Failed { error: "no such account".to_owned(), permanent: true, retry_after: None };
    worker.report(failed(&work, never)).await;
    let run = pay.run(&run_id).await;
    assert_eq!((run.state(), run.reason.as_str(), run.attempts.len()), (RunState::Failed, "no such account", 2));
}

#[tokio::test]
async fn a_waiting_retry_can_be_hurried_and_a_finished_run_is_repeated_by_a_new_one() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", retrying(2)).await;
    let mut worker = pay.worker("p", 1).await;
    let payload = Some(v1::Payload { data: "in".into(), content_type: "text/plain".to_owned() });
    let labels = [("batch".to_owned(), "7".to_owned())].into();
    let request = v1::RunJobRequest { payload: payload.clone(), labels, priority: Some(3), ..run_job("settle") };
    let run_id = pay.submit_with(request).await;
    let work = worker.assignment().await;
    let refused = v1::RetryRunRequest { run_id: run_id.clone(), ..Default::default() };
    let refused = pay.client.retry_run(refused).await.expect_err("it is under way");
    assert_eq!(refused.reason(), Some("RUN_NOT_RETRYABLE"));
    worker.report(failed_plainly(&work)).await;
    let hurried = pay.retry(&run_id).await;
    assert_eq!((hurried.run_id.as_str(), hurried.created, hurried.state()), (run_id.as_str(), false, RunState::Queued));
    let work = worker.assignment().await;
    assert_eq!(work.attempt, 2);
    worker.report(failed_plainly(&work)).await;
    let first = pay.run(&run_id).await;
    assert_eq!(first.state(), RunState::Failed);

    let again = pay.retry(&run_id).await;
    assert!(again.created && again.run_id != run_id);
    let work = worker.assignment().await;
    assert_eq!((work.run_id.as_str(), work.attempt, &work.payload), (again.run_id.as_str(), 1, &payload));
    worker.report(succeeded(&work, "done")).await;
    let second = pay.run(&again.run_id).await;
    assert_eq!((second.state(), second.retry_of.as_str()), (RunState::Succeeded, run_id.as_str()));
    assert_eq!((second.labels, second.priority), (first.labels.clone(), 3));
    assert_eq!(pay.run(&run_id).await, first, "the old one stays what it is");
    // One that ended well can be repeated as well.
    assert!(pay.retry(&again.run_id).await.created);
}

#[tokio::test]
async fn a_run_says_why_it_is_where_it_is() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let first = pay.submit("settle").await;
    let second = pay.submit("settle").await;
    assert_eq!(kinds(&pay, &first).await, [Why::NoWorker]);
    assert_eq!(kinds(&pay, &second).await, [Why::NoWorker, Why::BehindOthers]);
    assert!(pay.explain(&second).await[1].message.starts_with("1 run"));
    let mut worker = pay.worker("p", 1).await;
    let work = worker.assignment().await;
    let held = pay.explain(&first).await;
    assert_eq!(held[0].kind(), Why::Running);
    assert!(held[0].message.contains(&worker.id), "{}", held[0].message);
    assert_eq!(kinds(&pay, &second).await, [Why::NoFreeSlot]);
    pay.cancel(&first).await;
    let cancelling = pay.explain(&first).await;
    assert_eq!(cancelling[0].kind(), Why::Cancelling);
    assert!(cancelling[0].until.is_some(), "the grace has an end");
    worker.report(let_go(&work)).await;
    let ended = pay.explain(&first).await;
    assert_eq!((ended.len(), ended[0].kind()), (1, Why::Finished));
    assert!(ended[0].message.contains("CANCELLED") || ended[0].message.contains("cancelled"), "{}", ended[0].message);
    let nothing = v1::ExplainRunRequest { run_id: fresh(), ..Default::default() };
    assert_eq!(pay.client.explain_run(nothing).await.expect_err("no such run").reason(), Some("NOT_FOUND"));
}

#[tokio::test]
async fn waiting_ends_with_the_run_or_with_the_time() {
    let pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let run_id = pay.submit("settle").await;
    let wait = |timeout| v1::WaitRunRequest { run_id: run_id.clone(), timeout, ..Default::default() };
    let short = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    let answer = pay.client.wait_run(wait(short)).await.expect("an answer");
    assert_eq!((answer.finished, answer.run.expect("a run").state()), (false, RunState::Queued));
    let negative = pay.client.wait_run(wait(seconds(-1))).await.expect_err("refused");
    assert_eq!(negative.reason(), Some("INVALID"));

    // Longer than the caller waits: it gets an answer in its own time, and no fault.
    let options = pay.server.options().app("pay").request_timeout(Duration::from_millis(300));
    let options = options.credentials(semel_client::Credentials::Token(pay.secret.clone())).retry(RetryOptions::none());
    let hurried = semel_client::Client::connect(options).await.expect("connects");
    let asked = v1::WaitRunRequest { timeout: Some(prost_types::Duration::default()), ..wait(None) };
    assert!(!hurried.wait_run(asked).await.expect("an answer").finished);

    let waiting = tokio::spawn({
        let (client, request) = (pay.client.clone(), wait(seconds(60)));
        async move { client.wait_run(request).await }
    });
    let mut worker = pay.worker("p", 1).await;
    let work = worker.assignment().await;
    worker.report(succeeded(&work, "42")).await;
    let answer = in_time(waiting).await.expect("no panic").expect("an answer");
    assert!(answer.finished);
    assert_eq!(answer.run.expect("a run").result.expect("a result").data, "42");
    assert!(pay.client.wait_run(wait(None)).await.expect("an answer").finished, "at once when it has ended");
}

#[tokio::test]
async fn payloads_and_results_go_up_to_their_bound_and_no_further() {
    let pay = PayByClient::with(|settings| settings.payload_bytes_max = 1000).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    let request = |bytes: usize| {
        let payload = v1::Payload { data: vec![7; bytes].into(), content_type: "application/octet-stream".to_owned() };
        v1::RunJobRequest { payload: Some(payload), ..run_job("settle") }
    };
    let refused = pay.client.run_job(request(1001)).await.expect_err("too large");
    assert_eq!(refused.reason(), Some("INVALID"));
    assert_eq!(refused.violations()[0].0, "payload.data");
    let run_id = pay.submit_with(request(1000)).await;
    let work = worker.assignment().await;
    assert_eq!(work.payload, request(1000).payload);

    let refused = worker.submit(&fresh(), succeeded(&work, &"x".repeat(1001))).await.expect_err("too large");
    assert_eq!(refused.reason, "INVALID");
    assert_eq!(pay.run(&run_id).await.state(), RunState::Running);
    worker.report(succeeded(&work, &"x".repeat(1000))).await;
    let run = pay.run(&run_id).await;
    assert_eq!((run.result.expect("a result").data.len(), run.payload), (1000, request(1000).payload));
}

#[tokio::test]
async fn labels_of_job_and_run_are_joined_and_found() {
    let pay = PayByClient::start().await;
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    job(&pay.client, "settle", v1::JobSpec { labels: [label("team", "a"), label("env", "test")].into(), ..spec("p") })
        .await;
    let request = v1::RunJobRequest { labels: [label("env", "prod"), label("id", "1")].into(), ..run_job("settle") };
    let labelled = pay.submit_with(request).await;
    let plain = pay.submit("settle").await;
    let all = [label("team", "a"), label("env", "prod"), label("id", "1")].into();
    assert_eq!(pay.run(&labelled).await.labels, all, "the run's own value counts");
    let find = async |labels: Vec<(String, String)>| {
        let request = v1::ListRunsRequest { labels: labels.into_iter().collect(), ..Default::default() };
        let listed = pay.client.list_runs(request).await.expect("a list").runs;
        listed.into_iter().map(|run| run.run_id).collect::<Vec<_>>()
    };
    assert_eq!(find(vec![label("team", "a")]).await, [plain.clone(), labelled.clone()], "the newest first");
    assert_eq!(find(vec![label("team", "a"), label("env", "prod")]).await, [labelled]);
    assert_eq!(find(vec![label("env", "test")]).await, [plain]);
    assert!(find(vec![label("team", "b")]).await.is_empty());
}

#[tokio::test]
async fn a_business_key_makes_one_run_of_many_requests() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("p")).await;
    let mut worker = pay.worker("p", 1).await;
    let keyed = |hold| {
        let unique_key = Some(v1::UniqueKey { key: "invoice 7".to_owned(), hold });
        v1::RunJobRequest { unique_key, ..run_job("settle") }
    };
    let first = pay.client.run_job(keyed(None)).await.expect("made");
    assert!(!first.existing);
    let second = pay.client.run_job(keyed(None)).await.expect("found");
    assert_eq!((second.existing, &second.run_id, second.create_time), (true, &first.run_id, first.create_time));
    let header = second.header.expect("a header");
    assert_eq!(header.disposition(), v1::Disposition::Executed, "another request, which took effect now");
    let work = worker.assignment().await;
    worker.report(succeeded(&work, "")).await;

    // Free again with the end of the run; held for an hour if that is wished.
    let third = pay.client.run_job(keyed(seconds(3600))).await.expect("made");
    assert!(!third.existing && third.run_id != first.run_id);
    let work = worker.assignment().await;
    worker.report(succeeded(&work, "")).await;
    let during = pay.client.run_job(keyed(None)).await.expect("found");
    let state = during.state();
    assert_eq!((during.existing, during.run_id, state), (true, third.run_id, RunState::Succeeded));
    clock.advance(Millis::from_secs(3600));
    pay.tick().await;
    assert!(!pay.client.run_job(keyed(None)).await.expect("made").existing);
}

/// The machine's clock is set back by an hour while a run waits for its start time. The server's clock does not go back,
/// but it does not stand still for that hour either.
#[tokio::test]
async fn a_wait_goes_on_while_the_machines_clock_lies_behind() {
    let (pay, clock) = PayByClient::with_manual_clock(|_| {}).await;
    job(&pay.client, "settle", spec("p")).await;
    let now = pay.server.running().engine().time();
    let start_time = after(server_time(&pay).await, 300);
    let run_id = pay.submit_with(v1::RunJobRequest { start_time, ..run_job("settle") }).await;
    assert_eq!(pay.run(&run_id).await.state(), RunState::Scheduled);
    clock.set_wall(now.minus(Millis::from_secs(3600)));
    pay.tick().await;
    clock.advance(Millis::from_secs(290));
    pay.tick().await;
    assert_eq!(pay.run(&run_id).await.state(), RunState::Scheduled);
    clock.advance(Millis::from_secs(60));
    pay.tick().await;
    assert_eq!(pay.run(&run_id).await.state(), RunState::Queued);
}
